//! A client with many connections that does as little as it can: it counts bytes.
//!
//! It is the same for the server, the floor and the peers, and must not be what they wait for. So it knows beforehand
//! how long each answer is, and looks at nothing else; and where it has a processor to itself it never sleeps,
//! lest the other side pays for waking it.

use super::PATIENCE;
use super::line::Line;
use crate::sys::{self, EpollEvent, EpollOp, Fd};

/// How many ready fds one wait returns at most.
const BATCH: usize = 64;

/// Connections, and how much each has heard of what it is to hear.
pub struct Ears {
    lines: Vec<Line>,
    heard: Vec<usize>,
    /// How many bytes are a whole answer.
    whole: usize,
    epoll: Fd,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    /// In milliseconds: 0 if it never sleeps.
    timeout: i32,
}

impl Ears {
    /// Listens on these lines for answers of so many bytes.
    pub fn on(lines: Vec<Line>, whole: usize, is_restless: bool) -> Result<Ears, String> {
        let told = |error| format!("cannot watch {} connections with epoll: {error}", lines.len());
        let epoll = sys::epoll_create1().map_err(told)?;
        for (at, line) in lines.iter().enumerate() {
            let number = line.socket().number();
            sys::epoll_ctl(&epoll, number, EpollOp::Add(sys::EPOLLIN, at as u64)).map_err(told)?;
        }
        let timeout = if is_restless { 0 } else { PATIENCE.as_millis() as i32 };
        let (heard, events) = (vec![0; lines.len()], vec![EpollEvent::EMPTY; BATCH]);
        Ok(Ears { lines, heard, whole, epoll, events, buffer: vec![0; 64 * 1024], timeout })
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Says something on one of them.
    pub fn say(&self, at: usize, words: &[u8]) -> Result<(), String> {
        match sys::write(self.lines[at].socket(), words) {
            Ok(count) if count == words.len() => Ok(()),
            Ok(count) => Err(format!("the kernel took {count} of {} bytes of a question", words.len())),
            Err(error) => Err(format!("cannot write to the server: {error}")),
        }
    }

    /// Waits until something has come, and leaves in `complete` who has now heard a whole answer.
    pub fn hear(&mut self, complete: &mut Vec<usize>) -> Result<(), String> {
        complete.clear();
        let count = self.wait()?;
        for event in &self.events[..count] {
            let at = event.data() as usize;
            match sys::read(self.lines[at].socket(), &mut self.buffer) {
                Ok(0) => return Err("the server closed a connection".to_owned()),
                Ok(more) => self.heard[at] += more,
                Err(error) => return Err(format!("cannot read from the server: {error}")),
            }
            if self.heard[at] > self.whole {
                return Err(format!("{} bytes came as an answer, not {}", self.heard[at], self.whole));
            }
            if self.heard[at] == self.whole {
                self.heard[at] = 0;
                complete.push(at);
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<usize, String> {
        let start = sys::moment();
        loop {
            match sys::epoll_wait(&self.epoll, &mut self.events, self.timeout) {
                Ok(count @ 1..) => return Ok(count),
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(format!("cannot wait for an answer: {error}"));
                }
                _ if start.elapsed() > PATIENCE => {
                    return Err(format!("the server was silent for {} s", PATIENCE.as_secs()));
                }
                _ => {}
            }
        }
    }
}
