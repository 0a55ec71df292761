//! The clocks. On Linux a reading is no system call: the vDSO answers in user space (vdso(7)).

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A reading of CLOCK_MONOTONIC, fine enough for microseconds.
pub type Moment = Instant;

/// Reads CLOCK_MONOTONIC.
pub fn moment() -> Moment {
    Instant::now()
}

/// Reads CLOCK_REALTIME: milliseconds since 1970, 0 for a clock set before that.
pub fn wall_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_millis() as u64)
}
