//! Standard input, line by line, without waiting for whoever writes it.

use crate::multiplexer::{Interest, Multiplexer, Token};
use crate::sys::{self, Fd};
use std::io;

/// Standard input.
#[derive(Debug)]
pub struct Input {
    /// `None` once it has ended.
    fd: Option<Fd>,
    /// It is a file, which nobody can wait for, and which never blocks (EPERM in epoll_ctl(2)).
    is_file: bool,
    token: Token,
    told: Interest,
    /// What was read, of which the first `taken` bytes were handed out, and in whose first `searched` bytes no line
    /// ends besides.
    bytes: Vec<u8>,
    taken: usize,
    searched: usize,
}

impl Input {
    /// Has the multiplexer watch it.
    pub fn open(token: Token, multiplexer: &mut dyn Multiplexer) -> io::Result<Input> {
        let fd = sys::stdin_fd()?;
        let is_file = match multiplexer.add(&fd, token, Interest::NONE) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
            result => result.map(|()| false)?,
        };
        let told = Interest::NONE;
        Ok(Input { fd: Some(fd), is_file, token, told, bytes: Vec::new(), taken: 0, searched: 0 })
    }

    /// The next line, without its end (LF or CRLF). `None` if it has not come, or there is none: see
    /// [`Input::has_ended`]. What stands behind the last end is a line too, if it is not empty.
    pub fn next_line(&mut self, buffer: &mut [u8], multiplexer: &mut dyn Multiplexer) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(line);
            }
            if !self.is_file || self.has_ended() {
                return None;
            }
            self.read(buffer, multiplexer);
        }
    }

    /// Whether all lines were handed out.
    pub fn has_ended(&self) -> bool {
        self.fd.is_none() && self.taken == self.bytes.len()
    }

    /// Something can be read.
    pub fn read(&mut self, buffer: &mut [u8], multiplexer: &mut dyn Multiplexer) {
        let Some(fd) = &self.fd else { return };
        match sys::read(fd, buffer) {
            Ok(count) if count > 0 => {
                self.bytes.drain(..self.taken);
                self.searched -= self.taken;
                self.taken = 0;
                self.bytes.extend_from_slice(&buffer[..count]);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => {
                if !self.is_file {
                    // Closing would not take it off epoll's list: file descriptor 0 is still open on the same pipe.
                    let _ = multiplexer.remove(fd);
                }
                self.fd = None;
            }
        }
    }

    /// Tells the multiplexer whether a line is wanted.
    pub fn settle(&mut self, wanted: bool, multiplexer: &mut dyn Multiplexer) -> io::Result<()> {
        let wanted = Interest::NONE.and(Interest::READ, wanted);
        match &self.fd {
            Some(fd) if !self.is_file && wanted != self.told => {
                self.told = wanted;
                multiplexer.modify(fd, self.token, wanted)
            }
            _ => Ok(()),
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr::memchr(b'\n', &self.bytes[self.searched..]).map(|at| self.searched + at);
        let (end, next) = match end {
            Some(end) => (end, end + 1),
            None if self.fd.is_none() && self.taken < self.bytes.len() => {
                (self.bytes.len(), self.bytes.len())
            }
            None => {
                self.searched = self.bytes.len();
                return None;
            }
        };
        let line = &self.bytes[self.taken..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        (self.taken, self.searched) = (next, next);
        Some(line)
    }
}
