//! RFC 9112 and RFC 9110 as values: bytes in, values out, and answers as bytes again.
//!
//! The rules of this folder:
//!
//! - "Not enough yet" is a value, not an error. An error is a [`Problem`]: a status and one
//!   sentence on what to do.
//! - Where the RFC leaves a choice about what is ambiguous, the strict one is taken, because two
//!   readers who disagree about where a request ends can be played off against each other.
//! - Nothing here knows a socket, a clock or a channel's events.

pub mod body;
pub mod date;
mod line_ends;
pub mod origin;
pub mod path;
pub mod problem;
pub mod query;
pub mod request;
pub mod response;
pub mod router;
mod target;

pub use body::{Body, Framing};
pub use path::Path;
pub use problem::{Problem, Status};
pub use request::{Method, Request};
pub use response::Manner;
pub use router::{Ask, Browser, Route};
