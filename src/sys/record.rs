//! What one turn of the loop has done, kept for whoever asks afterwards.
//!
//! Who asks makes calls too, and is not to meet itself: its calls are disowned. A line belongs to the fd that it
//! is about; one that is about none belongs to the fd of the line before it.

use super::Call;

/// How many calls of a turn are kept.
const MOST: usize = 40;
/// So many more are put into words, for some may be disowned.
const SPARE: usize = 24;
/// What is nobody's, and what is somebody's who is not to be found.
const NOBODY: i32 = -1;
const DISOWNED: i32 = -2;

/// One sentence, in each language.
pub type Sentences = Box<[String]>;

/// A turn.
#[derive(Debug)]
pub struct Turn {
    /// For how long it was to sleep, and why.
    pub sleep: Sentences,
    /// Its calls, in their order.
    pub lines: Vec<Line>,
    /// How many more there were.
    pub more: usize,
}

/// A call.
#[derive(Debug)]
pub struct Line {
    /// Which one.
    pub call: Call,
    /// In strace(1)'s notation.
    pub text: String,
    /// The fd that it is about, if it is one.
    pub fd: Option<i32>,
    /// What it meant.
    pub why: Vec<Sentences>,
    whose: i32,
}

/// The turn at hand.
#[derive(Debug)]
pub(super) struct Record {
    sleep: Option<Sentences>,
    lines: Vec<Line>,
    /// Whose the calls are that were not put into words.
    rest: Vec<i32>,
    /// Whose the last call was.
    whose: i32,
    /// See `set_aside`.
    pub(super) aside: bool,
}

impl Default for Record {
    fn default() -> Record {
        Record { sleep: None, lines: Vec::new(), rest: Vec::new(), whose: NOBODY, aside: false }
    }
}

impl Record {
    /// A turn begins.
    pub(super) fn begin(&mut self, sleep: Sentences) {
        *self = Record { sleep: Some(sleep), ..Record::default() };
    }

    /// Whether only the fd of the next call is asked for and not its words; `None` if nothing of it is.
    pub(super) fn wants_it_brief(&self) -> Option<bool> {
        let is_kept = self.sleep.is_some() && !self.aside;
        is_kept.then_some(self.lines.len() >= MOST + SPARE)
    }

    pub(super) fn hold(&mut self, call: Call, text: &str, fd: Option<i32>, about: Option<i32>) {
        let Some(brief) = self.wants_it_brief() else { return };
        self.whose = about.unwrap_or(self.whose);
        if brief {
            return self.rest.push(self.whose);
        }
        self.lines.push(Line { call, text: text.to_owned(), fd, why: Vec::new(), whose: self.whose });
    }

    pub(super) fn remark(&mut self, sentences: impl FnOnce() -> Sentences) {
        // Of a call that was not put into words nothing is said.
        let is_of_the_last_line = self.wants_it_brief().is_some() && self.rest.is_empty();
        if is_of_the_last_line && let Some(line) = self.lines.last_mut() {
            line.why.push(sentences());
        }
    }

    pub(super) fn attend_to(&mut self, fd: i32) {
        self.whose = fd;
    }

    /// Only since it was accepted: before that the number was somebody else's.
    pub(super) fn disown(&mut self, fd: i32) {
        self.rest.iter_mut().filter(|whose| **whose == fd).for_each(|whose| *whose = DISOWNED);
        for line in self.lines.iter_mut().rev().filter(|line| line.whose == fd) {
            line.whose = DISOWNED;
            if line.call == Call::Accept4 {
                break;
            }
        }
    }

    pub(super) fn take(&mut self) -> Option<Turn> {
        let Record { sleep, mut lines, rest, .. } = std::mem::take(self);
        lines.retain(|line| line.whose != DISOWNED);
        let rest = rest.into_iter().filter(|&whose| whose != DISOWNED).count();
        let more = rest + lines.len().saturating_sub(MOST);
        lines.truncate(MOST);
        Some(Turn { sleep: sleep?, lines, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn_with(calls: impl Iterator<Item = (Call, Option<i32>)>, disowned: &[i32]) -> Turn {
        let mut record = Record::default();
        record.begin(Box::new(["sleep".into()]));
        for (call, fd) in calls {
            record.hold(call, call.name(), fd, fd);
            record.remark(|| Box::new([format!("{fd:?}")]));
        }
        disowned.iter().for_each(|&fd| record.disown(fd));
        record.take().unwrap()
    }

    fn told(turn: &Turn) -> Vec<(Call, Option<i32>)> {
        turn.lines.iter().map(|line| (line.call, line.fd)).collect()
    }

    #[test]
    fn what_was_disowned_is_not_to_be_found() {
        let calls = [
            (Call::EpollWait, None),
            (Call::Read, Some(7)),
            // A line of the log belongs to whom it is about.
            (Call::Write, None),
            (Call::Read, Some(8)),
            (Call::Write, None),
        ];
        let rest = [calls[0], calls[3], calls[4]];
        assert_eq!(told(&turn_with(calls.into_iter(), &[7])), rest);
        assert_eq!(told(&turn_with(calls.into_iter(), &[])), calls);
    }

    #[test]
    fn who_had_the_number_before_is_to_be_found() {
        let calls = [(Call::Close, Some(7)), (Call::Accept4, Some(7)), (Call::Read, Some(7))];
        assert_eq!(told(&turn_with(calls.into_iter(), &[7])), calls[..1]);
    }

    #[test]
    fn a_long_turn_is_cut_and_says_how_much_is_left_out() {
        for (own, others) in [(0, 39), (0, 40), (0, 41), (10, 40), (24, 41), (1000, 1000), (3, 100_000)] {
            let onlooker = std::iter::repeat_n((Call::Read, Some(5)), own);
            let calls = onlooker.chain((0..others).map(|at| (Call::Read, Some(at + 6))));
            let turn = turn_with(calls, &[5]);
            let in_words = (MOST + SPARE).saturating_sub(own).min(MOST).min(others as usize);
            assert_eq!(
                (turn.lines.len(), turn.more),
                (in_words, others as usize - in_words),
                "{own} {others}"
            );
            assert!(turn.lines.iter().all(|line| line.why.len() == 1));
        }
    }

    #[test]
    fn nothing_is_kept_before_a_turn_begins_and_while_it_is_set_aside() {
        let mut record = Record::default();
        record.hold(Call::Read, "read", Some(3), Some(3));
        assert!(record.take().is_none());
        record.begin(Box::new([]));
        record.aside = true;
        record.hold(Call::Read, "read", Some(3), Some(3));
        record.remark(|| Box::new([]));
        assert!(record.take().unwrap().lines.is_empty());
    }
}
