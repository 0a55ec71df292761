//! A subscriber that stays: what SSE, HTTP streaming and WebSocket have in common.
//!
//! It knows the number of the last event that it has said, and nothing else. Who is up to date gets
//! the bytes that all get. Who came with an old cursor, and reads its way through the history, is fed
//! from there as fast as it takes it; what is published meanwhile waits its turn in the history.

use super::round::{Form, Round};
use super::{Hub, Name, Turn, sse, stream, websocket};
use crate::channel::{Audience, Channel, ChannelId, Place, Since};
use crate::http::response::write_chunk;

/// How many bytes of history are said at a time. The rest follows when these have been taken.
const HELPING: usize = 64 * 1024;

/// A place in a channel that moves on.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) channel: ChannelId,
    heard: u64,
}

/// It does not read, and more waits than may wait.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Feed {
    /// Opens a feed in this form: says where it stands, then as much of the history as is wanted.
    pub(super) fn open(turn: &mut Turn<'_>, form: Form, channel: ChannelId, since: Option<Since>) -> Feed {
        let news = turn.hub.channels.get(channel);
        let place = since.map_or(news.from_now(), |since| news.from(since));
        let mut feed = Feed { channel, heard: place.heard };
        feed.say_place(turn, form, place);
        feed.catch_up(turn, form);
        feed
    }

    /// Whether there is history that was not said yet.
    pub(super) fn is_behind(&self, hub: &Hub) -> bool {
        self.heard < hub.channels.get(self.channel).last()
    }

    /// Says the next helping of history. If it is kept no longer, says that events were missed, and
    /// goes on with what is kept.
    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>, form: Form) {
        let channel = turn.hub.channels.get(self.channel);
        if !channel.reaches_back_to(self.heard) {
            let place = Place { missed: true, ..channel.from(Since::Start) };
            self.heard = place.heard;
            self.say_place(turn, form, place);
        }
        if self.is_behind(turn.hub) {
            let (bytes, last) = encode(turn.hub.channels.get(self.channel), form, self.heard, HELPING);
            turn.out.own.extend_from_slice(&bytes);
            self.moved_to(last, turn, form);
        }
    }

    /// Says what was published, if it is up to date.
    pub(super) fn on_events(
        &mut self,
        round: &mut Round,
        turn: &mut Turn<'_>,
        form: Form,
    ) -> Result<(), TooSlow> {
        if self.heard != round.heard {
            // Behind, and fed from the history; or subscribed in the middle of this very turn.
            return Ok(());
        }
        let channel = turn.hub.channels.get(self.channel);
        let (bytes, last) = round.bytes(form, || encode(channel, form, self.heard, usize::MAX));
        if turn.backlog > 0 && turn.backlog + bytes.len() > turn.hub.settings.outbox_limit {
            return Err(TooSlow);
        }
        turn.out.shared = Some(bytes);
        self.moved_to(last, turn, form);
        Ok(())
    }

    fn moved_to(&mut self, last: u64, turn: &mut Turn<'_>, form: Form) {
        turn.hub.tally.deliver(form.technique(), last - self.heard);
        self.heard = last;
    }

    fn say_place(&self, turn: &mut Turn<'_>, form: Form, place: Place) {
        let cursor = turn.hub.channels.get(self.channel).cursor(place.heard);
        let mut words = Vec::new();
        match form {
            Form::Sse { .. } => {
                sse::write_place(&mut words, cursor, place.missed, turn.hub.random.below(1000))
            }
            Form::Stream { .. } => stream::write_place(&mut words, cursor, place.missed),
            Form::WebSocket => websocket::write_place(&mut words, cursor, place.missed),
            Form::LongPoll { .. } => {}
        }
        say(&mut turn.out.own, form, &words);
    }
}

/// Appends words in the framing of this form.
pub(super) fn say(out: &mut Vec<u8>, form: Form, words: &[u8]) {
    match form {
        Form::Sse { chunked: true } | Form::Stream { chunked: true } => write_chunk(out, words),
        _ => out.extend_from_slice(words),
    }
}

/// The events after number `heard`, until they are more than `most` bytes; and the last one's number.
fn encode(channel: &Channel, form: Form, heard: u64, most: usize) -> (Vec<u8>, u64) {
    let (mut words, mut last) = (Vec::new(), heard);
    for (id, event) in channel.after(heard) {
        match form {
            Form::Sse { .. } => sse::write_event(&mut words, id, event),
            Form::Stream { .. } => stream::write_event(&mut words, id, event),
            Form::WebSocket => websocket::write_event(&mut words, id, event),
            Form::LongPoll { .. } => {}
        }
        last = id.seq;
        if words.len() >= most {
            break;
        }
    }
    let mut bytes = Vec::with_capacity(words.len() + 16);
    say(&mut bytes, form, &words);
    (bytes, last)
}

impl Form {
    fn technique(self) -> Name {
        match self {
            Form::LongPoll { .. } => Name::LongPoll,
            Form::Sse { .. } => Name::Sse,
            Form::Stream { .. } => Name::Stream,
            Form::WebSocket => Name::WebSocket,
        }
    }

    /// Among whom a subscriber of this form is counted.
    pub(super) fn audience(self) -> Audience {
        match self {
            Form::LongPoll { .. } => Audience::LongPoll,
            Form::Sse { .. } => Audience::Sse,
            Form::Stream { .. } => Audience::Stream,
            Form::WebSocket => Audience::WebSocket,
        }
    }
}
