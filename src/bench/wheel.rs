//! `doorbell bench wheel`: what a timer costs, on our wheel and on what one would take instead.
//!
//! In order: as a server arms them that parks polls one after another for the same time, and as they leave
//! again. In random order: deadlines and cancellations as by dice. The wheel does the same work then, but
//! each step touches memory that is in no cache.

use super::plot::{Axis, Line, Panel, Plot};
use super::report::Report;
use super::rounds::{Spread, in_turn, seconds};
use super::table::{Cell, Table, readable};
use super::timers::{LazyHeap, OrderedMap, Timers};
use super::{Effort, progress};
use crate::digits::grouped;
use crate::random::Random;
use crate::wheel::Wheel;
use std::hint::black_box;

/// How many are armed.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// From left to right; keys of the JSON.
const STRUCTURES: [(&str, &str); 3] = [("wheel", "wheel"), ("heap", "BinaryHeap"), ("map", "BTreeMap")];
/// What is timed, in the order in which [`sample`] returns it.
const WORKS: [&str; 4] = ["arm", "cancel", "advance", "one among them"];
/// For how long a poll is parked, in milliseconds; as long as this others come.
const HOLD: u64 = 30_000;

/// The most that arming one and cancelling it may differ from 1,000 to 1,000,000.
const FLAT: f64 = 1.3;

/// Times all.
pub fn run(effort: &Effort) -> Result<Report, String> {
    let sizes = if effort.quick { &SIZES[..2] } else { &SIZES[..] };
    progress("bench wheel: rolling the dice");
    let plans: Vec<Plan> = [Order::Arrival, Order::Random]
        .into_iter()
        .flat_map(|order| sizes.iter().map(move |&size| Plan::new(size, order)))
        .collect();
    let operations = if effort.quick { 10_000 } else { 200_000 };
    let times = in_turn("wheel", effort.rounds_or(5), plans.len() * STRUCTURES.len(), |contender| {
        let plan = &plans[contender / STRUCTURES.len()];
        Ok(match contender % STRUCTURES.len() {
            0 => sample::<Wheel>(plan, operations),
            1 => sample::<LazyHeap>(plan, operations),
            _ => sample::<OrderedMap>(plan, operations),
        })
    })?;
    let found = plans.iter().zip(times.chunks_exact(STRUCTURES.len())).map(|(plan, times)| Found {
        order: plan.order,
        size: plan.size(),
        nanoseconds: times.to_vec(),
    });
    Ok(report(&found.collect::<Vec<_>>(), effort.quick))
}

/// In which order deadlines are given and taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Arrival,
    Random,
}

impl Order {
    fn title(self) -> &'static str {
        match self {
            Order::Arrival => "in order of arrival",
            Order::Random => "in random order",
        }
    }
}

/// Who is armed for when, and who is cancelled when.
struct Plan {
    order: Order,
    /// For each key its deadline, in milliseconds from the beginning.
    deadlines: Vec<u64>,
    /// Each key once.
    cancellations: Vec<u32>,
}

impl Plan {
    /// The first is due after the hold, the last after as much again.
    fn new(size: usize, order: Order) -> Plan {
        let mut deadlines: Vec<u64> = (0..size as u64).map(|key| HOLD + key * HOLD / size as u64).collect();
        let mut cancellations: Vec<u32> = (0..size as u32).collect();
        if order == Order::Random {
            // The same dice in each run.
            let mut dice = Random::new(size as u64);
            shuffle(&mut deadlines, &mut dice);
            shuffle(&mut cancellations, &mut dice);
        }
        Plan { order, deadlines, cancellations }
    }

    fn size(&self) -> usize {
        self.deadlines.len()
    }

    fn arm_all(&self, timers: &mut impl Timers, now: u64) {
        for (key, deadline) in self.deadlines.iter().enumerate() {
            timers.arm(key as u32, now + deadline);
        }
    }

    fn cancel_all(&self, timers: &mut impl Timers) {
        self.cancellations.iter().for_each(|&key| timers.cancel(key));
    }

    /// Arms one and cancels it, again and again, while all others stay armed: the same one, or in random
    /// order any one to any place.
    fn move_one(&self, timers: &mut impl Timers, now: u64, times: usize) {
        match self.order {
            Order::Arrival => {
                let newcomer = self.size() as u32;
                for _ in 0..times {
                    timers.arm(black_box(newcomer), now + 2 * HOLD);
                    timers.cancel(black_box(newcomer));
                }
            }
            Order::Random => {
                let picks = self.cancellations.iter().zip(&self.deadlines).cycle().take(times);
                for (&key, deadline) in picks {
                    timers.cancel(key);
                    timers.arm(key, now + deadline);
                }
            }
        }
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], dice: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, dice.below(last as u64 + 1) as usize);
    }
}

/// Nanoseconds for one timer of each of [`WORKS`], over `operations` of each or somewhat more.
fn sample<T: Timers>(plan: &Plan, operations: usize) -> [f64; WORKS.len()] {
    let mut timers = T::default();
    let mut now = 0;
    let mut due = Vec::with_capacity(plan.size());
    // Once before: a server that has been running has grown to its size.
    plan.arm_all(&mut timers, now);
    plan.cancel_all(&mut timers);
    let repetitions = operations.div_ceil(plan.size());
    let mut spent = [0.0; 3];
    for _ in 0..repetitions {
        spent[0] += seconds(|| plan.arm_all(&mut timers, now));
        spent[1] += seconds(|| plan.cancel_all(&mut timers));
        plan.arm_all(&mut timers, now);
        spent[2] += seconds(|| now = advance(&mut timers, now, &mut due));
        assert_eq!(due.len(), plan.size(), "every timer is due once");
        due.clear();
    }
    plan.arm_all(&mut timers, now);
    // Often enough that the heap is swept in its turn.
    let times = operations.max(2 * plan.size());
    let one = seconds(|| plan.move_one(&mut timers, now, times)) * 1e9 / times as f64;
    let [arm, cancel, advance] = spent.map(|spent| spent * 1e9 / (repetitions * plan.size()) as f64);
    [arm, cancel, advance, one]
}

/// Goes from deadline to deadline, as the loop does, until none is left.
fn advance(timers: &mut impl Timers, mut now: u64, due: &mut Vec<u32>) -> u64 {
    while let Some(next) = timers.next() {
        now = now.max(next);
        timers.expire(now, due);
    }
    now
}

/// What a plan came to.
struct Found {
    order: Order,
    size: usize,
    /// For each of [`STRUCTURES`], each of [`WORKS`].
    nanoseconds: Vec<[Spread; WORKS.len()]>,
}

fn report(found: &[Found], quick: bool) -> Report {
    let mut report = Report::timed("wheel");
    report.tables = vec![table(found, Order::Arrival), table(found, Order::Random)];
    report.notes = notes();
    report.plot = Some(plot(found));
    report.verdict = judge(found, quick || cfg!(debug_assertions));
    report
}

fn notes() -> Vec<String> {
    [
        "arm, cancel: all of them, one after another. advance: from deadline to deadline until none is left.",
        "one among them: arming one and cancelling it while the others are armed; in random order any of them, to \
         any place.",
        "BinaryHeap with lazy deletion: a cancelled timer stays until it comes to the top, or until such are more \
         than half of the heap; then they are swept out. BTreeMap: ordered by deadline and key.",
        "In random order every step touches memory that is in no cache; that is shown, and not judged.",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn table(found: &[Found], order: Order) -> Table {
    let headings = STRUCTURES.map(|(key, name)| (key, format!("{name}, ns")));
    let columns = [("work", ""), ("timers", "timers")].into_iter();
    let columns: Vec<(&'static str, &str)> =
        columns.chain(headings.iter().map(|(key, heading)| (*key, heading.as_str()))).collect();
    let title = format!("Nanoseconds for one timer, {}: median (lowest–highest)", order.title());
    let mut table = Table::new(&title, &columns).grouped();
    for (work, name) in WORKS.iter().enumerate() {
        for found in found.iter().filter(|found| found.order == order) {
            let head = [Cell::from(*name), Cell::from(found.size)];
            let measured = found.nanoseconds.iter().map(|works| works[work].into());
            table.push(head.into_iter().chain(measured).collect());
        }
    }
    table
}

fn plot(found: &[Found]) -> Plot {
    let orders = [Order::Arrival, Order::Random].into_iter();
    let panels = orders.flat_map(|order| (0..WORKS.len()).map(move |work| panel(found, order, work)));
    Plot { title: "What a timer costs".to_owned(), panels: panels.collect() }
}

fn panel(found: &[Found], order: Order, work: usize) -> Panel {
    let of_order = || found.iter().filter(move |found| found.order == order);
    let line = |(at, (_, name)): (usize, &(&str, &str))| Line {
        name: (*name).to_owned(),
        points: of_order().map(|found| (found.size as f64, found.nanoseconds[at][work].median)).collect(),
    };
    Panel {
        title: format!("{}, {}", WORKS[work], order.title()),
        x: Axis::logarithmic("timers armed"),
        y: Axis::logarithmic("nanoseconds for one"),
        lines: STRUCTURES.iter().enumerate().map(line).collect(),
    }
}

/// Arming one and cancelling it costs the same, however many others are armed; and with the fewest it is not
/// slower than the heap. Only told, and not judged, where figures are not to be quoted.
fn judge(found: &[Found], only_tell: bool) -> Result<String, String> {
    const ONE: usize = WORKS.len() - 1;
    let mut in_order = found.iter().filter(|found| found.order == Order::Arrival);
    let first = in_order.next().expect("OK because there is always a smallest");
    let wheel = |found: &Found| found.nanoseconds[0][ONE].median;
    let (low, high) = in_order
        .clone()
        .map(wheel)
        .fold((wheel(first), wheel(first)), |(low, high), time| (low.min(time), high.max(time)));
    let last = in_order.next_back().unwrap_or(first).size;
    let heap = first.nanoseconds[1][ONE].median;
    let text = format!(
        "On the wheel arming one and cancelling it takes {} to {} ns with {} to {} others armed (× {}); with {} \
         BinaryHeap takes {} ns",
        readable(low),
        readable(high),
        grouped(first.size as u64),
        grouped(last as u64),
        readable(high / low),
        grouped(first.size as u64),
        readable(heap)
    );
    match only_tell {
        true => Ok(format!("{text}. (Not judged: a quick run, or a debug build.)")),
        false if high > FLAT * low => Err(format!("{text}; it should stay within × {FLAT}")),
        false if wheel(first) > heap => Err(format!("{text}; the wheel should not be slower")),
        false => Ok(format!("{text}: flat, and not slower.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_each_deadline_and_each_key_once() {
        for order in [Order::Arrival, Order::Random] {
            let mut plan = Plan::new(1_000, order);
            assert_eq!(plan.deadlines.is_sorted(), order == Order::Arrival);
            plan.deadlines.sort_unstable();
            plan.cancellations.sort_unstable();
            assert_eq!((plan.deadlines[0], plan.deadlines[999]), (HOLD, HOLD + 999 * 30));
            assert_eq!(plan.cancellations, (0..1_000).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn every_structure_is_timed() {
        let plan = Plan::new(100, Order::Random);
        for times in
            [sample::<Wheel>(&plan, 300), sample::<LazyHeap>(&plan, 300), sample::<OrderedMap>(&plan, 300)]
        {
            assert!(times.iter().all(|&time| time > 0.0), "{times:?}");
        }
    }

    fn found(size: usize, wheel: f64, heap: f64) -> Found {
        let works = |time: f64| [Spread::of(&[time]); WORKS.len()];
        Found { order: Order::Arrival, size, nanoseconds: vec![works(wheel), works(heap), works(heap)] }
    }

    #[test]
    fn a_curve_that_is_not_flat_is_an_error() {
        assert!(judge(&[found(1_000, 10.0, 20.0), found(1_000_000, 12.0, 40.0)], false).is_ok());
        let steep = [found(1_000, 10.0, 20.0), found(1_000_000, 14.0, 40.0)];
        assert!(judge(&steep, false).unwrap_err().contains("within × 1.3"));
        assert!(judge(&steep, true).unwrap().contains("Not judged"));
        let slow = [found(1_000, 21.0, 20.0), found(1_000_000, 21.0, 40.0)];
        assert!(judge(&slow, false).unwrap_err().contains("not be slower"));
    }
}
