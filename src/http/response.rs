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

/// The fields of an answer, besides those that every answer has.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// Those that are written in the program.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Those of this one answer.
    pub own: &'a [(&'a str, &'a str)],
}

/// Nobody who passes the answer on may give it to somebody else later (RFC 9111 §5.2.2.4).
pub const NO_CACHE: Fields<'_> = Fields::fixed(&[("Cache-Control", "no-cache")]);

impl<'a> Fields<'a> {
    /// No others.
    pub const NONE: Fields<'a> = Fields::fixed(&[]);

    /// Fields that are written in the program.
    pub const fn fixed(fixed: &'static [(&'static str, &'static str)]) -> Fields<'a> {
        Fields { fixed, own: &[] }
    }

    /// Fields of one answer.
    pub const fn own(own: &'a [(&'a str, &'a str)]) -> Fields<'a> {
        Fields { fixed: &[], own }
    }
}

/// The content of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// None at all, as with 204 and 101.
    Empty,
    /// A media type, and all of its bytes.
    Whole(&'static str, &'a [u8]),
    /// A media type; the bytes come later, as they come about.
    Streamed(&'static str),
    /// A media type, for HEAD, and not a word of how long it would be (RFC 9110 §9.3.2).
    Unsaid(&'static str),
}

impl Content<'_> {
    /// Its kind, where its media type is written, and its length.
    #[inline]
    fn likeness(self) -> (u8, Place, usize) {
        match self {
            Content::Empty => (0, (0, 0), 0),
            Content::Whole(media_type, bytes) => (1, place_of(media_type.as_bytes()), bytes.len()),
            Content::Streamed(media_type) => (2, place_of(media_type.as_bytes()), 0),
            Content::Unsaid(media_type) => (3, place_of(media_type.as_bytes()), 0),
        }
    }
}

/// Where in the program something is written, and how much of it.
type Place = (usize, usize);

#[inline]
fn place_of<T>(written: &'static [T]) -> Place {
    (written.as_ptr().addr(), written.len())
}

/// The heads of the last answers, one for each path: the next one there mostly begins with the very same bytes,
/// for as long as it is the same second and the content is as long. So it is copied, and not written again.
#[derive(Debug, Default)]
pub struct Heads {
    date: DateCache,
    kept: [Kept; Path::ALL.len()],
}

#[derive(Debug, Default)]
struct Kept {
    like: Option<Likeness>,
    head: Vec<u8>,
}

/// All that a head is made of, if nothing in it is one answer's own. (What is written in the program is known by
/// its place there.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Likeness {
    second: u64,
    fields: Place,
    content: (u8, Place, usize),
    status: Status,
    keep_alive: bool,
    is_1_1: bool,
}

/// Appends an answer: its head (`wall` is the time in milliseconds since 1970), and its content. `origin` is the
/// value of `Access-Control-Allow-Origin`, if there is one.
// Inline, because it is mostly a comparison and a copy, and has many arguments.
#[inline(always)]
pub fn write(
    out: &mut Vec<u8>,
    manner: &Manner,
    status: Status,
    (heads, wall): (&mut Heads, u64),
    origin: Option<&str>,
    fields: Fields<'_>,
    content: Content<'_>,
) {
    let Heads { date, kept } = heads;
    if origin.is_some() || !fields.own.is_empty() {
        write_head(out, manner, status, date.at(wall), origin, fields, content);
    } else {
        let like = Some(Likeness {
            second: wall / 1000,
            fields: place_of(fields.fixed),
            content: content.likeness(),
            status,
            keep_alive: manner.keep_alive,
            is_1_1: manner.is_1_1,
        });
        let kept = &mut kept[manner.path as usize];
        if kept.like != like {
            kept.like = like;
            kept.head.clear();
            write_head(&mut kept.head, manner, status, date.at(wall), origin, fields, content);
        }
        out.extend_from_slice(&kept.head);
    }
    if let (Content::Whole(_, bytes), false) = (content, manner.head_only) {
        out.extend_from_slice(bytes);
    }
}

#[cold]
fn write_head(
    out: &mut Vec<u8>,
    manner: &Manner,
    status: Status,
    date: &str,
    origin: Option<&str>,
    fields: Fields<'_>,
    content: Content<'_>,
) {
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(status.line());
    put("Date: ");
    put(date);
    match (status, manner.keep_alive) {
        // An answer of 101 has its own Connection field.
        (Status::SwitchingProtocols, _) => {}
        (_, true) => put("\r\nConnection: keep-alive"),
        (_, false) => put("\r\nConnection: close"),
    }
    // Nobody is to guess a media type.
    put("\r\nX-Content-Type-Options: nosniff");
    if let Some(origin) = origin {
        put("\r\nVary: Origin\r\nAccess-Control-Allow-Origin: ");
        put(origin);
    }
    for (name, value) in fields.fixed.iter().chain(fields.own) {
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
        let fields = Fields::fixed(&[("Allow", "GET")]);
        let (mut heads, origin) = (Heads::default(), Some("http://a"));
        let manner = &Manner::BROKEN;
        write(&mut out, manner, Status::NoContent, (&mut heads, 0), origin, fields, Content::Empty);
        let expected = "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\
             X-Content-Type-Options: nosniff\r\nVary: Origin\r\nAccess-Control-Allow-Origin: http://a\r\n\
             Allow: GET\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_head_is_kept_only_for_as_long_as_everything_in_it_is_the_same() {
        let mut heads = Heads::default();
        let mut said = |wall, keep_alive, fields, content| {
            let mut out = Vec::new();
            let manner = Manner { keep_alive, path: Path::News, ..Manner::BROKEN };
            write(&mut out, &manner, Status::Ok, (&mut heads, wall), None, fields, content);
            String::from_utf8(out).unwrap()
        };
        let words = |text: &'static str| Content::Whole("text/plain", text.as_bytes());
        let first = said(0, true, NO_CACHE, words("one"));
        assert_eq!(said(999, true, NO_CACHE, words("two")), first.replace("one", "two"));
        assert!(said(1000, true, NO_CACHE, words("two")).contains("00:00:01 GMT"));
        assert!(said(1000, false, NO_CACHE, words("two")).contains("Connection: close"));
        assert!(!said(1000, false, Fields::NONE, words("two")).contains("Cache-Control"));
        assert!(said(1000, false, Fields::NONE, words("three")).contains("Content-Length: 5"));
        assert!(said(1000, false, Fields::own(&[("A", "b")]), words("three")).contains("\r\nA: b\r\n"));
        assert!(said(1000, false, Fields::NONE, Content::Empty).ends_with("nosniff\r\n\r\n"));
    }
}
