//! The receipt: what each technique costs, counted where it comes about.
//!
//! One thread does everything, so nothing is estimated: while a connection reacts, the system calls are its
//! own, and so are the bytes. What a connection is charged for is what it speaks *after* the reaction: the
//! read(2) that brought a `GET /poll` belongs to long polling. What it cost before its first request
//! (accept4(2), epoll_ctl(2)) stands under `http`, for nobody knew then what it would speak; so does whoever
//! publishes by POST.
//!
//! | figure | is |
//! | --- | --- |
//! | header | the bytes that a protocol puts around what is said: heads, chunk sizes, frame headers |
//! | payload | the rest: bodies, the content of messages |
//! | packets | how many segments of 1,460 bytes each read or write would fill, at least one |
//! | wakeups | turns of the loop that found one of its connections ready, or due |
//! | fd seconds | how many fds were held for how long |

use super::Server;
use crate::sys::{self, Account, Call};
use crate::technique::Name;
use crate::tick::Tick;
use serde::Serialize;
use std::collections::BTreeMap;

/// What fits into one segment: 1,500 bytes of Ethernet less the heads of IPv4 and TCP.
const SEGMENT: usize = 1460;

/// What was counted for each technique.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: [Entry; Name::ALL.len()],
    /// Whose connections this turn has found ready or due: a bit for each name.
    woken: u8,
}

#[derive(Debug, Default)]
struct Entry {
    received: Bytes,
    sent: Bytes,
    wakeups: u64,
    open: u64,
    /// When `open` last changed, and fds times milliseconds until then.
    since: Tick,
    held: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    all: u64,
    payload: u64,
    packets: u64,
}

impl Bytes {
    #[inline]
    fn add(&mut self, all: usize, payload: usize) {
        self.all += all as u64;
        self.payload += payload as u64;
        // Most of them fit into one, and a division costs more than all the rest.
        self.packets += if all <= SEGMENT { u64::from(all > 0) } else { all.div_ceil(SEGMENT) as u64 };
    }
}

impl Entry {
    #[inline]
    fn settle(&mut self, now: Tick) {
        self.held += self.open * now.since(self.since);
        self.since = now;
    }
}

/// To whom calls are charged: nobody, or a technique.
pub(super) const LOOP: Account = Account(0);

#[inline]
pub(super) fn account_of(name: Name) -> Account {
    Account(name as u8 + 1)
}

impl Ledger {
    /// A connection has been let in.
    pub(super) fn came(&mut self, name: Name, now: Tick) {
        self.entries[name as usize].settle(now);
        self.entries[name as usize].open += 1;
    }

    /// A connection has gone.
    pub(super) fn went(&mut self, name: Name, now: Tick) {
        self.entries[name as usize].settle(now);
        self.entries[name as usize].open -= 1;
    }

    /// A connection has reacted to so many bytes that were read, if any were.
    #[inline]
    pub(super) fn heard(&mut self, name: Name, all: usize, payload: usize) {
        if all > 0 {
            self.woke(name);
        }
        self.entries[name as usize].received.add(all, payload);
    }

    /// A connection speaks something else now. If that came of what it read, the read(2) is charged to the new:
    /// nobody knew before.
    #[cold]
    pub(super) fn renamed(&mut self, before: Name, after: Name, has_read: bool, now: Tick) {
        sys::charge_to(account_of(after));
        if has_read {
            sys::recharge(Call::Read, account_of(before), account_of(after));
        }
        self.went(before, now);
        self.came(after, now);
    }

    /// Bytes were written, or queued.
    #[inline]
    pub(super) fn said(&mut self, name: Name, all: usize, payload: usize) {
        self.entries[name as usize].sent.add(all, payload);
    }

    /// One of its connections was ready or due in this turn.
    #[inline]
    pub(super) fn woke(&mut self, name: Name) {
        let bit = 1 << name as u8;
        if self.woken & bit == 0 {
            self.woken |= bit;
            self.entries[name as usize].wakeups += 1;
        }
    }

    /// The turn is over.
    #[inline]
    pub(super) fn end_turn(&mut self) {
        self.woken = 0;
    }

    /// How many connections speak this at present.
    pub(super) fn open(&self, name: Name) -> u64 {
        self.entries[name as usize].open
    }
}

/// What one technique has cost so far.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    pub(super) requests: u64,
    pub(super) events: u64,
    pub(super) wakeups: u64,
    pub(super) received: Traffic,
    pub(super) sent: Traffic,
    pub(super) syscalls: BTreeMap<&'static str, u64>,
    pub(super) fd_seconds: f64,
}

/// Bytes one way.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Traffic {
    pub(super) header: u64,
    pub(super) payload: u64,
    pub(super) packets: u64,
}

impl Traffic {
    fn of(Bytes { all, payload, packets }: Bytes) -> Traffic {
        // A message that came compressed has more payload than bytes.
        Traffic { header: all.saturating_sub(payload), payload, packets }
    }
}

impl Server {
    /// What this technique has cost so far.
    pub(super) fn receipt(&self, name: Name, now: Tick) -> Receipt {
        let entry = &self.ledger.entries[name as usize];
        let held = entry.held + entry.open * now.since(entry.since);
        let calls = sys::counts_of(account_of(name));
        Receipt {
            requests: self.hub.tally.asked(name),
            events: self.hub.tally.deliveries(name),
            wakeups: entry.wakeups,
            received: Traffic::of(entry.received),
            sent: Traffic::of(entry.sent),
            syscalls: calls.map(|(call, count)| (call.name(), count)).collect(),
            fd_seconds: held as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fds_are_counted_for_as_long_as_they_are_held() {
        let mut ledger = Ledger::default();
        ledger.came(Name::Sse, Tick(1000));
        ledger.came(Name::Sse, Tick(3000));
        ledger.went(Name::Sse, Tick(4000));
        let entry = &mut ledger.entries[Name::Sse as usize];
        entry.settle(Tick(10_000));
        assert_eq!(entry.held, 2000 + 2 * 1000 + 6000);
    }

    #[test]
    fn a_packet_is_begun_by_its_first_byte() {
        let mut bytes = Bytes::default();
        for (all, packets) in [(0, 0), (1, 1), (1460, 1), (1461, 2)] {
            let before = bytes.packets;
            bytes.add(all, 0);
            assert_eq!(bytes.packets - before, packets, "{all}");
        }
    }

    #[test]
    fn a_turn_counts_once_for_each_technique_that_it_found() {
        let mut ledger = Ledger::default();
        [Name::Sse, Name::Sse, Name::LongPoll].into_iter().for_each(|name| ledger.woke(name));
        ledger.end_turn();
        ledger.end_turn();
        let woken = |name| ledger.entries[name as usize].wakeups;
        assert_eq!((woken(Name::Sse), woken(Name::LongPoll), woken(Name::WebSocket)), (1, 1, 0));
    }
}
