//! Questions and answers: HTTP, and the echo of a WebSocket; one at a time on each connection, and several.

use super::super::Effort;
use super::super::plot::{Axis, Panel};
use super::super::question::{Asking, CONNECTIONS, Question};
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Cell, Table};
use super::bars;
use super::peer::{Apart, Running};
use std::time::Duration;

/// A question, and how many of them each connection has under way.
struct Row {
    name: &'static str,
    question: Question,
    depth: usize,
}

const ROWS: [Row; 6] = [
    Row { name: "HTTP, depth 1", question: Question::Healthz, depth: 1 },
    Row { name: "HTTP, pipelined 16", question: Question::Healthz, depth: 16 },
    Row { name: "WebSocket echo of 20 B, depth 1", question: Question::Echo(20), depth: 1 },
    Row { name: "WebSocket echo of 20 B, depth 16", question: Question::Echo(20), depth: 16 },
    Row { name: "WebSocket echo of 1 KiB, depth 1", question: Question::Echo(1024), depth: 1 },
    Row { name: "WebSocket echo of 1 KiB, depth 16", question: Question::Echo(1024), depth: 16 },
];

/// How long everybody asks in one round.
const SPAN: Duration = Duration::from_millis(300);
const SPAN_QUICK: Duration = Duration::from_millis(20);

/// How many a second, and microseconds of the server's CPU for each.
const FIGURES: usize = 2;

pub(super) fn find(
    effort: &Effort,
    servers: &[Running],
    apart: &Apart,
) -> Result<(Table, Vec<Panel>), String> {
    let pairs = ROWS.iter().flat_map(|row| servers.iter().map(move |server| (row, server)));
    let contenders: Vec<(&Row, &Running)> = pairs.filter(|(row, server)| can(server, row.question)).collect();
    let span = if effort.quick { SPAN_QUICK } else { SPAN };
    let figures = in_turn("peers (1 of 3)", effort.rounds_or(5), contenders.len(), |contender| {
        let (row, server) = contenders[contender];
        measure(row, server, span, apart).map_err(|error| server.told(&format!("{}: {error}", row.name)))
    })?;
    let figure_of = |row: &Row, server: &str| {
        let mut measured = contenders.iter().zip(&figures);
        measured
            .find(|((at, running), _)| at.name == row.name && running.peer.name == server)
            .map(|(_, figures)| *figures)
    };
    let names: Vec<&str> = servers.iter().map(|server| server.peer.name).collect();
    Ok((table(&names, figure_of), vec![panel(&names, figure_of)]))
}

fn can(server: &Running, question: Question) -> bool {
    server.peer.echoes || question == Question::Healthz
}

fn measure(row: &Row, server: &Running, span: Duration, apart: &Apart) -> Result<[f64; FIGURES], String> {
    let Row { question, depth, .. } = *row;
    let words = question.words()?;
    let answer = question.learn(server.address, &words)?;
    let lines = (0..CONNECTIONS).map(|_| question.open(server.address)).collect::<Result<_, _>>()?;
    let mut asking = Asking::on(lines, &words, answer, depth, apart.is_so())?;
    let cpu = server.cpu()?;
    let (seconds, answers) = asking.ask_for(span)?;
    let cpu = server.cpu()? - cpu;
    Ok([answers / seconds, cpu * 1e6 / answers])
}

fn table(names: &[&str], figure_of: impl Fn(&Row, &str) -> Option<[Spread; FIGURES]>) -> Table {
    let columns = [
        ("row", "question"),
        ("server", "server"),
        ("rate", "a second"),
        ("share", "of doorbell's"),
        ("cpu", "CPU µs each"),
    ];
    let mut table =
        Table::new(&format!("Questions and answers, {CONNECTIONS} connections at once"), &columns).grouped();
    for row in &ROWS {
        let own = figure_of(row, names[0]).map(|[rate, _]| rate.median);
        for name in names {
            let Some([rate, cpu]) = figure_of(row, name) else { continue };
            let share = own.map(|own| rate.median / own);
            table.push(vec![row.name.into(), (*name).into(), rate.into(), Cell::from(share), cpu.into()]);
        }
    }
    table
}

fn panel(names: &[&str], figure_of: impl Fn(&Row, &str) -> Option<[Spread; FIGURES]>) -> Panel {
    let lines = bars(names, |name| {
        let rate = |row| figure_of(row, name).map(|[rate, _]| rate.median);
        ROWS.iter().enumerate().filter_map(|(at, row)| Some((at as f64, rate(row)?))).collect()
    });
    Panel {
        title: "answers a second".to_owned(),
        x: Axis::of_names(&["HTTP 1", "HTTP 16", "20 B 1", "20 B 16", "1 KiB 1", "1 KiB 16"]),
        y: Axis::linear("a second"),
        lines,
    }
}
