//! The peers: which there are, what they can do, and how one is started.

use super::super::crowd::{EVENT_SOURCE, Manner, Resume, UPGRADE, Via};
use super::super::server::{PATIENT, Server};
use super::super::{PATIENCE, pause};
use crate::sys::{self, Child, Endpoint, Pinned};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// A server that can be measured.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Whether it sends back what a WebSocket says.
    pub(super) echoes: bool,
    /// How its polls resume.
    resume: Resume,
}

/// Ourselves.
pub(super) const DOORBELL: Peer = Peer { name: "doorbell", echoes: true, resume: Resume::Cursor };

/// The others, each in the folder of its name.
const PEERS: [Peer; 3] = [
    // No directive of nginx or nchan answers a WebSocket's message with the same message.
    Peer { name: "nginx", echoes: false, resume: Resume::Validators },
    Peer { name: "node", echoes: true, resume: Resume::Cursor },
    Peer { name: "axum", echoes: true, resume: Resume::Cursor },
];

/// How often a port is chosen anew when somebody else was faster.
const ATTEMPTS: usize = 3;

/// Those that are installed in this folder, and those that are not.
pub(super) fn look(folder: &Path) -> (Vec<&'static Peer>, Vec<&'static Peer>) {
    PEERS.iter().partition(|peer| folder.join(peer.name).join("run").is_file())
}

/// The techniques by which all of them tell an event, by the names that everything gives them.
pub(super) const TECHNIQUES: [&str; 3] = ["long_poll", "sse", "websocket"];

impl Peer {
    /// What the installation says of it.
    pub(super) fn version(&self, folder: &Path) -> String {
        let version = sys::read_file(&folder.join(self.name).join("version").to_string_lossy());
        version.map_or("of an unknown version".to_owned(), |version| version.trim().to_owned())
    }

    /// How one follows a channel of it.
    pub(super) fn manner(&self, technique: &str, channel: String) -> Manner {
        let (via, path, fields) = match technique {
            "long_poll" => (Via::LongPoll, "/poll", ""),
            "sse" => (Via::Endless, "/connect", EVENT_SOURCE),
            _ => (Via::WebSocket, "/ws", UPGRADE),
        };
        Manner { via, path, fields, channel, resume: self.resume }
    }
}

/// Server and clients on processors of their own, where there are two.
pub(super) struct Apart(Option<(usize, Pinned)>);

impl Apart {
    /// Keeps this thread, which is the clients', on the last but one of the processors that it may use; the first has
    /// most of the machine's interrupts.
    pub(super) fn begin() -> Apart {
        let cpus = sys::allowed_cpus().unwrap_or_default();
        let &[.., ours, theirs] = cpus.as_slice() else { return Apart(None) };
        Apart(Pinned::to(ours).ok().map(|pinned| (theirs, pinned)))
    }

    /// Has what `start` starts run on the last of them, its threads too.
    fn server<T>(&self, start: impl FnOnce() -> T) -> T {
        let _pinned = self.0.as_ref().map(|&(theirs, _)| Pinned::to(theirs));
        start()
    }

    /// Whether they are.
    pub(super) fn is_so(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn words(&self) -> &'static str {
        match self.0 {
            Some(_) => {
                "One server at a time is busy, on a processor of its own; the clients are on another, and never \
                 sleep while something is on its way."
            }
            None => "One server at a time is busy; it and the clients share the only processor.",
        }
    }
}

/// A server that runs. It ends when this is dropped.
pub(super) struct Running {
    pub(super) peer: &'static Peer,
    pub(super) address: SocketAddr,
    process: Process,
    /// How many channels it was asked for.
    channels: usize,
}

enum Process {
    Own(Server),
    Other(Child),
}

impl Running {
    pub(super) fn start(peer: &'static Peer, folder: &Path, apart: &Apart) -> Result<Running, String> {
        if peer.name == DOORBELL.name {
            let server = apart.server(|| Server::start(&PATIENT))?;
            let address = server.address;
            return Ok(Running { peer, address, process: Process::Own(server), channels: 0 });
        }
        let program = folder.join(peer.name).join("run");
        let mut last_words = String::new();
        for _ in 0..ATTEMPTS {
            let address = free_port()?;
            let port = address.port().to_string();
            let mut child = apart
                .server(|| Child::start_program(&program, [port.as_str()]))
                .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
            if listens(&mut child, address) {
                return Ok(Running { peer, address, process: Process::Other(child), channels: 0 });
            }
            last_words = child.said().lines().last().unwrap_or_default().to_owned();
        }
        let name = peer.name;
        Err(format!(
            "{name} did not start ({}): {last_words}; see whether scripts/peers/install {name} mends it",
            program.display()
        ))
    }

    pub(super) fn pid(&self) -> u32 {
        match &self.process {
            Process::Own(server) => server.pid(),
            Process::Other(child) => child.pid(),
        }
    }

    fn is_asleep(&self) -> bool {
        match &self.process {
            Process::Own(server) => server.is_asleep(),
            Process::Other(child) => child.is_asleep(),
        }
    }

    /// A channel that nobody has used before.
    pub(super) fn channel(&mut self) -> String {
        self.channels += 1;
        format!("channel-{}", self.channels)
    }

    /// Seconds that it has been on a processor so far.
    pub(super) fn cpu(&self) -> Result<f64, String> {
        let cpu = sys::process_cpu(self.pid()).map(|cpu| cpu.as_secs_f64());
        cpu.ok_or_else(|| self.told("it has ended"))
    }

    /// Waits until it has done all that it had to do: until it sleeps, and a little later still does, without having
    /// used any time meanwhile.
    pub(super) fn rest(&self) -> Result<(), String> {
        let start = sys::moment();
        loop {
            let before = self.cpu()?;
            let is_asleep = self.is_asleep();
            pause(2);
            if is_asleep && self.is_asleep() && self.cpu()? == before {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(self.told("it does not come to rest"));
            }
        }
    }

    /// An error that says whose it is.
    pub(super) fn told(&self, error: &str) -> String {
        let told = format!("{}: {error}", self.peer.name);
        match &self.process {
            Process::Own(server) => server.with_last_words(&told),
            Process::Other(child) => match child.said().lines().last() {
                Some(said) => format!("{told}; it said: {said}"),
                None => told,
            },
        }
    }
}

/// Who is told a port, and cannot choose one, gets one that was free a moment ago.
fn free_port() -> Result<SocketAddr, String> {
    let any = Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    match sys::listen_on(&any, Duration::ZERO).map(|listening| listening.endpoint) {
        Ok(Endpoint::Tcp(address)) => Ok(address),
        Ok(Endpoint::Unix(_)) => Err("there is no free port".to_owned()),
        Err(error) => Err(format!("there is no free port: {error}")),
    }
}

/// Waits until it accepts connections; false if it ends first, or never does.
fn listens(child: &mut Child, address: SocketAddr) -> bool {
    let start = sys::moment();
    while start.elapsed() < PATIENCE {
        if child.has_ended() {
            return false;
        }
        if sys::dial(address, PATIENCE).is_ok() {
            return true;
        }
        pause(5);
    }
    false
}
