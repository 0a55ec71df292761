//! `doorbell bench`: comparisons, as a table, as Markdown, as JSON and as a picture.

use super::fail;
use crate::bench::{self, Effort, Report, matrix};
use crate::sys;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Figures that anyone can repeat.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, after_help = "Example:\n  doorbell bench matrix --markdown")]
pub(super) struct Words {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Five techniques over three mechanisms: the same bytes on the wire, and the system calls of each
    #[command(after_help = "Example:\n  doorbell bench matrix --json")]
    Matrix(Counting),
}

/// The flags of a bench that counts.
#[derive(Debug, Args)]
struct Counting {
    #[command(flatten)]
    form: Form,
    /// Every bench takes this; one that counts is quick in any case
    #[arg(long)]
    quick: bool,
}

/// How the report is printed.
#[derive(Debug, Args)]
struct Form {
    /// Print one JSON object instead of a table
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
}

/// Runs one bench, and returns the exit status: 1 if it could not, or if it did not find what it expects.
pub(super) fn run(words: Words) -> ExitCode {
    let outcome = match words.bench {
        Bench::Matrix(flags) => flags.run("matrix", matrix::run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => fail(1, &what),
    }
}

impl Counting {
    fn run(self, name: &str, bench: fn(&Effort) -> Result<Report, String>) -> Result<(), String> {
        let effort = Effort { quick: self.quick, rounds: None };
        let report = bench::run(bench, &effort).map_err(|error| format!("bench {name}: {error}"))?;
        self.form.tell(&report)
    }
}

impl Form {
    /// Prints the report, also when its verdict is bad; that is the error then.
    fn tell(&self, report: &Report) -> Result<(), String> {
        sys::stdout_line(&match (self.json, self.markdown) {
            (true, _) => format!("{:#}", report.json()),
            (_, true) => report.markdown(),
            _ => report.terminal(),
        });
        match &report.verdict {
            Ok(_) => Ok(()),
            Err(what) => Err(format!("bench {}: not as expected: {what}", report.name)),
        }
    }
}
