//! A server in a process of its own, seen from outside.

use super::line::Line;
use super::{PATIENCE, pause};
use crate::sys::{self, Child};
use std::net::SocketAddr;

/// This program, started once more as something that listens. It ends when this is dropped.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Process {
    /// Starts this same program with these words, and waits until it says where it listens. What the environment
    /// says of flags is kept from it.
    pub fn start<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Process, String> {
        let words: Vec<&str> = words.into_iter().collect();
        let name = format!("doorbell {}", words.first().unwrap_or(&""));
        let mut child = Child::start_ourselves(words, "DOORBELL_")
            .map_err(|error| format!("cannot start a server ({name}): {error}"))?;
        let address = listening(&mut child, &name)?;
        Ok(Process { child, address })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Connects.
    pub fn connect(&self) -> Result<Line, String> {
        Line::open(self.address)
    }

    /// Waits until it sleeps, that is: until it has done all it had to do when this was called. (A hint and no
    /// proof: it may not have been woken yet.)
    pub fn wait_until_asleep(&self) -> Result<(), String> {
        self.wait_until("the server does not come to rest", Child::is_asleep)
    }

    /// Whether it sleeps just now.
    pub fn is_asleep(&self) -> bool {
        self.child.is_asleep()
    }

    /// Stops it for good: it does nothing any more, but what it has open stays open until it is dropped.
    pub fn freeze(&self) -> Result<(), String> {
        let frozen = self.child.stop();
        frozen.map_err(|error| self.with_last_words(&format!("cannot stop the server: {error}")))?;
        self.wait_until("the server does not stop", Child::is_stopped)
    }

    fn wait_until(&self, error: &str, is_so: impl Fn(&Child) -> bool) -> Result<(), String> {
        let start = sys::moment();
        while !is_so(&self.child) {
            if start.elapsed() > PATIENCE {
                return Err(self.with_last_words(error));
            }
            pause(1);
        }
        Ok(())
    }

    /// The error, and what the server has said about it.
    pub fn with_last_words(&self, error: &str) -> String {
        let said = self.child.said();
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if said.is_empty() { error.to_owned() } else { format!("{error}; it said: {}", said.join(" / ")) }
    }
}

fn listening(child: &mut Child, name: &str) -> Result<SocketAddr, String> {
    let first = child
        .read_line(PATIENCE)
        .map_err(|error| format!("the server ({name}) does not say where it listens: {error}"))?;
    let address = first.as_deref().and_then(|line| line.strip_prefix("listening on http://"));
    address.and_then(|address| address.parse().ok()).ok_or_else(|| {
        let said = child.said();
        format!("the server did not start: {}", said.trim().trim_start_matches("doorbell: "))
    })
}
