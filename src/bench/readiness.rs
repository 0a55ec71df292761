//! `doorbell bench readiness`: what one wait costs, over select, poll and epoll, as the crowd grows.
//!
//! The fds are TCP connections to a real server, as a push server has them: the *idle* ones silent, on the
//! *ready* ones an answer waits that nobody reads, so that each wait finds it again. Only the system call is
//! timed, with a timeout as the loop would give it; what a program then does to find out who is ready is left
//! out (it is linear for select and poll, too).

use super::plot::{Axis, Line as Curve, Panel, Plot};
use super::report::Report;
use super::rounds::{Spread, in_turn, seconds_each};
use super::table::{Cell, Table, readable};
use super::{Effort, PATIENCE, line::Line, progress, server::Server};
use crate::digits::grouped;
use crate::multiplexer::Mechanism;
use crate::sys::{self, EpollEvent, EpollOp, Fd, PollFd, WideSet};
use std::time::Duration;

/// From left to right, in the order in which they were invented.
const COLUMNS: [Mechanism; 3] = [Mechanism::Select, Mechanism::Poll, Mechanism::Epoll];
/// How many are silent.
const IDLE: [usize; 8] = [10, 30, 100, 300, 1_000, 3_000, 10_000, 19_000];
const IDLE_QUICK: [usize; 3] = [10, 100, 1_000];
/// How many have something to say.
const READY: [usize; 3] = [1, 10, 100];
/// fds that are no connection of the crowd, ours or the server's.
const RESERVE: usize = 80;
/// The timeout of each wait, in milliseconds; it never comes to that.
const TIMEOUT: u64 = 30_000;

/// The server says nothing of its own accord as long as this lasts.
const SILENT: [&str; 8] = [
    "--head-timeout",
    "10m",
    "--idle-timeout",
    "10m",
    "--ping-interval",
    "10m",
    "--max-connections-per-ip",
    "65535",
];

/// So many idle and so many ready.
type Size = (usize, usize);

/// Times every wait.
pub fn run(effort: &Effort) -> Result<Report, String> {
    let limit =
        sys::raise_fd_limit().map_err(|error| format!("cannot read the limit on open files: {error}"))?;
    let (sizes, note) = sizes(effort.quick, limit)?;
    let most = sizes.iter().map(|(idle, ready)| idle + ready).max().unwrap_or(0);
    let mut crowd = Crowd::gather(most)?;
    let span = Duration::from_millis(if effort.quick { 1 } else { 20 });
    let mut watch = None;
    let times = in_turn("readiness", effort.rounds_or(7), sizes.len() * COLUMNS.len(), |contender| {
        let (size, mechanism) = (sizes[contender / COLUMNS.len()], COLUMNS[contender % COLUMNS.len()]);
        if watch.as_ref().is_none_or(|watch: &Watch| watch.size != size) {
            watch = Some(Watch::over(&mut crowd, size)?);
        }
        let watch = watch.as_mut().expect("OK because it was made above");
        Ok([watch.microseconds(mechanism, span)?])
    })?;
    let found = sizes.iter().zip(times.chunks_exact(COLUMNS.len())).map(|(&size, times)| Found {
        size,
        nfds: crowd.nfds(size),
        microseconds: times.iter().map(|[microseconds]| *microseconds).collect(),
    });
    let mut report = report(&found.collect::<Vec<_>>());
    report.notes.insert(0, note);
    Ok(report)
}

/// What to measure within the limit on open files, and how to say so.
fn sizes(quick: bool, limit: u64) -> Result<(Vec<Size>, String), String> {
    let ready = if quick { &READY[..2] } else { &READY[..] };
    let overhead = RESERVE + ready.last().expect("OK because there are some");
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(overhead);
    let wanted = if quick { &IDLE_QUICK[..] } else { &IDLE[..] };
    let mut idle: Vec<usize> = wanted.iter().copied().filter(|&count| count <= room).collect();
    let asked = *wanted.last().expect("OK because there are some");
    let note = if room < asked {
        if room < wanted[0] {
            return Err(format!(
                "the limit of {limit} open files leaves room for {room} connections and {} are needed; raise it \
                 with ulimit -n {}",
                wanted[0],
                wanted[0] + overhead
            ));
        }
        if !idle.contains(&room) {
            idle.push(room);
        }
        format!(
            "Up to {} idle fds: the limit of {} open files allows no more; ulimit -n {} would allow {}.",
            grouped(room as u64),
            grouped(limit),
            asked + overhead,
            grouped(asked as u64)
        )
    } else {
        format!(
            "Up to {} idle fds, within the limit of {} open files.",
            grouped(asked as u64),
            grouped(limit)
        )
    };
    let sizes = ready.iter().flat_map(|&ready| idle.iter().map(move |&idle| (idle, ready)));
    Ok((sizes.collect(), note))
}

/// Connections to a server.
struct Crowd {
    lines: Vec<Line>,
    /// On which of them an answer waits.
    answered: std::ops::Range<usize>,
    // Below the lines, so that they are closed before the server goes.
    _server: Server,
}

impl Crowd {
    fn gather(count: usize) -> Result<Crowd, String> {
        progress(&format!("bench readiness: opening {count} connections"));
        let mut server = Server::start(&SILENT)?;
        let mut lines = Vec::with_capacity(count);
        for at in 0..count {
            let line =
                server.connect().map_err(|error| format!("connection {} of {count}: {error}", at + 1))?;
            sys::reset_on_close(line.socket()).map_err(|error| format!("cannot set SO_LINGER: {error}"))?;
            lines.push(line);
            if at % 500 == 499 {
                // Not faster than the server accepts, or its backlog would be full.
                server.metrics()?;
            }
        }
        Ok(Crowd { lines, answered: 0..0, _server: server })
    }

    /// Has an answer wait on exactly these.
    fn have_answered(&mut self, who: std::ops::Range<usize>) -> Result<(), String> {
        for line in &mut self.lines[self.answered.clone()] {
            line.answer()?;
        }
        self.answered = 0..0;
        for line in &mut self.lines[who.clone()] {
            line.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        }
        for line in &self.lines[who.clone()] {
            wait_for_one(line.socket())?;
        }
        self.answered = who;
        Ok(())
    }

    /// One more than the highest fd of so many: how far select must look.
    fn nfds(&self, (idle, ready): Size) -> i32 {
        let numbers = self.lines[..idle + ready].iter().map(|line| line.socket().number());
        numbers.max().map_or(0, |highest| highest + 1)
    }
}

fn wait_for_one(socket: &Fd) -> Result<(), String> {
    let patience = PATIENCE.as_millis() as i32;
    match sys::poll(&mut [PollFd::new(socket.number(), sys::POLLIN)], patience) {
        Ok(1) => Ok(()),
        Ok(_) => Err("the server does not answer".to_owned()),
        Err(error) => Err(format!("cannot wait for an answer: {error}")),
    }
}

/// The same fds, watched in three ways.
struct Watch {
    size: Size,
    readable: WideSet,
    /// What select is handed: it overwrites it.
    scratch: WideSet,
    writable: WideSet,
    nfds: i32,
    list: Vec<PollFd>,
    epoll: Fd,
    events: Vec<EpollEvent>,
}

impl Watch {
    /// The ready ones come last: before it finds them the kernel has put the thread on every queue, as it has
    /// when the thread really sleeps.
    fn over(crowd: &mut Crowd, size: Size) -> Result<Watch, String> {
        let (idle, ready) = size;
        crowd.have_answered(idle..idle + ready)?;
        let sockets: Vec<&Fd> = crowd.lines[..idle + ready].iter().map(Line::socket).collect();
        let numbers: Vec<i32> = sockets.iter().map(|socket| socket.number()).collect();
        let nfds = crowd.nfds(size);
        let empty = WideSet::below(nfds);
        let mut readable = empty.clone();
        numbers.iter().for_each(|&fd| readable.insert(fd));
        let told = |error| format!("cannot watch {} fds with epoll: {error}", numbers.len());
        let epoll = sys::epoll_create1().map_err(told)?;
        for &fd in &numbers {
            sys::epoll_ctl(&epoll, fd, EpollOp::Add(sys::EPOLLIN, fd as u64)).map_err(told)?;
        }
        Ok(Watch {
            size,
            readable,
            scratch: empty.clone(),
            writable: empty,
            nfds,
            list: numbers.iter().map(|&fd| PollFd::new(fd, sys::POLLIN)).collect(),
            epoll,
            events: vec![EpollEvent::EMPTY; 1024],
        })
    }

    fn wait(&mut self, mechanism: Mechanism) -> std::io::Result<usize> {
        match mechanism {
            Mechanism::Select => {
                self.scratch.copy_from(&self.readable);
                sys::pselect6(self.nfds, &mut self.scratch, &mut self.writable, Some(TIMEOUT))
            }
            Mechanism::Poll => sys::poll(&mut self.list, TIMEOUT as i32),
            Mechanism::Epoll => sys::epoll_wait(&self.epoll, &mut self.events, TIMEOUT as i32),
        }
    }

    /// Microseconds for one wait. Each must find those who are ready, and nobody else.
    fn microseconds(&mut self, mechanism: Mechanism, span: Duration) -> Result<f64, String> {
        let expected = self.size.1;
        let mut wrong = None;
        let seconds = seconds_each(span, || match self.wait(mechanism) {
            Ok(found) if found == expected => {}
            // strace(1) or SIGSTOP; it will show in the spread.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(found) => wrong = Some(format!("found {found} ready and not {expected}")),
            Err(error) => wrong = Some(format!("failed: {error}")),
        });
        match wrong {
            None => Ok(seconds * 1e6),
            Some(what) => Err(format!("{} over {} idle fds {what}", mechanism.name(), self.size.0)),
        }
    }
}

/// What a size came to.
struct Found {
    size: Size,
    nfds: i32,
    /// In the order of [`COLUMNS`].
    microseconds: Vec<Spread>,
}

impl Found {
    /// Bytes that one wait copies between program and kernel, both ways together, without the timeout.
    fn bytes_copied(&self, mechanism: Mechanism) -> usize {
        let (idle, ready) = self.size;
        match mechanism {
            // Two sets that are not NULL, in whole longs, in and out.
            Mechanism::Select => 2 * 2 * 8 * (self.nfds as usize).div_ceil(64),
            // Each line in, and of each line the answer out.
            Mechanism::Poll => (8 + 2) * (idle + ready),
            Mechanism::Epoll => size_of::<EpollEvent>() * ready,
        }
    }
}

fn report(found: &[Found]) -> Report {
    let mut report = Report::timed("readiness");
    let columns = |unit: &str| -> [(&'static str, String); 5] {
        let heading = |name: &str| format!("{name}, {unit}");
        [
            ("ready", "ready".to_owned()),
            ("idle", "idle fds".to_owned()),
            ("select", heading("select")),
            ("poll", heading("poll")),
            ("epoll", heading("epoll")),
        ]
    };
    let mut times = table("One wait: microseconds, median (lowest–highest)", &columns("µs"));
    let mut bytes = table("One wait: bytes copied between program and kernel", &columns("bytes"));
    for found in found {
        let (idle, ready) = found.size;
        let head = [Cell::from(ready), Cell::from(idle)];
        let measured = found.microseconds.iter().map(|&spread| spread.into());
        times.push(head.iter().cloned().chain(measured).collect());
        let copied = COLUMNS.map(|mechanism| found.bytes_copied(mechanism).into());
        bytes.push(head.into_iter().chain(copied).collect());
    }
    report.tables = vec![times, bytes];
    report.notes = notes();
    report.notes.extend(where_epoll_loses(found));
    report.plot = Some(plot(found));
    report.verdict = judge(found);
    report
}

fn table(title: &str, columns: &[(&'static str, String)]) -> Table {
    let columns: Vec<(&'static str, &str)> =
        columns.iter().map(|(key, text)| (*key, text.as_str())).collect();
    Table::new(title, &columns).grouped()
}

fn notes() -> Vec<String> {
    let event = size_of::<EpollEvent>();
    vec![
        "Idle and ready are TCP connections; the ready ones are the last on the list, and so the kernel has \
         queued the thread on all others before it finds them, as it has when it sleeps."
            .to_owned(),
        "select goes past FD_SETSIZE (1,024) with bitmaps of its own and pselect6 called by number: the limit is \
         the C library's."
            .to_owned(),
        format!(
            "Bytes, with n fds of which r are ready: select 2 sets × 2 ways × 8·⌈n/64⌉ (the third set is NULL; n is \
             the highest fd + 1); poll 8·n in and 2·n out (of each line only revents is written back); \
             epoll_wait {event}·r out. Timeouts left out."
        ),
    ]
}

/// The other side of it, where it shows.
fn where_epoll_loses(found: &[Found]) -> Option<String> {
    let median = |found: &Found, column: usize| found.microseconds[column].median;
    let lost = found.iter().find(|found| median(found, 2) > median(found, 1))?;
    let (idle, ready) = lost.size;
    Some(format!(
        "Where most are ready epoll is no faster: with {ready} ready beside {idle} idle it took {} µs, and poll {} \
         µs. It takes each that is ready off its list and, level-triggered, puts it back.",
        readable(median(lost, 2)),
        readable(median(lost, 1))
    ))
}

fn plot(found: &[Found]) -> Plot {
    let mut counts: Vec<usize> = found.iter().map(|found| found.size.1).collect();
    counts.dedup();
    let panel = |ready: usize| Panel {
        title: format!("{ready} ready"),
        x: Axis::logarithmic("idle fds"),
        y: Axis::logarithmic("microseconds for one wait"),
        lines: COLUMNS
            .iter()
            .enumerate()
            .map(|(at, mechanism)| curve(found, ready, at, *mechanism))
            .collect(),
    };
    Plot { title: "What one wait costs".to_owned(), panels: counts.into_iter().map(panel).collect() }
}

fn curve(found: &[Found], ready: usize, column: usize, mechanism: Mechanism) -> Curve {
    let points = found.iter().filter(|found| found.size.1 == ready);
    let points = points.map(|found| (found.size.0 as f64, found.microseconds[column].median));
    Curve { name: mechanism.name().to_owned(), points: points.collect() }
}

/// By how much the largest crowd must exceed the smallest for the growth to show above the noise.
const TELLING_RANGE: usize = 50;

/// With one ready: how many times as much the largest crowd costs as the smallest. select and poll must grow
/// with the crowd, and epoll by far less.
fn judge(found: &[Found]) -> Result<String, String> {
    let mut one = found.iter().filter(|found| found.size.1 == 1);
    let first = one.next().expect("OK because there always is one ready");
    let last = one.next_back().unwrap_or(first);
    let growth = |column: usize| last.microseconds[column].median / first.microseconds[column].median;
    let (select, poll, epoll) = (growth(0), growth(1), growth(2));
    let text = format!(
        "From {} to {} idle fds, one ready: select × {}, poll × {}, epoll × {}",
        first.size.0,
        grouped(last.size.0 as u64),
        readable(select),
        readable(poll),
        readable(epoll)
    );
    if last.size.0 < TELLING_RANGE * first.size.0 {
        return Ok(format!("{text}. The range is too short to judge."));
    }
    if select.min(poll) < 2.0 * epoll {
        return Err(format!(
            "{text}; epoll should not grow with the crowd, nor select and poll stay as they are"
        ));
    }
    Ok(format!("{text}: select and poll cost what is watched, epoll what is ready."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_the_formula() {
        let bytes = |size: Size, nfds: i32, mechanism| {
            Found { size, nfds, microseconds: Vec::new() }.bytes_copied(mechanism)
        };
        assert_eq!(bytes((9_000, 1), 9_009, Mechanism::Poll), 72_008 + 18_002);
        assert_eq!(bytes((50, 1), 64, Mechanism::Select), 32);
        assert_eq!(bytes((50, 1), 65, Mechanism::Select), 64);
        assert_eq!(bytes((9_000, 3), 9_010, Mechanism::Epoll), 3 * size_of::<EpollEvent>());
    }

    #[test]
    fn sizes_keep_to_the_limit_and_say_so() {
        let (all, note) = sizes(false, 20_000).unwrap();
        assert_eq!((all.len(), all.iter().max()), (24, Some(&(19_000, 100))));
        assert!(note.contains("within the limit of 20,000"), "{note}");
        let (few, note) = sizes(false, 1_024).unwrap();
        assert_eq!(few.iter().max(), Some(&(844, 100)));
        assert!(few.iter().all(|(idle, ready)| idle + ready + RESERVE <= 1_024));
        assert!(note.contains("ulimit -n 19180 would allow 19,000"), "{note}");
        assert!(sizes(false, 64).unwrap_err().contains("ulimit -n 190"));
    }

    fn found(idle: usize, microseconds: [f64; 3]) -> Found {
        Found {
            size: (idle, 1),
            nfds: 0,
            microseconds: microseconds.map(|time| Spread::of(&[time])).to_vec(),
        }
    }

    #[test]
    fn what_contradicts_the_lesson_is_an_error() {
        let small = found(10, [3.0, 3.0, 0.5]);
        assert!(judge(&[small, found(1_000, [200.0, 190.0, 0.6])]).unwrap().contains("epoll × 1.20"));
        let small = found(10, [3.0, 3.0, 0.5]);
        assert!(judge(&[small, found(1_000, [200.0, 190.0, 60.0])]).is_err());
        let small = found(10, [3.0, 3.0, 0.5]);
        let said = judge(&[small, found(499, [3.0, 3.0, 60.0])]).unwrap();
        assert!(said.ends_with("The range is too short to judge."), "{said}");
    }
}
