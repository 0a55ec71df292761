//! From a head to what is wanted: the paths, their methods and their parameters.

use super::origin::{Cors, is_local};
use super::path::Path;
use super::problem::{Problem, Status};
use super::query::parameter;
use super::request::{Method, Request};
use super::response::Manner;
use crate::channel::{ChannelName, Since};
use crate::page::{self, Asset};
use crate::settings::{Language, Settings};
use crate::websocket::handshake::{self, Handshake, Offer};
use std::time::Duration;

/// What is wanted.
// A byte of its own says which it is, for that is asked of each more than once.
#[derive(Debug)]
#[repr(u8)]
pub enum Route {
    /// `GET /news`: what there is, now.
    ShortPoll(Ask),
    /// `GET /poll`: what there is, or else what comes within the hold.
    LongPoll(Ask, Duration, Browser),
    /// `GET /connect`: Server-Sent Events, after so many bytes of padding.
    Sse(Ask, usize),
    /// `GET /stream`: one JSON object a line, without end.
    Stream(Ask),
    /// `GET /ws`: the same as WebSocket messages.
    WebSocket(Ask, Handshake),
    /// `GET /echo`: a WebSocket that says what it hears.
    Echo(Handshake),
    /// `POST /event`: publish the body.
    Publish(Option<Box<ChannelName>>, Media),
    /// HEAD of something that would answer with this media type, sooner or later.
    Glimpse(&'static str),
    /// OPTIONS: these methods are allowed; whether it is a preflight.
    Options(&'static str, bool),
    /// A file of the page.
    Page(&'static Asset, Browser),
    /// `GET /healthz`: whether the server is going away.
    Health,
    /// Something that only the server itself can tell.
    Report(Report),
    /// `POST /kernel/multiplexer`: wait for everything in another way; the body says how.
    Multiplexer,
    /// `POST /kernel/crowd`: bring in many more clients; the body says how many and of what kind.
    BringCrowd,
    /// `DELETE /kernel/crowd`: let them go.
    DismissCrowd,
}

/// What only the server itself can tell, or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// `GET /metrics`.
    Metrics,
    /// `GET /kernel`.
    Kernel(View),
    /// Wait for everything by the mechanism of this name from now on.
    Multiplexer(Box<str>),
    /// Bring in a crowd.
    BringCrowd(Box<CrowdWish>),
    /// Let it go.
    DismissCrowd,
}

/// Which crowd is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrowdWish {
    /// The name of the technique.
    pub technique: &'static str,
    /// How many clients.
    pub clients: u32,
    /// What they follow.
    pub channel: ChannelName,
}

/// How much of the kernel's side somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// `?limit=`: at most so many fds are listed.
    pub limit: usize,
    /// `?turns=`: so many of the last turns of the loop, if any.
    pub turns: usize,
    /// `?narrate=`: in which language these are told.
    pub language: Language,
}

/// Which channel, and from where on.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The channel; the lobby if none is named.
    pub channel: Option<Box<ChannelName>>,
    /// Where to go on; `None` if the request does not say.
    pub since: Option<Since>,
}

/// Who asks, as far as that is known: a browser has a cookie, a program may call itself something.
#[derive(Debug, Default)]
pub struct Browser {
    /// `?client=`, or else the cookie.
    pub id: Option<Box<str>>,
    /// Whether the cookie is there already.
    pub has_cookie: bool,
}

/// How the body of a publication is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`: a JSON value.
    Json,
    /// Anything else: a string.
    Text,
}

/// The media type of events in JSON.
pub const JSON: &str = "application/json";
/// The media type of Server-Sent Events.
pub const EVENT_STREAM: &str = "text/event-stream;charset=UTF-8";
/// The media type of one JSON value a line.
pub const NDJSON: &str = "application/x-ndjson";

/// Decides what a request wants. The problem, if there is one, leaves the connection as it was.
#[inline(always)]
pub fn route(request: &Request<'_>, manner: &Manner, settings: &Settings) -> Result<Route, Problem> {
    let mut route = choose(request, manner, settings);
    if manner.head_only {
        route = route.map(glimpse);
    }
    route
}

/// What HEAD gets to see of an answer that comes about only if somebody waits for it, or asks the kernel.
fn glimpse(route: Route) -> Route {
    match route {
        Route::ShortPoll(..) | Route::LongPoll(..) | Route::Report(Report::Kernel(_)) => Route::Glimpse(JSON),
        Route::Sse(..) => Route::Glimpse(EVENT_STREAM),
        Route::Stream(_) => Route::Glimpse(NDJSON),
        whole => whole,
    }
}

// Inline, like all that a request passes on its way to an answer: a route is large, and so it is written where it is
// wanted, and not carried there.
#[inline(always)]
fn choose(request: &Request<'_>, manner: &Manner, settings: &Settings) -> Result<Route, Problem> {
    let path = manner.path;
    check_method(request.method, path)?;
    if request.method == Method::Options {
        let [(_, methods)] = path.allow();
        return Ok(Route::Options(methods, request.preflight_method.is_some()));
    }
    let query = request.query;
    match path {
        Path::News => Ok(Route::ShortPoll(ask(query, None)?)),
        Path::Poll => {
            let hold = hold(query, settings)?;
            Ok(Route::LongPoll(ask(query, None)?, hold, browser(request, true)?))
        }
        Path::Connect => {
            let last_event_id = request.last_event_id.filter(|id| !id.is_empty());
            Ok(Route::Sse(ask(query, last_event_id)?, padding(query)?))
        }
        Path::Stream => Ok(Route::Stream(ask(query, None)?)),
        Path::Ws => Ok(Route::WebSocket(ask(query, None)?, upgrade(request, manner, settings)?)),
        Path::Echo => upgrade(request, manner, settings).map(Route::Echo),
        Path::Event => {
            own_pages_only(manner)?;
            Ok(Route::Publish(channel(query)?, media(request)))
        }
        Path::Healthz => Ok(Route::Health),
        Path::Metrics => Ok(Route::Report(Report::Metrics)),
        Path::Kernel => Ok(Route::Report(Report::Kernel(view(query)?))),
        Path::Multiplexer => {
            own_pages_only(manner)?;
            check_local(request)?;
            Ok(Route::Multiplexer)
        }
        Path::Crowd => {
            own_pages_only(manner)?;
            check_local(request)?;
            Ok(if request.method == Method::Post { Route::BringCrowd } else { Route::DismissCrowd })
        }
        Path::Page if request.path == b"/" && request.upgrade_websocket && request.is_1_1 => {
            Ok(Route::WebSocket(ask(query, None)?, upgrade(request, manner, settings)?))
        }
        Path::Page | Path::SendMessage | Path::Star | Path::Other => match page::find(request.path) {
            Some(asset) => Ok(Route::Page(asset, browser(request, false)?)),
            None => Err(Problem::new(
                Status::NotFound,
                "There is nothing at this path; GET / shows what there is.",
            )),
        },
    }
}

/// 405 with `Allow` for a known path (RFC 9110 §15.5.6).
#[inline]
fn check_method(method: Method, path: Path) -> Result<(), Problem> {
    let allowed = match (path, method) {
        (Path::Other, _) | (_, Method::Options) => true,
        (Path::Event | Path::Multiplexer, method) => method == Method::Post,
        (Path::Crowd, method) => matches!(method, Method::Post | Method::Delete),
        (Path::SendMessage, _) => false,
        (_, method) => matches!(method, Method::Get | Method::Head),
    };
    if allowed {
        return Ok(());
    }
    Err(not_allowed(path))
}

#[cold]
fn not_allowed(path: Path) -> Problem {
    let detail = match path {
        Path::SendMessage => {
            "GET is a safe method and publishes nothing (RFC 9110 §9.2.1); POST the message to /event instead."
        }
        Path::Event => "Publish with POST; to read, GET /news, /poll, /connect, /stream or /ws.",
        Path::Multiplexer => "Choose the mechanism with POST; to see which it is, GET /kernel.",
        Path::Crowd => "Bring a crowd in with POST, let it go with DELETE; to see it, GET /kernel.",
        _ => "This path is for reading, with GET; publish with POST /event.",
    };
    Problem::new(Status::MethodNotAllowed, detail).with(path.allow())
}

#[inline(always)]
fn ask(query: &str, last_event_id: Option<&str>) -> Result<Ask, Problem> {
    let asked = match last_event_id {
        // Last-Event-ID wins: the browser sends it by itself, and it is newer than the URL.
        Some(id) => Some(id.into()),
        None => parameter(query, "since")?,
    };
    let malformed = || {
        Problem::bad(
            "A cursor is the id of an event, such as m3k9a1-5, or the word start; send one that you were given.",
        )
    };
    let since = asked.map(|text| Since::parse(&text).ok_or_else(malformed)).transpose()?;
    Ok(Ask { channel: channel(query)?, since })
}

#[inline(always)]
fn channel(query: &str) -> Result<Option<Box<ChannelName>>, Problem> {
    let Some(name) = parameter(query, "channel")? else { return Ok(None) };
    let name = ChannelName::parse(&name)
        .ok_or_else(|| Problem::bad("A channel's name is 1 to 64 of A-Z a-z 0-9 . _ and -."))?;
    Ok(Some(Box::new(name)))
}

/// `?timeout=` in seconds or with a unit, at most `--max-hold`.
#[inline(always)]
fn hold(query: &str, settings: &Settings) -> Result<Duration, Problem> {
    let asked = match parameter(query, "timeout")? {
        Some(text) => seconds(&text)?,
        None => settings.hold,
    };
    Ok(asked.min(settings.max_hold))
}

fn seconds(text: &str) -> Result<Duration, Problem> {
    parse_seconds(text).ok_or_else(|| {
        Problem::bad("timeout is a number of seconds, such as 30 or 0.5, or carries a unit, such as 500ms.")
    })
}

/// `1`, `0.5`, or a number with a unit such as `500ms`.
fn parse_seconds(text: &str) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plain {
        return humantime::parse_duration(text).ok();
    }
    let seconds: f64 = text.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// `?padding=`: how many bytes of comment come first.
fn padding(query: &str) -> Result<usize, Problem> {
    const MOST: usize = 64 * 1024;
    let Some(text) = parameter(query, "padding")? else {
        return Ok(0);
    };
    let count = text.parse().ok().filter(|&count| count <= MOST);
    count.ok_or_else(|| Problem::bad("padding is a number of bytes from 0 to 65536."))
}

fn view(query: &str) -> Result<View, Problem> {
    Ok(View { limit: limit(query)?, turns: turns(query)?, language: language(query)? })
}

/// `?turns=`: how many turns of the loop are told.
fn turns(query: &str) -> Result<usize, Problem> {
    const MOST: usize = 64;
    let Some(text) = parameter(query, "turns")? else {
        return Ok(0);
    };
    let count = text.parse().ok().filter(|&count| count <= MOST);
    count.ok_or_else(|| Problem::bad("turns is a number of turns of the loop from 0 to 64."))
}

/// `?narrate=`: in which language they are told.
fn language(query: &str) -> Result<Language, Problem> {
    let Some(name) = parameter(query, "narrate")? else {
        return Ok(Language::default());
    };
    Language::named(&name).ok_or_else(|| Problem::bad("narrate is a language: en or ko."))
}

/// `?limit=`: how many fds are listed.
fn limit(query: &str) -> Result<usize, Problem> {
    const USUALLY: usize = 100;
    let Some(text) = parameter(query, "limit")? else {
        return Ok(USUALLY);
    };
    text.parse().map_err(|_| Problem::bad("limit is a number of fds, such as 100."))
}

/// What changes the server itself is for this machine only: the request names it so, and nobody passed it on.
fn check_local(request: &Request<'_>) -> Result<(), Problem> {
    if request.host().is_some_and(is_local) && !request.forwarded {
        return Ok(());
    }
    Err(this_machine_only())
}

/// The refusal of whoever is elsewhere.
pub fn this_machine_only() -> Problem {
    let detail =
        "This is for the machine itself: ask from there, by the name localhost, and not through a proxy.";
    Problem::new(Status::Forbidden, detail)
}

/// `?client=`, where it counts, wins over the cookie `doorbell`.
#[inline(always)]
fn browser(request: &Request<'_>, by_parameter: bool) -> Result<Browser, Problem> {
    let cookie = request.cookie.and_then(|cookies| {
        let values = cookies.split(';').filter_map(|pair| pair.trim_matches(' ').strip_prefix("doorbell="));
        values.into_iter().find(|value| is_browser_id(value))
    });
    let client = if by_parameter { parameter(request.query, "client")? } else { None };
    if client.as_deref().is_some_and(|client| !is_browser_id(client)) {
        return Err(Problem::bad("client is 16 to 64 of A-Z a-z 0-9 _ and -."));
    }
    let id = client.as_deref().or(cookie).map(Into::into);
    Ok(Browser { id, has_cookie: cookie.is_some() })
}

fn is_browser_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (16..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn media(request: &Request<'_>) -> Media {
    let media_type = request.content_type.unwrap_or("").split(';').next().unwrap_or("");
    if media_type.trim_ascii().eq_ignore_ascii_case("application/json") { Media::Json } else { Media::Text }
}

/// A foreign page may neither publish nor open a WebSocket: the browser would send our cookies along
/// (RFC 6455 §10.2).
fn own_pages_only(manner: &Manner) -> Result<(), Problem> {
    if manner.cors != Cors::Foreign {
        return Ok(());
    }
    let detail =
        "Pages of this origin may not do that here; start the server with --allow-origin to let them.";
    Err(Problem::new(Status::Forbidden, detail))
}

/// The opening handshake (RFC 6455 §4.2), or what is wrong with it.
fn upgrade(request: &Request<'_>, manner: &Manner, settings: &Settings) -> Result<Handshake, Problem> {
    const HOW: &[(&str, &str)] =
        &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")];
    let required = |detail| Err(Problem::new(Status::UpgradeRequired, detail).with(HOW));
    // HTTP/1.0 knows no Upgrade, and never gets a 101 (RFC 9110 §7.8).
    if !request.upgrade_websocket || !request.is_1_1 || request.method != Method::Get {
        return required(
            "This path speaks WebSocket: ask with GET, HTTP/1.1 and Upgrade: websocket (RFC 6455 §4.1).",
        );
    }
    let offer = Offer {
        connection_upgrade: request.connection_upgrade,
        version: request.websocket_version,
        key: request.websocket_key,
    };
    let accept = match handshake::check(&offer) {
        Ok(accept) => accept,
        Err(handshake::Refusal::Version) => {
            return required("Only version 13 of the WebSocket protocol is spoken here (RFC 6455 §4.4).");
        }
        Err(handshake::Refusal::Connection) => {
            return Err(Problem::bad("An opening handshake says Connection: Upgrade (RFC 6455 §4.2.1)."));
        }
        Err(handshake::Refusal::Key) => {
            return Err(Problem::bad("Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455 §4.2.1)."));
        }
    };
    own_pages_only(manner)?;
    Ok(Handshake { accept, deflate: request.deflate.filter(|_| settings.deflate) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_seconds_or_carry_a_unit() {
        let settings = Settings::default();
        let of = |text: &str| hold(&format!("timeout={text}"), &settings).map_err(|problem| problem.status);
        assert_eq!(of("1"), Ok(Duration::from_secs(1)));
        assert_eq!(of("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(of("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(of("0"), Ok(Duration::ZERO));
        assert_eq!(of("99999999999999999999999"), Ok(settings.max_hold));
        assert_eq!(hold("", &settings).unwrap(), settings.hold);
        for text in ["", "-1", "1x", "abc", ".", "1.2.3", "inf", "NaN", "1e3"] {
            assert_eq!(of(text), Err(Status::BadRequest), "{text:?}");
        }
    }
}
