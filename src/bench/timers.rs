//! Three ways to keep timers, behind one trait: our wheel, and what one would take from the standard library.

use crate::tick::Tick;
use crate::wheel::Wheel;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Timers, each known by a small number. Deadlines are in milliseconds.
pub trait Timers: Default {
    /// Arms one, wherever it was before.
    fn arm(&mut self, key: u32, deadline: u64);
    /// Disarms one, if it is armed.
    fn cancel(&mut self, key: u32);
    /// When to wake: not later than the earliest deadline.
    fn next(&mut self) -> Option<u64>;
    /// Appends those whose deadline is at or before `now`, disarmed.
    fn expire(&mut self, now: u64, due: &mut Vec<u32>);
}

impl Timers for Wheel {
    fn arm(&mut self, key: u32, deadline: u64) {
        Wheel::arm(self, key, Tick(deadline));
    }

    fn cancel(&mut self, key: u32) {
        Wheel::cancel(self, key);
    }

    fn next(&mut self) -> Option<u64> {
        Wheel::next(self).map(|tick| tick.0)
    }

    fn expire(&mut self, now: u64, due: &mut Vec<u32>) {
        Wheel::expire(self, Tick(now), due);
    }
}

/// A heap in which a cancelled timer stays until it comes to the top, or until such are more than half of it:
/// then they are swept out at once. (Without that, arming and cancelling would fill the memory.)
#[derive(Default)]
pub struct LazyHeap {
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// For each key which of its arrivals on the heap is the valid one, if it is armed.
    valid: Vec<Option<u32>>,
    arrivals: u32,
    stale: usize,
}

/// Below this a heap is not worth sweeping.
const SWEEP_FROM: usize = 64;

impl LazyHeap {
    fn sweep(&mut self) {
        if self.stale <= SWEEP_FROM.max(self.heap.len() / 2) {
            return;
        }
        let valid = &self.valid;
        self.heap.retain(|&Reverse((_, key, arrival))| valid[key as usize] == Some(arrival));
        self.stale = 0;
    }

    fn drop_stale_top(&mut self) {
        while let Some(&Reverse((_, key, arrival))) = self.heap.peek() {
            if self.valid[key as usize] == Some(arrival) {
                return;
            }
            self.heap.pop();
            self.stale -= 1;
        }
    }
}

impl Timers for LazyHeap {
    fn arm(&mut self, key: u32, deadline: u64) {
        self.cancel(key);
        if self.valid.len() <= key as usize {
            self.valid.resize(key as usize + 1, None);
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        self.valid[key as usize] = Some(self.arrivals);
        self.heap.push(Reverse((deadline, key, self.arrivals)));
    }

    fn cancel(&mut self, key: u32) {
        if self.valid.get_mut(key as usize).and_then(Option::take).is_some() {
            self.stale += 1;
            self.sweep();
        }
    }

    fn next(&mut self) -> Option<u64> {
        self.drop_stale_top();
        self.heap.peek().map(|&Reverse((deadline, ..))| deadline)
    }

    fn expire(&mut self, now: u64, due: &mut Vec<u32>) {
        while self.next().is_some_and(|deadline| deadline <= now) {
            if let Some(Reverse((_, key, _))) = self.heap.pop() {
                self.valid[key as usize] = None;
                due.push(key);
            }
        }
    }
}

/// A map in the order of deadlines, and beside it for each key its deadline, so that it can be found again.
#[derive(Default)]
pub struct OrderedMap {
    map: BTreeMap<(u64, u32), ()>,
    deadlines: Vec<Option<u64>>,
}

impl Timers for OrderedMap {
    fn arm(&mut self, key: u32, deadline: u64) {
        self.cancel(key);
        if self.deadlines.len() <= key as usize {
            self.deadlines.resize(key as usize + 1, None);
        }
        self.deadlines[key as usize] = Some(deadline);
        self.map.insert((deadline, key), ());
    }

    fn cancel(&mut self, key: u32) {
        if let Some(deadline) = self.deadlines.get_mut(key as usize).and_then(Option::take) {
            self.map.remove(&(deadline, key));
        }
    }

    fn next(&mut self) -> Option<u64> {
        self.map.first_key_value().map(|(&(deadline, _), ())| deadline)
    }

    fn expire(&mut self, now: u64, due: &mut Vec<u32>) {
        while let Some(entry) = self.map.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, key), ()) = entry.remove_entry();
            self.deadlines[key as usize] = None;
            due.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expired(timers: &mut impl Timers, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        timers.expire(now, &mut due);
        due.sort_unstable();
        due
    }

    proptest! {
        #[test]
        fn all_three_do_the_same(steps in prop::collection::vec((0..30u32, 0..500u64, 0..4u8), 1..400)) {
            let (mut wheel, mut heap, mut map) = (Wheel::new(), LazyHeap::default(), OrderedMap::default());
            let mut now = 0;
            for (key, span, what) in steps {
                match what {
                    0 => {
                        wheel.cancel(key);
                        heap.cancel(key);
                        map.cancel(key);
                    }
                    1 => now += span,
                    _ => {
                        Timers::arm(&mut wheel, key, now + span);
                        heap.arm(key, now + span);
                        map.arm(key, now + span);
                    }
                }
                let due = expired(&mut map, now);
                prop_assert_eq!(&expired(&mut wheel, now), &due);
                prop_assert_eq!(&expired(&mut heap, now), &due);
                prop_assert_eq!(heap.next(), map.next());
                prop_assert!(Timers::next(&mut wheel) <= map.next() || map.next().is_none());
            }
        }
    }

    #[test]
    fn cancelled_timers_do_not_fill_the_heap() {
        let mut heap = LazyHeap::default();
        for key in 0..1_000 {
            heap.arm(key, 10);
        }
        for _ in 0..100_000 {
            heap.arm(1_000, 20);
            heap.cancel(1_000);
        }
        assert!(heap.heap.len() <= 2 * 1_001 + SWEEP_FROM, "{}", heap.heap.len());
    }
}
