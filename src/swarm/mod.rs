//! A crowd of clients in one thread, to see what a server does with it.
//!
//! The rules of this folder:
//!
//! - Every client is a [`crate::client::Follower`], exactly as in `doorbell watch`; what is added is that there
//!   are many, and that what they hear is judged: `figures.rs` looks at the numbers of the events of each one.
//! - A crowd is for one's own machine. It is let loose on loopback addresses only.
//! - An idle client owns an entry in a list, a timer and a socket, and no buffer.
//!
//! A run has four phases: it *gathers*, so many a second; it *stays*, and publishes if it is to; it *settles*, until
//! everybody has heard the last event; and it *leaves*. A signal makes it leave at once, and what was measured is
//! told all the same.

mod bar;
mod crowd;
mod figures;
mod member;
mod news;
mod report;
mod sources;

pub use crowd::{Swarm, room_for};
pub use figures::Figures;
pub use report::Report;

use crate::channel::ChannelName;
use crate::client::{Target, Via};
use std::time::Duration;

/// How a crowd behaves once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As clients should.
    Well,
    /// It stays well, and then vanishes: a reset for each connection.
    Vanish,
    /// It stops reading and answering.
    Freeze,
    /// It reads a few bytes a second.
    Slow,
}

/// What a crowd is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to go; each address is loopback.
    pub target: Target,
    /// What to follow.
    pub channel: ChannelName,
    /// How.
    pub via: Via,
    /// How many there are.
    pub clients: u32,
    /// How many of them connect in a second.
    pub ramp: u32,
    /// How long they stay once they are there.
    pub stay: Duration,
    /// How many events are published in a second meanwhile.
    pub publish: Option<u32>,
    /// How large these are at least, in bytes.
    pub size: usize,
    /// The time between two short polls of one client.
    pub interval: Duration,
    /// How long a long poll asks to be parked.
    pub hold: Duration,
    /// How they behave.
    pub manner: Manner,
}
