//! Who waits for news is told, and who paused goes on.

use super::Server;
use super::narration::Cause;
use crate::channel::ChannelId;
use crate::technique::{Conversation, News, Round};
use crate::tick::Now;

/// How many bytes of news may pile up in one turn before they are delivered in the middle of it.
const PILE: usize = 1024 * 1024;

impl Server {
    /// Tells every subscriber of each channel in which something was published. What was published
    /// since the last time goes out together, encoded once for each form.
    #[inline]
    pub(super) fn deliver(&mut self, now: Now) {
        while let Some((channel, heard)) = self.hub.channels.next_ringing() {
            self.tell_subscribers(channel, heard, now);
        }
    }

    fn tell_subscribers(&mut self, channel: ChannelId, heard: u64, now: Now) {
        let mut round = Round::new(channel, heard);
        let mut position = 0;
        while let Some(&slot) = self.hub.channels.get(channel).subscribers().get(position) {
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

    /// Does not let a turn with many publishers pile up more than a bounded amount.
    pub(super) fn deliver_early(&mut self, now: Now) {
        if self.hub.channels.unheard_bytes() > PILE {
            self.deliver(now);
        }
    }

    /// Lets those who paused in mid-work go on, each as far as one reaction goes. Who pauses again is
    /// noted again, and the loop does not sleep before its next turn.
    pub(super) fn resume(&mut self, now: Now) {
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
