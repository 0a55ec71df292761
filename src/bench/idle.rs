//! `doorbell bench idle`: what a client costs that waits, in the server's memory and in the kernel's.
//!
//! Ten thousand are held by a server in a process of its own; their other ends are plain sockets in ours. So
//! the kernel has two ends of each connection on this machine. To tell them apart the server is stopped in the
//! end (SIGSTOP) and all clients are reset: what is left of the kernel's objects are those of the server's end.

use super::line::{Line, upgrade_fields};
use super::plot::{Axis, Line as Bars, Panel, Plot};
use super::report::Report;
use super::rounds::{Spread, in_turn};
use super::server::{Calls, PATIENT, Server};
use super::table::{Cell, Table};
use super::{Effort, PATIENCE, pause};
use crate::digits::grouped;
use crate::sys;

/// How many wait.
const CLIENTS: usize = 10_000;
const CLIENTS_QUICK: usize = 1_000;
/// fds that are no client's, ours or the server's.
const RESERVE: usize = 80;
/// How many come before the server is given time to seat them, so that its backlog is never full.
const BATCH: usize = 250;
/// How long the server is left alone, in milliseconds, to see what it does meanwhile.
const SILENCE: i32 = 2_000;
const SILENCE_QUICK: i32 = 100;

const TECHNIQUES: [&str; 3] = ["long_poll", "sse", "websocket"];

/// Holds so many by each technique.
pub fn run(effort: &Effort) -> Result<Report, String> {
    let limit =
        sys::raise_fd_limit().map_err(|error| format!("cannot read the limit on open files: {error}"))?;
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(RESERVE);
    let wanted = if effort.quick { CLIENTS_QUICK } else { CLIENTS };
    let clients = wanted.min(room);
    if clients < CLIENTS_QUICK.min(wanted) {
        return Err(format!(
            "the limit of {limit} open files leaves room for {room} clients, too few to tell; raise it with \
             ulimit -n {}",
            wanted + RESERVE
        ));
    }
    let silence = if effort.quick { SILENCE_QUICK } else { SILENCE };
    let mut rounds = TECHNIQUES.map(|_| Vec::new());
    let figures = in_turn("idle", effort.rounds_or(3), TECHNIQUES.len(), |technique| {
        // What is left of the round before has gone.
        settled_slabs();
        let mut server = Server::start(&PATIENT)?;
        let held = hold(&mut server, TECHNIQUES[technique], clients, silence)?;
        rounds[technique].extend(held.objects);
        Ok(held.figures)
    })?;
    let objects = rounds.map(|rounds| Object::each(&rounds, clients));
    let mut report = report(clients, silence, &figures, &objects);
    if clients < wanted {
        report.notes.insert(
            0,
            format!(
                "{} clients: the limit of {limit} open files allows no more; ulimit -n {} would allow {}.",
                grouped(clients as u64),
                wanted + RESERVE,
                grouped(wanted as u64)
            ),
        );
    }
    Ok(report)
}

/// What is measured of a crowd.
const FIGURES: usize = 4;
const USER: usize = 0;
const SLAB: usize = 1;
const BUFFERS: usize = 2;
const CALLS: usize = 3;

/// A crowd that was held.
struct Held {
    /// User-space bytes, slab bytes (both ends) and buffer bytes (both ends) for each; system calls of the
    /// server, all together, while it was left alone.
    figures: [f64; FIGURES],
    /// The kernel's objects before, with all clients, and without their ends; if they may be read.
    objects: Option<[Vec<sys::Slab>; 3]>,
}

fn hold(server: &mut Server, technique: &str, clients: usize, silence: i32) -> Result<Held, String> {
    // The first one is on the house: with it comes what there is only one of.
    let _first = open(server, technique)?;
    seat(server, 1)?;
    let before = Memory::now(server)?;
    let mut lines = Vec::with_capacity(clients);
    for count in 1..=clients {
        let told = |error| format!("{technique}, client {count} of {clients}: {error}");
        lines.push(open(server, technique).map_err(told)?);
        if count % BATCH == 0 || count == clients {
            seat(server, count + 1)?;
        }
    }
    let after = Memory::now(server)?;
    let calls = calls_in_silence(server, silence)?;
    server.freeze()?;
    drop(lines);
    let alone = settled_slabs();
    let each = |before: u64, after: u64| (after as f64 - before as f64) / clients as f64;
    let figures = [
        each(before.user, after.user),
        each(before.slab, after.slab),
        each(before.buffers, after.buffers),
        calls as f64,
    ];
    let objects = before.slabs.zip(after.slabs).zip(alone);
    Ok(Held { figures, objects: objects.map(|((before, after), alone)| [before, after, alone]) })
}

/// The kernel's objects, when for a while they have not become fewer: it frees what belongs to a socket some
/// time after the close (RCU).
fn settled_slabs() -> Option<Vec<sys::Slab>> {
    const LOOK: i32 = 100;
    const LOOKS: usize = 50;
    const QUIET: usize = 5;
    let total = |slabs: &[sys::Slab]| slabs.iter().map(|slab| slab.active).sum::<u64>();
    let (mut slabs, mut quiet) = (sys::slabs()?, 0);
    for _ in 0..LOOKS {
        pause(LOOK);
        let later = sys::slabs()?;
        // Less than one in a hundred is what others do meanwhile.
        quiet = if total(&later) * 100 > total(&slabs) * 99 { quiet + 1 } else { 0 };
        slabs = later;
        if quiet == QUIET {
            break;
        }
    }
    Some(slabs)
}

/// A client that has said what it wants, and heard what it hears at once.
fn open(server: &Server, technique: &str) -> Result<Line, String> {
    let (target, fields) = match technique {
        "long_poll" => ("/poll", String::new()),
        "sse" => ("/connect", "Accept: text/event-stream\r\n".to_owned()),
        _ => ("/ws", upgrade_fields()?),
    };
    let mut line = server.connect()?;
    sys::reset_on_close(line.socket()).map_err(|error| format!("cannot set SO_LINGER: {error}"))?;
    line.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes())?;
    match technique {
        "long_poll" => {}
        "sse" => {
            line.answer()?;
            line.chunk()?;
        }
        _ => {
            line.answer()?;
            line.frame()?;
        }
    }
    Ok(line)
}

/// Waits until so many have their seats.
fn seat(server: &mut Server, count: usize) -> Result<(), String> {
    let start = sys::moment();
    loop {
        let seated = server.metrics()?.get("doorbell_subscribers");
        if seated == count as f64 {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            let what = format!("{seated} of {count} clients have their seats");
            return Err(server.with_last_words(&what));
        }
    }
}

/// How many system calls the server makes while nothing happens.
fn calls_in_silence(server: &mut Server, silence: i32) -> Result<i64, String> {
    let first = server.metrics()?.calls();
    let second = server.metrics()?.calls();
    pause(silence);
    let third = server.metrics()?.calls();
    let reading = second.less(&first, 1);
    let calls: Calls = third.less(&second, 1).less(&reading, 1);
    Ok(calls.iter().map(|(_, count)| count).sum())
}

/// What memory there is at one moment.
struct Memory {
    user: u64,
    slab: u64,
    buffers: u64,
    slabs: Option<Vec<sys::Slab>>,
}

impl Memory {
    fn now(server: &Server) -> Result<Memory, String> {
        let told = |what: &str| format!("cannot read {what}; is /proc mounted?");
        Ok(Memory {
            user: sys::anonymous_bytes(server.pid()).ok_or_else(|| told("the server's memory"))?,
            slab: sys::slab_bytes().ok_or_else(|| told("/proc/meminfo"))?,
            buffers: sys::tcp_buffer_bytes().ok_or_else(|| told("/proc/net/sockstat"))?,
            slabs: sys::slabs(),
        })
    }
}

/// Objects of one kind that there are for each client.
#[derive(Clone, Debug, PartialEq)]
struct Object {
    name: String,
    bytes: u64,
    /// At both ends.
    both: u64,
    /// At the server's.
    server: u64,
}

impl Object {
    /// In whole numbers: a processor keeps some objects at hand, and others use the machine too, so what is
    /// counted is never quite a multiple. `None` if nothing could be read.
    fn each(rounds: &[[Vec<sys::Slab>; 3]], clients: usize) -> Option<Vec<Object>> {
        let [kinds, ..] = rounds.first()?;
        let object = |slab: &sys::Slab| {
            let more = |look: usize| {
                let counts: Vec<f64> = rounds
                    .iter()
                    .map(|looks| active(&looks[look], &slab.name) - active(&looks[0], &slab.name))
                    .collect();
                (Spread::of(&counts).median / clients as f64).round().max(0.0) as u64
            };
            Object { name: slab.name.clone(), bytes: slab.bytes, both: more(1), server: more(2) }
        };
        let kinds = kinds.iter().filter(|slab| slab.name != WATCHED);
        Some(kinds.map(object).filter(|object| object.both > 0).collect())
    }
}

/// Whoever lists `/proc/PID/fd` meanwhile has the kernel make one of these for each fd, and with it
const WATCHED: &str = "proc_inode_cache";
/// one of each of these; they are not the connection's.
const WITH_IT: [&str; 2] = ["dentry", "lsm_inode_cache"];

/// How many there are, less those that were made for somebody who looks on.
fn active(slabs: &[sys::Slab], name: &str) -> f64 {
    let count =
        |name: &str| slabs.iter().find(|slab| slab.name == name).map_or(0.0, |slab| slab.active as f64);
    count(name) - if WITH_IT.contains(&name) { count(WATCHED) } else { 0.0 }
}

fn report(
    clients: usize,
    silence: i32,
    figures: &[[Spread; FIGURES]],
    objects: &[Option<Vec<Object>>],
) -> Report {
    let mut report = Report::new("idle");
    report.tables.push(memory_table(clients, silence, figures, objects));
    report.tables.extend(objects_table(objects));
    report.notes = notes(objects.iter().any(Option::is_none));
    report.plot = Some(plot(figures, objects));
    report.verdict = judge(silence, figures);
    report
}

fn plot(figures: &[[Spread; FIGURES]], objects: &[Option<Vec<Object>>]) -> Plot {
    let place = |(at, bytes): (usize, f64)| (at as f64, bytes);
    let user = figures.iter().map(|figures| figures[USER].median).enumerate().map(place);
    let kernel = objects.iter().flatten().map(|objects| kernel_bytes(objects) as f64).enumerate().map(place);
    let bars = |name: &str, points: Vec<(f64, f64)>| Bars { name: name.to_owned(), points };
    let panel = Panel {
        title: "at the server's end".to_owned(),
        x: Axis::of_names(&TECHNIQUES),
        y: Axis::linear("bytes for each client"),
        lines: vec![bars("user space", user.collect()), bars("kernel", kernel.collect())],
    };
    Plot { title: "What a client costs that waits".to_owned(), panels: vec![panel] }
}

fn memory_table(
    clients: usize,
    silence: i32,
    figures: &[[Spread; FIGURES]],
    objects: &[Option<Vec<Object>>],
) -> Table {
    let title = format!("Bytes for each of {} clients that wait", grouped(clients as u64));
    let calls = format!("calls in {} s", f64::from(silence) / 1000.0);
    let columns = [
        ("technique", "technique"),
        ("user", "user space"),
        ("kernel", "kernel objects, server's end"),
        ("slab", "slab, both ends"),
        ("buffers", "socket buffers, both ends"),
        ("calls", &calls),
    ];
    let mut table = Table::new(&title, &columns);
    for ((technique, figures), objects) in TECHNIQUES.iter().zip(figures).zip(objects) {
        table.push(vec![
            Cell::from(*technique),
            figures[USER].into(),
            objects.as_deref().map(kernel_bytes).into(),
            figures[SLAB].into(),
            figures[BUFFERS].into(),
            figures[CALLS].into(),
        ]);
    }
    table
}

/// Bytes of the kernel's objects at the server's end.
fn kernel_bytes(objects: &[Object]) -> u64 {
    objects.iter().map(|object| object.server * object.bytes).sum()
}

/// What the kernel's bytes are made of.
fn objects_table(objects: &[Option<Vec<Object>>]) -> Option<Table> {
    let columns = [
        ("technique", "technique"),
        ("object", "object (/proc/slabinfo)"),
        ("bytes", "bytes"),
        ("both", "both ends"),
        ("server", "of which the server's"),
    ];
    let mut table = Table::new("Objects of the kernel for each client", &columns).grouped();
    for (technique, objects) in TECHNIQUES.iter().zip(objects) {
        for object in objects.as_ref()? {
            table.push(vec![
                Cell::from(*technique),
                Cell::from(object.name.as_str()),
                object.bytes.into(),
                object.both.into(),
                object.server.into(),
            ]);
        }
    }
    Some(table)
}

fn notes(is_blind: bool) -> Vec<String> {
    let mut notes = vec![
        "user space: what RssAnon of the server grew by (/proc/PID/status), in whole pages, divided by the clients."
            .to_owned(),
        "slab, socket buffers: what the whole machine's grew by (Slab in /proc/meminfo, mem in \
         /proc/net/sockstat); both ends are on this machine. After a round the kernel keeps some of it for the next, \
         so slab may be too low."
            .to_owned(),
    ];
    notes.push(if is_blind {
        "Objects of the kernel: only root may read /proc/slabinfo.".to_owned()
    } else {
        "Objects: how many came about for each client, to the nearest whole number; the server's are those that are \
         left when it is stopped and its clients are reset. Kinds of one size share a cache and go by the name of \
         one of them. What the kernel makes for whoever lists /proc/PID/fd meanwhile is left out."
            .to_owned()
    });
    notes
}

/// Who waits costs no system call.
fn judge(silence: i32, figures: &[[Spread; FIGURES]]) -> Result<String, String> {
    let seconds = f64::from(silence) / 1000.0;
    let busy = TECHNIQUES.iter().zip(figures).find(|(_, figures)| figures[CALLS].median != 0.0);
    match busy {
        None => Ok(format!("Nobody who waits costs a system call: none in {seconds} s.")),
        Some((technique, figures)) => Err(format!(
            "{technique}: {} system calls in {seconds} s in which nothing happened; there should be none",
            figures[CALLS].median
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slab(name: &str, active: u64) -> sys::Slab {
        sys::Slab { name: name.into(), active, bytes: 100 }
    }

    #[test]
    fn objects_are_counted_by_the_client_and_by_the_end() {
        let looks = |stray: u64| {
            // Somebody lists /proc/PID/fd, too, and so each fd has a dentry more.
            let look = |tcp: u64, dentry: u64, epoll: u64| {
                let own = [slab("TCP", 50 + tcp), slab("epoll", 30 + epoll)];
                let seen = [slab(WATCHED, tcp), slab("lsm_inode_cache", tcp), slab("dentry", dentry + tcp)];
                [&own[..], &seen[..]].concat()
            };
            [look(0, 0, 0), look(2_000 + stray, 10, 900), look(1_000, 5, 890)]
        };
        let each = Object::each(&[looks(0), looks(40), looks(600)], 1_000).unwrap();
        let object = |name: &str, both, server| Object { name: name.into(), bytes: 100, both, server };
        assert_eq!(each, [object("TCP", 2, 1), object("epoll", 1, 1)]);
        assert_eq!(kernel_bytes(&each), 200);
        assert_eq!(Object::each(&[], 1_000), None);
    }

    #[test]
    fn a_server_that_does_something_in_silence_is_told_of() {
        let quiet = [[Spread::of(&[0.0]); FIGURES]; 3];
        assert!(judge(2_000, &quiet).is_ok());
        let mut busy = quiet;
        busy[1][CALLS] = Spread::of(&[3.0]);
        assert!(judge(2_000, &busy).unwrap_err().starts_with("sse: 3 system calls in 2 s"));
    }
}
