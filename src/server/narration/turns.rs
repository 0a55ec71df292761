//! The last turns of the loop, for those who ask for them with `GET /kernel?turns=N`.
//!
//! The rules:
//!
//! - Turns are kept only while somebody waits for them or was given some a short time ago; else nothing is told and
//!   nothing held.
//! - Whoever asks is an *onlooker* from its first `GET /kernel` on, until it asks for something else. What the loop
//!   does for onlookers alone is left out, or they would see little else.
//! - Sentences are kept in every language: two who look at the same time may not read the same.

use super::super::{Log, Server};
use crate::settings::Language;
use crate::sys::{self, Call};
use crate::table::Id;
use crate::tick::{Now, Tick};
use serde::Serialize;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// How many turns are kept; the oldest goes first.
const MOST: usize = 64;
/// For how long turns are kept for somebody who asks no more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The turns, while there is somebody to see them.
#[derive(Debug, Default)]
pub(super) struct Turns {
    show: Option<Box<Show>>,
}

#[derive(Debug)]
struct Show {
    kept: VecDeque<Turn>,
    /// Until then, if nobody asks again.
    until: Tick,
    onlookers: HashSet<Id>,
    at_hand: AtHand,
}

/// What is known of the turn at hand besides its calls.
#[derive(Debug, Default)]
struct AtHand {
    number: u64,
    slept_from: Tick,
    woke_at: Tick,
    /// Nobody was ready, and no onlooker's time had come.
    woke_by_time: bool,
    /// It wakes for onlookers, if for nobody else.
    for_onlookers: bool,
}

#[derive(Debug)]
struct Turn {
    number: u64,
    at: Tick,
    slept: u64,
    told: sys::Turn,
}

/// One turn as it is answered.
#[derive(Serialize)]
pub(in crate::server) struct TurnLine<'a> {
    turn: u64,
    at_ms: u64,
    slept_ms: u64,
    sleep: &'a str,
    lines: Vec<CallLine<'a>>,
    more: usize,
}

#[derive(Serialize)]
struct CallLine<'a> {
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Server {
    /// Somebody wants to see the turns from now on.
    pub(in crate::server) fn show_turns(&mut self, now: Now) {
        let until = now.tick + PATIENCE;
        if let Some(show) = &mut self.story.turns.show {
            show.until = until;
            return;
        }
        if !sys::is_narrating() {
            self.hub.tally.keep_journal(true);
            self.story.published = self.hub.channels.published();
        }
        let looking = self.table.iter().filter(|(_, connection)| connection.is_looking());
        let onlookers = looking.map(|(id, _)| id).collect();
        let show = Show { kept: VecDeque::new(), until, onlookers, at_hand: AtHand::default() };
        self.story.turns.show = Some(Box::new(show));
        sys::record(self.watched().map(|(fd, token, _)| (token.0, fd.number())));
    }

    /// This one looks on.
    pub(in crate::server) fn note_onlooker(&mut self, id: Id) {
        if let Some(show) = &mut self.story.turns.show {
            show.onlookers.insert(id);
        }
    }

    /// Whether the connection with this fd looks on.
    pub(super) fn is_an_onlooker(&self, fd: i32) -> bool {
        let Some(show) = &self.story.turns.show else { return false };
        let mut onlookers = show.onlookers.iter().filter_map(|&id| self.table.get(id));
        onlookers.any(|connection| connection.fd.number() == fd && connection.is_looking())
    }

    /// The loop is about to sleep, perhaps only until an onlooker's time has come.
    pub(super) fn begin_turn(&mut self, number: u64, slept_from: Tick, for_onlookers: bool) {
        if let Some(show) = &mut self.story.turns.show {
            show.at_hand = AtHand { number, slept_from, for_onlookers, ..AtHand::default() };
        }
    }

    /// The loop has woken. When nobody has asked for too long, it was for the last time.
    pub(super) fn note_waking(&mut self, now: Now) {
        let nobody_is_ready = self.ready.is_empty();
        let Some(show) = &mut self.story.turns.show else { return };
        show.at_hand.woke_at = now.tick;
        show.at_hand.woke_by_time = nobody_is_ready && !show.at_hand.for_onlookers;
        if now.tick >= show.until && !self.mirror.is_to_show_turns() {
            self.story.turns.show = None;
            sys::stop_recording();
            self.hub.tally.keep_journal(self.log == Log::Requests || sys::is_narrating());
        }
    }

    /// The turn is over: keeps it if it was not only for onlookers.
    pub(super) fn keep_turn(&mut self) {
        let Some(show) = &mut self.story.turns.show else { return };
        show.onlookers.retain(|&id| {
            let looking = self.table.get(id).filter(|connection| connection.is_looking());
            looking.inspect(|connection| sys::disown(connection.fd.number())).is_some()
        });
        let Some(told) = sys::take_turn() else { return };
        let is_wait = |call| matches!(call, Call::EpollWait | Call::Poll | Call::Select);
        let did_something = told.lines.iter().any(|line| !is_wait(line.call)) || told.more > 0;
        if did_something || show.at_hand.woke_by_time {
            show.kept.truncate(MOST - 1);
            show.kept.push_front(show.at_hand.turn(told));
        }
    }

    /// The last turns, the newest last.
    pub(in crate::server) fn last_turns(&self, count: usize, language: Language) -> Vec<TurnLine<'_>> {
        let Some(show) = &self.story.turns.show else { return Vec::new() };
        let turns = show.kept.iter().take(count).rev();
        turns.map(|turn| turn.line(language as usize)).collect()
    }
}

impl AtHand {
    fn turn(&self, told: sys::Turn) -> Turn {
        Turn { number: self.number, at: self.woke_at, slept: self.woke_at.since(self.slept_from), told }
    }
}

impl Turn {
    fn line(&self, language: usize) -> TurnLine<'_> {
        TurnLine {
            turn: self.number,
            at_ms: self.at.0,
            slept_ms: self.slept,
            sleep: &self.told.sleep[language],
            lines: self.told.lines.iter().map(|line| call_line(line, language)).collect(),
            more: self.told.more,
        }
    }
}

fn call_line(line: &sys::Line, language: usize) -> CallLine<'_> {
    let why: Vec<&str> = line.why.iter().map(|sentences| sentences[language].as_str()).collect();
    CallLine { call: &line.text, fd: line.fd, why: (!why.is_empty()).then(|| why.join("; ")) }
}
