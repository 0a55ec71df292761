//! From which rate of events on short polling costs the server less than long polling, where the crowd is large and
//! delay matters little.
//!
//! N clients that ask once in an interval ask N / interval times a second, however much happens. Parked ones ask
//! once for each event: N × rate. The two are equal at a rate of 1 / interval.

use super::super::Effort;
use super::super::plot::{Axis, Line, Panel};
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Table, readable};
use super::stage::{Score, Stage, Technique};
use super::{Crowd, Finding};
use crate::digits::grouped;
use std::time::Duration;

/// How many events there are in an interval of short polling.
const EVENTS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
const EVENTS_QUICK: [f64; 3] = [0.25, 1.0, 4.0];
/// For how many intervals each is measured; so that there is a whole number of events in it.
const INTERVALS: f64 = 4.0;

/// One rate, and what it came to: requests and milliseconds of CPU a second.
#[derive(Clone, Copy)]
struct Point {
    rate: f64,
    short: [Spread; 2],
    long: [Spread; 2],
}

const REQUESTS: usize = 0;
const CPU: usize = 1;

pub(super) fn find(stage: &mut Stage, effort: &Effort, crowd: Crowd) -> Result<Finding, String> {
    let clients = crowd.clients.unwrap_or(if effort.quick { 50 } else { 1_000 }) as usize;
    let interval = Duration::from_millis(if effort.quick { 100 } else { 500 });
    let rates = if effort.quick { &EVENTS_QUICK[..] } else { &EVENTS[..] };
    let rates: Vec<f64> = rates.iter().map(|events| events / interval.as_secs_f64()).collect();
    let techniques = [Technique::ShortPoll(interval), Technique::LongPoll];
    let figures = in_turn("techniques (2 of 4)", effort.rounds_or(5), rates.len() * 2, |contender| {
        let rate = rates[contender / 2];
        let events = (rate * interval.as_secs_f64() * INTERVALS).round().max(1.0);
        let played = stage.play(techniques[contender % 2], clients, Score::at_rate(rate, events as u64))?;
        let seconds = played.heard.seconds;
        Ok([played.requests() / seconds, played.cpu * 1e3 / seconds])
    })?;
    let points: Vec<Point> = rates
        .iter()
        .zip(figures.chunks_exact(2))
        .map(|(&rate, figures)| Point { rate, short: figures[0], long: figures[1] })
        .collect();
    Ok(finding(clients, interval, &points))
}

fn finding(clients: usize, interval: Duration, points: &[Point]) -> Finding {
    let theory = 1.0 / interval.as_secs_f64();
    let [by_requests, by_cpu] = [REQUESTS, CPU].map(|figure| crossing(points, figure));
    let told = |crossing: Option<f64>| match crossing {
        Some(rate) => format!("at {} events/s", readable(rate)),
        None => "nowhere between these rates".to_owned(),
    };
    let note = format!(
        "Short polling overtakes long polling {} by requests (1 / interval is {}) and {} by CPU. From there on it \
         asks the server for less, and is late by up to an interval.",
        told(by_requests),
        readable(theory),
        told(by_cpu)
    );
    Finding {
        table: table(clients, interval, points),
        notes: vec![note],
        panels: vec![
            panel("what the server is asked", "requests a second", points, REQUESTS),
            panel("what it costs the server", "ms of CPU a second", points, CPU),
        ],
        verdict: judge(points, by_requests, theory),
    }
}

fn table(clients: usize, interval: Duration, points: &[Point]) -> Table {
    let title = format!(
        "{} clients, short polling each {}, as more happens: requests and CPU of the server",
        grouped(clients as u64),
        humantime::format_duration(interval)
    );
    let columns = [
        ("rate", "events/s"),
        ("short_formula", "N / interval"),
        ("short_requests", "short polls/s"),
        ("long_formula", "N × rate"),
        ("long_requests", "long polls/s"),
        ("short_cpu", "short, CPU ms/s"),
        ("long_cpu", "long, CPU ms/s"),
    ];
    let mut table = Table::new(&title, &columns);
    for point in points {
        table.push(vec![
            point.rate.into(),
            (clients as f64 / interval.as_secs_f64()).into(),
            point.short[REQUESTS].median.into(),
            (clients as f64 * point.rate).into(),
            point.long[REQUESTS].median.into(),
            point.short[CPU].into(),
            point.long[CPU].into(),
        ]);
    }
    table
}

fn panel(title: &str, label: &str, points: &[Point], figure: usize) -> Panel {
    let line = |name: &str, of: fn(&Point) -> &[Spread; 2]| Line {
        name: name.to_owned(),
        points: points.iter().map(|point| (point.rate, of(point)[figure].median)).collect(),
    };
    Panel {
        title: title.to_owned(),
        x: Axis::logarithmic("events a second"),
        y: Axis::logarithmic(label),
        lines: vec![line("short polling", |point| &point.short), line("long polling", |point| &point.long)],
    }
}

/// The rate at which long polling begins to exceed short polling, on a straight line between the two rates that it
/// lies between (both axes logarithmic). `None` if it does not lie between any.
fn crossing(points: &[Point], figure: usize) -> Option<f64> {
    let ahead = |point: &Point| (point.long[figure].median / point.short[figure].median).ln();
    points.windows(2).find_map(|pair| {
        let [before, after] = [ahead(&pair[0]), ahead(&pair[1])];
        let share = -before / (after - before);
        let ratio = pair[1].rate / pair[0].rate;
        (before < 0.0 && after >= 0.0).then(|| pair[0].rate * ratio.powf(share))
    })
}

/// By requests it is as the formula says, within a factor of two: a last poll is asked or not before all is over.
/// (By CPU it depends on what a poll costs.)
fn judge(points: &[Point], by_requests: Option<f64>, theory: f64) -> Result<String, String> {
    match by_requests {
        Some(rate) if (0.5..=2.0).contains(&(rate / theory)) => {
            Ok("Short polling asks for less than long polling as soon as more than one event falls into its interval.".into())
        }
        _ => {
            let [first, last] = [points.first(), points.last()].map(|point| {
                point.map_or(0.0, |point| point.long[REQUESTS].median / point.short[REQUESTS].median)
            });
            Err(format!(
                "long polling asks {} times as often as short polling at the lowest rate and {} times at the highest, \
                 and should come past it at {} events/s",
                readable(first),
                readable(last),
                readable(theory)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(long: [f64; 3]) -> Vec<Point> {
        let spreads = |value: f64| [Spread::of(&[value]); 2];
        let point = |(rate, long)| Point { rate, short: spreads(100.0), long: spreads(long) };
        [1.0, 2.0, 8.0].into_iter().zip(long).map(point).collect()
    }

    #[test]
    fn a_crossing_lies_between_two_rates() {
        assert_eq!(crossing(&points([25.0, 50.0, 200.0]), REQUESTS).map(f64::round), Some(4.0));
        assert_eq!(crossing(&points([25.0, 100.0, 200.0]), CPU).map(f64::round), Some(2.0));
        assert_eq!(crossing(&points([25.0, 50.0, 99.0]), CPU), None);
        assert_eq!(crossing(&points([125.0, 150.0, 199.0]), CPU), None);
    }

    #[test]
    fn the_formula_is_held_against_what_was_counted() {
        let finding = |long| finding(50, Duration::from_millis(250), &points(long));
        assert!(finding([25.0, 50.0, 200.0]).verdict.is_ok());
        assert!(finding([25.0, 100.0, 200.0]).verdict.is_ok());
        let wrong = finding([25.0, 50.0, 99.0]);
        assert!(wrong.verdict.unwrap_err().contains("0.250 times as often"), "below the theory");
        assert!(wrong.notes[0].contains("and nowhere between these rates by CPU"), "{}", wrong.notes[0]);
    }
}
