//! Time for a loop: one reading for each turn of it.

use crate::sys::{self, Moment};
use crate::tick::{Now, Tick};

/// Counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Moment,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { started: sys::moment() }
    }
}

impl Clock {
    /// One reading of both clocks.
    pub fn now(&self) -> Now {
        Now { tick: self.tick(), wall: sys::wall_millis() }
    }

    /// Whole milliseconds so far.
    pub fn tick(&self) -> Tick {
        Tick(self.started.elapsed().as_millis() as u64)
    }

    /// Microseconds so far.
    pub fn micros(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// How many milliseconds to sleep until `tick`; `None` for ever.
    pub fn until(&self, tick: Option<Tick>) -> Option<u64> {
        tick.map(|tick| tick.since(self.tick()))
    }
}
