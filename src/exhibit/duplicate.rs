//! epoll watches open file descriptions, not numbers: close(2) ends a watch only with the last duplicate.

use super::Exhibit;
use super::show::{Show, exactly};
use crate::sys::{self, EPOLLIN, EpollEvent, EpollOp, Fd};
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "dup",
    about: "a dup'd fd that epoll still reports after close",
    file: "src/exhibit/duplicate.rs",
    mistake: "The fd is closed and believed to be off the interest list; but a duplicate of it lives on, by dup(2)
              or in a child process.",
    cure: "EPOLL_CTL_DEL before close(2), whenever there may be a duplicate.",
    why: "An entry of the interest list hangs on the open file description, under the number that it was added by.
          While any duplicate keeps the description open, the entry reports the closed number; and it cannot
          be deleted any more, since the number leads nowhere (EBADF), or to somebody else's connection. Here
          a level-triggered loop spins on it until the duplicate goes. The server never duplicates an fd, and
          opens all of them close-on-exec; so its close(2) is enough (epoll(7), \"Questions and answers\").",
    run,
};

const TURNS: usize = 100;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let ghosts = show.expect("mistake: turns of 100 that report the closed number", exactly(TURNS));
    let ebadf = show.expect("mistake: EPOLL_CTL_DEL of the closed number", exactly("EBADF"));
    let over = show.expect("mistake: turns that report it once the duplicate is closed", exactly(0_u64));
    let none = show.expect("cure: turns of 100 that report the closed number", exactly(0_u64));
    let haunted = mistake()?;
    show.measured(ghosts, haunted.reports);
    show.measured(ebadf, &haunted.removal);
    show.measured(over, haunted.reports_afterwards);
    show.measured(none, cure()?);
    Ok(())
}

struct Haunted {
    reports: usize,
    removal: io::Result<()>,
    reports_afterwards: usize,
}

fn mistake() -> io::Result<Haunted> {
    let (epoll, (server, client)) = (sys::epoll_create1()?, sys::socketpair()?);
    let number = server.number();
    sys::epoll_ctl(&epoll, number, EpollOp::Add(EPOLLIN, number as u64))?;
    let duplicate = sys::dup(&server)?;
    drop(server); // close(2): now it is off the list, or so one thinks.
    sys::write(&client, b"hello")?;
    let reports = count_reports(&epoll, number)?;
    let removal = sys::epoll_ctl(&epoll, number, EpollOp::Delete);
    drop(duplicate);
    Ok(Haunted { reports, removal, reports_afterwards: count_reports(&epoll, number)? })
}

fn cure() -> io::Result<usize> {
    let (epoll, (server, client)) = (sys::epoll_create1()?, sys::socketpair()?);
    let number = server.number();
    sys::epoll_ctl(&epoll, number, EpollOp::Add(EPOLLIN, number as u64))?;
    let _duplicate = sys::dup(&server)?;
    sys::epoll_ctl(&epoll, number, EpollOp::Delete)?;
    drop(server);
    sys::write(&client, b"hello")?;
    count_reports(&epoll, number)
}

/// How many of so many turns report `number`.
fn count_reports(epoll: &Fd, number: i32) -> io::Result<usize> {
    let mut reports = 0;
    for _ in 0..TURNS {
        let mut events = [EpollEvent::EMPTY];
        let count = sys::epoll_wait(epoll, &mut events, 0)?;
        reports += usize::from(count == 1 && events[0].data() == number as u64);
    }
    Ok(reports)
}
