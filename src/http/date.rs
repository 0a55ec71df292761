//! The `Date` of an answer (RFC 9110 §6.6.1), written once a second.

use std::time::{Duration, UNIX_EPOCH};

/// An IMF-fixdate, kept until the second is over.
#[derive(Debug)]
pub struct DateCache {
    second: u64,
    text: String,
}

impl Default for DateCache {
    fn default() -> DateCache {
        DateCache { second: u64::MAX, text: String::new() }
    }
}

impl DateCache {
    /// `Sun, 06 Nov 1994 08:49:37 GMT` for a time in milliseconds since 1970.
    pub fn at(&mut self, wall: u64) -> &str {
        // OK because the clamp is the year 9999, the last that httpdate can write.
        let second = (wall / 1000).min(253_402_300_799);
        if second != self.second {
            self.second = second;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_the_second() {
        let mut cache = DateCache::default();
        assert_eq!(cache.at(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.at(784_111_778_000), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(cache.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.at(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
