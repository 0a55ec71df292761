//! What the bytes mean: the techniques by which a client learns of news.
//!
//! The rules of this folder:
//!
//! - A technique knows no socket, no clock, no log and no other connection. Bytes, time and news
//!   come in through a [`Turn`]; bytes and a [`Next`] go out.
//! - Four things happen to a conversation: [`Conversation::on_bytes`], [`Conversation::on_eof`],
//!   [`Conversation::on_news`], [`Conversation::on_deadline`]. Three questions are asked of it:
//!   [`Conversation::deadline`], [`Conversation::subscribed`], [`Conversation::name`].
//! - Nobody here arms a timer, subscribes, asks for readiness or closes a socket. All of that is
//!   derived from the state after each reaction, in `Server::settle`; so it cannot be forgotten.
//!
//! | technique | file | between two events the server holds |
//! | --- | --- | --- |
//! | short polling | `short_poll.rs` | nothing |
//! | long polling | `long_poll.rs` | a parked request: a connection, a timer, a seat in the channel |
//! | HTTP streaming | `stream.rs` | an answer without end |
//! | Server-Sent Events | `sse.rs` | the same, in another notation |
//! | WebSocket | `websocket.rs` | a connection that speaks another protocol now |

mod conversation;
mod endless;
mod exchange;
mod feed;
mod framing;
mod hub;
mod long_poll;
mod object;
mod publish;
mod round;
mod short_poll;
mod sse;
mod stream;
mod tally;
mod websocket;
mod wish;

pub use conversation::{After, Conversation};
pub use hub::{BrowserKey, Hub, Turn};
pub use round::Round;
pub use tally::Tally;

use crate::channel::{Audience, ChannelId};
use crate::http::Manner;
use crate::http::problem::Status;
use crate::http::router::Report;
use crate::tick::Tick;
use crate::websocket::close::Code;

/// What a conversation speaks at present.
#[derive(Debug)]
enum Technique {
    /// HTTP, between one answer and the next.
    Exchange(exchange::Exchange),
    LongPoll(long_poll::LongPoll),
    Stream(endless::Endless),
    Sse(endless::Endless),
    WebSocket(websocket::WebSocket),
}

/// What a reaction leads to.
#[derive(Debug)]
enum Next {
    /// Nothing: the state is as it should be.
    Wait,
    /// Nothing at all: what was said is all there is to tell of. Seat, name, appetite and the kind of the
    /// deadline are what they were, and the deadline itself is no earlier.
    Same,
    /// Another technique from here on: the one that was put down in [`Turn::becomes`].
    Become,
    /// The answer that was owed is out; the next request is awaited.
    Answered,
    /// An answer that only the server itself can give.
    Report(Box<Question>),
    /// The end, once what is to be said has been sent.
    Close(Why),
}

/// What is asked of the server itself, and how it is to be answered.
#[derive(Debug)]
pub struct Question {
    /// What.
    pub report: Report,
    /// How.
    pub manner: Manner,
}

/// The techniques by name, as logs, metrics and `/kernel` say them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Name {
    /// No technique yet, or an answer that belongs to none.
    Http,
    ShortPoll,
    LongPoll,
    Stream,
    Sse,
    WebSocket,
}

impl Name {
    /// Every name.
    pub const ALL: [Name; 6] =
        [Name::Http, Name::ShortPoll, Name::LongPoll, Name::Stream, Name::Sse, Name::WebSocket];

    /// As users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Http => "http",
            Name::ShortPoll => "short_poll",
            Name::LongPoll => "long_poll",
            Name::Stream => "stream",
            Name::Sse => "sse",
            Name::WebSocket => "websocket",
        }
    }
}

/// What a conversation is to hear of.
#[derive(Debug)]
pub enum News<'a> {
    /// Events were published in the channel that it is subscribed to.
    Events(&'a mut Round),
    /// Another long poll of the same browser took its place (RFC 6202 §5.1).
    Replaced,
    /// The server is going away.
    Draining,
}

/// A seat that a conversation holds: which channel, as what, and for which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The channel.
    pub channel: ChannelId,
    /// Among whom it is counted.
    pub audience: Audience,
    /// Whose long poll it is, if that is known.
    pub browser: Option<BrowserKey>,
}

/// When something is due, and what: the timer is moved forward at once and back only when the kind
/// changes, so that a deadline which merely moves on costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Tick,
    /// What for.
    pub kind: Due,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The whole head of a request.
    Head,
    /// The whole body of a request.
    Body,
    /// The next request.
    Idle,
    /// The end of a long poll's hold.
    Hold,
    /// A heartbeat or a ping.
    Ping,
    /// The pong to it.
    Pong,
    /// The end of a stream's lease.
    Lease,
    /// The peer's half of a closing handshake.
    Closing,
    /// Room for what waits to be written.
    Stall,
    /// The end of a connection that is being left.
    Leave,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The client closed it.
    ClientClosed,
    /// The client closed it in the middle of a request.
    CutShort,
    /// The last answer was given, and no other request was wanted.
    Answered,
    /// A request was refused and nobody knows where the next would begin.
    Refused(Status),
    /// Nothing was ever said.
    SaidNothing,
    /// No further request came.
    Idle,
    /// The WebSocket was closed with this code, if one was given.
    WebSocketClosed(Option<Code>),
    /// The peer broke the WebSocket protocol, or a limit.
    Violation(Code),
    /// No pong came back.
    NoPong,
    /// It did not read, and more would have waited than `--outbox-limit`.
    TooSlow,
    /// It took nothing at all for `--idle-timeout`.
    Stalled,
    /// The stream's lease was over.
    LeaseOver,
    /// The server is going away.
    Draining,
    /// The drain was over before the client left.
    DrainOver,
    /// The socket failed: errno.
    Failed(i32),
    /// There was no room for it.
    NoRoom,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Why::ClientClosed => "client closed",
            Why::CutShort => "client closed in the middle of a request",
            Why::Answered => "answered, and no more was wanted",
            Why::Refused(status) => return write!(f, "refused with {}", status.code()),
            Why::SaidNothing => "client said nothing",
            Why::Idle => "idle",
            Why::WebSocketClosed(Some(code)) => {
                return write!(f, "websocket closed with {}", code.0);
            }
            Why::WebSocketClosed(None) => "websocket closed without a code",
            Why::Violation(code) => return write!(f, "websocket refused with {}", code.0),
            Why::NoPong => "no pong came back",
            Why::TooSlow => "read too slowly: more than --outbox-limit was waiting",
            Why::Stalled => "took nothing for --idle-timeout",
            Why::LeaseOver => "the lease of the stream was over",
            Why::Draining => "the server is going away",
            Why::DrainOver => "did not leave within --drain-timeout",
            Why::Failed(errno) => return write!(f, "the socket failed with errno {errno}"),
            Why::NoRoom => "no room",
        };
        f.write_str(text)
    }
}

impl Why {
    /// Whether the peer may still be sending, so that closing at once could cost it our last words:
    /// unread bytes turn a close into a reset, and a reset throws away what the peer has not read
    /// yet (RFC 9112 §9.6).
    pub fn lingers(self) -> bool {
        matches!(self, Why::Refused(_) | Why::Violation(_) | Why::TooSlow | Why::NoRoom | Why::Draining)
    }
}
