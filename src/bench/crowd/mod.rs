//! A crowd of clients that follow a channel, and somebody who publishes to it: one thread, sockets that never
//! block, our own multiplexer and wheel.
//!
//! The rules of its interface:
//!
//! - Any server will do that has a path for each technique and takes `POST /event`: what a crowd knows of a
//!   server stands in its [`Manner`].
//! - Events are numbered, and found again by that number. Every client hears each event once and in order, or it
//!   is an error.
//! - The same thread publishes and hears, so one clock measures both.
//! - A crowd ends with resets, so that nothing stays behind that holds a port.

mod answer;
mod bell;
mod client;
mod event;
mod heard;

pub use client::{Manner, Resume, Via};
pub use heard::Heard;

use super::{PATIENCE, line};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Ready, Token};
use crate::sys::{self, Fd, Moment};
use crate::tick::Tick;
use crate::wheel::Wheel;
use bell::Bell;
use client::Client;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How many come before the server is given time, so that its backlog is never full.
const BATCH: usize = 250;
/// What one read takes at most.
const ROOM: usize = 64 * 1024;
const BELL: Token = Token(u64::MAX);

/// What an EventSource says of itself (HTML §9.2.3).
pub const EVENT_SOURCE: &str = "Accept: text/event-stream\r\n";
/// What asks for a WebSocket. Any 16 bytes will do as a key, for nobody looks at what becomes of it; these are from
/// RFC 6455 §1.2.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Clients, and a publisher.
pub struct Crowd {
    /// Whether it stays awake while an event is on its way: where it has a processor to itself, so that the server
    /// does not pay for waking it.
    pub is_restless: bool,
    /// Whether long polls are sent again only when everybody has heard, so that nobody hears later for what others
    /// ask. One event can be played at a time then.
    pub asks_together: bool,
    manner: Manner,
    members: Vec<Member>,
    bell: Bell,
    multiplexer: Epoll,
    ready: Vec<Ready>,
    /// When short polls are due; the keys are places in `members`.
    wheel: Wheel,
    due: Vec<u32>,
    start: Moment,
    room: Box<[u8]>,
    greeted: usize,
    /// When each event was published.
    published: Vec<Moment>,
    heard: Heard,
}

/// A client and its socket.
struct Member {
    socket: Fd,
    client: Client,
    /// Whether a poll of it is under way.
    is_asking: bool,
}

impl Crowd {
    /// Lets so many connect and say what they want; what does not end has begun then. After each few hundred of them
    /// `settle` waits until the server has seen to those who have come; it is told how many they are. Short polls
    /// begin only with [`Crowd::play`]. Events have `size` bytes, and go to the `server` straight away, by whatever
    /// `address` the clients come.
    pub fn open(
        server: SocketAddr,
        address: SocketAddr,
        manner: Manner,
        clients: usize,
        size: usize,
        mut settle: impl FnMut(usize) -> Result<(), String>,
    ) -> Result<Crowd, String> {
        let bell = Bell::new(connect(server)?, &manner.channel, size);
        let mut multiplexer = Epoll::new().map_err(|error| told("epoll_create1", &error))?;
        watch(&mut multiplexer, &bell.socket, BELL)?;
        let mut crowd = Crowd {
            is_restless: false,
            asks_together: false,
            manner,
            members: Vec::with_capacity(clients),
            bell,
            multiplexer,
            ready: Vec::new(),
            wheel: Wheel::new(),
            due: Vec::new(),
            start: sys::moment(),
            room: vec![0; ROOM].into_boxed_slice(),
            greeted: 0,
            published: Vec::new(),
            heard: Heard::default(),
        };
        while crowd.members.len() < clients {
            let batch = BATCH.min(clients - crowd.members.len());
            for _ in 0..batch {
                let at = crowd.members.len();
                let told = |error| format!("client {} of {clients}: {error}", at + 1);
                crowd.join(address).map_err(told)?;
            }
            crowd.await_greetings()?;
            settle(crowd.members.len())?;
        }
        Ok(crowd)
    }

    fn join(&mut self, address: SocketAddr) -> Result<(), String> {
        let at = self.members.len();
        let socket = connect(address)?;
        watch(&mut self.multiplexer, &socket, Token(at as u64))?;
        self.members.push(Member { socket, client: Client::default(), is_asking: false });
        match self.manner.via {
            Via::ShortPoll(_) => Ok(()),
            Via::LongPoll => self.ask(at),
            Via::Endless | Via::WebSocket => self.send(at, &self.manner.opening()),
        }
    }

    fn await_greetings(&mut self) -> Result<(), String> {
        let start = sys::moment();
        let is_greeted = matches!(self.manner.via, Via::Endless | Via::WebSocket);
        while is_greeted && self.greeted < self.members.len() {
            if start.elapsed() > PATIENCE {
                let (greeted, all) = (self.greeted, self.members.len());
                return Err(format!("only {greeted} of {all} clients were answered"));
            }
            self.turn(100)?;
        }
        Ok(())
    }

    /// Publishes so many events with this much time from one to the next, and waits until everybody has heard them
    /// all, and until the last one's time is over, too.
    pub fn play(&mut self, events: u64, gap: Duration) -> Result<Heard, String> {
        let start = sys::moment();
        self.heard = Heard::default();
        self.begin_short_polls();
        let (first, whole) = (self.published.len() as u64, gap * events as u32);
        let last = first + events;
        loop {
            let elapsed = start.elapsed();
            let due = if gap.is_zero() { events } else { events.min(ceiling(elapsed, gap)) };
            self.publish_up_to(first + due)?;
            let is_over = self.heard.count() == events as usize * self.members.len()
                && self.bell.answered == last
                && elapsed >= whole;
            if is_over {
                break;
            }
            if elapsed > whole + self.patience() {
                return Err(self.unheard(events));
            }
            let next = if due < events { gap * due as u32 } else { whole.max(elapsed) };
            // The last part of a millisecond is waited for awake, lest several events fall due together. Once all
            // is published only the rest of the answers is waited for.
            let wait = next.saturating_sub(elapsed).as_millis() as u64;
            let wait = if elapsed < whole { wait } else { 100 };
            self.turn(if self.is_restless { 0 } else { wait })?;
        }
        let mut heard = std::mem::take(&mut self.heard);
        heard.close(start.elapsed());
        if self.asks_together {
            self.ask_again()?;
        }
        Ok(heard)
    }

    fn ask_again(&mut self) -> Result<(), String> {
        for at in 0..self.members.len() {
            if self.manner.via == Via::LongPoll && !self.members[at].is_asking {
                self.ask(at)?;
            }
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        match self.manner.via {
            Via::ShortPoll(interval) => PATIENCE + 2 * interval,
            _ => PATIENCE,
        }
    }

    fn unheard(&self, events: u64) -> String {
        let all = events as usize * self.members.len();
        format!(
            "the server was silent for {} s: {} of {all} deliveries had come, and {} of {} publications were \
             answered",
            PATIENCE.as_secs(),
            self.heard.count(),
            self.bell.answered,
            self.published.len()
        )
    }

    /// Spreads the clients evenly over the interval, so that the server is asked all the time.
    fn begin_short_polls(&mut self) {
        let Via::ShortPoll(interval) = self.manner.via else { return };
        let (now, count) = (self.now(), self.members.len());
        for at in 0..count {
            self.wheel.arm(at as u32, now + interval * at as u32 / count as u32);
        }
    }

    fn now(&self) -> Tick {
        Tick(self.start.elapsed().as_millis() as u64)
    }

    fn publish_up_to(&mut self, last: u64) -> Result<(), String> {
        if (self.published.len() as u64) < last {
            let now = sys::moment();
            while (self.published.len() as u64) < last {
                self.published.push(now);
                self.bell.ring(self.published.len() as u64);
            }
            self.flush_bell()?;
        }
        Ok(())
    }

    fn flush_bell(&mut self) -> Result<(), String> {
        let before = self.bell.interest();
        self.bell.flush()?;
        let after = self.bell.interest();
        if before != after {
            let changed = self.multiplexer.modify(&self.bell.socket, BELL, after);
            changed.map_err(|error| told("epoll_ctl", &error))?;
        }
        Ok(())
    }

    /// Waits for so many milliseconds at most, and sees to all that is ready or due.
    fn turn(&mut self, patience: u64) -> Result<(), String> {
        let now = self.now();
        let next = self.wheel.next().map_or(u64::MAX, |next| next.since(now));
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.multiplexer.wait(Some(patience.min(next)), &mut ready);
        waited.map_err(|error| told("epoll_wait", &error))?;
        for one in &ready {
            match one.token {
                BELL => self.on_bell(one)?,
                Token(at) => self.on_ready(at as usize)?,
            }
        }
        self.ready = ready;
        self.ask_who_is_due()
    }

    fn ask_who_is_due(&mut self) -> Result<(), String> {
        let Via::ShortPoll(interval) = self.manner.via else { return Ok(()) };
        let now = self.now();
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(now, &mut due);
        for key in due.drain(..) {
            self.wheel.arm(key, now + interval);
            // Who was not answered yet leaves one out.
            if !self.members[key as usize].is_asking {
                self.ask(key as usize)?;
            }
        }
        self.due = due;
        Ok(())
    }

    fn on_bell(&mut self, ready: &Ready) -> Result<(), String> {
        if ready.readable {
            let count = read(&self.bell.socket, &mut self.room)?;
            self.bell.on_bytes(&self.room[..count])?;
        }
        self.flush_bell()
    }

    fn on_ready(&mut self, at: usize) -> Result<(), String> {
        let member = &mut self.members[at];
        let count = read(&member.socket, &mut self.room)?;
        let now = sys::moment();
        let (published, heard) = (&self.published, &mut self.heard);
        let news = member.client.on_bytes(&self.manner, &self.room[..count], |event| {
            // An event that was never published is seen by who hears it: it comes out of order.
            let published = published.get(event as usize - 1).copied().unwrap_or(now);
            heard.event(event, now.duration_since(published));
        })?;
        self.heard.answers += news.answers;
        self.greeted += usize::from(news.greeted);
        if news.answers == 0 {
            return Ok(());
        }
        self.members[at].is_asking = false;
        if self.manner.via == Via::LongPoll && !self.asks_together { self.ask(at) } else { Ok(()) }
    }

    fn ask(&mut self, at: usize) -> Result<(), String> {
        let request = self.members[at].client.poll(&self.manner);
        self.members[at].is_asking = true;
        self.send(at, &request)
    }

    /// A client has one request under way at most, so there is always room for it.
    fn send(&self, at: usize, request: &str) -> Result<(), String> {
        match sys::write(&self.members[at].socket, request.as_bytes()) {
            Ok(count) if count == request.len() => Ok(()),
            Ok(_) => Err("the kernel did not take a request as a whole".to_owned()),
            Err(error) => Err(line::broken("write to", &error)),
        }
    }
}

/// How many whole and begun gaps have passed, at least the first.
fn ceiling(elapsed: Duration, gap: Duration) -> u64 {
    (elapsed.as_nanos() / gap.as_nanos()) as u64 + 1
}

fn connect(address: SocketAddr) -> Result<Fd, String> {
    let socket = sys::dial(address, PATIENCE)
        .map_err(|error| format!("cannot connect to {address}: {error}; is the server still there?"))?;
    let ready = sys::reset_on_close(&socket).and_then(|()| sys::set_nonblocking(&socket));
    ready.map_err(|error| told("setsockopt", &error))?;
    Ok(socket)
}

fn watch(multiplexer: &mut Epoll, socket: &Fd, token: Token) -> Result<(), String> {
    multiplexer.add(socket, token, Interest::READ).map_err(|error| told("epoll_ctl", &error))
}

/// What has come; 0 bytes if nothing has, after all.
fn read(socket: &Fd, room: &mut [u8]) -> Result<usize, String> {
    match sys::read(socket, room) {
        Ok(0) => Err("the server closed a connection".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result.map_err(|error| line::broken("read from", &error)),
    }
}

fn told(call: &str, error: &io::Error) -> String {
    format!("{call} failed in the crowd: {error}")
}
