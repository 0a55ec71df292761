//! What an event costs by each technique, and how late it is.

use super::super::Effort;
use super::super::plot::{Axis, Line, Panel};
use super::super::rounds::{Spread, in_turn};
use super::super::table::Table;
use super::stage::{Score, Stage, Technique};
use super::{Crowd, Finding};
use crate::digits::grouped;
use std::time::Duration;

/// Between two short polls.
const INTERVALS: [u64; 4] = [100, 500, 1_000, 5_000];
const INTERVALS_QUICK: [u64; 4] = [5, 25, 50, 250];

/// p50, p99 and the longest in milliseconds; for each delivered event: requests, bytes in and out, microseconds of CPU.
const FIGURES: usize = 7;

pub(super) fn find(stage: &mut Stage, effort: &Effort, crowd: Crowd) -> Result<Finding, String> {
    let or = |said: Option<u64>, usual, quick| said.unwrap_or(if effort.quick { quick } else { usual });
    let clients = or(crowd.clients, 200, 20) as usize;
    let (events, rate) = (or(crowd.events, 50, 10), or(crowd.rate, 20, 100));
    let intervals = if effort.quick { INTERVALS_QUICK } else { INTERVALS };
    let contenders: Vec<Technique> = intervals
        .map(|millis| Technique::ShortPoll(Duration::from_millis(millis)))
        .into_iter()
        .chain([Technique::LongPoll, Technique::Stream, Technique::Sse, Technique::WebSocket])
        .collect();
    let score = Score::at_rate(rate as f64, events);
    let figures = in_turn("techniques (1 of 4)", effort.rounds_or(5), contenders.len(), |contender| {
        let played = stage.play(contenders[contender], clients, score)?;
        let each = |figure: f64| figure / played.heard.count() as f64;
        let [p50, p99, longest] = [50.0, 99.0, 100.0].map(|percent| played.heard.latency(percent));
        let [received, sent] = ["received", "sent"].map(|direction| each(played.bytes(direction)));
        Ok([p50, p99, longest, each(played.requests()), received, sent, each(played.cpu * 1e6)])
    })?;
    let title = format!(
        "{} events of {} bytes, {rate} a second, to {} clients: how late they are, and the cost of each delivery",
        grouped(events),
        super::stage::SIZE,
        grouped(clients as u64)
    );
    Ok(Finding {
        table: table(&title, &contenders, &figures),
        notes: vec![
            "late: from the publication until the client has read it. requests, bytes: as the server's receipt has \
             them, for each event that a client heard. CPU: the server's, the publisher's share included."
                .to_owned(),
            "A short poll is late by half its interval in the middle and by the whole of it at most; asked more \
             seldom, its answers hold more events each."
                .to_owned(),
        ],
        panels: vec![panel(&contenders, &figures)],
        verdict: judge(&contenders, &figures),
    })
}

fn label(technique: Technique) -> String {
    match technique {
        Technique::ShortPoll(interval) => format!("short_poll, {}", humantime::format_duration(interval)),
        other => other.name().to_owned(),
    }
}

fn table(title: &str, contenders: &[Technique], figures: &[[Spread; FIGURES]]) -> Table {
    let columns = [
        ("technique", "technique"),
        ("p50", "late, p50 ms"),
        ("p99", "p99 ms"),
        ("longest", "max ms"),
        ("requests", "requests"),
        ("received", "bytes in"),
        ("sent", "bytes out"),
        ("cpu", "CPU µs"),
    ];
    let mut table = Table::new(title, &columns);
    for (&technique, figures) in contenders.iter().zip(figures) {
        let [p50, p99, longest, requests, received, sent, cpu] = *figures;
        let mut row = vec![label(technique).into(), p50.into(), p99.into(), longest.into()];
        // What is counted comes to the same in every round, but for a poll or two: its median is enough.
        row.extend([requests, received, sent].map(|counted| counted.median.into()));
        row.push(cpu.into());
        table.push(row);
    }
    table
}

fn panel(contenders: &[Technique], figures: &[[Spread; FIGURES]]) -> Panel {
    let names: Vec<String> = contenders
        .iter()
        .map(|technique| match technique {
            Technique::ShortPoll(interval) => humantime::format_duration(*interval).to_string(),
            other => other.name().replace("websocket", "ws").replace("_poll", ""),
        })
        .collect();
    let bars = |name: &str, figure: usize| Line {
        name: name.to_owned(),
        points: figures.iter().enumerate().map(|(at, figures)| (at as f64, figures[figure].median)).collect(),
    };
    Panel {
        title: "how late an event is (a time: short polling)".to_owned(),
        x: Axis::of_names(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        y: Axis::logarithmic("milliseconds (logarithmic)"),
        lines: vec![bars("p50", 0), bars("p99", 1)],
    }
}

/// Everybody heard everything, or there would be no figures. Who is pushed to asks for nothing.
fn judge(contenders: &[Technique], figures: &[[Spread; FIGURES]]) -> Result<String, String> {
    let asks = |technique: Technique| matches!(technique, Technique::ShortPoll(_) | Technique::LongPoll);
    let wrong = contenders.iter().zip(figures).find(|(technique, figures)| {
        let requests = figures[3];
        if asks(**technique) { requests.lowest <= 0.0 } else { requests.highest != 0.0 }
    });
    match wrong {
        None => {
            Ok("Everybody heard everything once and in order; streams and WebSockets asked for nothing."
                .into())
        }
        Some((technique, figures)) => {
            let requests = figures[3].median;
            Err(format!("{}: {requests} requests for each delivered event", label(*technique)))
        }
    }
}
