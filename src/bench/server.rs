//! A real server in a process of its own, and its `/metrics`.

use super::line::Line;
use super::{PATIENCE, pause};
use crate::sys::{self, Child};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// `doorbell serve` on a free port of the loopback address. It ends when this is dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    meter: Line,
}

impl Server {
    /// Starts this same program as a server with these flags, waits until it listens, and opens a connection
    /// on which its metrics are read. What the environment says of flags is kept from it.
    pub fn start(flags: &[&str]) -> Result<Server, String> {
        let words = ["serve", "--listen", "127.0.0.1:0"].into_iter().chain(flags.iter().copied());
        let mut child = Child::start_ourselves(words, "DOORBELL_")
            .map_err(|error| format!("cannot start a server (doorbell serve): {error}"))?;
        let address = listening(&mut child)?;
        let meter = Line::open(address)?;
        Ok(Server { child, address, meter })
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Connects.
    pub fn connect(&self) -> Result<Line, String> {
        Line::open(self.address)
    }

    /// Asks for `/metrics`, always on the same connection and in the same words: so that it always costs the
    /// server the same.
    pub fn metrics(&mut self) -> Result<Metrics, String> {
        let answer = self.meter.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        match answer.and_then(|()| self.meter.answer()) {
            Ok(answer) => Metrics::parse(&String::from_utf8_lossy(&answer)),
            Err(error) => Err(self.with_last_words(&error)),
        }
    }

    /// Waits until the server sleeps, that is: until it has done all it had to do when this was called. (A
    /// hint and no proof: it may not have been woken yet.)
    pub fn wait_until_asleep(&self) -> Result<(), String> {
        self.wait_until("the server does not come to rest", Child::is_asleep)
    }

    /// Whether it sleeps just now.
    pub fn is_asleep(&self) -> bool {
        self.child.is_asleep()
    }

    /// Stops it for good: it does nothing any more, but what it has open stays open until it is dropped.
    pub fn freeze(&self) -> Result<(), String> {
        let frozen = self.child.stop();
        frozen.map_err(|error| self.with_last_words(&format!("cannot stop the server: {error}")))?;
        self.wait_until("the server does not stop", Child::is_stopped)
    }

    fn wait_until(&self, error: &str, is_so: impl Fn(&Child) -> bool) -> Result<(), String> {
        let start = sys::moment();
        while !is_so(&self.child) {
            if start.elapsed() > PATIENCE {
                return Err(self.with_last_words(error));
            }
            pause(1);
        }
        Ok(())
    }

    /// The error, and what the server has said about it.
    pub fn with_last_words(&self, error: &str) -> String {
        let said = self.child.said();
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if said.is_empty() { error.to_owned() } else { format!("{error}; it said: {}", said.join(" / ")) }
    }
}

fn listening(child: &mut Child) -> Result<SocketAddr, String> {
    let first = child
        .read_line(PATIENCE)
        .map_err(|error| format!("the server (doorbell serve) does not say where it listens: {error}"))?;
    let address = first.as_deref().and_then(|line| line.strip_prefix("listening on http://"));
    address.and_then(|address| address.parse().ok()).ok_or_else(|| {
        let said = child.said();
        format!("the server did not start: {}", said.trim().trim_start_matches("doorbell: "))
    })
}

/// The figures of `/metrics` at one moment, by their names with labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(answer: &str) -> Result<Metrics, String> {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("/metrics answered {:?}", head.lines().next().unwrap_or("")));
        }
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let figure = |line: &str| -> Option<(String, f64)> {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        let unreadable = |line: &str| format!("/metrics has a line that is no figure: {line:?}");
        lines.map(|line| figure(line).ok_or_else(|| unreadable(line))).collect::<Result<_, _>>().map(Metrics)
    }

    /// One figure; 0 if it is not there.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The sum of a name over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.labelled(name).map(|(_, value)| value).sum()
    }

    /// The system calls that the server has made since it started, by the names that strace(1) gives them.
    pub fn calls(&self) -> Calls {
        let made = self.labelled("doorbell_syscalls_total");
        let name = |label: &str| label.trim_start_matches("call=\"").trim_end_matches('"').to_owned();
        Calls(made.map(|(label, count)| (name(label), count as i64)).collect())
    }

    fn labelled<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let label = move |key: &'a str| key.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}');
        self.0.iter().filter_map(move |(key, &value)| Some((label(key)?, value)))
    }
}

/// How often each system call was made, by name. A difference may be negative; then something was taken
/// for what it was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<String, i64>);

impl Calls {
    /// These, less others so many times.
    pub fn less(&self, others: &Calls, times: usize) -> Calls {
        let mut rest = self.0.clone();
        for (name, count) in &others.0 {
            *rest.entry(name.clone()).or_default() -= count * times as i64;
        }
        rest.retain(|_, count| *count != 0);
        Calls(rest)
    }

    /// How often this one was made.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Each that was made, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, &count)| (name.as_str(), count))
    }
}

impl<'a> FromIterator<(&'a str, i64)> for Calls {
    fn from_iter<T: IntoIterator<Item = (&'a str, i64)>>(calls: T) -> Calls {
        Calls(calls.into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\
        # HELP a b\na 1.5\ndoorbell_syscalls_total{call=\"read\"} 7\n\
        doorbell_syscalls_total{call=\"pselect6\"} 9\n";

    #[test]
    fn metrics_are_read_by_name_and_label() {
        let metrics = Metrics::parse(PAGE).unwrap();
        assert_eq!(metrics.get("a"), 1.5);
        assert_eq!(metrics.get("b"), 0.0);
        assert_eq!(metrics.sum("doorbell_syscalls_total"), 16.0);
        assert_eq!(metrics.calls(), Calls::from_iter([("read", 7), ("pselect6", 9)]));
        assert!(Metrics::parse("HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(Metrics::parse("HTTP/1.1 200 OK\r\n\r\nno figure\n").is_err());
    }

    #[test]
    fn calls_are_subtracted_and_what_was_not_there_shows() {
        let all = Calls::from_iter([("read", 7), ("write", 4)]);
        let one = Calls::from_iter([("read", 2), ("write", 2), ("close", 1)]);
        assert_eq!(all.less(&one, 2), Calls::from_iter([("close", -2), ("read", 3)]));
    }
}
