//! One client: which bytes it says, and which events it finds in those that it hears. It knows no socket.

use super::answer::{Answer, excerpt, first_answer, first_head};
use super::event;
use std::time::Duration;

/// How a client follows a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// It asks once in this time, and is answered at once.
    ShortPoll(Duration),
    /// It asks again as soon as it is answered.
    LongPoll,
    /// It asks once, and the answer does not end: HTTP streaming, Server-Sent Events.
    Endless,
    /// It asks once for another protocol.
    WebSocket,
}

/// How a poll says what its client has heard already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// By the `cursor` of the answer before, as `since`.
    #[default]
    Cursor,
    /// By what the answer before said in `Last-Modified` and `Etag` (RFC 9110 §13.1), as nchan has it.
    Validators,
}

/// How all clients of a crowd follow their channel.
#[derive(Clone, Debug)]
pub struct Manner {
    /// By which technique.
    pub via: Via,
    /// Where to ask, such as `/poll`.
    pub path: &'static str,
    /// What an opening request says besides, as whole lines.
    pub fields: &'static str,
    /// Which channel.
    pub channel: String,
    /// What a poll says of the answer before.
    pub resume: Resume,
}

impl Manner {
    /// The request with which a client begins.
    pub(super) fn opening(&self) -> String {
        self.request("", self.fields)
    }

    /// The request of a poll after an answer.
    fn next(&self, said: &str) -> String {
        match self.resume {
            Resume::Cursor => self.request(&format!("&since={said}"), ""),
            Resume::Validators => self.request("", said),
        }
    }

    fn request(&self, more: &str, fields: &str) -> String {
        let Manner { path, channel, .. } = self;
        format!("GET {path}?channel={channel}{more} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
    }

    /// What the next poll is to say, as this answer has it.
    fn said_by(&self, answer: &Answer<'_>) -> Result<String, String> {
        match self.resume {
            Resume::Cursor => cursor_in(answer.content).map(str::to_owned),
            Resume::Validators => Some(answer).and_then(|answer| {
                let (modified, tag) = (answer.field("Last-Modified")?, answer.field("Etag")?);
                Some(format!("If-Modified-Since: {modified}\r\nIf-None-Match: {tag}\r\n"))
            }),
        }
        .ok_or_else(|| format!("an answer does not say where it ends: {}", excerpt(answer.content)))
    }
}

fn cursor_in(content: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"cursor\":\"";
    let begin = memchr::memmem::find(content, NAME)? + NAME.len();
    let length = memchr::memchr(b'"', &content[begin..])?;
    std::str::from_utf8(&content[begin..begin + length]).ok()
}

/// What a client is to do after bytes have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// How many answers to polls came whole.
    pub(super) answers: u64,
    /// Whether the head of what does not end has come just now.
    pub(super) greeted: bool,
}

/// What a client knows.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// What has come and was not understood yet.
    kept: Vec<u8>,
    /// What the next poll says of the answer before; empty before the first.
    said: String,
    is_greeted: bool,
    /// The number of the event that was heard last.
    pub(super) last: u64,
}

impl Client {
    /// The next request of a poll.
    pub(super) fn poll(&self, manner: &Manner) -> String {
        if self.said.is_empty() { manner.opening() } else { manner.next(&self.said) }
    }

    /// Takes what has come, and tells the number of each event in it. An event that is missing, doubled or out of
    /// order is an error.
    pub(super) fn on_bytes(
        &mut self,
        manner: &Manner,
        bytes: &[u8],
        mut tell: impl FnMut(u64),
    ) -> Result<Heard, String> {
        let mut heard = Heard::default();
        match manner.via {
            Via::ShortPoll(_) | Via::LongPoll => {
                self.kept.extend_from_slice(bytes);
                heard.answers = self.read_answers(manner, &mut tell)?;
            }
            Via::Endless | Via::WebSocket if self.is_greeted => self.follow(bytes, &mut tell)?,
            Via::Endless | Via::WebSocket => {
                self.kept.extend_from_slice(bytes);
                heard.greeted = self.read_greeting(manner, &mut tell)?;
            }
        }
        Ok(heard)
    }

    fn read_answers(&mut self, manner: &Manner, tell: &mut impl FnMut(u64)) -> Result<u64, String> {
        let mut kept = std::mem::take(&mut self.kept);
        let (mut at, mut count) = (0, 0);
        while let Some(answer) = first_answer(&kept[at..])? {
            if answer.status != 200 {
                return Err(format!("a poll was answered {}", excerpt(answer.head)));
            }
            self.said = manner.said_by(&answer)?;
            self.find(answer.content, tell)?;
            at += answer.length();
            count += 1;
        }
        kept.drain(..at);
        self.kept = kept;
        Ok(count)
    }

    fn read_greeting(&mut self, manner: &Manner, tell: &mut impl FnMut(u64)) -> Result<bool, String> {
        let Some((status, head, _)) = first_head(&self.kept)? else { return Ok(false) };
        let expected = if manner.via == Via::WebSocket { 101 } else { 200 };
        if status != expected {
            return Err(format!("{} was answered {}", manner.path, excerpt(&self.kept)));
        }
        self.is_greeted = true;
        let rest = self.kept.split_off(head);
        // It waits from now on, and an empty buffer would go on costing memory.
        self.kept = Vec::new();
        self.follow(&rest, tell)?;
        Ok(true)
    }

    /// Events in what does not end, wherever it is cut.
    fn follow(&mut self, bytes: &[u8], tell: &mut impl FnMut(u64)) -> Result<(), String> {
        if self.kept.is_empty() {
            let done = self.find(bytes, tell)?;
            self.kept.extend_from_slice(&bytes[done..]);
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(bytes);
            let done = self.find(&kept, tell)?;
            kept.drain(..done);
            self.kept = kept;
        }
        Ok(())
    }

    /// Tells each event in these bytes. Returns how many of them can hold no other's beginning.
    fn find(&mut self, bytes: &[u8], tell: &mut impl FnMut(u64)) -> Result<usize, String> {
        let mut at = 0;
        while let Some((number, end)) = event::find(&bytes[at..]) {
            if number != self.last + 1 {
                return Err(format!("after event {} came event {number}", self.last));
            }
            self.last = number;
            tell(number);
            at += end;
        }
        Ok(event::ends_before(bytes).max(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manner(via: Via, resume: Resume) -> Manner {
        Manner { via, path: "/poll", fields: "", channel: "a".into(), resume }
    }

    /// What a client hears when it gets these bytes in pieces of this size.
    fn hear(manner: &Manner, bytes: &[u8], size: usize) -> Result<(Client, Vec<u64>, u64), String> {
        let (mut client, mut events, mut answers) = (Client::default(), Vec::new(), 0);
        for piece in bytes.chunks(size) {
            answers += client.on_bytes(manner, piece, |event| events.push(event))?.answers;
        }
        Ok((client, events, answers))
    }

    fn text(number: u64) -> String {
        String::from_utf8(event::content(number, 20)).unwrap()
    }

    #[test]
    fn polls_go_on_where_the_answer_before_ended() {
        let manner = manner(Via::LongPoll, Resume::Cursor);
        let content = format!("{{\"cursor\":\"e-2\",\"events\":[\"{}\",\"{}\"]}}", text(1), text(2));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len());
        for size in [1, 7, 1000] {
            let (client, events, answers) = hear(&manner, answer.as_bytes(), size).unwrap();
            assert_eq!((events, answers), (vec![1, 2], 1));
            assert!(client.poll(&manner).starts_with("GET /poll?channel=a&since=e-2 HTTP/1.1\r\n"));
        }
        assert!(Client::default().poll(&manner).starts_with("GET /poll?channel=a HTTP/1.1\r\n"));
    }

    #[test]
    fn validators_are_given_back() {
        let manner = manner(Via::LongPoll, Resume::Validators);
        let content = text(1);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nEtag: 0\r\nLast-Modified: Mon\r\nContent-Length: {}\r\n\r\n{content}",
            content.len()
        );
        let (client, events, _) = hear(&manner, answer.as_bytes(), 1000).unwrap();
        assert_eq!(events, [1]);
        let next = client.poll(&manner);
        assert!(next.ends_with("If-Modified-Since: Mon\r\nIf-None-Match: 0\r\n\r\n"), "{next}");
        let silent = answer.replace("Etag", "Other");
        assert!(hear(&manner, silent.as_bytes(), 1000).is_err());
    }

    #[test]
    fn events_are_found_wherever_a_stream_is_cut() {
        let manner = manner(Via::Endless, Resume::Cursor);
        let stream = format!("HTTP/1.1 200 OK\r\n\r\n: hello\n\ndata: {}\n\ndata: {}\n\n", text(1), text(2));
        for size in 1..60 {
            let (client, events, _) = hear(&manner, stream.as_bytes(), size).unwrap();
            assert_eq!(events, [1, 2], "in pieces of {size}");
            assert!(client.kept.len() < 20);
        }
    }

    #[test]
    fn what_is_lost_or_refused_is_told() {
        let endless = manner(Via::Endless, Resume::Cursor);
        let stream = format!("HTTP/1.1 200 OK\r\n\r\n{}{}", text(1), text(3));
        assert_eq!(hear(&endless, stream.as_bytes(), 1000).unwrap_err(), "after event 1 came event 3");
        let refused = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        for via in [Via::Endless, Via::WebSocket, Via::LongPoll] {
            assert!(hear(&manner(via, Resume::Cursor), refused, 1000).unwrap_err().contains("503"));
        }
    }
}
