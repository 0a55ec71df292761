//! select(2): we keep bitmaps, and hand copies of them to the kernel each time, because it answers
//! by overwriting them. A wait costs the highest fd number, and there is no bit for fd 1,024.

use super::{Interest, Mechanism, Multiplexer, Ready, Token, unless_interrupted};
use crate::sys::{self, FD_SETSIZE, Fd, FdSet};
use std::io;

/// The bitmaps, and for each fd number whose it is.
pub struct Select {
    readable: FdSet,
    writable: FdSet,
    tokens: Box<[Option<Token>; FD_SETSIZE as usize]>,
    /// One more than the highest fd watched: how far the kernel must look.
    nfds: i32,
}

/// Which of the two sets an fd is in, as bits: select(2) itself has no names for it but those of its arguments.
const READ_FDS: u32 = 1;
const WRITE_FDS: u32 = 2;

impl Default for Select {
    fn default() -> Select {
        Select::new()
    }
}

impl Select {
    /// Empty bitmaps. There is nothing to ask of the kernel.
    pub fn new() -> Select {
        let tokens = Box::new([None; FD_SETSIZE as usize]);
        Select { readable: FdSet::default(), writable: FdSet::default(), tokens, nfds: 0 }
    }

    fn ask(&mut self, fd: i32, interest: Interest) {
        for (set, wanted) in [
            (&mut self.readable, interest.has(Interest::READ)),
            (&mut self.writable, interest.has(Interest::WRITE)),
        ] {
            if wanted { set.insert(fd) } else { set.remove(fd) }
        }
    }
}

impl Multiplexer for Select {
    fn mechanism(&self) -> Mechanism {
        Mechanism::Select
    }

    fn add(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()> {
        let fd = fd.number();
        if fd >= FD_SETSIZE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.tokens[fd as usize] = Some(token);
        self.nfds = self.nfds.max(fd + 1);
        self.ask(fd, interest);
        Ok(())
    }

    fn modify(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()> {
        self.add(fd, token, interest)
    }

    fn remove(&mut self, fd: &Fd) -> io::Result<()> {
        let fd = fd.number();
        if fd >= FD_SETSIZE || self.tokens[fd as usize].take().is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.ask(fd, Interest::NONE);
        while self.nfds > 0 && self.tokens[self.nfds as usize - 1].is_none() {
            self.nfds -= 1;
        }
        Ok(())
    }

    fn handed_over(&self, fd: i32) -> Option<(Token, u32)> {
        let token = (*self.tokens.get(fd as usize)?)?;
        let bit = |set: &FdSet, bit| if set.contains(fd) { bit } else { 0 };
        Some((token, bit(&self.readable, READ_FDS) | bit(&self.writable, WRITE_FDS)))
    }

    fn events(&self, interest: Interest) -> u32 {
        let bit = |wanted, bit| if interest.has(wanted) { bit } else { 0 };
        bit(Interest::READ, READ_FDS) | bit(Interest::WRITE, WRITE_FDS)
    }

    fn names(&self, events: u32) -> Vec<&'static str> {
        sys::names_of(events, &[(READ_FDS, "readfds"), (WRITE_FDS, "writefds")])
    }

    fn wait(&mut self, timeout: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let (mut readable, mut writable) = (FdSet::default(), FdSet::default());
        let mut unseen = unless_interrupted(timeout, |timeout| {
            // After an error, EINTR too, the sets say nothing (select(2)): fresh copies each time.
            (readable, writable) = (self.readable, self.writable);
            sys::select(self.nfds, &mut readable, &mut writable, timeout)
        })?;
        for fd in 0..self.nfds {
            if unseen == 0 {
                break;
            }
            let (read, write) = (readable.contains(fd), writable.contains(fd));
            unseen -= usize::from(read) + usize::from(write);
            if let (true, Some(token)) = (read || write, self.tokens[fd as usize]) {
                ready.push(Ready { token, readable: read, writable: write, hung_up: false });
            }
        }
        Ok(())
    }
}
