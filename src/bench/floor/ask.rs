//! Questions and answers: how many in a second.
//!
//! Several connections ask at once, each again as soon as it is answered; *depth* is how many questions each has
//! under way. With a single connection both sides would sleep most of the time, and what is measured would be
//! how long the kernel takes to wake them.

use super::bare::Sizes;
use super::contender::Contender;
use super::ears::Ears;
use super::{Costs, Findings, Goal, Row, Where};
use crate::bench::Effort;
use crate::bench::line::{Line, chance, upgrade_fields};
use crate::bench::rounds::side_by_side;
use crate::sys;
use crate::websocket::frame::{Opcode, write_masked};
use std::time::Duration;

/// How many ask at once.
pub(super) const CONNECTIONS: usize = 32;
/// How long they ask in one round.
const SPAN: Duration = Duration::from_millis(80);
const SPAN_QUICK: Duration = Duration::from_millis(10);

/// What is asked.
#[derive(Clone, Copy)]
enum Question {
    Healthz,
    /// So many bytes are to be sent back.
    Echo(usize),
}

/// What is measured.
struct Case {
    name: &'static str,
    short: &'static str,
    question: Question,
    /// How many times each connection asks at once.
    depth: usize,
    /// What part of the floor's answers is to be reached.
    goal: f64,
}

const CASES: [Case; 6] = {
    use Question::{Echo, Healthz};
    const fn case(
        name: &'static str,
        short: &'static str,
        question: Question,
        depth: usize,
        goal: f64,
    ) -> Case {
        Case { name, short, question, depth, goal }
    }
    [
        case("HTTP, depth 1", "HTTP 1", Healthz, 1, 0.97),
        case("HTTP, pipelined 16", "HTTP 16", Healthz, 16, 0.80),
        case("WebSocket echo of 20 B, depth 1", "20 B 1", Echo(20), 1, 0.97),
        case("WebSocket echo of 20 B, depth 16", "20 B 16", Echo(20), 16, 0.95),
        case("WebSocket echo of 1 KiB, depth 1", "1 KiB 1", Echo(1024), 1, 0.97),
        case("WebSocket echo of 1 KiB, depth 16", "1 KiB 16", Echo(1024), 16, 0.95),
    ]
};

/// Measures every case.
pub(super) fn run(effort: &Effort, place: Where) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for case in &CASES {
        let (row, costs) = case.measure(effort, place)?;
        findings.rows.push(row);
        findings.costs.push(costs);
    }
    Ok(findings)
}

impl Case {
    fn measure(&self, effort: &Effort, place: Where) -> Result<(Row, Costs), String> {
        let Case { name, short, question, depth, goal } = *self;
        let span = if effort.quick { SPAN_QUICK } else { SPAN };
        let words = question.words()?;
        let server = Contender::server(place.server)?;
        let answer = question.learn(&server, &words)?;
        let floor =
            Contender::floor(Sizes { question: words.len(), answer, ..Sizes::default() }, place.server)?;
        let side = |contender: Contender| -> Result<(Contender, Asking), String> {
            let lines = (0..CONNECTIONS).map(|_| question.open(&contender)).collect::<Result<_, _>>()?;
            let ears = Ears::on(lines, answer * depth, place.is_apart())?;
            Ok((contender, Asking { ears, words: words.repeat(depth), depth }))
        };
        let mut sides = [side(server)?, side(floor)?];
        let bench = format!("floor, {name}");
        let [rate, cpu, calls, busy] = side_by_side(&bench, effort.rounds_or(super::ROUNDS), |is_floor| {
            let (contender, asking) = &mut sides[usize::from(is_floor)];
            let ((seconds, answers), cost) = contender.cost(|| asking.ask_for(span))?;
            Ok([answers / seconds, cost.cpu * 1e6 / answers, cost.calls / answers, cost.cpu / seconds])
        })?;
        let goal = Goal::AtLeast(goal);
        let row = Row { name: name.to_owned(), short, measured: rate, ratio: rate.ratio, goal };
        Ok((row, Costs { of: name, cpu, calls, busy }))
    }
}

impl Question {
    /// What a client sends.
    fn words(self) -> Result<Vec<u8>, String> {
        match self {
            Question::Healthz => Ok(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
            Question::Echo(size) => {
                let mut frame = Vec::new();
                let key = (chance()? as u32).to_ne_bytes();
                write_masked(&mut frame, Opcode::Binary, &vec![b'x'; size], key);
                Ok(frame)
            }
        }
    }

    /// A connection on which it can be asked. The floor needs no handshake.
    fn open(self, contender: &Contender) -> Result<Line, String> {
        let mut line = contender.process().connect()?;
        if let (Question::Echo(_), Contender::Server(_)) = (self, contender) {
            let request = format!("GET /echo HTTP/1.1\r\nHost: localhost\r\n{}\r\n", upgrade_fields()?);
            line.send(request.as_bytes())?;
            expect(&line.answer()?, b"HTTP/1.1 101 ")?;
        }
        Ok(line)
    }

    /// Asks once, looks at the answer, and says how long it is.
    fn learn(self, server: &Contender, words: &[u8]) -> Result<usize, String> {
        let mut line = self.open(server)?;
        line.send(words)?;
        match self {
            Question::Healthz => {
                let answer = line.answer()?;
                expect(&answer, b"HTTP/1.1 200 ")?;
                Ok(answer.len())
            }
            Question::Echo(size) => {
                let frame = line.frame()?;
                let said = frame.ends_with(&vec![b'x'; size]).then_some(frame.len());
                said.ok_or_else(|| "what comes back is not what was sent".to_owned())
            }
        }
    }
}

fn expect(answer: &[u8], beginning: &[u8]) -> Result<(), String> {
    if answer.starts_with(beginning) {
        return Ok(());
    }
    Err(format!("{} came, and {} was expected", answer.escape_ascii(), beginning.escape_ascii()))
}

/// Everybody asks.
struct Asking {
    ears: Ears,
    /// As many questions as are under way at once.
    words: Vec<u8>,
    depth: usize,
}

impl Asking {
    /// Lets all of them ask for so long, and waits for the last answer. Returns the seconds that it took and how
    /// many answers there were.
    fn ask_for(&mut self, span: Duration) -> Result<(f64, f64), String> {
        let start = sys::moment();
        let (mut waiting, mut answers) = (self.ears.count(), 0);
        let mut complete = Vec::new();
        for at in 0..waiting {
            self.ears.say(at, &self.words)?;
        }
        while waiting > 0 {
            self.ears.hear(&mut complete)?;
            answers += complete.len() * self.depth;
            if start.elapsed() < span {
                for &at in &complete {
                    self.ears.say(at, &self.words)?;
                }
            } else {
                waiting -= complete.len();
            }
        }
        Ok((start.elapsed().as_secs_f64(), answers as f64))
    }
}
