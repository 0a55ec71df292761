//! HTTP between one answer and the next: a head is awaited, then perhaps a body, and then there is an
//! answer, or a technique that owes one.

use super::long_poll;
use super::websocket::WebSocket;
use super::{Deadline, Due, Name, Next, Question, Turn, Why, publish, short_poll, sse, stream, wish};
use crate::channel::{ChannelId, ChannelName};
use crate::http::origin::Cors;
use crate::http::response::{CONTINUE, Content, Fields, NO_CACHE};
use crate::http::router::{self, Report, this_machine_only};
use crate::http::{Body, Manner, Method, Path, Problem, Request, Route, Status};
use crate::page::SECURITY_POLICY;
use crate::settings::Settings;
use crate::tick::Tick;

/// Waiting for a request, or for the rest of one.
#[derive(Debug)]
pub(super) struct Exchange {
    stage: Stage,
    /// When that stage began.
    since: Tick,
    /// How many bytes there were when a head was last looked for in vain.
    looked_at: u32,
    /// What the last answer was.
    spoke: Name,
    /// Whether the last request was to see the kernel's side.
    looks: bool,
}

#[derive(Debug)]
enum Stage {
    /// The connection was accepted and nothing has come.
    Fresh,
    /// A part of a head has come.
    Head,
    /// A head has come; its body is on the way.
    Body(Box<Upload>),
    /// An answer is owed that only the server itself can give.
    Owed,
    /// The last answer is out.
    Idle,
}

/// A request whose body is on the way. What comes of it is settled already.
#[derive(Debug)]
struct Upload {
    manner: Manner,
    route: Result<Route, Problem>,
    body: Body,
}

impl Exchange {
    /// A connection that has just been accepted.
    pub(super) fn fresh(now: Tick) -> Exchange {
        Exchange { stage: Stage::Fresh, since: now, looked_at: 0, spoke: Name::Http, looks: false }
    }

    /// A connection that has just given an answer of this technique.
    pub(super) fn after(spoke: Name, now: Tick) -> Exchange {
        Exchange { stage: Stage::Idle, since: now, looked_at: 0, spoke, looks: false }
    }

    pub(super) fn name(&self) -> Name {
        self.spoke
    }

    pub(super) fn on_bytes(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> (usize, Next) {
        match self.stage {
            Stage::Body(_) => self.on_body(bytes, turn),
            Stage::Owed => (0, Next::Wait),
            // An empty line before a request is skipped (RFC 9112 §2.2).
            Stage::Fresh | Stage::Idle if bytes.starts_with(b"\r\n") => (2, Next::Wait),
            _ if bytes.is_empty() || !self.is_worth_a_look(bytes, turn) => (0, Next::Wait),
            _ => self.on_heads(bytes, turn),
        }
    }

    /// Answers as many requests as have come whole, one after the other, until one of them is more than a head and an
    /// answer, or enough is said.
    #[inline(always)]
    fn on_heads(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> (usize, Next) {
        let spoke = matches!(self.stage, Stage::Idle).then_some(self.spoke);
        let mut used = 0;
        loop {
            let (more, next) = self.on_head(&bytes[used..], turn);
            used += more;
            if !matches!((&next, &self.stage), (Next::Wait, Stage::Idle)) {
                return (used, next);
            }
            let rest = &bytes[used..];
            if rest.is_empty() || rest.starts_with(b"\r\n") || turn.out.is_a_mouthful() {
                return (used, if spoke == Some(self.spoke) { Next::Same } else { next });
            }
        }
    }

    // Not inline: a second time all that comes of a request is in here.
    #[inline(never)]
    fn on_body(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> (usize, Next) {
        let Stage::Body(mut upload) = std::mem::replace(&mut self.stage, Stage::Idle) else { unreachable!() };
        match upload.body.take(bytes) {
            Err(problem) => (0, refuse(turn, &upload.manner, &problem)),
            Ok(used) if upload.body.is_whole() => {
                let Upload { mut manner, route, body } = *upload;
                (used, self.act(turn, &mut manner, &route, body.content))
            }
            Ok(used) => {
                self.stage = Stage::Body(upload);
                (used, Next::Wait)
            }
        }
    }

    /// Whether a head could be whole, or wrong, that was not so the last time. A head that trickles in
    /// is looked at when a line ends and when it has doubled: so all the looking together costs no
    /// more than a few times its length.
    fn is_worth_a_look(&self, bytes: &[u8], turn: &Turn<'_>) -> bool {
        let seen = (self.looked_at as usize).min(bytes.len());
        bytes.len() >= seen * 2
            || bytes.len() >= turn.hub.settings.max_head
            || memchr::memchr(b'\n', &bytes[seen..]).is_some()
    }

    #[inline(always)]
    fn on_head(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> (usize, Next) {
        let mut request = Request::default();
        match request.read(bytes, turn.hub.settings.max_head) {
            Ok(Some(length)) => {
                self.looked_at = 0;
                (length, self.on_request(&request, turn))
            }
            Ok(None) => (0, self.await_the_rest(bytes, turn)),
            Err(problem) => (0, refuse(turn, &Manner::BROKEN, &problem)),
        }
    }

    /// The head is not whole yet.
    fn await_the_rest(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Next {
        self.looked_at = bytes.len() as u32;
        match self.stage {
            // The first head counts from accept, a later one from its first byte.
            Stage::Fresh => self.stage = Stage::Head,
            Stage::Idle => (self.stage, self.since) = (Stage::Head, turn.now.tick),
            _ => {}
        }
        Next::Wait
    }

    #[inline(always)]
    fn on_request(&mut self, request: &Request<'_>, turn: &mut Turn<'_>) -> Next {
        let settings = &turn.hub.settings;
        let mut manner = Manner {
            is_1_1: request.is_1_1,
            keep_alive: request.keep_alive,
            head_only: request.method == Method::Head,
            cors: Cors::of(request, &settings.allow_origin),
            path: Path::of(request.path),
        };
        let route = router::route(request, &manner, settings);
        if !request.framing.has_body() {
            return self.act(turn, &mut manner, &route, Vec::new());
        }
        let keep_body = matches!(route, Ok(Route::Publish(..) | Route::Multiplexer | Route::BringCrowd));
        let body = match Body::begin(request.framing, keep_body, settings.max_body, settings.max_head) {
            Err(problem) => return refuse(turn, &manner, &problem),
            Ok(body) => body,
        };
        if request.expects_continue {
            // The client asks before it sends: it may as well be told now (RFC 9110 §10.1.1).
            if let Err(problem) = route {
                return refuse(turn, &manner, &problem);
            }
            turn.out.own.extend_from_slice(CONTINUE);
        }
        self.stage = Stage::Body(Box::new(Upload { manner, route, body }));
        self.since = turn.now.tick;
        Next::Wait
    }

    /// Answers a whole request, or hands it to the technique that will.
    #[inline(always)]
    fn act(
        &mut self,
        turn: &mut Turn<'_>,
        manner: &mut Manner,
        route: &Result<Route, Problem>,
        body: Vec<u8>,
    ) -> Next {
        manner.keep_alive &= !turn.hub.draining;
        // The answer is charged to whom the request is counted for.
        let name = route.as_ref().map_or(Name::Http, technique_of);
        (self.stage, self.since, self.spoke, self.looks) = (Stage::Idle, turn.now.tick, name, false);
        turn.hub.tally.ask(name, body.len());
        match route {
            Ok(route) => match self.take(turn, manner, route, body) {
                Ok(Next::Wait) => self.answered(manner.keep_alive),
                Ok(next) => next,
                Err(problem) => self.answer_problem(turn, manner, &problem),
            },
            Err(problem) => self.answer_problem(turn, manner, problem),
        }
    }

    fn answer_problem(&self, turn: &mut Turn<'_>, manner: &Manner, problem: &Problem) -> Next {
        turn.problem(manner, problem);
        self.answered(manner.keep_alive && !problem.fatal)
    }

    fn answered(&self, keep_alive: bool) -> Next {
        if keep_alive { Next::Wait } else { Next::Close(Why::Answered) }
    }

    #[inline(always)]
    fn take(
        &mut self,
        turn: &mut Turn<'_>,
        manner: &Manner,
        route: &Route,
        body: Vec<u8>,
    ) -> Result<Next, Problem> {
        Ok(match route {
            Route::ShortPoll(ask) => {
                let channel = open(turn, &ask.channel)?;
                short_poll::answer(turn, manner, channel, ask.since);
                Next::Wait
            }
            Route::LongPoll(ask, hold, browser) => {
                let channel = open(turn, &ask.channel)?;
                long_poll::begin(turn, *manner, ask, channel, *hold, browser)
            }
            Route::Sse(ask, padding) => {
                let channel = open(turn, &ask.channel)?;
                sse::begin(turn, manner, (channel, ask.since), *padding)
            }
            Route::Stream(ask) => {
                let channel = open(turn, &ask.channel)?;
                stream::begin(turn, manner, (channel, ask.since))
            }
            Route::WebSocket(ask, handshake) => {
                let channel = open(turn, &ask.channel)?;
                WebSocket::begin(turn, manner, handshake, Some((channel, ask.since)))
            }
            Route::Echo(handshake) => WebSocket::begin(turn, manner, handshake, None),
            Route::Publish(channel, media) => {
                let channel = open(turn, channel)?;
                publish::publish(turn, manner, channel, *media, body)?;
                Next::Wait
            }
            Route::Glimpse(media_type) => {
                turn.answer(manner, Status::Ok, NO_CACHE, Content::Unsaid(media_type));
                Next::Wait
            }
            Route::Options(allow, is_preflight) => {
                let fields = [
                    ("Allow", *allow),
                    ("Access-Control-Allow-Methods", allow),
                    ("Access-Control-Allow-Headers", "Cache-Control, Content-Type, Last-Event-ID"),
                    ("Access-Control-Max-Age", "600"),
                ];
                let fields = if *is_preflight { &fields[..] } else { &fields[..1] };
                turn.answer(manner, Status::NoContent, Fields::own(fields), Content::Empty);
                Next::Wait
            }
            Route::Page(asset, browser) => {
                let wants_cookie = asset.path == "/" && !browser.has_cookie;
                let cookie = if wants_cookie { turn.hub.new_cookie() } else { String::new() };
                let own = [("Content-Security-Policy", SECURITY_POLICY), ("Set-Cookie", cookie.as_str())];
                let own = if wants_cookie { &own[..] } else { &own[..1] };
                let fields = Fields { own, ..NO_CACHE };
                turn.answer(manner, Status::Ok, fields, Content::Whole(asset.media_type, asset.bytes));
                Next::Wait
            }
            Route::Health => {
                if turn.hub.draining {
                    return Err(Problem::new(
                        Status::ServiceUnavailable,
                        "The server is going away; ask another.",
                    ));
                }
                let content = Content::Whole("text/plain;charset=UTF-8", b"ok\n");
                turn.answer(manner, Status::Ok, NO_CACHE, content);
                Next::Wait
            }
            Route::Report(report) => self.owe(report.clone(), *manner),
            Route::Multiplexer => {
                check_here(turn)?;
                self.owe(Report::Multiplexer(wish::multiplexer(&body)?), *manner)
            }
            Route::BringCrowd => {
                check_here(turn)?;
                self.owe(Report::BringCrowd(Box::new(wish::crowd(&body)?)), *manner)
            }
            Route::DismissCrowd => {
                check_here(turn)?;
                self.owe(Report::DismissCrowd, *manner)
            }
        })
    }

    fn owe(&mut self, report: Report, manner: Manner) -> Next {
        self.stage = Stage::Owed;
        self.looks = matches!(report, Report::Kernel(_));
        Next::Report(Box::new(Question { report, manner }))
    }

    /// The answer that was owed is out.
    pub(super) fn settle(&mut self, now: Tick) {
        (self.stage, self.since) = (Stage::Idle, now);
    }

    /// The end of a hold that is nobody's fault is told to nobody; a request that never came whole is
    /// answered with 408 (RFC 9110 §15.5.9).
    pub(super) fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Next {
        let (manner, detail) = match &self.stage {
            Stage::Fresh => return Next::Close(Why::SaidNothing),
            Stage::Idle => return Next::Close(Why::Idle),
            Stage::Owed => {
                self.since = turn.now.tick;
                return Next::Wait;
            }
            Stage::Head => (Manner::BROKEN, "The head of the request did not come within --head-timeout."),
            Stage::Body(upload) => {
                (upload.manner, "The body of the request did not come within --body-timeout.")
            }
        };
        refuse(turn, &manner, &Problem::fatal(Status::RequestTimeout, detail))
    }

    pub(super) fn on_eof(&self) -> Why {
        match self.stage {
            Stage::Fresh | Stage::Owed | Stage::Idle => Why::ClientClosed,
            Stage::Head | Stage::Body(_) => Why::CutShort,
        }
    }

    pub(super) fn deadline(&self, settings: &Settings) -> Deadline {
        let (span, kind) = match self.stage {
            Stage::Fresh | Stage::Head => (settings.head_timeout, Due::Head),
            Stage::Body(_) => (settings.body_timeout, Due::Body),
            Stage::Owed | Stage::Idle => (settings.idle_timeout, Due::Idle),
        };
        Deadline { at: self.since + span, kind }
    }

    /// Whether no request is under way: nobody is owed anything.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Fresh | Stage::Idle)
    }

    /// Whether an answer is owed that only the server itself can give, and may give later.
    pub(super) fn is_owed(&self) -> bool {
        matches!(self.stage, Stage::Owed)
    }

    /// Whether the last request was to see the kernel's side.
    pub(super) fn is_looking(&self) -> bool {
        self.looks
    }

    /// Time begins again: until now nothing could be read.
    pub(super) fn begin_again(&mut self, now: Tick) {
        self.since = now;
    }
}

/// For which technique a request is counted.
fn technique_of(route: &Route) -> Name {
    match route {
        Route::ShortPoll(..) => Name::ShortPoll,
        Route::LongPoll(..) => Name::LongPoll,
        Route::Sse(..) => Name::Sse,
        Route::Stream(..) => Name::Stream,
        Route::WebSocket(..) | Route::Echo(..) => Name::WebSocket,
        _ => Name::Http,
    }
}

/// What changes the server itself is for peers on this machine.
fn check_here(turn: &Turn<'_>) -> Result<(), Problem> {
    let is_elsewhere = turn.from.is_some_and(|ip| !ip.is_loopback());
    if is_elsewhere { Err(this_machine_only()) } else { Ok(()) }
}

/// Answers with an error after which the connection closes.
fn refuse(turn: &mut Turn<'_>, manner: &Manner, problem: &Problem) -> Next {
    turn.problem(&Manner { keep_alive: false, ..*manner }, problem);
    Next::Close(Why::Refused(problem.status))
}

#[inline(always)]
fn open(turn: &mut Turn<'_>, name: &Option<Box<ChannelName>>) -> Result<ChannelId, Problem> {
    let name = name.as_deref().unwrap_or(&ChannelName::LOBBY);
    turn.hub.channels.open(name, &turn.hub.settings).map_err(|_| {
        let detail = "There are as many channels as --max-channels allows; use one that is there.";
        Problem::new(Status::InsufficientStorage, detail)
    })
}
