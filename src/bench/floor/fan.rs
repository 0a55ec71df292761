//! One event to thousands: when the first has it, and when the last.

use super::bare::{HOW_MANY, Sizes, THIS_MANY};
use super::contender::Contender;
use super::{Costs, Findings, Goal, Row, Where};
use crate::bench::Effort;
use crate::bench::ears::Ears;
use crate::bench::line::{Line, upgrade_fields};
use crate::bench::rounds::{Spread, side_by_side};
use crate::sys::{self, Moment};

/// How many bytes an event's data has.
pub(super) const DATA: usize = 64;
/// How many events make a round.
const EVENTS: usize = 3;
/// How many come before the server is given time to seat them, so that its backlog is never full.
const BATCH: usize = 250;
/// So many events come before the first that counts: from then on their numbers have four digits, for longer than
/// any bench lasts, and each event is as long as the one before.
const EARLIER: usize = 1_000;

/// How subscribers hear of news.
#[derive(Clone, Copy, PartialEq)]
enum Technique {
    LongPoll,
    Sse,
    WebSocket,
}

/// Each technique, with what part of the floor's speed is to be reached.
const CASES: [(Technique, f64); 3] =
    [(Technique::LongPoll, 0.95), (Technique::Sse, 0.97), (Technique::WebSocket, 0.97)];
/// How many times as long as on the floor it may take until the first has it.
const FIRST: f64 = 1.5;

/// Measures every technique, with so many subscribers.
pub(super) fn run(effort: &Effort, place: Where, subscribers: usize) -> Result<Findings, String> {
    let rounds = effort.rounds_or(super::ROUNDS);
    let mut findings = Findings::default();
    for (technique, goal) in CASES {
        let (rows, costs) = technique.measure(rounds, place, subscribers, goal)?;
        findings.rows.extend(rows);
        findings.costs.push(costs);
    }
    Ok(findings)
}

fn publication() -> Vec<u8> {
    let data = "x".repeat(DATA);
    format!("POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: {DATA}\r\n\r\n{data}").into_bytes()
}

impl Technique {
    fn name(self) -> &'static str {
        match self {
            Technique::LongPoll => "long poll",
            Technique::Sse => "SSE",
            Technique::WebSocket => "WebSocket",
        }
    }

    fn measure(
        self,
        rounds: usize,
        place: Where,
        subscribers: usize,
        goal: f64,
    ) -> Result<(Vec<Row>, Costs), String> {
        let mut server = Contender::server(place.server)?;
        let sizes = self.learn(&mut server, subscribers)?;
        let floor = Contender::floor(sizes, place.server)?;
        let mut sides = [
            Crowd::gather(server, self, subscribers, sizes, place)?,
            Crowd::gather(floor, self, subscribers, sizes, place)?,
        ];
        let deliveries = (subscribers * EVENTS) as f64;
        let bench = format!("floor, {} to {subscribers}", self.name());
        let measured = side_by_side(&bench, rounds, |is_floor| {
            let Crowd { contender, fan } = &mut sides[usize::from(is_floor)];
            let (heard, cost) = contender.cost(|| fan.ring_often(EVENTS))?;
            let seconds: f64 = heard.iter().map(|heard| heard.all).sum();
            let [last, first, all] = median(&heard).map(|seconds| seconds * 1e3);
            let costs = [cost.cpu * 1e6 / deliveries, cost.calls / deliveries, cost.cpu / seconds];
            Ok([last, first, all, costs[0], costs[1], costs[2]])
        })?;
        let [last, first, all, cpu, calls, busy] = measured;
        let row = |what, short, measured, ratio, goal| Row {
            name: format!("{}, until {what}", self.name()),
            short,
            measured,
            ratio,
            goal,
        };
        let at_least = Goal::AtLeast(goal);
        let mut rows = vec![
            row("the last has it", self.name(), last, last.ratio.inverse(), at_least),
            row("the first has it", self.name(), first, first.ratio, Goal::AtMost(FIRST)),
        ];
        if self == Technique::LongPoll {
            rows.push(row("all have asked again", "asked again", all, all.ratio.inverse(), at_least));
        }
        Ok((rows, Costs { of: self.name(), cpu, calls, busy }))
    }

    /// What a subscriber sends.
    fn question(self) -> Result<Vec<u8>, String> {
        let (target, fields) = match self {
            Technique::LongPoll => ("/poll", String::new()),
            Technique::Sse => ("/connect", "Accept: text/event-stream\r\n".to_owned()),
            Technique::WebSocket => ("/ws", upgrade_fields()?),
        };
        Ok(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes())
    }

    /// Reads what the server says to a new subscriber.
    fn greeting(self, line: &mut Line) -> Result<(), String> {
        match self {
            Technique::LongPoll => {}
            Technique::Sse => drop((line.answer()?, line.chunk()?)),
            Technique::WebSocket => drop((line.answer()?, line.frame()?)),
        }
        Ok(())
    }

    fn event(self, line: &mut Line) -> Result<Vec<u8>, String> {
        match self {
            Technique::LongPoll => line.answer(),
            Technique::Sse => line.chunk(),
            Technique::WebSocket => line.frame(),
        }
    }

    /// Publishes so often that events no longer grow, and says how long everything is.
    fn learn(self, server: &mut Contender, subscribers: usize) -> Result<Sizes, String> {
        let (question, publication) = (self.question()?, publication());
        let mut bell = server.process().connect()?;
        for _ in 1..EARLIER {
            bell.send(&publication)?;
            bell.answer()?;
        }
        let mut line = server.process().connect()?;
        line.send(&question)?;
        self.greeting(&mut line)?;
        server.await_seats(1)?;
        bell.send(&publication)?;
        let answer = bell.answer()?;
        let event = self.event(&mut line)?;
        if memchr::memmem::find(&event, &publication[publication.len() - DATA..]).is_none() {
            return Err(format!("{} was heard, and not the event", event.escape_ascii()));
        }
        drop(line);
        server.await_seats(0)?;
        Ok(Sizes {
            question: question.len(),
            // It says to how many the event is delivered, and that was one here.
            answer: answer.len() - 1 + subscribers.to_string().len(),
            publication: publication.len(),
            event: event.len(),
            once: self == Technique::LongPoll,
        })
    }
}

/// Until the last, until the first, until all, each in the middle of several events.
fn median(heard: &[Heard]) -> [f64; 3] {
    let of = |what: fn(&Heard) -> f64| Spread::of(&heard.iter().map(what).collect::<Vec<_>>()).median;
    [of(|heard| heard.last), of(|heard| heard.first), of(|heard| heard.all)]
}

/// A contender and its subscribers.
struct Crowd {
    // Above the contender, so that they are closed before it goes.
    fan: Fan,
    contender: Contender,
}

/// The clients of it.
struct Fan {
    ears: Ears,
    /// Who publishes.
    bell: Line,
    publication: Vec<u8>,
    /// How many bytes a publication is answered with.
    acknowledgement: usize,
    /// Who asks for something when all have asked again: the answer says that they have been heard.
    last: Line,
    /// What everybody asks again, if it is to be asked again.
    again: Option<Vec<u8>>,
    is_server: bool,
}

/// When something was heard, in seconds from the publication.
struct Heard {
    first: f64,
    last: f64,
    /// When all had asked again, and the server had taken that in.
    all: f64,
}

impl Crowd {
    fn gather(
        mut contender: Contender,
        technique: Technique,
        subscribers: usize,
        sizes: Sizes,
        place: Where,
    ) -> Result<Crowd, String> {
        let is_server = matches!(contender, Contender::Server(_));
        let mut lines = Vec::with_capacity(subscribers);
        for count in 1..=subscribers {
            let mut line = contender.process().connect()?;
            sys::reset_on_close(line.socket()).map_err(|error| format!("cannot set SO_LINGER: {error}"))?;
            line.send(&technique.question()?)?;
            if is_server {
                technique.greeting(&mut line)?;
            }
            lines.push(line);
            if count % BATCH == 0 || count == subscribers {
                contender.await_seats(count)?;
            }
        }
        let again = (technique == Technique::LongPoll).then(|| technique.question()).transpose()?;
        let fan = Fan {
            ears: Ears::on(lines, sizes.event, place.is_apart())?,
            bell: contender.process().connect()?,
            publication: publication(),
            acknowledgement: sizes.answer,
            last: contender.process().connect()?,
            again,
            is_server,
        };
        Ok(Crowd { fan, contender })
    }
}

impl Fan {
    fn ring_often(&mut self, times: usize) -> Result<Vec<Heard>, String> {
        (0..times).map(|_| self.ring()).collect()
    }

    /// Publishes one event, and waits until everybody has it; and until all have asked again, if they do.
    fn ring(&mut self) -> Result<Heard, String> {
        let start = sys::moment();
        self.bell.send(&self.publication)?;
        let (first, last) = self.listen(start)?;
        self.bell.take(self.acknowledgement)?;
        self.ask_again()?;
        Ok(Heard { first, last, all: start.elapsed().as_secs_f64() })
    }

    fn listen(&mut self, start: Moment) -> Result<(f64, f64), String> {
        let mut complete = Vec::new();
        let (count, mut heard, mut first) = (self.ears.count(), 0, None);
        while heard < count {
            let told = |error| format!("{error}, when {heard} of {count} had heard the event");
            self.ears.hear(&mut complete).map_err(told)?;
            heard += complete.len();
            if heard > 0 {
                first.get_or_insert_with(|| start.elapsed());
            }
        }
        let last = start.elapsed();
        Ok((first.unwrap_or(last).as_secs_f64(), last.as_secs_f64()))
    }

    /// Everybody asks again, and last of all somebody who is answered at once: epoll reports the ready in the
    /// order in which they became so, and so everybody before has been heard then.
    fn ask_again(&mut self) -> Result<(), String> {
        let Some(again) = &self.again else { return Ok(()) };
        for at in 0..self.ears.count() {
            self.ears.say(at, again)?;
        }
        if self.is_server {
            self.last.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            self.last.answer().map(drop)
        } else {
            self.last.send(&HOW_MANY)?;
            self.last.take(THIS_MANY).map(drop)
        }
    }
}
