//! Time, as an argument.
//!
//! Nothing below the loop reads a clock. The loop reads it once on waking and hands the reading
//! down as [`Now`]; a test hands down whatever time it likes.
//!
//! A tick is one whole millisecond since the server started. "Early" and "late" are counted in
//! ticks: something armed at tick 100 for 30,000 ms falls due at tick 30,100 and not before.

use std::ops::Add;
use std::time::Duration;

/// Whole milliseconds since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Milliseconds from `earlier` to here; 0 if `earlier` is later.
    pub fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    /// Parts of a millisecond count as a whole one, so that nothing is ever early.
    #[inline]
    fn add(self, span: Duration) -> Tick {
        // In 64 bits: `as_nanos` has 128, and the processor cannot divide those at once.
        let part = span.subsec_nanos().div_ceil(1_000_000);
        let millis = span.as_secs().saturating_mul(1000).saturating_add(part.into());
        Tick(self.0.saturating_add(millis))
    }
}

/// One reading of both clocks, taken when the loop wakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_MONOTONIC`, for every deadline.
    pub tick: Tick,
    /// `CLOCK_REALTIME` in milliseconds since 1970, for `Date` and an event's `time`.
    pub wall: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_is_rounded_up() {
        assert_eq!(Tick(5) + Duration::from_micros(1), Tick(6));
        assert_eq!(Tick(5) + Duration::from_millis(3), Tick(8));
        assert_eq!(Tick(5) + Duration::MAX, Tick(u64::MAX));
    }
}
