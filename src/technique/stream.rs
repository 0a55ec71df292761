//! HTTP streaming: an answer without end (RFC 6202 §3), here with one JSON object a line. A message
//! ends at the newline and never at the edge of a chunk, for proxies cut chunks as they like.
//!
//! Server-Sent Events are the same with another notation, so what both do stands here.

use super::feed::{self, Feed};
use super::round::Form;
use super::{Deadline, Due, Hub, News, Next, Seat, Technique, Turn, Why};
use super::{sse, websocket};
use crate::channel::{ChannelId, Cursor, Event, Since};
use crate::http::response::{Content, LAST_CHUNK};
use crate::http::router::NDJSON;
use crate::http::{Manner, Status};
use crate::settings::Settings;
use crate::tick::Tick;
use std::time::Duration;

/// An open stream of lines.
#[derive(Debug)]
pub(super) struct Stream(pub(super) Endless);

/// What is said after a silent ping interval: an empty line.
const HEARTBEAT: &[u8] = b"\n";

impl Stream {
    /// Answers `GET /stream`.
    pub(super) fn begin(
        turn: &mut Turn<'_>,
        manner: &Manner,
        channel: ChannelId,
        since: Option<Since>,
    ) -> Next {
        let form = Form::Stream { chunked: manner.is_1_1 };
        Endless::say_head(turn, manner, NDJSON);
        let feed = Feed::open(turn, form, channel, since);
        Next::Become(Technique::Stream(Stream(Endless::new(turn, form, feed))))
    }
}

/// Says where the stream stands: the same object as on a WebSocket.
pub(super) fn write_place(out: &mut Vec<u8>, cursor: Cursor, missed: bool) {
    websocket::write_welcome(out, cursor, missed);
    out.push(b'\n');
}

/// Appends one event: the same object as on a WebSocket.
pub(super) fn write_event(out: &mut Vec<u8>, id: Cursor, event: &Event) {
    websocket::write_object(out, id, event);
    out.push(b'\n');
}

/// Later than anything.
const NEVER: Tick = Tick(u64::MAX);

/// An answer without end, in whatever notation.
#[derive(Debug)]
pub(super) struct Endless {
    feed: Feed,
    form: Form,
    /// When something was said last.
    said: Tick,
    /// When the lease is over; `NEVER` if there is none.
    ends: Tick,
}

impl Endless {
    /// The head of an answer without end. It is the last on its connection.
    pub(super) fn say_head(turn: &mut Turn<'_>, manner: &Manner, media_type: &str) {
        let fields = [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")];
        let manner = Manner { keep_alive: false, ..*manner };
        turn.answer(&manner, Status::Ok, &fields, Content::Streamed(media_type));
    }

    pub(super) fn new(turn: &mut Turn<'_>, form: Form, feed: Feed) -> Endless {
        let lease = turn.hub.settings.stream_lease;
        let ends = lease.map_or(NEVER, |lease| turn.now.tick + vary(lease, turn.hub.random.below(2001)));
        Endless { feed, form, said: turn.now.tick, ends }
    }

    pub(super) fn on_news(&mut self, news: News<'_>, turn: &mut Turn<'_>) -> Next {
        let why = match news {
            News::Events(round) => match self.feed.on_events(round, turn, self.form) {
                Ok(()) => {
                    self.said = turn.now.tick;
                    return Next::Wait;
                }
                Err(feed::TooSlow) => Why::TooSlow,
            },
            News::Draining => Why::Draining,
            // Only long polls replace each other.
            News::Replaced => return Next::Wait,
        };
        self.end(turn, why)
    }

    pub(super) fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Next {
        if turn.now.tick >= self.ends {
            return self.end(turn, Why::LeaseOver);
        }
        feed::say(&mut turn.out.own, self.form, self.heartbeat());
        self.said = turn.now.tick;
        Next::Wait
    }

    fn heartbeat(&self) -> &'static [u8] {
        if matches!(self.form, Form::Sse { .. }) { sse::HEARTBEAT } else { HEARTBEAT }
    }

    fn end(&mut self, turn: &mut Turn<'_>, why: Why) -> Next {
        if matches!(self.form, Form::Sse { chunked: true } | Form::Stream { chunked: true }) {
            turn.out.own.extend_from_slice(LAST_CHUNK);
        }
        Next::Close(why)
    }

    pub(super) fn is_behind(&self, hub: &Hub) -> bool {
        self.feed.is_behind(hub)
    }

    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        self.feed.catch_up(turn, self.form);
        self.said = turn.now.tick;
    }

    pub(super) fn deadline(&self, settings: &Settings, blocked: bool) -> Option<Deadline> {
        let heartbeat = self.said + settings.ping_interval;
        if self.ends != NEVER && (blocked || self.ends <= heartbeat) {
            return Some(Deadline { at: self.ends, kind: Due::Lease });
        }
        (!blocked).then_some(Deadline { at: heartbeat, kind: Due::Ping })
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { channel: self.feed.channel, audience: self.form.audience(), browser: None }
    }
}

/// 90 % to 110 % of a span, by a number from 0 to 2000.
fn vary(span: Duration, chance: u64) -> Duration {
    span.mul_f64(0.9 + chance as f64 / 10_000.0)
}
