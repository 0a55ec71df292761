//! Where a conversation of the matrix takes place: a server, a subscriber, and somebody who rings the bell.
//!
//! Everything is in lock-step: nobody speaks before the one who spoke last was answered. So each wait of the
//! server finds one fd ready, and its calls can be counted exactly. That it was so is checked by the server's
//! own figures; if it was not (a debugger stopped the server, or a kernel thread was late) the conversation
//! is held once more.

use super::super::PATIENCE;
use super::super::line::{Line, chance, upgrade_fields};
use super::super::server::{Calls, Metrics, PATIENT, Server};
use super::mask::{Known, mask};
use super::script::Script;
use crate::multiplexer::Mechanism;
use crate::sys;

/// How often a conversation is held, if it was disturbed.
const ATTEMPTS: usize = 8;

/// A server over one mechanism, and what is always there: the connection on which its metrics are read, and
/// the one on which events are published.
pub struct House {
    /// How the server waits.
    pub mechanism: Mechanism,
    server: Server,
    bell: Line,
    epoch: String,
    channels: usize,
    /// What reading the metrics once costs the server.
    reading: Calls,
    /// What publishing an event costs it while nobody listens.
    pub publication: Calls,
}

/// A conversation that was held in lock-step.
#[derive(Clone, Debug)]
pub struct Take {
    /// What it cost the server, without the readings and without the publications.
    pub calls: Calls,
    /// What was said, masked, step by step.
    pub said: Vec<String>,
    /// How many bytes went from the subscriber to the server.
    pub sent: usize,
    /// How many bytes the subscriber got.
    pub received: usize,
    /// How many events were published by somebody else.
    pub publications: usize,
}

impl House {
    /// Starts a server, and finds out what it costs to ask it and to publish.
    pub fn open(mechanism: Mechanism) -> Result<House, String> {
        let flags = [&["--multiplexer", mechanism.name()], &PATIENT[..]].concat();
        let server = Server::start(&flags)?;
        let bell = server.connect()?;
        let (epoch, none) = (String::new(), Calls::default());
        let mut house =
            House { mechanism, server, bell, epoch, channels: 0, reading: none.clone(), publication: none };
        house.epoch = house.learn_epoch()?;
        // With nothing in between, all that is counted is one reading.
        house.reading = house.undisturbed(|_| Ok(((), 0)))?.1;
        house.publication = house.undisturbed(|house| house.publish_alone().map(|()| ((), 1)))?.1;
        Ok(house)
    }

    /// Holds a conversation and counts what it cost.
    pub fn hold(&mut self, script: Script) -> Result<Take, String> {
        let ((take, _), calls) = self.undisturbed(|house| {
            let mut stage = house.stage()?;
            script(&mut stage)?;
            let readings = stage.readings + 1;
            Ok((stage.end(), readings))
        })?;
        let calls = calls.less(&self.publication, take.publications);
        Ok(Take { calls, ..take })
    }

    /// Does something and returns the server's calls meanwhile, less those of the readings: `act` says how
    /// many are to be subtracted, the one at the end included. What it returns is dropped after that one, so
    /// a connection in it is open until then.
    fn undisturbed<T>(
        &mut self,
        mut act: impl FnMut(&mut House) -> Result<(T, usize), String>,
    ) -> Result<(T, Calls), String> {
        for _ in 0..ATTEMPTS {
            let before = self.quiet()?;
            let (outcome, readings) = act(self)?;
            let after = self.server.metrics()?;
            if self.was_in_step(&before, &after) {
                return Ok((outcome, after.calls().less(&before.calls(), 1).less(&self.reading, readings)));
            }
        }
        Err(format!(
            "the server over {} was disturbed {ATTEMPTS} times while its calls were counted; does a debugger \
             or strace hold it?",
            self.mechanism.name()
        ))
    }

    /// Waits until only the two connections are left that are always there.
    fn quiet(&mut self) -> Result<Metrics, String> {
        self.wait_for("doorbell_connections", 2.0).map(|(metrics, _)| metrics)
    }

    /// Reads the metrics until a figure is as it should be, and says how often.
    fn wait_for(&mut self, name: &str, expected: f64) -> Result<(Metrics, usize), String> {
        let start = sys::moment();
        let mut readings = 0;
        loop {
            // Not while it is still busy: two clients in one wait would be counted as one wait.
            self.server.wait_until_asleep()?;
            let metrics = self.server.metrics()?;
            readings += 1;
            let figure = metrics.get(name) + metrics.sum(name);
            if figure == expected {
                return Ok((metrics, readings));
            }
            if start.elapsed() > PATIENCE {
                return Err(self.server.with_last_words(&format!("{name} is {figure} and not {expected}")));
            }
        }
    }

    /// Each wait returned one ready fd: none was interrupted, and no two clients were heard in one.
    fn was_in_step(&self, before: &Metrics, after: &Metrics) -> bool {
        let since = |name: &str| after.get(name) - before.get(name);
        let waits = after.calls().less(&before.calls(), 1).get(wait_name(self.mechanism)) as f64;
        since("doorbell_wakeups_total") == waits && since("doorbell_ready_total") == waits
    }

    fn publish(&mut self, channel: &str, data: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
        let request = format!(
            "POST /event?channel={channel} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{data}",
            data.len()
        );
        self.bell.send(request.as_bytes())?;
        Ok((request.into_bytes(), self.bell.answer()?))
    }

    fn publish_alone(&mut self) -> Result<(), String> {
        self.publish("nobody", "ding").map(drop)
    }

    /// An event's id begins with the epoch.
    fn learn_epoch(&mut self) -> Result<String, String> {
        let (_, answer) = self.publish("nobody", "ding")?;
        let id = value_of(&answer, "id")?;
        let (epoch, _) = id.split_once('-').ok_or_else(|| format!("{id:?} is no event's id"))?;
        Ok(epoch.to_owned())
    }

    fn stage(&mut self) -> Result<Stage<'_>, String> {
        self.channels += 1;
        let channel = format!("bench-{:03}", self.channels);
        let line = self.server.connect()?;
        Ok(Stage {
            house: self,
            line,
            channel,
            readings: 0,
            publications: 0,
            sent: 0,
            received: 0,
            said: Vec::new(),
        })
    }
}

/// What strace(1) calls the wait of a mechanism.
pub fn wait_name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Select => "pselect6",
        Mechanism::Poll => "poll",
        Mechanism::Epoll => "epoll_wait",
    }
}

/// One conversation under way.
pub struct Stage<'a> {
    house: &'a mut House,
    line: Line,
    channel: String,
    readings: usize,
    publications: usize,
    sent: usize,
    received: usize,
    said: Vec<Vec<u8>>,
}

impl Stage<'_> {
    /// The subscriber sends a GET; `%` in the target stands for the channel. `fields` are whole lines.
    pub fn get(&mut self, target: &str, fields: &str) -> Result<(), String> {
        let target = target.replace('%', &format!("channel={}", self.channel));
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes();
        self.send(&request, request.clone())
    }

    /// The subscriber asks for a WebSocket.
    pub fn upgrade(&mut self, target: &str) -> Result<(), String> {
        self.get(target, &upgrade_fields()?)
    }

    /// The subscriber sends a whole frame of up to 125 bytes, masked (RFC 6455 §5.3). What is noted of it is
    /// its head, that it was masked, and the payload.
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        let key = (chance()? as u32).to_ne_bytes();
        let head = [0x80 | opcode, 0x80 | payload.len() as u8];
        let masked: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.send(&[&head[..], &key, &masked].concat(), [&head[..], b"<mask>", payload].concat())
    }

    /// The server's answer.
    pub fn answer(&mut self) -> Result<(), String> {
        let bytes = self.line.answer()?;
        self.hear(bytes);
        Ok(())
    }

    /// A chunk of it.
    pub fn chunk(&mut self) -> Result<(), String> {
        let bytes = self.line.chunk()?;
        self.hear(bytes);
        Ok(())
    }

    /// A frame of it.
    pub fn frame(&mut self) -> Result<(), String> {
        let bytes = self.line.frame()?;
        self.hear(bytes);
        Ok(())
    }

    /// Somebody else publishes, and is answered.
    pub fn ring(&mut self, data: &str) -> Result<(), String> {
        let (request, answer) = self.house.publish(&self.channel, data)?;
        self.publications += 1;
        self.said.extend([request, answer]);
        Ok(())
    }

    /// Waits until the server has taken the subscriber's seat: a long poll is parked.
    pub fn wait_until_parked(&mut self) -> Result<(), String> {
        let (_, readings) = self.house.wait_for("doorbell_subscribers", 1.0)?;
        self.readings += readings;
        Ok(())
    }

    /// The cursor in the last answer.
    pub fn cursor(&self) -> Result<String, String> {
        value_of(self.said.last().map_or(&[], Vec::as_slice), "cursor")
    }

    fn send(&mut self, bytes: &[u8], noted: Vec<u8>) -> Result<(), String> {
        self.line.send(bytes)?;
        self.sent += bytes.len();
        self.said.push(noted);
        Ok(())
    }

    fn hear(&mut self, bytes: Vec<u8>) {
        self.received += bytes.len();
        self.said.push(bytes);
    }

    /// What there was, and the connection, which is to stay open until the calls are counted.
    fn end(self) -> (Take, Line) {
        let known = Known { epoch: &self.house.epoch, channel: &self.channel };
        let take = Take {
            calls: Calls::default(),
            said: self.said.iter().map(|bytes| mask(bytes, known)).collect(),
            sent: self.sent,
            received: self.received,
            publications: self.publications,
        };
        (take, self.line)
    }
}

/// The text behind a name in a JSON object.
fn value_of(bytes: &[u8], name: &str) -> Result<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let value = text.split_once(&format!("\"{name}\":\"")).and_then(|(_, rest)| rest.split_once('"'));
    value.map(|(value, _)| value.to_owned()).ok_or_else(|| format!("no {name} in {:?}", text.escape_debug()))
}
