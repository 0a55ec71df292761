//! `doorbell publish`: events from the command line or from standard input, one after another on one
//! connection.

use super::input::Input;
use super::pace::Pace;
use super::talk::{Means, Next, Talk};
use super::why::{Refusal, Why, unreachable};
use super::{Clock, Link, Target};
use crate::channel::ChannelName;
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Ready, Token};
use crate::random::Random;
use crate::sys;
use crate::tick::{Now, Tick};
use crate::wheel::Wheel;
use std::io;
use std::time::Duration;

/// What to publish, and where.
#[derive(Debug)]
pub struct Publishing {
    /// Whom to tell.
    pub target: Target,
    /// In which channel.
    pub channel: ChannelName,
    /// One event; without it each line of standard input is one.
    pub data: Option<String>,
    /// The data is JSON.
    pub json: bool,
    /// At most so many a second.
    pub rate: Option<u32>,
    /// Print each event's id.
    pub verbose: bool,
}

const STDIN: Token = Token(0);
/// A connection's token is this and its number, so that a late report finds nobody.
const FIRST_LINK: u64 = 1;
const TIMER: u32 = 0;

/// How long a connection, and then each answer, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// So often in a row the server may say "not now" to one event.
const MOST_REFUSALS: u32 = 10;
/// The longest that it may tell us to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Publishes all there is. `Err` is one line that says what failed and what to do; what came before it is published.
pub fn publish(publishing: Publishing) -> Result<(), String> {
    let waits = |error| format!("waiting for the server failed: {error}; start it again");
    let mut publisher =
        Publisher::open(publishing).map_err(|error| format!("cannot begin to publish: {error}"))?;
    let (mut ready, mut due) = (Vec::new(), Vec::new());
    loop {
        let now = publisher.clock.now();
        if !publisher.proceed(now)? {
            return Ok(());
        }
        publisher.settle().map_err(waits)?;
        let timeout = publisher.clock.until(publisher.wheel.next());
        publisher.multiplexer.wait(timeout, &mut ready).map_err(waits)?;
        let now = publisher.clock.now();
        for ready in ready.drain(..) {
            publisher.dispatch(ready, now)?;
        }
        publisher.wheel.expire(now.tick, &mut due);
        if due.drain(..).count() > 0 {
            publisher.on_deadline(now)?;
        }
    }
}

struct Publisher {
    publishing: Publishing,
    multiplexer: Box<dyn Multiplexer>,
    wheel: Wheel,
    clock: Clock,
    /// Where further events come from, if they come from standard input; and how many came.
    input: Option<Input>,
    lines: u64,
    pace: Option<Pace>,
    link: Option<Link>,
    links: u64,
    address: usize,
    /// The event under way: its number, and what it says.
    event: Option<(u64, Vec<u8>)>,
    /// The conversation about it, and when it must have ended.
    talk: Option<Talk>,
    give_up: Tick,
    /// Told to wait until then, so often in a row.
    pause: Tick,
    refusals: u32,
    published: u64,
    random: Random,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Publisher {
    fn open(publishing: Publishing) -> io::Result<Publisher> {
        let mut multiplexer = Mechanism::Epoll.open()?;
        let event = publishing.data.as_ref().map(|data| (0, data.clone().into_bytes()));
        let input = match event {
            Some(_) => None,
            None => Some(Input::open(STDIN, &mut *multiplexer)?),
        };
        let clock = Clock::default();
        let pace = publishing.rate.map(|rate| Pace::new(rate, clock.micros()));
        Ok(Publisher {
            publishing,
            multiplexer,
            wheel: Wheel::new(),
            clock,
            input,
            lines: 0,
            pace,
            link: None,
            links: 0,
            address: 0,
            event,
            talk: None,
            give_up: Tick(0),
            pause: Tick(0),
            refusals: 0,
            published: 0,
            random: Random::new(sys::random_u64()?),
            out: Vec::new(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Takes the next event if it is time for it, connects if there is nobody to tell it to, and tells it. False
    /// when all is published.
    fn proceed(&mut self, now: Now) -> Result<bool, String> {
        if self.event.is_none() && !self.take_line() {
            return Ok(self.input.as_ref().is_some_and(|input| !input.has_ended()));
        }
        if self.talk.is_some() || now.tick < self.pause || !self.is_due() {
            return Ok(true);
        }
        match &self.link {
            None => self.connect(now)?,
            Some(link) if link.is_connected() => self.post(now),
            Some(_) => {}
        }
        Ok(true)
    }

    /// Makes the next line the event under way, if one is there. Between JSON values an empty line is nothing.
    fn take_line(&mut self) -> bool {
        let Some(input) = &mut self.input else { return false };
        while let Some(line) = input.next_line(&mut self.buffer, &mut *self.multiplexer) {
            self.lines += 1;
            if !(self.publishing.json && line.trim_ascii().is_empty()) {
                self.event = Some((self.lines, line));
                return true;
            }
        }
        false
    }

    fn is_due(&self) -> bool {
        self.pace.is_none_or(|pace| pace.is_due(self.clock.micros()))
    }

    fn post(&mut self, now: Now) {
        let (Some((_, data)), Some(link)) = (&self.event, &mut self.link) else { return };
        if let Some(pace) = &mut self.pace {
            pace.step(self.clock.micros());
        }
        let Publishing { target, channel, json, .. } = &self.publishing;
        self.talk = Some(Talk::post(&target.host, channel, *json, data, &mut self.out));
        self.give_up = now.tick + PATIENCE;
        link.send(&mut self.out, now.tick);
    }

    fn token(&self) -> Token {
        Token(FIRST_LINK + self.links)
    }

    fn dispatch(&mut self, ready: Ready, now: Now) -> Result<(), String> {
        match ready.token {
            STDIN => {
                if let Some(input) = &mut self.input {
                    input.read(&mut self.buffer, &mut *self.multiplexer);
                }
                Ok(())
            }
            token if token == self.token() => self.on_link(ready, now),
            _ => Ok(()),
        }
    }

    fn on_link(&mut self, ready: Ready, now: Now) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if !link.is_connected() {
            return link.finish().or_else(|error| self.on_refused(&error, now));
        }
        if ready.writable {
            link.flush(now.tick);
        }
        if !ready.readable {
            return Ok(());
        }
        let count = match link.read(&mut self.buffer) {
            Ok(None) => return Ok(()),
            Ok(Some(count)) => count,
            Err(_) => 0,
        };
        // Nobody asked, or the server closes a connection at rest: there will be another.
        let Some(talk) = &mut self.talk else {
            self.drop_link();
            return Ok(());
        };
        let mut means =
            Means { wall: now.wall, random: &mut self.random, out: &mut self.out, hear: &mut |_| {} };
        let next = match count {
            0 => talk.end(&mut means),
            count => talk.take(&self.buffer[..count], &mut means),
        };
        self.follow(next, now)
    }

    fn follow(&mut self, next: Next, now: Now) -> Result<(), String> {
        let why = match next {
            Next::Wait => return Ok(()),
            Next::Published { id, keep_alive } => {
                if self.publishing.verbose {
                    sys::stdout_line(&id);
                }
                self.published += 1;
                (self.event, self.talk, self.refusals) = (None, None, 0);
                if !keep_alive {
                    self.drop_link();
                }
                return Ok(());
            }
            Next::Answered { .. } => Why::Broken("it answers what was not asked"),
            Next::Over(why) => why,
        };
        self.drop_link();
        match why {
            // It was not published, and may be later.
            Why::Refused(refusal) if self.may_try_again(&refusal) => {
                self.refusals += 1;
                let pause = refusal.retry_after.unwrap_or_default().max(Duration::from_millis(100));
                self.pause = now.tick + pause.min(LONGEST_PAUSE);
                Ok(())
            }
            why => Err(self.explain(&why)),
        }
    }

    fn may_try_again(&self, refusal: &Refusal) -> bool {
        matches!(refusal.status, 429 | 503) && refusal.retry_after.is_some() && self.refusals < MOST_REFUSALS
    }

    fn on_deadline(&mut self, now: Now) -> Result<(), String> {
        let is_late = now.tick >= self.give_up;
        match &self.link {
            Some(link) if is_late && !link.is_connected() => {
                self.on_refused(&io::ErrorKind::TimedOut.into(), now)
            }
            Some(_) if is_late && self.talk.is_some() => Err(self.explain(&Why::NoAnswer)),
            _ => Ok(()),
        }
    }

    fn drop_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.close(false, &mut *self.multiplexer);
        }
        self.talk = None;
        self.out.clear();
    }

    fn connect(&mut self, now: Now) -> Result<(), String> {
        self.drop_link();
        self.links += 1;
        self.give_up = now.tick + PATIENCE;
        let address = self.publishing.target.addresses[self.address];
        match Link::open(address, None, self.token(), &mut *self.multiplexer) {
            Ok(link) => {
                self.link = Some(link);
                Ok(())
            }
            Err(error) => self.on_refused(&error, now),
        }
    }

    /// A name may have several addresses, and the server listen on one of them.
    fn on_refused(&mut self, error: &io::Error, now: Now) -> Result<(), String> {
        self.address = (self.address + 1) % self.publishing.target.addresses.len();
        if self.address == 0 {
            return Err(self.place(&unreachable(&self.publishing.target.host, error)));
        }
        self.connect(now)
    }

    fn settle(&mut self) -> io::Result<()> {
        let token = self.token();
        if let Some(link) = &mut self.link {
            link.settle(Interest::READ, token, &mut *self.multiplexer)?;
        }
        if let Some(input) = &mut self.input {
            input.settle(self.event.is_none(), &mut *self.multiplexer)?;
        }
        let is_busy = self.talk.is_some() || self.link.as_ref().is_some_and(|link| !link.is_connected());
        match (&self.event, is_busy) {
            (_, true) => self.wheel.arm(TIMER, self.give_up),
            (Some(_), false) => {
                let paced = self.pace.map_or(Tick(0), |pace| pace.next());
                self.wheel.arm(TIMER, self.pause.max(paced));
            }
            (None, false) => self.wheel.cancel(TIMER),
        }
        Ok(())
    }

    fn explain(&self, why: &Why) -> String {
        let mut what = why.explain(&self.publishing.target.host, None);
        if matches!(why, Why::Cut | Why::NoAnswer) {
            what += "; this event may have been published or not: look with doorbell watch --since start";
        }
        self.place(&what)
    }

    /// Says which line of standard input it was.
    fn place(&self, what: &str) -> String {
        match &self.event {
            Some((line, _)) if self.publishing.data.is_none() => {
                format!("line {line}: {what} ({} published before it)", self.published)
            }
            _ => what.into(),
        }
    }
}
