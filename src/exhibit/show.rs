//! What is expected, what is measured, and whether the two agree.
//!
//! Expectations come first: asking for one after something was measured is a mistake of the exhibit, and panics. An
//! expectation that was never measured counts as not met, so nothing can be passed over.

use crate::digits::grouped;
use crate::sys;
use std::fmt;
use std::io;
use std::time::Duration;

/// Takes one line of what an exhibit says.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// Something measured, or to be measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// So many.
    Count(u64),
    /// One in proportion to another.
    Ratio(f64),
    /// A time.
    Span(Duration),
    /// An answer in a word, such as the name of an error.
    Word(String),
}

/// What a figure should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// This and nothing else.
    Exactly(Figure),
    /// This or more.
    AtLeast(Figure),
    /// This or less.
    AtMost(Figure),
}

pub fn exactly(figure: impl Into<Figure>) -> Expected {
    Expected::Exactly(figure.into())
}

pub fn at_least(figure: impl Into<Figure>) -> Expected {
    Expected::AtLeast(figure.into())
}

pub fn at_most(figure: impl Into<Figure>) -> Expected {
    Expected::AtMost(figure.into())
}

impl Expected {
    fn is_met_by(&self, measured: &Figure) -> bool {
        match self {
            Expected::Exactly(wanted) => measured == wanted,
            Expected::AtLeast(least) => measured.amount(least) >= least.amount(least),
            Expected::AtMost(most) => measured.amount(most) <= most.amount(most),
        }
    }
}

impl Figure {
    /// As a number to compare with `other`; not a number where the two are of different kinds, or words.
    fn amount(&self, other: &Figure) -> f64 {
        match (self, other) {
            (Figure::Count(count), Figure::Count(_)) => *count as f64,
            (Figure::Ratio(ratio), Figure::Ratio(_)) => *ratio,
            (Figure::Span(span), Figure::Span(_)) => span.as_secs_f64(),
            _ => f64::NAN,
        }
    }
}

/// One expectation, spoken and not yet measured.
#[must_use]
#[derive(Debug)]
pub struct Expectation {
    what: String,
    expected: Expected,
}

/// The room for what a figure is.
const WIDTH: usize = 64;

/// One showing of one exhibit.
pub struct Show<'a> {
    say: Say<'a>,
    expected: usize,
    measured: usize,
    met: usize,
}

impl<'a> Show<'a> {
    pub fn new(say: Say<'a>) -> Show<'a> {
        say("");
        say("Expected, before anything is measured");
        Show { say, expected: 0, measured: 0, met: 0 }
    }

    /// Says what will be measured and what it should be.
    pub fn expect(&mut self, what: impl Into<String>, expected: Expected) -> Expectation {
        assert_eq!(self.measured, 0, "what is expected is said before anything is measured");
        self.expected += 1;
        let what = what.into();
        self.line(&what, &expected.to_string(), "");
        Expectation { what, expected }
    }

    /// Says what it was, and judges.
    pub fn measured(&mut self, expectation: Expectation, figure: impl Into<Figure>) {
        let figure = figure.into();
        let is_met = expectation.expected.is_met_by(&figure);
        self.begin_measuring();
        self.measured += 1;
        self.met += usize::from(is_met);
        let judgement = if is_met { "as expected" } else { "not as expected" };
        self.line(&expectation.what, &figure.to_string(), judgement);
    }

    /// Says a figure of which nothing was expected.
    pub fn also(&mut self, what: &str, figure: impl Into<Figure>) {
        self.begin_measuring();
        self.line(what, &figure.into().to_string(), "");
    }

    fn begin_measuring(&mut self) {
        if self.measured == 0 {
            (self.say)("");
            (self.say)("Measured");
        }
    }

    fn line(&mut self, what: &str, figure: &str, judgement: &str) {
        debug_assert!(what.chars().count() <= WIDTH, "too long for its column: {what}");
        let line = format!("  {what:<WIDTH$}  {figure:<17} {judgement}");
        (self.say)(line.trim_end());
    }

    /// Whether the kernel agrees.
    pub fn verdict(self) -> Verdict {
        Verdict { expected: self.expected, met: self.met }
    }
}

/// How many expectations there were, and how many were met.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    expected: usize,
    met: usize,
}

impl Verdict {
    /// Whether all of them were met, and there was at least one.
    pub fn agrees(self) -> bool {
        self.expected > 0 && self.met == self.expected
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agrees = if self.agrees() { "agrees" } else { "disagrees" };
        write!(f, "The kernel {agrees}: {} of {} expectations were met.", self.met, self.expected)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Exactly(figure) => write!(f, "{figure}"),
            Expected::AtLeast(figure) => write!(f, "at least {figure}"),
            Expected::AtMost(figure) => write!(f, "at most {figure}"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Count(count) => f.write_str(&grouped(*count)),
            Figure::Ratio(ratio) if *ratio < 100.0 => write!(f, "{ratio:.1}"),
            Figure::Ratio(ratio) => f.write_str(&grouped(*ratio as u64)),
            Figure::Span(span) if *span < Duration::from_millis(1) => {
                write!(f, "{:.1} µs", span.as_secs_f64() * 1e6)
            }
            Figure::Span(span) => write!(f, "{:.1} ms", span.as_secs_f64() * 1e3),
            Figure::Word(word) => f.write_str(word),
        }
    }
}

impl From<u64> for Figure {
    fn from(count: u64) -> Figure {
        Figure::Count(count)
    }
}

impl From<usize> for Figure {
    fn from(count: usize) -> Figure {
        Figure::Count(count as u64)
    }
}

impl From<f64> for Figure {
    fn from(ratio: f64) -> Figure {
        Figure::Ratio(ratio)
    }
}

impl From<Duration> for Figure {
    fn from(span: Duration) -> Figure {
        Figure::Span(span)
    }
}

impl From<&str> for Figure {
    fn from(word: &str) -> Figure {
        Figure::Word(word.to_owned())
    }
}

impl From<String> for Figure {
    fn from(word: String) -> Figure {
        Figure::Word(word)
    }
}

/// How a call ended: `done`, or the name of its error.
impl<T> From<&io::Result<T>> for Figure {
    fn from(result: &io::Result<T>) -> Figure {
        Figure::Word(result.as_ref().map_or_else(sys::error_name, |_| "done".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(run: impl FnOnce(&mut Show<'_>)) -> (Verdict, Vec<String>) {
        let mut lines = Vec::new();
        let mut say = |line: &str| lines.push(line.to_owned());
        let mut show = Show::new(&mut say);
        run(&mut show);
        (show.verdict(), lines)
    }

    #[test]
    fn what_is_as_expected_agrees() {
        let (verdict, lines) = verdict(|show| {
            let some = show.expect("some", at_least(20_u64));
            let none = show.expect("none", exactly(0_u64));
            let slow = show.expect("slow", at_most(Duration::from_millis(3)));
            let word = show.expect("word", exactly("EPERM"));
            show.measured(some, 1_234_567_u64);
            show.also("by the way", 2.5);
            show.measured(none, 0_u64);
            show.measured(slow, Duration::from_millis(3));
            show.measured(word, &Err::<(), _>(io::Error::from_raw_os_error(1)));
        });
        assert!(verdict.agrees());
        assert_eq!(lines.iter().filter(|line| line.ends_with(" as expected")).count(), 4);
        assert!(lines.iter().any(|line| line.contains("1,234,567")));
    }

    #[test]
    fn what_is_not_as_expected_disagrees() {
        for (expected, figure) in [
            (exactly(1_u64), Figure::Count(2)),
            (at_least(2_u64), Figure::Count(1)),
            (at_most(2_u64), Figure::Count(3)),
            (at_least(1.5), Figure::Ratio(f64::NAN)),
            (exactly("EPERM"), Figure::Word("EBADF".into())),
            // Figures of different kinds cannot be compared, and so never agree.
            (at_least(1_u64), Figure::Ratio(2.0)),
            (at_most(1_u64), Figure::Word("0".into())),
        ] {
            let (verdict, lines) = verdict(|show| {
                let expectation = show.expect("it", expected);
                show.measured(expectation, figure);
            });
            assert!(!verdict.agrees());
            assert!(lines.last().unwrap().ends_with("not as expected"), "{lines:?}");
        }
    }

    #[test]
    fn what_was_never_measured_disagrees_and_so_does_nothing_at_all() {
        let (forgotten, _) = verdict(|show| drop(show.expect("it", exactly(1_u64))));
        assert!(!forgotten.agrees());
        let (nothing, _) = verdict(|_| ());
        assert!(!nothing.agrees());
    }

    #[test]
    #[should_panic(expected = "before anything is measured")]
    fn expecting_after_measuring_is_no_expecting() {
        let _ = verdict(|show| {
            let first = show.expect("first", exactly(1_u64));
            show.measured(first, 1_u64);
            let _ = show.expect("second", exactly(1_u64));
        });
    }
}
