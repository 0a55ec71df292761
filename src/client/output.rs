//! Standard output without waiting for whoever reads it.
//!
//! A reader may be slow, or go away (`| head -1`). So lines wait here until there is room, and the loop
//! goes on hearing signals meanwhile; that the reader has gone is noticed also while there is nothing to say.

use super::standard::Standard;
use crate::multiplexer::{Interest, Multiplexer, Ready, Token};
use crate::sys::{self, PIPE_BUF};
use std::io;

/// As much as may wait before no more should be said, in bytes.
const ENOUGH: usize = 256 * 1024;

/// Standard output.
#[derive(Debug)]
pub struct Output {
    /// Ended once nobody reads it.
    sink: Standard,
    /// Why it takes nothing more, unless its reader has just gone.
    error: Option<io::Error>,
    waiting: Vec<u8>,
    /// How many of the waiting bytes are gone.
    sent: usize,
}

impl Output {
    /// Has the multiplexer watch it.
    pub fn open(token: Token, multiplexer: &mut dyn Multiplexer) -> io::Result<Output> {
        let sink = Standard::open(sys::stdout_fd()?, token, multiplexer)?;
        Ok(Output { sink, error: None, waiting: Vec::new(), sent: 0 })
    }

    /// Appends to what waits to be written.
    pub fn say(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Whether nobody reads it any more.
    pub fn is_closed(&self) -> bool {
        self.sink.fd().is_none()
    }

    /// Why it takes nothing more, if that is worth telling.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Whether so much waits that no more should be said for now.
    pub fn is_full(&self) -> bool {
        self.waiting.len() - self.sent >= ENOUGH
    }

    /// Whether all has been written that can be.
    pub fn is_empty(&self) -> bool {
        self.is_closed() || self.waiting.is_empty()
    }

    /// There is room, or the reader has gone.
    pub fn on_ready(&mut self, ready: Ready, multiplexer: &mut dyn Multiplexer) {
        if ready.writable {
            self.write(multiplexer);
        } else if ready.hung_up {
            self.sink.shut(multiplexer);
        }
    }

    /// Tells the multiplexer whether something waits. A file is written to at once.
    pub fn settle(&mut self, multiplexer: &mut dyn Multiplexer) -> io::Result<()> {
        while self.sink.is_file() && !self.is_empty() {
            self.write(multiplexer);
        }
        self.sink.ask(Interest::NONE.and(Interest::WRITE, !self.waiting.is_empty()), multiplexer)
    }

    /// Writes as much as cannot block.
    fn write(&mut self, multiplexer: &mut dyn Multiplexer) {
        let Some(fd) = self.sink.fd() else { return };
        let rest = &self.waiting[self.sent..];
        let most = if self.sink.is_file() { rest.len() } else { rest.len().min(PIPE_BUF) };
        match sys::write(fd, &rest[..most]) {
            Ok(count) => self.sent += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                self.error = Some(error).filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
                return self.sink.shut(multiplexer);
            }
        }
        if self.sent == self.waiting.len() {
            self.waiting.clear();
            self.sent = 0;
        }
    }
}
