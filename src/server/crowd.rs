//! `POST /kernel/crowd`: many more clients, for whoever looks on.
//!
//! A browser opens six connections to one host, and `doorbell swarm` as many as there are fds. It runs as a process
//! beside the server, which stays one thread with one loop: all that the loop knows of it is one more fd, the pidfd,
//! and one more timer. It ends with the server, after ten minutes, or when it is sent away.

use super::report::{Answer, json};
use super::{CROWD, CROWD_TIMER, RESERVE, Server};
use crate::http::router::CrowdWish;
use crate::http::{Problem, Status};
use crate::multiplexer::Interest;
use crate::sys::{self, Companion, End, Endpoint, Fd, Parting};
use crate::tick::{Now, Tick};
use serde::Serialize;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The longest that a crowd may stay.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// What it is told to stay: so it has time to come and to leave.
const STAY: &str = "570s";
/// How many connect in a second, unless that would take longer than ten seconds.
const RAMP: u32 = 1000;
/// How long its process may take to go when it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// A crowd that was brought in.
#[derive(Debug)]
pub(super) struct Crowd {
    process: Companion,
    technique: &'static str,
    clients: u32,
    since: Tick,
    /// How many there might have been.
    room: usize,
    is_leaving: bool,
}

impl Crowd {
    /// Readable when its process has ended.
    pub(super) fn pidfd(&self) -> &Fd {
        self.process.pidfd()
    }
}

/// What is said when a crowd has begun to come.
#[derive(Serialize)]
struct Begun {
    pid: u32,
    technique: &'static str,
    clients: u32,
}

/// What is said when it was sent away.
#[derive(Serialize)]
struct Dismissed {
    pid: u32,
}

/// A crowd as `/kernel` shows it.
#[derive(Serialize)]
pub(super) struct CrowdLine {
    pid: u32,
    technique: &'static str,
    clients: u32,
    since_ms: u64,
    room: usize,
    leaving: bool,
}

impl Server {
    /// Brings in a crowd, if there is none and there is room for it.
    pub(super) fn bring_crowd(&mut self, wish: &CrowdWish, now: Now) -> Answer {
        let room = self.crowd_room(sys::fd_limit());
        let address = self.check_wish(wish, room)?;
        let process = start(wish, address).map_err(|error| no_process(&error))?;
        let (pid, pidfd) = (process.pid(), process.pidfd().number());
        self.tell_crowd(pid, wish.clients, pidfd);
        let watched = self.multiplexer.add(process.pidfd(), CROWD, Interest::READ);
        watched.map_err(|error| no_process(&error))?;
        self.mirror.changed(pidfd);
        self.tell_watch(pidfd);
        self.wheel.arm(CROWD_TIMER, now.tick + LONGEST);
        let CrowdWish { technique, clients, .. } = *wish;
        self.crowd = Some(Crowd { process, technique, clients, since: now.tick, room, is_leaving: false });
        json(Status::Created, &Begun { pid, technique, clients })
    }

    /// Where such a crowd would go, if it may come.
    fn check_wish(&self, wish: &CrowdWish, room: usize) -> Result<SocketAddr, Problem> {
        let refused = |status, detail: &'static str| Err(Problem::new(status, detail));
        if !cfg!(feature = "lab") {
            return refused(
                Status::NotImplemented,
                "This build has no swarm; build it with the feature lab.",
            );
        }
        if self.hub.draining {
            return refused(Status::ServiceUnavailable, "The server is going away; ask another.");
        }
        if let Some(crowd) = &self.crowd {
            let (pid, clients) = (crowd.process.pid(), crowd.clients);
            let detail = format!(
                "There is a crowd of {clients} already, process {pid}; let it go first with DELETE /kernel/crowd."
            );
            return Err(Problem::new(Status::Conflict, detail));
        }
        let Some(address) = self.crowd_address() else {
            let detail = "A crowd comes over TCP to a loopback address, and nothing listens on one; add --listen 127.0.0.1:0.";
            return refused(Status::InsufficientStorage, detail);
        };
        if wish.clients as usize > room {
            let detail =
                format!("There is room for {room} clients now; ask for no more, or let others go first.");
            return Err(Problem::new(Status::InsufficientStorage, detail));
        }
        Ok(address)
    }

    /// How many clients a crowd could have that is asked for now.
    pub(super) fn crowd_room(&self, fd_limit: u64) -> usize {
        let may_come = cfg!(feature = "lab") && self.crowd.is_none() && !self.hub.draining;
        let Some(address) = self.crowd_address().filter(|_| may_come) else { return 0 };
        let fds = usize::try_from(fd_limit).unwrap_or(usize::MAX);
        let free = fds.saturating_sub(RESERVE + self.table.len());
        self.gate.room_for(address.ip(), self.table.len()).min(free)
    }

    /// A listener's address by which this machine itself reaches it.
    fn crowd_address(&self) -> Option<SocketAddr> {
        self.endpoints().find_map(|endpoint| match endpoint {
            Endpoint::Tcp(address) => from_here(*address),
            Endpoint::Unix(_) => None,
        })
    }

    /// Asks the crowd to go.
    pub(super) fn dismiss_crowd(&mut self, now: Now) -> Answer {
        let Some(crowd) = &self.crowd else {
            return Err(Problem::new(Status::NotFound, "There is no crowd; POST brings one in."));
        };
        let pid = crowd.process.pid();
        self.send_crowd_away(now);
        json(Status::Ok, &Dismissed { pid })
    }

    /// Asks the crowd to go, if there is one that was not asked yet.
    pub(super) fn send_crowd_away(&mut self, now: Now) {
        let Some(crowd) = self.crowd.as_mut().filter(|crowd| !crowd.is_leaving) else { return };
        crowd.is_leaving = true;
        self.wheel.arm(CROWD_TIMER, now.tick + GRACE);
        self.part_with_crowd(Parting::Ask);
    }

    fn part_with_crowd(&self, parting: Parting) {
        let Some(crowd) = &self.crowd else { return };
        // OK to ignore because it fails only for a process that has ended, and then the pidfd is readable.
        let _ = crowd.process.part(parting);
        self.tell_crowd_asked(crowd.process.pid(), parting);
    }

    /// It has been there for long enough, or has not gone when it was asked to.
    pub(super) fn on_crowd_timer(&mut self, now: Now) {
        match &self.crowd {
            Some(crowd) if crowd.is_leaving => self.part_with_crowd(Parting::Kill),
            _ => self.send_crowd_away(now),
        }
    }

    /// Its process has ended.
    #[cold]
    pub(super) fn on_crowd_end(&mut self) {
        let Some(crowd) = &mut self.crowd else { return };
        let end = crowd.process.wait();
        if end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            // It is reported again.
            return;
        }
        let (pid, clients, was_asked) = (crowd.process.pid(), crowd.clients, crowd.is_leaving);
        self.tell_crowd_gone(pid);
        if let Some(how) = end.ok().and_then(unexpected).filter(|_| !was_asked) {
            sys::stderr_line(&format!("doorbell: the crowd of {clients}, process {pid}, {how}"));
        }
        self.end_crowd();
    }

    /// The crowd is no more; a process that is still there is killed.
    pub(super) fn end_crowd(&mut self) {
        let Some(crowd) = self.crowd.take() else { return };
        self.wheel.cancel(CROWD_TIMER);
        self.mirror.changed(crowd.pidfd().number());
        self.multiplexer.forget(crowd.pidfd());
    }

    /// Whether there is a crowd.
    pub(super) fn has_crowd(&self) -> bool {
        self.crowd.is_some()
    }

    /// What `/kernel` shows of it.
    pub(super) fn crowd_line(&self) -> Option<CrowdLine> {
        let Crowd { process, technique, clients, since, room, is_leaving } = self.crowd.as_ref()?;
        Some(CrowdLine {
            pid: process.pid(),
            technique,
            clients: *clients,
            since_ms: since.0,
            room: *room,
            leaving: *is_leaving,
        })
    }
}

fn start(wish: &CrowdWish, address: SocketAddr) -> io::Result<Companion> {
    let CrowdWish { technique, clients, channel } = wish;
    let (url, count) = (format!("http://{address}/"), clients.to_string());
    let ramp = format!("{}/s", RAMP.max(clients / 10));
    let words = ["swarm", &url, "--via", technique, "--clients", &count, "--channel", channel.as_str()];
    let words = words.into_iter().chain(["--ramp", &ramp, "--for", STAY]);
    // The server's own flags may come from there, and are nothing to a swarm.
    Companion::start(words, "DOORBELL_")
}

/// The address by which this machine itself reaches a listener, if there is one.
fn from_here(address: SocketAddr) -> Option<SocketAddr> {
    let ip = match address.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, address.port()))
}

fn no_process(error: &io::Error) -> Problem {
    let status = match error.kind() {
        io::ErrorKind::Unsupported => Status::NotImplemented,
        _ => Status::ServiceUnavailable,
    };
    Problem::new(status, format!("No process can be started for a crowd now ({error}); try again later."))
}

fn unexpected(end: End) -> Option<String> {
    match end {
        End::Exited(0) => None,
        End::Exited(status) => Some(format!("ended with status {status}")),
        End::Killed(signal) => Some(format!("was killed by signal {signal}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_goes_to_a_loopback_address_and_to_no_other() {
        for (listens, goes) in [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("127.0.0.7:1", Some("127.0.0.7:1")),
            ("0.0.0.0:8080", Some("127.0.0.1:8080")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("[::]:8080", Some("[::1]:8080")),
            ("192.0.2.1:8080", None),
            ("[2001:db8::1]:8080", None),
        ] {
            let goes: Option<SocketAddr> = goes.map(|goes| goes.parse().unwrap());
            assert_eq!(from_here(listens.parse().unwrap()), goes, "{listens}");
        }
    }
}
