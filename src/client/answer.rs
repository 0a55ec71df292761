//! An answer on its way in: its head, and where in what follows its content lies (RFC 9112 §6.3).

use crate::http::body::Chunk;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

/// What a server said that no server of HTTP, or none of ours, may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// What matters in the head of an answer.
#[derive(Debug)]
pub struct Head<'b> {
    /// The status.
    pub status: u16,
    /// The words beside it.
    pub reason: &'b str,
    /// Where the content ends.
    pub framing: Framing,
    /// Whether the connection may take another request afterwards.
    pub keep_alive: bool,
    /// `Content-Type`.
    pub media: &'b str,
    /// `Retry-After`, from now on.
    pub retry_after: Option<Duration>,
    /// `Upgrade` is `websocket`, and `Connection` names it.
    pub upgrade: bool,
    /// `Sec-WebSocket-Accept`.
    pub accept: Option<&'b str>,
    /// An extension or a subprotocol was agreed on, though we offered none.
    pub extended: bool,
}

const LONGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;

impl<'b> Head<'b> {
    /// Reads a head from the start of `bytes`, and says how many bytes it took; `None` if it is not whole yet.
    /// `wall` is the time in milliseconds since 1970.
    pub fn parse(bytes: &'b [u8], wall: u64) -> Result<Option<(Head<'b>, usize)>, Broken> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let used = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(Broken("the head of its answer does not end")),
            Err(_) => return Err(Broken("its answer is not HTTP/1.1")),
        };
        let mut head = Head {
            status: answer.code.unwrap_or(0),
            reason: answer.reason.unwrap_or(""),
            framing: Framing::UntilEnd,
            keep_alive: answer.version == Some(1),
            media: "",
            retry_after: None,
            upgrade: false,
            accept: None,
            extended: false,
        };
        head.read_fields(answer.headers, wall)?;
        Ok(Some((head, used)))
    }

    fn read_fields(&mut self, fields: &[httparse::Header<'b>], wall: u64) -> Result<(), Broken> {
        let (mut length, mut chunked, mut to_websocket, mut connection_upgrade) = (None, false, false, false);
        for field in fields {
            let value = std::str::from_utf8(field.value).unwrap_or("").trim();
            match field.name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let value = value.parse().map_err(|_| Broken("its Content-Length is no number"))?;
                    if length.is_some_and(|length: u64| length != value) {
                        return Err(Broken("it gives two lengths for one answer"));
                    }
                    length = Some(value);
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => chunked = true,
                "transfer-encoding" => return Err(Broken("its transfer coding is not chunked")),
                "connection" => {
                    connection_upgrade |= names(value, "upgrade");
                    self.keep_alive |= names(value, "keep-alive");
                    self.keep_alive &= !names(value, "close");
                }
                "upgrade" => to_websocket |= names(value, "websocket"),
                "content-type" => self.media = value,
                "retry-after" => self.retry_after = retry_after(value, wall),
                "sec-websocket-accept" => self.accept = Some(value),
                "sec-websocket-extensions" | "sec-websocket-protocol" => self.extended = true,
                _ => {}
            }
        }
        self.upgrade = to_websocket && connection_upgrade;
        self.framing = match (self.status, chunked, length) {
            (100..=199 | 204 | 304, ..) => Framing::Length(0),
            (_, true, _) => Framing::Chunked(Chunk::FIRST),
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilEnd,
        };
        self.keep_alive &= self.framing != Framing::UntilEnd;
        Ok(())
    }

    /// Whether the content is of this type, whatever its parameters.
    pub fn is_of(&self, media: &str) -> bool {
        self.media.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media))
    }
}

/// Whether a list of tokens names `token` (RFC 9110 §5.6.1).
fn names(list: &str, token: &str) -> bool {
    list.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Seconds, or a date (RFC 9110 §10.2.3); what is neither says nothing.
fn retry_after(value: &str, wall: u64) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(UNIX_EPOCH + Duration::from_millis(wall)).unwrap_or(Duration::ZERO))
}

/// How much content is still to come, and how to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks; the next byte belongs here.
    Chunked(Chunk),
    /// All until the connection ends.
    UntilEnd,
}

impl Framing {
    /// Whether all has come.
    pub fn is_over(self) -> bool {
        self == Framing::Length(0)
    }

    /// Where in `bytes` the next run of content lies; it may be empty. What stands before its end is used.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Range<usize>, Broken> {
        match self {
            Framing::UntilEnd => Ok(0..bytes.len()),
            Framing::Length(remaining) => Ok(0..take_run(remaining, bytes)),
            Framing::Chunked(_) => self.next_chunk(bytes),
        }
    }

    fn next_chunk(&mut self, bytes: &[u8]) -> Result<Range<usize>, Broken> {
        let mut at = 0;
        while let (Framing::Chunked(place), Some(&byte)) = (&mut *self, bytes.get(at)) {
            if let Chunk::Data { remaining } = place {
                let end = at + take_run(remaining, &bytes[at..]);
                if *remaining == 0 {
                    *place = Chunk::DataCr;
                }
                return Ok(at..end);
            }
            match place.step(byte).ok_or(Broken("its chunks are malformed"))? {
                Some(next) => *place = next,
                None => *self = Framing::Length(0),
            }
            at += 1;
        }
        Ok(at..at)
    }
}

/// Takes what belongs to a run of `remaining` bytes: how many that are.
fn take_run(remaining: &mut u64, bytes: &[u8]) -> usize {
    let run = bytes.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
    *remaining -= run as u64;
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(mut framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), Broken> {
        let mut content = Vec::new();
        for piece in pieces {
            let mut at = 0;
            while at < piece.len() && !framing.is_over() {
                let run = framing.next(&piece[at..])?;
                content.extend_from_slice(&piece[at..][run.clone()]);
                at += run.end;
            }
        }
        Ok((content, framing.is_over()))
    }

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let text =
            b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let end = text.len() - 3;
        for cut in 0..end {
            assert!(Head::parse(&text[..cut], 0).unwrap().is_none(), "{cut}");
        }
        let (head, used) = Head::parse(text, 0).unwrap().unwrap();
        assert_eq!((used, head.status, head.reason, head.keep_alive), (end, 503, "Busy", false));
        assert_eq!(head.framing, Framing::Length(3));
        assert_eq!(head.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn retry_after_may_be_a_date() {
        let date = "Tue, 15 Nov 1994 08:12:31 GMT";
        assert_eq!(retry_after(date, 784_887_141_000), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(date, 784_887_161_000), Some(Duration::ZERO), "in the past");
        assert_eq!(retry_after("soon", 0), None);
    }

    #[test]
    fn the_end_of_the_content_is_where_rfc_9112_says() {
        let framing = |text: &str| {
            let text = format!("HTTP/1.1 {text}\r\n\r\n");
            Head::parse(text.as_bytes(), 0).map(|head| head.unwrap().0.framing)
        };
        assert_eq!(framing("200 OK"), Ok(Framing::UntilEnd));
        assert_eq!(framing("204 No Content\r\nContent-Length: 7"), Ok(Framing::Length(0)));
        assert_eq!(framing("101 Go\r\nTransfer-Encoding: chunked"), Ok(Framing::Length(0)));
        assert_eq!(framing("200 OK\r\nContent-Length: 7"), Ok(Framing::Length(7)));
        let both = framing("200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked");
        assert_eq!(both, Ok(Framing::Chunked(Chunk::FIRST)));
        for broken in
            ["Content-Length: x", "Content-Length: 1\r\nContent-Length: 2", "Transfer-Encoding: gzip"]
        {
            assert!(framing(&format!("200 OK\r\n{broken}")).is_err(), "{broken}");
        }
    }

    #[test]
    fn chunks_are_read_to_the_last_and_no_further() {
        let framing = Framing::Chunked(Chunk::FIRST);
        assert_eq!(
            content(framing, &[b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nrest"]),
            Ok((b"abc".to_vec(), true))
        );
        assert!(content(framing, &[b"zz\r\n"]).is_err());
    }

    proptest! {
        #[test]
        fn chunks_read_the_same_whole_and_in_pieces(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            piece in 1..20usize,
        ) {
            let mut coded = Vec::new();
            for part in &parts {
                coded.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                coded.extend_from_slice(part);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(b"0\r\n\r\n");
            let expected = Ok((parts.concat(), true));
            let framing = Framing::Chunked(Chunk::FIRST);
            prop_assert_eq!(content(framing, &[&coded]), expected.clone());
            prop_assert_eq!(content(framing, &coded.chunks(piece).collect::<Vec<_>>()), expected);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Head::parse(&bytes, 0);
            let _ = content(Framing::Chunked(Chunk::FIRST), &[&bytes]);
        }
    }
}
