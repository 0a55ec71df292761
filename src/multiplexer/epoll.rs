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

    fn wait(&mut self, timeout: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let count = unless_interrupted(timeout, |timeout| {
            sys::epoll_wait(&self.fd, &mut self.events[..], as_int(timeout))
        })?;
        ready.extend(self.events[..count].iter().map(|event| answer(*event)));
        Ok(())
    }
}

fn bits(interest: Interest) -> u32 {
    let bit = |wanted, bit| if wanted { bit } else { 0 };
    bit(interest.has(Interest::READ), EPOLLIN)
        | bit(interest.has(Interest::WRITE), EPOLLOUT)
        | bit(interest.has(Interest::END), EPOLLRDHUP)
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
