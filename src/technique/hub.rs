//! What all conversations of a server share, and what one of them may touch in a turn of the loop.

use super::{Next, Tally, Technique};
use crate::buffer::Outgoing;
use crate::channel::{ChannelId, Channels, Cursor, Data, Delivered, Epoch};
use crate::http::response::{self, Content, Fields, Heads};
use crate::http::{Manner, Problem, Status};
use crate::random::Random;
use crate::rate::RateLimit;
use crate::settings::Settings;
use crate::tick::Now;
use crate::websocket::deflate::Deflate;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU64;

/// What all conversations share.
#[derive(Debug)]
pub struct Hub {
    /// The limits and times.
    pub settings: Settings,
    /// The channels, with their events and subscribers.
    pub channels: Channels,
    /// The counts.
    pub tally: Tally,
    /// Whether the server is going away: every answer is then the last on its connection.
    pub draining: bool,
    pub(super) deflate: Deflate,
    rate: Option<RateLimit>,
    pub(super) random: Random,
    heads: Heads,
    secret: u64,
}

/// A browser and the channel that it polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrowserKey(NonZeroU64);

impl Hub {
    /// A server that has just started. The seed draws the epoch and all chance after it.
    pub fn new(settings: Settings, seed: u64) -> Hub {
        Hub {
            rate: settings.publish_rate.map(RateLimit::new),
            settings,
            channels: Channels::new(Epoch::draw(seed)),
            tally: Tally::default(),
            draining: false,
            deflate: Deflate::default(),
            random: Random::new(seed),
            heads: Heads::default(),
            secret: seed,
        }
    }

    /// Writes an answer.
    #[inline(always)]
    pub(super) fn write_answer(
        &mut self,
        out: &mut Vec<u8>,
        now: Now,
        manner: &Manner,
        status: Status,
        fields: Fields<'_>,
        content: Content<'_>,
    ) {
        let origin = manner.cors.allows(&self.settings.allow_origin);
        response::write(out, manner, status, (&mut self.heads, now.wall), origin, fields, content);
    }

    /// Who polls where: told apart by 64 bits that nobody can aim at without knowing the seed.
    pub(super) fn browser_key(&self, channel: ChannelId, browser: &str) -> BrowserKey {
        let mut hasher = DefaultHasher::new();
        (self.secret, channel, browser).hash(&mut hasher);
        BrowserKey(NonZeroU64::MIN.saturating_add(hasher.finish()))
    }

    /// A cookie by which a browser is known from now on.
    pub(super) fn new_cookie(&mut self) -> String {
        format!("doorbell={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", self.random.browser_id())
    }
}

/// What one conversation may touch while it reacts.
#[derive(Debug)]
pub struct Turn<'a> {
    /// What it shares with all others.
    pub hub: &'a mut Hub,
    /// What time it is.
    pub now: Now,
    /// Where it says what it has to say.
    pub out: &'a mut Outgoing,
    /// How many bytes of what it said before are still waiting to be sent.
    pub backlog: usize,
    /// From where it speaks, if that has an address.
    pub from: Option<IpAddr>,
    /// What it speaks from here on, if that is another technique. (It lies here, and not in what is returned, for
    /// it is large, and would be carried through every call between a request and the conversation.)
    pub(super) becomes: Option<Technique>,
}

impl<'a> Turn<'a> {
    /// A turn in which nothing has happened yet.
    #[inline(always)]
    pub fn new(
        hub: &'a mut Hub,
        now: Now,
        out: &'a mut Outgoing,
        backlog: usize,
        from: Option<IpAddr>,
    ) -> Turn<'a> {
        Turn { hub, now, out, backlog, from, becomes: None }
    }

    /// It speaks another technique from here on.
    pub(super) fn becomes(&mut self, technique: Technique) -> Next {
        self.becomes = Some(technique);
        Next::Become
    }

    /// Answers a request, and counts it.
    pub(super) fn answer(
        &mut self,
        manner: &Manner,
        status: Status,
        fields: Fields<'_>,
        content: Content<'_>,
    ) {
        self.hub.tally.request(manner.path, status);
        if let (Content::Whole(_, body), false) = (content, manner.head_only) {
            self.out.payload += body.len();
        }
        self.hub.write_answer(&mut self.out.own, self.now, manner, status, fields, content);
    }

    /// Publishes, unless this address publishes faster than it may.
    pub(super) fn publish(&mut self, channel: ChannelId, data: Data) -> Option<(Cursor, Delivered)> {
        if let (Some(rate), Some(from)) = (&mut self.hub.rate, self.from)
            && !rate.take(from, self.now.tick)
        {
            return None;
        }
        Some(self.hub.channels.publish(channel, data, self.now.wall))
    }

    /// Answers a request with an error.
    pub(super) fn problem(&mut self, manner: &Manner, problem: &Problem) {
        let manner = Manner { keep_alive: manner.keep_alive && !problem.fatal, ..*manner };
        let body = problem.json();
        let content = Content::Whole("application/problem+json", &body);
        self.answer(&manner, problem.status, Fields::fixed(problem.fields), content);
    }
}
