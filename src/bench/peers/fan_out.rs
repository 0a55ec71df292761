//! One event to many: how soon the first and the last has it, and what it costs the server.

use super::super::Effort;
use super::super::crowd::Crowd;
use super::super::plot::{Axis, Panel};
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Cell, Table};
use super::bars;
use super::peer::{Apart, Running, TECHNIQUES};
use crate::digits::grouped;
use std::time::Duration;

/// Bytes of an event.
pub(super) const SIZE: usize = 64;
/// How many events a crowd hears in a round, of which the first is not counted.
const EVENTS: usize = 8;
const EVENTS_QUICK: usize = 2;

/// Milliseconds until the first and until the last has heard, and microseconds of CPU for each delivery.
const FIGURES: usize = 3;

pub(super) fn find(
    effort: &Effort,
    servers: &mut [Running],
    apart: &Apart,
    clients: usize,
) -> Result<(Table, Vec<Panel>), String> {
    let (rounds, count) = (effort.rounds_or(5), servers.len());
    let events = if effort.quick { EVENTS_QUICK } else { EVENTS };
    let figures = in_turn("peers (2 of 3)", rounds, TECHNIQUES.len() * count, |contender| {
        let (technique, server) = (TECHNIQUES[contender / count], &mut servers[contender % count]);
        let measured = measure(server, technique, clients, events, apart);
        measured.map_err(|error| server.told(&format!("{technique}: {error}")))
    })?;
    let names: Vec<&str> = servers.iter().map(|server| server.peer.name).collect();
    let panel = |who: &str, figure: usize| Panel {
        title: format!("until the {who} has heard"),
        x: Axis::of_names(&TECHNIQUES),
        y: Axis::linear(&format!("milliseconds to the {who}")),
        lines: bars(&names, |name| {
            let at = names.iter().position(|other| *other == name).unwrap_or(0);
            let median = |row: usize| figures[row * count + at][figure].median;
            (0..TECHNIQUES.len()).map(|row| (row as f64, median(row))).collect()
        }),
    };
    let panels = vec![panel("first", 0), panel("last", 1)];
    Ok((table(&names, &figures, clients), panels))
}

fn measure(
    server: &mut Running,
    technique: &str,
    clients: usize,
    events: usize,
    apart: &Apart,
) -> Result<[f64; FIGURES], String> {
    let manner = server.peer.manner(technique, server.channel());
    let server = &*server;
    let mut crowd = Crowd::open(server.address, server.address, manner, clients, SIZE, |_| server.rest())?;
    (crowd.is_restless, crowd.asks_together) = (apart.is_so(), true);
    let mut measured = Vec::new();
    for _ in 0..=events {
        // All who ask again are parked again.
        server.rest()?;
        let cpu = server.cpu()?;
        let heard = crowd.play(1, Duration::ZERO)?;
        server.rest()?;
        let cpu = server.cpu()? - cpu;
        measured.push([heard.latency(0.0), heard.latency(100.0), cpu * 1e6 / clients as f64]);
    }
    let median = |figure: usize| {
        let values: Vec<f64> = measured[1..].iter().map(|figures| figures[figure]).collect();
        Spread::of(&values).median
    };
    drop(crowd);
    server.rest()?;
    Ok(std::array::from_fn(median))
}

fn table(names: &[&str], figures: &[[Spread; FIGURES]], clients: usize) -> Table {
    let columns = [
        ("technique", "technique"),
        ("server", "server"),
        ("first", "first has it, ms"),
        ("last", "last has it, ms"),
        ("share", "of doorbell's speed"),
        ("cpu", "CPU µs for each"),
    ];
    let title = format!("One event of {SIZE} bytes to {} subscribers", grouped(clients as u64));
    let mut table = Table::new(&title, &columns).grouped();
    for (technique, rows) in TECHNIQUES.iter().zip(figures.chunks_exact(names.len())) {
        for (name, &[first, last, cpu]) in names.iter().zip(rows) {
            let share = rows[0][1].median / last.median;
            let (first, last, cpu) = (first.into(), last.into(), cpu.into());
            table.push(vec![Cell::from(*technique), (*name).into(), first, last, share.into(), cpu]);
        }
    }
    table
}
