//! `doorbell serve`.

use super::units::{rate, size, span, span_or_zero};
use super::{USAGE, fail};
use crate::multiplexer::Mechanism;
use crate::server::{Exit, Log, Plan, RESERVE, Server, StartError};
use crate::settings::{AllowOrigin, Language, MIB, Settings};
use crate::sys::{self, Endpoint};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The flags of `doorbell serve`. Each can come from the environment too, as `DOORBELL_HOLD` and so on.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  doorbell serve --listen 127.0.0.1:0 --multiplexer poll --log connections"
)]
pub(super) struct Flags {
    /// Where to listen: HOST:PORT, [::1]:PORT, unix:PATH; port 0 is any free port. Repeatable
    #[arg(long, env = "DOORBELL_LISTEN", value_delimiter = ',', value_name = "HOST:PORT",
          default_value = "127.0.0.1:8080", value_parser = endpoint)]
    listen: Vec<Endpoint>,
    /// How the loop waits for its sockets: the kernel axis
    #[arg(long, env = "DOORBELL_MULTIPLEXER", value_enum, default_value = "epoll")]
    multiplexer: MechanismFlag,
    /// Tell every system call of the loop on standard error, and why; in this language [default: by LANG]
    #[arg(long, env = "DOORBELL_NARRATE", value_enum, value_name = "en|ko", num_args = 0..=1,
          require_equals = true, default_missing_value = "auto", hide_possible_values = true)]
    narrate: Option<LanguageFlag>,
    /// How long a long poll is parked when it does not say
    #[arg(long, env = "DOORBELL_HOLD", value_name = "TIME", default_value = "30s", value_parser = span_or_zero)]
    hold: Duration,
    /// The longest that a long poll may ask for with ?timeout=
    #[arg(long, env = "DOORBELL_MAX_HOLD", value_name = "TIME", default_value = "120s", value_parser = span_or_zero)]
    max_hold: Duration,
    /// How many events a channel keeps; the oldest goes first
    #[arg(long, env = "DOORBELL_HISTORY", value_name = "COUNT", default_value = "1024")]
    history: usize,
    /// How many bytes of events a channel keeps; the oldest goes first
    #[arg(long, env = "DOORBELL_HISTORY_BYTES", value_name = "SIZE", default_value = "4MiB", value_parser = size)]
    history_bytes: usize,
    /// How many connections there may be, past it 503 [default: the limit on open files less a reserve]
    #[arg(long, env = "DOORBELL_MAX_CONNECTIONS", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    max_connections: Option<u64>,
    /// How many connections one address may have, past it 429 [default: no limit]
    #[arg(long, env = "DOORBELL_MAX_CONNECTIONS_PER_IP", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    max_connections_per_ip: Option<u64>,
    /// How many channels there may be; past it 507
    #[arg(long, env = "DOORBELL_MAX_CHANNELS", value_name = "COUNT", default_value = "10000")]
    max_channels: usize,
    /// The largest head of a request; past it 431, or 414 for the request line
    #[arg(long, env = "DOORBELL_MAX_HEAD", value_name = "SIZE", default_value = "16KiB", value_parser = head_size)]
    max_head: usize,
    /// The largest body of a request; past it 413
    #[arg(long, env = "DOORBELL_MAX_BODY", value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    max_body: usize,
    /// The largest WebSocket message; past it the connection is closed with 1009
    #[arg(long, env = "DOORBELL_MAX_MESSAGE", value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    max_message: usize,
    /// How many events one address may publish in a second, past it 429, on a WebSocket 1008 [default: no limit]
    #[arg(long, env = "DOORBELL_PUBLISH_RATE", value_name = "N/s", value_parser = rate)]
    publish_rate: Option<u32>,
    /// Compress WebSocket messages for clients that offer it (permessage-deflate, RFC 7692)
    #[arg(long, env = "DOORBELL_DEFLATE", value_parser = BoolishValueParser::new())]
    deflate: bool,
    /// How much a slow reader may leave unread before it is let go
    #[arg(long, env = "DOORBELL_OUTBOX_LIMIT", value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    outbox_limit: usize,
    /// For a whole head, from accept or from its first byte; then 408
    #[arg(long, env = "DOORBELL_HEAD_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = span)]
    head_timeout: Duration,
    /// For a whole body, from the end of its head; then 408
    #[arg(long, env = "DOORBELL_BODY_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = span)]
    body_timeout: Duration,
    /// How long a connection may rest between two requests, and a write wait for a peer that takes nothing
    #[arg(long, env = "DOORBELL_IDLE_TIMEOUT", value_name = "TIME", default_value = "75s", value_parser = span)]
    idle_timeout: Duration,
    /// After this much silence a WebSocket is pinged and a stream gets a heartbeat
    #[arg(long, env = "DOORBELL_PING_INTERVAL", value_name = "TIME", default_value = "20s", value_parser = span)]
    ping_interval: Duration,
    /// How long a stream may last, give or take 10 %; 0: as long as it likes
    #[arg(long, env = "DOORBELL_STREAM_LEASE", value_name = "TIME", default_value = "0", value_parser = span_or_zero)]
    stream_lease: Duration,
    /// The longest that clients may take to leave after SIGTERM or SIGINT
    #[arg(long, env = "DOORBELL_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = span_or_zero)]
    drain_timeout: Duration,
    /// What is said on standard error of each connection, and of each request
    #[arg(long, env = "DOORBELL_LOG", value_enum, default_value = "off")]
    log: LogFlag,
    /// Whose pages may publish and open WebSockets besides our own: scheme://host[:port], or *. Repeatable
    #[arg(long, env = "DOORBELL_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MechanismFlag {
    Epoll,
    Poll,
    Select,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LanguageFlag {
    En,
    Ko,
    #[value(hide = true)]
    Auto,
}

impl LanguageFlag {
    fn language(self) -> Language {
        let is_korean = match self {
            LanguageFlag::En => false,
            LanguageFlag::Ko => true,
            LanguageFlag::Auto => locale().starts_with("ko"),
        };
        if is_korean { Language::Korean } else { Language::English }
    }
}

/// The language of the user's messages: the first of these that says something counts (locale(7)).
fn locale() -> String {
    let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let says = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    names.into_iter().find_map(says).unwrap_or_default()
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFlag {
    Off,
    Connections,
    Requests,
}

/// Serves, and returns the exit status.
pub(super) fn run(flags: Flags) -> ExitCode {
    let narrated = flags.narrate.is_some();
    let plan = match flags.into_plan() {
        Ok(plan) => plan,
        Err((status, what)) => return fail(status, &what),
    };
    if narrated {
        sys::narrate();
    }
    let exit = serve(plan);
    sys::fall_silent();
    exit
}

fn serve(plan: Plan) -> ExitCode {
    let server = match Server::start(plan) {
        Ok(server) => server,
        Err(error) => return fail(1, &explain(&error)),
    };
    for endpoint in server.endpoints() {
        match endpoint {
            Endpoint::Tcp(address) => sys::stdout_line(&format!("listening on http://{address}")),
            Endpoint::Unix(path) => sys::stdout_line(&format!("listening on unix:{}", path.display())),
        }
    }
    match server.run() {
        Ok(Exit::Drained) => ExitCode::SUCCESS,
        Ok(Exit::Cut(signal, left)) => {
            let name = signal.name();
            fail(
                1,
                &format!(
                    "cut short by a second {name} while {left} connections were leaving; give them --drain-timeout"
                ),
            )
        }
        Err(error) => fail(
            1,
            &format!(
                "waiting for sockets failed: {error}; start it again, perhaps with another --multiplexer"
            ),
        ),
    }
}

impl Flags {
    fn into_plan(self) -> Result<Plan, (u8, String)> {
        let limit = sys::raise_fd_limit()
            .map_err(|error| (1, format!("cannot read the limit on open files: {error}")))?;
        let mechanism = match self.multiplexer {
            MechanismFlag::Epoll => Mechanism::Epoll,
            MechanismFlag::Poll => Mechanism::Poll,
            MechanismFlag::Select => Mechanism::Select,
        };
        let max_connections = room(limit, self.max_connections).map_err(|what| (USAGE, what))?;
        if self.allow_origin.len() > 255 {
            return Err((
                USAGE,
                "--allow-origin may be given 255 times at most; use * to allow everyone".into(),
            ));
        }
        let settings = Settings {
            hold: self.hold,
            max_hold: self.max_hold,
            history: self.history,
            history_bytes: self.history_bytes,
            max_channels: self.max_channels,
            max_head: self.max_head,
            max_body: self.max_body,
            max_message: self.max_message,
            deflate: self.deflate,
            publish_rate: self.publish_rate,
            outbox_limit: self.outbox_limit,
            head_timeout: self.head_timeout,
            body_timeout: self.body_timeout,
            idle_timeout: self.idle_timeout,
            ping_interval: self.ping_interval,
            stream_lease: Some(self.stream_lease).filter(|lease| !lease.is_zero()),
            allow_origin: if self.allow_origin.iter().any(|origin| origin == "*") {
                AllowOrigin::Any
            } else {
                AllowOrigin::Listed(self.allow_origin)
            },
        };
        Ok(Plan {
            listen: self.listen,
            mechanism,
            max_connections: max_connections as usize,
            max_connections_per_ip: self.max_connections_per_ip.map(|count| count as usize),
            drain_timeout: self.drain_timeout,
            log: match self.log {
                LogFlag::Off => Log::Off,
                LogFlag::Connections => Log::Connections,
                LogFlag::Requests => Log::Requests,
            },
            language: self.narrate.map_or(Language::default(), LanguageFlag::language),
            settings,
        })
    }
}

/// How many connections there may be: what is asked for, if the limit on open files bears it.
fn room(limit: u64, asked: Option<u64>) -> Result<u64, String> {
    let reserve = (RESERVE as u64).min(limit / 4);
    let room = (limit - reserve).max(1);
    match asked {
        Some(asked) if asked > room => Err(format!(
            "--max-connections {asked} is more than the limit on open files bears: ask for {room} at most, or raise it with ulimit -n {}",
            asked + RESERVE as u64
        )),
        Some(asked) => Ok(asked),
        None => Ok(room),
    }
}

fn head_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        small if small < 256 => Err("it must be at least 256 bytes, or no request would fit".into()),
        large if large > 64 * MIB => Err("it must be at most 64MiB: it is kept for each connection".into()),
        size => Ok(size),
    }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("unix: needs a path behind it".into())
        } else {
            Ok(Endpoint::Unix(PathBuf::from(path)))
        };
    }
    let wrong =
        |_| "write HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or 127.0.0.1:0, or unix:PATH".to_owned();
    let mut addresses = text.to_socket_addrs().map_err(wrong)?;
    addresses.next().map(Endpoint::Tcp).ok_or_else(|| "this name has no address".into())
}

fn origin(text: &str) -> Result<String, String> {
    let is_origin = text == "*"
        || text == "null"
        || text.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
    if is_origin { Ok(text.into()) } else { Err("write scheme://host[:port] without a path, or *".into()) }
}

/// What failed, on what, and what to do about it.
fn explain(StartError { doing, error }: &StartError) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse if doing.contains("unix:") => {
            "; a file or a listening socket is there: remove it, or choose another path"
        }
        io::ErrorKind::InvalidFilename if doing.contains("unix:") => {
            "; a socket's path has at most 107 bytes: choose a shorter one"
        }
        io::ErrorKind::AddrInUse => {
            "; another program has it: stop that one (ss -ltnp shows it) or choose another with --listen"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for root: choose another with --listen",
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: choose one that ip addr shows"
        }
        io::ErrorKind::NotFound => "; the folder does not exist: make it, or choose another path",
        _ if error.raw_os_error().is_some_and(|_| sys::scarcity(error).is_some()) => {
            "; raise the limit on open files with ulimit -n"
        }
        _ => "",
    };
    format!("cannot {doing}: {error}{advice}")
}
