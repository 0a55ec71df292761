//! `doorbell watch`: one follower, its connection, and standard output, in one loop.

use super::follower::Follower;
use super::output::Output;
use super::plan::{Heard, Order, Plan, Turn};
use super::request::text_of;
use super::why::Why;
use super::{Clock, Event, Link, Target, Via};
use crate::channel::{Cursor, Since, write_json_string};
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Ready, Token};
use crate::random::Random;
use crate::sys::{self, Fd};
use crate::tick::{Now, Tick};
use crate::wheel::Wheel;
use std::io;
use std::time::Duration;

/// What to watch, and how to tell it.
#[derive(Debug)]
pub struct Watching {
    /// Whom to ask.
    pub target: Target,
    /// What to ask.
    pub plan: Plan,
    /// One JSON object a line; else the data alone.
    pub json: bool,
    /// To end after so many events.
    pub count: Option<u64>,
}

const SIGNALS: Token = Token(0);
const STDOUT: Token = Token(1);
/// A connection's token is this and its number, so that a late report finds nobody.
const FIRST_LINK: u64 = 2;
/// The only timer: the follower's deadline.
const TIMER: u32 = 0;

/// Watches until a signal comes, the count is full or nobody reads standard output: `Ok`. `Err` is one line that
/// says why it cannot go on.
pub fn watch(watching: Watching) -> Result<(), String> {
    let mut watch = Watch::open(watching).map_err(|error| format!("cannot begin to watch: {error}"))?;
    watch.run().map_err(|error| format!("waiting for the server failed: {error}; start it again"))?;
    match (watch.failure, watch.output.error()) {
        (Some(failure), _) => Err(failure),
        (None, Some(error)) => Err(format!("cannot write to standard output: {error}")),
        (None, None) => Ok(()),
    }
}

struct Watch {
    watching: Watching,
    multiplexer: Box<dyn Multiplexer>,
    wheel: Wheel,
    clock: Clock,
    signals: Fd,
    output: Output,
    follower: Follower,
    link: Option<Link>,
    /// How many connections there were.
    links: u64,
    /// Which of the server's addresses is next.
    address: usize,
    /// Why the last connection could not be made.
    refused: Option<io::Error>,
    random: Random,
    out: Vec<u8>,
    buffer: Vec<u8>,
    /// How many events were told.
    told: u64,
    stage: Stage,
    /// After a signal: when it ends, whatever is still to be said or written.
    ends: Option<Tick>,
    failure: Option<String>,
}

/// How long the goodbyes, and whoever reads standard output, may take after a signal.
const LEAVING: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Watching,
    /// It is over but for the goodbyes.
    Leaving,
    /// What was heard is still to be written.
    Left,
    /// Now.
    Over,
}

impl Watch {
    fn open(watching: Watching) -> io::Result<Watch> {
        let signals = sys::block_and_open()?;
        let mut multiplexer = Mechanism::Epoll.open()?;
        multiplexer.add(&signals, SIGNALS, Interest::READ)?;
        let output = Output::open(STDOUT, &mut *multiplexer)?;
        let clock = Clock::default();
        let mut random = Random::new(sys::random_u64()?);
        let follower = Follower::new(&watching.plan, clock.tick(), &mut random);
        Ok(Watch {
            watching,
            multiplexer,
            wheel: Wheel::new(),
            clock,
            signals,
            output,
            follower,
            link: None,
            links: 0,
            address: 0,
            refused: None,
            random,
            out: Vec::new(),
            buffer: vec![0; 64 * 1024],
            told: 0,
            stage: Stage::Watching,
            ends: None,
            failure: None,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let (mut ready, mut due) = (Vec::new(), Vec::new());
        while self.stage != Stage::Over {
            self.settle()?;
            self.multiplexer.wait(self.clock.until(self.wheel.next()), &mut ready)?;
            let now = self.clock.now();
            for ready in ready.drain(..) {
                self.dispatch(ready, now);
            }
            self.wheel.expire(now.tick, &mut due);
            if due.drain(..).count() > 0 && self.stage <= Stage::Leaving {
                self.note_a_late_connection();
                self.react(now, Follower::on_deadline);
            }
            self.look_for_an_end(now)?;
        }
        Ok(())
    }

    fn dispatch(&mut self, ready: Ready, now: Now) {
        match ready.token {
            SIGNALS => {
                let is_one = sys::next_signal(&self.signals).is_ok();
                match self.ends {
                    Some(_) if is_one => self.stage = Stage::Over,
                    _ => self.ends = Some(now.tick + LEAVING),
                }
                self.leave(now);
            }
            STDOUT => self.output.on_ready(ready, &mut *self.multiplexer),
            token if token == self.token() => self.on_link(ready, now),
            _ => {}
        }
    }

    fn token(&self) -> Token {
        Token(FIRST_LINK + self.links)
    }

    fn on_link(&mut self, ready: Ready, now: Now) {
        let Some(link) = &mut self.link else { return };
        if !link.is_connected() {
            match link.finish() {
                Ok(()) => {
                    self.react(now, |follower, turn| {
                        follower.on_connected(turn);
                        Order::Wait
                    });
                }
                Err(error) => self.on_refused(error, now),
            }
            return;
        }
        if ready.writable {
            link.flush(now.tick);
        }
        if ready.readable {
            let mut buffer = std::mem::take(&mut self.buffer);
            match link.read(&mut buffer) {
                Ok(None) => {}
                Ok(Some(count)) if count > 0 => {
                    self.react(now, |follower, turn| follower.on_bytes(&buffer[..count], turn));
                }
                Ok(Some(_)) | Err(_) => self.react(now, Follower::on_end),
            }
            self.buffer = buffer;
        }
    }

    /// Lets the follower react, sends what it has to say, and does what it orders.
    fn react(&mut self, now: Now, reaction: impl FnOnce(&mut Follower, &mut Turn<'_>) -> Order) {
        let via = self.follower.via();
        let Watch { watching, output, told, refused, random, out, follower, .. } = self;
        let mut hear = |heard: Heard<'_>| tell(&heard, via, watching, refused.as_ref(), output, told);
        let plan = &watching.plan;
        let order = reaction(follower, &mut Turn { plan, now, random, out, hear: &mut hear });
        if let Some(link) = &mut self.link {
            link.send(&mut self.out, now.tick);
        }
        match order {
            Order::Wait => {}
            Order::Drop => self.drop_link(),
            Order::Connect => self.connect(now),
            Order::Leave => {
                self.drop_link();
                self.stage = Stage::Left;
            }
            Order::Stop(why) => {
                self.drop_link();
                let host = &self.watching.target.host;
                self.failure = Some(why.explain(host, self.refused.as_ref()));
                self.stage = Stage::Left;
            }
        }
    }

    fn drop_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.close(false, &mut *self.multiplexer);
        }
        self.out.clear();
    }

    fn connect(&mut self, now: Now) {
        self.drop_link();
        self.links += 1;
        let address = self.watching.target.addresses[self.address];
        match Link::open(address, None, self.token(), &mut *self.multiplexer) {
            Ok(link) => self.link = Some(link),
            Err(error) => self.on_refused(error, now),
        }
    }

    /// A name may have several addresses, and the server listen on one of them.
    fn on_refused(&mut self, error: io::Error, now: Now) {
        self.refused = Some(error);
        self.address = (self.address + 1) % self.watching.target.addresses.len();
        if self.address == 0 {
            self.react(now, Follower::on_unreachable);
        } else {
            self.connect(now);
        }
    }

    /// The timer of a connection that is still being made.
    fn note_a_late_connection(&mut self) {
        if self.link.as_ref().is_some_and(|link| !link.is_connected()) {
            self.refused = Some(io::ErrorKind::TimedOut.into());
        }
    }

    fn leave(&mut self, now: Now) {
        if self.stage == Stage::Watching {
            self.stage = Stage::Leaving;
            self.react(now, Follower::leave);
        }
    }

    fn look_for_an_end(&mut self, now: Now) -> io::Result<()> {
        self.output.settle(&mut *self.multiplexer)?;
        if self.output.is_closed() || self.watching.count.is_some_and(|count| self.told >= count) {
            self.leave(now);
        }
        let time_is_over = self.ends.is_some_and(|ends| now.tick >= ends);
        if self.stage == Stage::Left && self.output.is_empty() || time_is_over {
            self.stage = Stage::Over;
        }
        Ok(())
    }

    /// Tells the kernel and the wheel what follows from the state. While nobody takes what was heard, nothing
    /// more is read; and who does not listen cannot say that the server is silent.
    fn settle(&mut self) -> io::Result<()> {
        let token = self.token();
        let is_full = self.output.is_full();
        if let Some(link) = &mut self.link {
            let reading = Interest::NONE.and(Interest::READ, !is_full);
            link.settle(reading, token, &mut *self.multiplexer)?;
        }
        let can_hear = self.stage <= Stage::Leaving && (!is_full || self.link.is_none());
        let deadline = can_hear.then(|| self.follower.deadline(&self.watching.plan));
        match deadline.into_iter().chain(self.ends).min() {
            Some(deadline) => self.wheel.arm(TIMER, deadline),
            None => self.wheel.cancel(TIMER),
        }
        Ok(())
    }
}

/// Tells an event on standard output, and anything else that a person should know on standard error.
fn tell(
    heard: &Heard<'_>,
    via: Via,
    watching: &Watching,
    refused: Option<&io::Error>,
    output: &mut Output,
    told: &mut u64,
) {
    let host = &watching.target.host;
    match heard {
        Heard::Event(event) => {
            if watching.count.is_none_or(|count| *told < count) {
                *told += 1;
                write_event(output.say(), event, via, watching.json);
            }
        }
        Heard::Place { had, cursor, missed: true } => {
            sys::stderr_line(&format!("doorbell: {}", what_was_missed(*had, *cursor)));
        }
        Heard::Place { .. } => {}
        Heard::Cut(why, pause) => {
            let pause = pause.as_millis();
            let why = match (why, refused) {
                (Why::Unreachable, Some(error)) => format!("cannot connect: {error}"),
                _ => why.to_string(),
            };
            sys::stderr_line(&format!("doorbell: http://{host}: {why}; trying again in {pause}ms"));
        }
        Heard::FellBack(why, to) => {
            let (from, to) = (via.name(), to.name());
            sys::stderr_line(&format!("doorbell: http://{host}: {from} does not work: {why}; trying {to}"));
        }
    }
}

/// What lies between the last event that was told and the place where it goes on.
fn what_was_missed(had: Option<Since>, cursor: Cursor) -> String {
    let now = text_of(Some(Since::After(cursor)));
    match had {
        Some(Since::After(had)) if had.epoch == cursor.epoch && cursor.seq > had.seq => {
            let count = cursor.seq - had.seq;
            let first = text_of(Some(Since::After(Cursor { seq: had.seq + 1, ..had })));
            format!("missed {count} events, {first} to {now}: the server keeps them no longer")
        }
        had => {
            let had = text_of(had);
            format!(
                "missed what came after {had}, if anything did: the server has begun anew; going on after {now}"
            )
        }
    }
}

fn write_event(line: &mut Vec<u8>, event: &Event<'_>, via: Via, json: bool) {
    if json {
        line.extend_from_slice(br#"{"id":""#);
        event.id.write(line);
        line.push(b'"');
        if let Some(time) = event.time {
            line.extend_from_slice(br#","time":"#);
            write_json_string(time, line);
        }
        line.extend_from_slice(br#","data":"#);
        event.data.write_json(line);
        line.extend_from_slice(format!(r#","via":"{}"}}"#, via.name()).as_bytes());
    } else {
        line.extend_from_slice(event.data.text().as_bytes());
    }
    line.push(b'\n');
}
