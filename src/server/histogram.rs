//! A histogram in the form that Prometheus reads.

use std::fmt::Write;

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 10] = [0.00001, 0.0001, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Counts of seconds, by bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Counts one value, in seconds.
    pub(super) fn observe(&mut self, seconds: f64) {
        self.count += 1;
        self.sum += seconds;
        if let Some(bucket) = BOUNDS.iter().position(|&bound| seconds <= bound) {
            self.buckets[bucket] += 1;
        }
    }

    /// Appends its lines: a count for each bound, of all that is not above it.
    pub(super) fn write(&self, out: &mut String, name: &str) {
        let mut so_far = 0;
        for (bound, count) in BOUNDS.iter().zip(self.buckets) {
            so_far += count;
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {so_far}");
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {}", self.sum, self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_everything_below_them() {
        let mut histogram = Histogram::default();
        [0.001, 0.0015, 0.3, 7.0].into_iter().for_each(|value| histogram.observe(value));
        let mut out = String::new();
        histogram.write(&mut out, "x");
        for line in [
            "x_bucket{le=\"0.0001\"} 0",
            "x_bucket{le=\"0.001\"} 1",
            "x_bucket{le=\"0.1\"} 2",
            "x_bucket{le=\"1\"} 3",
            "x_bucket{le=\"+Inf\"} 4",
            "x_count 4",
        ] {
            assert!(out.lines().any(|got| got == line), "{line} in {out}");
        }
    }
}
