//! One connection of a follower: what the server says on it, from the head of an answer on.
//!
//! The rules of its interface, which are those of the server's conversations: bytes in, values out. A talk
//! begins with a request and sees no socket; it keeps bytes only while something is unfinished.

use super::answer::{Broken, Framing, Head};
use super::frames;
use super::object::{self, Kind, Said};
use super::request::{self, Ask};
use super::sse;
use super::why::{Refusal, Why};
use crate::buffer::Inbox;
use crate::channel::ChannelName;
use crate::random::Random;
use crate::websocket::close::{Code, Violation};
use crate::websocket::frame::{self, Opcode};
use crate::websocket::handshake::{self, Accept, Offer};
use crate::websocket::message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What follows from what was heard.
#[derive(Debug)]
pub enum Next {
    /// More is to come.
    Wait,
    /// A poll was answered.
    Answered {
        /// Why.
        kind: Kind,
        /// How many bytes the answer had.
        length: usize,
        /// Whether the connection may take another request.
        keep_alive: bool,
    },
    /// A publication was accepted.
    Published {
        /// The event's id.
        id: String,
        /// Whether the connection may take another request.
        keep_alive: bool,
    },
    /// It is over.
    Over(Why),
}

/// One request, and what comes of it.
#[derive(Debug)]
pub struct Talk {
    state: State,
    form: Form,
    /// Some bytes have come.
    heard: bool,
    inbox: Inbox,
}

/// The form of what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Answer,
    Receipt,
    Lines,
    EventStream,
    Messages,
}

#[derive(Debug)]
enum State {
    /// The head is awaited; on a WebSocket with this proof in it.
    Head(Option<Accept>),
    /// Content is coming.
    Body { framing: Framing, keep_alive: bool, reader: Reader },
    /// Frames are coming.
    Frames(frames::Reader),
}

/// What becomes of content.
#[derive(Debug)]
enum Reader {
    /// One object, of which this much has come; unless it lies whole before us.
    Answer(Vec<u8>),
    /// A JSON object a line; the last one is unfinished.
    Lines(Vec<u8>),
    /// Server-Sent Events.
    EventStream(sse::Parser),
    /// The body of a refusal.
    Refusal(Box<(Refusal, bool, Vec<u8>)>),
}

/// The largest answer, line or refusal that is kept, in bytes. It bounds what a server can make us keep.
const LARGEST: usize = 256 << 20;
/// So much of a refusal is read for its detail.
const LARGEST_REFUSAL: usize = 64 * 1024;

/// What a talk needs of its surroundings.
pub struct Means<'m> {
    /// Milliseconds since 1970, for `Retry-After`.
    pub wall: u64,
    /// For masks and keys.
    pub random: &'m mut Random,
    /// What is to be sent.
    pub out: &'m mut Vec<u8>,
    /// Who is told what the server says of the channel.
    pub hear: &'m mut dyn FnMut(Said<'_>),
}

impl Talk {
    /// Asks.
    pub fn begin(
        host: &str,
        channel: &ChannelName,
        ask: Ask,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> Talk {
        let (mut key, mut accept) = (String::new(), None);
        let form = match ask {
            Ask::Place | Ask::ShortPoll(_) | Ask::LongPoll(..) => Form::Answer,
            Ask::Stream(_) => Form::Lines,
            Ask::Sse(_) => Form::EventStream,
            Ask::WebSocket(_) => {
                let nonce = [random.below(u64::MAX), random.below(u64::MAX)].map(u64::to_ne_bytes);
                key = STANDARD.encode(nonce.as_flattened());
                let offer = Offer { connection_upgrade: true, version: Some("13"), key: Some(&key) };
                accept = Some(handshake::check(&offer).expect("OK because 16 bytes in base64 are a key"));
                Form::Messages
            }
        };
        request::write(out, host, channel, ask, &key);
        Talk { state: State::Head(accept), form, heard: false, inbox: Inbox::default() }
    }

    /// Publishes.
    pub fn post(host: &str, channel: &ChannelName, is_json: bool, data: &[u8], out: &mut Vec<u8>) -> Talk {
        request::write_post(out, host, channel, is_json, data);
        Talk { state: State::Head(None), form: Form::Receipt, heard: false, inbox: Inbox::default() }
    }

    /// Whether any byte of an answer has come.
    pub fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether it is an open WebSocket, which can be pinged and closed.
    pub fn is_open_websocket(&self) -> bool {
        matches!(self.state, State::Frames(_))
    }

    /// Reads what has come.
    pub fn take(&mut self, fresh: &[u8], means: &mut Means<'_>) -> Next {
        self.heard |= !fresh.is_empty();
        if self.inbox.is_empty() {
            let (used, next) = self.read(fresh, means);
            self.inbox.keep(fresh[used..].to_vec());
            return next;
        }
        let mut bytes = self.inbox.take_with(fresh);
        let (used, next) = self.read(&bytes, means);
        bytes.drain(..used);
        self.inbox.keep(bytes);
        next
    }

    /// The server's FIN has come, or a reset.
    pub fn end(&mut self, means: &mut Means<'_>) -> Next {
        match &mut self.state {
            State::Body { framing, reader, .. }
                // What has come of a refusal says more than that it was cut.
                if *framing == Framing::UntilEnd || matches!(reader, Reader::Refusal(_)) =>
            {
                reader.finish(self.form, false, means).unwrap_or_else(over)
            }
            _ => Next::Over(Why::Cut),
        }
    }

    /// Asks whether the server is still there.
    pub fn ping(&mut self, random: &mut Random, out: &mut Vec<u8>) {
        frame::write_masked(out, Opcode::Ping, b"", mask(random));
    }

    /// Begins the closing handshake.
    pub fn close(&mut self, code: Code, random: &mut Random, out: &mut Vec<u8>) {
        frame::write_masked(out, Opcode::Close, &code.0.to_be_bytes(), mask(random));
    }

    /// Reads as much as there is: how many bytes were used, and what follows.
    fn read(&mut self, bytes: &[u8], means: &mut Means<'_>) -> (usize, Next) {
        let mut at = 0;
        loop {
            match self.step(&bytes[at..], means) {
                Ok((0, Next::Wait)) => return (at, Next::Wait),
                Ok((used, Next::Wait)) => at += used,
                Ok((used, next)) => return (at + used, next),
                Err(broken) => return (bytes.len(), over(broken)),
            }
        }
    }

    fn step(&mut self, bytes: &[u8], means: &mut Means<'_>) -> Result<(usize, Next), Broken> {
        match &mut self.state {
            State::Head(_) => self.read_head(bytes, means),
            State::Frames(reader) => match reader.next(bytes, &mut Vec::new()) {
                Ok((used, None)) => Ok((used, Next::Wait)),
                Ok((used, Some(said))) => Ok((used, on_message(said, means)?)),
                Err(violation) => Ok((bytes.len(), refuse(violation, means))),
            },
            State::Body { framing, keep_alive, reader } => {
                if let (Framing::Length(length), Reader::Answer(_)) = (&framing, &reader) {
                    return read_whole(self.form, *length, *keep_alive, bytes, means);
                }
                let run = framing.next(bytes)?;
                reader.take(&bytes[run.clone()], means)?;
                if !framing.is_over() {
                    return Ok((run.end, Next::Wait));
                }
                Ok((run.end, reader.finish(self.form, *keep_alive, means)?))
            }
        }
    }

    fn read_head(&mut self, bytes: &[u8], means: &mut Means<'_>) -> Result<(usize, Next), Broken> {
        let State::Head(accept) = self.state else { return Ok((0, Next::Wait)) };
        let Some((head, used)) = Head::parse(bytes, means.wall)? else { return Ok((0, Next::Wait)) };
        match (head.status, self.form) {
            (101, Form::Messages) => {
                check_upgrade(&head, accept)?;
                self.state = State::Frames(frames::Reader::default());
                return Ok((used, Next::Wait));
            }
            (101, _) => return Err(Broken("it switches to another protocol unasked")),
            // Whatever it announces, the answer is still to come (RFC 9110 §15.2).
            (100..=199, _) => return Ok((used, Next::Wait)),
            _ => {}
        }
        let reader = match (head.status, self.form) {
            (201, Form::Receipt) | (200, Form::Answer) if head.is_of("application/json") => {
                Reader::Answer(Vec::new())
            }
            (200, Form::Lines) if head.is_of("application/x-ndjson") => Reader::Lines(Vec::new()),
            (200, Form::EventStream) if head.is_of("text/event-stream") => {
                Reader::EventStream(sse::Parser::default())
            }
            (200, Form::Messages) => return Err(Broken("it answers a WebSocket's handshake with a page")),
            (200, _) => return Err(Broken("its answer is of another media type")),
            _ => Reader::refusal(&head),
        };
        let (framing, keep_alive) = (head.framing, head.keep_alive);
        self.state = State::Body { framing, keep_alive, reader };
        // Nothing may be to come.
        let (more, next) = if framing.is_over() { self.step(b"", means)? } else { (0, Next::Wait) };
        Ok((used + more, next))
    }
}

/// An answer of known length is read where it lies, once it is whole.
fn read_whole(
    form: Form,
    length: u64,
    keep_alive: bool,
    bytes: &[u8],
    means: &mut Means<'_>,
) -> Result<(usize, Next), Broken> {
    if length > LARGEST as u64 {
        return Err(TOO_LARGE);
    }
    let length = length as usize;
    let Some(content) = bytes.get(..length) else { return Ok((0, Next::Wait)) };
    Ok((length, read_object(form, content, keep_alive, means)?))
}

fn read_object(form: Form, content: &[u8], keep_alive: bool, means: &mut Means<'_>) -> Result<Next, Broken> {
    if form == Form::Receipt {
        return Ok(Next::Published { id: object::read_receipt(content)?, keep_alive });
    }
    let kind = object::read_answer(content, means.hear)?;
    Ok(Next::Answered { kind, length: content.len(), keep_alive })
}

const TOO_LARGE: Broken = Broken("it says more at once than anybody could want to hear");

fn over(Broken(what): Broken) -> Next {
    Next::Over(Why::Broken(what))
}

impl Reader {
    fn refusal(head: &Head<'_>) -> Reader {
        let reason = head.reason.chars().filter(|character| !character.is_control()).collect();
        let refusal = Refusal { status: head.status, reason, detail: None, retry_after: head.retry_after };
        Reader::Refusal(Box::new((refusal, head.is_of("application/problem+json"), Vec::new())))
    }

    fn take(&mut self, run: &[u8], means: &mut Means<'_>) -> Result<(), Broken> {
        match self {
            Reader::Answer(kept) if kept.len() + run.len() > LARGEST => Err(TOO_LARGE),
            Reader::Answer(kept) => {
                kept.extend_from_slice(run);
                Ok(())
            }
            Reader::Lines(kept) => take_lines(kept, run, means),
            Reader::EventStream(parser) => parser.take(run, means.hear),
            Reader::Refusal(refusal) => {
                let room = LARGEST_REFUSAL - refusal.2.len();
                refusal.2.extend_from_slice(&run[..run.len().min(room)]);
                Ok(())
            }
        }
    }

    /// All has come.
    fn finish(&mut self, form: Form, keep_alive: bool, means: &mut Means<'_>) -> Result<Next, Broken> {
        Ok(match self {
            Reader::Answer(content) => read_object(form, content, keep_alive, means)?,
            Reader::Lines(_) | Reader::EventStream(_) => Next::Over(Why::Ended),
            Reader::Refusal(refusal) => {
                let (refusal, is_problem, body) = std::mem::take(&mut **refusal);
                let detail = is_problem.then(|| detail_of(&body)).flatten();
                Next::Over(Why::Refused(Box::new(Refusal { detail, ..refusal })))
            }
        })
    }
}

/// Reads whole lines, and keeps the rest; an empty line is a heartbeat.
fn take_lines(kept: &mut Vec<u8>, mut run: &[u8], means: &mut Means<'_>) -> Result<(), Broken> {
    while let Some(end) = memchr::memchr(b'\n', run) {
        let mut whole = std::mem::take(kept);
        let line = if whole.is_empty() {
            &run[..end]
        } else {
            whole.extend_from_slice(&run[..end]);
            &whole
        };
        if !line.is_empty() {
            object::read_message(line, means.hear)?;
        }
        run = &run[end + 1..];
    }
    if kept.len() + run.len() > LARGEST {
        return Err(TOO_LARGE);
    }
    kept.extend_from_slice(run);
    Ok(())
}

/// The `detail` of a problem, in one line.
pub fn detail_of(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let detail = problem.get("detail")?.as_str()?;
    Some(detail.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn check_upgrade(head: &Head<'_>, accept: Option<Accept>) -> Result<(), Broken> {
    let proven = accept.is_some_and(|accept| head.accept == Some(accept.as_str()));
    if !head.upgrade || !proven {
        return Err(Broken("its answer to the WebSocket's handshake is not the right one"));
    }
    if head.extended {
        return Err(Broken("it wants a WebSocket extension that nobody offered"));
    }
    Ok(())
}

fn on_message(said: message::Said<'_>, means: &mut Means<'_>) -> Result<Next, Broken> {
    match said {
        message::Said::Text(text) => object::read_message(text.as_bytes(), means.hear)?,
        message::Said::Ping(payload) => {
            let key = mask(means.random);
            frame::write_masked(means.out, Opcode::Pong, payload, key);
        }
        message::Said::Pong | message::Said::Binary(_) => {}
        message::Said::Close(code) => {
            // The same code back (RFC 6455 §5.5.1). The server then closes the connection.
            let payload = code.map(|code| code.0.to_be_bytes());
            let key = mask(means.random);
            frame::write_masked(means.out, Opcode::Close, payload.as_ref().map_or(b"", |p| p), key);
            return Ok(Next::Over(Why::Closed(code)));
        }
    }
    Ok(Next::Wait)
}

/// Fails the connection (RFC 6455 §7.1.7).
fn refuse(violation: Violation, means: &mut Means<'_>) -> Next {
    let key = mask(means.random);
    frame::write_masked(means.out, Opcode::Close, &violation.code.0.to_be_bytes(), key);
    Next::Over(Why::Broken(violation.reason))
}

fn mask(random: &mut Random) -> [u8; 4] {
    (random.below(1 << 32) as u32).to_ne_bytes()
}
