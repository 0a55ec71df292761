//! `doorbell exhibit`.

use super::{USAGE, fail};
use crate::exhibit::{ALL, Exhibit};
use crate::sys;
use clap::Args;
use std::io;
use std::process::ExitCode;

/// The words of `doorbell exhibit`.
#[derive(Args, Debug)]
#[command(
    after_help = "Each says what it expects, makes the mistake, takes the cure, and measures both. The exit status is \
                  0 if the kernel agrees with what was expected, 1 if not.\n\n\
                  Example:\n  doorbell exhibit emfile"
)]
pub(super) struct Flags {
    /// Which one; without a name they are listed
    name: Option<String>,
    /// Show all of them, one after the other, and sum up
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Shows what is asked for, and returns the exit status.
pub(super) fn run(flags: &Flags) -> ExitCode {
    match &flags.name {
        _ if flags.all => show_all(),
        None => list(),
        Some(name) => match ALL.iter().find(|exhibit| exhibit.name == name) {
            Some(exhibit) => show(exhibit).map_or_else(|what| fail(1, &what), |()| ExitCode::SUCCESS),
            None => fail(USAGE, &unknown(name)),
        },
    }
}

fn list() -> ExitCode {
    for exhibit in ALL {
        sys::stdout_line(&format!("{:<16} {}", exhibit.name, exhibit.about));
    }
    ExitCode::SUCCESS
}

fn show_all() -> ExitCode {
    let mut summary = Vec::new();
    for exhibit in ALL {
        let begin = sys::moment();
        let result = show(exhibit);
        summary.push((exhibit.name, result, begin.elapsed()));
        sys::stdout_line("");
    }
    for (name, result, span) in &summary {
        let outcome = if result.is_ok() { "the kernel agrees" } else { "FAILED" };
        sys::stdout_line(&format!("{name:<16} {outcome:<17} {:5.2} s", span.as_secs_f64()));
    }
    let failures: Vec<String> = summary.into_iter().filter_map(|(_, result, _)| result.err()).collect();
    if failures.is_empty() { ExitCode::SUCCESS } else { fail(1, &failures.join("; ")) }
}

/// Shows one on standard output. The error is a line that says what went wrong and what to do.
fn show(exhibit: &Exhibit) -> Result<(), String> {
    let name = exhibit.name;
    match exhibit.show(&mut sys::stdout_line) {
        Ok(verdict) if verdict.agrees() => Ok(()),
        Ok(_) => Err(format!(
            "exhibit {name}: this kernel does not do what was expected; see \"not as expected\" above and {}",
            exhibit.file
        )),
        Err(error) => Err(format!("exhibit {name} could not be shown: {error}{}", advice(&error))),
    }
}

/// What to do about a call that failed where none was meant to. (What is no error of the kernel says so itself.)
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(_) if sys::scarcity(error).is_some() => "; raise the limit on open files with ulimit -n",
        Some(_) => "; strace -f shows which call it was",
        None if error.kind() == io::ErrorKind::TimedOut => "; try again when the machine is less busy",
        None => "",
    }
}

/// What to do about a name that nobody bears.
fn unknown(name: &str) -> String {
    const NEAR: f64 = 0.7;
    let near = |exhibit: &Exhibit| strsim::jaro_winkler(exhibit.name, &name.to_lowercase());
    let nearest = ALL.iter().max_by(|one, other| near(one).total_cmp(&near(other)));
    let guess = nearest.filter(|exhibit| near(exhibit) > NEAR);
    let guess = guess.map_or(String::new(), |exhibit| format!(" did you mean {}?", exhibit.name));
    format!("there is no exhibit '{name}';{guess} doorbell exhibit lists them")
}
