//! Why: a sentence beside the system calls that `sys` tells.
//!
//! Each sentence is looked up here, from what has happened to a connection and the state that it came to.
//! So a technique says none, and a new one must not remember to. The sentences themselves stand in one table
//! for each language. Nothing here runs unless calls are being told.

mod english;
mod korean;
mod lines;
mod turns;

pub(super) use turns::TurnLine;

use super::{CROWD_TIMER, DRAIN_TIMER, MIRROR_TIMER, REST_TIMER, Server, Source, timer_of};
use crate::connection::{Connection, Peer};
use crate::http::{Path, Status};
use crate::multiplexer::{Interest, Mechanism};
use crate::settings::Language;
use crate::sys::{self, Moment};
use crate::table::Id;
use crate::technique::{Due, Name, Why};
use crate::tick::{Now, Tick};
use lines::{Line, Words};
use turns::Turns;

/// What made a connection react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing: it is only looked after.
    None,
    /// Bytes came.
    Heard,
    /// There was room, or it was its turn again.
    GoesOn,
    /// A deadline came.
    Due(Due),
    /// Something was published.
    Events,
    /// Another poll took its place.
    Replaced,
    /// The server is going away.
    Farewell,
    /// There is no room for it.
    Refused,
}

/// What the narration must know besides the state of things.
#[derive(Debug)]
pub(super) struct Story {
    /// In which language it is told.
    language: Language,
    /// What makes the connection at hand react.
    pub(super) cause: Cause,
    /// How many events had been published when the last reaction was over.
    published: u64,
    /// What is kept of it for those who look later.
    turns: Turns,
}

impl Story {
    /// A story that has not begun.
    pub(super) fn new(language: Language) -> Story {
        Story { language, cause: Cause::None, published: 0, turns: Turns::default() }
    }
}

impl Server {
    #[cold]
    fn remark(&self, line: Line, words: &Words<'_>) {
        self.remark_in(|language| language.say(line, words));
    }

    /// The same for what is put together from other sentences.
    #[cold]
    fn remark_in(&self, say: impl Fn(Language) -> String) {
        sys::remark(|| say(self.story.language), || Box::new(Language::ALL.map(&say)));
    }

    /// Before the loop sleeps, `rested` since then: for how long, and why.
    #[cold]
    pub(super) fn tell_sleep(&mut self, timeout: Option<u64>, rested: Moment) {
        self.keep_turn();
        let turn = self.meters.wakeups + 1;
        let (line, (due, fd)) = match (timeout, self.wheel.next()) {
            _ if self.is_looking() => (Line::NoSleepWhileLooking, (Line::DueLook, 0)),
            _ if self.is_in_mid_work() => (Line::NoSleep, (Line::DueMoved, 0)),
            (None, _) | (_, None) => (Line::SleepForEver, (Line::DueMoved, 0)),
            (Some(_), Some(next)) => (Line::SleepUntil, self.what_is_due(next)),
        };
        let ms = timeout.unwrap_or(0);
        let say = |language: Language| {
            let due = language.say(due, &[("fd", &fd)]);
            language.say(line, &[("turn", &turn), ("ms", &ms), ("due", &due)])
        };
        sys::rule(|| say(self.story.language), || Box::new(Language::ALL.map(say)));
        self.begin_turn(turn, self.clock.tick(rested), due == Line::DueLook || self.is_an_onlooker(fd));
    }

    /// What is due then, and whose it is.
    fn what_is_due(&self, at: Tick) -> (Line, i32) {
        let own = [
            (REST_TIMER, Line::DueRest),
            (DRAIN_TIMER, Line::DueDrain),
            (MIRROR_TIMER, Line::DueLook),
            (CROWD_TIMER, Line::DueCrowd),
        ];
        for (timer, line) in own {
            if self.wheel.deadline(timer) == Some(at) {
                return (line, 0);
            }
        }
        let armed = |(id, _): &(Id, &Connection)| self.wheel.deadline(timer_of(*id)) == Some(at);
        let Some((_, connection)) = self.table.iter().find(armed) else {
            return (Line::DueMoved, 0);
        };
        let deadline = connection.deadline(&self.hub.settings);
        let line = if deadline.at > at { Line::DueMoved } else { line_for(deadline.kind) };
        (line, connection.fd.number())
    }

    /// After the loop has slept: who woke it.
    #[cold]
    pub(super) fn tell_waking(&mut self, timeout: Option<u64>, now: Now) {
        self.note_waking(now);
        let fd_of = |id| self.table.get(id).map_or(-1, |connection| connection.fd.number());
        let others = self.table.len().saturating_sub(self.ready.len());
        match self.ready[..] {
            [] if timeout == Some(0) => self.remark(Line::NobodyElse, &[]),
            [] => self.remark(Line::WokenByTime, &[]),
            [only] => match Source::of(only.token) {
                Source::Signals => self.remark(Line::WokenBySignal, &[]),
                Source::Listener(_) => self.remark(Line::WokenByTheDoor, &[]),
                Source::Crowd => self.remark(Line::WokenByTheCrowd, &[]),
                Source::Connection(id) if !only.readable => {
                    self.remark(Line::WokenByRoom, &[("fd", &fd_of(id))]);
                }
                Source::Connection(id) if others == 0 => {
                    self.remark(Line::WokenByTheOnlyOne, &[("fd", &fd_of(id))]);
                }
                Source::Connection(id) => {
                    self.remark(Line::WokenByOne, &[("fd", &fd_of(id)), ("others", &others)]);
                }
            },
            ref several => self.remark(Line::WokenByMany, &[("ready", &several.len()), ("others", &others)]),
        }
    }

    /// A signal was read.
    pub(super) fn tell_signal(&self, name: &str) {
        if sys::is_narrating() {
            self.remark(Line::SignalTaken, &[("signal", &name)]);
        }
    }

    /// accept4(2) has let somebody in.
    pub(super) fn tell_let_in(&self, fd: i32, peer: Peer) {
        if sys::is_narrating() {
            self.remark(Line::LetIn, &[("peer", &peer), ("fd", &fd)]);
        }
    }

    /// accept4(2) has let nobody in: nobody was there, or there is no fd for them.
    pub(super) fn tell_nobody_let_in(&self, has_run_out: bool) {
        if sys::is_narrating() {
            self.remark(if has_run_out { Line::NoMoreFds } else { Line::NobodyWaits }, &[]);
        }
    }

    /// An fd is watched from now on.
    pub(super) fn tell_watch(&self, fd: i32) {
        if sys::is_narrating() {
            let keeps_a_list = self.multiplexer.mechanism() == Mechanism::Epoll;
            let line = if keeps_a_list { Line::KernelWatches } else { Line::ListGrows };
            self.remark(line, &[("fd", &fd)]);
        }
    }

    /// read(2) has returned 0.
    pub(super) fn tell_end(&self) {
        if sys::is_narrating() {
            self.remark(Line::HeardTheEnd, &[]);
        }
    }

    /// Somebody for whom there is no place was told so.
    pub(super) fn tell_refusal(&self) {
        if sys::is_narrating() {
            self.remark(Line::TurnedAway, &[]);
        }
    }

    /// A connection has reacted, has perhaps taken another seat, and has said its `said` bytes; `answered` are the
    /// requests that it answered.
    pub(super) fn tell_reaction(
        &mut self,
        id: Id,
        is_reseated: bool,
        said: usize,
        answered: &[(Path, Status)],
        now: Now,
    ) {
        let published = self.hub.channels.published();
        let has_published = std::mem::replace(&mut self.story.published, published) != published;
        let Some(connection) = self.table.get(id) else { return };
        let seat = connection.seat();
        let parks = connection.name == Name::LongPoll && seat.is_some();
        let deadline = connection.deadline(&self.hub.settings);
        let seconds = format!("{:.3}", deadline.at.since(now.tick) as f64 / 1000.0);
        let line = match (self.story.cause, answered.last()) {
            (Cause::None, _) => None,
            (Cause::Heard | Cause::GoesOn, Some(&(_, status))) => Some(match connection.name {
                _ if status == Status::SwitchingProtocols => Line::Upgraded,
                _ if parks => Line::AnsweredAndParked,
                Name::Sse | Name::Stream if seat.is_some() => Line::Begun,
                _ if has_published => Line::Published,
                _ if connection.why_leaving().is_some() => Line::AnsweredLast,
                _ => Line::Answered,
            }),
            (Cause::Heard, None) => Some(match deadline.kind {
                _ if has_published => Line::PublishedByFrame,
                _ if said > 0 => Line::SpokenBack,
                _ if parks && !is_reseated => Line::WaitsBehind,
                _ if parks => Line::Parked,
                _ if connection.is_owed() => Line::Owed,
                Due::Head => Line::HalfHead,
                Due::Body => Line::HalfBody,
                _ => Line::HeardAndKept,
            }),
            (cause, _) => (said > 0).then(|| line_for_saying(cause, connection.name)).flatten(),
        };
        let Some(line) = line else { return };
        let (path, status) = answered.last().map_or(("", 0), |(path, status)| (path.label(), status.code()));
        let waiting = self.hub.channels.about_to_hear();
        self.remark(
            line,
            &[
                ("seconds", &seconds),
                ("path", &path),
                ("status", &status),
                ("waiting", &waiting),
                ("bytes", &said),
            ],
        );
        if connection.backlog() > 0 && said > 0 {
            self.remark(Line::Full, &[("bytes", &connection.backlog())]);
        }
    }

    /// The kernel was asked for something else about an fd.
    pub(super) fn tell_interest(&self, id: Id, before: Interest) {
        if !sys::is_narrating() {
            return;
        }
        let Some(connection) = self.table.get(id) else { return };
        let wanted = connection.interest;
        let line = match (before.has(Interest::WRITE), wanted.has(Interest::WRITE)) {
            (false, true) => Line::AskForRoom,
            (true, false) => Line::EnoughRoom,
            _ if !wanted.has(Interest::READ) => Line::OnlyHangUp,
            _ => Line::ListenAgain,
        };
        self.remark(line, &[("fd", &connection.fd.number()), ("bytes", &connection.backlog())]);
    }

    /// shutdown(2) has sent our FIN; the client's is awaited until then.
    pub(super) fn tell_fin(&self, until: Tick, now: Now) {
        if sys::is_narrating() {
            let seconds = until.since(now.tick).div_ceil(1000);
            self.remark(Line::FinSent, &[("seconds", &seconds)]);
        }
    }

    /// A connection was closed; `looked` is the fd of an onlooker, which may be another's in a moment.
    pub(super) fn tell_closed(&self, why: Why, looked: Option<i32>) {
        if sys::is_narrating() {
            let (line, status) = line_for_why(why);
            self.remark_in(|language| {
                let why = language.say(line, &[("status", &status)]);
                language.say(Line::Closed, &[("why", &why)])
            });
            looked.into_iter().for_each(sys::disown);
        }
    }

    /// A crowd has begun to come.
    pub(super) fn tell_crowd(&self, pid: u32, clients: u32, fd: i32) {
        if sys::is_narrating() {
            self.remark(Line::CrowdBegun, &[("pid", &pid), ("clients", &clients), ("fd", &fd)]);
        }
    }

    /// The crowd's process was asked to go.
    pub(super) fn tell_crowd_asked(&self, pid: u32, parting: sys::Parting) {
        if sys::is_narrating() {
            let line = if parting == sys::Parting::Ask { Line::CrowdAsked } else { Line::CrowdKilled };
            self.remark(line, &[("pid", &pid)]);
        }
    }

    /// The crowd's process was waited for.
    pub(super) fn tell_crowd_gone(&self, pid: u32) {
        if sys::is_narrating() {
            self.remark(Line::CrowdGone, &[("pid", &pid)]);
        }
    }

    /// All fds are about to move to another mechanism.
    pub(super) fn tell_swap(&self, to: Mechanism, moved: usize) {
        if sys::is_narrating() {
            let from = self.multiplexer.mechanism();
            self.remark(Line::Swapped, &[("from", &from.name()), ("to", &to.name()), ("moved", &moved)]);
        }
    }
}

fn line_for(due: Due) -> Line {
    match due {
        Due::Head => Line::DueHead,
        Due::Body => Line::DueBody,
        Due::Idle => Line::DueIdle,
        Due::Hold => Line::DueHold,
        Due::Ping => Line::DuePing,
        Due::Pong => Line::DuePong,
        Due::Lease => Line::DueLease,
        Due::Closing => Line::DueClosing,
        Due::Stall => Line::DueStall,
        Due::Leave => Line::DueLeave,
    }
}

/// What it meant that something was said, though nothing had been asked.
fn line_for_saying(cause: Cause, name: Name) -> Option<Line> {
    Some(match (cause, name) {
        (Cause::None | Cause::Heard, _) => return None,
        (Cause::Events, Name::LongPoll) => Line::NewsForPoll,
        (Cause::Events, Name::WebSocket) => Line::NewsForWebSocket,
        (Cause::Events, _) => Line::NewsForStream,
        (Cause::GoesOn, _) => Line::History,
        (Cause::Due(Due::Hold), _) => Line::HoldOver,
        (Cause::Due(Due::Ping), Name::WebSocket) => Line::Pinged,
        (Cause::Due(Due::Ping), _) => Line::SignOfLife,
        (Cause::Due(_), _) => Line::TimeOver,
        (Cause::Replaced, _) => Line::Replaced,
        (Cause::Farewell, _) => Line::Farewell,
        (Cause::Refused, _) => Line::TurnedAway,
    })
}

fn line_for_why(why: Why) -> (Line, u16) {
    match why {
        Why::ClientClosed => (Line::WhyClientClosed, 0),
        Why::CutShort => (Line::WhyCutShort, 0),
        Why::Answered => (Line::WhyAnswered, 0),
        Why::Refused(status) => (Line::WhyRefused, status.code()),
        Why::SaidNothing => (Line::WhySaidNothing, 0),
        Why::Idle => (Line::WhyIdle, 0),
        Why::WebSocketClosed(_) => (Line::WhyWebSocketClosed, 0),
        Why::Violation(code) => (Line::WhyViolation, code.0),
        Why::NoPong => (Line::WhyNoPong, 0),
        Why::TooSlow => (Line::WhyTooSlow, 0),
        Why::Stalled => (Line::WhyStalled, 0),
        Why::LeaseOver => (Line::WhyLeaseOver, 0),
        Why::Draining => (Line::WhyDraining, 0),
        Why::DrainOver => (Line::WhyDrainOver, 0),
        Why::Failed(_) => (Line::WhyFailed, 0),
        Why::NoRoom => (Line::WhyNoRoom, 0),
    }
}
