//! `POST /kernel/multiplexer`: everything that is watched moves to another mechanism while all stays open.
//!
//! Nobody has to be told. What a connection wants of the kernel is derived from its state, so another
//! multiplexer can be told the same; whoever was ready under the old one is ready under the new one too,
//! because both are level-triggered.

use super::report::{Answer, json};
use super::{CROWD, MIRROR_TIMER, SIGNALS, Server};
use crate::http::{Problem, Status};
use crate::multiplexer::{Interest, Mechanism, Token};
use crate::sys::Fd;
use serde::Serialize;
use std::io;

/// What is answered.
#[derive(Serialize)]
struct Moved {
    multiplexer: &'static str,
    moved: usize,
}

impl Server {
    /// Waits by the mechanism of this name from now on; if that cannot be, nothing has changed.
    pub(super) fn swap(&mut self, name: &str) -> Answer {
        let Some(to) = Mechanism::named(name) else {
            return Err(Problem::bad(
                "There are three mechanisms: epoll, poll and select; choose one of them.",
            ));
        };
        let moved = if to == self.multiplexer.mechanism() { 0 } else { self.move_to(to)? };
        json(Status::Ok, &Moved { multiplexer: to.name(), moved })
    }

    fn move_to(&mut self, to: Mechanism) -> Result<usize, Problem> {
        if let Some(ceiling) = to.fd_ceiling() {
            let highest = self.watched().map(|(fd, ..)| fd.number()).max().unwrap_or(0);
            if highest >= ceiling {
                return Err(too_high(highest, ceiling));
            }
        }
        let moved = self.watched().count();
        let mut next = to.open().map_err(|error| failed(to, &error))?;
        self.tell_swap(to, moved);
        for (fd, token, interest) in self.watched() {
            next.add(fd, token, interest).map_err(|error| failed(to, &error))?;
        }
        self.multiplexer = next;
        self.gate.suit(to);
        self.mirror.forget();
        // Whether the new one has to be asked seldom, whoever looks next finds out.
        self.wheel.cancel(MIRROR_TIMER);
        Ok(moved)
    }

    /// Everything that is watched, its token, and what is asked about it.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&Fd, Token, Interest)> {
        let signals = (&self.signals, SIGNALS, Interest::READ);
        let connections = self.table.iter();
        let connections =
            connections.map(|(id, connection)| (&connection.fd, Token(id.to_bits()), connection.interest));
        let crowd = self.crowd.iter().map(|crowd| (crowd.pidfd(), CROWD, Interest::READ));
        std::iter::once(signals).chain(self.gate.watched()).chain(crowd).chain(connections)
    }
}

fn too_high(fd: i32, ceiling: i32) -> Problem {
    let detail = format!(
        "fd {fd} is open, and select(2) can watch none from {ceiling} (FD_SETSIZE) on; nothing has changed. Let some connections go first."
    );
    Problem::new(Status::Conflict, detail)
}

fn failed(to: Mechanism, error: &io::Error) -> Problem {
    let name = to.name();
    Problem::new(Status::Conflict, format!("{name} cannot watch everything ({error}); nothing has changed."))
}
