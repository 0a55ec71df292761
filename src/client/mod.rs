//! A client of doorbell: the other end of each technique.
//!
//! The rules of this folder:
//!
//! - What the bytes mean is a value again, as on the server: a [`Follower`] is told what came and what
//!   time it is, and answers with what is to be done about the connection. It sees no socket and no clock, so
//!   a whole life of cuts, refusals and restarts is tried in a test, byte by byte.
//! - A follower holds a cursor and lives longer than its connections: it goes on where it was, so that
//!   nothing is lost and nothing comes twice.
//! - [`watch`] and [`publish`] are the loops around it: one thread, one `multiplexer`, one `wheel`.
//!
//! From the bytes up: `answer.rs` (heads and bodies), `sse.rs`, `frames.rs` and `object.rs` (what is in them),
//! `talk.rs` (one connection), `follower.rs` (one connection after another).

mod answer;
mod backoff;
mod clock;
mod follower;
mod frames;
mod input;
mod link;
mod object;
mod output;
mod pace;
mod plan;
mod publish;
mod request;
mod sse;
mod standard;
mod talk;
mod target;
mod watch;
mod why;

pub use clock::Clock;
pub use follower::Follower;
pub use link::Link;
pub use object::{Data, Event};
pub use pace::Pace;
pub use plan::{Heard, Order, Plan, Turn};
pub use publish::{Publishing, publish};
pub use talk::{Means, Next, Talk};
pub use target::{Target, Url, channel};
pub use watch::{Watching, watch};
pub use why::{Refusal, Why, unreachable};

/// The techniques, by the names that users give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Ask, and be answered at once.
    ShortPoll,
    /// Ask, and be answered when there is news.
    LongPoll,
    /// One answer without end, a JSON object a line.
    Stream,
    /// One answer without end, as EventSource reads it.
    Sse,
    /// RFC 6455.
    WebSocket,
}

impl Via {
    /// All five.
    pub const ALL: [Via; 5] = [Via::ShortPoll, Via::LongPoll, Via::Stream, Via::Sse, Via::WebSocket];

    /// As it stands on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Via::ShortPoll => "short_poll",
            Via::LongPoll => "long_poll",
            Via::Stream => "stream",
            Via::Sse => "sse",
            Via::WebSocket => "websocket",
        }
    }

    /// Whether one request is answered with one answer, again and again.
    pub fn is_poll(self) -> bool {
        matches!(self, Via::ShortPoll | Via::LongPoll)
    }
}
