//! poll(2): we keep the list, and hand all of it to the kernel each time. A wait costs what is
//! watched, however few are ready: the kernel reads each line, and then we do.

use super::{Interest, Mechanism, Multiplexer, Ready, Token, as_int, unless_interrupted};
use crate::sys::{self, Fd, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, PollFd};
use std::io;

/// The list, and beside each line whose it is.
#[derive(Default)]
pub struct Poll {
    lines: Vec<PollFd>,
    tokens: Vec<Token>,
    /// For each fd number the index of its line, so that removing one needs no search.
    places: Vec<usize>,
}

const NOWHERE: usize = usize::MAX;

impl Poll {
    /// An empty list. There is nothing to ask of the kernel.
    pub fn new() -> Poll {
        Poll::default()
    }

    fn place(&self, fd: &Fd) -> io::Result<usize> {
        let place = self.places.get(fd.number() as usize).copied();
        place.filter(|&place| place != NOWHERE).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Multiplexer for Poll {
    fn mechanism(&self) -> Mechanism {
        Mechanism::Poll
    }

    fn add(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()> {
        let number = fd.number() as usize;
        if self.places.len() <= number {
            self.places.resize(number + 1, NOWHERE);
        }
        self.places[number] = self.lines.len();
        self.lines.push(PollFd::new(fd.number(), bits(interest)));
        self.tokens.push(token);
        Ok(())
    }

    fn modify(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()> {
        let place = self.place(fd)?;
        self.lines[place].ask(bits(interest));
        self.tokens[place] = token;
        Ok(())
    }

    fn remove(&mut self, fd: &Fd) -> io::Result<()> {
        let place = self.place(fd)?;
        self.places[fd.number() as usize] = NOWHERE;
        self.lines.swap_remove(place);
        self.tokens.swap_remove(place);
        if let Some(moved) = self.lines.get(place) {
            self.places[moved.fd() as usize] = place;
        }
        Ok(())
    }

    fn handed_over(&self, fd: i32) -> Option<(Token, u32)> {
        let place = self.places.get(fd as usize).copied().filter(|&place| place != NOWHERE)?;
        Some((self.tokens[place], self.lines[place].events() as u32))
    }

    fn events(&self, interest: Interest) -> u32 {
        bits(interest) as u32
    }

    fn names(&self, events: u32) -> Vec<&'static str> {
        sys::poll_names(events as i16)
    }

    fn wait(&mut self, timeout: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let mut unseen = unless_interrupted(timeout, |timeout| sys::poll(&mut self.lines, as_int(timeout)))?;
        for (line, &token) in self.lines.iter().zip(&self.tokens) {
            if unseen == 0 {
                break;
            }
            if line.revents() != 0 {
                unseen -= 1;
                ready.push(answer(*line, token));
            }
        }
        Ok(())
    }
}

fn bits(interest: Interest) -> i16 {
    let bit = |wanted, bit| if wanted { bit } else { 0 };
    bit(interest.has(Interest::READ), POLLIN)
        | bit(interest.has(Interest::WRITE), POLLOUT)
        | bit(interest.has(Interest::END), POLLRDHUP)
}

fn answer(line: PollFd, token: Token) -> Ready {
    let events = line.revents();
    let hung_up = events & (POLLHUP | POLLERR | POLLNVAL | POLLRDHUP) != 0;
    Ready { token, readable: hung_up || events & POLLIN != 0, writable: events & POLLOUT != 0, hung_up }
}
