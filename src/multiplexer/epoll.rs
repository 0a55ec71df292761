//! epoll(7): the kernel keeps the list. A wait costs what is ready, however many are watched.

use super::{Interest, Mechanism, Multiplexer, Ready, Token, as_int, unless_interrupted};
use crate::sys::{self, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EpollEvent, EpollOp, Fd};
use std::io;

/// How many ready fds one wait returns at most; the others come with the next.
pub const BATCH: usize = 1024;

/// An epoll instance, and room for what a wait returns.
pub struct Epoll {
    fd: Fd,
    events: Box<[EpollEvent; BATCH]>,
}

impl Epoll {
    /// epoll_create1(2).
    pub fn new() -> io::Result<Epoll> {
        Ok(Epoll { fd: sys::epoll_create1()?, events: Box::new([EpollEvent::EMPTY; BATCH]) })
    }
}

impl Multiplexer for Epoll {
    fn mechanism(&self) -> Mechanism {
        Mechanism::Epoll
    }

    fn add(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()> {
        sys::epoll_ctl(&self.fd, fd.number(), EpollOp::Add(bits(interest), token.0))
    }

    fn modify(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()> {
        sys::epoll_ctl(&self.fd, fd.number(), EpollOp::Modify(bits(interest), token.0))
    }

    fn remove(&mut self, fd: &Fd) -> io::Result<()> {
        sys::epoll_ctl(&self.fd, fd.number(), EpollOp::Delete)
    }

    fn forget(&mut self, _: &Fd) {}

    fn kernel_list(&self) -> Option<&Fd> {
        Some(&self.fd)
    }

    fn events(&self, interest: Interest) -> u32 {
        bits(interest)
    }

    fn names(&self, events: u32) -> Vec<&'static str> {
        sys::epoll_names(events)
    }

    fn wait(&mut self, timeout: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let count = unless_interrupted(timeout, |timeout| {
            sys::epoll_wait(&self.fd, &mut self.events[..], as_int(timeout))
        })?;
        ready.clear();
        ready.extend(self.events[..count].iter().copied().map(answer));
        Ok(())
    }
}

fn bits(interest: Interest) -> u32 {
    let bit = |wanted, bit| if wanted { bit } else { 0 };
    bit(interest.has(Interest::READ), EPOLLIN)
        | bit(interest.has(Interest::WRITE), EPOLLOUT)
        | bit(interest.has(Interest::END), EPOLLRDHUP)
}

/// One line of the kernel's own account in `/proc/self/fdinfo`, such as
/// `tfd:        9 events:       19 data: 100000000  pos:0 ino:2e sdev:8`: the fd, the events without EPOLLERR and
/// EPOLLHUP, which the kernel adds by itself, and the token (proc_pid_fdinfo(5)). `None` for another line.
pub fn parse_watch(line: &str) -> Option<(i32, u32, Token)> {
    let mut words = line.strip_prefix("tfd:")?.split_whitespace();
    let fd = words.next()?.parse().ok()?;
    let mut hexadecimal = |name| {
        let value = (words.next()? == name).then(|| words.next())??;
        u64::from_str_radix(value, 16).ok()
    };
    let events = u32::try_from(hexadecimal("events:")?).ok()?;
    Some((fd, events & !(EPOLLERR | EPOLLHUP), Token(hexadecimal("data:")?)))
}

fn answer(event: EpollEvent) -> Ready {
    let events = event.events();
    let hung_up = events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP) != 0;
    Ready {
        token: Token(event.data()),
        readable: hung_up || events & EPOLLIN != 0,
        writable: events & EPOLLOUT != 0,
        hung_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read_line_by_line() {
        let line = "tfd:        9 events:       19 data:        100000000  pos:0 ino:2e sdev:8";
        assert_eq!(parse_watch(line), Some((9, EPOLLIN, Token(1 << 32))));
        for line in ["pos:\t0", "tfd: x events: 19 data: 1", "tfd: 9 events: 19", ""] {
            assert_eq!(parse_watch(line), None, "{line}");
        }
    }
}
