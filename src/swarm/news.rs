//! The crowd's own news: publications at an even pace, on one connection beside the others.

use super::sources::Sources;
use crate::channel::{ChannelName, Cursor};
use crate::client::{Link, Means, Next, Pace, Talk, Why};
use crate::multiplexer::{Interest, Multiplexer, Ready, Token};
use crate::random::Random;
use crate::tick::{Now, Tick};
use std::net::SocketAddr;
use std::time::Duration;

/// Who publishes.
#[derive(Debug)]
pub struct News {
    host: String,
    address: SocketAddr,
    channel: ChannelName,
    /// What data begins with; the time follows.
    mark: String,
    /// How large data is at least.
    size: usize,
    pace: Pace,
    link: Option<Link>,
    /// Which of its connections this is.
    links: u32,
    talk: Option<Talk>,
    /// Not before this time, after something has failed.
    rest: Tick,
    /// How many were accepted.
    pub published: u64,
    out: Vec<u8>,
}

/// How long to rest after a failure.
const REST: Duration = Duration::from_millis(500);

impl News {
    /// One who publishes `per_second` in `channel`, from `micros` on.
    pub fn new(
        (host, address): (String, SocketAddr),
        channel: ChannelName,
        (mark, size): (String, usize),
        (per_second, micros): (u32, u64),
    ) -> News {
        let pace = Pace::new(per_second, micros);
        let (link, talk, out) = (None, None, Vec::new());
        News {
            host,
            address,
            channel,
            mark,
            size,
            pace,
            link,
            links: 0,
            talk,
            rest: Tick(0),
            published: 0,
            out,
        }
    }

    /// The number of its present connection.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// When it is to be asked to go on, if nothing comes.
    pub fn deadline(&self) -> Tick {
        if self.talk.is_some() || self.is_connecting() {
            Tick(u64::MAX)
        } else {
            self.rest.max(self.pace.next())
        }
    }

    fn is_connecting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.is_connected())
    }

    /// Publishes the next one, if it is due and the last one is answered.
    pub fn go_on(
        &mut self,
        now: Now,
        micros: u64,
        token: impl Fn(u32) -> Token,
        sources: &mut Sources,
        multiplexer: &mut dyn Multiplexer,
    ) {
        if now.tick < self.deadline() || !self.pace.is_due(micros) {
            return;
        }
        let Some(link) = &mut self.link else {
            self.links = self.links.wrapping_add(1);
            match Link::open(self.address, sources.current(), token(self.links), multiplexer) {
                Ok(link) => self.link = Some(link),
                Err(error) if sources.go_on(&error, self.address.ip()) => {}
                Err(_) => self.rest = now.tick + REST,
            }
            return;
        };
        self.pace.step(micros);
        let mut data = format!("{}{micros} ", self.mark);
        data.extend(std::iter::repeat_n('x', self.size.saturating_sub(data.len())));
        self.talk = Some(Talk::post(&self.host, &self.channel, false, data.as_bytes(), &mut self.out));
        link.send(&mut self.out, now.tick);
        // OK because the fd is open and was added: modifying it cannot fail.
        let _ = link.settle(Interest::READ, token(self.links), multiplexer);
    }

    /// Whether nothing is being published.
    pub fn is_idle(&self) -> bool {
        self.talk.is_none()
    }

    /// Its connection is ready: the id of an event that was accepted, if one was.
    pub fn on_ready(
        &mut self,
        ready: Ready,
        now: Now,
        random: &mut Random,
        buffer: &mut [u8],
        multiplexer: &mut dyn Multiplexer,
    ) -> Option<Cursor> {
        let link = self.link.as_mut()?;
        if !link.is_connected() && link.finish().is_err() {
            self.close(now, multiplexer);
            return None;
        }
        if ready.writable {
            link.flush(now.tick);
        }
        let read = if ready.readable { link.read(buffer).unwrap_or(Some(0)) } else { None };
        // OK because the fd is open and was added: modifying it cannot fail.
        let _ = link.settle(Interest::READ, ready.token, multiplexer);
        let mut means = Means { wall: now.wall, random, out: &mut self.out, hear: &mut |_| {} };
        let next = match (&mut self.talk, read?) {
            (Some(talk), count) if count > 0 => talk.take(&buffer[..count], &mut means),
            // The end of an idle connection, or of one that was to answer.
            _ => Next::Over(Why::Cut),
        };
        let Next::Published { id, keep_alive } = next else {
            if !matches!(next, Next::Wait) {
                self.close(now, multiplexer);
            }
            return None;
        };
        self.published += 1;
        self.talk = None;
        if !keep_alive {
            self.close(now, multiplexer);
        }
        Cursor::parse(&id)
    }

    /// Lets its connection go; there will be another.
    fn close(&mut self, now: Now, multiplexer: &mut dyn Multiplexer) {
        if let Some(link) = self.link.take() {
            link.close(false, multiplexer);
        }
        self.talk = None;
        self.out.clear();
        self.rest = now.tick + REST;
    }
}
