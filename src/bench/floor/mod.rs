//! `doorbell bench floor`: the server beside a loop that reads and writes as much and understands nothing.
//!
//! What the kernel takes for a wait, a read and a write nobody can save; what the server takes on top is its own.
//! So each row is measured against a *floor* (`bare.rs`) in the same round: the same system calls, the same number of
//! bytes, and not one of them looked at. The client (`../ears.rs`) is the same for both.

mod ask;
mod bare;
mod contender;
mod fan;
mod tell;

pub use bare::{Sizes, serve};

use super::Effort;
use super::report::Report;
use super::rounds::{Pair, Spread};
use crate::digits::grouped;
use crate::sys::{self, Pinned};

/// How many rounds there are: many short ones, for on a busy machine half of them may be spoilt.
const ROUNDS: usize = 21;
/// How many hear an event.
const SUBSCRIBERS: usize = 5_000;
const SUBSCRIBERS_QUICK: usize = 200;
/// fds that are no subscriber's, ours or the server's.
const RESERVE: usize = 80;

/// What a row is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    /// So much of what the floor does in the same time.
    AtLeast(f64),
    /// So many times as long as the floor takes.
    AtMost(f64),
}

/// What was found.
#[derive(Clone, Debug, Default)]
struct Findings {
    rows: Vec<Row>,
    costs: Vec<Costs>,
}

/// What is compared with its goal.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    /// The name under a bar.
    short: &'static str,
    /// Answers in a second, or milliseconds.
    measured: Pair,
    ratio: Spread,
    goal: Goal,
}

/// What an answer or a delivery costs the one and the other.
#[derive(Clone, Debug)]
struct Costs {
    of: &'static str,
    /// Microseconds of CPU time.
    cpu: Pair,
    /// System calls.
    calls: Pair,
    /// Which part of the time it was on its processor.
    busy: Pair,
}

/// Who runs where.
#[derive(Clone, Copy)]
struct Where {
    /// The processor of the server and of the floor, if they have one that is not ours.
    server: Option<usize>,
}

impl Where {
    fn is_apart(self) -> bool {
        self.server.is_some()
    }
}

/// Measures each row, and judges: a *gate* is closed to who falls short of the table by more than a tenth.
pub fn run(effort: &Effort, is_gate: bool) -> Result<Report, String> {
    let limit =
        sys::raise_fd_limit().map_err(|error| format!("cannot read the limit on open files: {error}"))?;
    let wanted = if effort.quick { SUBSCRIBERS_QUICK } else { SUBSCRIBERS };
    // Those of the server and those of the floor are here at the same time.
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(RESERVE) / 2;
    if room < SUBSCRIBERS_QUICK {
        return Err(format!(
            "the limit of {limit} open files leaves room for {room} subscribers, too few to tell; raise it with \
             ulimit -n {}",
            2 * wanted + RESERVE
        ));
    }
    let (place, ours) = places()?;
    let asked = ask::run(effort, place)?;
    let subscribers = wanted.min(room);
    let fanned = fan::run(effort, place, subscribers)?;
    // What the report says of the machine is not to be said of one processor.
    drop(ours);
    let mut report = tell::report(&asked, &fanned, subscribers, place.is_apart());
    report.verdict = tell::judge(asked.rows.iter().chain(&fanned.rows), is_gate);
    if subscribers < wanted {
        report.notes.push(format!(
            "{} subscribers: the limit of {limit} open files allows no more; ulimit -n {} would allow {}.",
            grouped(subscribers as u64),
            2 * wanted + RESERVE,
            grouped(wanted as u64)
        ));
    }
    Ok(report)
}

/// A processor for the server, which the floor has when it is its turn, and another one for us; if there are two.
fn places() -> Result<(Where, Option<Pinned>), String> {
    let told = |error| format!("cannot say which processors are ours: {error}");
    let cpus = sys::allowed_cpus().map_err(told)?;
    // The last ones: the first has most of the machine's interrupts.
    let [.., ours, theirs] = cpus[..] else { return Ok((Where { server: None }, None)) };
    Ok((Where { server: Some(theirs) }, Some(Pinned::to(ours).map_err(told)?)))
}
