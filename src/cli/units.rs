//! Durations, sizes and rates with their units.

use std::time::Duration;

/// A time of a millisecond or more, such as `30s` or `500ms`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    match span_or_zero(text)? {
        span if span < Duration::from_millis(1) => Err("it must be at least 1ms".into()),
        span => Ok(span),
    }
}

/// A time, such as `30s`, `500ms` or `0`.
pub(super) fn span_or_zero(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a time with its unit, such as 30s or 500ms".into())
}

/// A number of bytes, such as `16KiB`, `1MiB` or `4096`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let unit = UNITS.iter().find_map(|&(name, bytes)| Some((text.strip_suffix(name)?, bytes)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    let count: Option<usize> = digits.trim_end().parse().ok();
    count
        .and_then(|count| count.checked_mul(unit))
        .ok_or_else(|| "write a number of bytes, such as 4096, 16KiB or 1MiB".into())
}

/// So many a second, such as `10/s`.
pub(super) fn rate(text: &str) -> Result<u32, String> {
    let count = text.strip_suffix("/s").and_then(|digits| digits.parse().ok()).filter(|&count| count > 0);
    count.ok_or_else(|| "write so many a second, such as 10/s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_units() {
        assert_eq!(size("16KiB"), Ok(16 * 1024));
        assert_eq!(size("1 MiB"), Ok(1 << 20));
        assert_eq!(size("2kB"), Ok(2000));
        assert_eq!(size("7B"), Ok(7));
        assert_eq!(size("0"), Ok(0));
        for text in ["", "KiB", "-1", "1.5MiB", "1XB", "99999999999999999999", "99999999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_by_the_second() {
        assert_eq!(rate("10/s"), Ok(10));
        for text in ["", "10", "0/s", "-1/s", "1/m", "/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_carry_units() {
        assert_eq!(span("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(span("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(span_or_zero("0"), Ok(Duration::ZERO));
        for text in ["", "30", "s", "-1s", "0s", "0", "10us"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
