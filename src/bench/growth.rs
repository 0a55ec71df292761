//! `doorbell bench growth`: what an event costs the server as the crowd grows that has nothing to do with it.
//!
//! A server in a process of its own holds more and more connections that say nothing. Beside them one WebSocket
//! publishes, and hears what it has published: one wait, one read(2), one write(2). Whatever that costs more with
//! ten thousand silent ones than with a hundred is the price of waiting for them. epoll is handed none of them; poll
//! is handed all of them each time, and select a bitmap up to the highest.
//!
//! A machine is faster or slower for seconds at a time, and a crowd of ten thousand takes seconds to come. So a second
//! server, which stays with the smallest crowd, is asked in turn with the first: how much more an event costs is told
//! by what the two needed at the same time.

use super::line::{Line, upgrade_fields};
use super::plot::{Axis, Line as Curve, Panel, Plot};
use super::report::Report;
use super::rounds::{Spread, in_turn};
use super::server::{PATIENT, Server};
use super::table::{Cell, Table, readable};
use super::{Effort, progress};
use crate::digits::grouped;
use crate::multiplexer::Mechanism;
use crate::sys::{self, Pinned};
use crate::websocket::frame::{self, Opcode};
use std::time::Duration;

/// The one that is to be flat first.
const MECHANISMS: [Mechanism; 3] = [Mechanism::Epoll, Mechanism::Poll, Mechanism::Select];
const EPOLL: usize = 0;
/// How many are silent. select has a place of its own, for it holds no more.
const SIZES: [usize; 7] = [100, 300, MOST_OF_SELECT, 3_000, 6_000, 12_000, 18_000];
const SIZES_QUICK: usize = 3;
/// How many of them it takes to say with which power something grows, for the smallest is left out.
const FEWEST_SIZES: usize = 3;
/// Of its 1,024 fds, those that a server has besides connections, and some to spare.
const MOST_OF_SELECT: usize = 960;
/// fds that are no connection of the growing crowd, ours or the server's: those of the smallest one are among them.
const RESERVE: usize = 80 + SIZES[0];
/// How many come before the server is given time, so that its backlog is never full.
const BATCH: usize = 250;
/// Bytes of an event.
const EVENT: usize = 64;
/// So many events at least make a figure.
const FEWEST: u32 = 20;
/// How often the two servers are asked in turn at each size.
const TURNS: u32 = 5;

/// For each size, not a number where the mechanism cannot hold as many: microseconds of an event; then, for each size
/// again, how many times those of an event of the smallest crowd at the same time.
type Costs = [f64; 2 * SIZES.len()];

/// Lets a crowd grow before each mechanism in turn.
pub fn run(effort: &Effort) -> Result<Report, String> {
    let limit =
        sys::raise_fd_limit().map_err(|error| format!("cannot read the limit on open files: {error}"))?;
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(RESERVE);
    let wanted = if effort.quick { &SIZES[..SIZES_QUICK] } else { &SIZES[..] };
    let sizes: Vec<usize> = wanted.iter().copied().filter(|&size| size <= room).collect();
    let most = *wanted.last().expect("OK because there are some");
    if sizes.len() < FEWEST_SIZES {
        return Err(format!(
            "the limit of {limit} open files leaves room for {room} connections, too few to tell; raise it with \
             ulimit -n {}",
            most + RESERVE
        ));
    }
    let span = Duration::from_millis(if effort.quick { 20 } else { 250 });
    let (cpu, ours) = places()?;
    let spreads = in_turn("growth", effort.rounds_or(5), MECHANISMS.len(), |which| {
        grow(MECHANISMS[which], &sizes, span, cpu)
    })?;
    drop(ours);
    let mut report = report(&sizes, &spreads, effort.quick);
    if sizes.len() < wanted.len() {
        report.notes.push(format!(
            "Up to {} silent connections: the limit of {limit} open files allows no more; ulimit -n {} would allow {}.",
            grouped(sizes[sizes.len() - 1] as u64),
            most + RESERVE,
            grouped(most as u64)
        ));
    }
    Ok(report)
}

/// A processor for the server and another one for us, if there are two.
fn places() -> Result<(Option<usize>, Option<Pinned>), String> {
    let told = |error| format!("cannot say which processors are ours: {error}");
    let cpus = sys::allowed_cpus().map_err(told)?;
    let [.., ours, theirs] = cpus[..] else { return Ok((None, None)) };
    Ok((Some(theirs), Some(Pinned::to(ours).map_err(told)?)))
}

/// Has a crowd grow before one server, and measures at each size that it can hold.
fn grow(mechanism: Mechanism, sizes: &[usize], span: Duration, cpu: Option<usize>) -> Result<Costs, String> {
    let told = |error: String| format!("{}: {error}", mechanism.name());
    let (mut growing, mut small) =
        (Crowd::open(mechanism, cpu).map_err(told)?, Crowd::open(mechanism, cpu).map_err(told)?);
    small.grow(sizes[0]).map_err(told)?;
    let mut costs = [f64::NAN; 2 * SIZES.len()];
    for (at, &size) in sizes.iter().enumerate() {
        if mechanism == Mechanism::Select && size > MOST_OF_SELECT {
            break;
        }
        progress(&format!("bench growth: {} with {size} silent connections", mechanism.name()));
        growing.grow(size).map_err(told)?;
        let (mut cost, mut least) = (0.0, 0.0);
        for _ in 0..TURNS {
            cost += growing.microseconds(span / TURNS).map_err(told)?;
            least += small.microseconds(span / TURNS).map_err(told)?;
        }
        (costs[at], costs[SIZES.len() + at]) = (cost / f64::from(TURNS), cost / least);
    }
    Ok(costs)
}

/// A server, those who say nothing to it, and one who publishes.
struct Crowd {
    silent: Vec<Line>,
    bell: Bell,
    server: Server,
}

impl Crowd {
    /// A server without a crowd, on this processor.
    fn open(mechanism: Mechanism, cpu: Option<usize>) -> Result<Crowd, String> {
        let flags = ["--multiplexer", mechanism.name(), "--max-connections-per-ip", "65535"];
        let server = Server::start(&[&PATIENT[..], &flags].concat())?;
        if let Some(cpu) = cpu {
            let pinned = sys::pin_process(server.pid(), cpu);
            pinned.map_err(|error| format!("cannot keep the server on processor {cpu}: {error}"))?;
        }
        let bell = Bell::open(&server)?;
        Ok(Crowd { silent: Vec::new(), bell, server })
    }

    /// Has it grow to this size.
    fn grow(&mut self, size: usize) -> Result<(), String> {
        while self.silent.len() < size {
            let line = silent(&self.server);
            self.silent.push(
                line.map_err(|error| format!("connection {} of {size}: {error}", self.silent.len() + 1))?,
            );
            if self.silent.len().is_multiple_of(BATCH) || self.silent.len() == size {
                self.server.metrics()?;
            }
        }
        Ok(())
    }

    /// Microseconds of the server's CPU time for one event, of as many as fit into `span`.
    fn microseconds(&mut self, span: Duration) -> Result<f64, String> {
        let cost = self.bell.microseconds(&self.server, span);
        cost.map_err(|error| self.server.with_last_words(&error))
    }
}

/// A connection that says nothing, and ends with a reset, so that nothing stays behind that holds a port.
fn silent(server: &Server) -> Result<Line, String> {
    let line = server.connect()?;
    sys::reset_on_close(line.socket()).map_err(|error| format!("cannot set SO_LINGER: {error}"))?;
    Ok(line)
}

/// Who publishes, and hears it.
struct Bell {
    line: Line,
    event: Vec<u8>,
}

impl Bell {
    fn open(server: &Server) -> Result<Bell, String> {
        let mut line = silent(server)?;
        let fields = upgrade_fields()?;
        line.send(format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes())?;
        line.answer()?;
        // Where it stands.
        line.frame()?;
        let mut event = Vec::new();
        frame::write_masked(&mut event, Opcode::Text, &[b'x'; EVENT], [1, 2, 3, 4]);
        Ok(Bell { line, event })
    }

    fn ring(&mut self) -> Result<(), String> {
        self.line.send(&self.event)?;
        self.line.frame().map(drop)
    }

    /// Microseconds of the server's CPU time for one event, of as many as fit into `span`.
    fn microseconds(&mut self, server: &Server, span: Duration) -> Result<f64, String> {
        for _ in 0..FEWEST {
            self.ring()?;
        }
        let before = used(server)?;
        let (start, mut events) = (sys::moment(), 0);
        while events < FEWEST || start.elapsed() < span {
            self.ring()?;
            events += 1;
        }
        Ok((used(server)? - before) * 1e6 / f64::from(events))
    }
}

/// Seconds of CPU time so far, when it sleeps: the kernel keeps account of it then.
fn used(server: &Server) -> Result<f64, String> {
    server.wait_until_asleep()?;
    let cpu = sys::process_cpu(server.pid()).map(|cpu| cpu.as_secs_f64());
    cpu.ok_or_else(|| "the server has ended".to_owned())
}

fn report(sizes: &[usize], spreads: &[[Spread; 2 * SIZES.len()]], quick: bool) -> Report {
    let mut report = Report::timed("growth");
    let title = "One event beside silent connections: microseconds of the server's CPU time, and how many times \
                 those of a server with the fewest, asked in turn with it; median (lowest–highest)";
    let columns = [
        ("idle", "silent"),
        ("epoll", "epoll, µs"),
        ("poll", "poll, µs"),
        ("select", "select, µs"),
        ("epoll_times", "epoll, times"),
        ("poll_times", "poll, times"),
        ("select_times", "select, times"),
    ];
    let mut table = Table::new(title, &columns);
    for (at, &size) in sizes.iter().enumerate() {
        let cell = |at: usize| spreads.iter().map(move |costs| Cell::from(known(costs[at])));
        table.push(std::iter::once(Cell::from(size)).chain(cell(at)).chain(cell(SIZES.len() + at)).collect());
    }
    report.tables = vec![table];
    report.notes = vec![
        "An event is published by a WebSocket that hears it itself: one wait, one read(2), one write(2)."
            .to_owned(),
        format!(
            "select holds {MOST_OF_SELECT} of them at most: it cannot watch an fd from 1,024 on, and a server needs \
             some for itself."
        ),
    ];
    report.plot = Some(plot(sizes, spreads));
    report.verdict = judge(sizes, spreads, quick);
    report
}

fn known(cost: Spread) -> Option<Spread> {
    (!cost.median.is_nan()).then_some(cost)
}

fn plot(sizes: &[usize], spreads: &[[Spread; 2 * SIZES.len()]]) -> Plot {
    let curve = |mechanism: Mechanism, costs: &[Spread; 2 * SIZES.len()]| {
        let points = sizes
            .iter()
            .zip(costs)
            .filter_map(|(&size, &cost)| known(cost).map(|cost| (size as f64, cost.median)));
        Curve { name: mechanism.name().to_owned(), points: points.collect() }
    };
    let panel = Panel {
        title: "one event".to_owned(),
        x: Axis::logarithmic("silent connections"),
        y: Axis::logarithmic("microseconds of CPU time"),
        lines: MECHANISMS.iter().zip(spreads).map(|(&mechanism, costs)| curve(mechanism, costs)).collect(),
    };
    Plot { title: "What an event costs as the crowd grows".to_owned(), panels: vec![panel] }
}

/// How flat is flat.
const FLAT: std::ops::RangeInclusive<f64> = 0.9..=1.1;
/// The power of the size with which the cost of the silent ones may grow: 1 is linear, and a little more comes about
/// where they no longer fit into the processor's cache.
const LINEAR: std::ops::RangeInclusive<f64> = 0.7..=1.4;
/// By how much the largest crowd must exceed the smallest for flat to be told from noise.
const TELLING_RANGE: usize = 50;

/// From the smallest crowd to the largest that each holds: epoll must cost the same, and what poll and select cost
/// more than epoll must grow with the crowd. A quick run is too short to judge by.
fn judge(sizes: &[usize], spreads: &[[Spread; 2 * SIZES.len()]], quick: bool) -> Result<String, String> {
    let (mut parts, mut wrong) = (Vec::new(), false);
    for (which, costs) in spreads.iter().enumerate() {
        let end = costs[..sizes.len()].iter().rposition(|cost| known(*cost).is_some()).unwrap_or(0);
        let (few, many) = (sizes[0], sizes[end]);
        let growth = costs[SIZES.len() + end].median;
        let name = MECHANISMS[which].name();
        let mut part = format!("{name} × {} from {few} to {}", readable(growth), grouped(many as u64));
        if which == EPOLL {
            wrong |= many >= TELLING_RANGE * few && !FLAT.contains(&growth);
        } else {
            let power = power(sizes, costs, &spreads[EPOLL], end);
            part.push_str(&format!(" (what it costs more than epoll: with the power {power:.2})"));
            wrong |= !LINEAR.contains(&power);
        }
        parts.push(part);
    }
    let text = format!("The CPU time of an event: {}", parts.join(", "));
    match wrong {
        _ if quick => Ok(format!("{text}. (Not judged: a quick run.)")),
        true => Err(format!("{text}; epoll should be flat within a tenth, poll and select linear")),
        false => Ok(format!("{text}: epoll pays for who speaks, poll and select for who is there.")),
    }
}

/// With which power of the size its cost above that of epoll grows. The smallest crowd is left out, for there the two
/// costs are so near to each other that their difference is mostly noise.
fn power(sizes: &[usize], costs: &[Spread], epoll: &[Spread], end: usize) -> f64 {
    let start = 1;
    let above = |at: usize| costs[at].median - epoll[at].median;
    (above(end) / above(start)).ln() / (sizes[end] as f64 / sizes[start] as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(of: impl Fn(usize) -> f64) -> [Spread; 2 * SIZES.len()] {
        let cost = |at: usize| {
            if at < SIZES.len() { of(SIZES[at]) } else { of(SIZES[at - SIZES.len()]) / of(SIZES[0]) }
        };
        std::array::from_fn(|at| Spread::of(&[cost(at)]))
    }

    #[test]
    fn what_contradicts_the_lesson_is_an_error() {
        let flat = costs(|size| 10.0 + size as f64 / 36_000.0);
        let linear = costs(|size| 10.0 + size as f64 / 5.0);
        let select = costs(|size| if size > MOST_OF_SELECT { f64::NAN } else { 9.0 + size as f64 / 4.0 });
        let said = judge(&SIZES, &[flat, linear, select], false).unwrap();
        assert!(said.contains("epoll × 1.05 from 100 to 18,000"), "{said}");
        assert!(said.contains("from 100 to 960"), "{said}");
        let rising = costs(|size| 10.0 + size as f64 / 9_000.0);
        assert!(judge(&SIZES, &[rising, linear, select], false).is_err());
        assert!(judge(&SIZES, &[flat, costs(|_| 20.0), select], false).is_err());
        let square = costs(|size| 10.0 + (size as f64).powi(2) / 5_000.0);
        assert!(judge(&SIZES, &[flat, square, select], false).is_err());
        // A crowd that is not much larger says nothing of epoll, and a quick run nothing at all.
        let steep = costs(|size| 10.0 + size as f64 / 90.0);
        assert!(judge(&SIZES[..SIZES_QUICK], &[steep, linear, select], false).is_ok());
        assert!(
            judge(&SIZES, &[flat, square, select], true).unwrap().ends_with("(Not judged: a quick run.)")
        );
    }

    #[test]
    fn what_a_mechanism_cannot_hold_is_a_dash() {
        let select = costs(|size| if size > MOST_OF_SELECT { f64::NAN } else { size as f64 });
        let report = report(&SIZES, &[costs(|_| 10.0), costs(|size| 10.0 + size as f64), select], false);
        let rows = report.json()["tables"][0]["rows"].clone();
        assert!(rows[2]["select"]["median"].is_number() && rows[3]["select"].is_null(), "{rows}");
        assert!(report.plot.unwrap().svg().unwrap().contains("select"));
    }
}
