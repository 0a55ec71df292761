//! Questions and answers on connections that stay open.
//!
//! Several connections ask at once, each again as soon as it is answered; *depth* is how many questions each has
//! under way. With a single connection both sides would sleep most of the time, and what is measured would be
//! how long the kernel takes to wake them.

use super::ears::Ears;
use super::line::{Line, chance, upgrade_fields};
use crate::sys;
use crate::websocket::frame::{Opcode, write_masked};
use std::net::SocketAddr;
use std::time::Duration;

/// How many ask at once.
pub const CONNECTIONS: usize = 32;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `GET /healthz`.
    Healthz,
    /// So many bytes are to be sent back on a WebSocket.
    Echo(usize),
}

impl Question {
    /// What a client sends.
    pub fn words(self) -> Result<Vec<u8>, String> {
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

    /// A connection on which it can be asked.
    pub fn open(self, server: SocketAddr) -> Result<Line, String> {
        let mut line = Line::open(server)?;
        if let Question::Echo(_) = self {
            let request = format!("GET /echo HTTP/1.1\r\nHost: localhost\r\n{}\r\n", upgrade_fields()?);
            line.send(request.as_bytes())?;
            expect(&line.answer()?, b"HTTP/1.1 101 ")?;
        }
        Ok(line)
    }

    /// Asks once, looks at the answer, and says how long it is.
    pub fn learn(self, server: SocketAddr, words: &[u8]) -> Result<usize, String> {
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
pub struct Asking {
    ears: Ears,
    /// As many questions as are under way at once.
    words: Vec<u8>,
    depth: usize,
}

impl Asking {
    /// Asks these words on each of these lines, `depth` times at once. An answer has so many bytes. Who is restless
    /// never sleeps.
    pub fn on(
        lines: Vec<Line>,
        words: &[u8],
        answer: usize,
        depth: usize,
        is_restless: bool,
    ) -> Result<Asking, String> {
        let ears = Ears::on(lines, answer * depth, is_restless)?;
        Ok(Asking { ears, words: words.repeat(depth), depth })
    }

    /// Lets all of them ask for so long, and waits for the last answer. Returns the seconds that it took and how
    /// many answers there were.
    pub fn ask_for(&mut self, span: Duration) -> Result<(f64, f64), String> {
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
