//! Standard input, line by line, without waiting for whoever writes it.

use super::standard::Standard;
use crate::multiplexer::{Interest, Multiplexer, Token};
use crate::sys;
use std::io;

/// Standard input.
#[derive(Debug)]
pub struct Input {
    source: Standard,
    /// What was read, of which the first `taken` bytes were handed out, and in whose first `searched` bytes no line
    /// ends besides.
    bytes: Vec<u8>,
    taken: usize,
    searched: usize,
}

impl Input {
    /// Has the multiplexer watch it.
    pub fn open(token: Token, multiplexer: &mut dyn Multiplexer) -> io::Result<Input> {
        let source = Standard::open(sys::stdin_fd()?, token, multiplexer)?;
        Ok(Input { source, bytes: Vec::new(), taken: 0, searched: 0 })
    }

    /// The next line, without its end (LF or CRLF). `None` if it has not come, or there is none: see
    /// [`Input::has_ended`]. What stands behind the last end is a line too, if it is not empty.
    pub fn next_line(&mut self, buffer: &mut [u8], multiplexer: &mut dyn Multiplexer) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(line);
            }
            if !self.source.is_file() || self.has_ended() {
                return None;
            }
            self.read(buffer, multiplexer);
        }
    }

    /// Whether all lines were handed out.
    pub fn has_ended(&self) -> bool {
        self.source.fd().is_none() && self.taken == self.bytes.len()
    }

    /// Something can be read.
    pub fn read(&mut self, buffer: &mut [u8], multiplexer: &mut dyn Multiplexer) {
        let Some(fd) = self.source.fd() else { return };
        match sys::read(fd, buffer) {
            Ok(count) if count > 0 => {
                self.bytes.drain(..self.taken);
                self.searched -= self.taken;
                self.taken = 0;
                self.bytes.extend_from_slice(&buffer[..count]);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => self.source.shut(multiplexer),
        }
    }

    /// Tells the multiplexer whether a line is wanted.
    pub fn settle(&mut self, wanted: bool, multiplexer: &mut dyn Multiplexer) -> io::Result<()> {
        self.source.ask(Interest::NONE.and(Interest::READ, wanted), multiplexer)
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr::memchr(b'\n', &self.bytes[self.searched..]).map(|at| self.searched + at);
        let (end, next) = match end {
            Some(end) => (end, end + 1),
            None if self.source.fd().is_none() && self.taken < self.bytes.len() => {
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
