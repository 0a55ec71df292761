//! One of the crowd: what happens to it, and what it does about it.

use super::crowd::{NEWS, Phase, SIGNALS, Swarm, token_of, token_of_news};
use super::figures::Judge;
use super::{Manner, Plan};
use crate::client::{Follower, Heard, Link, Order, Turn, unreachable};
use crate::multiplexer::{Interest, Ready, Token};
use crate::sys;
use crate::tick::Now;
use std::io;
use std::time::Duration;

/// A slow client reads so many bytes each time, and so often.
const SIP: usize = 16;
const BETWEEN_SIPS: Duration = Duration::from_secs(1);

/// A client.
#[derive(Debug)]
pub(super) struct Member {
    follower: Follower,
    link: Option<Link>,
    /// Which of its connections this is, so that a late report of an earlier one finds nobody.
    links: u32,
    pub(super) judge: Judge,
    pub(super) mood: Mood,
    /// It counts among those who are there.
    is_there: bool,
    /// It was there once, or has failed to be.
    has_tried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Frozen,
    Slow,
    /// It does not come again.
    Gone,
}

impl Swarm {
    /// The next one sets out.
    pub(super) fn begin_one(&mut self, now: Now) {
        let follower = Follower::new(&self.followers, now.tick, &mut self.random);
        self.members.push(Member {
            follower,
            link: None,
            links: 0,
            judge: Judge::default(),
            mood: Mood::Well,
            is_there: false,
            has_tried: false,
        });
        self.unsettled += 1;
        self.react(self.members.len() - 1, now, Follower::on_deadline);
    }

    pub(super) fn dispatch(&mut self, ready: Ready, now: Now) -> io::Result<()> {
        if ready.token == SIGNALS {
            return sys::next_signal(&self.signals).map(|_| self.interrupt(now));
        }
        let (number, links) = (ready.token.0 as u32, (ready.token.0 >> 32) as u32);
        if number == NEWS {
            self.on_news(ready, now);
            return Ok(());
        }
        let index = number as usize;
        let member = &mut self.members[index];
        if member.links != links {
            return Ok(());
        }
        match (member.mood, &mut member.link) {
            (Mood::Well, Some(link)) if !link.is_connected() => match link.finish() {
                Ok(()) => {
                    self.reached = true;
                    self.react(index, now, |follower, turn| {
                        follower.on_connected(turn);
                        Order::Wait
                    });
                }
                Err(error) => self.on_refused(index, error, now),
            },
            (Mood::Well, Some(link)) => {
                if ready.writable {
                    link.flush(now.tick);
                }
                if ready.readable {
                    self.read(index, usize::MAX, now);
                }
                self.settle(index);
            }
            // Nobody reads, so this is the end, which comes unasked.
            (Mood::Frozen | Mood::Slow, Some(_)) if ready.hung_up => self.be_let_go(index),
            _ => {}
        }
        Ok(())
    }

    fn on_news(&mut self, ready: Ready, now: Now) {
        let Swarm { news, random, buffer, multiplexer, figures, .. } = self;
        let Some(news) = news.as_mut().filter(|news| ready.token == token_of_news(news.links())) else {
            return;
        };
        if let Some(id) = news.on_ready(ready, now, random, buffer, &mut **multiplexer) {
            figures.note(id);
        }
    }

    /// A timer has run out: a client's, or that of the loop, which does not need to be told.
    pub(super) fn expire(&mut self, key: u32, now: Now) {
        let index = key as usize;
        match self.members.get(index).map(|member| member.mood) {
            Some(Mood::Well) => self.react(index, now, Follower::on_deadline),
            Some(Mood::Slow) => self.read(index, SIP, now),
            Some(Mood::Frozen | Mood::Gone) | None => {}
        }
    }

    /// Reads what is there, but no more than `most` bytes.
    fn read(&mut self, index: usize, most: usize, now: Now) {
        let Some(link) = &mut self.members[index].link else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        let room = buffer.len().min(most);
        match link.read(&mut buffer[..room]) {
            Ok(None) => self.settle(index),
            Ok(Some(count)) if count > 0 => {
                self.react(index, now, |follower, turn| follower.on_bytes(&buffer[..count], turn));
            }
            Ok(Some(_)) | Err(_) => self.react(index, now, Follower::on_end),
        }
        self.buffer = buffer;
    }

    /// Lets a follower react, sends what it has to say, and does what it orders.
    fn react(
        &mut self,
        index: usize,
        now: Now,
        reaction: impl FnOnce(&mut Follower, &mut Turn<'_>) -> Order,
    ) {
        let Swarm { followers: plan, members, figures, random, out, clock, .. } = self;
        let Member { follower, link, judge, has_tried, .. } = &mut members[index];
        let micros = clock.micros();
        let mut has_failed = false;
        let mut hear = |heard: Heard<'_>| {
            has_failed |= matches!(heard, Heard::Cut(..));
            figures.hear(&heard, judge, micros, now.wall);
        };
        let order = reaction(follower, &mut Turn { plan, now, random, out, hear: &mut hear });
        match link {
            Some(link) => link.send(out, now.tick),
            None => out.clear(),
        }
        has_failed |= matches!(order, Order::Stop(_));
        if !*has_tried && (has_failed || follower.is_established()) {
            *has_tried = true;
            self.unsettled -= 1;
        }
        self.obey(index, order, now);
    }

    fn obey(&mut self, index: usize, order: Order, now: Now) {
        match order {
            Order::Wait => {}
            // Whoever is slow on purpose is not to come again.
            Order::Drop if self.members[index].mood == Mood::Slow => return self.be_let_go(index),
            Order::Drop => self.close(index, false),
            Order::Connect => return self.connect(index, now),
            Order::Leave => self.part(index, false),
            Order::Stop(why) => {
                self.part(index, false);
                // Where nobody gets in, nobody will.
                if self.there == 0 && self.figures.newest.is_none() {
                    self.failure = Some(why.explain(&self.followers.host, None));
                    self.phase = Phase::Over;
                }
            }
        }
        self.settle(index);
    }

    fn connect(&mut self, index: usize, now: Now) {
        self.close(index, false);
        let address = self.plan.target.addresses[self.address];
        let member = &mut self.members[index];
        self.tally.reconnects += u64::from(member.links > 0);
        member.links = member.links.wrapping_add(1);
        let token = token_of(index as u32, member.links);
        loop {
            match Link::open(address, self.sources.current(), token, &mut *self.multiplexer) {
                Ok(link) => {
                    if matches!(self.plan.manner, Manner::Freeze | Manner::Slow) {
                        link.shrink();
                    }
                    self.members[index].link = Some(link);
                    return self.settle(index);
                }
                Err(error) if self.sources.go_on(&error, address.ip()) => {}
                Err(error) => return self.on_refused(index, error, now),
            }
        }
    }

    /// The connection was not made. If none ever was, the server is looked for at its other addresses.
    fn on_refused(&mut self, index: usize, error: io::Error, now: Now) {
        let Plan { target, .. } = &self.plan;
        if !self.reached && error.kind() == io::ErrorKind::ConnectionRefused {
            if self.address + 1 < target.addresses.len() {
                self.address += 1;
                return self.connect(index, now);
            }
            self.failure = Some(unreachable(&target.host, &error));
            self.phase = Phase::Over;
        }
        self.tell_of_want(&error);
        self.react(index, now, Follower::on_unreachable);
    }

    /// Says once that something has run out here.
    fn tell_of_want(&mut self, error: &io::Error) {
        let advice = match error.kind() {
            io::ErrorKind::AddrNotAvailable => {
                "all ports towards it are in use: wait a minute, or go to 127.0.0.1, towards which there are more"
            }
            _ if sys::scarcity(error).is_some() => {
                "ask for fewer --clients, or raise the limit with ulimit -n"
            }
            _ => return,
        };
        if !std::mem::replace(&mut self.told_of_want, true) {
            let host = &self.followers.host;
            sys::stderr_line(&format!("doorbell: cannot connect to http://{host}: {error}; {advice}"));
        }
    }

    /// Frozen or slow, and now the server has had enough of it.
    fn be_let_go(&mut self, index: usize) {
        self.tally.let_go += 1;
        self.part(index, false);
        self.settle(index);
    }

    /// Goes, politely if that is its manner.
    pub(super) fn take_leave(&mut self, index: usize, now: Now) {
        match (self.members[index].mood, self.plan.manner) {
            (Mood::Well, Manner::Well) if self.members[index].link.is_some() => {
                self.react(index, now, Follower::leave);
            }
            (_, manner) => {
                self.part(index, manner == Manner::Vanish);
                self.settle(index);
            }
        }
    }

    /// Lets the connection go, for good.
    fn part(&mut self, index: usize, with_reset: bool) {
        self.close(index, with_reset);
        self.members[index].mood = Mood::Gone;
    }

    fn close(&mut self, index: usize, with_reset: bool) {
        if let Some(link) = self.members[index].link.take() {
            link.close(with_reset, &mut *self.multiplexer);
        }
    }

    /// Derives from its state what everybody else must know: the count, the kernel and the wheel.
    fn settle(&mut self, index: usize) {
        let Swarm { plan, followers, multiplexer, wheel, members, there, clock, .. } = self;
        let (key, member) = (index as u32, &mut members[index]);
        let is_there = member.mood != Mood::Gone && member.follower.is_established();
        if is_there != member.is_there {
            *there = if is_there { *there + 1 } else { *there - 1 };
            member.is_there = is_there;
        }
        if is_there && member.mood == Mood::Well {
            member.mood = match plan.manner {
                Manner::Well | Manner::Vanish => Mood::Well,
                Manner::Freeze => Mood::Frozen,
                Manner::Slow => Mood::Slow,
            };
        }
        let reading = if member.mood == Mood::Well { Interest::READ } else { Interest::END };
        let token: Token = token_of(key, member.links);
        if let Some(link) = &mut member.link {
            // OK because the fd is open and was added: modifying it cannot fail.
            let _ = link.settle(reading, token, &mut **multiplexer);
        }
        match member.mood {
            Mood::Well => {
                let deadline = member.follower.deadline(followers);
                // One that only moves later is not armed anew: when the old one is due, it is.
                if wheel.deadline(key).is_none_or(|armed| armed > deadline) {
                    wheel.arm(key, deadline);
                }
            }
            Mood::Slow => wheel.arm(key, clock.tick() + BETWEEN_SIPS),
            Mood::Frozen | Mood::Gone => wheel.cancel(key),
        }
    }
}
