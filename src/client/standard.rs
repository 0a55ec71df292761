//! Standard input or output as something that a loop can wait for.

use crate::multiplexer::{Interest, Multiplexer, Token};
use crate::sys::Fd;
use std::io;

/// One of the two.
#[derive(Debug)]
pub(super) struct Standard {
    /// `None` once it has ended.
    fd: Option<Fd>,
    /// It is a file, which nobody can wait for, and which never blocks (EPERM in epoll_ctl(2)).
    is_file: bool,
    token: Token,
    told: Interest,
}

impl Standard {
    /// Has the multiplexer watch it, for nothing yet.
    pub(super) fn open(fd: Fd, token: Token, multiplexer: &mut dyn Multiplexer) -> io::Result<Standard> {
        let is_file = match multiplexer.add(&fd, token, Interest::NONE) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
            result => result.map(|()| false)?,
        };
        Ok(Standard { fd: Some(fd), is_file, token, told: Interest::NONE })
    }

    /// `None` once it has ended.
    pub(super) fn fd(&self) -> Option<&Fd> {
        self.fd.as_ref()
    }

    /// Whether it is a file, and so never has to be waited for.
    pub(super) fn is_file(&self) -> bool {
        self.is_file
    }

    /// Tells the multiplexer what it is to be woken for, if it does not know.
    pub(super) fn ask(&mut self, wanted: Interest, multiplexer: &mut dyn Multiplexer) -> io::Result<()> {
        match &self.fd {
            Some(fd) if !self.is_file && wanted != self.told => {
                self.told = wanted;
                multiplexer.modify(fd, self.token, wanted)
            }
            _ => Ok(()),
        }
    }

    /// It has ended.
    pub(super) fn shut(&mut self, multiplexer: &mut dyn Multiplexer) {
        // Closing would not take it off epoll's list: its own number is still open on the same pipe.
        if let Some(fd) = self.fd.take().filter(|_| !self.is_file) {
            let _ = multiplexer.remove(&fd);
        }
    }
}
