//! What those who wait cost in memory: a fresh server, and so many who do nothing.

use super::super::Effort;
use super::super::crowd::Crowd;
use super::super::plot::{Axis, Panel};
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Cell, Table};
use super::bars;
use super::fan_out::SIZE;
use super::peer::{Apart, Peer, Running, TECHNIQUES};
use crate::digits::grouped;
use crate::sys;
use std::path::Path;

pub(super) fn find(
    effort: &Effort,
    house: &[&'static Peer],
    folder: &Path,
    apart: &Apart,
    clients: usize,
) -> Result<(Table, Vec<Panel>), String> {
    let (rounds, count) = (effort.rounds_or(3), house.len());
    let figures = in_turn("peers (3 of 3)", rounds, TECHNIQUES.len() * count, |contender| {
        let technique = TECHNIQUES[contender / count];
        let mut server = Running::start(house[contender % count], folder, apart)?;
        let measured = measure(&mut server, technique, clients);
        measured.map(|bytes| [bytes]).map_err(|error| server.told(&format!("{technique}: {error}")))
    })?;
    let names: Vec<&str> = house.iter().map(|peer| peer.name).collect();
    let title = format!("Bytes of the server's own memory for each of {} who wait", grouped(clients as u64));
    let columns = [
        ("technique", "technique"),
        ("server", "server"),
        ("bytes", "bytes each"),
        ("share", "of doorbell's"),
    ];
    let mut table = Table::new(&title, &columns).grouped();
    for (technique, rows) in TECHNIQUES.iter().zip(figures.chunks_exact(count)) {
        for (name, &[bytes]) in names.iter().zip(rows) {
            let share = bytes.median / rows[0][0].median;
            table.push(vec![Cell::from(*technique), (*name).into(), bytes.into(), share.into()]);
        }
    }
    Ok((table, vec![panel(&names, &figures)]))
}

fn measure(server: &mut Running, technique: &str, clients: usize) -> Result<f64, String> {
    // The first one is on the house: with it comes what there is only one of.
    let _first = open(server, technique, 1)?;
    let before = bytes(server)?;
    let _crowd = open(server, technique, clients)?;
    Ok((bytes(server)? as f64 - before as f64) / clients as f64)
}

fn open(server: &mut Running, technique: &str, clients: usize) -> Result<Crowd, String> {
    let manner = server.peer.manner(technique, server.channel());
    let server = &*server;
    Crowd::open(server.address, server.address, manner, clients, SIZE, |_| server.rest())
}

fn bytes(server: &Running) -> Result<u64, String> {
    sys::own_bytes(server.pid()).ok_or_else(|| "cannot read its memory; is /proc mounted?".to_owned())
}

fn panel(names: &[&str], figures: &[[Spread; 1]]) -> Panel {
    let lines = bars(names, |name| {
        let at = names.iter().position(|other| *other == name).unwrap_or(0);
        let median = |row: usize| figures[row * names.len() + at][0].median;
        (0..TECHNIQUES.len()).map(|row| (row as f64, median(row))).collect()
    });
    Panel {
        title: "memory of those who wait".to_owned(),
        x: Axis::of_names(&TECHNIQUES),
        y: Axis::logarithmic("bytes each (logarithmic)"),
        lines,
    }
}
