//! What a crowd has heard, judged by the numbers of the events.
//!
//! Each channel counts its events without a gap. So a client that has been told where the channel stands knows the
//! number of the next event: a higher one means that some were *lost*, and one that it had before is *doubled*.
//!
//! Latency is that of an event from its publication to the client that reads it, in microseconds. An event that
//! this crowd has published carries the time in it; any other one is measured by its `time`, in whole milliseconds
//! of the wall clock, where the technique tells it (Server-Sent Events do not).

use crate::channel::Cursor;
use crate::client::{Data, Event, Heard, Why};
use hdrhistogram::Histogram;
use std::time::UNIX_EPOCH;

/// What is known of one client.
#[derive(Debug, Default)]
pub struct Judge {
    /// The highest number so far.
    pub last: Option<Cursor>,
}

/// What is counted.
#[derive(Debug)]
pub struct Figures {
    /// Events that came.
    pub events: u64,
    /// Numbers that were left out.
    pub lost: u64,
    /// Numbers that came again.
    pub doubled: u64,
    /// How often a client was told that the server has begun anew, so that nobody can say what was lost.
    pub restarts: u64,
    /// Answers that were refusals.
    pub refused: u64,
    /// Connections that ended and were not to.
    pub cuts: u64,
    /// The newest event that anybody has heard of.
    pub newest: Option<Cursor>,
    /// Microseconds from publication to reading.
    pub latency: Histogram<u64>,
    /// How data begins that this crowd has published; the time of publication follows.
    mark: Option<String>,
}

/// The longest latency that is told apart from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000;

impl Figures {
    /// Nothing so far. With a `mark` only events that begin with it are measured.
    pub fn new(mark: Option<String>) -> Figures {
        let latency =
            Histogram::new_with_bounds(1, LONGEST, 3).expect("OK because these bounds are in order");
        Figures {
            events: 0,
            lost: 0,
            doubled: 0,
            restarts: 0,
            refused: 0,
            cuts: 0,
            newest: None,
            latency,
            mark,
        }
    }

    /// One client has heard this, at `micros` of the crowd's own clock and `wall` milliseconds since 1970.
    pub fn hear(&mut self, heard: &Heard<'_>, judge: &mut Judge, micros: u64, wall: u64) {
        match heard {
            Heard::Event(event) => {
                self.events += 1;
                self.judge_event(event.id, judge);
                if let Some(latency) = self.latency_of(event, micros, wall) {
                    self.latency.saturating_record(latency.max(1));
                }
            }
            Heard::Place { cursor, missed, .. } => self.judge_place(*cursor, *missed, judge),
            Heard::Cut(Why::Refused(_), _) => self.refused += 1,
            Heard::Cut(..) => self.cuts += 1,
            Heard::FellBack(..) => {}
        }
    }

    fn judge_event(&mut self, id: Cursor, judge: &mut Judge) {
        match judge.last {
            Some(last) if last.epoch == id.epoch && id.seq <= last.seq => {
                self.doubled += 1;
                return;
            }
            Some(last) if last.epoch == id.epoch => self.lost += id.seq - last.seq - 1,
            _ => {}
        }
        judge.last = Some(id);
        self.note(id);
    }

    /// A place before which something was missed is a gap; any other one says nothing that the next event does
    /// not say.
    fn judge_place(&mut self, cursor: Cursor, missed: bool, judge: &mut Judge) {
        match judge.last {
            Some(last) if last.epoch == cursor.epoch => {
                if missed && cursor.seq > last.seq {
                    self.lost += cursor.seq - last.seq;
                    judge.last = Some(cursor);
                }
            }
            last => {
                self.restarts += u64::from(last.is_some());
                judge.last = Some(cursor);
            }
        }
        self.note(cursor);
    }

    /// How data begins that this crowd publishes; empty if it publishes nothing.
    pub fn mark(&self) -> &str {
        self.mark.as_deref().unwrap_or("")
    }

    /// This event is there to be heard.
    pub fn note(&mut self, cursor: Cursor) {
        if self.newest.is_none_or(|newest| newest.epoch != cursor.epoch || newest.seq < cursor.seq) {
            self.newest = Some(cursor);
        }
    }

    fn latency_of(&self, event: &Event<'_>, micros: u64, wall: u64) -> Option<u64> {
        let Some(mark) = &self.mark else {
            let time = humantime::parse_rfc3339(event.time?).ok()?;
            let millis = time.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64;
            return Some(wall.saturating_sub(millis) * 1000);
        };
        let text = match event.data {
            Data::Text(text) => text,
            Data::Json(json) => json.strip_prefix('"')?,
        };
        let digits = text.strip_prefix(mark.as_str())?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Some(micros.saturating_sub(digits[..end].parse().ok()?))
    }

    /// How many events a client has still to hear of those that others have heard.
    pub fn owed_to(&self, judge: &Judge) -> u64 {
        match (self.newest, judge.last) {
            (Some(newest), Some(last)) if newest.epoch == last.epoch => newest.seq - last.seq,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Cursor {
        Cursor::parse(text).unwrap()
    }

    fn place(figures: &mut Figures, judge: &mut Judge, at: &str, missed: bool) {
        figures.hear(&Heard::Place { had: None, cursor: cursor(at), missed }, judge, 0, 0);
    }

    fn event(figures: &mut Figures, judge: &mut Judge, id: &str, data: Data<'_>) {
        let event = Event { id: cursor(id), time: Some("1970-01-01T00:00:01.500Z"), data };
        figures.hear(&Heard::Event(event), judge, 5000, 1503);
    }

    #[test]
    fn gaps_are_lost_and_what_comes_again_is_doubled() {
        let (mut figures, mut judge) = (Figures::new(None), Judge::default());
        place(&mut figures, &mut judge, "a-5", false);
        for id in ["a-6", "a-7", "a-7", "a-10", "a-9"] {
            event(&mut figures, &mut judge, id, Data::Text("x"));
        }
        assert_eq!((figures.events, figures.lost, figures.doubled), (5, 2, 2));
        // After a cut it goes on where it was, or is told that it cannot.
        place(&mut figures, &mut judge, "a-10", false);
        place(&mut figures, &mut judge, "a-14", true);
        event(&mut figures, &mut judge, "a-15", Data::Text("x"));
        assert_eq!((figures.lost, figures.restarts), (6, 0));
        // What a place leaves out shows at the next event.
        place(&mut figures, &mut judge, "a-17", false);
        event(&mut figures, &mut judge, "a-18", Data::Text("x"));
        assert_eq!(figures.lost, 8);
        place(&mut figures, &mut judge, "b-0", true);
        event(&mut figures, &mut judge, "b-1", Data::Text("x"));
        assert_eq!((figures.lost, figures.doubled, figures.restarts), (8, 2, 1));
    }

    #[test]
    fn what_others_have_heard_is_owed() {
        let mut figures = Figures::new(None);
        let (mut quick, mut slow, stranger) = (Judge::default(), Judge::default(), Judge::default());
        place(&mut figures, &mut quick, "a-5", false);
        place(&mut figures, &mut slow, "a-5", false);
        event(&mut figures, &mut quick, "a-6", Data::Text("x"));
        assert_eq!([&quick, &slow, &stranger].map(|judge| figures.owed_to(judge)), [0, 1, 0]);
    }

    #[test]
    fn latency_is_that_of_our_own_events_or_by_their_time() {
        let (mut by_time, mut judge) = (Figures::new(None), Judge::default());
        event(&mut by_time, &mut judge, "a-1", Data::Text("x"));
        assert_eq!(
            (by_time.latency.len(), by_time.latency.max()),
            (1, by_time.latency.highest_equivalent(3000))
        );
        let mut own = Figures::new(Some("swarm-7-".into()));
        event(&mut own, &mut judge, "a-2", Data::Json(r#""swarm-7-4900 xxx""#));
        event(&mut own, &mut judge, "a-3", Data::Text("swarm-7-4900"));
        event(&mut own, &mut judge, "a-4", Data::Text("swarm-8-1"));
        assert_eq!((own.latency.len(), own.latency.max()), (2, 100));
    }
}
