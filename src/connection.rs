//! One accepted socket: what is read from it goes to its conversation, and what that has to say is
//! written to it.
//!
//! It is in one of two phases. While it is *talking* its conversation decides everything. When that
//! has come to an end it is *leaving*: what was said is still being sent, and then, if the peer may
//! still be sending, our FIN goes out and its own is awaited.

use crate::buffer::{Outbox, Outgoing, Shared};
use crate::multiplexer::Interest;
use crate::settings::Settings;
use crate::sys::{self, Fd};
use crate::technique::{Conversation, Deadline, Due, Hub, Name, Round, Seat, Why};
use crate::tick::Tick;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The longest that a reader which was let go for its slowness may take to leave, sending included.
const LEAVE: Duration = Duration::from_secs(4);
/// The longest that the peer's FIN is awaited after ours.
const LINGER: Duration = Duration::from_secs(2);

/// An accepted socket.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub fd: Fd,
    /// Its position among the subscribers of its channel; of no meaning if it has no seat.
    pub position: u32,
    /// What the multiplexer was told.
    pub interest: Interest,
    /// What its timer was armed for.
    pub armed: Option<Due>,
    /// What the ledger was told that it speaks.
    pub name: Name,
    /// Whether it is on the list of those that go on by themselves.
    pub noted: bool,
    /// Who is on the other side.
    pub peer: Peer,
    /// When it was accepted.
    pub opened: Tick,
    /// Bytes read.
    pub received: u64,
    /// Bytes written.
    pub sent: u64,
    outbox: Outbox,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Talking(Conversation),
    Leaving(Leaving),
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    why: Why,
    looked: bool,
    /// Whether to wait for the peer's FIN.
    lingers: bool,
    /// Whether ours is out.
    fin_sent: bool,
    until: Tick,
}

/// What a connection that has sent everything does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It stays.
    Stay,
    /// Our FIN is out, and the peer's is awaited until then.
    Linger(Tick),
    /// It is to be closed now, for this reason.
    Close(Why),
}

impl Connection {
    /// A connection that has just been accepted, and of which the multiplexer was told `interest`.
    pub fn new(fd: Fd, peer: Peer, interest: Interest, now: Tick) -> Connection {
        Connection {
            fd,
            position: u32::MAX,
            interest,
            armed: None,
            name: Name::Http,
            noted: false,
            peer,
            opened: now,
            received: 0,
            sent: 0,
            outbox: Outbox::default(),
            phase: Phase::Talking(Conversation::new(now)),
        }
    }

    /// Its conversation, unless it is leaving.
    pub fn conversation(&mut self) -> Option<&mut Conversation> {
        match &mut self.phase {
            Phase::Talking(conversation) => Some(conversation),
            Phase::Leaving(_) => None,
        }
    }

    /// Whether an answer is owed that the server itself gives later.
    pub fn is_owed(&self) -> bool {
        matches!(&self.phase, Phase::Talking(conversation) if conversation.is_owed())
    }

    /// Whether its last request was to see the kernel's side.
    pub fn is_looking(&self) -> bool {
        match &self.phase {
            Phase::Talking(conversation) => conversation.is_looking(),
            Phase::Leaving(leaving) => leaving.looked,
        }
    }

    /// What it speaks, or spoke last.
    pub fn speaks(&self) -> Name {
        match &self.phase {
            Phase::Talking(conversation) => conversation.name(),
            Phase::Leaving(_) => self.name,
        }
    }

    /// The seat that it should have.
    pub fn seat(&self) -> Option<Seat> {
        match &self.phase {
            Phase::Talking(conversation) => conversation.subscribed(),
            Phase::Leaving(_) => None,
        }
    }

    /// Why it is leaving, if it is.
    pub fn why_leaving(&self) -> Option<Why> {
        match &self.phase {
            Phase::Talking(_) => None,
            Phase::Leaving(leaving) => Some(leaving.why),
        }
    }

    /// How many bytes wait to be sent.
    pub fn backlog(&self) -> usize {
        self.outbox.len()
    }

    /// Whether none do.
    pub fn has_sent_all(&self) -> bool {
        self.outbox.is_empty()
    }

    /// How many bytes it would like to read.
    #[inline]
    pub fn appetite(&self, settings: &Settings) -> usize {
        match &self.phase {
            Phase::Talking(conversation) => conversation.appetite(self.backlog(), settings),
            // What comes now is dropped.
            Phase::Leaving(leaving) if leaving.fin_sent => 64 * 1024,
            Phase::Leaving(_) => 0,
        }
    }

    /// What it should be woken for.
    #[inline]
    pub fn wants(&self, settings: &Settings) -> Interest {
        let end = matches!(&self.phase, Phase::Talking(talk) if talk.listens_for_the_end(settings));
        Interest::NONE
            .and(Interest::READ, self.appetite(settings) > 0)
            .and(Interest::WRITE, !self.outbox.is_empty())
            .and(Interest::END, end)
    }

    /// When something is due.
    #[inline]
    pub fn deadline(&self, settings: &Settings) -> Deadline {
        match &self.phase {
            // The last answer may be taken as slowly as any other.
            Phase::Leaving(leaving) if leaving.why != Why::TooSlow && !self.outbox.is_empty() => {
                Deadline { at: self.stalls_at(settings).unwrap_or(leaving.until), kind: Due::Stall }
            }
            Phase::Leaving(leaving) => Deadline { at: leaving.until, kind: Due::Leave },
            Phase::Talking(conversation) => match self.stalls_at(settings) {
                None => {
                    conversation.deadline(settings, false).expect("OK because only who is blocked has none")
                }
                Some(at) => {
                    let stall = Deadline { at, kind: Due::Stall };
                    let due = conversation.deadline(settings, true);
                    due.filter(|due| due.at <= stall.at).unwrap_or(stall)
                }
            },
        }
    }

    fn stalls_at(&self, settings: &Settings) -> Option<Tick> {
        self.outbox.waiting_since().map(|since| since + settings.idle_timeout)
    }

    /// read(2) into `buffer`. `Ok(0)` is the peer's FIN.
    #[inline]
    pub fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = sys::read(&self.fd, buffer)?;
        self.received += count as u64;
        Ok(count)
    }

    /// Writes what there is to say, so many bytes, straight away: one write(2), or one writev(2) where it is in two
    /// pieces. What the kernel does not take is queued. Behind a queue nothing is written until the
    /// kernel says that there is room.
    #[inline(always)]
    pub fn say(&mut self, outgoing: &mut Outgoing, length: usize, now: Tick) -> io::Result<()> {
        let taken = if self.outbox.is_empty() { self.write_out(outgoing)? } else { 0 };
        self.sent += taken as u64;
        if taken < length {
            self.outbox.keep(outgoing, taken, now);
        }
        outgoing.clear();
        Ok(())
    }

    /// Writes what others are told too, if nothing waits before it, and says whether the kernel took all of it.
    /// What it does not take is queued.
    #[inline]
    pub fn pass_on(&mut self, words: &Shared, now: Tick) -> io::Result<bool> {
        let taken = unless_full(sys::write(&self.fd, words))?;
        self.sent += taken as u64;
        let is_all = taken == words.len();
        if !is_all {
            let mut rest = Outgoing { shared: Some(words.clone()), ..Outgoing::default() };
            self.outbox.keep(&mut rest, taken, now);
        }
        Ok(is_all)
    }

    /// What it is to be told of this round, if that was told to others and nothing waits before it.
    #[inline]
    pub fn hear<'r>(&mut self, round: &'r Round, hub: &mut Hub, now: Tick) -> Option<&'r Shared> {
        match &mut self.phase {
            Phase::Talking(talk) if self.outbox.is_empty() => talk.hear(round, hub, now),
            _ => None,
        }
    }

    #[inline(always)]
    fn write_out(&self, outgoing: &Outgoing) -> io::Result<usize> {
        let taken = match &outgoing.shared {
            None => sys::write(&self.fd, &outgoing.own),
            Some(shared) if outgoing.own.is_empty() => sys::write(&self.fd, shared),
            Some(shared) => sys::writev(&self.fd, &[IoSlice::new(&outgoing.own), IoSlice::new(shared)]),
        };
        unless_full(taken)
    }

    /// There is room: writes what is queued, with one writev(2).
    pub fn flush(&mut self, now: Tick) -> io::Result<()> {
        const MOST: usize = 16;
        let mut pieces = [IoSlice::new(&[]); MOST];
        let mut count = 0;
        for (place, piece) in pieces.iter_mut().zip(self.outbox.pieces()) {
            *place = piece;
            count += 1;
        }
        let taken = match &pieces[..count] {
            [] => return Ok(()),
            [only] => unless_full(sys::write(&self.fd, only))?,
            several => unless_full(sys::writev(&self.fd, several))?,
        };
        self.sent += taken as u64;
        self.outbox.advance(taken, now);
        Ok(())
    }

    /// Whether it did not take anything for too long. Before that is believed the kernel is offered more:
    /// it reports room only when a third of its buffer is free, and a slow reader may free less than that.
    pub fn is_stalled(&mut self, settings: &Settings, now: Tick) -> bool {
        let is_stalled = |it: &Connection| it.stalls_at(settings).is_some_and(|at| at <= now);
        is_stalled(self) && (self.flush(now).is_err() || is_stalled(self))
    }

    /// Whether its conversation would go on by itself if it were let.
    #[inline]
    pub fn is_unfinished(&self, hub: &Hub) -> bool {
        match &self.phase {
            Phase::Talking(conversation) => self.outbox.is_empty() && conversation.is_unfinished(hub),
            Phase::Leaving(_) => false,
        }
    }

    /// The conversation is over.
    pub fn leave(&mut self, why: Why, now: Tick) {
        if let Phase::Talking(conversation) = &self.phase {
            let lingers = why.lingers() || conversation.leaves_bytes();
            let looked = conversation.is_looking();
            self.phase =
                Phase::Leaving(Leaving { why, looked, lingers, fin_sent: false, until: now + LEAVE });
        }
    }

    /// Goes on with leaving, as far as that is possible now.
    pub fn part(&mut self, now: Tick) -> Parting {
        let Phase::Leaving(leaving) = &mut self.phase else {
            return Parting::Stay;
        };
        if matches!(leaving.why, Why::ClientClosed | Why::CutShort) {
            // Nobody is there to hear the rest.
            return Parting::Close(leaving.why);
        }
        if !self.outbox.is_empty() || leaving.fin_sent {
            return Parting::Stay;
        }
        if !leaving.lingers || sys::shutdown_write(&self.fd).is_err() {
            return Parting::Close(leaving.why);
        }
        leaving.fin_sent = true;
        let until = now + LINGER;
        leaving.until = if leaving.why == Why::TooSlow { leaving.until.min(until) } else { until };
        Parting::Linger(leaving.until)
    }
}

/// A full socket buffer is no error: it took nothing.
fn unless_full(taken: io::Result<usize>) -> io::Result<usize> {
    match taken {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}

/// Who is on the other side, in 20 bytes. (`SocketAddr` has 32.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; nobody on a Unix socket has one.
    pub ip: Option<IpAddr>,
    port: u16,
}

impl Peer {
    /// From what accept4(2) said.
    pub fn new(address: Option<SocketAddr>) -> Peer {
        Peer { ip: address.map(|address| address.ip()), port: address.map_or(0, |address| address.port()) }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip {
            Some(ip) => SocketAddr::from((ip, self.port)).fmt(f),
            None => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its generation in the table (8), its node on the wheel (16) and its seat in a channel (4)
    /// a connection is to cost 160 bytes at most.
    #[test]
    fn a_connection_is_at_most_120_bytes() {
        assert!(size_of::<Connection>() <= 120, "{}", size_of::<Connection>());
    }
}
