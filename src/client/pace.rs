//! So many a second, evenly.

use crate::tick::Tick;

/// Who was held up may catch up with this much, in microseconds; what lies further back is forgotten, so that
/// a rest is not followed by a burst.
const CATCH_UP: u64 = 100_000;

/// When the next one is due. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    gap: u64,
    next: u64,
}

impl Pace {
    /// So many a second, of which there is one at least, from `now` on.
    pub fn new(per_second: u32, now: u64) -> Pace {
        Pace { gap: 1_000_000 / u64::from(per_second.max(1)), next: now }
    }

    /// Whether one is due.
    pub fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// One was done.
    pub fn step(&mut self, now: u64) {
        self.next = self.next.max(now.saturating_sub(CATCH_UP)) + self.gap;
    }

    /// The tick in which the next one is due.
    pub fn next(&self) -> Tick {
        Tick(self.next.div_ceil(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are done in the second from `from` on, looking every millisecond.
    fn in_a_second(pace: &mut Pace, from: u64) -> usize {
        let mut count = 0;
        for now in (from..from + 1_000_000).step_by(1000) {
            while pace.is_due(now) {
                pace.step(now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn the_rate_is_kept_also_where_it_is_finer_than_a_tick() {
        for rate in [1, 7, 1000, 5000] {
            let mut pace = Pace::new(rate, 0);
            let count = in_a_second(&mut pace, 0);
            assert!(count.abs_diff(rate as usize) <= rate as usize / 500 + 1, "{rate}: {count}");
        }
    }

    #[test]
    fn a_rest_is_not_followed_by_a_burst() {
        let mut pace = Pace::new(100, 0);
        assert!(in_a_second(&mut pace, 60_000_000) <= 112);
    }
}
