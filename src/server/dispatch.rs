//! Who is ready, and whose time has come.

use super::ledger::{LOOP, Ledger, account_of};
use super::narration::Cause;
use super::settle::{Spoken, failure, rename, speak};
use super::{
    CROWD_TIMER, DRAIN_TIMER, FIRST_CONNECTION_TIMER, MIRROR_TIMER, REST_TIMER, Server, Source, timer_of,
};
use crate::buffer::Outgoing;
use crate::connection::Connection;
use crate::multiplexer::Ready;
use crate::sys;
use crate::table::Id;
use crate::technique::{After, Conversation, Due, Hub, News, Seat, Turn, Why};
use crate::tick::Now;
use std::io;

impl Server {
    /// Deals with one fd that is ready.
    pub(super) fn dispatch(&mut self, ready: Ready, now: Now) {
        sys::charge_to(LOOP);
        match Source::of(ready.token) {
            Source::Signals => self.on_signal(now),
            Source::Listener(index) => drop(self.accept(index, now)),
            Source::Crowd => self.on_crowd_end(),
            Source::Connection(id) if ready.writable => self.on_room(id, ready, now),
            Source::Connection(id) => self.on_readable(id, ready.hung_up, now),
        }
        self.deliver_early(now);
    }

    /// There is room, and perhaps something to read too.
    #[inline(never)]
    fn on_room(&mut self, id: Id, ready: Ready, now: Now) {
        let Some(before) = self.table.get(id).map(|connection| connection.name) else {
            self.meters.stale += 1;
            return;
        };
        self.on_writable(id, now);
        if ready.readable && self.table.get(id).is_some() {
            self.on_readable(id, ready.hung_up, now);
        }
        self.ledger.woke(self.table.get(id).map_or(before, |connection| connection.name));
    }

    #[cold]
    fn on_signal(&mut self, now: Now) {
        if let Ok(signal) = sys::next_signal(&self.signals) {
            self.tell_signal(signal.name());
            self.begin_drain(signal, now);
        }
    }

    /// One read(2): what is left over is reported again, so nobody reads only to hear EAGAIN. What was read is
    /// dealt with where it lies, and the answer leaves, before anybody else is looked at.
    pub(super) fn on_readable(&mut self, id: Id, hung_up: bool, now: Now) {
        let Server { table, hub, ledger, out, buffer, .. } = self;
        let Some(connection) = table.get_mut(id) else {
            self.meters.stale += 1;
            return;
        };
        let name = connection.name;
        sys::charge_to(account_of(name));
        let appetite = connection.appetite(&hub.settings).min(buffer.len());
        if appetite == 0 {
            ledger.woke(name);
            return self.on_hang_up(id, hung_up, now);
        }
        match connection.fill(&mut buffer[..appetite]) {
            Ok(count) if count > 0 => {
                let reaction = react(connection, hub, ledger, out, count, now, |talk, turn| {
                    talk.on_bytes(&mut buffer[..count], turn)
                });
                self.follow(id, Cause::Heard, reaction, now);
            }
            other => {
                ledger.woke(name);
                self.on_nothing(id, other, now);
            }
        }
    }

    /// Nothing was asked, so this is the kernel's own word that the connection is dead; unless it was asked when
    /// the wait returned, and is not any more.
    #[cold]
    fn on_hang_up(&mut self, id: Id, hung_up: bool, now: Now) {
        let Some(connection) = self.table.get_mut(id).filter(|_| hung_up) else { return };
        // A write tells what happened, if there is something to write.
        let why = connection.flush(now.tick).map_or_else(|error| failure(&error), |()| Why::ClientClosed);
        self.close(id, why, now);
    }

    /// read(2) brought no bytes.
    #[cold]
    fn on_nothing(&mut self, id: Id, said: io::Result<usize>, now: Now) {
        match said {
            Ok(_) => {
                self.tell_end();
                self.on_eof(id, now);
            }
            Err(error) if is_no_error(&error) => {}
            Err(error) => self.close(id, failure(&error), now),
        }
    }

    fn on_eof(&mut self, id: Id, now: Now) {
        let leaving = self.table.get(id).and_then(Connection::why_leaving);
        match leaving {
            Some(why) => self.close(id, why, now),
            None => self.converse(id, Cause::None, now, |talk, _| talk.on_eof()),
        }
    }

    fn on_writable(&mut self, id: Id, now: Now) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        sys::charge_to(account_of(connection.name));
        if let Err(error) = connection.flush(now.tick) {
            return self.close(id, failure(&error), now);
        }
        if connection.backlog() == 0 {
            self.converse(id, Cause::GoesOn, now, Conversation::on_room);
        } else {
            self.settle(id, now);
        }
    }

    /// Tells everybody whose deadline has come.
    #[inline]
    pub(super) fn expire(&mut self, now: Now) {
        self.wheel.expire(now.tick, &mut self.due);
        if !self.due.is_empty() {
            self.tell_the_due(now);
        }
    }

    #[inline(never)]
    fn tell_the_due(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        for timer in due.drain(..) {
            sys::charge_to(LOOP);
            match timer {
                REST_TIMER => self.end_rest(),
                DRAIN_TIMER => self.go_on_draining(now),
                CROWD_TIMER => self.on_crowd_timer(now),
                // That somebody waits for a look is known; it is time for it now.
                MIRROR_TIMER => {}
                _ => {
                    if let Some(id) = self.table.id_at(timer - FIRST_CONNECTION_TIMER) {
                        self.on_timer(id, now);
                    }
                }
            }
        }
        self.due = due;
    }

    fn on_timer(&mut self, id: Id, now: Now) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let deadline = connection.deadline(&self.hub.settings);
        if deadline.at > now.tick {
            // It has moved on since the timer was armed. Only now the wheel is told.
            return self.wheel.arm(timer_of(id), deadline.at);
        }
        self.meters.lateness.observe(now.tick.since(deadline.at) * 1_000_000);
        connection.armed = None;
        sys::charge_to(account_of(connection.name));
        self.ledger.woke(connection.name);
        let settings = &self.hub.settings;
        match (deadline.kind, connection.why_leaving()) {
            (Due::Stall, why) if connection.is_stalled(settings, now.tick) => {
                self.close(id, why.unwrap_or(Why::Stalled), now);
            }
            (Due::Stall, None) if connection.backlog() == 0 => {
                self.converse(id, Cause::GoesOn, now, Conversation::on_room);
            }
            (Due::Stall, _) => self.settle(id, now),
            (_, Some(why)) => self.close(id, why, now),
            (due, None) => self.converse(id, Cause::Due(due), now, Conversation::on_deadline),
        }
    }

    /// One reaction of one connection, and what follows from it.
    pub(super) fn converse(
        &mut self,
        id: Id,
        cause: Cause,
        now: Now,
        what: impl FnOnce(&mut Conversation, &mut Turn<'_>) -> After,
    ) {
        let Some(connection) = self.table.get_mut(id) else { return };
        sys::charge_to(account_of(connection.name));
        let reaction = react(connection, &mut self.hub, &mut self.ledger, &mut self.out, 0, now, what);
        self.follow(id, cause, reaction, now);
    }

    /// What follows from a reaction; for others too, whose place it took.
    #[inline(always)]
    pub(super) fn follow(&mut self, id: Id, cause: Cause, reaction: Reaction, now: Now) {
        self.story.cause = cause;
        match reaction {
            Reaction::Over { length } => return self.report_reaction(id, false, length, now),
            Reaction::Settle { before, after, spoken } => self.settle_spoken(id, before, after, spoken, now),
            Reaction::Ask { before, after, given } => self.settle_report(id, before, after, given, now),
        }
        if !self.replaced.is_empty() {
            self.release_replaced(now);
        }
    }

    fn release_replaced(&mut self, now: Now) {
        while let Some(other) = self.replaced.pop() {
            self.converse(other, Cause::Replaced, now, |talk, turn| talk.on_news(News::Replaced, turn));
        }
    }
}

/// What a reaction leaves to be done.
pub(super) enum Reaction {
    /// Nothing: what it had to say is said, and it is to everybody what it was.
    Over { length: usize },
    /// Whatever follows from the state that it is in now.
    Settle { before: Option<Seat>, after: After, spoken: Spoken },
    /// An answer that only the server itself can give, and then the same. What it was given is still to be charged:
    /// what it speaks shows only behind that answer.
    Ask { before: Option<Seat>, after: After, given: usize },
}

/// Has a connection react, to `given` bytes that were read if there are any, and sends what it says.
#[inline(always)]
fn react(
    connection: &mut Connection,
    hub: &mut Hub,
    ledger: &mut Ledger,
    out: &mut Outgoing,
    given: usize,
    now: Now,
    what: impl FnOnce(&mut Conversation, &mut Turn<'_>) -> After,
) -> Reaction {
    let before = connection.seat();
    let backlog = connection.backlog();
    let from = connection.peer.ip;
    let mut turn = Turn::new(hub, now, out, backlog, from);
    let after = connection.conversation().map_or(After::Wait, |talk| what(talk, &mut turn));
    drop(turn);
    if matches!(after, After::Report(..)) {
        return Reaction::Ask { before, after, given };
    }
    let is_same = matches!(after, After::Same);
    if !is_same {
        rename(connection, ledger, given > 0, now);
    }
    // Who had paused hears what was read before.
    ledger.heard(connection.name, given, hub.tally.take_heard());
    let spoken = speak(connection, ledger, out, now);
    if is_same && spoken.said.is_ok() && connection.has_sent_all() {
        return Reaction::Over { length: spoken.length };
    }
    Reaction::Settle { before, after, spoken }
}

/// Nothing was there after all, or a signal came between (read(2)).
fn is_no_error(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
