//! A real server in a process of its own, and its `/metrics`.

use super::line::Line;
use super::process::Process;
use std::collections::BTreeMap;

/// Flags with which no timer of the server ends while something is measured.
pub const PATIENT: [&str; 12] = [
    "--hold",
    "10m",
    "--max-hold",
    "10m",
    "--head-timeout",
    "10m",
    "--body-timeout",
    "10m",
    "--idle-timeout",
    "10m",
    "--ping-interval",
    "10m",
];

/// `doorbell serve` on a free port of the loopback address: a [`Process`] whose metrics can be read.
pub struct Server {
    process: Process,
    meter: Line,
}

impl std::ops::Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Server {
    /// Starts it with these flags, and opens a connection on which its metrics are read.
    pub fn start(flags: &[&str]) -> Result<Server, String> {
        let words = ["serve", "--listen", "127.0.0.1:0"].into_iter().chain(flags.iter().copied());
        let process = Process::start(words)?;
        let meter = process.connect()?;
        Ok(Server { process, meter })
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
