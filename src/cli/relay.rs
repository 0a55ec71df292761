//! `doorbell relay`.

use super::swarm::check_that_it_is_here;
use super::units::span;
use super::{USAGE, fail, finish};
use crate::client::Url;
use crate::relay;
use crate::sys;
use clap::Args;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

/// The flags of `doorbell relay`.
#[derive(Args, Debug)]
#[command(after_help = "\
It prints where it listens, and runs until Ctrl-C. Connecting is not delayed, only what is said is; what was said in \
one piece arrives in one piece.

Example:
  doorbell relay http://127.0.0.1:8080 --delay 200ms --port 8081")]
pub(super) struct Flags {
    /// The server, which is on this machine: http://127.0.0.1[:PORT]
    #[arg(value_name = "URL", value_parser = Url::parse)]
    url: Url,
    /// How much later it arrives, each way
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = span)]
    delay: Duration,
    /// Where to listen on 127.0.0.1; 0 is any free port
    #[arg(long, value_name = "PORT", default_value = "0")]
    port: u16,
}

/// Relays until a signal comes, and returns the exit status.
pub(super) fn run(flags: &Flags) -> ExitCode {
    let target = match flags.url.resolve() {
        Ok(target) => target,
        Err(what) => return fail(1, &what),
    };
    if let Err(what) = check_that_it_is_here(&target, "a relay") {
        return fail(USAGE, &what);
    }
    // Two fds for each client are soon too many for the limit that one usually starts with. OK to ignore because what
    // there is will do for some.
    let _ = sys::raise_fd_limit();
    let listens = |address| sys::stdout_line(&format!("listening on http://{address}"));
    let relayed = sys::block_and_open()
        .and_then(|signals| relay::run(flags.port, target.addresses[0], flags.delay, signals, listens));
    finish(relayed.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!("port {} is in use; choose another --port", flags.port),
        _ => format!("cannot relay: {error}"),
    }))
}
