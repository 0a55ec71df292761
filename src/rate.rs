//! A token bucket for each address: who publishes faster than it refills is told to wait.
//!
//! A bucket holds one second's worth of tokens, and at least one. A full bucket says nothing that a
//! missing one does not, so full ones are thrown out when there are many.

use crate::tick::Tick;
use std::collections::HashMap;
use std::net::IpAddr;

/// How many buckets there may be before the full ones are thrown out.
const MANY: usize = 1024;

/// The buckets.
#[derive(Debug)]
pub struct RateLimit {
    /// Tokens for each millisecond, in millionths.
    refill: u64,
    /// How much a bucket holds, in millionths of a token.
    full: u64,
    buckets: HashMap<IpAddr, Bucket>,
    /// How many buckets make it worth the while to look for full ones.
    clean_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Millionths of a token.
    tokens: u64,
    filled: Tick,
}

const TOKEN: u64 = 1_000_000;

impl RateLimit {
    /// So many a second, which is not 0.
    pub fn new(per_second: u32) -> RateLimit {
        let refill = u64::from(per_second) * TOKEN / 1000;
        RateLimit { refill, full: u64::from(per_second) * TOKEN, buckets: HashMap::new(), clean_at: MANY }
    }

    /// Takes a token from the bucket of this address, if there is one. There will be one within a second.
    pub fn take(&mut self, who: IpAddr, now: Tick) -> bool {
        self.clean(now);
        let (refill, full) = (self.refill, self.full);
        let bucket = self.buckets.entry(who).or_insert(Bucket { tokens: full, filled: now });
        let level = bucket.level(refill, full, now);
        let enough = level >= TOKEN;
        *bucket = Bucket { tokens: if enough { level - TOKEN } else { level }, filled: now };
        enough
    }

    /// How many addresses are remembered.
    pub fn remembered(&self) -> usize {
        self.buckets.len()
    }

    /// Throws out full buckets when there are twice as many as were left the last time.
    fn clean(&mut self, now: Tick) {
        if self.buckets.len() < self.clean_at {
            return;
        }
        let (refill, full) = (self.refill, self.full);
        self.buckets.retain(|_, bucket| bucket.level(refill, full, now) < full);
        self.clean_at = MANY.max(self.buckets.len() * 2);
    }
}

impl Bucket {
    fn level(&self, refill: u64, full: u64, now: Tick) -> u64 {
        self.tokens.saturating_add(now.since(self.filled).saturating_mul(refill)).min(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const WHO: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_burst_of_one_second_is_allowed_and_then_one_at_a_time() {
        let mut limit = RateLimit::new(10);
        let allowed = (0..20).filter(|_| limit.take(WHO, Tick(0))).count();
        assert_eq!(allowed, 10);
        assert!(!limit.take(WHO, Tick(99)));
        assert!(limit.take(WHO, Tick(100)));
        assert!(!limit.take(WHO, Tick(100)));
    }

    #[test]
    fn over_a_long_time_the_rate_is_kept() {
        let mut limit = RateLimit::new(7);
        let allowed = (0..60_000).filter(|&at| limit.take(WHO, Tick(at))).count();
        assert_eq!(allowed, 7 * 60 + 6, "the burst, and what came in since");
    }

    #[test]
    fn addresses_do_not_share_a_bucket_and_are_forgotten_when_they_are_full() {
        let mut limit = RateLimit::new(1);
        for number in 0..100_000u32 {
            let who = IpAddr::V4(Ipv4Addr::from(number));
            assert!(limit.take(who, Tick(u64::from(number))));
        }
        assert!(limit.remembered() <= 2 * MANY, "{}", limit.remembered());
    }
}
