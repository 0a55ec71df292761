//! What everybody else must know of a connection, derived from its state after each reaction.
//!
//! | who | is told | from |
//! | --- | --- | --- |
//! | the peer | what the reaction said | `Outgoing` |
//! | the ledger | what it speaks | `Connection::speaks` |
//! | the channel | whether it is a subscriber | `Connection::seat` |
//! | the wheel | when something is due | `Connection::deadline` |
//! | the kernel | what to wake it for | `Connection::wants` |
//!
//! A reaction that says of itself that all this is as it was (`After::Same`) is spared the deriving; debug builds
//! audit after each turn that it told the truth.

use super::ledger::{Ledger, account_of};
use super::narration::Cause;
use super::{Server, timer_of};
use crate::buffer::Outgoing;
use crate::connection::{Connection, Parting};
use crate::multiplexer::{Interest, Token};
use crate::sys;
use crate::table::Id;
use crate::technique::{After, Name, Question, Seat, Turn, Why};
use crate::tick::Now;
use std::io;

/// What came of speaking.
#[derive(Debug)]
pub(super) struct Spoken {
    /// How many bytes there were to be said.
    pub(super) length: usize,
    /// Whether the socket took them, or will.
    pub(super) said: io::Result<()>,
}

/// A connection says what it had to say in its reaction, and is charged for it.
#[inline(always)]
pub(super) fn speak(
    connection: &mut Connection,
    ledger: &mut Ledger,
    out: &mut Outgoing,
    now: Now,
) -> Spoken {
    let length = out.len();
    if length == 0 {
        return Spoken { length, said: Ok(()) };
    }
    ledger.said(connection.name, length, out.all_payload());
    Spoken { length, said: connection.say(out, length, now.tick) }
}

/// The ledger is told if a connection speaks something else after its reaction.
#[inline(always)]
pub(super) fn rename(connection: &mut Connection, ledger: &mut Ledger, has_read: bool, now: Now) {
    let name = connection.speaks();
    if name != connection.name {
        ledger.renamed(connection.name, name, has_read, now.tick);
        connection.name = name;
    }
}

impl Server {
    /// Settles a connection that has not reacted.
    pub(super) fn settle(&mut self, id: Id, now: Now) {
        let Some(connection) = self.table.get(id) else { return };
        self.story.cause = Cause::None;
        sys::charge_to(account_of(connection.name));
        let before = connection.seat();
        self.settle_from(id, before, After::Wait, now);
    }

    /// Settles a connection that was asked, by what it was given to read, for something that only the server itself
    /// can tell.
    #[inline(never)]
    pub(super) fn settle_report(
        &mut self,
        id: Id,
        before: Option<Seat>,
        after: After,
        given: usize,
        now: Now,
    ) {
        let after = self.answer_reports(id, after, now);
        if let Some(connection) = self.table.get_mut(id) {
            // Requests that waited behind it may have been heard.
            rename(connection, &mut self.ledger, given > 0, now);
            self.ledger.heard(connection.name, given, self.hub.tally.take_heard());
        }
        self.settle_from(id, before, after, now);
    }

    /// Settles a connection after a reaction whose words are still to be spoken.
    fn settle_from(&mut self, id: Id, before: Option<Seat>, after: After, now: Now) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let spoken = speak(connection, &mut self.ledger, &mut self.out, now);
        self.settle_spoken(id, before, after, spoken, now);
    }

    /// Settles a connection that has said what it had to say: derives everything else.
    pub(super) fn settle_spoken(
        &mut self,
        id: Id,
        before: Option<Seat>,
        after: After,
        spoken: Spoken,
        now: Now,
    ) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if let After::Close(why) = after {
            connection.leave(why, now.tick);
        }
        let is_leaving = connection.why_leaving().is_some();
        let (seat, position) = (connection.seat(), connection.position);
        if seat != before || !self.is_the_one_poll(id, seat) {
            self.reseat(id, before, seat, position);
        }
        self.report_reaction(id, seat != before, spoken.length, now);
        if let Err(error) = spoken.said {
            self.out.clear();
            return self.close(id, failure(&error), now);
        }
        if !(is_leaving && self.part(id, now)) {
            self.tell_others(id, now);
        }
    }

    /// Goes on with leaving; whether that was the end.
    #[cold]
    fn part(&mut self, id: Id, now: Now) -> bool {
        let Some(connection) = self.table.get_mut(id) else { return true };
        match connection.part(now.tick) {
            Parting::Stay => {}
            Parting::Linger(until) => self.tell_fin(until, now),
            Parting::Close(why) => {
                self.close(id, why, now);
                return true;
            }
        }
        false
    }

    /// Gives the answers that only the server itself can give.
    pub(super) fn answer_reports(&mut self, id: Id, mut after: After, now: Now) -> After {
        while let After::Report(question) = after {
            let Question { report, manner } = *question;
            let Some(answer) = self.report(id, report, &manner, now) else {
                return After::Wait;
            };
            let Some(connection) = self.table.get_mut(id) else {
                return After::Wait;
            };
            let backlog = connection.backlog();
            let from = connection.peer.ip;
            let mut turn = Turn::new(&mut self.hub, now, &mut self.out, backlog, from);
            after = match connection.conversation() {
                Some(talk) => talk.answer(&mut turn, &manner, &answer),
                None => After::Wait,
            };
        }
        after
    }

    /// The seat is another: out of the old, which was at `position`, into the new.
    #[inline]
    fn reseat(&mut self, id: Id, before: Option<Seat>, after: Option<Seat>, position: u32) {
        if let Some(old) = before {
            self.unseat(id, old, position);
        }
        let Some(new) = after else { return };
        let position = self.hub.channels.get_mut(new.channel).subscribe(id.slot, new.audience);
        if let Some(connection) = self.table.get_mut(id) {
            connection.position = position;
        }
        if let Some(browser) = new.browser {
            // The first long poll of this browser is released by the second (RFC 6202 §5.1).
            self.replaced.extend(self.browsers.insert(browser, id));
        }
    }

    /// Whether no other long poll is taken for the one of this browser. (A poll that waited behind one that
    /// was replaced has the same seat, and yet it is a new poll.)
    #[inline]
    fn is_the_one_poll(&self, id: Id, seat: Option<Seat>) -> bool {
        let browser = seat.and_then(|seat| seat.browser);
        browser.is_none_or(|browser| self.browsers.get(&browser) == Some(&id))
    }

    #[inline(always)]
    fn unseat(&mut self, id: Id, seat: Seat, position: u32) {
        let moved = self.hub.channels.get_mut(seat.channel).unsubscribe(position, seat.audience);
        // Whoever sat last has the freed position now.
        if let Some(connection) = moved.and_then(|slot| self.table.at_mut(slot)) {
            connection.position = position;
        }
        if let Some(browser) = seat.browser
            && self.browsers.get(&browser) == Some(&id)
        {
            self.browsers.remove(&browser);
        }
    }

    /// Tells the wheel, the loop and the kernel what they do not know yet. A deadline that only moves later is not
    /// told to the wheel: when the old one fires is time enough. So an echo or a delivery touches no timer.
    #[inline]
    fn tell_others(&mut self, id: Id, now: Now) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let deadline = connection.deadline(&self.hub.settings);
        let armed = self.wheel.deadline(timer_of(id));
        let is_early_enough = armed.is_some_and(|armed| armed <= deadline.at);
        if connection.armed != Some(deadline.kind) || !is_early_enough {
            connection.armed = Some(deadline.kind);
            self.wheel.arm(timer_of(id), deadline.at);
        }
        if !connection.noted && connection.is_unfinished(&self.hub) {
            connection.noted = true;
            self.unfinished.push(id);
        }
        let wanted = connection.wants(&self.hub.settings);
        if wanted != connection.interest {
            self.change_interest(id, wanted, now);
        }
    }

    fn change_interest(&mut self, id: Id, wanted: Interest, now: Now) {
        let Some(connection) = self.table.get_mut(id) else { return };
        let before = std::mem::replace(&mut connection.interest, wanted);
        self.mirror.changed(connection.fd.number());
        match self.multiplexer.modify(&connection.fd, Token(id.to_bits()), wanted) {
            Ok(()) => self.tell_interest(id, before),
            Err(error) => self.close(id, failure(&error), now),
        }
    }

    /// The one place where a connection ends. The server is taken apart without `..`, so that whoever
    /// adds a field to it has to decide here what closing means for it.
    pub(super) fn close(&mut self, id: Id, why: Why, now: Now) {
        let Some(connection) = self.table.remove(id) else { return };
        if let Some(seat) = connection.seat() {
            self.unseat(id, seat, connection.position);
        }
        // Who was leaving already is told of by the reason that it had for that.
        let why = connection.why_leaving().unwrap_or(why);
        let Server {
            multiplexer,
            gate,
            wheel,
            log,
            mirror,
            ledger,
            // Ids of what is gone lead nowhere, so these need no telling.
            table: _,
            replaced: _,
            unfinished: _,
            ready: _,
            put_off: _,
            drain: _,
            // Unseating has seen to these.
            hub: _,
            browsers: _,
            // These know no connection.
            crowd: _,
            story: _,
            signals: _,
            drain_timeout: _,
            meters: _,
            clock: _,
            out: _,
            buffer: _,
            due: _,
        } = self;
        sys::charge_to(account_of(connection.name));
        ledger.went(connection.name, now.tick);
        wheel.cancel(timer_of(id));
        mirror.changed(connection.fd.number());
        gate.left(connection.peer, connection.why_leaving() == Some(Why::NoRoom));
        log.closed(&connection, why, now.tick);
        multiplexer.forget(&connection.fd);
        let looked = connection.is_looking().then(|| connection.fd.number());
        drop(connection);
        self.tell_closed(why, looked);
        self.end_rest();
    }

    /// In debug builds: what everybody was told agrees with what is so. Skipped for a crowd, which
    /// would make every turn slow.
    pub(super) fn audit(&self) {
        if !cfg!(debug_assertions) || self.table.len() > 200 {
            return;
        }
        let mut armed = 0;
        for (id, connection) in self.table.iter() {
            let settings = &self.hub.settings;
            assert_eq!(connection.interest, connection.wants(settings), "interest of {id:?}: {connection:?}");
            assert_eq!(connection.name, connection.speaks(), "name of {id:?}: {connection:?}");
            let told = self.wheel.deadline(timer_of(id)).expect("every connection has a timer");
            assert!(told <= connection.deadline(settings).at, "timer of {id:?}: {connection:?}");
            armed += 1;
            if let Some(seat) = connection.seat() {
                let subscribers = self.hub.channels.get(seat.channel).subscribers();
                assert_eq!(subscribers.get(connection.position as usize), Some(&id.slot), "seat of {id:?}");
            }
        }
        let own =
            (0..super::FIRST_CONNECTION_TIMER).filter(|&timer| self.wheel.deadline(timer).is_some()).count();
        assert_eq!(self.wheel.armed(), armed + own, "a timer without a connection");
        let seats = self.table.iter().filter(|(_, connection)| connection.seat().is_some()).count();
        assert_eq!(self.hub.channels.seats(), seats, "a seat without a connection");
        for name in Name::ALL {
            let count = self.table.iter().filter(|(_, connection)| connection.name == name).count();
            assert_eq!(self.ledger.open(name), count as u64, "connections that speak {name:?}");
        }
        for (browser, &id) in &self.browsers {
            let seat = self.table.get(id).and_then(Connection::seat);
            assert_eq!(seat.and_then(|seat| seat.browser), Some(*browser), "a browser without its poll");
        }
    }
}

/// ETIMEDOUT is TCP_USER_TIMEOUT: the kernel has seen sooner than we that the peer takes nothing.
pub(super) fn failure(error: &io::Error) -> Why {
    if error.kind() == io::ErrorKind::TimedOut {
        return Why::Stalled;
    }
    Why::Failed(error.raw_os_error().unwrap_or(0))
}
