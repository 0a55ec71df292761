//! Who waits for news is told, and who paused goes on.

use super::Server;
use super::ledger::account_of;
use super::narration::Cause;
use super::settle::failure;
use crate::channel::ChannelId;
use crate::sys;
use crate::technique::{Conversation, News, Round};
use crate::tick::Now;
use std::io;

/// How many bytes of news may pile up in one turn before they are delivered in the middle of it.
const PILE: usize = 1024 * 1024;

impl Server {
    /// Tells every subscriber of each channel in which something was published. What was published
    /// since the last time goes out together, encoded once for each form.
    #[inline]
    pub(super) fn deliver(&mut self, now: Now) {
        if self.hub.channels.is_ringing() {
            self.deliver_all(now);
        }
    }

    #[inline(never)]
    fn deliver_all(&mut self, now: Now) {
        while let Some((channel, heard)) = self.hub.channels.next_ringing() {
            self.tell_subscribers(channel, heard, now);
        }
    }

    fn tell_subscribers(&mut self, channel: ChannelId, heard: u64, now: Now) {
        let mut round = Round::new(channel, heard);
        let mut position = 0;
        let is_told = sys::is_narrating();
        while let Some(&slot) = self.hub.channels.get(channel).subscribers().get(position) {
            if !is_told && self.pass_on(slot, &round, now) {
                position += 1;
                continue;
            }
            if let Some(id) = self.table.id_at(slot) {
                self.converse(id, Cause::Events, now, |talk, turn| {
                    talk.on_news(News::Events(&mut round), turn)
                });
            }
            // Who has left its seat, as an answered long poll does, left it to the last in the
            // row: that one is next. Who has come back since sits at the end, up to date.
            if self.hub.channels.get(channel).subscribers().get(position) == Some(&slot) {
                position += 1;
            }
        }
        self.hub.channels.told(channel, &self.hub.settings);
    }

    /// What is the whole of it for nearly everybody in a crowd: who is up to date, and for whom nothing waits, is
    /// sent what somebody else was sent before. One look at the table, one comparison of numbers, one write(2).
    /// `false`: it has still to be seen to, like anybody else, if it is still there.
    #[inline]
    fn pass_on(&mut self, slot: u32, round: &Round, now: Now) -> bool {
        let Some(connection) = self.table.at_mut(slot) else { return false };
        let Some(words) = connection.hear(round, &mut self.hub, now.tick) else { return false };
        let name = connection.name;
        sys::charge_to(account_of(name));
        self.ledger.said(name, words.len(), words.payload());
        match connection.pass_on(words, now.tick) {
            Ok(is_all) => is_all,
            Err(error) => self.give_up(slot, &error, now),
        }
    }

    /// It cannot be written to any more. Its seat in the row is another's now, who is still to be told.
    #[cold]
    fn give_up(&mut self, slot: u32, error: &io::Error, now: Now) -> bool {
        if let Some(id) = self.table.id_at(slot) {
            self.close(id, failure(error), now);
        }
        false
    }

    /// Does not let a turn with many publishers pile up more than a bounded amount.
    pub(super) fn deliver_early(&mut self, now: Now) {
        if self.hub.channels.unheard_bytes() > PILE {
            self.deliver(now);
        }
    }

    /// Goes on a little with what is in mid-work. If something is left of it, the loop does not sleep before its
    /// next turn.
    #[inline(never)]
    pub(super) fn resume(&mut self, now: Now) {
        self.resume_unfinished(now);
        if self.is_looking() {
            self.look_on(now);
        }
        // Requests behind others were heard there too: what they published must not wait for the next waking.
        self.deliver(now);
    }

    /// Lets those who paused go on, each as far as one reaction goes. Who pauses again is noted again.
    fn resume_unfinished(&mut self, now: Now) {
        let mut list = std::mem::take(&mut self.unfinished);
        for id in list.drain(..) {
            if let Some(connection) = self.table.get_mut(id) {
                connection.noted = false;
                self.converse(id, Cause::GoesOn, now, Conversation::resume);
            }
        }
        list.append(&mut self.unfinished);
        self.unfinished = list;
    }
}
