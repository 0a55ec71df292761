//! The time of the last event is no cursor: two events can have the same time.

use super::Exhibit;
use super::show::{Show, at_least, exactly};
use crate::sys;
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "timestamps",
    about: "timestamps as cursors",
    file: "src/exhibit/timestamps.rs",
    mistake: "A client says when its last event was, and gets what is newer; or what is not older.",
    cure: "A client says the number of its last event, and gets what comes after it.",
    why: "In a clock of milliseconds a burst has one time. \"Newer\" then loses all of it but the first; \"not older\"
          repeats the last event with every poll. A finer clock makes the loss rarer, and so harder to find; and
          when the clock is set back, \"newer\" hears nothing until it has caught up. A number that the server
          counts up has none of this; with the epoch in front it also tells a restart: src/channel/cursor.rs.",
    run,
};

const EVENTS: u64 = 1000;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let some = show.expect("mistake, newer: events lost, of 1,000", at_least(1_u64));
    let others = show.expect("mistake, newer: events lost, less those whose time was taken", exactly(0_u64));
    let not_older_repeats =
        show.expect("mistake, not older: events heard again, one a poll", at_least(EVENTS - 1));
    let not_older_loses = show.expect("mistake, not older: events lost", exactly(0_u64));
    let after_loses = show.expect("cure: events lost", exactly(0_u64));
    let after_repeats = show.expect("cure: events heard again", exactly(0_u64));

    let mut history = Vec::new();
    let [mut newer, mut not_older, mut after] =
        [Follower::default(), Follower::default(), Follower::default()];
    for number in 1..=EVENTS {
        history.push(Event { number, time: sys::wall_millis() });
        newer.poll(&history, |event, last| event.time > last.time); // The mistake.
        not_older.poll(&history, |event, last| event.time >= last.time); // The other mistake.
        after.poll(&history, |event, last| event.number > last.number); // The cure.
    }

    let too_soon = too_soon(&history);
    show.measured(some, newer.lost());
    show.measured(others, newer.lost().abs_diff(too_soon));
    show.measured(not_older_repeats, not_older.repeated);
    show.measured(not_older_loses, not_older.lost());
    show.measured(after_loses, after.lost());
    show.measured(after_repeats, after.repeated);
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Event {
    number: u64,
    /// In milliseconds since 1970.
    time: u64,
}

/// A client that polls after each event.
#[derive(Default)]
struct Follower {
    last: Event,
    heard: u64,
    repeated: u64,
}

impl Follower {
    fn poll(&mut self, history: &[Event], wants: impl Fn(&Event, &Event) -> bool) {
        let cursor = self.last;
        for event in history.iter().filter(|event| wants(event, &cursor)) {
            if event.number > self.last.number {
                self.heard += 1;
                self.last = *event;
            } else {
                self.repeated += 1;
            }
        }
    }

    fn lost(&self) -> u64 {
        EVENTS - self.heard
    }
}

/// How many events are not newer than all that came before them. (A clock may also have been set back.)
fn too_soon(history: &[Event]) -> u64 {
    let mut newest = 0;
    let mut count = 0;
    for event in history {
        count += u64::from(event.time <= newest);
        newest = newest.max(event.time);
    }
    count
}
