//! Who is let in.
//!
//! The listeners, and the limits on how many may come. When fds have run out the listeners *rest*:
//! a level-triggered listener that nobody can accept from would wake the loop for ever. Who waits
//! in the backlog is told 503, with the one fd that is held back for that; and the rest ends as soon
//! as a connection closes, or after a tenth of a second.

use super::ledger::{LOOP, account_of};
use super::narration::Cause;
use super::{Plan, REST_TIMER, Server, StartError, listener_token};
use crate::connection::{Connection, Peer};
use crate::http::problem::{Problem, Status};
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Token};
use crate::sys::{self, Call, Endpoint, Fd, Listening, Scarcity};
use crate::table::Id;
use crate::technique::{Conversation, Name, Turn};
use crate::tick::{Now, Tick};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How many connections one listener is taken from in one turn, so that a rush does not keep the
/// others waiting.
const ACCEPTS_A_TURN: usize = 256;
/// How long the listeners rest when fds have run out.
const REST: Duration = Duration::from_millis(100);
/// How many who are told that there is no room may still be leaving; past it they are cut short.
const LEAVING_AT_MOST: usize = 32;
/// What a client that is turned away may do (RFC 9110 §10.2.3).
const RETRY: &[(&str, &str)] = &[("Retry-After", "1")];

/// fds that are kept back for what is no connection: the listeners, the multiplexer, the signals, the spare one,
/// those who are told that there is no room, and a reading of /proc.
pub const RESERVE: usize = 64;

/// The listeners and the limits.
#[derive(Debug)]
pub(super) struct Gate {
    listeners: Vec<Listening>,
    /// How many there may be, whatever the mechanism.
    max_connections: usize,
    max_per_ip: Option<usize>,
    per_ip: HashMap<IpAddr, usize>,
    /// How many of those in the table were refused, and are leaving.
    refused: usize,
    /// The mechanism can watch no fd from this number on.
    ceiling: Option<i32>,
    /// Held back, to be given up when there are no other fds.
    spare: Option<Fd>,
    resting: bool,
    /// When a lack of room was last told to the operator.
    complained: Option<Tick>,
}

impl Gate {
    /// Listens wherever the plan says, and has the listeners watched.
    pub(super) fn open(plan: &Plan, multiplexer: &mut dyn Multiplexer) -> Result<Gate, StartError> {
        let mut listeners = Vec::new();
        for (index, endpoint) in plan.listen.iter().enumerate() {
            let failed = |error| StartError { doing: format!("listen on {}", name(endpoint)), error };
            let listening = sys::listen_on(endpoint, plan.settings.idle_timeout).map_err(failed)?;
            multiplexer.add(&listening.fd, listener_token(index), Interest::READ).map_err(failed)?;
            listeners.push(listening);
        }
        Ok(Gate {
            listeners,
            max_connections: plan.max_connections,
            max_per_ip: plan.max_connections_per_ip,
            per_ip: HashMap::new(),
            refused: 0,
            ceiling: plan.mechanism.fd_ceiling(),
            spare: sys::open_spare().ok(),
            resting: false,
            complained: None,
        })
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(|listening| &listening.endpoint)
    }

    /// The listeners, each with its token and what is asked about it.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&Fd, Token, Interest)> {
        let interest = if self.resting { Interest::NONE } else { Interest::READ };
        let listeners = self.listeners.iter().enumerate();
        listeners.map(move |(index, listening)| (&listening.fd, listener_token(index), interest))
    }

    /// The fd that is held back, if there is one.
    pub(super) fn spare(&self) -> Option<i32> {
        self.spare.as_ref().map(Fd::number)
    }

    /// From now on the multiplexer is one of this kind.
    pub(super) fn suit(&mut self, mechanism: Mechanism) {
        self.ceiling = mechanism.fd_ceiling();
    }

    /// How many connections there may be: below its ceiling select must leave room for what is none.
    fn room(&self) -> usize {
        let ceiling = self.ceiling.map_or(usize::MAX, |ceiling| ceiling as usize - RESERVE);
        self.max_connections.min(ceiling)
    }

    /// How many more of them there may be, of this address, if there are so many in the table.
    pub(super) fn room_for(&self, ip: IpAddr, in_table: usize) -> usize {
        let room = self.room().saturating_sub(in_table - self.refused);
        let of_this_address = self.per_ip.get(&ip).copied().unwrap_or(0);
        self.max_per_ip.map_or(room, |most| room.min(most.saturating_sub(of_this_address)))
    }

    /// A connection has gone.
    pub(super) fn left(&mut self, peer: Peer, was_refused: bool) {
        if was_refused {
            self.refused -= 1;
            return;
        }
        let Some(ip) = self.max_per_ip.and(peer.ip) else { return };
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }

    /// A connection has come, and was let in.
    fn came(&mut self, peer: Peer) {
        if let Some(ip) = self.max_per_ip.and(peer.ip) {
            *self.per_ip.entry(ip).or_default() += 1;
        }
    }

    /// Whether there are as many connections of this peer's address as there may be.
    fn has_enough_of(&self, peer: Peer) -> bool {
        let count = peer.ip.and_then(|ip| self.per_ip.get(&ip));
        self.max_per_ip.is_some_and(|most| count.is_some_and(|&count| count >= most))
    }
}

/// What a client is told for whom there is no room.
fn full() -> Problem {
    let detail = "The server has as many connections as it may have; come again a little later.";
    Problem::fatal(Status::ServiceUnavailable, detail).with(RETRY)
}

/// As users write it.
fn name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address) => address.to_string(),
        Endpoint::Unix(path) => format!("unix:{}", path.display()),
    }
}

impl Server {
    /// Takes in who waits in the backlog, up to a bound. Returns whether there may be more.
    #[inline(never)]
    pub(super) fn accept(&mut self, index: usize, now: Now) -> bool {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listening) = self.gate.listeners.get(index) else { return false };
            sys::charge_to(LOOP);
            match sys::accept4(&listening.fd) {
                Ok((fd, address)) => {
                    let peer = Peer::new(address);
                    self.tell_let_in(fd.number(), peer);
                    self.admit(fd, peer, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tell_nobody_let_in(false);
                    return false;
                }
                Err(error) => {
                    if let Some(scarcity) = sys::scarcity(&error) {
                        self.tell_nobody_let_in(true);
                        self.run_out(index, scarcity, now);
                        return false;
                    }
                    // Somebody gave up while waiting (ECONNABORTED), or the like: not our trouble.
                }
            }
        }
        true
    }

    fn admit(&mut self, fd: Fd, peer: Peer, now: Now) {
        self.meters.accepted += 1;
        sys::charge_to(account_of(Name::Http));
        sys::recharge(Call::Accept4, LOOP, account_of(Name::Http));
        if self.gate.ceiling.is_some_and(|ceiling| fd.number() >= ceiling) {
            let why = "select(2) can watch no fd from 1024 (FD_SETSIZE) on";
            self.complain(&format!("{why}: refused {peer} with 503"), now);
            return self.turn_away(&fd, peer, &full(), now);
        }
        let refusal = self.refusal(peer, now);
        if let Some(problem) = refusal.as_ref().filter(|_| self.gate.refused >= LEAVING_AT_MOST) {
            return self.turn_away(&fd, peer, problem, now);
        }
        let id = self.table.insert(Connection::new(fd, peer, Interest::READ, now.tick));
        if let Err(error) = self.watch(id) {
            self.complain(&format!("cannot watch another fd: {error}; refused {peer} with 503"), now);
            let connection = self.table.remove(id).expect("OK because it was inserted above");
            return self.turn_away(&connection.fd, peer, &full(), now);
        }
        self.ledger.came(Name::Http, now.tick);
        match refusal {
            None => {
                self.gate.came(peer);
                self.settle(id, now);
            }
            Some(problem) => {
                self.gate.refused += 1;
                self.converse(id, Cause::Refused, now, |talk, turn| talk.refuse(turn, &problem));
            }
        }
    }

    /// Why there is no place for this peer, if there is none.
    fn refusal(&mut self, peer: Peer, now: Now) -> Option<Problem> {
        // Those who were refused are leaving, and take up no place.
        if self.table.len() - self.gate.refused >= self.gate.room() {
            self.complain(&self.why_full(), now);
            return Some(full());
        }
        if self.gate.has_enough_of(peer) {
            let detail = "Your address has as many connections as --max-connections-per-ip allows.";
            return Some(Problem::fatal(Status::TooManyRequests, detail).with(RETRY));
        }
        None
    }

    fn watch(&mut self, id: Id) -> io::Result<()> {
        let connection = self.table.get(id).expect("OK because it was just inserted");
        self.multiplexer.add(&connection.fd, Token(id.to_bits()), connection.interest)?;
        let number = connection.fd.number();
        self.mirror.changed(number);
        self.tell_watch(number);
        Ok(())
    }

    /// Refuses somebody for whom there is no place in the table. What has come from it is read, or
    /// closing would be a reset, and the reset could overtake the answer.
    fn turn_away(&mut self, fd: &Fd, peer: Peer, problem: &Problem, now: Now) {
        let mut turn = Turn::new(&mut self.hub, now, &mut self.out, 0, peer.ip);
        let _ = Conversation::new(now.tick).refuse(&mut turn, problem);
        let _ = sys::write(fd, &self.out.own);
        self.tell_refusal();
        let _ = sys::shutdown_write(fd);
        let _ = sys::read(fd, &mut self.buffer);
        self.out.clear();
        let answered = self.hub.tally.take_journal();
        self.log_requests(peer, &answered);
    }

    fn why_full(&self) -> String {
        let count = self.gate.room();
        let why = match self.multiplexer.mechanism() {
            Mechanism::Select => {
                "; select(2) can watch no fd from 1024 (FD_SETSIZE) on, so it never allows many more"
            }
            Mechanism::Epoll | Mechanism::Poll => "",
        };
        format!("{count} connections are as many as --max-connections allows, others get 503{why}")
    }

    /// fds have run out: gives up the spare one to tell those who wait, and rests.
    fn run_out(&mut self, index: usize, scarcity: Scarcity, now: Now) {
        let whose = match scarcity {
            Scarcity::Process => "this process has no file descriptors left (ulimit -n)",
            Scarcity::System => "the system has no file descriptors or socket memory left",
        };
        let open = self.table.len();
        self.complain(&format!("{whose}; {open} connections are open, others get 503 until some close"), now);
        for _ in 0..ACCEPTS_A_TURN {
            self.gate.spare = None;
            let Some(listening) = self.gate.listeners.get(index) else {
                break;
            };
            let Ok((fd, address)) = sys::accept4(&listening.fd) else { break };
            self.turn_away(&fd, Peer::new(address), &full(), now);
        }
        self.gate.spare = sys::open_spare().ok();
        self.gate.resting = true;
        self.watch_listeners(Interest::NONE);
        self.wheel.arm(REST_TIMER, now.tick + REST);
    }

    /// Accepts again, if it had stopped.
    pub(super) fn end_rest(&mut self) {
        if !self.gate.resting {
            return;
        }
        if self.gate.spare.is_none() {
            self.gate.spare = sys::open_spare().ok();
        }
        self.gate.resting = false;
        self.wheel.cancel(REST_TIMER);
        self.watch_listeners(Interest::READ);
    }

    fn watch_listeners(&mut self, interest: Interest) {
        for (index, listening) in self.gate.listeners.iter().enumerate() {
            // OK to ignore because these fds are open and were added: there is nothing to fail.
            let _ = self.multiplexer.modify(&listening.fd, listener_token(index), interest);
            self.mirror.changed(listening.fd.number());
        }
    }

    /// Takes in everybody who waits in the backlog, and then listens no longer.
    pub(super) fn close_gate(&mut self, now: Now) {
        for index in 0..self.gate.listeners.len() {
            while self.accept(index, now) {}
        }
        for listening in self.gate.listeners.drain(..) {
            self.multiplexer.forget(&listening.fd);
            self.mirror.changed(listening.fd.number());
            if let Endpoint::Unix(path) = &listening.endpoint {
                sys::remove_socket_file(path);
            }
        }
        self.gate.resting = false;
        self.wheel.cancel(REST_TIMER);
    }

    /// Tells the operator, but not more often than every ten seconds.
    fn complain(&mut self, what: &str, now: Now) {
        const PAUSE: u64 = 10_000;
        if self.gate.complained.is_none_or(|before| now.tick.since(before) >= PAUSE) {
            self.gate.complained = Some(now.tick);
            sys::stderr_line(&format!("doorbell: {what}"));
        }
    }
}
