//! Why a connection is of no use any more, in words for a person.

use crate::websocket::close::Code;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a connection is of no use any more.
#[derive(Debug)]
pub enum Why {
    /// It cannot be made.
    Unreachable,
    /// It ended in the middle of something.
    Cut,
    /// The server ended a stream.
    Ended,
    /// The server closed the WebSocket, with this code.
    Closed(Option<Code>),
    /// The server is going away.
    Draining,
    /// Another long poll of the same name took this one's place.
    Replaced,
    /// Nothing was heard for longer than a living server is silent.
    Silent,
    /// There was no answer in time.
    NoAnswer,
    /// The server answered, but not with what was asked for.
    Refused(Box<Refusal>),
    /// The server says what doorbell does not say.
    Broken(&'static str),
}

/// An answer that is a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The words beside it.
    pub reason: String,
    /// What to do about it, from `application/problem+json` (RFC 9457).
    pub detail: Option<String>,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Whether the same question may find a better answer later.
    pub fn may_pass(&self) -> bool {
        self.retry_after.is_some() || matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
    }
}

impl Why {
    /// One line that says why it cannot go on, and what to do. `error` is that of the connection that could not be
    /// made.
    pub fn explain(&self, host: &str, error: Option<&io::Error>) -> String {
        match self {
            Why::Unreachable => match error {
                Some(error) => unreachable(host, error),
                None => unreachable(host, &io::ErrorKind::TimedOut.into()),
            },
            Why::Refused(refusal) if refusal.detail.is_none() => {
                format!("http://{host} answered {refusal}; check that a doorbell server is there")
            }
            Why::Refused(refusal) => format!("http://{host} answered {refusal}"),
            Why::Broken(what) => format!("http://{host} is no doorbell server: {what}; check the address"),
            other => format!("http://{host}: {other}"),
        }
    }
}

/// That nobody is there, and what to do.
pub fn unreachable(host: &str, error: &io::Error) -> String {
    format!(
        "cannot connect to http://{host}: {error}; start a server there with doorbell serve, or check the address"
    )
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Unreachable => "the server cannot be reached",
            Why::Cut => "the connection was cut",
            Why::Ended => "the server ended the stream",
            Why::Closed(Some(code)) => return write!(f, "the server closed the WebSocket with {}", code.0),
            Why::Closed(None) => "the server closed the WebSocket",
            Why::Draining => "the server is going away",
            Why::Replaced => "another long poll of this name took its place",
            Why::Silent => "the server has fallen silent",
            Why::NoAnswer => "the server does not answer",
            Why::Refused(refusal) => return write!(f, "the server answered {refusal}"),
            Why::Broken(what) => return write!(f, "this is no doorbell server: {what}"),
        })
    }
}
