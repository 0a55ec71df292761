//! Whoever publishes: requests go out as fast as the kernel takes them, and their answers are counted.

use super::answer::{excerpt, first_answer};
use super::event;
use crate::multiplexer::Interest;
use crate::sys::{self, Fd};
use std::io;

/// A connection on which is published.
pub(super) struct Bell {
    pub(super) socket: Fd,
    channel: String,
    size: usize,
    /// What the kernel has not taken yet.
    unsent: Vec<u8>,
    /// Answers that are not whole yet.
    kept: Vec<u8>,
    /// How many publications were answered.
    pub(super) answered: u64,
}

impl Bell {
    /// Publishes events of `size` bytes to this channel.
    pub(super) fn new(socket: Fd, channel: &str, size: usize) -> Bell {
        let channel = channel.to_owned();
        Bell { socket, channel, size, unsent: Vec::new(), kept: Vec::new(), answered: 0 }
    }

    /// Puts an event among what is to be sent.
    pub(super) fn ring(&mut self, number: u64) {
        let content = event::content(number, self.size);
        let (channel, length) = (&self.channel, content.len());
        let head = format!(
            "POST /event?channel={channel} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.unsent.extend_from_slice(head.as_bytes());
        self.unsent.extend_from_slice(&content);
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            match sys::write(&self.socket, &self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("cannot publish: {error}")),
            }
        }
        Ok(())
    }

    /// What the loop is to wait for.
    pub(super) fn interest(&self) -> Interest {
        Interest::READ.and(Interest::WRITE, !self.unsent.is_empty())
    }

    /// Takes what has come.
    pub(super) fn on_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.kept.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(answer) = first_answer(&self.kept[at..])? {
            if !(200..300).contains(&answer.status) {
                return Err(format!("a publication was answered {}", excerpt(answer.head)));
            }
            at += answer.length();
            self.answered += 1;
        }
        self.kept.drain(..at);
        Ok(())
    }
}
