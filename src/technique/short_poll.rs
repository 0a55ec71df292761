//! Short polling: the client asks, and is answered at once, news or none.
//!
//! Nothing is held between two requests, so there is no state here: only the answer, which a long
//! poll gives in the same form.

use super::{Name, Turn};
use crate::channel::{Channel, ChannelId, Place, Since};
use crate::http::response::{Content, Fields, NO_CACHE};
use crate::http::router::JSON;
use crate::http::{Manner, Status};

/// Why a poll is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing is there.
    Empty,
    /// The hold is over.
    Timeout,
    /// Another long poll of the same browser took its place.
    Replaced,
    /// The server is going away.
    Draining,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Empty => "empty",
            Kind::Timeout => "timeout",
            Kind::Replaced => "replaced",
            Kind::Draining => "draining",
        }
    }
}

/// How many bytes of events one answer holds at most; one event always fits.
const MOST_BYTES: usize = 256 * 1024;

/// Answers `GET /news`.
pub(super) fn answer(turn: &mut Turn<'_>, manner: &Manner, channel: ChannelId, since: Option<Since>) {
    let place = turn.hub.channels.get(channel).from(since.unwrap_or(Since::Start));
    answer_now(turn, manner, Name::ShortPoll, channel, place, None);
}

/// Answers a poll with what there is for it, or says that there is nothing.
pub(super) fn answer_now(
    turn: &mut Turn<'_>,
    manner: &Manner,
    technique: Name,
    channel: ChannelId,
    place: Place,
    cookie: Option<&str>,
) {
    let channel = turn.hub.channels.get(channel);
    let (body, last) = if place.heard == channel.last() {
        (empty(channel, Kind::Empty, place), place.heard)
    } else {
        events(channel, place)
    };
    turn.hub.tally.deliver(technique, last - place.heard);
    send(turn, manner, &body, cookie);
}

/// Sends the answer to a poll.
pub(super) fn send(turn: &mut Turn<'_>, manner: &Manner, body: &[u8], cookie: Option<&str>) {
    let content = Content::Whole(JSON, body);
    match cookie {
        None => turn.answer(manner, Status::Ok, NO_CACHE, content),
        Some(cookie) => {
            let own = [("Set-Cookie", cookie)];
            turn.answer(manner, Status::Ok, Fields { own: &own, ..NO_CACHE }, content);
        }
    }
}

/// The body of an answer without events.
pub(super) fn empty(channel: &Channel, kind: Kind, place: Place) -> Vec<u8> {
    body(channel, kind.as_str(), place.heard, place.missed, b"")
}

/// The body of an answer with the events after `place`, of which there are some; and the number of
/// the last one in it.
pub(super) fn events(channel: &Channel, place: Place) -> (Vec<u8>, u64) {
    let (mut list, mut last) = (Vec::new(), place.heard);
    for (id, event) in channel.after(place.heard) {
        let whole_events = list.len();
        list.extend_from_slice(if list.is_empty() { b"{" } else { b",{" });
        event.write_members(id, &mut list);
        list.push(b'}');
        if list.len() > MOST_BYTES && whole_events > 0 {
            list.truncate(whole_events);
            break;
        }
        last = id.seq;
    }
    (body(channel, "event", last, place.missed, &list), last)
}

fn body(channel: &Channel, kind: &str, last: u64, missed: bool, events: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(events.len() + 96);
    body.extend_from_slice(br#"{"type":""#);
    body.extend_from_slice(kind.as_bytes());
    body.extend_from_slice(br#"","cursor":""#);
    channel.cursor(last).write(&mut body);
    body.extend_from_slice(if missed { br#"","missed":true"# } else { br#"","missed":false"# });
    body.extend_from_slice(br#","events":["#);
    body.extend_from_slice(events);
    body.extend_from_slice(b"]}\n");
    body
}
