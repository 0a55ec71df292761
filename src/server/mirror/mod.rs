//! `GET /kernel`: what the kernel holds for this process, beside what the server believes.
//!
//! The fds come from `/proc/self/fd`. What is watched comes from the kernel's own account of the epoll
//! instance, `/proc/self/fdinfo/N`; poll and select leave nothing there, and so the list is looked at that they
//! are handed each time. Everything else comes from the server's memory, and `agree` says whether the two tell
//! the same story.
//!
//! With ten thousand connections such a look takes some twenty milliseconds, in which nobody else would be
//! served. So:
//!
//! - it is taken in *slices*, one in each turn of the loop, which does not sleep meanwhile;
//! - the kernel makes its account of an epoll instance in one go: that is read at most once a second, and for at
//!   most half a hundredth of the time, for all who have asked by then;
//! - readlink(2) serves only for fds that the server does not own, which are few;
//! - what changes between two slices cannot be compared: it is left for the next look.

mod page;

use super::ledger::LOOP;
use super::narration::Cause;
use super::report::Answer;
use super::{MIRROR_TIMER, Server, Source};
use crate::http::router::View;
use crate::http::{Manner, Problem, Status};
use crate::multiplexer::{Interest, Mechanism, Token, parse_watch};
use crate::sys::{self, OpenFds};
use crate::table::Id;
use crate::tick::{Now, Tick};
use std::collections::HashSet;
use std::io;
use std::time::Duration;

/// How long a slice may take.
const SLICE: Duration = Duration::from_micros(500);
/// How many lines of the kernel's account are read, and how many fds compared, between two looks at the clock.
const STRIDE: usize = 100;
/// How much time lies between two readings of the kernel's account at least.
const PAUSE: Duration = Duration::from_secs(1);
/// How many times as long as the first of them took: so 99 of 100 who ask for something else never notice.
const TIMES: u32 = 200;

/// Who wants to see, and a look that is under way.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    askers: Vec<Asker>,
    survey: Option<Box<Survey>>,
    /// When the kernel may be asked again for its account.
    asks_from: Tick,
}

#[derive(Debug)]
struct Asker {
    id: Id,
    manner: Manner,
    view: View,
}

/// A look under way.
#[derive(Debug)]
struct Survey {
    stage: Stage,
    /// Whom it is for, those who want the same beside each other. Who asks in the middle of it would hear
    /// of a time before the question.
    askers: Vec<Asker>,
    /// How many fds are listed for whoever wants the most.
    most: usize,
    /// By what the loop waited when it was begun.
    mechanism: Mechanism,
    /// The open fds, as the kernel lists them.
    fds: Vec<i32>,
    /// What the kernel says that it watches.
    watched: ByFd<(Token, u32)>,
    /// What the server believes to have asked.
    believed: ByFd<(Token, Interest)>,
    /// The fds that are watched from now on, or no more, or for something else.
    changed: HashSet<i32>,
    /// What came of comparing; as many as somebody wants to see.
    facts: Vec<Fact>,
    disagreements: usize,
    /// The last answer that was made, and for whom who wants this.
    page: Option<(View, Answer)>,
}

#[derive(Debug)]
enum Stage {
    Listing(OpenFds),
    /// The kernel is about to be asked about this epoll instance.
    Asking(i32),
    /// The account, and how much of it has been read.
    Reading(String, usize),
    Recalling,
    /// How many fds have been compared.
    Comparing(usize),
    /// Those who asked are answered, one by one.
    Answering,
    Done,
}

/// What is known of one fd.
#[derive(Debug)]
struct Fact {
    fd: i32,
    /// Whose it is and what the server believes to have asked; `None` for what is not to be watched.
    believed: Option<(Token, Interest)>,
    /// In the mechanism's bits what is watched; `None` if nothing is, or if it cannot be compared now.
    watched: Option<u32>,
    /// `None` if there is nothing to compare.
    agree: Option<bool>,
    /// What the kernel calls an fd that the server does not own.
    target: Option<String>,
}

/// Something for each of some fds.
#[derive(Debug)]
struct ByFd<T>(Vec<Option<T>>);

impl<T> ByFd<T> {
    fn insert(&mut self, fd: i32, value: T) {
        let index = fd as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(value);
    }

    fn take(&mut self, fd: i32) -> Option<T> {
        self.0.get_mut(fd as usize).and_then(Option::take)
    }

    /// The fds that have not been taken out.
    fn rest(&self) -> impl Iterator<Item = i32> {
        self.0.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(fd, _)| fd as i32)
    }
}

impl Mirror {
    /// Somebody wants to see.
    pub(super) fn ask(&mut self, id: Id, manner: Manner, view: View) {
        self.askers.push(Asker { id, manner, view });
    }

    /// Whether somebody waits to see turns of the loop.
    pub(super) fn is_to_show_turns(&self) -> bool {
        let under_way = self.survey.iter().flat_map(|survey| &survey.askers);
        self.askers.iter().chain(under_way).any(|asker| asker.view.turns > 0)
    }

    /// This fd is watched from now on, or no more, or for something else.
    #[inline]
    pub(super) fn changed(&mut self, fd: i32) {
        if let Some(survey) = &mut self.survey {
            survey.changed.insert(fd);
        }
    }

    /// Everything has changed: the look under way begins again.
    pub(super) fn forget(&mut self) {
        if let Some(survey) = self.survey.take() {
            self.askers.extend(survey.askers);
        }
    }
}

impl Survey {
    fn new(listing: OpenFds, mut askers: Vec<Asker>, mechanism: Mechanism) -> Survey {
        askers.sort_by_key(|asker| asker.view);
        Survey {
            stage: Stage::Listing(listing),
            most: askers.last().map_or(0, |asker| asker.view.limit),
            askers,
            mechanism,
            fds: Vec::new(),
            watched: ByFd(Vec::new()),
            believed: ByFd(Vec::new()),
            changed: HashSet::new(),
            facts: Vec::new(),
            disagreements: 0,
            page: None,
        }
    }

    /// Reads on in the kernel's account, and says whether there is more of it.
    fn read_on(&mut self, account: &str, at: &mut usize) -> bool {
        for line in account[*at..].split_inclusive('\n').take(STRIDE) {
            *at += line.len();
            if let Some((fd, events, token)) = parse_watch(line) {
                self.watched.insert(fd, (token, events));
            }
        }
        *at < account.len()
    }

    /// What is left over when every open fd was compared: what is watched and not open, or not the other way.
    fn compare_the_rest(&mut self) {
        let rest = self.watched.rest().chain(self.believed.rest());
        self.disagreements += rest.filter(|fd| !self.changed.contains(fd)).count();
    }
}

impl Server {
    /// Whether a look is under way or is to begin, and the loop must not sleep before. (Who asks during
    /// one, or behind the answer to one, waits for another, and no timer is armed for that yet.)
    pub(super) fn is_looking(&self) -> bool {
        let waits_for_the_timer = || self.wheel.deadline(MIRROR_TIMER).is_some();
        self.mirror.survey.is_some() || !self.mirror.askers.is_empty() && !waits_for_the_timer()
    }

    /// Takes the next slice of the look under way; begins one if it is time.
    pub(super) fn look_on(&mut self, now: Now) {
        // Who looks on is not to see itself.
        let aside = sys::set_aside(true);
        if let Some(survey) = self.mirror.survey.take().or_else(|| self.begin_survey(now)) {
            self.go_on_for_a_slice(survey, now);
        }
        sys::set_aside(aside);
    }

    fn go_on_for_a_slice(&mut self, mut survey: Box<Survey>, now: Now) {
        sys::charge_to(LOOP);
        let began = sys::moment();
        while !matches!(survey.stage, Stage::Done) {
            if let Err(error) = self.go_on(&mut survey, now) {
                return self.answer_all(survey.askers, &blind(&error), now);
            }
            if began.elapsed() >= SLICE {
                self.mirror.survey = Some(survey);
                return;
            }
        }
    }

    /// Opens the listing, unless the kernel was asked too short a time ago: then a timer is armed.
    fn begin_survey(&mut self, now: Now) -> Option<Box<Survey>> {
        let asks_the_kernel = self.multiplexer.kernel_list().is_some();
        if asks_the_kernel && now.tick < self.mirror.asks_from {
            self.wheel.arm(MIRROR_TIMER, self.mirror.asks_from);
            return None;
        }
        self.wheel.cancel(MIRROR_TIMER);
        let askers = std::mem::take(&mut self.mirror.askers);
        match OpenFds::begin() {
            Ok(listing) => Some(Box::new(Survey::new(listing, askers, self.multiplexer.mechanism()))),
            Err(error) => {
                self.answer_all(askers, &blind(&error), now);
                None
            }
        }
    }

    fn answer_all(&mut self, askers: Vec<Asker>, answer: &Answer, now: Now) {
        // What comes behind its question is no look any more.
        let aside = sys::set_aside(false);
        for Asker { id, manner, .. } in askers {
            self.converse(id, Cause::Heard, now, |talk, turn| talk.answer(turn, &manner, answer));
        }
        sys::set_aside(aside);
    }

    /// Answers one of those who asked, if one is left. One answer has megabytes, and thousands may have asked.
    fn answer_next(&mut self, survey: &mut Survey, now: Now) -> Stage {
        if self.multiplexer.mechanism() != survey.mechanism {
            // Somebody's next request was to move everything: what was seen is so no more.
            self.mirror.askers.append(&mut survey.askers);
        }
        let Some(asker) = survey.askers.pop() else { return Stage::Done };
        let made = survey.page.take().filter(|(view, _)| *view == asker.view);
        let (view, page) = made.unwrap_or_else(|| (asker.view, self.page(survey, asker.view, now)));
        if view.turns > 0 {
            // From now on it may ask again.
            self.show_turns(now);
        }
        self.answer_all(vec![asker], &page, now);
        survey.page = Some((view, page));
        Stage::Answering
    }

    /// A small step of the look.
    fn go_on(&mut self, survey: &mut Survey, now: Now) -> io::Result<()> {
        survey.stage = match std::mem::replace(&mut survey.stage, Stage::Done) {
            Stage::Listing(mut listing) => {
                match (listing.next(&mut survey.fds)?, self.multiplexer.kernel_list()) {
                    (true, _) => Stage::Listing(listing),
                    (false, Some(list)) => Stage::Asking(list.number()),
                    (false, None) => Stage::Recalling,
                }
            }
            Stage::Asking(list) => {
                let began = sys::moment();
                let account = sys::fd_info(list)?;
                self.mirror.asks_from = now.tick + PAUSE.max(began.elapsed() * TIMES);
                Stage::Reading(account, 0)
            }
            Stage::Reading(account, mut at) => match survey.read_on(&account, &mut at) {
                true => Stage::Reading(account, at),
                false => Stage::Recalling,
            },
            Stage::Recalling => {
                for (fd, token, interest) in self.watched() {
                    survey.believed.insert(fd.number(), (token, interest));
                }
                Stage::Comparing(0)
            }
            Stage::Comparing(at) if at >= survey.fds.len() => {
                survey.compare_the_rest();
                Stage::Answering
            }
            Stage::Comparing(at) => {
                let end = survey.fds.len().min(at + STRIDE);
                (at..end).for_each(|index| self.compare(survey, index));
                Stage::Comparing(end)
            }
            Stage::Answering => self.answer_next(survey, now),
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    fn compare(&self, survey: &mut Survey, index: usize) {
        let fd = survey.fds[index];
        let believed = survey.believed.take(fd);
        let watched = match self.multiplexer.kernel_list() {
            Some(_) => survey.watched.take(fd),
            None => self.multiplexer.handed_over(fd),
        };
        let expected = believed.map(|(token, interest)| (token, self.multiplexer.events(interest)));
        let agree = match survey.changed.contains(&fd) {
            true => None,
            false => expected.or(watched).map(|_| expected == watched),
        };
        survey.disagreements += usize::from(agree == Some(false));
        if survey.facts.len() >= survey.most {
            return;
        }
        let is_own = believed.is_some() || self.own_unwatched(fd).is_some();
        let target = if is_own { None } else { sys::fd_target(fd).ok() };
        let watched = agree.and(watched).map(|(_, events)| events);
        survey.facts.push(Fact { fd, believed, watched, agree, target });
    }

    /// What an fd is that the server owns and nobody watches.
    fn own_unwatched(&self, fd: i32) -> Option<&'static str> {
        match fd {
            _ if self.multiplexer.kernel_list().is_some_and(|list| list.number() == fd) => Some("epoll"),
            _ if self.gate.spare() == Some(fd) => Some("spare"),
            _ => None,
        }
    }

    /// What an fd is that is watched. `None` if its connection has gone since.
    fn watched_kind(&self, token: Token) -> Option<&'static str> {
        match Source::of(token) {
            Source::Signals => Some("signal"),
            Source::Listener(_) => Some("listener"),
            Source::Crowd => self.has_crowd().then_some("crowd"),
            Source::Connection(id) => self.table.get(id).map(|_| "connection"),
        }
    }
}

/// Nobody can look into /proc, most likely because no fd is left for it.
fn blind(error: &io::Error) -> Answer {
    let detail =
        format!("/proc/self cannot be read now ({error}); ask again when some connections have gone.");
    Err(Problem::new(Status::ServiceUnavailable, detail).with(&[("Retry-After", "1")]))
}
