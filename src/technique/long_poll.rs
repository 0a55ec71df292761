//! Long polling: the answer is held back until there is news (RFC 6202 §2).
//!
//! A parked poll has three exits, and takes exactly one: an event, the end of its hold, or the
//! client going away. (Two more are the server's doing: another poll of the same browser takes its
//! place, or the server goes away.) While it is parked nothing happens: it is an fd that the kernel
//! watches, a timer on the wheel, and a seat in its channel.

use super::hub::BrowserKey;
use super::round::{Form, Round};
use super::short_poll::{self, Kind};
use super::{Deadline, Due, Name, News, Next, Seat, Technique, Turn, Why};
use crate::buffer::Encoded;
use crate::channel::{Audience, ChannelId, Place};
use crate::http::response::{Content, NO_CACHE};
use crate::http::router::{Ask, JSON};
use crate::http::{Browser, Manner, Status};
use crate::tick::Tick;
use std::time::Duration;

/// A parked long poll.
#[derive(Debug)]
pub(super) struct LongPoll {
    channel: ChannelId,
    /// The number of the last event that the client has.
    heard: u64,
    ends: Tick,
    manner: Manner,
    needs_cookie: bool,
    browser: Option<BrowserKey>,
}

/// Answers at once if there is something to say, and otherwise parks the request.
#[inline(always)]
pub(super) fn begin(
    turn: &mut Turn<'_>,
    manner: Manner,
    ask: &Ask,
    channel: ChannelId,
    hold: Duration,
    browser: &Browser,
) -> Next {
    let news = turn.hub.channels.get(channel);
    let place = ask.since.map_or(news.from_now(), |since| news.from(since));
    let poll = LongPoll {
        channel,
        heard: place.heard,
        ends: turn.now.tick + hold,
        manner,
        needs_cookie: !browser.has_cookie,
        browser: browser.id.as_deref().map(|id| turn.hub.browser_key(channel, id)),
    };
    if place.missed || place.heard < news.last() {
        poll.answer_now(turn, place)
    } else if turn.hub.draining {
        poll.answer(turn, Kind::Draining)
    } else if hold.is_zero() {
        poll.answer(turn, Kind::Timeout)
    } else {
        turn.becomes(Technique::LongPoll(poll))
    }
}

impl LongPoll {
    pub(super) fn on_news(&mut self, news: News<'_>, turn: &mut Turn<'_>) -> Next {
        self.manner.keep_alive &= !turn.hub.draining;
        match news {
            News::Events(round) => self.on_events(round, turn),
            News::Replaced => self.answer(turn, Kind::Replaced),
            News::Draining => self.answer(turn, Kind::Draining),
        }
    }

    /// The first exit: all who are parked here get the same bytes.
    fn on_events(&mut self, round: &mut Round, turn: &mut Turn<'_>) -> Next {
        if self.heard != round.heard {
            // Parked in the middle of this turn, behind some of its events.
            return self.on_late_events(turn);
        }
        let form = Form::LongPoll { keep_alive: self.manner.keep_alive, cors: self.manner.cors };
        let (bytes, last) = round.bytes(form, || self.encode(turn));
        turn.out.shared = Some(bytes);
        turn.hub.tally.deliver(Name::LongPoll, last - self.heard);
        turn.hub.tally.request(self.manner.path, Status::Ok);
        self.over()
    }

    fn on_late_events(&mut self, turn: &mut Turn<'_>) -> Next {
        let channel = turn.hub.channels.get(self.channel);
        if self.heard == channel.last() {
            return Next::Wait;
        }
        self.answer_now(turn, Place { heard: self.heard, missed: false })
    }

    /// The second exit. An event of this very turn goes before it, so that there is one answer.
    pub(super) fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Next {
        self.manner.keep_alive &= !turn.hub.draining;
        if self.heard < turn.hub.channels.get(self.channel).last() {
            return self.answer_now(turn, Place { heard: self.heard, missed: false });
        }
        self.answer(turn, Kind::Timeout)
    }

    fn answer_now(&self, turn: &mut Turn<'_>, place: Place) -> Next {
        let cookie = self.cookie(turn);
        short_poll::answer_now(turn, &self.manner, Name::LongPoll, self.channel, place, cookie.as_deref());
        self.over()
    }

    fn answer(&self, turn: &mut Turn<'_>, kind: Kind) -> Next {
        let place = Place { heard: self.heard, missed: false };
        let body = short_poll::empty(turn.hub.channels.get(self.channel), kind, place);
        let cookie = self.cookie(turn);
        short_poll::send(turn, &self.manner, &body, cookie.as_deref());
        self.over()
    }

    /// The bytes that wake everyone, and the number of the last event in them. No cookie: it would
    /// be everyone's.
    fn encode(&self, turn: &mut Turn<'_>) -> (Encoded, u64) {
        let place = Place { heard: self.heard, missed: false };
        let (body, last) = short_poll::events(turn.hub.channels.get(self.channel), place);
        let mut bytes = Vec::new();
        let content = Content::Whole(JSON, &body);
        turn.hub.write_answer(&mut bytes, turn.now, &self.manner, Status::Ok, NO_CACHE, content);
        (Encoded { bytes, payload: body.len() }, last)
    }

    fn cookie(&self, turn: &mut Turn<'_>) -> Option<String> {
        self.needs_cookie.then(|| turn.hub.new_cookie())
    }

    fn over(&self) -> Next {
        if self.manner.keep_alive { Next::Answered } else { Next::Close(Why::Answered) }
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline { at: self.ends, kind: Due::Hold }
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { channel: self.channel, audience: Audience::LongPoll, browser: self.browser }
    }
}
