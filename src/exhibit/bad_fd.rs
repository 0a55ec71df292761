//! One fd of many was closed and is still asked about: three mechanisms, three answers.

use super::Exhibit;
use super::show::{Show, exactly};
use crate::multiplexer::{Interest, Mechanism, Token};
use crate::sys::{self, EPOLLIN, EpollEvent, EpollOp, Fd, FdSet, POLLIN, POLLNVAL, PollFd};
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "bad-fd",
    about: "one bad fd in select (EBADF), poll (POLLNVAL) and epoll (gone without a word)",
    file: "src/exhibit/bad_fd.rs",
    mistake: "An fd is closed while it is still in the list that the next wait is for.",
    cure: "Remove it before it is closed: then all three say the same, and only of the one that is left.",
    why: "select(2) fails as a whole, so that one bad fd silences all the good ones; its sets say nothing about which.
          poll(2) answers for each line: the bad one gets POLLNVAL, and the call counts it as ready.
          epoll(7) took the entry off its list when the fd was closed, so there is nothing to report:
          a bug that is invisible, until the number is handed out again and nobody watches it.",
    run,
};

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let select_fails = show.expect("mistake: select, of a ready fd and a closed one", exactly("EBADF"));
    let poll_counts = show.expect("mistake: poll, lines with an answer", exactly(2_u64));
    let good_line = show.expect("mistake: poll, the ready fd's line", exactly("POLLIN"));
    let bad_line = show.expect("mistake: poll, the closed fd's line", exactly("POLLNVAL"));
    let epoll_counts = show.expect("mistake: epoll, reports", exactly(1_u64));
    let removal = show.expect("mistake: epoll, EPOLL_CTL_DEL of the closed one", exactly("EBADF"));
    let cures = Mechanism::ALL.map(|mechanism| {
        let what = format!("cure: {}, reports", mechanism.name());
        (mechanism, show.expect(what, exactly(1_u64)))
    });

    let (good, bad) = (Ready::new()?, Ready::new()?.close());
    show.measured(select_fails, &mistake_in_select(&good.fd, bad));
    let (count, good_answer, bad_answer) = mistake_in_poll(&good.fd, bad)?;
    show.measured(poll_counts, count);
    show.measured(good_line, good_answer);
    show.measured(bad_line, bad_answer);
    let (count, removed) = mistake_in_epoll(&good.fd)?;
    show.measured(epoll_counts, count);
    show.measured(removal, &removed);
    for (mechanism, expected) in cures {
        show.measured(expected, cure(mechanism)?);
    }
    Ok(())
}

fn mistake_in_select(good: &Fd, bad: i32) -> io::Result<usize> {
    let (mut readable, mut writable) = (FdSet::default(), FdSet::default());
    readable.insert(good.number());
    readable.insert(bad);
    sys::select(good.number().max(bad) + 1, &mut readable, &mut writable, Some(1000))
}

fn mistake_in_poll(good: &Fd, bad: i32) -> io::Result<(usize, String, String)> {
    let mut list = [PollFd::new(good.number(), POLLIN), PollFd::new(bad, POLLIN)];
    let count = sys::poll(&mut list, 1000)?;
    let answer = |line: PollFd| match line.revents() {
        POLLIN => "POLLIN".to_owned(),
        POLLNVAL => "POLLNVAL".to_owned(),
        other => format!("{other:#x}"),
    };
    Ok((count, answer(list[0]), answer(list[1])))
}

fn mistake_in_epoll(good: &Fd) -> io::Result<(usize, io::Result<()>)> {
    let (epoll, bad) = (sys::epoll_create1()?, Ready::new()?);
    sys::epoll_ctl(&epoll, good.number(), EpollOp::Add(EPOLLIN, 0))?;
    sys::epoll_ctl(&epoll, bad.fd.number(), EpollOp::Add(EPOLLIN, 1))?;
    let bad = bad.close();
    let count = sys::epoll_wait(&epoll, &mut [EpollEvent::EMPTY; 2], 1000)?;
    Ok((count, sys::epoll_ctl(&epoll, bad, EpollOp::Delete)))
}

fn cure(mechanism: Mechanism) -> io::Result<usize> {
    let (mut multiplexer, mut ready) = (mechanism.open()?, Vec::new());
    let (good, other) = (Ready::new()?, Ready::new()?);
    multiplexer.add(&good.fd, Token(0), Interest::READ)?;
    multiplexer.add(&other.fd, Token(1), Interest::READ)?;
    multiplexer.remove(&other.fd)?;
    other.close();
    multiplexer.wait(Some(1000), &mut ready)?;
    Ok(ready.len())
}

/// A socket with something to read.
struct Ready {
    fd: Fd,
    _client: Fd,
}

impl Ready {
    fn new() -> io::Result<Ready> {
        let (fd, client) = sys::socketpair()?;
        sys::write(&client, b"hello")?;
        Ok(Ready { fd, _client: client })
    }

    /// Closes it, and gives the number that now leads nowhere.
    fn close(self) -> i32 {
        self.fd.number()
    }
}
