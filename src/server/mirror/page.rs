//! What a look at the kernel has shown, as JSON.

use super::super::crowd::CrowdLine;
use super::super::ledger::Receipt;
use super::super::narration::TurnLine;
use super::super::report::{Answer, json};
use super::super::{Server, Source};
use super::{Fact, Survey};
use crate::http::Status;
use crate::http::router::View;
use crate::multiplexer::Token;
use crate::sys;
use crate::technique::Name;
use crate::tick::Now;
use serde::Serialize;
use std::collections::BTreeMap;

/// The answer, in the order in which it is read.
#[derive(Serialize)]
struct Page<'a> {
    pid: u32,
    multiplexer: &'static str,
    epoll_fd: Option<i32>,
    open_fds: usize,
    fd_limit: u64,
    fds: Vec<Line<'a>>,
    disagreements: usize,
    timing_wheel: TimingWheel,
    crowd: Option<CrowdLine>,
    crowd_room: usize,
    syscalls: BTreeMap<&'static str, u64>,
    r#loop: Loop,
    receipt: BTreeMap<&'static str, Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<Vec<TurnLine<'a>>>,
}

#[derive(Serialize)]
struct TimingWheel {
    armed: usize,
    next_ms: Option<u64>,
    /// The tick of the answer.
    now_ms: u64,
}

#[derive(Serialize)]
struct Loop {
    wakeups: u64,
    ready: u64,
}

/// One fd.
#[derive(Serialize)]
struct Line<'a> {
    fd: i32,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(flatten)]
    connection: Option<ConnectionLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interest: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watched: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agree: Option<bool>,
}

#[derive(Serialize)]
struct ConnectionLine<'a> {
    technique: &'static str,
    peer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    deadline_ms: u64,
    /// Its last request was to see this.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    onlooker: bool,
}

impl Server {
    /// What is answered to somebody who wants to see so much.
    pub(super) fn page(&self, survey: &Survey, view: View, now: Now) -> Answer {
        let View { limit, turns, language } = view;
        let fd_limit = sys::fd_limit();
        let page = Page {
            pid: sys::process_id(),
            multiplexer: self.multiplexer.mechanism().name(),
            epoll_fd: self.multiplexer.kernel_list().map(|list| list.number()),
            open_fds: survey.fds.len(),
            fd_limit,
            fds: survey.facts.iter().filter_map(|fact| self.line(fact, now)).take(limit).collect(),
            disagreements: survey.disagreements,
            timing_wheel: TimingWheel {
                armed: self.wheel.armed(),
                next_ms: self.wheel.next().map(|next| next.since(now.tick)),
                now_ms: now.tick.0,
            },
            crowd: self.crowd_line(),
            crowd_room: self.crowd_room(fd_limit),
            syscalls: sys::counts().map(|(call, count)| (call.name(), count)).collect(),
            r#loop: Loop { wakeups: self.meters.wakeups, ready: self.meters.ready },
            receipt: Name::ALL
                .into_iter()
                .map(|name| (name.as_str(), self.receipt(name, now.tick)))
                .collect(),
            turns: (turns > 0).then(|| self.last_turns(turns, language)),
        };
        json(Status::Ok, &page)
    }

    /// `None` if it belonged to a connection that has gone since it was compared.
    fn line<'a>(&'a self, fact: &'a Fact, now: Now) -> Option<Line<'a>> {
        let Fact { fd, believed, watched, agree, target } = fact;
        let kind = match believed {
            Some((token, _)) => self.watched_kind(*token)?,
            None => self.own_unwatched(*fd).unwrap_or("other"),
        };
        let names = |events| self.multiplexer.names(events);
        let is_compared = agree.is_some();
        Some(Line {
            fd: *fd,
            kind,
            target: target.as_deref(),
            connection: believed.and_then(|(token, _)| self.connection_line(token, now)),
            interest: believed.map(|(_, interest)| names(self.multiplexer.events(interest))),
            watched: is_compared.then(|| watched.map_or(Vec::new(), names)),
            agree: *agree,
        })
    }

    fn connection_line(&self, token: Token, now: Now) -> Option<ConnectionLine<'_>> {
        let Source::Connection(id) = Source::of(token) else { return None };
        let connection = self.table.get(id)?;
        let channel = connection.seat().map(|seat| self.hub.channels.get(seat.channel).name().as_str());
        Some(ConnectionLine {
            technique: connection.name.as_str(),
            peer: connection.peer.to_string(),
            channel,
            deadline_ms: connection.deadline(&self.hub.settings).at.since(now.tick),
            onlooker: connection.is_looking(),
        })
    }
}
