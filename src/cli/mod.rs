//! The command line: one file for each sub-command.

#[cfg(feature = "lab")]
mod bench;
#[cfg(feature = "lab")]
mod exhibit;
#[cfg(feature = "lab")]
mod publish;
#[cfg(feature = "lab")]
mod relay;
mod serve;
#[cfg(feature = "lab")]
mod swarm;
mod units;
#[cfg(feature = "lab")]
mod via;
#[cfg(feature = "lab")]
mod watch;

use crate::sys;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What went wrong with the words on the command line.
const USAGE: u8 = 2;

/// Both kinds of polling in one program: how clients hear of news, and how one thread hears of ten
/// thousand sockets.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "doorbell", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Flags,
}

// There is one of it.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve every technique on one port, from one thread.
    Serve(Box<serve::Flags>),
    /// Follow a channel by any technique, and print its events.
    #[cfg(feature = "lab")]
    Watch(watch::Flags),
    /// Publish an event, or each line of standard input.
    #[cfg(feature = "lab")]
    Publish(publish::Flags),
    /// Let a crowd of clients loose on a server of this machine, and tell what they heard.
    #[cfg(feature = "lab")]
    Swarm(swarm::Flags),
    /// Put distance between clients and a server of this machine: what is said arrives a while later.
    #[cfg(feature = "lab")]
    Relay(relay::Flags),
    /// Compare: tables and plots that anyone can repeat.
    #[cfg(feature = "lab")]
    Bench(bench::Words),
    /// Show a famous mistake of event loops beside its cure, measured on this machine.
    #[cfg(feature = "lab")]
    Exhibit(exhibit::Flags),
}

/// Runs what the command line asks for and returns the exit status: 0 after a clean end, 2 for words
/// that were not understood, 1 for anything else.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(flags) => serve::run(*flags),
        #[cfg(feature = "lab")]
        Command::Watch(flags) => watch::run(flags),
        #[cfg(feature = "lab")]
        Command::Publish(flags) => publish::run(flags),
        #[cfg(feature = "lab")]
        Command::Swarm(flags) => swarm::run(flags),
        #[cfg(feature = "lab")]
        Command::Relay(flags) => relay::run(&flags),
        #[cfg(feature = "lab")]
        Command::Bench(words) => bench::run(words),
        #[cfg(feature = "lab")]
        Command::Exhibit(flags) => exhibit::run(&flags),
    }
}

/// Help goes to standard output as it is; a mistake becomes one line on standard error.
fn explain(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        sys::stdout_line(error.render().to_string().trim_end());
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let words: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let what = words.join(" ");
    fail(USAGE, &format!("{}; see doorbell --help", what.trim_start_matches("error: ")))
}

/// The exit status of what may fail with one line.
#[cfg(feature = "lab")]
fn finish(result: Result<(), String>) -> ExitCode {
    result.map_or_else(|what| fail(1, &what), |()| ExitCode::SUCCESS)
}

/// Says in one line what went wrong, and gives the exit status.
fn fail(status: u8, what: &str) -> ExitCode {
    sys::stderr_line(&format!("doorbell: {what}"));
    ExitCode::from(status)
}
