//! A hierarchical timing wheel (Varghese & Lauck, 1987, scheme 7): arming and cancelling cost the
//! same with ten timers or a million.
//!
//! The rules of its interface:
//!
//! - A timer is known by a small number, its *key*; a key is armed at most once. Arming it again
//!   moves it.
//! - [`Wheel::expire`] hands out the keys whose deadline is at or before the time given: never
//!   early, and never later than the first call that is late enough.
//! - [`Wheel::next`] is the tick to wake at. It may be too early once a timer was cancelled (one
//!   wake-up for nothing), it is never too late. Nothing is ever woken merely to move timers from
//!   one level down to the next: a lone timer of thirty seconds costs one wake-up.
//!
//! ## A worked example
//!
//! | level | a slot is | the level spans |
//! | ----- | --------- | --------------- |
//! | 0 | 1 ms | 64 ms |
//! | 1 | 64 ms | 4.1 s |
//! | 2 | 4.1 s | 4.4 min |
//! | 3 | 4.4 min | 4.7 h |
//! | 4 | 4.7 h | 12.4 days |
//! | 5 | 12.4 days | 2.2 years |
//!
//! At tick 100 a poll is parked for 30,000 ms: deadline 30,100. Written in base 64 the present is
//! `0:1:36` and the deadline `7:22:20`. They first differ in the third digit, so the timer hangs on
//! level 2 in slot 7, and the slot notes 30,100 as its earliest deadline. `next()` answers 30,100
//! and the loop sleeps for 30,000 ms. Had the loop woken at tick 29,000 (`7:5:8`) for somebody
//! else, `expire` would have found slot 7 reached, and hung the timer lower: the first digit that
//! differs is now the second, so level 1, slot 22.
//!
//! Two timers on different levels compare by their level alone: the lower is the earlier. So
//! `next()` looks at one level, finds the first occupied slot in a 64-bit map, and reads its note.

use crate::tick::Tick;

const LEVELS: usize = 6;
const BITS: usize = 6;
const SLOTS: usize = 1 << BITS;
/// How far ahead the six levels reach; what lies further waits in the last slot and is hung again.
const REACH: u64 = 1 << (BITS * LEVELS);
/// No key: the end of a list. Keys are below it, so no node is found under it.
const NONE: u32 = u32::MAX;

/// One timer: 16 bytes, in a list threaded through the keys of its slot.
#[derive(Clone, Copy)]
struct Node {
    /// The deadline in the upper 48 bits (8,900 years of milliseconds), and in the lower 16 where
    /// the node hangs: level × 64 + slot, or `LOOSE`.
    packed: u64,
    previous: u32,
    next: u32,
}

const LOOSE: u16 = u16::MAX;

impl Node {
    const UNARMED: Node = Node::at(0, LOOSE);

    const fn at(deadline: u64, place: u16) -> Node {
        Node { packed: deadline << 16 | place as u64, previous: NONE, next: NONE }
    }

    fn deadline(self) -> u64 {
        self.packed >> 16
    }

    fn place(self) -> u16 {
        self.packed as u16
    }
}

/// A slot: the first key of its list, and a deadline that no key in it precedes (`u64::MAX` if it is empty).
#[derive(Clone, Copy)]
struct Slot {
    first: u32,
    earliest: u64,
}

/// The wheel. See the module's text for the rules.
pub struct Wheel {
    /// All deadlines before this tick have been handed out.
    elapsed: u64,
    /// For each level, a bit for each slot that holds a timer.
    occupied: [u64; LEVELS],
    slots: Box<[Slot; SLOTS * LEVELS]>,
    nodes: Vec<Node>,
    armed: usize,
    /// What [`Wheel::next`] answers; the last tick of all if nothing is armed.
    next: u64,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel::new()
    }
}

impl Wheel {
    /// An empty wheel at tick 0.
    pub fn new() -> Wheel {
        let empty = Slot { first: NONE, earliest: u64::MAX };
        Wheel {
            elapsed: 0,
            occupied: [0; LEVELS],
            slots: Box::new([empty; SLOTS * LEVELS]),
            nodes: Vec::new(),
            armed: 0,
            next: u64::MAX,
        }
    }

    /// How many timers are armed.
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// When `key` is due, if it is armed.
    pub fn deadline(&self, key: u32) -> Option<Tick> {
        let node = self.nodes.get(key as usize)?;
        (node.place() != LOOSE).then(|| Tick(node.deadline()))
    }

    /// Arms `key` for `deadline`, wherever it was before. A deadline that has passed is due at the
    /// next [`Wheel::expire`].
    pub fn arm(&mut self, key: u32, deadline: Tick) {
        if self.nodes.get(key as usize).is_none_or(|node| node.place() != LOOSE) {
            self.loosen(key);
        }
        self.armed += 1;
        self.hang(key, deadline.0.min((1 << 48) - 1));
    }

    /// Takes `key` from where it hangs, or makes room for it. (Apart, so that arming what is loose is short.)
    #[cold]
    fn loosen(&mut self, key: u32) {
        if self.nodes.len() <= key as usize {
            self.nodes.resize(key as usize + 1, Node::UNARMED);
        }
        self.cancel(key);
    }

    /// Disarms `key`; of no effect if it is not armed.
    pub fn cancel(&mut self, key: u32) {
        let Some(node) = self.nodes.get_mut(key as usize) else { return };
        // One by one, as they were written: what was written in pieces a moment ago and is read in one makes
        // the processor wait until it has left for the cache.
        let (place, previous, next) = (node.place(), node.previous, node.next);
        if place == LOOSE {
            return;
        }
        node.packed = LOOSE.into();
        self.armed -= 1;
        self.unlink(usize::from(place), previous, next);
    }

    /// The tick to wake at: the earliest deadline, or a little before it (see the module's text).
    #[inline]
    pub fn next(&self) -> Option<Tick> {
        (self.next != u64::MAX).then_some(Tick(self.next))
    }

    /// The earliest of the first occupied slot of the lowest level that has one.
    fn find_next(&self) -> u64 {
        let Some(level) = self.occupied.iter().position(|&slots| slots != 0) else { return u64::MAX };
        let slot = self.occupied[level].trailing_zeros() as usize;
        self.slots[level * SLOTS + slot].earliest
    }

    /// Moves time on to `now` and appends to `due` each key whose deadline has come, disarmed.
    /// Takes every slot that time has reached off its level: what is not due is hung again, lower.
    ///
    /// Nothing moves before the time that [`Wheel::next`] names: a wheel that is behind the clock is only
    /// coarser than it could be, and sorted when that time comes.
    #[inline]
    pub fn expire(&mut self, now: Tick, due: &mut Vec<u32>) {
        if self.next <= now.0 {
            self.move_on(now, due);
        }
    }

    fn move_on(&mut self, now: Tick, due: &mut Vec<u32>) {
        let before = self.elapsed;
        self.elapsed = now.0.max(before);
        for level in 0..LEVELS {
            let mut reached = self.occupied[level] & slots_reached(level, before, self.elapsed);
            while reached != 0 {
                let slot = reached.trailing_zeros() as usize;
                reached &= reached - 1;
                self.empty_slot(level, slot, due);
            }
        }
        self.next = self.find_next();
    }

    fn empty_slot(&mut self, level: usize, slot: usize, due: &mut Vec<u32>) {
        self.occupied[level] &= !(1 << slot);
        let slot = &mut self.slots[level * SLOTS + slot];
        slot.earliest = u64::MAX;
        let mut key = std::mem::replace(&mut slot.first, NONE);
        while key != NONE {
            let node = std::mem::replace(&mut self.nodes[key as usize], Node::UNARMED);
            if node.deadline() <= self.elapsed {
                self.armed -= 1;
                due.push(key);
            } else {
                self.hang(key, node.deadline());
            }
            key = node.next;
        }
    }

    /// Links an unarmed node into the slot where its deadline belongs as things stand.
    ///
    /// The first in a slot is its earliest. Most that follow are due after it, and nothing is noted of them: a
    /// branch that is nearly always foreseen is quicker than to write again what stands there already.
    fn hang(&mut self, key: u32, deadline: u64) {
        let place = self.place_of(deadline);
        let slot = &mut self.slots[place];
        let next = std::mem::replace(&mut slot.first, key);
        self.nodes[key as usize] = Node { next, ..Node::at(deadline, place as u16) };
        if let Some(neighbour) = self.nodes.get_mut(next as usize) {
            neighbour.previous = key;
        }
        if deadline < slot.earliest {
            slot.earliest = deadline;
            self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
            self.next = self.next.min(deadline);
        }
    }

    /// The level is that of the highest base-64 digit in which the deadline differs from now. It is counted: five
    /// comparisons are quicker than to look for the highest bit and to divide by [`BITS`], and the compiler sees
    /// that they lead to no place that is not there.
    fn place_of(&self, deadline: u64) -> usize {
        let ahead = deadline.clamp(self.elapsed, self.last_reachable());
        let differs = ahead ^ self.elapsed;
        // As many as there are digits from the second to the highest that differs.
        let level = (1..LEVELS).filter(|level| differs >> (level * BITS) != 0).count();
        level * SLOTS + (ahead >> (level * BITS)) as usize % SLOTS
    }

    /// The last tick whose digits above the top level are those of now.
    fn last_reachable(&self) -> u64 {
        self.elapsed | (REACH - 1)
    }

    fn unlink(&mut self, place: usize, previous: u32, next: u32) {
        if let Some(neighbour) = self.nodes.get_mut(next as usize) {
            neighbour.previous = previous;
        }
        if let Some(neighbour) = self.nodes.get_mut(previous as usize) {
            neighbour.next = next;
            return;
        }
        self.slots[place].first = next;
        if next == NONE {
            self.slots[place].earliest = u64::MAX;
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            self.next = self.find_next();
        }
    }
}

/// A bit for each slot of `level` that lies between two times, both ends included.
///
/// All bits when more than a turn of the level has passed. A slot never holds what lies a whole
/// turn ahead (that belongs one level up), so the end that was reached before holds nothing new on
/// the upper levels; on level 0 it holds what was armed for a time that had already come.
fn slots_reached(level: usize, before: u64, now: u64) -> u64 {
    let (from, to) = (before >> (level * BITS), now >> (level * BITS));
    if to - from >= SLOTS as u64 {
        return u64::MAX;
    }
    let count = (to - from + 1) as u32;
    let run = if count == 64 { u64::MAX } else { (1 << count) - 1 };
    u64::rotate_left(run, (from % SLOTS as u64) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn expired(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expire(Tick(now), &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn a_node_is_sixteen_bytes() {
        assert_eq!(size_of::<Node>(), 16);
    }

    #[test]
    fn a_lone_poll_of_thirty_seconds_costs_one_wake_up() {
        let mut wheel = Wheel::new();
        assert!(expired(&mut wheel, 100).is_empty());
        wheel.arm(7, Tick(30_100));
        let mut wakes = 0;
        loop {
            let next = wheel.next().expect("the poll is armed until it is due").0;
            wakes += 1;
            if expired(&mut wheel, next) == [7] {
                assert_eq!((next, wakes), (30_100, 1));
                return;
            }
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once() {
        let mut wheel = Wheel::new();
        expired(&mut wheel, 5_000);
        wheel.arm(1, Tick(10));
        assert!(wheel.next().unwrap() <= Tick(5_000));
        assert_eq!(expired(&mut wheel, 5_000), [1]);
    }

    #[test]
    fn a_deadline_beyond_the_top_level_waits_its_time() {
        let mut wheel = Wheel::new();
        let far = REACH * 3 + 17;
        wheel.arm(1, Tick(far));
        let mut now = 0;
        while wheel.armed() == 1 {
            now = wheel.next().unwrap().0.max(now + 1).min(far);
            let due = expired(&mut wheel, now);
            assert_eq!(due.is_empty(), now < far, "at {now}");
        }
        assert_eq!(now, far);
    }

    #[test]
    fn a_cancelled_timer_is_never_due() {
        let mut wheel = Wheel::new();
        wheel.arm(1, Tick(50));
        wheel.arm(2, Tick(50));
        wheel.cancel(1);
        wheel.cancel(1);
        assert_eq!(expired(&mut wheel, 1_000), [2]);
        assert_eq!(wheel.next(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u32, u64),
        Cancel(u32),
        Sleep(u64),
        SleepUntilNext,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Spans of every level, so that each is armed on, passed and cascaded from.
        let span = prop_oneof![0..70u64, 0..5_000u64, 0..300_000u64, 0..20_000_000u64, 0..(REACH * 2)];
        let step = prop_oneof![
            4 => (0..40u32, span.clone()).prop_map(|(key, ahead)| Step::Arm(key, ahead)),
            2 => (0..40u32).prop_map(Step::Cancel),
            2 => span.prop_map(Step::Sleep),
            3 => Just(Step::SleepUntilNext),
        ];
        prop::collection::vec(step, 1..200)
    }

    /// The oracle: an ordered map, in which everything is obvious.
    #[derive(Default)]
    struct Oracle(BTreeMap<u32, u64>);

    impl Oracle {
        fn expire(&mut self, now: u64) -> Vec<u32> {
            let due: Vec<u32> = self.0.iter().filter(|&(_, &at)| at <= now).map(|(&key, _)| key).collect();
            self.0.retain(|_, &mut at| at > now);
            due
        }
    }

    proptest! {
        #[test]
        fn the_wheel_agrees_with_an_ordered_map(steps in steps()) {
            let (mut wheel, mut oracle, mut now) = (Wheel::new(), Oracle::default(), 0u64);
            for step in steps {
                match step {
                    Step::Arm(key, ahead) => {
                        wheel.arm(key, Tick(now + ahead));
                        oracle.0.insert(key, now + ahead);
                    }
                    Step::Cancel(key) => {
                        wheel.cancel(key);
                        oracle.0.remove(&key);
                    }
                    Step::Sleep(span) => now += span,
                    Step::SleepUntilNext => now = wheel.next().map_or(now, |next| next.0.max(now)),
                }
                prop_assert_eq!(expired(&mut wheel, now), oracle.expire(now));
                prop_assert_eq!(wheel.armed(), oracle.0.len());
                let earliest = oracle.0.values().min().copied();
                prop_assert!(wheel.next().map(|next| next.0) <= earliest || earliest.is_none());
                prop_assert_eq!(wheel.next().is_none(), earliest.is_none());
                for (&key, &at) in &oracle.0 {
                    prop_assert_eq!(wheel.deadline(key), Some(Tick(at)));
                }
            }
        }
    }
}
