//! What a crowd has heard, and when.

use std::time::Duration;

/// What a crowd has heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// For each event that a client heard: its number, and the microseconds since it was published.
    arrivals: Vec<(u64, f32)>,
    /// How many polls were answered.
    pub answers: u64,
    /// How long it all took, in seconds.
    pub seconds: f64,
    /// The same microseconds, ascending.
    sorted: Vec<f32>,
}

impl Heard {
    pub(super) fn event(&mut self, number: u64, late: Duration) {
        self.arrivals.push((number, (late.as_nanos() as f64 / 1e3) as f32));
    }

    /// How often an event came to a client.
    pub fn count(&self) -> usize {
        self.arrivals.len()
    }

    pub(super) fn close(&mut self, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.sorted = self.arrivals.iter().map(|&(_, late)| late).collect();
        self.sorted.sort_by(f32::total_cmp);
    }

    /// Milliseconds from a publication to its arrival: so many of a hundred arrivals took no longer. 0 is the
    /// shortest, 100 the longest; 0 ms if nothing arrived.
    pub fn latency(&self, percent: f64) -> f64 {
        let rank = (self.sorted.len() as f64 * percent / 100.0).ceil() as usize;
        let late = self.sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0);
        f64::from(late) / 1e3
    }

    /// Milliseconds from the publication of each event to its first arrival, in the order of the events.
    pub fn first_arrivals(&self) -> Vec<f64> {
        let mut first: Vec<(u64, f32)> = self.arrivals.clone();
        first.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        first.dedup_by_key(|arrival| arrival.0);
        first.iter().map(|&(_, late)| f64::from(late) / 1e3).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_ranked() {
        let mut heard = Heard::default();
        assert_eq!(heard.latency(50.0), 0.0);
        for millis in 1..=100 {
            heard.event(1 + millis / 51, Duration::from_millis(101 - millis));
        }
        heard.close(Duration::from_secs(2));
        assert_eq!((heard.latency(50.0), heard.latency(99.0), heard.latency(100.0)), (50.0, 99.0, 100.0));
        assert_eq!((heard.latency(0.0), heard.seconds, heard.count()), (1.0, 2.0, 100));
        assert_eq!(heard.first_arrivals(), [51.0, 1.0]);
    }
}
