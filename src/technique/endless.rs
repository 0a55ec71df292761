//! An answer without end, in whatever notation: what HTTP streaming and Server-Sent Events share.

use super::feed::{Feed, Notation, TooSlow};
use super::framing::Framing;
use super::round::Round;
use super::{Deadline, Due, Hub, News, Next, Seat, Turn, Why};
use crate::buffer::Shared;
use crate::channel::{ChannelId, Since};
use crate::http::response::{Content, Fields, LAST_CHUNK};
use crate::http::{Manner, Status};
use crate::settings::Settings;
use crate::tick::Tick;
use crate::websocket::frame::Opcode;
use std::time::Duration;

/// Later than anything.
const NEVER: Tick = Tick(u64::MAX);

/// An answer that is under way, and stays so.
#[derive(Debug)]
pub(super) struct Endless {
    feed: Feed,
    notation: &'static Notation,
    /// When something was said last.
    said: Tick,
    /// When the lease is over; `NEVER` if there is none.
    ends: Tick,
}

impl Endless {
    /// Begins the answer: its head, then `preface`, then what the feed has to say. It is the last
    /// answer on its connection, for what comes behind its request is dropped.
    pub(super) fn begin(
        turn: &mut Turn<'_>,
        manner: &Manner,
        (media_type, fields): (&'static str, Fields<'_>),
        preface: &[u8],
        notation: &'static Notation,
        (channel, since): (ChannelId, Option<Since>),
    ) -> Endless {
        let framing = if manner.is_1_1 { Framing::Chunk } else { Framing::Plain };
        let manner = Manner { keep_alive: false, ..*manner };
        turn.answer(&manner, Status::Ok, fields, Content::Streamed(media_type));
        framing.say(turn, Opcode::Text, preface);
        let feed = Feed::open(turn, notation, framing, channel, since);
        let lease = turn.hub.settings.stream_lease;
        let ends = lease.map_or(NEVER, |lease| turn.now.tick + vary(lease, turn.hub.random.below(2001)));
        Endless { feed, notation, said: turn.now.tick, ends }
    }

    /// What is news to all who are up to date, if it was told before: see [`Feed::hear`].
    #[inline]
    pub(super) fn hear<'r>(&mut self, round: &'r Round, hub: &mut Hub, now: Tick) -> Option<&'r Shared> {
        let words = self.feed.hear(round, hub, self.notation)?;
        self.said = now;
        Some(words)
    }

    pub(super) fn on_news(&mut self, news: News<'_>, turn: &mut Turn<'_>) -> Next {
        match news {
            News::Events(round) => match self.feed.on_events(round, turn, self.notation) {
                Ok(true) => {
                    self.said = turn.now.tick;
                    Next::Same
                }
                Ok(false) => Next::Wait,
                Err(TooSlow) => self.end(turn, Why::TooSlow),
            },
            News::Draining => self.end(turn, Why::Draining),
            // Only long polls replace each other.
            News::Replaced => Next::Wait,
        }
    }

    pub(super) fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Next {
        if turn.now.tick >= self.ends {
            return self.end(turn, Why::LeaseOver);
        }
        self.feed.framing().say(turn, Opcode::Text, self.notation.heartbeat);
        self.note_what_was_said(turn);
        Next::Wait
    }

    fn end(&mut self, turn: &mut Turn<'_>, why: Why) -> Next {
        // Chunks have a last one; for HTTP/1.0 the end of the connection is the end.
        if self.feed.framing() == Framing::Chunk {
            turn.out.own.extend_from_slice(LAST_CHUNK);
        }
        Next::Close(why)
    }

    pub(super) fn is_behind(&self, hub: &Hub) -> bool {
        self.feed.is_behind(hub)
    }

    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        self.feed.catch_up(turn, self.notation);
        self.note_what_was_said(turn);
    }

    fn note_what_was_said(&mut self, turn: &Turn<'_>) {
        if !turn.out.is_empty() {
            self.said = turn.now.tick;
        }
    }

    pub(super) fn deadline(&self, settings: &Settings, blocked: bool) -> Option<Deadline> {
        let heartbeat = self.said + settings.ping_interval;
        if self.ends != NEVER && (blocked || self.ends <= heartbeat) {
            return Some(Deadline { at: self.ends, kind: Due::Lease });
        }
        (!blocked).then_some(Deadline { at: heartbeat, kind: Due::Ping })
    }

    pub(super) fn seat(&self) -> Seat {
        self.feed.seat(self.notation)
    }
}

/// 90 % to 110 % of a span, by a number from 0 to 2000.
fn vary(span: Duration, chance: u64) -> Duration {
    span.mul_f64(0.9 + chance as f64 / 10_000.0)
}
