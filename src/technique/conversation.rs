//! One connection's side of things, without its socket: what it speaks, and the bytes that it could
//! not deal with yet.

use super::exchange::Exchange;
use super::{Deadline, Hub, Name, News, Next, Question, Round, Seat, Technique, Turn, Why};
use crate::buffer::{Inbox, Shared};
use crate::http::response::{Content, NO_CACHE};
use crate::http::{Manner, Problem, Status};
use crate::settings::Settings;
use crate::tick::Tick;

/// How many bytes are read at a time where all of them can be dealt with.
const GULP: usize = 64 * 1024;

/// What is left to do after a reaction.
#[derive(Debug)]
pub enum After {
    /// Nothing, but to derive from its state what others must know.
    Wait,
    /// Nothing at all: its state is the same to all others.
    Same,
    /// Give an answer that only the server itself can give, now or later, with [`Conversation::answer`].
    Report(Box<Question>),
    /// Send what was said, and end.
    Close(Why),
}

/// A conversation with one client.
#[derive(Debug)]
pub struct Conversation {
    technique: Technique,
    /// What it could not deal with yet, or could have dealt with if it had not said enough.
    inbox: Inbox,
}

impl Conversation {
    /// A conversation with a client that has just come.
    pub fn new(now: Tick) -> Conversation {
        let technique = Technique::Exchange(Exchange::fresh(now));
        Conversation { technique, inbox: Inbox::default() }
    }

    /// Bytes came. They may be changed, for masks are taken off in place.
    #[inline]
    pub fn on_bytes(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> After {
        if !self.inbox.is_empty() {
            return self.resume_with(bytes, turn);
        }
        match self.technique.on_bytes(bytes, turn) {
            (used, Next::Same) if used == bytes.len() => After::Same,
            step => {
                let (used, paused, after) = self.read_on(bytes, step, turn);
                if used < bytes.len() {
                    self.keep(bytes[used..].to_vec(), paused);
                }
                after
            }
        }
    }

    #[cold]
    fn resume_with(&mut self, fresh: &[u8], turn: &mut Turn<'_>) -> After {
        let mut bytes = self.inbox.take_with(fresh);
        if turn.out.is_a_mouthful() {
            self.keep(bytes, true);
            return After::Wait;
        }
        let step = self.technique.on_bytes(&mut bytes, turn);
        let (used, paused, after) = self.read_on(&mut bytes, step, turn);
        bytes.drain(..used);
        self.keep(bytes, paused);
        after
    }

    fn keep(&mut self, bytes: Vec<u8>, paused: bool) {
        if paused { self.inbox.pause_at(bytes) } else { self.inbox.keep(bytes) }
    }

    /// Deals with as many bytes as can be dealt with, after a first step that has used some of them and led to
    /// something; and says how many that were in all, and whether it has paused before the others, because it has
    /// said enough.
    fn read_on(
        &mut self,
        bytes: &mut [u8],
        (mut used, mut next): (usize, Next),
        turn: &mut Turn<'_>,
    ) -> (usize, bool, After) {
        let mut more = used;
        loop {
            match next {
                Next::Wait | Next::Same if more == 0 || used == bytes.len() => {
                    return (used, false, After::Wait);
                }
                Next::Wait | Next::Same => {}
                Next::Become => {
                    self.become_another(turn);
                    // Who comes while the server is going away is told so at once.
                    if turn.hub.draining
                        && let After::Close(why) = self.on_news(News::Draining, turn)
                    {
                        return (used, false, After::Close(why));
                    }
                }
                Next::Answered => self.await_request(turn),
                Next::Report(question) => return (used, false, After::Report(question)),
                Next::Close(why) => return (used, false, After::Close(why)),
            }
            if used < bytes.len() && turn.out.is_a_mouthful() {
                return (used, true, After::Wait);
            }
            (more, next) = self.technique.on_bytes(&mut bytes[used..], turn);
            used += more;
        }
    }

    /// There is no room for this client: says so, and ends.
    pub fn refuse(&mut self, turn: &mut Turn<'_>, problem: &Problem) -> After {
        turn.problem(&Manner::BROKEN, problem);
        After::Close(Why::NoRoom)
    }

    /// Whether no request is under way: nobody is owed anything.
    pub fn is_idle(&self) -> bool {
        !self.inbox.is_paused()
            && matches!(&self.technique, Technique::Exchange(exchange) if exchange.is_idle())
    }

    /// Whether an answer is owed that the server itself gives later.
    pub fn is_owed(&self) -> bool {
        matches!(&self.technique, Technique::Exchange(exchange) if exchange.is_owed())
    }

    /// Whether the last request was to see the kernel's side.
    pub fn is_looking(&self) -> bool {
        matches!(&self.technique, Technique::Exchange(exchange) if exchange.is_looking())
    }

    /// How many bytes have come and could not be dealt with yet.
    pub fn kept(&self) -> usize {
        self.inbox.len()
    }

    /// Whether bytes came that nobody will read.
    pub fn leaves_bytes(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The client has said its last (FIN). What it asked before has been answered, for nothing is read
    /// while answers wait; who waits for news is gone.
    pub fn on_eof(&mut self) -> After {
        After::Close(match &self.technique {
            Technique::Exchange(exchange) => exchange.on_eof(),
            _ => Why::ClientClosed,
        })
    }

    /// Something was published that somebody else was told already, in the same words: here they are, if that is
    /// all that it is to hear, and they count as said. Otherwise [`Conversation::on_news`] is asked.
    #[inline]
    pub fn hear<'r>(&mut self, round: &'r Round, hub: &mut Hub, now: Tick) -> Option<&'r Shared> {
        match &mut self.technique {
            Technique::Stream(stream) | Technique::Sse(stream) => stream.hear(round, hub, now),
            Technique::WebSocket(websocket) => websocket.hear(round, hub),
            Technique::Exchange(_) | Technique::LongPoll(_) => None,
        }
    }

    /// There is something to hear of.
    pub fn on_news(&mut self, news: News<'_>, turn: &mut Turn<'_>) -> After {
        let is_idle = self.is_idle();
        let next = match &mut self.technique {
            Technique::Exchange(_) => match news {
                News::Draining if is_idle => Next::Close(Why::Draining),
                _ => Next::Wait,
            },
            Technique::LongPoll(poll) => poll.on_news(news, turn),
            Technique::Stream(stream) => stream.on_news(news, turn),
            Technique::Sse(sse) => sse.on_news(news, turn),
            Technique::WebSocket(websocket) => websocket.on_news(news, turn),
        };
        self.follow(next, turn)
    }

    /// The deadline that was asked for has come.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>) -> After {
        let next = match &mut self.technique {
            Technique::Exchange(exchange) => exchange.on_deadline(turn),
            Technique::LongPoll(poll) => poll.on_deadline(turn),
            Technique::Stream(stream) => stream.on_deadline(turn),
            Technique::Sse(sse) => sse.on_deadline(turn),
            Technique::WebSocket(websocket) => websocket.on_deadline(turn),
        };
        self.follow(next, turn)
    }

    /// All that was said has been taken, and reading begins again: what could not be read meanwhile is not
    /// held against the client.
    pub fn on_room(&mut self, turn: &mut Turn<'_>) -> After {
        match &mut self.technique {
            Technique::Exchange(exchange) => exchange.begin_again(turn.now.tick),
            Technique::WebSocket(websocket) => websocket.begin_again(turn.now.tick),
            Technique::LongPoll(_) | Technique::Stream(_) | Technique::Sse(_) => {}
        }
        self.resume(turn)
    }

    /// It is this conversation's turn again: goes on with the
    /// bytes that it paused at, and with the history that it still has to say.
    pub fn resume(&mut self, turn: &mut Turn<'_>) -> After {
        if self.inbox.is_paused() {
            return self.resume_with(&[], turn);
        }
        match &mut self.technique {
            Technique::Stream(stream) if stream.is_behind(turn.hub) => stream.catch_up(turn),
            Technique::Sse(sse) if sse.is_behind(turn.hub) => sse.catch_up(turn),
            Technique::WebSocket(websocket) if websocket.is_behind(turn.hub) => websocket.catch_up(turn),
            _ => {}
        }
        After::Wait
    }

    /// Whether [`Conversation::resume`] would do something.
    #[inline]
    pub fn is_unfinished(&self, hub: &Hub) -> bool {
        self.inbox.is_paused()
            || match &self.technique {
                Technique::Stream(stream) => stream.is_behind(hub),
                Technique::Sse(sse) => sse.is_behind(hub),
                Technique::WebSocket(websocket) => websocket.is_behind(hub),
                Technique::Exchange(_) | Technique::LongPoll(_) => false,
            }
    }

    fn become_another(&mut self, turn: &mut Turn<'_>) {
        if let Some(technique) = turn.becomes.take() {
            self.technique = technique;
        }
    }

    fn follow(&mut self, next: Next, turn: &mut Turn<'_>) -> After {
        match next {
            Next::Wait => After::Wait,
            Next::Same => After::Same,
            Next::Answered => {
                self.await_request(turn);
                self.turn_to_the_next(turn)
            }
            // Nobody becomes anything without a request.
            Next::Become => {
                self.become_another(turn);
                After::Wait
            }
            Next::Report(question) => After::Report(question),
            Next::Close(why) => After::Close(why),
        }
    }

    /// Requests that waited behind an answer have their turn now (RFC 6202 §5.2).
    fn turn_to_the_next(&mut self, turn: &mut Turn<'_>) -> After {
        if self.inbox.is_empty() {
            return After::Wait;
        }
        // Their answers come behind this one, of which many may have the same bytes.
        turn.out.unshare();
        self.resume_with(&[], turn)
    }

    fn await_request(&mut self, turn: &Turn<'_>) {
        self.technique = Technique::Exchange(Exchange::after(self.name(), turn.now.tick));
    }

    /// Gives the answer that [`After::Report`] asked for, a status, a media type and bytes or what is wrong, and
    /// goes on with what came behind it.
    pub fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        manner: &Manner,
        answer: &Result<(Status, &'static str, Vec<u8>), Problem>,
    ) -> After {
        if let Technique::Exchange(exchange) = &mut self.technique {
            exchange.settle(turn.now.tick);
        }
        // A drain may have begun since the question.
        let manner = &Manner { keep_alive: manner.keep_alive && !turn.hub.draining, ..*manner };
        match answer {
            &Ok((status, media_type, ref body)) => {
                turn.answer(manner, status, NO_CACHE, Content::Whole(media_type, body));
            }
            Err(problem) => turn.problem(manner, problem),
        }
        if !manner.keep_alive {
            return After::Close(Why::Answered);
        }
        self.turn_to_the_next(turn)
    }

    /// When something is due, if nobody says anything. While it is `blocked`, because the client does
    /// not take what it was sent, it is not asked for anything more: then only a hold, a lease and the
    /// closing handshake go on.
    #[inline]
    pub fn deadline(&self, settings: &Settings, blocked: bool) -> Option<Deadline> {
        match &self.technique {
            Technique::Exchange(exchange) => (!blocked).then(|| exchange.deadline(settings)),
            Technique::LongPoll(poll) => Some(poll.deadline()),
            Technique::Stream(stream) => stream.deadline(settings, blocked),
            Technique::Sse(sse) => sse.deadline(settings, blocked),
            Technique::WebSocket(websocket) => websocket.deadline(settings, blocked),
        }
    }

    /// The seat that it takes in a channel, if it waits for news.
    pub fn subscribed(&self) -> Option<Seat> {
        match &self.technique {
            Technique::Exchange(_) => None,
            Technique::LongPoll(poll) => Some(poll.seat()),
            Technique::Stream(stream) => Some(stream.seat()),
            Technique::Sse(sse) => Some(sse.seat()),
            Technique::WebSocket(websocket) => websocket.seat(),
        }
    }

    /// What it speaks; between two requests, what it spoke last.
    pub fn name(&self) -> Name {
        match &self.technique {
            Technique::Exchange(exchange) => exchange.name(),
            Technique::LongPoll(_) => Name::LongPoll,
            Technique::Stream(_) => Name::Stream,
            Technique::Sse(_) => Name::Sse,
            Technique::WebSocket(_) => Name::WebSocket,
        }
    }

    /// Whether it must be told of the client's FIN though it reads no more: a parked poll behind which as many
    /// bytes wait as may be kept.
    pub fn listens_for_the_end(&self, settings: &Settings) -> bool {
        matches!(self.technique, Technique::LongPoll(_)) && self.inbox.len() >= settings.max_head
    }

    /// How many bytes it would like to read, when it has `backlog` bytes waiting to be sent. 0: it
    /// reads no more until something else has happened.
    #[inline(always)]
    pub fn appetite(&self, backlog: usize, settings: &Settings) -> usize {
        let is_paused = self.inbox.is_paused();
        // Who does not take its answers is asked for no more questions.
        let is_free = backlog == 0 && !is_paused;
        match &self.technique {
            // What comes behind a stream's request is dropped, so its end is always seen.
            Technique::Stream(_) | Technique::Sse(_) if !is_paused => GULP,
            Technique::WebSocket(_) if is_free => GULP,
            Technique::Exchange(exchange) if exchange.is_owed() => 0,
            Technique::Exchange(_) | Technique::LongPoll(_) if is_free => {
                settings.max_head.saturating_sub(self.inbox.len())
            }
            _ => 0,
        }
    }
}

impl Technique {
    #[inline(always)]
    fn on_bytes(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> (usize, Next) {
        match self {
            Technique::Exchange(exchange) => exchange.on_bytes(bytes, turn),
            // What comes behind a parked poll waits.
            Technique::LongPoll(_) => (0, Next::Wait),
            Technique::Stream(_) | Technique::Sse(_) => (bytes.len(), Next::Same),
            Technique::WebSocket(websocket) => websocket.on_bytes(bytes, turn),
        }
    }
}
