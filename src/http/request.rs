//! The head of a request: request line and fields (RFC 9112 §3, §5), around httparse.

use super::body::Framing;
use super::line_ends::{check_line_ends, no_bare_line_feed};
use super::problem::{Problem, Status, malformed};
use super::target::{check_host, split_target, text};
use crate::websocket::deflate::{self, Agreement};
use std::mem::MaybeUninit;

/// How many fields a head may have; past it 431.
const MOST_FIELDS: usize = 100;

/// The methods that mean something here, and any other token: known paths answer it with 405.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Options,
    Post,
    Delete,
    #[default]
    Other,
}

impl Method {
    /// The method of that name.
    pub(super) fn of(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }
}

/// A head that has been understood: the fields that matter here, and where its body ends.
#[derive(Debug, Default)]
pub struct Request<'b> {
    /// What to do.
    pub method: Method,
    /// The path, always with its slash, or `*`. (It is ASCII, but hardly anybody needs it as text.)
    pub path: &'b [u8],
    /// What followed the question mark, or nothing.
    pub query: &'b str,
    /// HTTP/1.1, not 1.0.
    pub is_1_1: bool,
    /// Whether the client wants the connection to go on afterwards (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Where the body ends.
    pub framing: Framing,
    /// `Expect: 100-continue` of an HTTP/1.1 client (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// `Connection` names `upgrade`.
    pub connection_upgrade: bool,
    /// `Upgrade` names `websocket`.
    pub upgrade_websocket: bool,
    /// The field, which need not be what the request is for: see [`Request::host`].
    host: Option<&'b [u8]>,
    /// The authority of an absolute target.
    authority: Option<&'b [u8]>,
    /// Fields that are taken as they are.
    pub content_type: Option<&'b str>,
    #[allow(missing_docs)]
    pub cookie: Option<&'b str>,
    #[allow(missing_docs)]
    pub last_event_id: Option<&'b str>,
    #[allow(missing_docs)]
    pub origin: Option<&'b str>,
    #[allow(missing_docs)]
    pub websocket_key: Option<&'b str>,
    #[allow(missing_docs)]
    pub websocket_version: Option<&'b str>,
    /// The first offer of permessage-deflate that can be accepted (RFC 7692 §5).
    pub deflate: Option<Agreement>,
    /// Somebody passed it on (RFC 7239, RFC 9110 §7.6.3): `Forwarded`, `X-Forwarded-…` or `Via` is there.
    pub forwarded: bool,
    /// A preflight asks for this method (Fetch, CORS protocol).
    pub preflight_method: Option<&'b str>,
}

/// Whether a name of a field begins so, and goes on.
fn begins(name: &str, so: &str) -> bool {
    name.len() > so.len() && name.get(..so.len()).is_some_and(|start| start.eq_ignore_ascii_case(so))
}

impl<'b> Request<'b> {
    /// Reads a head from the start of `bytes`, of which at most `max_head` may belong to it, and says how many
    /// did; `None` if it is not whole yet.
    ///
    /// An error is fatal: 400 for what is ambiguous or no HTTP, 414 or 431 for what is too long, 417
    /// and 501 for what is not done here, 505 for another version.
    #[inline]
    pub fn read(&mut self, bytes: &'b [u8], max_head: usize) -> Result<Option<usize>, Problem> {
        let bytes = &bytes[..bytes.len().min(max_head)];
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut head = httparse::Request::new(&mut []);
        let length = match head.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            other => return no_whole_head(other.err(), bytes, max_head),
        };
        check_line_ends(&bytes[..length], head.headers)?;
        self.take_line(&head)?;
        let mut framing = FramingFields::default();
        for field in head.headers.iter() {
            self.take_field(field, &mut framing)?;
        }
        self.framing = framing.settle(self.is_1_1)?;
        self.check_host()?;
        Ok(Some(length))
    }

    /// The host that the request is for: an absolute target goes before `Host` (RFC 9112 §3.2.2).
    pub fn host(&self) -> Option<&'b str> {
        self.authority.or(self.host).and_then(|host| std::str::from_utf8(host).ok())
    }

    #[inline]
    fn take_line(&mut self, head: &httparse::Request<'_, 'b>) -> Result<(), Problem> {
        // OK because a whole head has all three.
        let (method, target, minor) = (head.method.unwrap(), head.path.unwrap(), head.version.unwrap());
        self.method = Method::of(method);
        (self.is_1_1, self.keep_alive) = (minor == 1, minor == 1);
        let (path, query) = split_target(target)?;
        let path = if path.starts_with('/') { path } else { self.take_authority(target, path)? };
        (self.path, self.query) = (path.as_bytes(), query);
        Ok(())
    }

    /// The other forms of a target (RFC 9112 §3.2): `http://host/path`, whose authority goes before Host, and `*`
    /// for OPTIONS. Returns the path in it.
    #[cold]
    fn take_authority(&mut self, target: &'b str, before_query: &'b str) -> Result<&'b str, Problem> {
        if target == "*" && self.method == Method::Options {
            return Ok(target);
        }
        let scheme = ["http://", "https://"].into_iter().find(|scheme| {
            target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let Some(scheme) = scheme else {
            let detail = "The target must be a path, an http URI, or * with OPTIONS (RFC 9112 §3.2).";
            return Err(malformed(detail));
        };
        let rest = &before_query[scheme.len()..];
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        check_host(host.as_bytes())?;
        self.authority = Some(host.as_bytes());
        Ok(if path.is_empty() { "/" } else { path })
    }

    #[inline]
    fn take_field(
        &mut self,
        field: &httparse::Header<'b>,
        framing: &mut FramingFields<'b>,
    ) -> Result<(), Problem> {
        // httparse has taken the white space around a value away.
        let &httparse::Header { name, value } = field;
        // Most write a name as its RFC does, and that is one comparison.
        let is = |known: &str| name == known || name.eq_ignore_ascii_case(known);
        // By length first: most fields of a request are none of these.
        match name.len() {
            3 if is("Via") => self.forwarded = true,
            4 if is("Host") => once(&mut self.host, value, "Host")?,
            6 if is("Origin") => text_once(&mut self.origin, value, "Origin")?,
            6 if is("Cookie") => self.cookie = self.cookie.or(text(value).ok()),
            6 if is("Expect") => self.take_expect(text(value)?)?,
            7 if is("Upgrade") => self.upgrade_websocket |= has_token(text(value)?, "websocket"),
            9 if is("Forwarded") => self.forwarded = true,
            10 if is("Connection") => self.take_connection(text(value)?),
            12 if is("Content-Type") => text_once(&mut self.content_type, value, "Content-Type")?,
            13 if is("Last-Event-ID") => text_once(&mut self.last_event_id, value, "Last-Event-ID")?,
            14 if is("Content-Length") => text_once(&mut framing.length, value, "Content-Length")?,
            17 if is("Transfer-Encoding") => text_once(&mut framing.coding, value, "Transfer-Encoding")?,
            17 | 21 | 24 if begins(name, "Sec-WebSocket-") => self.take_websocket(name, value)?,
            29 if is("Access-Control-Request-Method") => self.preflight_method = Some(text(value)?),
            // `X-Forwarded-For`, `-Host`, `-Proto` and whatever else proxies add.
            _ => self.forwarded |= begins(name, "X-Forwarded-"),
        }
        Ok(())
    }

    /// RFC 9112 §3.2: HTTP/1.1 needs a Host field, also beside an absolute target.
    #[inline]
    fn check_host(&self) -> Result<(), Problem> {
        match self.host {
            Some(host) => check_host(host),
            None if self.is_1_1 => {
                Err(malformed("A request of HTTP/1.1 needs a Host field (RFC 9112 §3.2)."))
            }
            None => Ok(()),
        }
    }

    /// The fields of an opening handshake (RFC 6455 §4.1). Not inline: who comes with these comes once.
    #[inline(never)]
    fn take_websocket(&mut self, name: &str, value: &'b [u8]) -> Result<(), Problem> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("Sec-WebSocket-Key") {
            return text_once(&mut self.websocket_key, value, "Sec-WebSocket-Key");
        }
        if is("Sec-WebSocket-Version") {
            return text_once(&mut self.websocket_version, value, "Sec-WebSocket-Version");
        }
        if is("Sec-WebSocket-Extensions") {
            self.deflate = self.deflate.or(deflate::accept(text(value)?));
        }
        Ok(())
    }

    /// RFC 9112 §9.3: `close` wins over `keep-alive`.
    #[inline(never)]
    fn take_connection(&mut self, value: &str) {
        self.connection_upgrade |= has_token(value, "upgrade");
        if has_token(value, "close") {
            self.keep_alive = false;
        } else if !self.is_1_1 && has_token(value, "keep-alive") {
            self.keep_alive = true;
        }
    }

    /// RFC 9110 §10.1.1: of an HTTP/1.0 client the expectation is ignored.
    #[inline(never)]
    fn take_expect(&mut self, value: &str) -> Result<(), Problem> {
        if !value.eq_ignore_ascii_case("100-continue") {
            let detail = "The only expectation understood here is 100-continue.";
            return Err(Problem::fatal(Status::ExpectationFailed, detail));
        }
        self.expects_continue = self.is_1_1;
        Ok(())
    }
}

/// The fields that say where the body of a request ends, gathered before they are weighed.
#[derive(Default)]
struct FramingFields<'b> {
    length: Option<&'b str>,
    coding: Option<&'b str>,
}

impl FramingFields<'_> {
    /// RFC 9112 §6: a length or the chunked coding, never both.
    #[inline]
    fn settle(&self, is_1_1: bool) -> Result<Framing, Problem> {
        match (self.length, self.coding) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => {
                Err(malformed("Content-Length and Transfer-Encoding may not come together (RFC 9112 §6.3)."))
            }
            (Some(length), None) => content_length(length).map(Framing::Length),
            (None, Some(_)) if !is_1_1 => {
                Err(malformed("HTTP/1.0 knows no Transfer-Encoding (RFC 9112 §6.1)."))
            }
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            (None, Some(coding)) if ends_in_one_chunked(coding) => {
                let detail = "The only transfer coding understood here is chunked.";
                Err(Problem::fatal(Status::NotImplemented, detail))
            }
            (None, Some(_)) => {
                Err(malformed("The last transfer coding must be chunked, once (RFC 9112 §6.3)."))
            }
        }
    }
}

/// `1*DIGIT` and nothing else: no sign, no list, no more than 64 bits (RFC 9110 §8.6).
fn content_length(value: &str) -> Result<u64, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| value.parse().ok())
        .flatten()
        .ok_or_else(|| malformed("Content-Length must be one number of bytes, in digits (RFC 9110 §8.6)."))
}

/// `gzip, chunked` and the like: well formed, but not done here.
fn ends_in_one_chunked(coding: &str) -> bool {
    let is_chunked = |coding: &str| coding.trim_matches([' ', '\t']).eq_ignore_ascii_case("chunked");
    coding.rsplit(',').next().is_some_and(is_chunked)
        && coding.split(',').filter(|it| is_chunked(it)).count() == 1
}

/// Why there is no whole head: more must come, or this cannot become one.
#[cold]
fn no_whole_head(
    error: Option<httparse::Error>,
    bytes: &[u8],
    max_head: usize,
) -> Result<Option<usize>, Problem> {
    match error {
        None if bytes.len() == max_head => Err(too_long(bytes)),
        None => no_bare_line_feed(bytes).map(|()| None),
        // Which version it is shows at the end of the line.
        Some(httparse::Error::Version) if bytes.len() < max_head && request_line(bytes).is_none() => Ok(None),
        Some(httparse::Error::Version) => Err(other_version(request_line(bytes))),
        Some(error) => Err(refused(error)),
    }
}

/// Whether a comma-separated list of tokens holds this one, in any case (RFC 9110 §5.6.1).
fn has_token(list: &str, token: &str) -> bool {
    let mut items = list.as_bytes().split(|&byte| byte == b',');
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[inline]
fn once<'b, T: ?Sized>(slot: &mut Option<&'b T>, value: &'b T, name: &str) -> Result<(), Problem> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(given_twice(name)),
    }
}

/// The same of a value that is to be text.
#[inline(never)]
fn text_once<'b>(slot: &mut Option<&'b str>, value: &'b [u8], name: &str) -> Result<(), Problem> {
    once(slot, text(value)?, name)
}

#[cold]
fn given_twice(name: &str) -> Problem {
    malformed(format!("{name} may be given only once."))
}

fn too_long(bytes: &[u8]) -> Problem {
    let line_ended = bytes.trim_ascii_start().contains(&b'\n');
    if line_ended {
        Problem::fatal(
            Status::FieldsTooLarge,
            "The head of the request is too large; send fewer or shorter fields.",
        )
    } else {
        Problem::fatal(Status::UriTooLong, "The request line is too long; shorten the target.")
    }
}

/// The request line without its end, if that has come.
fn request_line(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.trim_ascii_start();
    memchr::memchr(b'\n', line).map(|end| line[..end].trim_ascii_end())
}

/// `HTTP/` DIGIT `.` DIGIT is a version that is not spoken here; anything else is none (RFC 9112 §2.3).
fn other_version(line: Option<&[u8]>) -> Problem {
    let last_word = line.and_then(|line| line.rsplit(|&byte| byte == b' ').next());
    match last_word.and_then(|word| word.strip_prefix(b"HTTP/")) {
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
            let detail = "Only HTTP/1.1 and HTTP/1.0 are spoken on this port.";
            Problem::fatal(Status::VersionNotSupported, detail)
        }
        _ => malformed(NO_REQUEST_LINE),
    }
}

const NO_REQUEST_LINE: &str = "This is no HTTP request line: METHOD TARGET HTTP/1.1 (RFC 9112 §3).";

fn refused(error: httparse::Error) -> Problem {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => {
            Problem::fatal(Status::FieldsTooLarge, "The head of the request has more than 100 fields.")
        }
        Error::HeaderName => malformed(
            "A field name is a token directly before its colon, and no line begins with a space (RFC 9112 §5).",
        ),
        Error::HeaderValue => malformed("A field value holds a control character (RFC 9110 §5.5)."),
        Error::NewLine => malformed("Lines end in CR and LF, and a CR stands nowhere else (RFC 9112 §2.2)."),
        _ => malformed(NO_REQUEST_LINE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<(Method, Framing, bool), Status> {
        let mut request = Request::default();
        match request.read(head.as_bytes(), 16 * 1024) {
            Ok(Some(length)) => {
                assert_eq!(length, head.len());
                Ok((request.method, request.framing, request.keep_alive))
            }
            Ok(None) => panic!("not whole: {head:?}"),
            Err(problem) => {
                assert!(problem.fatal);
                Err(problem.status)
            }
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        let fields = [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
            "Content-Length : 5",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked, identity",
            "X: 1\r\n folded",
            "X: a\rb",
            "X: a\0b",
            "X\0: a",
            ": nameless",
            "Host: again",
            "X: 1\nContent-Length: 5",
        ];
        for field in fields {
            let head = format!("POST /event HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(parse(&head), Err(Status::BadRequest), "{field:?}");
        }
    }

    #[test]
    fn whatever_begins_with_x_forwarded_was_passed_on() {
        for length in 1..30 {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-{}: 1\r\n\r\n", "p".repeat(length));
            let mut request = Request::default();
            assert_eq!(request.read(head.as_bytes(), 999).unwrap(), Some(head.len()));
            assert!(request.forwarded, "{head}");
        }
    }

    #[test]
    fn framing_that_is_clear_is_taken() {
        let of = |field: &str| parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
        assert_eq!(of("content-length: 007").unwrap().1, Framing::Length(7));
        assert_eq!(of("Transfer-encoding:\tCHUNKED ").unwrap().1, Framing::Chunked);
        assert_eq!(of("Transfer-Encoding: gzip, chunked"), Err(Status::NotImplemented));
        assert_eq!(of("Expect: much").unwrap_err(), Status::ExpectationFailed);
    }

    #[test]
    fn http_1_1_needs_a_host() {
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err(Status::BadRequest));
        assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn persistence_follows_the_version_and_the_connection_field() {
        let keeps = |version: &str, field: &str| {
            parse(&format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n")).unwrap().2
        };
        assert!(keeps("1.1", ""));
        assert!(!keeps("1.0", ""));
        assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
        assert!(!keeps("1.1", "Connection: x, CLOSE\r\n"));
        assert!(!keeps("1.1", "Connection: close\r\nConnection: keep-alive\r\n"));
    }

    #[test]
    fn targets_come_in_three_forms() {
        let path = |line: &str| {
            let head = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut request = Request::default();
            let length = request.read(head.as_bytes(), 999).map_err(|problem| problem.status)?;
            assert_eq!(length, Some(head.len()));
            let path = std::str::from_utf8(request.path).unwrap();
            Ok(format!("{} {path} {}", request.host().unwrap(), request.query))
        };
        assert_eq!(path("GET /news?a=1"), Ok("a /news a=1".into()));
        assert_eq!(path("GET /stream/of?a=1?b"), Ok("a /stream/of a=1?b".into()));
        assert_eq!(path("GET http://b:1/news?a"), Ok("b:1 /news a".into()));
        assert_eq!(path("GET HTTP://b?a"), Ok("b / a".into()));
        assert_eq!(path("OPTIONS *"), Ok("a * ".into()));
        for line in ["GET *", "OPTIONS *?", "GET news", "CONNECT a:80", "GET ftp://a/", "GET http:///x"] {
            assert_eq!(path(line), Err(Status::BadRequest), "{line}");
        }
        for line in
            ["GET /a#b", "GET /news?a#b", "GET /news/of/today#b", "GET /é", "GET /news?é", "GET /news/of/é"]
        {
            assert_eq!(path(line), Err(Status::BadRequest), "{line}");
        }
    }

    #[test]
    fn other_protocols_are_told_apart() {
        let status = |bytes: &[u8]| {
            let mut request = Request::default();
            request.read(bytes, 999).unwrap_err().status
        };
        assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Status::VersionNotSupported);
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), Status::BadRequest);
    }

    #[test]
    fn too_long_is_told_by_what_was_too_long() {
        let status = |head: String| {
            let mut request = Request::default();
            request.read(head.as_bytes(), 256).unwrap_err().status
        };
        assert_eq!(status(format!("GET /{} HTTP/1.1\r\n", "a".repeat(300))), Status::UriTooLong);
        assert_eq!(status(format!("GET / HTTP/1.1\r\nX: {}\r\n", "a".repeat(300))), Status::FieldsTooLarge);
        assert_eq!(
            status(format!("GET / HTTP/1.1\r\n{}", "X:\r\n".repeat(101)) + &" ".repeat(99)),
            Status::FieldsTooLarge
        );
    }
}
