//! Going away.
//!
//! On the first signal the listeners close, and everybody is told to go: parked polls are answered,
//! streams end, WebSockets are closed, connections without a request are closed. The goodbyes are
//! spread over half of `--drain-timeout`, for those who are told come back somewhere else at once, and
//! ten thousand at once is a storm. A crowd that was brought in is sent away first. Who has not left when the time
//! is over is cut off. A second signal cuts everybody off.

use super::narration::Cause;
use super::{DRAIN_TIMER, Server};
use crate::sys::{self, Signal};
use crate::table::Id;
use crate::technique::{News, Why};
use crate::tick::{Now, Tick};
use std::time::Duration;

/// So few do not wait.
const A_FEW: usize = 50;
/// How often a part of the goodbyes is said, in milliseconds.
const PACE: u64 = 20;

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    began: Tick,
    /// Who is still to be told, the last one first.
    waiting: Vec<Id>,
    /// How many there were to be told.
    total: usize,
    /// Over how many milliseconds the telling is spread.
    span: u64,
    ends: Tick,
    /// Set by a second signal.
    cut: Option<Signal>,
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everybody has left, or was cut off when the time was over.
    Drained,
    /// A second signal came while so many were still there.
    Cut(Signal, usize),
}

impl Server {
    /// Begins to drain; a second signal ends it.
    pub(super) fn begin_drain(&mut self, signal: Signal, now: Now) {
        if let Some(drain) = &mut self.drain {
            drain.cut = Some(signal);
            return;
        }
        self.send_crowd_away(now);
        // Who is let in from the backlog gets a last answer too, so this comes first.
        self.close_gate(now);
        self.hub.draining = true;
        let mut waiting: Vec<Id> = self.table.iter().map(|(id, _)| id).collect();
        waiting.reverse();
        let total = waiting.len();
        let half = self.drain_timeout / 2;
        let span = if total <= A_FEW { Duration::ZERO } else { half };
        let ends = now.tick + self.drain_timeout;
        let span = span.as_millis() as u64;
        self.drain = Some(Drain { began: now.tick, waiting, total, span, ends, cut: None });
        self.go_on_draining(now);
    }

    /// Says as many goodbyes as are due by now.
    pub(super) fn go_on_draining(&mut self, now: Now) {
        let Some(drain) = &mut self.drain else { return };
        if now.tick >= drain.ends {
            return self.cut_off(now);
        }
        let left = drain.left_by(now.tick);
        let told = drain.waiting.split_off(left);
        let next = if left == 0 { drain.ends } else { Tick(now.tick.0 + PACE).min(drain.ends) };
        self.wheel.arm(DRAIN_TIMER, next);
        for id in told.into_iter().rev() {
            self.bid_farewell(id, now);
        }
    }

    /// What has come meanwhile is read first: a request that was sent in time gets its answer.
    fn bid_farewell(&mut self, id: Id, now: Now) {
        let is_idle = |server: &mut Server| {
            server
                .table
                .get_mut(id)
                .and_then(|connection| connection.conversation())
                .is_some_and(|talk| talk.is_idle())
        };
        if is_idle(self) {
            self.on_readable(id, false, now);
        }
        self.converse(id, Cause::Farewell, now, |talk, turn| talk.on_news(News::Draining, turn));
    }

    fn cut_off(&mut self, now: Now) {
        let remaining: Vec<Id> = self.table.iter().map(|(id, _)| id).collect();
        if !remaining.is_empty() {
            let count = remaining.len();
            sys::stderr_line(&format!(
                "doorbell: cut off {count} connections that did not leave within --drain-timeout"
            ));
        }
        for id in remaining {
            self.close(id, Why::DrainOver, now);
        }
        self.end_crowd();
    }

    /// Whether it is over, and how.
    pub(super) fn exit(&self) -> Option<Exit> {
        let drain = self.drain.as_ref()?;
        match drain.cut {
            Some(signal) => Some(Exit::Cut(signal, self.table.len())),
            None => (self.table.is_empty() && self.crowd.is_none()).then_some(Exit::Drained),
        }
    }
}

impl Drain {
    /// How many are still to be told when it is `now`, if the telling is spread evenly.
    fn left_by(&self, now: Tick) -> usize {
        let passed = now.since(self.began) + PACE;
        if self.span == 0 || passed >= self.span {
            return 0;
        }
        let left = self.total as u64 * (self.span - passed) / self.span;
        (left as usize).min(self.waiting.len())
    }
}
