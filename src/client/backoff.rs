//! How long to wait before trying again: exponential, with full jitter.
//!
//! Ten thousand clients that are cut off together must not come back together, nor go on knocking twice a
//! second. So the n-th pause in a row is any time below 1 s · 2ⁿ, and never more than half a minute.

use crate::random::Random;
use std::time::Duration;

const FIRST: u64 = 1_000;
const LONGEST: u64 = 30_000;
/// A server may ask for more (`Retry-After`, `retry:`), but not for ever.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The pause after so many `failures` before this one; at least what the server asked for.
pub fn pause(failures: u32, asked: Option<Duration>, random: &mut Random) -> Duration {
    let bound = FIRST.checked_shl(failures).filter(|&bound| bound >= FIRST).unwrap_or(LONGEST).min(LONGEST);
    let chance = Duration::from_millis(random.below(bound + 1));
    asked.map_or(chance, |asked| chance.max(asked.min(LONGEST_ASKED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_stay_bounded() {
        let mut random = Random::new(7);
        for (failures, bound) in
            [(0, 1_000), (1, 2_000), (4, 16_000), (5, 30_000), (63, 30_000), (999, 30_000)]
        {
            let pauses: Vec<u128> =
                (0..200).map(|_| pause(failures, None, &mut random).as_millis()).collect();
            let longest = *pauses.iter().max().unwrap();
            let shortest = *pauses.iter().min().unwrap();
            assert!(longest <= bound && longest > bound * 9 / 10, "{failures}: {longest}");
            assert!(shortest < bound / 10, "{failures}: {shortest}");
        }
    }

    #[test]
    fn what_the_server_asks_for_is_waited_for() {
        let mut random = Random::new(7);
        let asked = Some(Duration::from_secs(90));
        assert_eq!(pause(0, asked, &mut random), Duration::from_secs(90));
        assert_eq!(pause(0, Some(Duration::MAX), &mut random), LONGEST_ASKED);
    }
}
