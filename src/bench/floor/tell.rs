//! What was found, in tables and in a picture, and whether it is enough.

use super::fan::DATA;
use super::{Costs, Findings, Goal, Row};
use crate::bench::plot::{Axis, Line, Panel, Plot};
use crate::bench::question::CONNECTIONS;
use crate::bench::report::Report;
use crate::bench::table::{Cell, Table, readable};
use crate::digits::grouped;

/// How far a ratio may fall short of its goal before the gate is closed: these are shared, noisy machines.
const LENIENCE: f64 = 0.1;

impl Goal {
    fn is_met_by(self, ratio: f64) -> bool {
        match self {
            Goal::AtLeast(goal) => ratio >= goal,
            Goal::AtMost(goal) => ratio <= goal,
        }
    }

    fn with_lenience(self) -> Goal {
        match self {
            Goal::AtLeast(goal) => Goal::AtLeast(goal * (1.0 - LENIENCE)),
            Goal::AtMost(goal) => Goal::AtMost(goal * (1.0 + LENIENCE)),
        }
    }

    fn figure(self) -> f64 {
        let (Goal::AtLeast(figure) | Goal::AtMost(figure)) = self;
        figure
    }

    fn text(self) -> String {
        match self {
            Goal::AtLeast(goal) => format!("≥ {goal:.2}"),
            Goal::AtMost(goal) => format!("≤ {goal:.2}"),
        }
    }
}

pub(super) fn report(asked: &Findings, fanned: &Findings, subscribers: usize, is_apart: bool) -> Report {
    let mut report = Report::timed("floor");
    let questions = format!("Questions and answers, {CONNECTIONS} connections at once");
    let events = format!("One event of {DATA} B to {} subscribers", grouped(subscribers as u64));
    report.tables = vec![
        speeds(&questions, "answers/s", &asked.rows),
        speeds(&events, "ms", &fanned.rows),
        costs(asked.costs.iter().chain(&fanned.costs)),
    ];
    report.notes = notes(is_apart);
    report.plot = Some(plot(&asked.rows, &fanned.rows));
    report
}

fn speeds(title: &str, unit: &str, rows: &[Row]) -> Table {
    let [server, floor] = ["server", "floor"].map(|side| format!("{side}, {unit}"));
    let columns = [
        ("row", "row"),
        ("server", server.as_str()),
        ("floor", &floor),
        ("ratio", "ratio"),
        ("goal", "to reach"),
    ];
    let mut table = Table::new(title, &columns);
    for Row { name, measured, ratio, goal, .. } in rows {
        let cells = [measured.one, measured.other, *ratio].map(Cell::from);
        table.push([name.clone().into()].into_iter().chain(cells).chain([goal.text().into()]).collect());
    }
    table
}

fn costs<'a>(costs: impl Iterator<Item = &'a Costs>) -> Table {
    let columns = [
        ("of", "of each answer, or each delivery"),
        ("server_cpu", "server, CPU µs"),
        ("floor_cpu", "floor, CPU µs"),
        ("cpu_ratio", "floor to server"),
        ("server_calls", "server, system calls"),
        ("floor_calls", "floor, system calls"),
        ("server_busy", "server, busy"),
        ("floor_busy", "floor, busy"),
    ];
    let mut table = Table::new("What it costs", &columns);
    for Costs { of, cpu, calls, busy } in costs {
        let mut row = vec![(*of).into(), cpu.one.into(), cpu.other.into(), cpu.ratio.inverse().into()];
        let figures = [calls.one, calls.other, busy.one, busy.other];
        row.extend(figures.map(|spread| Cell::from(spread.median)));
        table.push(row);
    }
    table
}

fn notes(is_apart: bool) -> Vec<String> {
    let place = if is_apart {
        "Server and floor have one processor, the client has another and never sleeps, so that nobody pays for \
         waking it. Busy is which part of the time the server was on its processor: if it is near 1, the server is \
         what was waited for."
    } else {
        "There is one processor only, for the server and the client: what the client takes is in every time, and \
         the ratios are nearer to 1 than they should be."
    };
    let lines = [
        "The floor is a loop over epoll_wait, read and write in a process of its own: as many bytes in and out for \
         each operation as the server's, and none of them looked at. Its sockets have the same options, and it \
         writes to them in the same order.",
        place,
        "Server and floor take turns in each round, after one that warms up, and are compared within each round: \
         the server's speed to the floor's, but until the first has an event, the server's time to the floor's.",
        "Times of an event run from before the publication is written until the client has read; the publisher is \
         answered first. A round is three events, of whose times the one in the middle counts.",
        "Long polls are sent again when all have heard, and only when the server has taken them in is the next event \
         published. The client has more to do there than the server: what a whole cycle costs the server is in its \
         CPU time.",
        "CPU time is that of the process, in user mode and in the kernel (/proc/PID/schedstat). It depends less on \
         what else the machine does than the speed.",
    ];
    lines.map(str::to_owned).into()
}

fn plot(asked: &[Row], fanned: &[Row]) -> Plot {
    let (last, first): (Vec<&Row>, Vec<&Row>) =
        fanned.iter().partition(|row| matches!(row.goal, Goal::AtLeast(_)));
    Plot {
        title: "The server against the floor".to_owned(),
        panels: vec![
            panel("answers in a second", &asked.iter().collect::<Vec<_>>()),
            panel("one event to all: speed until the last", &last),
            panel("one event to all: time until the first", &first),
        ],
    }
}

fn panel(title: &str, rows: &[&Row]) -> Panel {
    let bars = |name: &str, figure: fn(&Row) -> f64| {
        let points = rows.iter().enumerate().map(|(at, row)| (at as f64, figure(row)));
        Line { name: name.to_owned(), points: points.collect() }
    };
    Panel {
        title: title.to_owned(),
        x: Axis::of_names(&rows.iter().map(|row| row.short).collect::<Vec<_>>()),
        y: Axis::linear("times the floor"),
        lines: vec![bars("measured", |row| row.ratio.median), bars("to reach", |row| row.goal.figure())],
    }
}

/// Who misses what is to be reached. That is an error only at a gate, and if it is missed by more than a tenth.
pub(super) fn judge<'a>(rows: impl Iterator<Item = &'a Row>, is_gate: bool) -> Result<String, String> {
    let (mut missed, mut failed) = (Vec::new(), Vec::new());
    for Row { name, ratio, goal, .. } in rows {
        let words = || format!("{name}: {} ({})", readable(ratio.median), goal.text());
        if !goal.is_met_by(ratio.median) {
            missed.push(words());
        }
        if !goal.with_lenience().is_met_by(ratio.median) {
            failed.push(words());
        }
    }
    if is_gate && !failed.is_empty() {
        return Err(format!("missed by more than a tenth: {}", failed.join("; ")));
    }
    if missed.is_empty() {
        return Ok("Every row reaches what it is to reach.".to_owned());
    }
    Ok(format!("Not reached: {}.", missed.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rounds::{Pair, Spread};

    fn row(ratio: f64, goal: Goal) -> Row {
        let ratio = Spread::of(&[ratio]);
        let measured = Pair { one: ratio, other: ratio, ratio };
        Row { name: "a row".to_owned(), short: "row", measured, ratio, goal }
    }

    #[test]
    fn the_gate_is_closed_to_who_misses_by_more_than_a_tenth() {
        let rows = [row(0.88, Goal::AtLeast(0.97)), row(1.6, Goal::AtMost(1.5))];
        let said = judge(rows.iter(), true).unwrap();
        assert_eq!(said, "Not reached: a row: 0.880 (≥ 0.97); a row: 1.60 (≤ 1.50).");
        for row in [row(0.87, Goal::AtLeast(0.97)), row(1.66, Goal::AtMost(1.5))] {
            assert!(judge([&row].into_iter(), true).unwrap_err().contains("a row"));
            assert!(judge([&row].into_iter(), false).is_ok(), "nobody asked for a gate");
        }
        let said = judge([row(1.2, Goal::AtLeast(0.97)), row(1.2, Goal::AtMost(1.5))].iter(), true).unwrap();
        assert_eq!(said, "Every row reaches what it is to reach.");
    }
}
