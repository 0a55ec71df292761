//! Who is measured: the server or the floor, each in a process of its own, and what it uses up meanwhile.

use super::bare::{HOW_MANY, Sizes, THIS_MANY};
use crate::bench::line::Line;
use crate::bench::process::Process;
use crate::bench::server::{PATIENT, Server};
use crate::bench::{PATIENCE, pause};
use crate::sys;

/// The server, or the floor beneath it.
pub(super) enum Contender {
    /// It understands what it is told.
    Server(Box<Server>),
    /// It counts bytes.
    Floor { process: Process, meter: Line },
}

/// What work has cost the process that did it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// CPU time in seconds.
    pub(super) cpu: f64,
    /// System calls.
    pub(super) calls: f64,
}

impl Contender {
    /// Starts the server, on this processor if there is one to spare.
    pub(super) fn server(cpu: Option<usize>) -> Result<Contender, String> {
        Contender::Server(Box::new(Server::start(&PATIENT)?)).on(cpu)
    }

    /// Starts the floor, likewise.
    pub(super) fn floor(sizes: Sizes, cpu: Option<usize>) -> Result<Contender, String> {
        let words = sizes.words();
        let words = ["bench", "floor-server"].into_iter().chain(words.iter().map(String::as_str));
        let process = Process::start(words)?;
        let meter = process.connect()?;
        Contender::Floor { process, meter }.on(cpu)
    }

    fn on(self, cpu: Option<usize>) -> Result<Contender, String> {
        if let Some(cpu) = cpu {
            let pinned = sys::pin_process(self.process().pid(), cpu);
            pinned.map_err(|error| format!("cannot keep the server on processor {cpu}: {error}"))?;
        }
        Ok(self)
    }

    pub(super) fn process(&self) -> &Process {
        match self {
            Contender::Server(server) => server,
            Contender::Floor { process, .. } => process,
        }
    }

    /// Waits until so many have their seats.
    pub(super) fn await_seats(&mut self, count: usize) -> Result<(), String> {
        let start = sys::moment();
        loop {
            let seats = self.census()?.seats;
            if seats == count as f64 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let what = format!("{seats} of {count} subscribers have their seats");
                return Err(self.process().with_last_words(&what));
            }
            pause(1);
        }
    }

    /// Does some work, and tells what it has cost this one.
    pub(super) fn cost<T>(&mut self, work: impl FnOnce() -> Result<T, String>) -> Result<(T, Cost), String> {
        let first = self.census()?.calls;
        let second = self.census()?.calls;
        let cpu = self.cpu()?;
        let done = work().map_err(|error| self.process().with_last_words(&error))?;
        let cpu = self.cpu()? - cpu;
        // To ask costs calls, too: as many as there were between the first time and the second.
        let calls = self.census()?.calls - second - (second - first);
        Ok((done, Cost { cpu, calls }))
    }

    /// CPU time so far, when it sleeps: the kernel keeps account of it then.
    fn cpu(&self) -> Result<f64, String> {
        self.process().wait_until_asleep()?;
        let used = sys::process_cpu(self.process().pid());
        used.map(|span| span.as_secs_f64())
            .ok_or("cannot read the server's CPU time; is /proc mounted?".to_owned())
    }

    fn census(&mut self) -> Result<Census, String> {
        match self {
            Contender::Server(server) => {
                let metrics = server.metrics()?;
                let calls: i64 = metrics.calls().iter().map(|(_, count)| count).sum();
                Ok(Census { calls: calls as f64, seats: metrics.get("doorbell_subscribers") })
            }
            Contender::Floor { process, meter } => {
                let answer = meter.send(&HOW_MANY).and_then(|()| meter.take(THIS_MANY));
                let answer = answer.map_err(|error| process.with_last_words(&error))?;
                let number = |at: usize| {
                    u64::from_ne_bytes(answer[at..at + 8].try_into().expect("OK because 8 of 16 bytes are 8"))
                        as f64
                };
                Ok(Census { calls: number(0), seats: number(8) })
            }
        }
    }
}

/// What a contender has counted so far.
struct Census {
    calls: f64,
    seats: f64,
}
