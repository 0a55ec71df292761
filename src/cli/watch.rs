//! `doorbell watch`.

use super::units::span;
use super::via::{Choice, technique_or_auto};
use super::{fail, finish};
use crate::channel::{ChannelName, Since};
use crate::client::{self, Plan, Url, Watching};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// How long a connection, and a first answer, may take.
const OPENING: Duration = Duration::from_secs(10);

/// The flags of `doorbell watch`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --since it tells what is published from now on. A connection that is cut, or a server that is restarted, \
is come back to with the cursor of the last event, so that nothing is lost and nothing comes twice; what the server \
keeps no longer is told on standard error. It ends with Ctrl-C, with --count, or when nobody reads its output.

Over sse the data is told as text, JSON or not, and without a time: the notation does not carry them.

Examples:
  doorbell watch http://127.0.0.1:8080
  doorbell watch http://127.0.0.1:8080/?channel=news --via long_poll --since start --json --count 10")]
pub(super) struct Flags {
    /// The server: http://HOST[:PORT]/[?channel=NAME]
    #[arg(value_name = "URL", value_parser = Url::parse)]
    url: Url,
    /// How to hear of news; auto tries websocket, then sse, then long_poll
    #[arg(long, value_name = "TECHNIQUE", default_value = "auto", value_parser = technique_or_auto())]
    via: Choice,
    /// The channel [default: the URL's, or lobby]
    #[arg(long, value_name = "NAME", value_parser = client::channel)]
    channel: Option<ChannelName>,
    /// Where to begin: right behind this event, or start for all that is kept [default: from now on]
    #[arg(long, value_name = "CURSOR", value_parser = since)]
    since: Option<Since>,
    /// Print one JSON object a line: id, time (where it is known), data, via
    #[arg(long)]
    json: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// The time between two short polls
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    interval: Duration,
    /// How long a long poll asks to be parked
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    timeout: Duration,
    /// How long a stream or a WebSocket may be silent before the server counts as dead; doorbell's heart beats every 20s
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    silence: Duration,
}

/// Watches, and returns the exit status.
pub(super) fn run(flags: Flags) -> ExitCode {
    let target = match flags.url.resolve() {
        Ok(target) => target,
        Err(what) => return fail(1, &what),
    };
    let plan = Plan {
        host: target.host.clone(),
        channel: flags.channel.or(flags.url.channel).unwrap_or_default(),
        via: flags.via.via,
        auto: flags.via.auto,
        since: flags.since,
        interval: flags.interval,
        hold: flags.timeout,
        silence: flags.silence,
        opening: OPENING,
        named: true,
        patient: false,
    };
    finish(client::watch(Watching { target, plan, json: flags.json, count: flags.count }))
}

fn since(text: &str) -> Result<Since, String> {
    Since::parse(text).ok_or_else(|| "write start, or an event's id such as m3k9a1-5".into())
}
