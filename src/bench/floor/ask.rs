//! Questions and answers: how many in a second, of the server and of the floor.

use super::bare::Sizes;
use super::contender::Contender;
use super::{Costs, Findings, Goal, Row, Where};
use crate::bench::Effort;
use crate::bench::line::Line;
use crate::bench::question::{Asking, CONNECTIONS, Question};
use crate::bench::rounds::side_by_side;
use std::time::Duration;

/// How long they ask in one round.
const SPAN: Duration = Duration::from_millis(80);
const SPAN_QUICK: Duration = Duration::from_millis(10);

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
        let answer = question.learn(server.process().address, &words)?;
        let floor =
            Contender::floor(Sizes { question: words.len(), answer, ..Sizes::default() }, place.server)?;
        let side = |contender: Contender| -> Result<(Contender, Asking), String> {
            let lines = (0..CONNECTIONS).map(|_| open(question, &contender)).collect::<Result<_, _>>()?;
            let asking = Asking::on(lines, &words, answer, depth, place.is_apart())?;
            Ok((contender, asking))
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

/// A connection on which it can be asked. The floor needs no handshake.
fn open(question: Question, contender: &Contender) -> Result<Line, String> {
    match contender {
        Contender::Server(server) => question.open(server.address),
        Contender::Floor { process, .. } => process.connect(),
    }
}
