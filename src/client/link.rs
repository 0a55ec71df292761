//! A connection of a client: a socket, and what the kernel would not take of it yet.

use crate::buffer::{Outbox, Outgoing};
use crate::multiplexer::{Interest, Multiplexer, Token};
use crate::sys::{self, Fd};
use crate::tick::Tick;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

/// A connection that is being made, or was.
#[derive(Debug)]
pub struct Link {
    fd: Fd,
    outbox: Outbox,
    /// What the multiplexer was told.
    told: Interest,
    connected: bool,
}

impl Link {
    /// Begins to connect, and has the multiplexer say when it is decided.
    pub fn open(
        to: SocketAddr,
        from: Option<IpAddr>,
        token: Token,
        multiplexer: &mut dyn Multiplexer,
    ) -> io::Result<Link> {
        let fd = sys::connect(to, from)?;
        multiplexer.add(&fd, token, Interest::WRITE)?;
        Ok(Link { fd, outbox: Outbox::default(), told: Interest::WRITE, connected: false })
    }

    /// Has the kernel keep as little as it may of what is not read.
    pub fn shrink(&self) {
        // A larger buffer is no harm.
        let _ = sys::shrink_receive_buffer(&self.fd);
    }

    /// Whether it is no longer being made.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// It has become writable for the first time: whether it was made.
    pub fn finish(&mut self) -> io::Result<()> {
        sys::connect_result(&self.fd)?;
        self.connected = true;
        Ok(())
    }

    /// Reads what is there; `Ok(None)` if that is nothing, `Ok(Some(0))` at the end.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match sys::read(&self.fd, into) {
            Err(error) if would_block(&error) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Sends bytes, and keeps what the kernel does not take. `out` is empty afterwards.
    ///
    /// A broken connection takes nothing and says nothing here: the end is there to be read, behind whatever
    /// the peer said before it.
    pub fn send(&mut self, out: &mut Vec<u8>, now: Tick) {
        if out.is_empty() {
            return;
        }
        let sent = if self.outbox.is_empty() { sys::write(&self.fd, out) } else { Ok(0) };
        if let Some(sent) = sent.map_or_else(|error| would_block(&error).then_some(0), Some) {
            let mut outgoing = Outgoing { own: std::mem::take(out), ..Outgoing::default() };
            self.outbox.keep(&mut outgoing, sent, now);
            *out = outgoing.own;
        }
        out.clear();
    }

    /// Sends what was kept: there is room again.
    pub fn flush(&mut self, now: Tick) {
        if self.outbox.is_empty() {
            return;
        }
        let pieces: Vec<IoSlice<'_>> = self.outbox.pieces().collect();
        match sys::writev(&self.fd, &pieces) {
            Ok(count) => self.outbox.advance(count, now),
            Err(error) if would_block(&error) => {}
            Err(_) => self.outbox = Outbox::default(),
        }
    }

    /// Whether something still waits to be sent.
    pub fn is_blocked(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Tells the multiplexer what is of interest now: room, where something waits for it; and `reading`.
    pub fn settle(
        &mut self,
        reading: Interest,
        token: Token,
        multiplexer: &mut dyn Multiplexer,
    ) -> io::Result<()> {
        let reading = if self.connected { reading } else { Interest::NONE };
        let wanted = reading.and(Interest::WRITE, !self.connected || self.is_blocked());
        if wanted != self.told {
            multiplexer.modify(&self.fd, token, wanted)?;
            self.told = wanted;
        }
        Ok(())
    }

    /// Closes it: with a FIN, or with a reset (SO_LINGER of 0).
    pub fn close(self, with_reset: bool, multiplexer: &mut dyn Multiplexer) {
        multiplexer.forget(&self.fd);
        if with_reset {
            let _ = sys::reset_on_close(&self.fd);
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
