//! A server, a crowd before it, and what the server says that the crowd has cost it.

use super::super::PATIENCE;
use super::super::crowd::{Crowd, EVENT_SOURCE, Heard, Manner, Resume, UPGRADE, Via};
use super::super::server::{Metrics, PATIENT, Server};
use crate::sys;
use std::net::SocketAddr;
use std::time::Duration;

/// Nothing is forgotten before it was heard.
const REMEMBER: [&str; 4] = ["--history", "1000000", "--history-bytes", "512MiB"];

/// Bytes of an event.
pub(super) const SIZE: usize = 64;

/// One of the techniques.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Technique {
    /// Asks once in this time.
    ShortPoll(Duration),
    LongPoll,
    Stream,
    Sse,
    WebSocket,
}

impl Technique {
    /// What everything calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Technique::ShortPoll(_) => "short_poll",
            Technique::LongPoll => "long_poll",
            Technique::Stream => "stream",
            Technique::Sse => "sse",
            Technique::WebSocket => "websocket",
        }
    }

    fn manner(self, channel: String) -> Manner {
        let (via, path, fields) = match self {
            Technique::ShortPoll(interval) => (Via::ShortPoll(interval), "/news", ""),
            Technique::LongPoll => (Via::LongPoll, "/poll", ""),
            Technique::Stream => (Via::Endless, "/stream", ""),
            Technique::Sse => (Via::Endless, "/connect", EVENT_SOURCE),
            Technique::WebSocket => (Via::WebSocket, "/ws", UPGRADE),
        };
        Manner { via, path, fields, channel, resume: Resume::Cursor }
    }
}

/// A server that lives as long as the bench.
pub(super) struct Stage {
    pub(super) server: Server,
    /// How many crowds there were: each has a channel of its own.
    crowds: usize,
}

/// So many events, with so much time from one to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) events: u64,
    pub(super) gap: Duration,
}

impl Score {
    pub(super) fn at_rate(rate: f64, events: u64) -> Score {
        Score { events, gap: Duration::from_secs_f64(1.0 / rate) }
    }
}

/// What a crowd has heard, and what it has cost the server.
pub(super) struct Performance {
    pub(super) heard: Heard,
    /// Seconds of CPU time of the server, the publisher's share included.
    pub(super) cpu: f64,
    technique: &'static str,
    before: Metrics,
    after: Metrics,
}

impl Performance {
    fn grown(&self, figure: &str, labels: &str) -> f64 {
        let name = format!("doorbell_technique_{figure}_total{{technique=\"{}\"{labels}}}", self.technique);
        self.after.get(&name) - self.before.get(&name)
    }

    /// How many requests came.
    pub(super) fn requests(&self) -> f64 {
        self.grown("requests", "")
    }

    /// How many bytes were `received` or `sent`.
    pub(super) fn bytes(&self, direction: &str) -> f64 {
        ["header", "payload"]
            .map(|part| self.grown("bytes", &format!(",direction=\"{direction}\",part=\"{part}\"")))
            .iter()
            .sum()
    }
}

impl Stage {
    pub(super) fn open() -> Result<Stage, String> {
        Ok(Stage { server: Server::start(&[&PATIENT[..], &REMEMBER].concat())?, crowds: 0 })
    }

    /// Lets a new crowd in by this address.
    pub(super) fn gather(
        &mut self,
        by: SocketAddr,
        technique: Technique,
        clients: usize,
    ) -> Result<Crowd, String> {
        self.seat(0)?;
        self.crowds += 1;
        let manner = technique.manner(format!("crowd-{}", self.crowds));
        let takes_seats = !matches!(technique, Technique::ShortPoll(_));
        let server = self.server.address;
        Crowd::open(
            server,
            by,
            manner,
            clients,
            SIZE,
            |count| if takes_seats { self.seat(count) } else { Ok(()) },
        )
    }

    /// Waits until so many have their seats.
    fn seat(&mut self, count: usize) -> Result<(), String> {
        let start = sys::moment();
        loop {
            let seated = self.server.metrics()?.get("doorbell_subscribers");
            if seated == count as f64 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let what = format!("{seated} clients have their seats, and {count} should");
                return Err(self.server.with_last_words(&what));
            }
        }
    }

    /// Publishes to a new crowd.
    pub(super) fn play(
        &mut self,
        technique: Technique,
        clients: usize,
        score: Score,
    ) -> Result<Performance, String> {
        let told = |error: String| format!("{}: {error}", technique.name());
        let mut crowd = self.gather(self.server.address, technique, clients).map_err(told)?;
        let before = self.server.metrics()?;
        let cpu = self.cpu()?;
        let heard =
            crowd.play(score.events, score.gap).map_err(|error| self.server.with_last_words(&told(error)))?;
        let cpu = self.cpu()? - cpu;
        let after = self.server.metrics()?;
        Ok(Performance { heard, cpu, technique: technique.name(), before, after })
    }

    /// Seconds that the server has been on a processor so far.
    fn cpu(&self) -> Result<f64, String> {
        let cpu = sys::process_cpu(self.server.pid()).map(|cpu| cpu.as_secs_f64());
        cpu.ok_or_else(|| self.server.with_last_words("the server has ended"))
    }
}
