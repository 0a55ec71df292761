//! `doorbell bench peers`: what one would use instead, under the same load from the same clients.
//!
//! A peer is a program `run` in a folder of its name, put there by `scripts/peers/install`; its source stands in
//! `scripts/peers`. Each is one process, set up as its users would. The rows are those of the floor: questions and answers
//! ([`exchange`]), an event to many ([`fan_out`]), and the memory of those who wait ([`waiting`]).

mod exchange;
mod fan_out;
mod peer;
mod waiting;

use super::plot::{Line, Plot};
use super::report::Report;
use super::{Effort, progress};
use crate::digits::grouped;
use crate::sys;
use peer::{Apart, Peer, Running};
use serde_json::{Value, json};
use std::path::Path;

/// How many subscribers there are.
const CLIENTS: usize = 5_000;
const CLIENTS_QUICK: usize = 200;
/// fds that are no subscriber's.
const RESERVE: usize = 100;

/// Measures doorbell and those of the peers that are in this folder.
pub fn run(effort: &Effort, folder: &Path, clients: Option<u64>) -> Result<Report, String> {
    let mut report = Report::timed("peers");
    let (present, missing) = peer::look(folder);
    if present.is_empty() {
        let folder = folder.display();
        return Err(format!("no peer is installed in {folder}; scripts/peers/install installs them"));
    }
    let clients = clients.map_or(if effort.quick { CLIENTS_QUICK } else { CLIENTS }, |count| count as usize);
    require_fds(clients)?;
    let apart = Apart::begin();
    let house: Vec<&'static Peer> = std::iter::once(&peer::DOORBELL).chain(present.iter().copied()).collect();
    progress("bench peers: starting");
    let mut servers = Vec::new();
    for peer in &house {
        servers.push(Running::start(peer, folder, &apart)?);
    }
    let exchanges = exchange::find(effort, &servers, &apart)?;
    let fan_outs = fan_out::find(effort, &mut servers, &apart, clients)?;
    drop(servers);
    let memory = waiting::find(effort, &house, folder, &apart, clients)?;
    let mut panels = Vec::new();
    for (table, drawn) in [exchanges, fan_outs, memory] {
        report.tables.push(table);
        panels.extend(drawn);
    }
    report.notes = notes(&apart, &present, folder);
    report.warnings.extend(missing.iter().map(|peer| {
        format!("{0} is not installed and left out; install it with scripts/peers/install {0}", peer.name)
    }));
    let version = |peer: &&Peer| json!({ "name": peer.name, "version": peer.version(folder) });
    report.facts.insert("peers".to_owned(), Value::Array(present.iter().map(version).collect()));
    report.plot = Some(Plot { title: "doorbell and its peers".to_owned(), panels });
    Ok(report)
}

fn require_fds(clients: usize) -> Result<(), String> {
    let limit =
        sys::raise_fd_limit().map_err(|error| format!("cannot read the limit on open files: {error}"))?;
    let needed = clients + RESERVE;
    if limit >= needed as u64 {
        return Ok(());
    }
    Err(format!(
        "{} subscribers need {needed} open files, and the limit is {limit}; raise it with ulimit -n {needed}, or ask \
         for fewer with --clients",
        grouped(clients as u64)
    ))
}

fn notes(apart: &Apart, present: &[&Peer], folder: &Path) -> Vec<String> {
    let mut notes: Vec<String> =
        present.iter().map(|peer| format!("{}: {}.", peer.name, peer.version(folder))).collect();
    notes.push(format!(
        "{} The clients are the same for all. CPU is the whole process's, all threads.",
        apart.words()
    ));
    notes.push(
        "An event has 64 bytes; what a server puts around it is its own: doorbell and the polls of node and axum say \
         JSON with a cursor, nginx and the WebSockets of all peers the event as it is. A poll says what it has heard, \
         and asks again when all have heard: asking at once, the one thread with all the clients has more to do than \
         the quickest of the servers, and what is measured is the client."
            .to_owned(),
    );
    notes.push(
        "first, last: from the publication until one thread with all the clients in it has read the first and the \
         last event. memory: what RssAnon and RssShmem grew by, divided by those who wait; garbage that a collector \
         has not seen to yet is in it."
            .to_owned(),
    );
    notes
}

/// For each server its bars.
fn bars(names: &[&str], points: impl Fn(&str) -> Vec<(f64, f64)>) -> Vec<Line> {
    names.iter().map(|name| Line { name: (*name).to_owned(), points: points(name) }).collect()
}
