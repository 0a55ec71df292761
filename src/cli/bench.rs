//! `doorbell bench`: comparisons, as a table, as Markdown, as JSON and as a picture.

use super::fail;
use crate::bench::{
    self, Effort, Report, floor, growth, idle, matrix, peers, readiness, receipt, techniques, wheel,
};
use crate::sys::{self, Fd};
use clap::{Args, Subcommand};
use std::io;
use std::path::{Path, PathBuf};
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
    /// What a delivered event costs by each technique, and whether that is what a formula says
    #[command(after_help = "Example:\n  doorbell bench receipt --clients 10 --events 20")]
    Receipt(Receipting),
    /// What one wait costs over select, poll and epoll, as the crowd grows from 10 to 19,000
    #[command(after_help = "Example:\n  doorbell bench readiness --svg readiness.svg")]
    Readiness(Timing),
    /// What an event costs the server beside 100 to 18,000 connections that say nothing, over each mechanism
    #[command(after_help = "Example:\n  doorbell bench growth --svg growth.svg")]
    Growth(Timing),
    /// What a client costs that waits: bytes of the server's memory and of the kernel's, with 10,000 of them
    #[command(after_help = "Example:\n  doorbell bench idle --markdown")]
    Idle(Timing),
    /// What one would use instead, measured by the same clients: nginx with nchan, Node with ws, axum
    #[command(after_help = "Example:\n  scripts/peers/install && doorbell bench peers --svg peers.svg")]
    Peers(Comparing),
    /// The same events to the same crowd by each technique: how late, at what cost, and who overtakes whom
    #[command(after_help = "Example:\n  doorbell bench techniques --clients 500 --svg techniques.svg")]
    Techniques(Gathering),
    /// The server beside a bare loop that reads and writes as many bytes and understands none of them
    #[command(after_help = "Example:\n  doorbell bench floor --markdown --svg floor.svg")]
    Floor(Flooring),
    /// That bare loop: it says where it listens, and is ended by whoever started it
    #[command(hide = true)]
    FloorServer(Bare),
    /// What a timer costs on our timing wheel, on a BinaryHeap and on a BTreeMap, up to 1,000,000 of them
    #[command(after_help = "Example:\n  doorbell bench wheel --rounds 9 --json")]
    Wheel(Timing),
}

/// The flags of the receipt.
#[derive(Debug, Args)]
struct Receipting {
    #[command(flatten)]
    counting: Counting,
    /// How many clients there are
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=500))]
    clients: u64,
    /// How many events each of them hears
    #[arg(long, value_name = "K", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=1000))]
    events: u64,
}

/// The flags of what is told to a crowd.
#[derive(Debug, Args)]
struct Gathering {
    #[command(flatten)]
    timing: Timing,
    /// How many clients there are [default: 200, and 1,000 to see who overtakes whom]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9000))]
    clients: Option<u64>,
    /// How many events each of them hears, in the first table [default: 50]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    events: Option<u64>,
    /// How many of them are published in a second [default: 20]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: Option<u64>,
}

/// The flags of a comparison with other servers.
#[derive(Debug, Args)]
struct Comparing {
    #[command(flatten)]
    timing: Timing,
    /// Where scripts/peers/install has put them
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    peers: PathBuf,
    /// How many subscribers there are [default: 5,000, or 200 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=18_000))]
    clients: Option<u64>,
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

/// The flags of a bench that measures time.
#[derive(Debug, Args)]
struct Timing {
    #[command(flatten)]
    form: Form,
    /// Draw the plot into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// How many rounds to measure after the one that warms up [default: enough for a median]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Smaller sizes and fewer rounds: to see that it works, not to quote it
    #[arg(long)]
    quick: bool,
}

/// The flags of the floor.
#[derive(Debug, Args)]
struct Flooring {
    #[command(flatten)]
    timing: Timing,
    /// Fail when a ratio misses what it is to reach by more than a tenth
    #[arg(long)]
    gate: bool,
}

/// How many bytes each thing has on the floor; see `floor::Sizes`.
#[derive(Debug, Args)]
struct Bare {
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    question: usize,
    #[arg(long)]
    answer: usize,
    #[arg(long)]
    publication: usize,
    #[arg(long)]
    event: usize,
    #[arg(long)]
    once: bool,
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
        Bench::Receipt(Receipting { counting, clients, events }) => {
            let crowd = receipt::Crowd { clients, events };
            counting.run("receipt", |effort| receipt::run(effort, crowd))
        }
        Bench::Readiness(flags) => flags.run("readiness", readiness::run),
        Bench::Growth(flags) => flags.run("growth", growth::run),
        Bench::Idle(flags) => flags.run("idle", idle::run),
        Bench::Peers(Comparing { timing, peers, clients }) => {
            timing.run("peers", |effort| peers::run(effort, &peers, clients))
        }
        Bench::Techniques(Gathering { timing, clients, events, rate }) => {
            let crowd = techniques::Crowd { clients, events, rate };
            timing.run("techniques", |effort| techniques::run(effort, crowd))
        }
        Bench::Floor(Flooring { timing, gate }) => timing.run("floor", |effort| floor::run(effort, gate)),
        Bench::FloorServer(bare) => bare.run(),
        Bench::Wheel(flags) => flags.run("wheel", wheel::run),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => fail(1, &what),
    }
}

impl Counting {
    fn run(self, name: &str, bench: impl FnOnce(&Effort) -> Result<Report, String>) -> Result<(), String> {
        let effort = Effort { quick: self.quick, rounds: None };
        let report = bench::run(bench, &effort).map_err(|error| format!("bench {name}: {error}"))?;
        self.form.tell(&report)
    }
}

impl Timing {
    fn run(self, name: &str, bench: impl FnOnce(&Effort) -> Result<Report, String>) -> Result<(), String> {
        let told = |error| format!("bench {name}: {error}");
        // Before the work, lest it be done in vain.
        let picture = self.svg.as_deref().map(Picture::open).transpose().map_err(told)?;
        let effort = Effort { quick: self.quick, rounds: self.rounds.map(usize::from) };
        let report = bench::run(bench, &effort).map_err(told)?;
        if let Some(picture) = picture {
            picture.draw(&report).map_err(told)?;
        }
        self.form.tell(&report)
    }
}

impl Bare {
    fn run(self) -> Result<(), String> {
        let Bare { question, answer, publication, event, once } = self;
        let sizes = floor::Sizes { question, answer, publication, event, once };
        floor::serve(sizes).map_err(|error| format!("bench floor-server: {error}"))
    }
}

/// The file for a plot.
struct Picture<'a> {
    path: &'a Path,
    file: Fd,
}

impl Picture<'_> {
    fn open(path: &Path) -> Result<Picture<'_>, String> {
        let file = sys::create_file(path).map_err(|error| unwritable(path, &error))?;
        Ok(Picture { path, file })
    }

    fn draw(&self, report: &Report) -> Result<(), String> {
        let Some(plot) = &report.plot else {
            return Err("there is nothing to draw; leave --svg out".to_owned());
        };
        sys::write_all(&self.file, plot.svg()?.as_bytes()).map_err(|error| unwritable(self.path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}; choose another file for --svg", path.display())
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
