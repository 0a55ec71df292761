//! One round of telling: what was published in a channel since the last, encoded at most once for
//! each form in which subscribers take it.

use super::Name;
use super::framing::Framing;
use crate::buffer::{Encoded, Shared};
use crate::channel::ChannelId;
use crate::http::origin::Cors;

/// The forms in which events go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The answer to a long poll: whole, with its head.
    LongPoll {
        /// Whether the connection goes on.
        keep_alive: bool,
        /// Which page is allowed to read it.
        cors: Cors,
    },
    /// What is said to those who stay.
    Words {
        /// Whose notation it is.
        technique: Name,
        /// What is put around it.
        framing: Framing,
    },
}

/// What the subscribers of one channel are about to be told.
#[derive(Debug)]
pub struct Round {
    /// The channel.
    pub channel: ChannelId,
    /// Who is up to date has heard everything up to this number.
    pub heard: u64,
    encoded: Vec<(Form, Shared, u64)>,
}

impl Round {
    /// A round for all that was published after number `heard`.
    pub fn new(channel: ChannelId, heard: u64) -> Round {
        Round { channel, heard, encoded: Vec::new() }
    }

    /// The bytes in this form, if somebody has needed them already, and the number of the last event in them.
    #[inline]
    pub(super) fn known(&self, form: Form) -> Option<(&Shared, u64)> {
        // There are a handful of forms at most, so a search is quicker than a map.
        let found = self.encoded.iter().find(|(known, ..)| *known == form);
        found.map(|(_, bytes, last)| (bytes, *last))
    }

    /// The bytes in this form, and the number of the last event in them; `encode` makes both if
    /// nobody has needed them yet.
    pub(super) fn bytes(&mut self, form: Form, encode: impl FnOnce() -> (Encoded, u64)) -> (Shared, u64) {
        if let Some((bytes, last)) = self.known(form) {
            return (bytes.clone(), last);
        }
        let (encoded, last) = encode();
        let bytes = Shared::new(encoded);
        self.encoded.push((form, bytes.clone(), last));
        (bytes, last)
    }
}
