//! The crowd and its loop: it gathers, stays, settles and leaves.

use super::figures::Figures;
use super::member::{Member, Mood};
use super::news::News;
use super::sources::Sources;
use super::{Plan, Report, bar};
use crate::client::{self, Clock, Pace, Via};
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Token};
use crate::random::Random;
use crate::sys::{self, Fd};
use crate::tick::{Now, Tick};
use crate::wheel::Wheel;
use indicatif::ProgressBar;
use std::io;
use std::time::Duration;

/// fds that are no client's: the standard ones, the multiplexer, the signals, who publishes, and a reading of /proc.
const RESERVE: u64 = 16;

/// How many clients fit into so many fds.
pub fn room_for(fd_limit: u64) -> u64 {
    fd_limit.saturating_sub(RESERVE)
}

pub(super) const SIGNALS: Token = Token(u64::MAX);
/// Stands in a token in place of a client's number.
pub(super) const NEWS: u32 = u32::MAX;

/// After the last one has begun to connect, this long is waited for those who are not there yet.
const GATHERING: Duration = Duration::from_secs(10);
/// This long is waited for those who have not heard the last event yet; short polls take their interval longer.
const SETTLING: Duration = Duration::from_secs(5);
/// How long goodbyes may take.
const LEAVING: Duration = Duration::from_secs(3);
/// How often it is looked whether a phase is over, and the bar is drawn.
const BEAT: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// They connect.
    Gather,
    /// They are there, until then.
    Stay(Tick),
    /// They hear the rest, until then at the latest.
    Settle(Tick),
    /// They go, until then at the latest.
    Leave(Tick),
    Over,
}

/// A crowd.
pub struct Swarm {
    pub(super) plan: Plan,
    pub(super) followers: client::Plan,
    pub(super) multiplexer: Box<dyn Multiplexer>,
    /// A timer for each client, by its number, and one for the loop itself.
    pub(super) wheel: Wheel,
    pub(super) clock: Clock,
    pub(super) signals: Fd,
    pub(super) members: Vec<Member>,
    pub(super) sources: Sources,
    /// Which of the server's addresses they go to, and whether it ever took one.
    pub(super) address: usize,
    pub(super) reached: bool,
    /// It was told that a connection could not be made for want of something here.
    pub(super) told_of_want: bool,
    pub(super) news: Option<News>,
    pub(super) figures: Figures,
    pub(super) phase: Phase,
    /// How many are there, and how many of those who have begun have neither got there nor failed to.
    pub(super) there: u32,
    pub(super) unsettled: u32,
    pub(super) tally: Tally,
    /// Why nobody can do what they are to do.
    pub(super) failure: Option<String>,
    pub(super) random: Random,
    pub(super) out: Vec<u8>,
    pub(super) buffer: Vec<u8>,
    pace: Pace,
    /// When the last one began to connect, and when all were there.
    begun: Tick,
    gathered: Option<Tick>,
    bar: ProgressBar,
}

/// What is counted besides what is heard.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) reconnects: u64,
    pub(super) let_go: u64,
    interrupted: bool,
    connected: u32,
    owed: u64,
    stayed: u64,
    fds: u64,
    resident: u64,
}

impl Swarm {
    /// A crowd that has not set out yet.
    pub fn open(plan: Plan) -> io::Result<Swarm> {
        let signals = sys::block_and_open()?;
        let mut multiplexer = Mechanism::Epoll.open()?;
        multiplexer.add(&signals, SIGNALS, Interest::READ)?;
        let seed = sys::random_u64()?;
        let mark = plan.publish.map(|_| format!("swarm-{seed:016x}-"));
        let followers = client::Plan {
            host: plan.target.host.clone(),
            channel: plan.channel,
            via: plan.via,
            auto: false,
            since: None,
            interval: plan.interval,
            hold: plan.hold,
            silence: Duration::from_secs(60),
            opening: Duration::from_secs(30),
            named: false,
            patient: true,
        };
        let clock = Clock::default();
        Ok(Swarm {
            followers,
            multiplexer,
            wheel: Wheel::new(),
            clock,
            signals,
            members: Vec::with_capacity(plan.clients as usize),
            sources: Sources::default(),
            address: 0,
            reached: false,
            told_of_want: false,
            news: None,
            figures: Figures::new(mark),
            phase: Phase::Gather,
            there: 0,
            unsettled: 0,
            tally: Tally::default(),
            failure: None,
            random: Random::new(seed),
            out: Vec::new(),
            buffer: vec![0; 64 * 1024],
            pace: Pace::new(plan.ramp, clock.micros()),
            begun: Tick(0),
            gathered: None,
            bar: bar::bar(plan.clients),
            plan,
        })
    }

    /// Lets it loose until it has left: what was measured. `Err` is one line that says why it could not even begin.
    pub fn run(mut self) -> Result<Report, String> {
        let result = self.turns();
        self.bar.finish_and_clear();
        result.map_err(|error| format!("waiting for sockets failed: {error}; start it again"))?;
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let Tally { reconnects, let_go, interrupted, connected, owed, stayed, fds, resident } = self.tally;
        Ok(Report {
            plan: self.plan,
            figures: self.figures,
            stayed,
            interrupted,
            connected,
            reconnects,
            let_go,
            published: self.news.map_or(0, |news| news.published),
            owed,
            addresses: self.sources.used(),
            fds,
            fd_limit: sys::fd_limit(),
            resident,
        })
    }

    fn turns(&mut self) -> io::Result<()> {
        let (mut ready, mut due) = (Vec::new(), Vec::new());
        loop {
            self.conduct(self.clock.now())?;
            if self.phase == Phase::Over {
                return Ok(());
            }
            self.multiplexer.wait(self.clock.until(self.wheel.next()), &mut ready)?;
            let now = self.clock.now();
            for ready in ready.drain(..) {
                self.dispatch(ready, now)?;
            }
            self.wheel.expire(now.tick, &mut due);
            for key in due.drain(..) {
                self.expire(key, now);
            }
        }
    }

    /// Does what is due by now, and decides what is next.
    fn conduct(&mut self, now: Now) -> io::Result<()> {
        self.tally.connected = self.tally.connected.max(self.there);
        match self.phase {
            Phase::Gather => self.gather(now),
            Phase::Stay(until) => {
                let micros = self.clock.micros();
                if let Some(news) = &mut self.news {
                    news.go_on(now, micros, token_of_news, &mut self.sources, &mut *self.multiplexer);
                }
                if now.tick >= until {
                    let longer =
                        if self.plan.via == Via::ShortPoll { self.plan.interval } else { Duration::ZERO };
                    self.phase = Phase::Settle(now.tick + SETTLING + longer);
                }
            }
            Phase::Settle(until) => {
                if now.tick >= until || self.has_settled() {
                    self.leave(now);
                }
            }
            Phase::Leave(until) => {
                if now.tick >= until || self.there == 0 {
                    self.phase = Phase::Over;
                }
            }
            Phase::Over => {}
        }
        self.draw(now);
        self.wheel.arm(self.plan.clients, self.next_beat(now));
        Ok(())
    }

    fn next_beat(&self, now: Now) -> Tick {
        let beat = now.tick + BEAT;
        match (self.phase, &self.news) {
            (Phase::Gather, _) if self.members.len() < self.plan.clients as usize => {
                beat.min(self.pace.next())
            }
            (Phase::Stay(until), Some(news)) => beat.min(until).min(news.deadline()),
            (Phase::Stay(until), None) => beat.min(until),
            _ => beat,
        }
    }

    fn gather(&mut self, now: Now) {
        let micros = self.clock.micros();
        while self.members.len() < self.plan.clients as usize && self.pace.is_due(micros) {
            self.pace.step(micros);
            self.begun = now.tick;
            self.begin_one(now);
            if self.phase != Phase::Gather {
                return;
            }
        }
        let all_have_begun = self.members.len() == self.plan.clients as usize;
        if all_have_begun && (self.unsettled == 0 || now.tick >= self.begun + GATHERING) {
            self.note_the_peak();
            self.gathered = Some(now.tick);
            self.phase = Phase::Stay(now.tick + self.plan.stay);
            self.news = self.plan.publish.map(|rate| {
                let place = (self.followers.host.clone(), self.plan.target.addresses[self.address]);
                let mark = self.figures.mark().to_owned();
                News::new(place, self.plan.channel, (mark, self.plan.size), (rate, self.clock.micros()))
            });
        }
    }

    fn note_the_peak(&mut self) {
        self.tally.fds = sys::open_fds().unwrap_or(0);
        self.tally.resident = sys::resident_bytes().unwrap_or(0);
    }

    /// Whether everybody has heard the newest event, and nothing is being published.
    fn has_settled(&self) -> bool {
        self.news.as_ref().is_none_or(News::is_idle) && self.owed() == 0
    }

    fn owed(&self) -> u64 {
        let listening = self.members.iter().filter(|member| member.mood == Mood::Well);
        listening.map(|member| self.figures.owed_to(&member.judge)).sum()
    }

    /// A signal: what was measured so far is told.
    pub(super) fn interrupt(&mut self, now: Now) {
        match self.phase {
            Phase::Leave(_) | Phase::Over => self.phase = Phase::Over,
            _ => {
                self.tally.interrupted = true;
                self.leave(now);
            }
        }
    }

    fn leave(&mut self, now: Now) {
        if self.gathered.is_none() {
            self.note_the_peak();
        }
        self.tally.stayed = self.gathered.map_or(0, |since| now.tick.since(since));
        self.tally.owed = self.owed();
        self.phase = Phase::Leave(now.tick + LEAVING);
        for index in 0..self.members.len() {
            self.take_leave(index, now);
        }
    }

    fn draw(&self, now: Now) {
        if self.bar.is_hidden() {
            return;
        }
        let Figures { events, lost, .. } = self.figures;
        self.bar.set_position(u64::from(self.there));
        self.bar.set_message(match self.phase {
            Phase::Gather => "connecting".to_owned(),
            Phase::Stay(until) => {
                let left = until.since(now.tick).div_ceil(1000);
                format!("connected, {left} s to go, {events} events, {lost} lost")
            }
            Phase::Settle(_) => "hearing the rest".to_owned(),
            Phase::Leave(_) | Phase::Over => "leaving".to_owned(),
        });
    }
}

pub(super) fn token_of_news(links: u32) -> Token {
    token_of(NEWS, links)
}

/// A client's number, and above it that of its connection.
pub(super) fn token_of(number: u32, links: u32) -> Token {
    Token(u64::from(links) << 32 | u64::from(number))
}
