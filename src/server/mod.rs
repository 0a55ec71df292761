//! The loop: one thread that sleeps until something happens, and then says what follows from it.
//!
//! A turn has five beats:
//!
//! 1. *sleep*: in [`Multiplexer::wait`], and nowhere else, until an fd is ready or the wheel's next
//!    deadline has come;
//! 2. *dispatch* (`dispatch.rs`): who is ready is read from, written to, accepted;
//! 3. *expire* (`dispatch.rs`): whose deadline has come is told so;
//! 4. *deliver* (`deliver.rs`): who waits for what was published meanwhile is told;
//! 5. *resume* (`deliver.rs`): who paused in mid-work goes on a little; what it publishes is delivered too.
//!
//! In each of them a connection *reacts*, and after each reaction [`Server::settle`] (`settle.rs`)
//! derives from its state what everybody else must know: the kernel (interest), the wheel (deadline)
//! and the channel (subscription). It does so at once, and not at the end of the turn, so that the
//! answer leaves while the connection is at hand and the first of ten thousand subscribers hears the
//! news before the last one is even looked at.

mod clock;
mod crowd;
mod deliver;
mod dispatch;
mod drain;
mod gate;
mod histogram;
mod ledger;
mod log;
mod metrics;
mod mirror;
mod narration;
mod report;
mod settle;
mod swap;

pub use drain::Exit;
pub use gate::RESERVE;
pub use log::Log;

use crate::buffer::Outgoing;
use crate::connection::Connection;
use crate::multiplexer::{BATCH, Interest, Mechanism, Multiplexer, Ready, Token};
use crate::settings::{Language, Settings};
use crate::sys::{self, Endpoint, Fd, Moment};
use crate::table::{Id, Table};
use crate::technique::{BrowserKey, Hub};
use crate::wheel::Wheel;
use clock::Clock;
use crowd::Crowd;
use drain::Drain;
use gate::Gate;
use histogram::Histogram;
use ledger::Ledger;
use mirror::Mirror;
use narration::Story;
use std::collections::HashMap;
use std::io;
use std::time::Duration;

/// What the server is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to listen.
    pub listen: Vec<Endpoint>,
    /// How to wait.
    pub mechanism: Mechanism,
    /// How many connections there may be; past it 503.
    pub max_connections: usize,
    /// How many of one address; past it 429.
    pub max_connections_per_ip: Option<usize>,
    /// The longest that clients may take to leave.
    pub drain_timeout: Duration,
    /// What is said of each connection.
    pub log: Log,
    /// In which language the loop is narrated, if calls are being told (`sys::narrate`).
    pub language: Language,
    /// What the conversations keep to.
    pub settings: Settings,
}

/// The server.
pub struct Server {
    multiplexer: Box<dyn Multiplexer>,
    signals: Fd,
    gate: Gate,
    table: Table<Connection>,
    wheel: Wheel,
    hub: Hub,
    /// Whose long poll is parked where: a second one releases the first.
    browsers: HashMap<BrowserKey, Id>,
    /// Long polls whose place was taken in this reaction.
    replaced: Vec<Id>,
    /// Who paused in mid-work and goes on in the next beat.
    unfinished: Vec<Id>,
    drain: Option<Drain>,
    drain_timeout: Duration,
    log: Log,
    story: Story,
    mirror: Mirror,
    crowd: Option<Crowd>,
    ledger: Ledger,
    meters: Meters,
    clock: Clock,
    /// What the reaction at hand has to say.
    out: Outgoing,
    /// Where all reading goes.
    buffer: Vec<u8>,
    ready: Vec<Ready>,
    /// For how many turns in a row the timers have been put off.
    put_off: usize,
    due: Vec<u32>,
}

/// What the loop measures of itself.
#[derive(Debug, Default)]
struct Meters {
    wakeups: u64,
    ready: u64,
    accepted: u64,
    /// Readiness of an fd whose connection was gone.
    stale: u64,
    /// Seconds from waking to sleeping.
    turns: Histogram,
    /// Seconds from a deadline to its being told.
    lateness: Histogram,
}

/// The timers that belong to no connection, and then one for each slot of the table.
const REST_TIMER: u32 = 0;
const DRAIN_TIMER: u32 = 1;
const MIRROR_TIMER: u32 = 2;
const CROWD_TIMER: u32 = 3;
const FIRST_CONNECTION_TIMER: u32 = 4;

fn timer_of(id: Id) -> u32 {
    id.slot + FIRST_CONNECTION_TIMER
}

/// What a token stands for. A connection's is its id, whose upper half is never 0.
enum Source {
    Signals,
    Listener(usize),
    Crowd,
    Connection(Id),
}

const SIGNALS: Token = Token(0);
const CROWD: Token = Token(u32::MAX as u64);

fn listener_token(index: usize) -> Token {
    Token(index as u64 + 1)
}

impl Source {
    fn of(token: Token) -> Source {
        match (Id::from_bits(token.0), token.0) {
            (Some(id), _) => Source::Connection(id),
            (None, 0) => Source::Signals,
            (None, _) if token == CROWD => Source::Crowd,
            (None, place) => Source::Listener(place as usize - 1),
        }
    }
}

/// What failed at the start, on what, and why.
#[derive(Debug)]
pub struct StartError {
    /// What the server was about to do.
    pub doing: String,
    /// What the kernel said.
    pub error: io::Error,
}

impl Server {
    /// Opens everything that the plan names; serves nothing yet.
    pub fn start(plan: Plan) -> Result<Server, StartError> {
        let failed = |doing: &str| {
            let doing = doing.to_owned();
            move |error| StartError { doing, error }
        };
        // Signals first: from here on none can be lost.
        let signals = sys::block_and_open().map_err(failed("open a signalfd"))?;
        let mut multiplexer = plan.mechanism.open().map_err(failed("open an epoll instance"))?;
        let seed = sys::random_u64().map_err(failed("read randomness"))?;
        multiplexer.add(&signals, SIGNALS, Interest::READ).map_err(failed("watch the signalfd"))?;
        let gate = Gate::open(&plan, &mut *multiplexer)?;
        let buffer = vec![0; plan.settings.max_head.max(64 * 1024)];
        Ok(Server {
            multiplexer,
            signals,
            gate,
            table: Table::default(),
            wheel: Wheel::new(),
            hub: Hub::new(plan.settings, seed),
            browsers: HashMap::new(),
            replaced: Vec::new(),
            unfinished: Vec::new(),
            drain: None,
            drain_timeout: plan.drain_timeout,
            log: plan.log,
            story: Story::new(plan.language),
            mirror: Mirror::default(),
            crowd: None,
            ledger: Ledger::default(),
            meters: Meters::default(),
            clock: Clock::start(),
            out: Outgoing::default(),
            buffer,
            ready: Vec::new(),
            put_off: 0,
            due: Vec::new(),
        })
    }

    /// Where it listens, with the ports that the kernel chose.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.gate.endpoints()
    }

    /// Serves until it is told to go and everybody has left. An error is one of the wait itself, which
    /// nothing can mend.
    pub fn run(mut self) -> io::Result<Exit> {
        self.hub.tally.keep_journal(self.log == Log::Requests || sys::is_narrating());
        let mut rested = sys::moment();
        loop {
            // 1. Sleep.
            let timeout = self.timeout(rested);
            if sys::is_narrating() {
                self.tell_sleep(timeout, rested);
            }
            self.multiplexer.wait(timeout, &mut self.ready)?;
            let woken = sys::moment();
            let now = self.clock.now(woken);
            self.meters.wakeups += 1;
            self.meters.ready += self.ready.len() as u64;
            // 2. Dispatch.
            if sys::is_narrating() {
                self.tell_waking(timeout, now);
            }
            for index in 0..self.ready.len() {
                self.dispatch(self.ready[index], now);
            }
            // 3. Expire.
            if self.has_heard_everybody() {
                self.expire(now);
            }
            // 4. Deliver.
            self.deliver(now);
            // 5. Resume.
            if self.is_in_mid_work() {
                self.resume(now);
            }
            self.audit();
            self.ledger.end_turn();
            sys::charge_to(ledger::LOOP);
            rested = sys::moment();
            self.meters.turns.observe(rested.nanos_since(woken));
            if let Some(exit) = self.exit() {
                return Ok(exit);
            }
        }
    }

    /// Whether nobody can have spoken in time and not been heard. A full batch may leave some for the next; it
    /// is waited for as often as it takes to hear everybody once.
    fn has_heard_everybody(&mut self) -> bool {
        let may_be_more = self.ready.len() >= BATCH && self.put_off <= self.table.len() / BATCH;
        self.put_off = if may_be_more { self.put_off + 1 } else { 0 };
        !may_be_more
    }

    /// Whether there is something left to do that nobody has to wake the loop for.
    fn is_in_mid_work(&self) -> bool {
        !self.unfinished.is_empty() || self.is_looking()
    }

    /// How long to sleep from `now` on, in milliseconds: until the wheel's next deadline. Not at all while
    /// somebody is in mid-work.
    fn timeout(&self, now: Moment) -> Option<u64> {
        if self.is_in_mid_work() {
            return Some(0);
        }
        let next = self.wheel.next()?;
        Some(next.since(self.clock.tick(now)))
    }
}
