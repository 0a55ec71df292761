//! Statuses, and errors that say what to do (RFC 9457).

use crate::channel::write_json_string;
use std::borrow::Cow;
use std::ops::Deref;

macro_rules! statuses {
    ($($variant:ident = $code:literal $reason:literal),* $(,)?) => {
        /// The statuses that are ever sent (RFC 9110 §15).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        #[repr(u8)]
        pub enum Status { $($variant),* }

        impl Status {
            /// Every status.
            pub const ALL: &[Status] = &[$(Status::$variant),*];

            /// The number.
            pub const fn code(self) -> u16 {
                match self { $(Status::$variant => $code),* }
            }

            /// The words beside it.
            pub const fn reason(self) -> &'static str {
                match self { $(Status::$variant => $reason),* }
            }

            /// The whole status line (RFC 9112 §4).
            pub const fn line(self) -> &'static str {
                match self { $(Status::$variant => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n")),* }
            }
        }
    };
}

statuses! {
    SwitchingProtocols = 101 "Switching Protocols",
    Ok = 200 "OK",
    Created = 201 "Created",
    NoContent = 204 "No Content",
    BadRequest = 400 "Bad Request",
    Forbidden = 403 "Forbidden",
    NotFound = 404 "Not Found",
    MethodNotAllowed = 405 "Method Not Allowed",
    RequestTimeout = 408 "Request Timeout",
    Conflict = 409 "Conflict",
    ContentTooLarge = 413 "Content Too Large",
    UriTooLong = 414 "URI Too Long",
    UnsupportedMediaType = 415 "Unsupported Media Type",
    ExpectationFailed = 417 "Expectation Failed",
    UpgradeRequired = 426 "Upgrade Required",
    TooManyRequests = 429 "Too Many Requests",
    FieldsTooLarge = 431 "Request Header Fields Too Large",
    NotImplemented = 501 "Not Implemented",
    ServiceUnavailable = 503 "Service Unavailable",
    VersionNotSupported = 505 "HTTP Version Not Supported",
    InsufficientStorage = 507 "Insufficient Storage",
}

/// An error answer: what is wrong, and what a person can do about it. (One pointer: so it costs nothing to hand on
/// that there is none.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(Box<Facts>);

/// What a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The status.
    pub status: Status,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
    /// Further fields of the head, such as `Allow`.
    pub fields: &'static [(&'static str, &'static str)],
    /// Whether the connection cannot go on: nobody knows where the next request would begin.
    pub fatal: bool,
}

impl Deref for Problem {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl Problem {
    /// A problem after which the connection goes on.
    #[cold]
    pub fn new(status: Status, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem(Box::new(Facts { status, detail: detail.into(), fields: &[], fatal: false }))
    }

    /// 400, and the connection goes on: the request was understood, its content is wrong.
    pub fn bad(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Status::BadRequest, detail)
    }

    /// A problem after which the connection closes.
    pub fn fatal(status: Status, detail: impl Into<Cow<'static, str>>) -> Problem {
        let mut problem = Problem::new(status, detail);
        problem.0.fatal = true;
        problem
    }

    /// The same with further fields in its head.
    pub fn with(mut self, fields: &'static [(&'static str, &'static str)]) -> Problem {
        self.0.fields = fields;
        self
    }

    /// The body: `application/problem+json`.
    pub fn json(&self) -> Vec<u8> {
        let (status, title) = (self.status.code(), self.status.reason());
        let mut body =
            format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"#).into_bytes();
        write_json_string(&self.detail, &mut body);
        body.extend_from_slice(b"}\n");
        body
    }
}

/// A request that cannot be read: nobody knows where the next one would begin.
pub(super) fn malformed(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::fatal(Status::BadRequest, detail)
}
