//! How often an event has to cross the distance between server and client before it is heard: once; but three times
//! when it comes right after another one, and the next long poll has yet to be asked (RFC 6202 §2.2: the answer on
//! its way, the next request, the next answer).

use super::super::Effort;
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Cell, Table};
use super::Finding;
use super::stage::{Score, Stage, Technique};
use crate::relay::Relay;
use std::time::Duration;

/// One way.
const DELAY: Duration = Duration::from_millis(100);
/// From the first event to the one right after it: long enough not to share an answer with it.
const RIGHT_AFTER: Duration = Duration::from_millis(20);
const TECHNIQUES: [Technique; 4] =
    [Technique::LongPoll, Technique::Stream, Technique::Sse, Technique::WebSocket];
/// How many transits the first event and the second one take.
const EXPECTED: [[f64; 2]; 4] = [[1.0, 3.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]];

pub(super) fn find(stage: &mut Stage, effort: &Effort) -> Result<Finding, String> {
    let relay = Relay::start(stage.server.address, DELAY)?;
    // One that is disturbed must not decide: they take no time to speak of.
    let rounds = effort.rounds_or(5).max(3);
    let figures = in_turn("techniques (4 of 4)", rounds, TECHNIQUES.len(), |contender| {
        let technique = TECHNIQUES[contender];
        let told = |error| format!("{} through the relay: {error}", technique.name());
        let mut crowd = stage.gather(relay.address, technique, 1).map_err(told)?;
        let score = Score { events: 2, gap: RIGHT_AFTER };
        let heard = crowd.play(score.events, score.gap).map_err(told)?;
        match heard.first_arrivals()[..] {
            [first, second] => Ok([first, second]),
            _ => Err(told("the client did not hear two events".to_owned())),
        }
    })?;
    Ok(Finding {
        table: table(&figures),
        notes: vec![
            "A transit is one way through a relay that holds everything back for 100 ms. The second event is published \
             20 ms after the first, which makes up for as much of its delay."
                .to_owned(),
        ],
        panels: Vec::new(),
        verdict: judge(&figures),
    })
}

fn transits(late: Spread) -> f64 {
    (late.median / (DELAY.as_secs_f64() * 1e3)).round()
}

fn table(figures: &[[Spread; 2]]) -> Table {
    let columns = [
        ("technique", "technique"),
        ("first", "late, ms"),
        ("first_transits", "transits"),
        ("second", "right after another, ms"),
        ("second_transits", "transits"),
    ];
    let mut table =
        Table::new("Over a distance of 100 ms each way: one event, and one right after it", &columns);
    for (technique, &[first, second]) in TECHNIQUES.iter().zip(figures) {
        let count = |late| Cell::Count(transits(late) as u64);
        table.push(vec![technique.name().into(), first.into(), count(first), second.into(), count(second)]);
    }
    table
}

fn judge(figures: &[[Spread; 2]]) -> Result<String, String> {
    for ((technique, late), expected) in TECHNIQUES.iter().zip(figures).zip(EXPECTED) {
        let counted = late.map(transits);
        if counted != expected {
            return Err(format!(
                "{}: {} and {} transits instead of {} and {}",
                technique.name(),
                counted[0],
                counted[1],
                expected[0],
                expected[1]
            ));
        }
    }
    Ok("An event is one transit away; right after another one it is three by long polling, and one by what stays \
        open."
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transits_are_counted_in_whole_numbers() {
        let late = |millis: f64| Spread::of(&[millis]);
        let mut figures = [[late(100.4), late(101.0)]; 4];
        figures[0][1] = late(296.3);
        assert!(judge(&figures).is_ok());
        figures[2][1] = late(260.0);
        assert_eq!(judge(&figures).unwrap_err(), "sse: 1 and 3 transits instead of 1 and 1");
    }
}
