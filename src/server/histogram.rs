//! A histogram in the form that Prometheus reads.

use std::fmt::Write;

/// Upper bounds of the buckets: nanoseconds, and how Prometheus reads them, in seconds.
const BOUNDS: [(u64, &str); 10] = [
    (10_000, "0.00001"),
    (100_000, "0.0001"),
    (1_000_000, "0.001"),
    (2_000_000, "0.002"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
];

/// Counts of times, by bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Histogram {
    buckets: [u64; BOUNDS.len()],
    /// How many were above all bounds.
    above: u64,
    /// In nanoseconds.
    sum: u64,
}

impl Histogram {
    /// Counts one value, in nanoseconds.
    #[inline]
    pub(super) fn observe(&mut self, nanos: u64) {
        self.sum += nanos;
        match BOUNDS.iter().position(|&(bound, _)| nanos <= bound) {
            Some(bucket) => self.buckets[bucket] += 1,
            None => self.above += 1,
        }
    }

    /// Appends its lines: a count for each bound, of all that is not above it.
    pub(super) fn write(&self, out: &mut String, name: &str) {
        let mut so_far = 0;
        for ((_, bound), count) in BOUNDS.iter().zip(self.buckets) {
            so_far += count;
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {so_far}");
        }
        let count = so_far + self.above;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {count}", self.sum as f64 / 1e9);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_everything_below_them() {
        let mut histogram = Histogram::default();
        [1_000_000, 1_500_000, 300_000_000, 7_000_000_000]
            .into_iter()
            .for_each(|value| histogram.observe(value));
        let mut out = String::new();
        histogram.write(&mut out, "x");
        for line in [
            "x_bucket{le=\"0.0001\"} 0",
            "x_bucket{le=\"0.001\"} 1",
            "x_bucket{le=\"0.1\"} 2",
            "x_bucket{le=\"1\"} 3",
            "x_bucket{le=\"+Inf\"} 4",
            "x_sum 7.3025",
            "x_count 4",
        ] {
            assert!(out.lines().any(|got| got == line), "{line} in {out}");
        }
    }
}
