//! What can be said, and in which languages: the sentences stand in one table for each.

use super::{english, korean};
use crate::settings::Language;
use std::fmt::Display;

macro_rules! lines {
    ($($line:ident),* $(,)?) => {
        /// What can be said.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Line { $($line),* }

        #[cfg(test)]
        impl Line {
            const ALL: &[Line] = &[$(Line::$line),*];
        }
    };
}

lines! {
    SleepForEver, SleepUntil, NoSleep, NoSleepWhileLooking,
    DueHead, DueBody, DueIdle, DueHold, DuePing, DuePong, DueLease, DueClosing, DueStall, DueLeave, DueRest,
    DueDrain, DueLook, DueCrowd, DueMoved,
    WokenByOne, WokenByTheOnlyOne, WokenByRoom, WokenByMany, WokenByTheDoor, WokenBySignal, WokenByTheCrowd, WokenByTime, NobodyElse,
    SignalTaken, LetIn, NobodyWaits, NoMoreFds, TurnedAway, KernelWatches, ListGrows,
    HeardTheEnd, Parked, WaitsBehind, HalfHead, HalfBody, Owed, HeardAndKept,
    Answered, AnsweredLast, AnsweredAndParked, Published, Begun, Upgraded, SpokenBack, PublishedByFrame,
    NewsForPoll, NewsForStream, NewsForWebSocket, History,
    HoldOver, SignOfLife, Pinged, Replaced, Farewell, TimeOver,
    Full, AskForRoom, EnoughRoom, OnlyHangUp, ListenAgain, FinSent, Closed, Swapped, CrowdBegun, CrowdAsked, CrowdKilled, CrowdGone,
    WhyClientClosed, WhyCutShort, WhyAnswered, WhyRefused, WhySaidNothing, WhyIdle, WhyWebSocketClosed,
    WhyViolation, WhyNoPong, WhyTooSlow, WhyStalled, WhyLeaseOver, WhyDraining, WhyDrainOver, WhyFailed,
    WhyNoRoom,
}

/// The words to be put into a sentence.
pub(super) type Words<'a> = [(&'a str, &'a dyn Display)];

impl Language {
    fn sentence(self, line: Line) -> &'static str {
        let table = match self {
            Language::English => english::SENTENCES,
            Language::Korean => korean::SENTENCES,
        };
        table.iter().find(|(known, _)| *known == line).map_or("", |(_, sentence)| sentence)
    }

    /// The sentence, with these words in it.
    pub(super) fn say(self, line: Line, words: &Words<'_>) -> String {
        words.iter().fold(self.sentence(line).to_owned(), |text, (name, word)| {
            text.replace(&format!("{{{name}}}"), &word.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The names in braces.
    fn words(sentence: &str) -> BTreeSet<&str> {
        sentence.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
    }

    #[test]
    fn every_language_has_every_line_once_and_with_the_same_words() {
        for &line in Line::ALL {
            for table in [english::SENTENCES, korean::SENTENCES] {
                let count = table.iter().filter(|(known, _)| *known == line).count();
                assert_eq!(count, 1, "{line:?}");
            }
            let [english, korean] =
                [Language::English, Language::Korean].map(|language| language.sentence(line));
            assert_eq!(words(english), words(korean), "{line:?}");
            assert!(!english.is_empty() && english.is_ascii(), "{english}");
            assert!(korean.chars().any(|c| ('가'..='힣').contains(&c)), "{korean}");
        }
    }

    #[test]
    fn words_are_put_where_they_belong() {
        let said = Language::English.say(Line::WokenByOne, &[("fd", &9), ("others", &9999)]);
        assert_eq!(said, "fd 9 has something to say; the other 9999 sleep on");
    }
}
