//! Measuring in rounds: everybody once to warm up, and then everybody in turn, several times over.
//!
//! In turn, because a machine is faster or slower for seconds at a time: what is measured side by side meets
//! the same weather.

use super::progress;
use crate::sys;
use serde_json::{Value, json};
use std::time::Duration;

/// What the rounds came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle (of an even number the mean of the two).
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Spread {
    /// Of one value for each round. Panics if there is none.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (rounds, middle) = (sorted.len(), sorted.len() / 2);
        let below = sorted[if rounds.is_multiple_of(2) { middle - 1 } else { middle }];
        let median = (below + sorted[middle]) / 2.0;
        Spread { median, lowest: sorted[0], highest: sorted[rounds - 1], rounds }
    }

    /// Of the inverse of each value.
    pub fn inverse(&self) -> Spread {
        let Spread { median, lowest, highest, rounds } = *self;
        Spread { median: 1.0 / median, lowest: 1.0 / highest, highest: 1.0 / lowest, rounds }
    }

    /// Of each value so many times as large.
    pub fn times(&self, factor: f64) -> Spread {
        let Spread { median, lowest, highest, rounds } = *self;
        Spread { median: median * factor, lowest: lowest * factor, highest: highest * factor, rounds }
    }

    /// As an object.
    pub fn json(&self) -> Value {
        json!({ "median": self.median, "lowest": self.lowest, "highest": self.highest, "rounds": self.rounds })
    }
}

/// Measures each of `contenders` once to warm up, which is not counted, and then `rounds` times in turn.
/// `measure` is told whom to measure, and may measure several things of it. In every round another one begins,
/// so that nobody is always second.
pub fn in_turn<const THINGS: usize>(
    bench: &str,
    rounds: usize,
    contenders: usize,
    mut measure: impl FnMut(usize) -> Result<[f64; THINGS], String>,
) -> Result<Vec<[Spread; THINGS]>, String> {
    let rounds = rounds.max(1);
    let mut measured = vec![Vec::new(); contenders];
    for round in 0..=rounds {
        progress(&match round {
            0 => format!("bench {bench}: warming up"),
            _ => format!("bench {bench}: round {round} of {rounds}"),
        });
        for place in 0..contenders {
            let contender = (place + round) % contenders;
            let things = measure(contender)?;
            if round > 0 {
                measured[contender].push(things);
            }
        }
    }
    let spread = |rounds: &Vec<[f64; THINGS]>, thing: usize| {
        Spread::of(&rounds.iter().map(|things| things[thing]).collect::<Vec<_>>())
    };
    Ok(measured.iter().map(|rounds| std::array::from_fn(|thing| spread(rounds, thing))).collect())
}

/// One thing of two contenders.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The one's.
    pub one: Spread,
    /// The other's.
    pub other: Spread,
    /// The one's to the other's, within each round: where the weather changes from round to round it is
    /// steadier than they are.
    pub ratio: Spread,
}

/// Measures two in turn, and compares them within each round. `measure` is told `false` for the one and `true`
/// for the other.
pub fn side_by_side<const THINGS: usize>(
    bench: &str,
    rounds: usize,
    mut measure: impl FnMut(bool) -> Result<[f64; THINGS], String>,
) -> Result<[Pair; THINGS], String> {
    let mut kept = [Vec::new(), Vec::new()];
    let spreads = in_turn(bench, rounds, 2, |contender| {
        let things = measure(contender == 1)?;
        kept[contender].push(things);
        Ok(things)
    })?;
    let rounds = || kept[0].iter().zip(&kept[1]).skip(1);
    Ok(std::array::from_fn(|thing| {
        let ratios: Vec<f64> = rounds().map(|(one, other)| one[thing] / other[thing]).collect();
        Pair { one: spreads[0][thing], other: spreads[1][thing], ratio: Spread::of(&ratios) }
    }))
}

/// Seconds that `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = sys::moment();
    work();
    start.elapsed().as_secs_f64()
}

/// Seconds for one of so many repetitions of `work` as fit into `span`, at least one and at most a million.
/// The first is not counted: it says how many fit.
pub fn seconds_each(span: Duration, mut work: impl FnMut()) -> f64 {
    let once = seconds(&mut work);
    let count = (span.as_secs_f64() / once.max(1e-9)).clamp(1.0, 1e6) as usize;
    let all = seconds(|| (0..count).for_each(|_| work()));
    all / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 9.0, 1.0]).median, 3.0);
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
        let one = Spread::of(&[7.0]);
        assert_eq!((one.median, one.lowest, one.highest, one.rounds), (7.0, 7.0, 7.0, 1));
    }

    #[test]
    fn rounds_are_interleaved_and_the_first_is_not_counted() {
        let mut order = Vec::new();
        let spreads = in_turn("test", 2, 3, |contender| {
            order.push(contender);
            Ok([order.len() as f64, contender as f64])
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        let spreads = spreads.unwrap();
        let [first, second] = spreads[0];
        assert_eq!((first.lowest, first.highest, first.rounds), (6.0, 8.0, 2));
        assert_eq!((second.lowest, second.highest), (0.0, 0.0));
        assert_eq!(in_turn::<1>("test", 1, 1, |_| Err("no".into())), Err("no".to_owned()));
    }

    #[test]
    fn two_are_compared_within_each_round() {
        // Each round is twice as slow as the one before.
        let mut calls = 0;
        let pairs = side_by_side("test", 3, |is_other| {
            calls += 1;
            let weather = f64::from(1 << ((calls - 1) / 2));
            Ok([weather * if is_other { 4.0 } else { 1.0 }])
        });
        let [pair] = pairs.unwrap();
        assert_eq!((pair.one.lowest, pair.one.highest), (2.0, 8.0));
        assert_eq!((pair.ratio.lowest, pair.ratio.highest, pair.ratio.rounds), (0.25, 0.25, 3));
        assert_eq!(pair.one.inverse(), Spread { median: 0.25, lowest: 0.125, highest: 0.5, rounds: 3 });
    }

    #[test]
    fn work_is_done_at_least_twice() {
        let mut count = 0;
        seconds_each(Duration::ZERO, || count += 1);
        assert_eq!(count, 2);
    }
}
