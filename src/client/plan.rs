//! What a follower is told, and what it answers.

use super::Via;
use super::object::Event;
use super::why::Why;
use crate::channel::{ChannelName, Cursor, Since};
use crate::random::Random;
use crate::tick::Now;
use std::time::Duration;

/// What followers are to do; many may share one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What goes into `Host`.
    pub host: String,
    /// The channel.
    pub channel: ChannelName,
    /// How to hear of news; with `auto` what is tried first.
    pub via: Via,
    /// Whether to fall back: from a WebSocket to Server-Sent Events, and from these to long polling.
    pub auto: bool,
    /// Where to begin; without it from now on.
    pub since: Option<Since>,
    /// The time between two short polls.
    pub interval: Duration,
    /// How long a long poll asks to be parked.
    pub hold: Duration,
    /// How long a living server may be silent on a stream or a WebSocket.
    pub silence: Duration,
    /// How long a connection, and then a first answer, may take.
    pub opening: Duration,
    /// Whether long polls carry a name, so that one that was cut off is let go when the next one comes.
    pub named: bool,
    /// Whether a server that was never reached is waited for all the same.
    pub patient: bool,
}

/// What a follower needs of its surroundings each time.
pub struct Turn<'t> {
    /// What it is to do.
    pub plan: &'t Plan,
    /// What time it is.
    pub now: Now,
    /// Chance, for pauses and masks.
    pub random: &'t mut Random,
    /// What is to be sent.
    pub out: &'t mut Vec<u8>,
    /// Who listens.
    pub hear: &'t mut dyn FnMut(Heard<'_>),
}

/// What a follower tells.
#[derive(Debug)]
pub enum Heard<'h> {
    /// An event.
    Event(Event<'h>),
    /// The server says where the channel stands; each connection begins so.
    Place {
        /// Where we were before.
        had: Option<Since>,
        /// Where it goes on.
        cursor: Cursor,
        /// Something between the two is lost.
        missed: bool,
    },
    /// The connection is of no use any more, and there will be another after this pause.
    Cut(&'h Why, Duration),
    /// The technique does not work here; from now on it is this one.
    FellBack(&'h Why, Via),
}

/// What is to be done about the connection.
#[derive(Debug)]
#[must_use]
pub enum Order {
    /// Nothing: go on.
    Wait,
    /// Send what is to be sent, and let it go.
    Drop,
    /// Make one now.
    Connect,
    /// Let it go, and do not come again: it is over.
    Stop(Why),
    /// Let it go: we have taken our leave.
    Leave,
}
