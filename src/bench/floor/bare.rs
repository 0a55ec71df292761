//! The floor: a loop that waits, reads and writes as the server does, and does nothing else.
//!
//! It understands not one byte. How many have come is all it looks at: by that it knows a question from a
//! publication, and how many questions came in one piece. What it writes are as many zeros as the server
//! would write bytes.
//!
//! Whoever sends a single byte is told how many system calls it has made and how many seats are taken.

use crate::sys::{self, Endpoint, EpollEvent, EpollOp, Fd, Listening};
use slab::Slab;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How many bytes each thing has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// A question: it is answered, or, where something is published, takes a seat and gets no answer.
    pub question: usize,
    /// What a question is answered with, or, where something is published, the publication.
    pub answer: usize,
    /// A publication; 0 if there is none.
    pub publication: usize,
    /// What each seat is sent then.
    pub event: usize,
    /// Whether a seat is given up with the event, as a long poll's is.
    pub once: bool,
}

/// How many ready fds one wait returns at most; as many as the server's.
const BATCH: usize = 1024;
/// How much is read at once; as much as the server reads.
const ROOM: usize = 64 * 1024;
/// A question that no question is: it is too short.
pub(super) const HOW_MANY: [u8; 1] = [0];
/// System calls and seats, each a number of eight bytes.
pub(super) const THIS_MANY: usize = 16;

/// The sockets have the same options as the server's; this one is never put to the test.
const UNACKNOWLEDGED: Duration = Duration::from_secs(600);

const LISTENER: u64 = u64::MAX;

/// Listens on a free port of the loopback address, says so, and never returns but with an error.
pub fn serve(sizes: Sizes) -> io::Result<()> {
    sys::raise_fd_limit()?;
    let anywhere = Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let Listening { fd: listener, endpoint } = sys::listen_on(&anywhere, UNACKNOWLEDGED)?;
    let Endpoint::Tcp(address) = endpoint else { unreachable!("an address of TCP was asked for") };
    let epoll = sys::epoll_create1()?;
    sys::epoll_ctl(&epoll, listener.number(), EpollOp::Add(sys::EPOLLIN, LISTENER))?;
    sys::stdout_line(&format!("listening on http://{address}"));
    let longest = sizes.answer.max(1) * (ROOM / sizes.question.max(1) + 1);
    let mut floor = Floor {
        sizes,
        listener,
        epoll,
        guests: Slab::new(),
        seats: Vec::new(),
        buffer: vec![0; ROOM],
        zeros: vec![0; longest.max(sizes.event)],
    };
    let mut events = [EpollEvent::EMPTY; BATCH];
    loop {
        let count = match sys::epoll_wait(&floor.epoll, &mut events, -1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        for event in &events[..count] {
            match event.data() {
                LISTENER => floor.accept()?,
                guest => floor.read(guest as usize)?,
            }
        }
    }
}

struct Guest {
    socket: Fd,
    /// How many bytes of a question that is not whole have come.
    begun: usize,
}

struct Floor {
    sizes: Sizes,
    listener: Fd,
    epoll: Fd,
    guests: Slab<Guest>,
    seats: Vec<usize>,
    buffer: Vec<u8>,
    zeros: Vec<u8>,
}

impl Floor {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match sys::accept4(&self.listener) {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let number = socket.number();
            let guest = self.guests.insert(Guest { socket, begun: 0 });
            sys::epoll_ctl(&self.epoll, number, EpollOp::Add(sys::EPOLLIN, guest as u64))?;
        }
    }

    fn read(&mut self, at: usize) -> io::Result<()> {
        let guest = &mut self.guests[at];
        let Ok(count @ 1..) = sys::read(&guest.socket, &mut self.buffer) else {
            self.guests.remove(at);
            self.seats.retain(|&seat| seat != at);
            return Ok(());
        };
        match (count, self.sizes) {
            (1, _) if guest.begun == 0 => self.tell(at),
            (_, Sizes { publication: 0, question, answer, .. }) => {
                let (whole, begun) = ((guest.begun + count) / question, (guest.begun + count) % question);
                guest.begun = begun;
                if whole > 0 { write(guest, &self.zeros[..whole * answer]) } else { Ok(()) }
            }
            (_, Sizes { publication, .. }) if publication == count => self.ring(at),
            _ => {
                self.seats.push(at);
                Ok(())
            }
        }
    }

    /// Answers who publishes, as the server does, before anybody hears of it.
    fn ring(&mut self, publisher: usize) -> io::Result<()> {
        write(&self.guests[publisher], &self.zeros[..self.sizes.answer])?;
        let event = &self.zeros[..self.sizes.event];
        let mut at = 0;
        while let Some(&seat) = self.seats.get(at) {
            write(&self.guests[seat], event)?;
            if self.sizes.once {
                // In the server's order: the last one takes the seat of whoever leaves, and is next. Whose socket
                // was used last is served sooner, and what the kernel knows of it is in the cache still.
                self.seats.swap_remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    fn tell(&self, at: usize) -> io::Result<()> {
        let calls: u64 = sys::counts().map(|(_, count)| count).sum();
        let answer = [calls, self.seats.len() as u64].map(u64::to_ne_bytes).concat();
        debug_assert_eq!(answer.len(), THIS_MANY);
        write(&self.guests[at], &answer)
    }
}

/// A client of a bench takes all that it is sent; if not, there is nothing to measure.
fn write(guest: &Guest, bytes: &[u8]) -> io::Result<()> {
    match sys::write(&guest.socket, bytes) {
        Ok(count) if count < bytes.len() => Err(io::ErrorKind::WouldBlock.into()),
        // Gone, which a read will say.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Ok(()),
        result => result.map(drop),
    }
}

impl Sizes {
    /// As flags of `doorbell bench floor-server`.
    pub(super) fn words(&self) -> Vec<String> {
        let Sizes { question, answer, publication, event, once } = self;
        let sizes =
            [("question", question), ("answer", answer), ("publication", publication), ("event", event)];
        let mut words: Vec<String> = sizes.iter().map(|(name, size)| format!("--{name}={size}")).collect();
        words.extend(once.then(|| "--once".to_owned()));
        words
    }
}
