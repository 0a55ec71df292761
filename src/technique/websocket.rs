//! WebSocket: the same TCP connection with other words on it (RFC 6455).
//!
//! `/ws` greets, publishes what it is sent, and says what is published; `/echo` says what it hears.

use super::feed::{Feed, Notation, TooSlow};
use super::framing::Framing;
use super::round::Round;
use super::{Deadline, Due, Hub, Name, News, Next, Seat, Technique, Turn, Why, object};
use crate::buffer::Shared;
use crate::channel::{Audience, ChannelId, Data, Since};
use crate::http::response::{Content, Fields};
use crate::http::{Manner, Status};
use crate::settings::Settings;
use crate::tick::Tick;
use crate::websocket::close::{Code, Violation};
use crate::websocket::frame::{self, Opcode};
use crate::websocket::handshake::Handshake;
use crate::websocket::message::{Reader, Said};
use std::time::Duration;

/// Messages. A silence is broken by a ping, which is a frame and no message.
static MESSAGES: Notation = Notation {
    technique: Name::WebSocket,
    audience: Audience::WebSocket,
    write_place: |out, cursor, missed, _| object::write_welcome(out, cursor, missed),
    write_event: object::write_event,
    heartbeat: b"",
};

/// How long the peer may take for its half of the closing handshake.
const CLOSING: Duration = Duration::from_secs(5);

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket {
    reader: Reader,
    /// What it is subscribed to; `None` on `/echo`.
    feed: Option<Feed>,
    /// How messages go out: as they are, or compressed.
    framing: Framing,
    state: State,
    /// When that state began.
    since: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The peer was heard of.
    Open,
    /// It was asked whether it is there.
    Pinged,
    /// Our Close frame is out, because the server is going away; the peer's is awaited, and nothing
    /// else matters.
    Closing,
}

impl WebSocket {
    /// Answers an opening handshake; with a channel it is subscribed to it, else it echoes.
    pub(super) fn begin(
        turn: &mut Turn<'_>,
        manner: &Manner,
        handshake: &Handshake,
        subscription: Option<(ChannelId, Option<Since>)>,
    ) -> Next {
        let extensions = handshake.deflate.map(|agreement| agreement.answer());
        let fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", handshake.accept.as_str()),
            ("Sec-WebSocket-Extensions", extensions.as_deref().unwrap_or_default()),
        ];
        let fields = if extensions.is_some() { &fields[..] } else { &fields[..3] };
        turn.answer(manner, Status::SwitchingProtocols, Fields::own(fields), Content::Empty);
        let framing =
            handshake.deflate.map_or(Framing::Frames, |agreement| Framing::Deflated(agreement.window_bits));
        let feed = subscription.map(|(channel, since)| Feed::open(turn, &MESSAGES, framing, channel, since));
        let (reader, since) = (Reader::default(), turn.now.tick);
        turn.becomes(Technique::WebSocket(WebSocket { reader, feed, framing, state: State::Open, since }))
    }

    /// Hears as many whole messages as have come, one after the other, until one of them changes what it is, enough is
    /// said, or something else follows. (In a function of its own, so that this loop has the processor's registers to
    /// itself.)
    #[inline(never)]
    pub(super) fn on_bytes(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> (usize, Next) {
        if self.state == State::Closing {
            return self.on_other_bytes(State::Closing, bytes, turn);
        }
        let before = std::mem::replace(&mut self.state, State::Open);
        self.since = turn.now.tick;
        let max_message = turn.hub.settings.max_message;
        let mut used = 0;
        loop {
            let rest = &mut bytes[used..];
            let said = match self.reader.whole(rest, max_message) {
                Ok(Some((more, said))) => {
                    used += more;
                    said
                }
                Ok(None) => {
                    let (more, next) = self.on_other_bytes(before, rest, turn);
                    return (used + more, next);
                }
                Err(violation) => return (used, self.refuse(violation, turn)),
            };
            match self.on_said(said, turn) {
                Next::Wait if used < bytes.len() && !turn.out.is_a_mouthful() => {}
                Next::Wait if before == State::Open => return (used, Next::Same),
                next => return (used, next),
            }
        }
    }

    /// Hears one thing that is no whole message in one frame: a part of a message, a compressed one, a control frame.
    /// Who is closing hears everything so.
    #[inline(never)]
    fn on_other_bytes(&mut self, before: State, bytes: &mut [u8], turn: &mut Turn<'_>) -> (usize, Next) {
        let deflate = matches!(self.framing, Framing::Deflated(_)).then_some(&mut turn.hub.deflate);
        let mut room = Vec::new();
        let (used, said) = match self.reader.next(bytes, turn.hub.settings.max_message, deflate, &mut room) {
            Ok(read) => read,
            Err(violation) => return (0, self.refuse(violation, turn)),
        };
        // A part of a message; or there are too few bytes, and more must come.
        let Some(said) = said else { return (used, Next::Wait) };
        if before == State::Closing {
            let next = if let Said::Close(_) = said { Next::Close(Why::Draining) } else { Next::Wait };
            return (used, next);
        }
        match self.on_said(said, turn) {
            Next::Wait if before == State::Open => (used, Next::Same),
            next => (used, next),
        }
    }

    #[inline(always)]
    fn on_said(&mut self, said: Said<'_>, turn: &mut Turn<'_>) -> Next {
        match said {
            Said::Text(text) => return self.on_text(text, turn),
            Said::Binary(payload) => {
                turn.hub.tally.hear(payload.len());
                if self.feed.is_some() {
                    let reason = "Events are text; send text messages here, or binary ones to /echo.";
                    return self.refuse(Violation { code: Code::UNSUPPORTED_DATA, reason }, turn);
                }
                self.framing.echo(turn, payload);
            }
            Said::Ping(payload) => frame::write(&mut turn.out.own, Opcode::Pong, payload),
            Said::Pong => {}
            Said::Close(code) => return answer_close(code, turn),
        }
        Next::Wait
    }

    /// Publishes it, or echoes it.
    #[inline(never)]
    fn on_text(&mut self, text: &str, turn: &mut Turn<'_>) -> Next {
        turn.hub.tally.hear(text.len());
        match &self.feed {
            None => self.framing.say(turn, Opcode::Text, text.as_bytes()),
            Some(feed) => {
                if turn.publish(feed.channel(), Data::Text(text.into())).is_none() {
                    let reason = "Your address publishes faster than --publish-rate allows.";
                    return self.refuse(Violation { code: Code::POLICY_VIOLATION, reason }, turn);
                }
            }
        }
        Next::Wait
    }

    /// Fails the connection (RFC 6455 §7.1.7): says why, and listens no longer.
    fn refuse(&mut self, violation: Violation, turn: &mut Turn<'_>) -> Next {
        if self.state == State::Closing {
            return Next::Close(Why::Draining);
        }
        frame::write_close(&mut turn.out.own, violation.code, violation.reason);
        Next::Close(Why::Violation(violation.code))
    }

    /// What is news to all who are up to date, if it was told before: see [`Feed::hear`]. (Who is closing has
    /// no seat, and is told nothing.)
    #[inline]
    pub(super) fn hear<'r>(&mut self, round: &'r Round, hub: &mut Hub) -> Option<&'r Shared> {
        self.feed.as_mut()?.hear(round, hub, &MESSAGES)
    }

    pub(super) fn on_news(&mut self, news: News<'_>, turn: &mut Turn<'_>) -> Next {
        match (news, &mut self.feed) {
            (News::Events(round), Some(feed)) => match feed.on_events(round, turn, &MESSAGES) {
                Ok(true) => return Next::Same,
                Ok(false) => {}
                Err(TooSlow) => {
                    let reason = "You read too slowly; come again with the cursor of your last event.";
                    frame::write_close(&mut turn.out.own, Code::TRY_AGAIN_LATER, reason);
                    return Next::Close(Why::TooSlow);
                }
            },
            (News::Draining, _) if self.state != State::Closing => {
                frame::write_close(&mut turn.out.own, Code::GOING_AWAY, "The server is going away.");
                (self.state, self.since) = (State::Closing, turn.now.tick);
            }
            _ => {}
        }
        Next::Wait
    }

    pub(super) fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Next {
        match self.state {
            State::Open => {
                frame::write(&mut turn.out.own, Opcode::Ping, b"");
                (self.state, self.since) = (State::Pinged, turn.now.tick);
                Next::Wait
            }
            State::Pinged => Next::Close(Why::NoPong),
            State::Closing => Next::Close(Why::Draining),
        }
    }

    /// Time begins again: until now nothing could be read, a pong neither.
    pub(super) fn begin_again(&mut self, now: Tick) {
        if self.state != State::Closing {
            self.since = now;
        }
    }

    pub(super) fn is_behind(&self, hub: &Hub) -> bool {
        let is_open = self.state != State::Closing;
        is_open && self.feed.as_ref().is_some_and(|feed| feed.is_behind(hub))
    }

    pub(super) fn catch_up(&mut self, turn: &mut Turn<'_>) {
        if let Some(feed) = &mut self.feed {
            feed.catch_up(turn, &MESSAGES);
        }
    }

    pub(super) fn deadline(&self, settings: &Settings, blocked: bool) -> Option<Deadline> {
        let after = |span, kind| Some(Deadline { at: self.since + span, kind });
        match self.state {
            State::Closing => after(CLOSING, Due::Closing),
            // A pong could not be read, for it is not read while this lasts.
            _ if blocked => None,
            State::Open => after(settings.ping_interval, Due::Ping),
            State::Pinged => after(settings.ping_interval, Due::Pong),
        }
    }

    pub(super) fn seat(&self) -> Option<Seat> {
        let feed = self.feed.as_ref().filter(|_| self.state != State::Closing)?;
        Some(feed.seat(&MESSAGES))
    }
}

/// The other half of the closing handshake: the same code back (RFC 6455 §5.5.1). The server then
/// closes the connection first (§7.1.1).
fn answer_close(code: Option<Code>, turn: &mut Turn<'_>) -> Next {
    match code {
        Some(code) => frame::write_close(&mut turn.out.own, code, ""),
        None => frame::write(&mut turn.out.own, Opcode::Close, b""),
    }
    Next::Close(Why::WebSocketClosed(code))
}
