//! A relay that puts distance between a client and a server: what comes is passed on a while later, each way.
//!
//! The rules of its interface:
//!
//! - One thread, one multiplexer, one timing wheel. A [`Relay`] has a thread of its own, and ends when it is dropped;
//!   [`run`] takes the caller's, and ends when it is told to.
//! - Bytes keep their order and their pieces: each read is passed on as one write, no earlier than the delay after
//!   it. An end (FIN) is passed on like bytes, an error ends both sides.
//! - Who has [`MOST_ON_THE_WAY`] on the way to a peer that does not take it is not read any further.
//! - Connecting is not delayed: only what is said is. A client whose server cannot be reached is hung up on, and so is
//!   one for whom there are no fds.

use crate::multiplexer::{Epoll, Interest, Multiplexer, Ready, Token};
use crate::sys::{self, Endpoint, Fd, Moment};
use crate::table::{Id, Table};
use crate::tick::Tick;
use crate::wheel::Wheel;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long it may take to reach the server.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many bytes may be on their way to one end, before the other is asked for no more.
const MOST_ON_THE_WAY: usize = 16 << 20;

/// A relay that runs.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    /// Closed to end it.
    leash: Option<Fd>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens on a free port of the loopback address, and relays to `server` with this delay each way.
    pub fn start(server: SocketAddr, delay: Duration) -> Result<Relay, String> {
        let told = |error: io::Error| format!("cannot start the relay: {error}");
        let (leash, collar) = sys::socketpair().map_err(told)?;
        let (mut works, address) = Works::open(0, collar, server, delay).map_err(told)?;
        let thread = std::thread::spawn(move || {
            // Whatever fails here is seen by the clients: what they wait for does not come.
            let _ = works.run();
        });
        Ok(Relay { address, leash: Some(leash), thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.leash = None;
        // OK to ignore because a thread that has panicked has ended, too.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Relays to `server` from this port of the loopback address (0: any free one) until there is something to read from
/// `leash`. Says where it listens.
pub fn run(
    port: u16,
    server: SocketAddr,
    delay: Duration,
    leash: Fd,
    listens: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let (mut works, address) = Works::open(port, leash, server, delay)?;
    listens(address);
    works.run()
}

const LISTENER: Token = Token(0);
const LEASH: Token = Token(1);
/// Which end of a pair. The other one is `1 - end`.
const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Two connections, and what is on its way between them.
struct Pair {
    ends: [Fd; 2],
    /// What is on its way *to* each end, with the time at which it arrives. Nothing (no bytes) is the FIN.
    on_the_way: [VecDeque<(Tick, Vec<u8>)>; 2],
    /// How many bytes that is.
    weight: [usize; 2],
    /// Whether the other end is not read, because of that.
    is_paused: [bool; 2],
    /// Whether each end has had its FIN.
    has_ended: [bool; 2],
}

impl Pair {
    fn new(client: Fd, server: Fd) -> Pair {
        Pair {
            ends: [client, server],
            on_the_way: Default::default(),
            weight: [0; 2],
            is_paused: [false; 2],
            has_ended: [false; 2],
        }
    }

    /// Writes to an end what is due there. Returns when there is more to be done; what the kernel does not take is
    /// tried again a millisecond later.
    fn hand_over(&mut self, to: usize, now: Tick) -> io::Result<Option<Tick>> {
        while let Some((arrival, bytes)) = self.on_the_way[to].front_mut() {
            if *arrival > now {
                return Ok(Some(*arrival));
            }
            let written = match bytes.len() {
                0 => sys::shutdown_write(&self.ends[to]).map(|()| 0),
                _ => sys::write(&self.ends[to], bytes),
            };
            let count = match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Tick(now.0 + 1))),
                written => written?,
            };
            self.weight[to] -= count;
            if count < bytes.len() {
                bytes.drain(..count);
                continue;
            }
            self.has_ended[to] |= bytes.is_empty();
            self.on_the_way[to].pop_front();
        }
        Ok(None)
    }
}

struct Works {
    listener: Fd,
    server: SocketAddr,
    delay: Duration,
    multiplexer: Epoll,
    pairs: Table<Pair>,
    /// When something arrives; the key is that of [`key`].
    wheel: Wheel,
    start: Moment,
    room: Box<[u8]>,
    /// Given up for a moment when there is no other fd left, to hang up on whom nobody can serve: it would wait, and
    /// be reported, for ever.
    spare: Option<Fd>,
    /// Watched, for its end.
    _collar: Fd,
}

/// Each end of each pair is watched by a token and has a timer by a key.
fn token(id: Id, end: usize) -> Token {
    // The upper half of an id is a generation, of which one bit fewer will do: an id never looks like LISTENER.
    Token(id.to_bits() << 1 | end as u64)
}

fn key(slot: u32, end: usize) -> u32 {
    slot << 1 | end as u32
}

impl Works {
    /// Listens, and says where.
    fn open(port: u16, collar: Fd, server: SocketAddr, delay: Duration) -> io::Result<(Works, SocketAddr)> {
        let here = Endpoint::Tcp((Ipv4Addr::LOCALHOST, port).into());
        let listening = sys::listen_on(&here, Duration::ZERO)?;
        let Endpoint::Tcp(address) = listening.endpoint else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut multiplexer = Epoll::new()?;
        multiplexer.add(&listening.fd, LISTENER, Interest::READ)?;
        multiplexer.add(&collar, LEASH, Interest::READ)?;
        let works = Works {
            listener: listening.fd,
            server,
            delay,
            multiplexer,
            pairs: Table::default(),
            wheel: Wheel::new(),
            start: sys::moment(),
            room: vec![0; 64 * 1024].into_boxed_slice(),
            spare: sys::open_spare().ok(),
            _collar: collar,
        };
        Ok((works, address))
    }

    fn run(&mut self) -> io::Result<()> {
        let (mut ready, mut due): (Vec<Ready>, Vec<u32>) = (Vec::new(), Vec::new());
        loop {
            let now = self.now();
            let patience = self.wheel.next().map(|next| next.since(now));
            self.multiplexer.wait(patience, &mut ready)?;
            for one in &ready {
                match one.token {
                    LISTENER => self.accept()?,
                    LEASH => return Ok(()),
                    Token(bits) => self.take(bits),
                }
            }
            self.wheel.expire(self.now(), &mut due);
            for key in due.drain(..) {
                self.hand_over(key);
            }
        }
    }

    fn now(&self) -> Tick {
        Tick(self.start.elapsed().as_millis() as u64)
    }

    fn accept(&mut self) -> io::Result<()> {
        let client = match sys::accept4(&self.listener) {
            Ok((client, _)) => client,
            Err(error) if is_nobody(&error) => return Ok(()),
            Err(error) => return self.turn_away(error),
        };
        let Ok(server) = sys::dial(self.server, PATIENCE) else { return Ok(()) };
        sys::set_nonblocking(&server)?;
        let id = self.pairs.insert(Pair::new(client, server));
        for end in [CLIENT, SERVER] {
            let pair = self.pairs.get(id).expect("OK because it was inserted above");
            self.multiplexer.add(&pair.ends[end], token(id, end), Interest::READ)?;
        }
        Ok(())
    }

    /// There is no fd for whoever waits: hangs up on it by means of the spare one.
    fn turn_away(&mut self, error: io::Error) -> io::Result<()> {
        self.spare.take().ok_or(error)?;
        drop(sys::accept4(&self.listener));
        self.spare = sys::open_spare().ok();
        Ok(())
    }

    /// Something has come from an end, and is on its way to the other one.
    fn take(&mut self, bits: u64) {
        // One more, because the present tick has begun already: never early.
        let arrival = self.now() + self.delay + Duration::from_millis(1);
        let (slot, from) = ((bits >> 1) as u32, (bits & 1) as usize);
        // A pair that is gone has taken its fds along, so what is reported belongs to the one in the slot.
        let Some(id) = self.pairs.id_at(slot).filter(|&id| token(id, from) == Token(bits)) else { return };
        let pair = self.pairs.get_mut(id).expect("OK because it is there");
        let bytes = match sys::read(&pair.ends[from], &mut self.room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return self.part(id),
            Ok(count) => self.room[..count].to_vec(),
        };
        let to = 1 - from;
        pair.weight[to] += bytes.len();
        if bytes.is_empty() {
            // It would be reported again and again; the hang-up, too, which is reported to whoever asks for nothing.
            let _ = self.multiplexer.remove(&pair.ends[from]);
        } else if pair.weight[to] >= MOST_ON_THE_WAY {
            pair.is_paused[to] = true;
            let _ = self.multiplexer.modify(&pair.ends[from], Token(bits), Interest::NONE);
        }
        pair.on_the_way[to].push_back((arrival, bytes));
        if pair.on_the_way[to].len() == 1 {
            self.wheel.arm(key(slot, to), arrival);
        }
    }

    /// What is due at an end is written to it; and the other one is read again, if that had become too much.
    fn hand_over(&mut self, key: u32) {
        let now = self.now();
        let (slot, to) = (key >> 1, (key & 1) as usize);
        let Some(id) = self.pairs.id_at(slot) else { return };
        let pair = self.pairs.get_mut(id).expect("OK because it is there");
        match pair.hand_over(to, now) {
            Ok(Some(next)) => self.wheel.arm(key, next),
            Ok(None) if pair.has_ended != [true; 2] => {}
            _ => return self.part(id),
        }
        if pair.is_paused[to] && pair.weight[to] <= MOST_ON_THE_WAY / 2 {
            pair.is_paused[to] = false;
            let from = 1 - to;
            let _ = self.multiplexer.modify(&pair.ends[from], token(id, from), Interest::READ);
        }
    }

    fn part(&mut self, id: Id) {
        for end in [CLIENT, SERVER] {
            self.wheel.cancel(key(id.slot, end));
        }
        // epoll forgets what is closed (see Multiplexer::forget).
        self.pairs.remove(id);
    }
}

/// Whoever wanted to come in has gone, or a signal came between (accept(2)).
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | ConnectionAborted | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_is_said_arrives_later_and_in_order_and_ends() {
        const DELAY: Duration = Duration::from_millis(30);
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(server.local_addr().unwrap(), DELAY).unwrap();
        let mut client = TcpStream::connect(relay.address).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        for stream in [&client, &peer] {
            stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        }
        let begin = sys::moment();
        client.write_all(b"one").unwrap();
        client.write_all(b"two").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, "onetwo");
        assert!(begin.elapsed() >= DELAY);
        // The other way is open still.
        let begin = sys::moment();
        peer.write_all(&vec![b'x'; 1 << 20]).unwrap();
        drop(peer);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 1 << 20);
        assert!(begin.elapsed() >= DELAY);
    }
}
