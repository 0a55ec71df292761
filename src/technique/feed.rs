//! A subscriber that stays: what SSE, HTTP streaming and WebSocket have in common.
//!
//! It knows the number of the last event that it has said, and nothing else. Who is up to date gets
//! the bytes that all get. Who came with an old cursor, and reads its way through the history, is fed
//! from there as fast as it takes it; what is published meanwhile waits its turn in the history.

use super::framing::Framing;
use super::round::{Form, Round};
use super::{Hub, Name, Seat, Turn};
use crate::buffer::{Encoded, Shared};
use crate::channel::{Audience, ChannelId, Cursor, Event, Place, Since};
use crate::websocket::frame::Opcode;

/// How many bytes of history are said at a time. The rest follows when these have been taken.
const HELPING: usize = 64 * 1024;

/// How events are written down for those who follow: each technique has its own.
#[derive(Debug)]
pub(super) struct Notation {
    /// Whose it is, as it is counted.
    pub(super) technique: Name,
    /// Whose it is, as the publisher is told.
    pub(super) audience: Audience,
    /// Writes where the reader stands, whether it has missed something, and a number from 0 to 999 by
    /// chance.
    pub(super) write_place: fn(&mut Vec<u8>, Cursor, bool, u64),
    /// Writes an event.
    pub(super) write_event: fn(&mut Vec<u8>, Cursor, &Event),
    /// What an answer without end says to break a silence.
    pub(super) heartbeat: &'static [u8],
}

/// A place in a channel that moves on.
#[derive(Debug)]
pub(super) struct Feed {
    channel: ChannelId,
    /// What is put around what is said.
    framing: Framing,
    /// What waits to be sent, if something does, is history.
    fed: bool,
    heard: u64,
}

/// It does not read, and more waits than may wait.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Feed {
    /// Opens a feed: says where it stands, then as much of the history as is wanted.
    pub(super) fn open(
        turn: &mut Turn<'_>,
        notation: &Notation,
        framing: Framing,
        channel: ChannelId,
        since: Option<Since>,
    ) -> Feed {
        let news = turn.hub.channels.get(channel);
        let place = since.map_or(news.from_now(), |since| news.from(since));
        let mut feed = Feed { channel, framing, fed: false, heard: place.heard };
        feed.say_place(turn, notation, place);
        feed.catch_up(turn, notation);
        feed
    }

    /// The channel that it follows.
    pub(super) fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Its seat in that channel.
    pub(super) fn seat(&self, notation: &Notation) -> Seat {
        Seat { channel: self.channel, audience: notation.audience, browser: None }
    }

    /// What is put around what is said.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether there is history that was not said yet.
    pub(super) fn is_behind(&self, hub: &Hub) -> bool {
        self.heard < hub.channels.get(self.channel).last()
    }

    /// Says the next helping of history. If it is kept no longer, says that events were missed, and
    /// goes on with what is kept.
    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>, notation: &Notation) {
        let channel = turn.hub.channels.get(self.channel);
        if !channel.reaches_back_to(self.heard) {
            let place = Place { missed: true, ..channel.from(Since::Start) };
            self.heard = place.heard;
            self.say_place(turn, notation, place);
        }
        if self.is_behind(turn.hub) {
            let (helping, last) = self.encode(turn.hub, notation, HELPING);
            turn.out.own.extend_from_slice(&helping.bytes);
            turn.out.payload += helping.payload;
            self.fed = true;
            self.move_to(last, turn, notation);
        }
    }

    /// What was published, if it is up to date and somebody was told the same before: from here on it counts as
    /// said. This is how all but the first of a crowd hear of something.
    #[inline]
    pub(super) fn hear<'r>(
        &mut self,
        round: &'r Round,
        hub: &mut Hub,
        notation: &Notation,
    ) -> Option<&'r Shared> {
        if self.heard != round.heard || self.fed {
            return None;
        }
        let (bytes, last) = round.known(self.form(notation))?;
        hub.tally.deliver(notation.technique, last - self.heard);
        self.heard = last;
        Some(bytes)
    }

    #[inline]
    fn form(&self, notation: &Notation) -> Form {
        Form::Words { technique: notation.technique, framing: self.framing }
    }

    /// Says what was published, if it is up to date; whether it was.
    pub(super) fn on_events(
        &mut self,
        round: &mut Round,
        turn: &mut Turn<'_>,
        notation: &Notation,
    ) -> Result<bool, TooSlow> {
        if self.heard != round.heard {
            // Behind, and fed from the history; or subscribed in the middle of this very turn.
            return Ok(false);
        }
        if self.fed && turn.backlog > 0 {
            // It reads history still, which is never a reason to let it go: so this is history too.
            return Ok(false);
        }
        self.fed = false;
        let (bytes, last) = round.bytes(self.form(notation), || self.encode(turn.hub, notation, usize::MAX));
        if turn.backlog > 0 && turn.backlog + bytes.len() > turn.hub.settings.outbox_limit {
            return Err(TooSlow);
        }
        turn.out.shared = Some(bytes);
        self.move_to(last, turn, notation);
        Ok(true)
    }

    fn move_to(&mut self, last: u64, turn: &mut Turn<'_>, notation: &Notation) {
        turn.hub.tally.deliver(notation.technique, last - self.heard);
        self.heard = last;
    }

    fn say_place(&self, turn: &mut Turn<'_>, notation: &Notation, place: Place) {
        let cursor = turn.hub.channels.get(self.channel).cursor(place.heard);
        let mut words = Vec::new();
        (notation.write_place)(&mut words, cursor, place.missed, turn.hub.random.below(1000));
        self.framing.say(turn, Opcode::Text, &words);
    }

    /// The events that were not said yet, until they are more than `most` bytes; and the last one's
    /// number.
    fn encode(&self, hub: &mut Hub, notation: &Notation, most: usize) -> (Encoded, u64) {
        let (mut out, mut words, mut last) = (Encoded::default(), Vec::new(), self.heard);
        for (id, event) in hub.channels.get(self.channel).after(self.heard) {
            (notation.write_event)(&mut words, id, event);
            last = id.seq;
            // A chunk goes around all of them, a frame around each.
            if !matches!(self.framing, Framing::Chunk) {
                self.framing.write(&mut out, Opcode::Text, &words, &mut hub.deflate);
                words.clear();
            }
            if out.bytes.len() + words.len() >= most {
                break;
            }
        }
        if matches!(self.framing, Framing::Chunk) {
            self.framing.write(&mut out, Opcode::Text, &words, &mut hub.deflate);
        }
        (out, last)
    }
}
