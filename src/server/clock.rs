//! Both clocks, read as seldom as possible.

use crate::sys::{self, Moment};
use crate::tick::{Now, Tick};

/// For how many milliseconds the wall clock is taken to go like the other one. Whoever sets it is noticed
/// after that.
const TRUST: u64 = 1000;

/// What time it is.
#[derive(Debug)]
pub(super) struct Clock {
    started: Moment,
    /// What the wall clock said at tick 0, as of the last comparison.
    wall_at_start: u64,
    compared: Tick,
}

impl Clock {
    /// Time begins.
    pub(super) fn start() -> Clock {
        Clock { started: sys::moment(), wall_at_start: sys::wall_millis(), compared: Tick(0) }
    }

    /// Which tick a reading of CLOCK_MONOTONIC belongs to.
    #[inline]
    pub(super) fn tick(&self, moment: Moment) -> Tick {
        Tick(moment.nanos_since(self.started) / 1_000_000)
    }

    /// Both clocks. The wall clock is read once a second, and goes with the other in between.
    #[inline]
    pub(super) fn now(&mut self, moment: Moment) -> Now {
        let tick = self.tick(moment);
        if tick.since(self.compared) >= TRUST {
            self.compare(tick);
        }
        Now { tick, wall: self.wall_at_start + tick.0 }
    }

    #[cold]
    fn compare(&mut self, tick: Tick) {
        self.wall_at_start = sys::wall_millis().saturating_sub(tick.0);
        self.compared = tick;
    }
}
