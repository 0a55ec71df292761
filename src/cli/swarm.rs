//! `doorbell swarm`.

use super::units::{rate, size, span};
use super::via::technique;
use super::{USAGE, fail};
use crate::channel::ChannelName;
use crate::client::{self, Target, Url, Via};
use crate::swarm::{Manner, Plan, Swarm, room_for};
use crate::sys;
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// The flags of `doorbell swarm`.
#[derive(Args, Debug)]
#[command(after_help = "\
Every client is one of doorbell watch; what each one hears is judged by the numbers of the events. Latency is measured \
by --publish in microseconds, and without it by the time of the events in milliseconds, where the technique tells it \
(sse does not). Ctrl-C makes them leave, and what was measured is told all the same. A client needs one open file; the \
soft limit on them is raised to the hard one (ulimit -Hn).

Examples:
  doorbell swarm http://127.0.0.1:8080 --via long_poll --clients 10000 --for 30s --publish 2/s
  doorbell swarm http://127.0.0.1:8080 --via websocket --clients 500 --freeze --json")]
pub(super) struct Flags {
    /// The server, which is on this machine: http://127.0.0.1[:PORT]/[?channel=NAME]
    #[arg(value_name = "URL", value_parser = Url::parse)]
    url: Url,
    /// How to hear of news
    #[arg(long, value_name = "TECHNIQUE", value_parser = technique())]
    via: Via,
    /// How many there are
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    clients: u32,
    /// The channel [default: the URL's, or lobby]
    #[arg(long, value_name = "NAME", value_parser = client::channel)]
    channel: Option<ChannelName>,
    /// How many of them connect in a second
    #[arg(long, value_name = "N/s", default_value = "1000/s", value_parser = rate)]
    ramp: u32,
    /// How long they stay once they are there
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = span)]
    stay: Duration,
    /// Publish so many events a second meanwhile
    #[arg(long, value_name = "N/s", value_parser = rate)]
    publish: Option<u32>,
    /// How large these events are at least
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = size)]
    size: usize,
    /// The time between two short polls of one client
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    interval: Duration,
    /// How long a long poll asks to be parked
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    timeout: Duration,
    /// In the end they vanish without a goodbye: a reset for each connection
    #[arg(long, group = "manner")]
    vanish: bool,
    /// Once they are there they neither read nor answer
    #[arg(long, group = "manner")]
    freeze: bool,
    /// Once they are there they read 16 bytes a second
    #[arg(long, group = "manner")]
    slow: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Lets the crowd loose, tells what was measured, and returns the exit status.
pub(super) fn run(flags: Flags) -> ExitCode {
    let as_json = flags.json;
    let plan = match flags.into_plan() {
        Ok(plan) => plan,
        Err((status, what)) => return fail(status, &what),
    };
    let swarm = match Swarm::open(plan) {
        Ok(swarm) => swarm,
        Err(error) => return fail(1, &format!("cannot gather a swarm: {error}")),
    };
    match swarm.run() {
        Ok(report) => {
            sys::stdout_line(&if as_json { report.json() } else { report.text() });
            ExitCode::SUCCESS
        }
        Err(what) => fail(1, &what),
    }
}

impl Flags {
    fn into_plan(self) -> Result<Plan, (u8, String)> {
        let target = self.url.resolve().map_err(|what| (1, what))?;
        check_that_it_is_here(&target, "a swarm").map_err(|what| (USAGE, what))?;
        let limit = sys::raise_fd_limit()
            .map_err(|error| (1, format!("cannot read the limit on open files: {error}")))?;
        check_room(self.clients.into(), limit).map_err(|what| (USAGE, what))?;
        let manner = match (self.vanish, self.freeze, self.slow) {
            (true, ..) => Manner::Vanish,
            (_, true, _) => Manner::Freeze,
            (.., true) => Manner::Slow,
            _ => Manner::Well,
        };
        Ok(Plan {
            target,
            channel: self.channel.or(self.url.channel).unwrap_or_default(),
            via: self.via,
            clients: self.clients,
            ramp: self.ramp,
            stay: self.stay,
            publish: self.publish,
            size: self.size,
            interval: self.interval,
            hold: self.timeout,
            manner,
        })
    }
}

/// A crowd would be an attack anywhere else, and a relay a door.
pub(super) fn check_that_it_is_here(target: &Target, what: &str) -> Result<(), String> {
    match target.addresses.iter().find(|address| !address.ip().is_loopback()) {
        None => Ok(()),
        Some(address) => Err(format!(
            "{what} is for one's own machine only, and {} is {}: write 127.0.0.1, [::1] or localhost",
            target.host,
            address.ip()
        )),
    }
}

fn check_room(clients: u64, limit: u64) -> Result<(), String> {
    let room = room_for(limit);
    if clients <= room {
        return Ok(());
    }
    let needed = clients + limit - room;
    Err(format!(
        "{clients} clients do not fit into the limit of {limit} open files: ask for --clients {room} at most, or raise it with ulimit -n {needed}"
    ))
}
