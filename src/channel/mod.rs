//! Channels: who is told what, and what is kept for those who come later.
//!
//! The rules of this folder:
//!
//! - A channel numbers its events and keeps the newest of them. Whoever comes with a cursor gets
//!   every later event once and in order, or is told that some were missed; there is no third way.
//! - A subscriber is a seat number to a channel, no more: the slot of a connection in its table.
//! - Publishing tells nobody. It puts the channel on the list of those that *ring*; the loop then
//!   goes through their subscribers, once a turn.

mod cursor;
mod event;

pub use cursor::{Cursor, Epoch, Since};
pub use event::{Data, Event, write_json_string};

use crate::settings::Settings;
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;

/// Where a channel stands among all. (Counted from 1, so that an `Option` of it costs no space.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId(NonZeroU32);

impl ChannelId {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The name of a channel: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelName {
    length: u8,
    bytes: [u8; ChannelName::LONGEST],
}

impl ChannelName {
    const LONGEST: usize = 64;

    /// `lobby`, the channel of those who name none.
    pub const LOBBY: ChannelName = {
        let mut bytes = [0; ChannelName::LONGEST];
        bytes.split_at_mut(5).0.copy_from_slice(b"lobby");
        ChannelName { length: 5, bytes }
    };

    /// Reads a name; `None` if it is not of that form.
    pub fn parse(name: &str) -> Option<ChannelName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=ChannelName::LONGEST).contains(&name.len()) || !name.bytes().all(allowed) {
            return None;
        }
        let mut bytes = [0; ChannelName::LONGEST];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(ChannelName { length: name.len() as u8, bytes })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("OK because names are ASCII")
    }
}

impl Default for ChannelName {
    fn default() -> ChannelName {
        ChannelName::LOBBY
    }
}

impl std::fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The techniques that have subscribers. (A short poll is answered at once and waits for nothing.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Audience {
    LongPoll,
    Sse,
    Stream,
    WebSocket,
}

/// How many subscribers of each technique were there when an event was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered([u32; 4]);

impl Delivered {
    /// How many of one technique.
    pub fn of(self, audience: Audience) -> u32 {
        self.0[audience as usize]
    }
}

/// Where a reader stands when it comes with a cursor, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the last event that it has.
    pub heard: u64,
    /// Whether it must be told that events were missed.
    pub missed: bool,
}

/// One channel.
#[derive(Debug)]
pub struct Channel {
    name: ChannelName,
    epoch: Epoch,
    events: VecDeque<Event>,
    /// The number of the newest event; 0 if there was none yet.
    last: u64,
    /// The bytes of data in `events`.
    bytes: usize,
    /// From which number on the subscribers have not been told yet.
    unheard_from: Option<u64>,
    subscribers: Vec<u32>,
    audience: Delivered,
}

impl Channel {
    fn new(name: ChannelName, epoch: Epoch) -> Channel {
        Channel {
            name,
            epoch,
            events: VecDeque::new(),
            last: 0,
            bytes: 0,
            unheard_from: None,
            subscribers: Vec::new(),
            audience: Delivered::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The number of the newest event; 0 if there was none yet.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The cursor that stands at `seq`.
    pub fn cursor(&self, seq: u64) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    /// The number before the oldest event that is kept.
    fn before_kept(&self) -> u64 {
        self.last - self.events.len() as u64
    }

    /// Where a reader stands who has everything that happened so far.
    pub fn from_now(&self) -> Place {
        Place { heard: self.last, missed: false }
    }

    /// Where a reader stands who asks to go on from `since`. A cursor of another epoch, from before
    /// what is kept, or ahead of us has missed something, and gets all that is kept.
    pub fn from(&self, since: Since) -> Place {
        let kept = self.before_kept()..=self.last;
        match since {
            Since::Start => Place { heard: self.before_kept(), missed: false },
            Since::After(cursor) if cursor.epoch == self.epoch && kept.contains(&cursor.seq) => {
                Place { heard: cursor.seq, missed: false }
            }
            Since::After(_) => Place { heard: self.before_kept(), missed: true },
        }
    }

    /// The events after number `heard`, oldest first, with their ids. If some of them are kept no
    /// longer it starts with the oldest that is: ask [`Channel::from`] first.
    pub fn after(&self, heard: u64) -> impl Iterator<Item = (Cursor, &Event)> {
        let first = heard.max(self.before_kept());
        let skip = (first - self.before_kept()) as usize;
        (first + 1..).map(|seq| self.cursor(seq)).zip(self.events.iter().skip(skip))
    }

    /// Whether the event after number `heard` is still kept, or has yet to come.
    pub fn reaches_back_to(&self, heard: u64) -> bool {
        heard >= self.before_kept()
    }

    /// Who is subscribed.
    pub fn subscribers(&self) -> &[u32] {
        &self.subscribers
    }

    /// How many are subscribed, by technique.
    pub fn audience(&self) -> Delivered {
        self.audience
    }

    /// Seats a subscriber; returns its position, which it needs to leave.
    pub fn subscribe(&mut self, seat: u32, audience: Audience) -> u32 {
        self.audience.0[audience as usize] += 1;
        self.subscribers.push(seat);
        self.subscribers.len() as u32 - 1
    }

    /// Unseats the subscriber at `position`. Whoever was seated last takes that position; returned,
    /// to be told so.
    pub fn unsubscribe(&mut self, position: u32, audience: Audience) -> Option<u32> {
        self.audience.0[audience as usize] -= 1;
        self.subscribers.swap_remove(position as usize);
        self.subscribers.get(position as usize).copied()
    }

    fn publish(&mut self, data: Data, time: u64) -> Cursor {
        self.last += 1;
        self.bytes += data.as_str().len();
        self.events.push_back(Event { time, data });
        self.cursor(self.last)
    }

    /// Lets the oldest events go until what is kept is within the limits.
    fn forget_oldest(&mut self, settings: &Settings) {
        while self.events.len() > settings.history || self.bytes > settings.history_bytes {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.data.as_str().len();
        }
    }
}

/// All channels of one server.
#[derive(Debug)]
pub struct Channels {
    epoch: Epoch,
    ids: HashMap<Box<str>, ChannelId>,
    list: Vec<Channel>,
    /// Which one was asked for last.
    asked_last: Option<ChannelId>,
    /// The channels with news that the subscribers have not been told yet, and how many bytes that
    /// is.
    ringing: Vec<ChannelId>,
    unheard_bytes: usize,
    published: u64,
}

/// About what an event takes besides its data, in bytes: the smallest are not free.
const AROUND: usize = 64;

/// There are as many channels as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyChannels;

impl Channels {
    /// No channels yet.
    pub fn new(epoch: Epoch) -> Channels {
        Channels {
            epoch,
            ids: HashMap::new(),
            list: Vec::new(),
            asked_last: None,
            ringing: Vec::new(),
            unheard_bytes: 0,
            published: 0,
        }
    }

    /// The channel of that name; made if there is none.
    #[inline(always)]
    pub fn open(&mut self, name: &ChannelName, settings: &Settings) -> Result<ChannelId, TooManyChannels> {
        // Who asks mostly asks for the same as the one before.
        if let Some(id) = self.asked_last
            && self.get(id).name == *name
        {
            return Ok(id);
        }
        let id = self.find_or_make(name, settings)?;
        self.asked_last = Some(id);
        Ok(id)
    }

    #[inline(never)]
    fn find_or_make(
        &mut self,
        name: &ChannelName,
        settings: &Settings,
    ) -> Result<ChannelId, TooManyChannels> {
        if let Some(&id) = self.ids.get(name.as_str()) {
            return Ok(id);
        }
        if self.list.len() >= settings.max_channels {
            return Err(TooManyChannels);
        }
        self.list.push(Channel::new(*name, self.epoch));
        let count = u32::try_from(self.list.len()).ok().and_then(NonZeroU32::new);
        let id = ChannelId(count.ok_or(TooManyChannels)?);
        self.ids.insert(name.as_str().into(), id);
        Ok(id)
    }

    /// The channel of that id.
    pub fn get(&self, id: ChannelId) -> &Channel {
        &self.list[id.index()]
    }

    /// The channel of that id, to seat and unseat subscribers.
    pub fn get_mut(&mut self, id: ChannelId) -> &mut Channel {
        &mut self.list[id.index()]
    }

    /// How many channels there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// How many seats are taken in all channels.
    pub fn seats(&self) -> usize {
        self.list.iter().map(|channel| channel.subscribers.len()).sum()
    }

    /// How many events were published in all.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Publishes: numbers and keeps the event, and makes the channel ring.
    pub fn publish(&mut self, id: ChannelId, data: Data, time: u64) -> (Cursor, Delivered) {
        self.published += 1;
        self.unheard_bytes += data.as_str().len() + AROUND;
        let channel = &mut self.list[id.index()];
        let cursor = channel.publish(data, time);
        if channel.unheard_from.is_none() {
            channel.unheard_from = Some(cursor.seq);
            self.ringing.push(id);
        }
        (cursor, channel.audience())
    }

    /// How many subscribers the channels have that ring.
    pub fn about_to_hear(&self) -> usize {
        self.ringing.iter().map(|&id| self.get(id).subscribers.len()).sum()
    }

    /// About how many bytes wait for [`Channels::next_ringing`].
    pub fn unheard_bytes(&self) -> usize {
        self.unheard_bytes
    }

    /// Whether some channel rings.
    #[inline]
    pub fn is_ringing(&self) -> bool {
        !self.ringing.is_empty()
    }

    /// Takes a channel off the list of those that ring, with the number before its first news.
    pub fn next_ringing(&mut self) -> Option<(ChannelId, u64)> {
        let id = self.ringing.pop()?;
        let from = self.get_mut(id).unheard_from.take()?;
        Some((id, from - 1))
    }

    /// Closes the round: what was published has been told, so what is over the limits may go. Until
    /// then even a burst beyond them is kept, or those who listen would miss a part of it.
    pub fn told(&mut self, id: ChannelId, settings: &Settings) {
        if self.ringing.is_empty() {
            self.unheard_bytes = 0;
        }
        self.get_mut(id).forget_oldest(settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lobby(settings: &Settings) -> (Channels, ChannelId) {
        let mut channels = Channels::new(Epoch::draw(1));
        let id = channels.open(&ChannelName::LOBBY, settings).unwrap();
        (channels, id)
    }

    fn publish(channels: &mut Channels, id: ChannelId, settings: &Settings, count: u64) {
        for number in 0..count {
            channels.publish(id, Data::Text(number.to_string().into()), number);
        }
        while let Some((id, _)) = channels.next_ringing() {
            channels.told(id, settings);
        }
    }

    #[test]
    fn a_cursor_gets_every_later_event_once_and_in_order() {
        let settings = Settings::default();
        let (mut channels, id) = lobby(&settings);
        publish(&mut channels, id, &settings, 5);
        let channel = channels.get(id);
        let place = channel.from(Since::After(channel.cursor(2)));
        assert_eq!(place, Place { heard: 2, missed: false });
        let later: Vec<u64> = channel.after(place.heard).map(|(id, _)| id.seq).collect();
        assert_eq!(later, [3, 4, 5]);
    }

    #[test]
    fn a_cursor_from_before_what_is_kept_has_missed_something() {
        let settings = Settings { history: 3, ..Settings::default() };
        let (mut channels, id) = lobby(&settings);
        publish(&mut channels, id, &settings, 5);
        let channel = channels.get(id);
        let after = |seq| channel.from(Since::After(channel.cursor(seq)));
        assert_eq!(after(1), Place { heard: 2, missed: true });
        assert_eq!(after(2), Place { heard: 2, missed: false });
        assert_eq!(after(5), Place { heard: 5, missed: false });
        assert_eq!(after(6), Place { heard: 2, missed: true }, "ahead of its channel");
        let foreign = Cursor { epoch: Epoch::draw(2), seq: 4 };
        assert_eq!(channel.from(Since::After(foreign)), Place { heard: 2, missed: true });
        assert_eq!(channel.from(Since::Start), Place { heard: 2, missed: false });
    }

    #[test]
    fn a_burst_beyond_the_limits_is_kept_until_it_was_told() {
        let settings = Settings { history: 2, ..Settings::default() };
        let (mut channels, id) = lobby(&settings);
        for _ in 0..5 {
            channels.publish(id, Data::Text("x".into()), 0);
        }
        let (ringing, heard) = channels.next_ringing().unwrap();
        assert_eq!(channels.get(ringing).after(heard).count(), 5);
        channels.told(ringing, &settings);
        assert_eq!(channels.get(ringing).after(heard).count(), 2);
        assert_eq!(channels.unheard_bytes(), 0);
    }

    #[test]
    fn the_oldest_goes_when_the_bytes_are_too_many() {
        let settings = Settings { history_bytes: 10, ..Settings::default() };
        let (mut channels, id) = lobby(&settings);
        for length in [4, 4, 4] {
            channels.publish(id, Data::Text("x".repeat(length).into()), 0);
        }
        channels.next_ringing();
        channels.told(id, &settings);
        assert_eq!(channels.get(id).after(0).map(|(id, _)| id.seq).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn names_are_short_and_plain() {
        for name in ["lobby", "a.b_c-D9", &"x".repeat(64)] {
            assert_eq!(ChannelName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(ChannelName::parse(name).is_none(), "{name:?}");
        }
    }
}
