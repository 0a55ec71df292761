//! Server-Sent Events as EventSource reads them (HTML §9.2.6), in pieces of any size.

use super::answer::Broken;
use super::object::{Data, Event, Said};
use crate::channel::Cursor;
use std::time::Duration;

/// Reads a stream; owns next to nothing between two events.
#[derive(Debug, Default)]
pub struct Parser {
    /// A line of which only a part has come.
    line: Vec<u8>,
    /// The data lines of the event under way, each with an LF behind it.
    data: Vec<u8>,
    kind: Kind,
    /// The last id, which holds until there is another.
    id: Option<Cursor>,
    /// The block under way has an `id:`.
    has_id: bool,
    /// The last byte was a CR: an LF right behind it ends no second line.
    after_cr: bool,
    /// The first line has been read; before it a byte order mark may stand.
    begun: bool,
}

/// What `event:` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Message,
    Missed,
    Other,
}

impl Parser {
    /// Reads on.
    pub fn take(&mut self, mut bytes: &[u8], hear: &mut dyn FnMut(Said<'_>)) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.take_line(&bytes[..end], hear)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&bytes[..end]);
                self.take_line(&line, hear)?;
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    fn take_line(&mut self, mut line: &[u8], hear: &mut dyn FnMut(Said<'_>)) -> Result<(), Broken> {
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(hear);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" => {
                let id = std::str::from_utf8(value).ok().and_then(Cursor::parse);
                self.id = Some(id.ok_or(Broken("its ids are not of the form EPOCH-SEQ"))?);
                self.has_id = true;
            }
            b"event" => {
                self.kind = match value {
                    b"" | b"message" => Kind::Message,
                    b"missed" => Kind::Missed,
                    _ => Kind::Other,
                }
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let millis = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                hear(Said::Retry(Duration::from_millis(millis.unwrap_or(u64::MAX))));
            }
            // A comment, whose name is empty, or something that nobody knows.
            _ => {}
        }
        Ok(())
    }

    /// An empty line: what has been collected is one event, or a place if there was nothing but an id.
    fn dispatch(&mut self, hear: &mut dyn FnMut(Said<'_>)) -> Result<(), Broken> {
        let data = std::mem::take(&mut self.data);
        let kind = std::mem::take(&mut self.kind);
        let fresh_id = std::mem::take(&mut self.has_id).then_some(self.id).flatten();
        match (kind, fresh_id) {
            (Kind::Missed, Some(cursor)) => hear(Said::Place { cursor, missed: true }),
            (_, Some(cursor)) if data.is_empty() => hear(Said::Place { cursor, missed: false }),
            (Kind::Message, Some(id)) => {
                let text = String::from_utf8_lossy(&data[..data.len() - 1]);
                hear(Said::Event(Event { id, time: None, data: Data::Text(&text) }));
            }
            (Kind::Message | Kind::Missed, None) if !data.is_empty() => {
                return Err(Broken("it tells an event without an id"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::lines_of;
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let whole = lines_of(|hear| Parser::default().take(text.as_bytes(), hear));
        for size in 1..4 {
            let pieces = lines_of(|hear| {
                let mut parser = Parser::default();
                text.as_bytes().chunks(size).try_for_each(|piece| parser.take(piece, hear))
            });
            assert_eq!(pieces, whole, "in pieces of {size}");
        }
        assert_eq!(whole.1, Ok(()));
        whole.0
    }

    #[test]
    fn what_the_server_says_is_read() {
        assert_eq!(read("retry: 2279\nid: a-0\n\n"), ["retry 2279", "at a-0"]);
        assert_eq!(read("event: missed\nid: a-3\ndata: {\"cursor\":\"a-3\"}\n\n"), ["at a-3 missed"]);
        assert_eq!(read(":\n\nid: a-1\ndata: one\n\nid: a-2\ndata: two\n\n"), ["a-1 ? one", "a-2 ? two"]);
    }

    #[test]
    fn every_end_of_a_line_is_one_and_lines_are_joined() {
        for end in ["\n", "\r", "\r\n"] {
            let text = "id: a-1\ndata: one\ndata:two\ndata:  three\ndata\n\n".replace('\n', end);
            assert_eq!(read(&text), ["a-1 ? one\ntwo\n three\n"], "{end:?}");
        }
    }

    #[test]
    fn what_nobody_knows_is_passed_over_and_an_unfinished_event_is_none() {
        assert_eq!(read("\u{feff}id: a-1\ndata: x\nfoo: bar\nretry: soon\n\n"), ["a-1 ? x"]);
        assert_eq!(read("event: other\nid: a-1\ndata: x\n\n"), Vec::<String>::new());
        assert_eq!(read("id: a-1\ndata: x\n"), Vec::<String>::new());
        assert_eq!(read("id: a-1\ndata:\n\n"), ["a-1 ? "]);
    }

    #[test]
    fn an_event_without_a_cursor_is_no_event_of_ours() {
        for text in ["data: x\n\n", "id: 7\ndata: x\n\n"] {
            let (heard, result) = lines_of(|hear| Parser::default().take(text.as_bytes(), hear));
            assert!(heard.is_empty() && result.is_err(), "{text}");
        }
    }
}
