//! A client in lock-step: it sends, and then waits for exactly what must come.
//!
//! It is no client to follow a channel with: nothing is tried twice, and whatever is not as expected is an
//! error. It knows where an answer, a chunk and a frame end, and keeps for the next question what came
//! after that.

use super::PATIENCE;
use crate::sys::{self, Fd};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;

/// One connection to a server.
pub struct Line {
    socket: Fd,
    /// What was read and belongs to what is asked next.
    kept: Vec<u8>,
}

impl Line {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Line, String> {
        let socket = sys::dial(address, PATIENCE)
            .map_err(|error| format!("cannot connect to {address}: {error}; is the server still there?"))?;
        Ok(Line { socket, kept: Vec::new() })
    }

    /// The socket.
    pub fn socket(&self) -> &Fd {
        &self.socket
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        sys::write_all(&self.socket, bytes).map_err(|error| broken("write to", &error))
    }

    /// A head and, if it has a `Content-Length`, the content after it.
    pub fn answer(&mut self) -> Result<Vec<u8>, String> {
        let head = self.until(b"\r\n\r\n")?;
        let length = content_length(&self.kept[..head])?;
        self.take(head + length)
    }

    /// One chunk with its size and its end (RFC 9112 §7.1).
    pub fn chunk(&mut self) -> Result<Vec<u8>, String> {
        let line = self.until(b"\r\n")?;
        let digits = String::from_utf8_lossy(&self.kept[..line - 2]).into_owned();
        let size =
            usize::from_str_radix(&digits, 16).map_err(|_| format!("{digits:?} is no chunk's size"))?;
        self.take(line + size + 2)
    }

    /// One frame from the server (RFC 6455 §5.2), which masks nothing.
    pub fn frame(&mut self) -> Result<Vec<u8>, String> {
        self.have(2)?;
        let (head, length) = match self.kept[1] & 0x7f {
            126 => {
                self.have(4)?;
                (4, usize::from(u16::from_be_bytes([self.kept[2], self.kept[3]])))
            }
            127 => return Err("the server sent a frame of more than 64 KiB".to_owned()),
            short => (2, usize::from(short)),
        };
        self.take(head + length)
    }

    /// Reads until these bytes have come, and says where they end.
    fn until(&mut self, end: &[u8]) -> Result<usize, String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.kept, end) {
                return Ok(at + end.len());
            }
            self.read_more()?;
        }
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        self.have(count)?;
        Ok(self.kept.drain(..count).collect())
    }

    fn have(&mut self, count: usize) -> Result<(), String> {
        while self.kept.len() < count {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_more(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16384];
        match sys::read(&self.socket, &mut buffer) {
            Ok(0) => {
                let kept = self.kept.escape_ascii();
                Err(format!("the server closed the connection in the middle of an answer, after {kept}"))
            }
            Ok(count) => {
                self.kept.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            // A read with a deadline is not restarted after SIGSTOP and SIGCONT (signal(7)).
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(broken("read from", &error)),
        }
    }
}

/// The fields that ask for a WebSocket, as whole lines, with a key that nobody had before (RFC 6455 §4.1).
pub fn upgrade_fields() -> Result<String, String> {
    let key = STANDARD.encode([chance()?, chance()?].map(u64::to_ne_bytes).concat());
    Ok(format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    ))
}

/// A number that nobody can guess.
pub fn chance() -> Result<u64, String> {
    sys::random_u64().map_err(|error| format!("cannot read randomness: {error}"))
}

/// An error of a socket in words.
pub(super) fn broken(doing: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => format!("the server was silent for {} s", PATIENCE.as_secs()),
        _ => format!("cannot {doing} the server: {error}"),
    }
}

fn content_length(head: &[u8]) -> Result<usize, String> {
    let head = String::from_utf8_lossy(head);
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let Some((_, value)) = lengths.next() else { return Ok(0) };
    value.trim().parse().map_err(|_| format!("{value:?} is no Content-Length"))
}
