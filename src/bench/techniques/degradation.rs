//! How long polling degrades under load: the more there is to tell, the more events share an answer, and the less
//! each of them costs (RFC 6202 §2.2, graceful degradation).

use super::super::Effort;
use super::super::plot::{Axis, Line, Panel};
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Table, readable};
use super::Finding;
use super::stage::{Score, Stage, Technique};
use crate::digits::grouped;

/// Events a second.
const RATES: [u64; 6] = [10, 100, 300, 1_000, 3_000, 10_000];
const RATES_QUICK: [u64; 3] = [100, 2_000, 20_000];
const CLIENTS: usize = 100;
const CLIENTS_QUICK: usize = 20;

/// Published a second, events in an answer, p50 and p99 in milliseconds, microseconds of CPU for each delivery.
const FIGURES: usize = 5;
const TOGETHER: usize = 1;
const CPU: usize = 4;

pub(super) fn find(stage: &mut Stage, effort: &Effort) -> Result<Finding, String> {
    let rates = if effort.quick { &RATES_QUICK[..] } else { &RATES[..] };
    let (seconds, clients) = if effort.quick { (0.1, CLIENTS_QUICK) } else { (1.0, CLIENTS) };
    let figures = in_turn("techniques (3 of 4)", effort.rounds_or(5), rates.len(), |contender| {
        let rate = rates[contender] as f64;
        let events = (rate * seconds).max(1.0) as u64;
        let played = stage.play(Technique::LongPoll, clients, Score::at_rate(rate, events))?;
        let heard = &played.heard;
        let count = heard.count() as f64;
        Ok([
            events as f64 / heard.seconds,
            count / heard.answers as f64,
            heard.latency(50.0),
            heard.latency(99.0),
            played.cpu * 1e6 / count,
        ])
    })?;
    let line = |name: &str, figure: usize| Line {
        name: name.to_owned(),
        points: rates
            .iter()
            .zip(&figures)
            .map(|(&rate, figures)| (rate as f64, figures[figure].median))
            .collect(),
    };
    Ok(Finding {
        table: table(clients, rates, &figures),
        notes: vec![
            "Under load an answer holds what has come since the one before: nobody is told more often than he can \
             listen, and nothing is lost."
                .to_owned(),
        ],
        panels: vec![Panel {
            title: "long polling under load".to_owned(),
            x: Axis::logarithmic("events published a second"),
            y: Axis::logarithmic("for each answer; for each delivery"),
            lines: vec![line("events in an answer", TOGETHER), line("CPU µs", CPU)],
        }],
        verdict: judge(&figures),
    })
}

fn table(clients: usize, rates: &[u64], figures: &[[Spread; FIGURES]]) -> Table {
    let columns = [
        ("rate", "events/s"),
        ("published", "published/s"),
        ("together", "events in an answer"),
        ("p50", "late, p50 ms"),
        ("p99", "p99 ms"),
        ("cpu", "CPU µs for each delivery"),
    ];
    let title =
        format!("Long polling under load: {} clients, and more and more events", grouped(clients as u64));
    let mut table = Table::new(&title, &columns);
    for (&rate, figures) in rates.iter().zip(figures) {
        let [published, others @ ..] = *figures;
        let mut row = vec![rate.into(), published.median.into()];
        row.extend(others.map(Into::into));
        table.push(row);
    }
    table
}

fn judge(figures: &[[Spread; FIGURES]]) -> Result<String, String> {
    let together =
        |figures: Option<&[Spread; FIGURES]>| figures.map_or(0.0, |figures| figures[TOGETHER].median);
    let (first, last) = (together(figures.first()), together(figures.last()));
    let words = format!("from {} to {}", readable(first), readable(last));
    if last > 2.0 * first {
        Ok(format!("Under load long polling tells several events at once: {words} in an answer."))
    } else {
        Err(format!("under load the events in an answer went {words}, and should become many more"))
    }
}
