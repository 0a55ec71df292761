//! Comparisons that anyone can repeat: each is a command that prints a table.
//!
//! The rules of its interface:
//!
//! - A bench is a function from an [`Effort`] to a [`Report`]. It prints nothing: the report renders itself
//!   for the terminal, as Markdown, as JSON and, if it has a plot, as SVG.
//! - What is timed is warmed up first and measured in several rounds in turn ([`rounds`]), and told as
//!   median, lowest and highest. What is counted is counted exactly.
//! - A server is a real one in a process of its own ([`server`]), which dies with the bench.
//! - What a bench expects it judges: [`Report::verdict`]. A table that contradicts it is printed all the
//!   same, and the exit status is 1.
//! - Everything is bounded: rounds, file descriptors, and how long anything is waited for.

pub mod crowd;
pub mod ears;
pub mod floor;
pub mod growth;
pub mod idle;
pub mod line;
pub mod machine;
pub mod matrix;
pub mod peers;
pub mod plot;
pub mod process;
pub mod question;
pub mod readiness;
pub mod receipt;
pub mod report;
pub mod rounds;
pub mod server;
pub mod table;
pub mod techniques;
pub mod timers;
pub mod wheel;

pub use report::Report;

use crate::sys;
use std::time::Duration;

/// How long anything may take before a bench gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How hard to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Smaller sizes and fewer rounds: to see that it works, not to quote it.
    pub quick: bool,
    /// How many rounds, if the user has said so.
    pub rounds: Option<usize>,
}

impl Effort {
    /// How many rounds to measure, after the one that warms up: what the user said, or `usual`, or 3 if it
    /// is to be quick.
    pub fn rounds_or(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { usual })
    }
}

/// Runs a bench on a machine that is watched meanwhile. An error is one line: what failed, on what, and
/// what to do about it.
pub fn run(bench: impl FnOnce(&Effort) -> Result<Report, String>, effort: &Effort) -> Result<Report, String> {
    let load = machine::Load::begin();
    let mut report = bench(effort)?;
    let busy = load.end().warning().filter(|_| report.is_timed);
    report.warnings.extend(busy);
    Ok(report)
}

/// Lets some milliseconds pass.
fn pause(millis: i32) {
    // poll(2) of nothing is the shortest way to do nothing.
    let _ = sys::poll(&mut [], millis);
}

/// Says how far a bench has come, if somebody is watching.
pub fn progress(what: &str) {
    if sys::stderr_is_a_terminal() {
        sys::stderr_line(what);
    }
}
