//! Answers, as bytes (RFC 9112 §4, §6).

use super::date::DateCache;
use super::origin::Cors;
use super::path::Path;
use super::problem::Status;

/// How an answer goes out, as the request has settled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The client speaks HTTP/1.1 and so understands chunks; else an answer without a length ends
    /// with the connection.
    pub is_1_1: bool,
    /// Whether the connection goes on afterwards.
    pub keep_alive: bool,
    /// The request was HEAD: the same head, and no content (RFC 9110 §9.3.2).
    pub head_only: bool,
    /// What the asking page may do.
    pub cors: Cors,
    /// What was asked for, to be counted.
    pub path: Path,
}

impl Manner {
    /// For what could not be understood: an error and the end.
    pub const BROKEN: Manner =
        Manner { is_1_1: true, keep_alive: false, head_only: false, cors: Cors::Own, path: Path::Other };
}

/// The content of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// None at all, as with 204 and 101.
    Empty,
    /// A media type, and all of its bytes.
    Whole(&'a str, &'a [u8]),
    /// A media type; the bytes come later, as they come about.
    Streamed(&'a str),
    /// A media type, for HEAD, and not a word of how long it would be (RFC 9110 §9.3.2).
    Unsaid(&'a str),
}

/// How every answer begins: the status line, `Date`, `Connection`, and what guards against guessing. One answer
/// is mostly like the last, so it is kept for as long as the second and the rest of it are the same.
#[derive(Debug, Default)]
pub struct Opening {
    date: DateCache,
    kept: Option<(Status, bool, u64)>,
    text: String,
}

impl Opening {
    fn of(&mut self, status: Status, keep_alive: bool, wall: u64) -> &str {
        let this = Some((status, keep_alive, wall / 1000));
        if self.kept != this {
            self.kept = this;
            self.write(status, keep_alive, wall);
        }
        &self.text
    }

    fn write(&mut self, status: Status, keep_alive: bool, wall: u64) {
        // An answer of 101 has its own Connection field.
        let connection = match (status, keep_alive) {
            (Status::SwitchingProtocols, _) => "",
            (_, true) => "\r\nConnection: keep-alive",
            (_, false) => "\r\nConnection: close",
        };
        self.text.clear();
        let date = self.date.at(wall);
        for part in [status.line(), "Date: ", date, connection, "\r\nX-Content-Type-Options: nosniff"] {
            self.text.push_str(part);
        }
    }
}

/// Appends an answer: its opening (`wall` is the time in milliseconds since 1970), `fields`, and content.
/// `origin` is the value of `Access-Control-Allow-Origin`, if there is one.
pub fn write(
    out: &mut Vec<u8>,
    manner: &Manner,
    status: Status,
    (opening, wall): (&mut Opening, u64),
    origin: Option<&str>,
    fields: &[(&str, &str)],
    content: Content<'_>,
) {
    out.extend_from_slice(opening.of(status, manner.keep_alive, wall).as_bytes());
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    if let Some(origin) = origin {
        put("\r\nVary: Origin\r\nAccess-Control-Allow-Origin: ");
        put(origin);
    }
    for (name, value) in fields {
        put("\r\n");
        put(name);
        put(": ");
        put(value);
    }
    match content {
        Content::Empty => {}
        Content::Whole(media_type, bytes) => {
            put("\r\nContent-Type: ");
            put(media_type);
            put("\r\nContent-Length: ");
            put(itoa::Buffer::new().format(bytes.len()));
        }
        Content::Unsaid(media_type) => {
            put("\r\nContent-Type: ");
            put(media_type);
        }
        Content::Streamed(media_type) => {
            put("\r\nContent-Type: ");
            put(media_type);
            if manner.is_1_1 {
                put("\r\nTransfer-Encoding: chunked");
            }
        }
    }
    put("\r\n\r\n");
    if let (Content::Whole(_, bytes), false) = (content, manner.head_only) {
        out.extend_from_slice(bytes);
    }
}

/// The interim answer to `Expect: 100-continue` (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The end of a chunked answer (RFC 9112 §7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends `content` as one chunk; nothing if it is empty, for an empty chunk would be the last.
pub fn write_chunk(out: &mut Vec<u8>, content: &[u8]) {
    if content.is_empty() {
        return;
    }
    out.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_its_size_and_its_content() {
        for (content, expected) in [
            ("", "before"),
            ("x", "before1\r\nx\r\n"),
            ("0123456789abcdef", "before10\r\n0123456789abcdef\r\n"),
        ] {
            let mut out = b"before".to_vec();
            write_chunk(&mut out, content.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_head_without_content_ends_in_an_empty_line() {
        let mut out = Vec::new();
        let fields = [("Allow", "GET")];
        let mut opening = Opening::default();
        let manner = &Manner::BROKEN;
        write(
            &mut out,
            manner,
            Status::NoContent,
            (&mut opening, 0),
            Some("http://a"),
            &fields,
            Content::Empty,
        );
        let expected = "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\
             X-Content-Type-Options: nosniff\r\nVary: Origin\r\nAccess-Control-Allow-Origin: http://a\r\n\
             Allow: GET\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
