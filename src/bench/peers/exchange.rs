//! Questions and answers on one connection: HTTP, and the echo of a WebSocket; one at a time, and several at once.

use super::super::Effort;
use super::super::line::{self, Line, chance, upgrade_fields};
use super::super::plot::{Axis, Panel};
use super::super::rounds::{Spread, in_turn};
use super::super::table::{Cell, Table};
use super::bars;
use super::peer::Running;
use crate::sys;
use std::time::Duration;

/// What is asked.
#[derive(Clone, Copy)]
enum Question {
    /// `GET /healthz` on a connection that stays open.
    Http,
    /// A WebSocket's text message of so many bytes, which comes back.
    Echo(usize),
}

/// A question, and how many of them are on their way at once.
struct Row {
    name: &'static str,
    question: Question,
    depth: usize,
}

const ROWS: [Row; 6] = [
    Row { name: "HTTP keep-alive", question: Question::Http, depth: 1 },
    Row { name: "HTTP, 16 at once", question: Question::Http, depth: 16 },
    Row { name: "echo 20 B", question: Question::Echo(20), depth: 1 },
    Row { name: "echo 20 B, 16 at once", question: Question::Echo(20), depth: 16 },
    Row { name: "echo 1 KiB", question: Question::Echo(1024), depth: 1 },
    Row { name: "echo 1 KiB, 16 at once", question: Question::Echo(1024), depth: 16 },
];

/// How many a second, and microseconds of the server's CPU for each.
const FIGURES: usize = 2;

pub(super) fn find(effort: &Effort, servers: &[Running]) -> Result<(Table, Vec<Panel>), String> {
    let pairs = ROWS.iter().flat_map(|row| servers.iter().map(move |server| (row, server)));
    let contenders: Vec<(&Row, &Running)> = pairs.filter(|(row, server)| can(server, row.question)).collect();
    let span = Duration::from_millis(if effort.quick { 20 } else { 500 });
    let figures = in_turn("peers (1 of 3)", effort.rounds_or(5), contenders.len(), |contender| {
        let (row, server) = contenders[contender];
        measure(row, server, span).map_err(|error| server.told(&format!("{}: {error}", row.name)))
    })?;
    let figure_of = |row: &Row, server: &str| {
        let mut measured = contenders.iter().zip(&figures);
        measured
            .find(|((at, running), _)| at.name == row.name && running.peer.name == server)
            .map(|(_, figures)| *figures)
    };
    let names: Vec<&str> = servers.iter().map(|server| server.peer.name).collect();
    Ok((table(&names, figure_of), vec![panel(&names, figure_of)]))
}

fn can(server: &Running, question: Question) -> bool {
    server.peer.echoes || matches!(question, Question::Http)
}

fn measure(row: &Row, server: &Running, span: Duration) -> Result<[f64; FIGURES], String> {
    let mut line = Line::open(server.address)?;
    let question = match row.question {
        Question::Http => b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        Question::Echo(size) => {
            let fields = upgrade_fields()?;
            line.send(format!("GET /echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes())?;
            line.answer()?;
            message(size)?
        }
    };
    line.send(&question)?;
    let answer = match row.question {
        Question::Http => line.answer()?,
        Question::Echo(_) => line.frame()?,
    };
    let mut volley = Volley::new(line, row, &question, &answer);
    let cpu = server.cpu()?;
    let start = sys::moment();
    let mut count = 0;
    while start.elapsed() < span {
        volley.exchange()?;
        count += row.depth;
    }
    let elapsed = start.elapsed();
    let cpu = server.cpu()? - cpu;
    Ok([count as f64 / elapsed.as_secs_f64(), cpu * 1e6 / count as f64])
}

/// So many questions, sent with one write, and then as many answers.
struct Volley {
    line: Line,
    questions: Vec<u8>,
    /// What each answer is like, and how much of it must be the same each time.
    answer: Vec<u8>,
    same: usize,
    room: Vec<u8>,
}

impl Volley {
    fn new(line: Line, row: &Row, question: &[u8], answer: &[u8]) -> Volley {
        let same = match row.question {
            // The date changes.
            Question::Http => b"HTTP/1.1 200 OK\r\n".len(),
            Question::Echo(_) => answer.len(),
        };
        Volley {
            line,
            questions: question.repeat(row.depth),
            answer: answer.to_vec(),
            same,
            room: vec![0; answer.len() * row.depth],
        }
    }

    fn exchange(&mut self) -> Result<(), String> {
        self.line.send(&self.questions)?;
        let mut had = 0;
        while had < self.room.len() {
            match sys::read(self.line.socket(), &mut self.room[had..]) {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(count) => had += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(line::broken("read from", &error)),
            }
        }
        let is_right = |answer: &[u8]| answer[..self.same] == self.answer[..self.same];
        if self.room.chunks_exact(self.answer.len()).all(is_right) {
            Ok(())
        } else {
            Err(format!("what came is not what came first: {}", self.answer.escape_ascii()))
        }
    }
}

/// A text message of so many bytes, masked (RFC 6455 §5.3).
fn message(size: usize) -> Result<Vec<u8>, String> {
    let mut frame = vec![0x81];
    match size {
        0..126 => frame.push(0x80 | size as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
        }
    }
    let key = &chance()?.to_ne_bytes()[..4];
    frame.extend_from_slice(key);
    frame.extend((0..size).map(|at| b"doorbell "[at % 9] ^ key[at % 4]));
    Ok(frame)
}

fn table(names: &[&str], figure_of: impl Fn(&Row, &str) -> Option<[Spread; FIGURES]>) -> Table {
    let columns = [
        ("row", "one connection"),
        ("server", "server"),
        ("rate", "a second"),
        ("share", "of doorbell's"),
        ("cpu", "CPU µs each"),
    ];
    let mut table = Table::new("Questions on one connection", &columns).grouped();
    for row in &ROWS {
        let own = figure_of(row, names[0]).map(|[rate, _]| rate.median);
        for name in names {
            let Some([rate, cpu]) = figure_of(row, name) else { continue };
            let share = own.map(|own| rate.median / own);
            table.push(vec![row.name.into(), (*name).into(), rate.into(), Cell::from(share), cpu.into()]);
        }
    }
    table
}

fn panel(names: &[&str], figure_of: impl Fn(&Row, &str) -> Option<[Spread; FIGURES]>) -> Panel {
    let lines = bars(names, |name| {
        let rate = |row| figure_of(row, name).map(|[rate, _]| rate.median);
        ROWS.iter().enumerate().filter_map(|(at, row)| Some((at as f64, rate(row)?))).collect()
    });
    Panel {
        title: "questions a second on one connection".to_owned(),
        x: Axis::of_names(&["HTTP", "HTTP ×16", "20 B", "×16", "1 KiB", "×16"]),
        y: Axis::linear("a second"),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_masked_and_as_long_as_it_says() {
        for (size, head) in [(20, 2), (1024, 4)] {
            let frame = message(size).unwrap();
            assert_eq!((frame[0], frame[1] & 0x80, frame.len()), (0x81, 0x80, head + 4 + size));
            let key: Vec<u8> = frame[head..head + 4].to_vec();
            let content: Vec<u8> =
                frame[head + 4..].iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            assert!(content.starts_with(b"doorbell doorbell "));
        }
    }
}
