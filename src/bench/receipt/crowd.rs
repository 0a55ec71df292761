//! The crowd that hears the events, in lock-step with the server, and counts at its end of the wire.

use super::super::PATIENCE;
use super::super::line::Line;
use super::super::server::{Metrics, PATIENT, Server};
use super::Crowd;
use crate::sys;

/// What the clients have counted at their end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Bytes that they sent.
    pub(super) asked: u64,
    /// Bytes of heads, chunk sizes and frame headers that they got.
    pub(super) header: u64,
    /// The other bytes that they got.
    pub(super) payload: u64,
    /// From the first reading to the last, in seconds.
    pub(super) seconds: f64,
}

/// A server, and somebody who publishes.
pub(super) struct House {
    server: Server,
    bell: Line,
}

/// How much the figures of a server have grown.
pub(super) struct Growth {
    before: Metrics,
    after: Metrics,
}

impl Growth {
    pub(super) fn of(&self, figure: &str, technique: &str, labels: &str) -> f64 {
        let name = format!("doorbell_{figure}{{technique=\"{technique}\"{labels}}}");
        self.after.get(&name) - self.before.get(&name)
    }

    pub(super) fn calls(&self, technique: &str, call: &str) -> f64 {
        self.of("technique_syscalls_total", technique, &format!(",call=\"{call}\""))
    }

    pub(super) fn bytes(&self, technique: &str, direction: &str, part: &str) -> f64 {
        let labels = format!(",direction=\"{direction}\",part=\"{part}\"");
        self.of("technique_bytes_total", technique, &labels)
    }
}

impl House {
    /// Starts a server.
    pub(super) fn open() -> Result<House, String> {
        let server = Server::start(&PATIENT)?;
        let bell = server.connect()?;
        Ok(House { server, bell })
    }

    /// Lets a crowd hear all events by one technique.
    pub(super) fn deliver(
        &mut self,
        technique: &'static str,
        crowd: Crowd,
    ) -> Result<(Growth, Seen), String> {
        let mut clients = Vec::new();
        for _ in 0..crowd.clients {
            clients.push(Client::open(&self.server, technique)?);
        }
        let before = self.server.metrics()?;
        let start = sys::moment();
        for number in 0..crowd.events {
            self.ring(technique, number, &mut clients)?;
        }
        let after = self.server.metrics()?;
        let mut seen = Seen { seconds: start.elapsed().as_secs_f64(), ..Seen::default() };
        for client in &clients {
            seen.asked += client.seen.asked;
            seen.header += client.seen.header;
            seen.payload += client.seen.payload;
        }
        Ok((Growth { before, after }, seen))
    }

    /// Everybody is ready; one event; everybody hears it.
    fn ring(&mut self, technique: &str, number: u64, clients: &mut [Client]) -> Result<(), String> {
        if technique == "long_poll" {
            for (parked, client) in clients.iter_mut().enumerate() {
                client.ask("/poll")?;
                self.await_parked(parked as u64 + 1)?;
            }
        }
        let request = format!(
            "POST /event?channel={technique} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{number:010}"
        );
        self.bell.send(request.as_bytes())?;
        self.bell.answer()?;
        for client in clients {
            if technique == "short_poll" {
                client.ask("/news")?;
            }
            client.hear()?;
        }
        Ok(())
    }

    fn await_parked(&mut self, count: u64) -> Result<(), String> {
        let start = sys::moment();
        loop {
            // Not while it is still busy: the poll and this question would be one wake-up.
            self.server.wait_until_asleep()?;
            let metrics = self.server.metrics()?;
            if metrics.get("doorbell_subscribers") == count as f64 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err("the server does not park the polls".to_owned());
            }
        }
    }
}

/// One of the crowd.
struct Client {
    technique: &'static str,
    line: Line,
    cursor: String,
    seen: Seen,
}

impl Client {
    /// Connects and speaks the technique once, so that the connection counts as one of it.
    fn open(server: &Server, technique: &'static str) -> Result<Client, String> {
        let line = server.connect()?;
        let mut client = Client { technique, line, cursor: "start".into(), seen: Seen::default() };
        match technique {
            "short_poll" => client.get("/news", "")?,
            "long_poll" => client.get("/poll", "&timeout=0")?,
            "stream" => client.get("/stream", "")?,
            "sse" => client.get("/connect", "")?,
            _ => client.upgrade()?,
        }
        let answer = client.line.answer()?;
        match technique {
            "short_poll" | "long_poll" => client.cursor = cursor_in(&answer)?,
            "websocket" => drop(client.line.frame()?),
            _ => drop(client.line.chunk()?),
        }
        client.seen = Seen::default();
        Ok(client)
    }

    fn get(&mut self, path: &str, more: &str) -> Result<(), String> {
        let technique = self.technique;
        let request = format!("GET {path}?channel={technique}{more} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.seen.asked += request.len() as u64;
        self.line.send(request.as_bytes())
    }

    fn upgrade(&mut self) -> Result<(), String> {
        // Any 16 bytes will do as a key; this one is from RFC 6455 §1.2.
        let request = "GET /ws?channel=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.line.send(request.as_bytes())
    }

    fn ask(&mut self, path: &str) -> Result<(), String> {
        let since = format!("&since={}", self.cursor);
        self.get(path, &since)
    }

    /// Reads one event and counts its bytes.
    fn hear(&mut self) -> Result<(), String> {
        let (header, all) = match self.technique {
            "short_poll" | "long_poll" => {
                let answer = self.line.answer()?;
                self.cursor = cursor_in(&answer)?;
                let head = memchr::memmem::find(&answer, b"\r\n\r\n").map_or(0, |at| at + 4);
                (head, answer.len())
            }
            "websocket" => {
                let frame = self.line.frame()?;
                (if frame[1] < 126 { 2 } else { 4 }, frame.len())
            }
            _ => {
                let chunk = self.line.chunk()?;
                let size = memchr::memmem::find(&chunk, b"\r\n").map_or(0, |at| at + 2);
                (size + 2, chunk.len())
            }
        };
        self.seen.header += header as u64;
        self.seen.payload += (all - header) as u64;
        Ok(())
    }
}

fn cursor_in(answer: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(answer);
    let cursor = text.split("\"cursor\":\"").nth(1).and_then(|rest| rest.split('"').next());
    cursor.map(str::to_owned).ok_or_else(|| format!("an answer without a cursor: {text}"))
}
