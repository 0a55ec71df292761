//! A parked poll is answered once. Who is not parked when the second event comes hears nothing of it.

use super::Exhibit;
use super::parts::median;
use super::show::{Show, exactly};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Token};
use crate::sys::{self, Fd};
use std::io;
use std::time::Duration;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "no-cursor",
    about: "waiters without cursors: two events in one millisecond",
    file: "src/exhibit/no_cursor.rs",
    mistake: "An event answers those who are parked, and is forgotten.",
    cure: "Events are numbered and kept for a while. A poll says the number of the last one it has, and is parked
           only if there is none after it.",
    why: "A long poll is a listener with a gap: between its answer and the next request, a round trip at least,
          nobody is there. Two events in one millisecond fall into one gap, always. No buffer of the kernel
          helps, since no connection is waiting for bytes; only a memory of what was said, and a
          client that says how far it has heard. The server's is in src/channel.",
    run,
};

const PAIRS: u64 = 100;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let lost = show.expect("mistake: events that the client hears, of 100 pairs", exactly(PAIRS));
    let whole = show.expect("cure: events that the client hears, of 100 pairs", exactly(2 * PAIRS));
    let ordered = show.expect("cure: in order, none twice", exactly("yes"));
    let wrong = conversation(mistake, PAIRS)?;
    // The second of a pair is there already when the next poll comes, and answers it.
    let right = conversation(cure, 2 * PAIRS)?;
    show.measured(lost, wrong.heard.len());
    show.measured(whole, right.heard.len());
    show.measured(ordered, if right.heard.iter().copied().eq(1..=2 * PAIRS) { "yes" } else { "no" });
    show.also("between the two events of a pair, median", median(wrong.gaps));
    show.also("mistake: polls", wrong.polls);
    show.also("cure: polls", right.polls);
    Ok(())
}

/// What the server does when something is published, or (`None`) when a poll has come.
type OnEvent = fn(&mut Server, Option<u64>) -> io::Result<()>;

fn mistake(server: &mut Server, event: Option<u64>) -> io::Result<()> {
    if let (Some(event), Some(_)) = (event, server.parked) {
        server.answer(event)?;
    }
    Ok(())
}

fn cure(server: &mut Server, event: Option<u64>) -> io::Result<()> {
    server.history.extend(event);
    let next = server.parked.and_then(|cursor| server.history.get(cursor as usize).copied());
    if let Some(next) = next {
        server.answer(next)?;
    }
    Ok(())
}

/// One connection, and what is known of it.
struct Server {
    fd: Fd,
    /// The cursor of the poll that waits for an answer.
    parked: Option<u64>,
    history: Vec<u64>,
}

impl Server {
    fn answer(&mut self, event: u64) -> io::Result<()> {
        self.parked = None;
        sys::write(&self.fd, &event.to_le_bytes()).map(drop)
    }
}

struct Heard {
    heard: Vec<u64>,
    gaps: Vec<Duration>,
    polls: u64,
}

/// A client polls `polls` times. Whenever it is parked, a pair of events is published in one turn of the loop.
fn conversation(on_event: OnEvent, polls: u64) -> io::Result<Heard> {
    let (mut epoll, (fd, client)) = (Epoll::new()?, sys::socketpair()?);
    let mut server = Server { fd, parked: None, history: Vec::new() };
    epoll.add(&server.fd, Token(0), Interest::READ)?;
    let mut events = 1..=2 * PAIRS;
    let mut told = Heard { heard: Vec::new(), gaps: Vec::new(), polls };
    for _ in 0..polls {
        let cursor = told.heard.last().copied().unwrap_or(0);
        sys::write(&client, &cursor.to_le_bytes())?;
        epoll.wait(Some(1000), &mut Vec::new())?;
        server.parked = Some(number(&server.fd)?);
        on_event(&mut server, None)?;
        if server.parked.is_some() {
            on_event(&mut server, events.next())?;
            let between = sys::moment();
            on_event(&mut server, events.next())?;
            told.gaps.push(between.elapsed());
        }
        told.heard.push(number(&client)?);
    }
    Ok(told)
}

/// The next number that was sent.
fn number(fd: &Fd) -> io::Result<u64> {
    let mut bytes = [0; 8];
    sys::read(fd, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
