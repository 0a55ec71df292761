//! `doorbell publish`.

use super::units::rate;
use super::{fail, finish};
use crate::channel::ChannelName;
use crate::client::{self, Publishing, Url};
use clap::Args;
use std::process::ExitCode;

/// The flags of `doorbell publish`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  doorbell publish http://127.0.0.1:8080 'hello'
  doorbell publish http://127.0.0.1:8080/?channel=prices --json '{\"price\":52300}'
  seq 100 | doorbell publish http://127.0.0.1:8080 --rate 10/s --verbose")]
pub(super) struct Flags {
    /// The server: http://HOST[:PORT]/[?channel=NAME]
    #[arg(value_name = "URL", value_parser = Url::parse)]
    url: Url,
    /// The event; - or nothing: each line of standard input is one
    #[arg(value_name = "DATA|-", allow_hyphen_values = true)]
    data: Option<String>,
    /// The channel [default: the URL's, or lobby]
    #[arg(long, value_name = "NAME", value_parser = client::channel)]
    channel: Option<ChannelName>,
    /// Publish JSON values, not strings; empty lines are passed over
    #[arg(long)]
    json: bool,
    /// Publish so many a second at most, evenly [default: as fast as the server answers]
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<u32>,
    /// Print the id of each event
    #[arg(long, short)]
    verbose: bool,
}

/// Publishes, and returns the exit status.
pub(super) fn run(flags: Flags) -> ExitCode {
    let target = match flags.url.resolve() {
        Ok(target) => target,
        Err(what) => return fail(1, &what),
    };
    finish(client::publish(Publishing {
        target,
        channel: flags.channel.or(flags.url.channel).unwrap_or_default(),
        data: flags.data.filter(|data| data != "-"),
        json: flags.json,
        rate: flags.rate,
        verbose: flags.verbose,
    }))
}
