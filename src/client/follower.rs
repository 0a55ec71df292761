//! Following a channel, whatever happens to the connections: what to ask, when to wait, when to come again.
//!
//! The rules of its interface:
//!
//! - A follower is told what happened (`on_connected`, `on_bytes`, `on_end`, `on_unreachable`,
//!   `on_deadline`), and answers with an [`Order`] about its connection. It is to be told when the
//!   [`Follower::deadline`] has come; early is harmless.
//! - It keeps the cursor of the last event that it told, and every new connection begins with it: what
//!   is lost is lost at the server, and then it says [`Heard::Place`] with `missed`.
//! - What it has to say to the server is appended to [`Turn::out`], also when the order is to drop the
//!   connection: goodbyes go out first.

use super::Via;
use super::backoff;
use super::object::{Kind, Said};
use super::plan::{Heard, Order, Plan, Turn};
use super::request::Ask;
use super::talk::{Means, Next, Talk};
use super::why::Why;
use crate::channel::Since;
use crate::random::Random;
use crate::tick::Tick;
use crate::websocket::close::Code;
use std::time::Duration;

/// Shorter than this a connection has proven nothing, if it brought no event either.
const PROBATION: Duration = Duration::from_secs(5);
/// Polls that are answered at once, and with nothing, are sent no closer together than this.
const LEAST_GAP: Duration = Duration::from_secs(1);
/// How long the server may take for its half of the closing handshake.
const CLOSING: Duration = Duration::from_secs(1);
/// An answer as large as this may not have been all that there was: the server stops at 256 KiB.
const LARGE_ANSWER: usize = 128 * 1024;

/// One who follows a channel.
#[derive(Debug)]
pub struct Follower {
    state: State,
    progress: Progress,
}

#[derive(Debug)]
enum State {
    /// There is no connection; one is to be made at this time.
    Away(Tick),
    /// One is being made, since then.
    Connecting(Tick),
    /// There is one, and nothing was asked; something is to be asked at this time.
    Resting(Tick),
    /// Something was asked.
    Talking(Talk),
    /// Our Close frame is out, since then.
    Leaving(Tick),
}

/// What outlives a connection, and what must be known of the present one.
#[derive(Debug)]
struct Progress {
    via: Via,
    place: Option<Since>,
    /// Since there was last something good.
    failures: u32,
    /// What the server asked for with `retry:`, in milliseconds.
    retry: Option<Duration>,
    /// By which long polls are known; 0 for none.
    name: u64,
    /// The server was reached at least once.
    reached: bool,
    /// The technique has brought an event, or stood long enough.
    proven: bool,
    /// On this connection something was asked and answered before.
    reused: bool,
    /// On this connection the server has said where the channel stands, at that time.
    established: Option<Tick>,
    /// When the question under way was asked, and for how long it may be parked.
    asked: Tick,
    hold: Duration,
    /// When something was heard last, and whether the server was asked since whether it is there.
    heard: Tick,
    pinged: bool,
}

impl Follower {
    /// One who is to connect at once.
    pub fn new(plan: &Plan, now: Tick, random: &mut Random) -> Follower {
        let name = if plan.named { random.below(u64::MAX) + 1 } else { 0 };
        let progress = Progress {
            via: plan.via,
            place: plan.since,
            failures: 0,
            retry: None,
            name,
            reached: false,
            proven: false,
            reused: false,
            established: None,
            asked: now,
            hold: Duration::ZERO,
            heard: now,
            pinged: false,
        };
        Follower { state: State::Away(now), progress }
    }

    /// The technique at present.
    pub fn via(&self) -> Via {
        self.progress.via
    }

    /// Whether the server has said on this connection where the channel stands: from then on no event can be
    /// lost.
    pub fn is_established(&self) -> bool {
        self.progress.established.is_some()
    }

    /// When it is to be told the time.
    pub fn deadline(&self, plan: &Plan) -> Tick {
        let progress = &self.progress;
        match &self.state {
            State::Away(at) | State::Resting(at) => *at,
            State::Connecting(since) => *since + plan.opening,
            State::Leaving(since) => *since + CLOSING,
            State::Talking(talk) => {
                if progress.via.is_poll() || progress.established.is_none() {
                    progress.asked + progress.hold + plan.opening
                } else if talk.is_open_websocket() && !progress.pinged {
                    progress.heard + plan.silence / 2
                } else {
                    progress.heard + plan.silence
                }
            }
        }
    }

    /// The connection that was ordered is there.
    pub fn on_connected(&mut self, turn: &mut Turn<'_>) {
        self.progress.reached = true;
        self.progress.reused = false;
        self.progress.established = None;
        self.ask(turn);
    }

    /// The connection that was ordered could not be made.
    pub fn on_unreachable(&mut self, turn: &mut Turn<'_>) -> Order {
        self.fail(Why::Unreachable, turn)
    }

    /// These bytes have come.
    pub fn on_bytes(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Order {
        self.progress.heard = turn.now.tick;
        self.progress.pinged = false;
        match &mut self.state {
            State::Talking(talk) => {
                let next = self.progress.listen(turn, |means| talk.take(bytes, means));
                self.follow(next, turn)
            }
            // Nobody asked: a goodbye such as 408, behind which the end will come.
            _ => Order::Wait,
        }
    }

    /// The connection has ended, politely or not.
    pub fn on_end(&mut self, turn: &mut Turn<'_>) -> Order {
        match &mut self.state {
            State::Talking(talk) => {
                let next = self.progress.listen(turn, |means| talk.end(means));
                let lost_race = self.progress.reused && !talk.has_heard();
                match next {
                    // The server closed an idle connection just before it was asked something (RFC 9112 §9.5).
                    Next::Over(Why::Cut) if lost_race => self.go_away(turn.now.tick),
                    next => self.follow(next, turn),
                }
            }
            State::Resting(until) => {
                let until = *until;
                self.go_away(until)
            }
            State::Leaving(_) => Order::Leave,
            State::Away(_) | State::Connecting(_) => Order::Wait,
        }
    }

    /// The deadline may have come.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>) -> Order {
        let now = turn.now.tick;
        if now < self.deadline(turn.plan) {
            return Order::Wait;
        }
        match &mut self.state {
            State::Away(_) => {
                self.state = State::Connecting(now);
                Order::Connect
            }
            State::Connecting(_) => self.fail(Why::Unreachable, turn),
            State::Resting(_) => {
                self.ask(turn);
                Order::Wait
            }
            State::Leaving(_) => Order::Leave,
            State::Talking(talk) => {
                let progress = &mut self.progress;
                if progress.via.is_poll() || progress.established.is_none() {
                    return self.fail(Why::NoAnswer, turn);
                }
                if talk.is_open_websocket() && now < progress.heard + turn.plan.silence {
                    progress.pinged = true;
                    talk.ping(turn.random, turn.out);
                    return Order::Wait;
                }
                self.fail(Why::Silent, turn)
            }
        }
    }

    /// Takes its leave: a WebSocket by its closing handshake, and whatever else at once.
    pub fn leave(&mut self, turn: &mut Turn<'_>) -> Order {
        match &mut self.state {
            State::Talking(talk) if talk.is_open_websocket() => {
                talk.close(Code::NORMAL, turn.random, turn.out);
                self.state = State::Leaving(turn.now.tick);
                Order::Wait
            }
            _ => Order::Leave,
        }
    }

    fn follow(&mut self, next: Next, turn: &mut Turn<'_>) -> Order {
        match next {
            Next::Wait => Order::Wait,
            Next::Over(why) => self.fail(why, turn),
            Next::Published { .. } => self.fail(Why::Broken("it answers what was not asked"), turn),
            Next::Answered { kind: Kind::Replaced, .. } => {
                // Whoever took our place bears our name. To ask again by that name would drive it out, and
                // it us, and so on for ever.
                self.progress.name = turn.random.below(u64::MAX) + 1;
                self.fail(Why::Replaced, turn)
            }
            Next::Answered { kind: Kind::Draining, .. } => self.fail(Why::Draining, turn),
            Next::Answered { kind, length, keep_alive } => {
                let at = self.next_question(kind, length, turn);
                self.progress.failures = 0;
                self.progress.reused = true;
                if !keep_alive {
                    self.go_away(at)
                } else if at > turn.now.tick {
                    self.state = State::Resting(at);
                    Order::Wait
                } else {
                    self.ask(turn);
                    Order::Wait
                }
            }
        }
    }

    /// When the next poll is due, after one that was answered.
    fn next_question(&self, kind: Kind, length: usize, turn: &Turn<'_>) -> Tick {
        let Progress { via, hold, asked, .. } = self.progress;
        let now = turn.now.tick;
        match via {
            _ if length >= LARGE_ANSWER => now,
            Via::ShortPoll => now + turn.plan.interval,
            // That was the question where the channel stands.
            _ if hold.is_zero() => now,
            // A server that does not park would be asked without a pause.
            _ if kind != Kind::Event => now.max(asked + LEAST_GAP.min(turn.plan.hold)),
            _ => now,
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>) {
        let progress = &mut self.progress;
        progress.hold = Duration::ZERO;
        let ask = match (progress.via, progress.place) {
            // Without a cursor two polls would lose what is published between them.
            (Via::ShortPoll | Via::LongPoll, None) => Ask::Place,
            (Via::ShortPoll, Some(since)) => Ask::ShortPoll(since),
            (Via::LongPoll, Some(since)) => {
                progress.hold = turn.plan.hold;
                Ask::LongPoll(since, turn.plan.hold, Some(progress.name).filter(|&name| name != 0))
            }
            (Via::Stream, since) => Ask::Stream(since),
            (Via::Sse, since) => Ask::Sse(since),
            (Via::WebSocket, since) => Ask::WebSocket(since),
        };
        progress.asked = turn.now.tick;
        let Plan { host, channel, .. } = turn.plan;
        self.state = State::Talking(Talk::begin(host, channel, ask, turn.random, turn.out));
    }

    /// The connection is of no use any more.
    fn fail(&mut self, why: Why, turn: &mut Turn<'_>) -> Order {
        let now = turn.now.tick;
        let progress = &mut self.progress;
        if progress.established.is_some_and(|since| now >= since + PROBATION) {
            (progress.proven, progress.failures) = (true, 0);
        }
        if let Some(via) = progress.fallback(turn.plan, &why) {
            (turn.hear)(Heard::FellBack(&why, via));
            (progress.via, progress.failures, progress.retry) = (via, 0, None);
            return self.go_away(now);
        }
        let is_final = match &why {
            Why::Unreachable => !progress.reached && !turn.plan.patient,
            Why::Refused(refusal) => !refusal.may_pass(),
            Why::Broken(_) => !progress.proven,
            _ => false,
        };
        if is_final {
            self.state = State::Away(Tick(u64::MAX));
            return Order::Stop(why);
        }
        let asked = match &why {
            Why::Refused(refusal) => refusal.retry_after,
            Why::Cut | Why::Ended | Why::Silent => progress.retry,
            _ => None,
        };
        let pause = backoff::pause(progress.failures, asked, turn.random);
        progress.failures += 1;
        (turn.hear)(Heard::Cut(&why, pause));
        self.go_away(now + pause)
    }

    fn go_away(&mut self, until: Tick) -> Order {
        self.progress.established = None;
        self.state = State::Away(until);
        Order::Drop
    }
}

impl Progress {
    /// Lets a talk say what it has heard to us, and through us to who listens.
    fn listen<T>(&mut self, turn: &mut Turn<'_>, talk: impl FnOnce(&mut Means<'_>) -> T) -> T {
        let Turn { now, random, out, hear, .. } = turn;
        let mut on_said = |said: Said<'_>| self.on_said(said, now.tick, *hear);
        talk(&mut Means { wall: now.wall, random, out, hear: &mut on_said })
    }

    fn on_said(&mut self, said: Said<'_>, now: Tick, hear: &mut dyn FnMut(Heard<'_>)) {
        let had = self.place;
        match said {
            Said::Retry(pause) => {
                self.retry = Some(pause);
                return;
            }
            Said::Place { cursor, missed } => {
                self.place = Some(Since::After(cursor));
                hear(Heard::Place { had, cursor, missed });
            }
            Said::Event(event) => {
                self.place = Some(Since::After(event.id));
                (self.proven, self.failures) = (true, 0);
                hear(Heard::Event(event));
            }
        }
        self.established.get_or_insert(now);
    }

    /// What to try instead, if that is why the technique does not get through to here.
    fn fallback(&self, plan: &Plan, why: &Why) -> Option<Via> {
        let next = match self.via {
            Via::WebSocket => Via::Sse,
            Via::Sse => Via::LongPoll,
            _ => return None,
        };
        let is_obstacle = match why {
            // 101 and then the end: a proxy that lets the handshake through and nothing else.
            Why::Cut | Why::Ended | Why::NoAnswer | Why::Broken(_) => true,
            Why::Closed(code) => matches!(code, None | Some(Code::PROTOCOL_ERROR)),
            Why::Refused(refusal) => refusal.retry_after.is_none(),
            _ => false,
        };
        (plan.auto && !self.proven && is_obstacle).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ChannelName;
    use crate::client::request::text_of;
    use crate::tick::Now;
    use crate::websocket::frame::{self, Header, Opcode};
    use crate::websocket::handshake::{self, Offer};

    /// A follower, a clock and a wire that hands over bytes in pieces.
    struct Wire {
        plan: Plan,
        follower: Follower,
        random: Random,
        now: u64,
        piece: usize,
        told: Vec<String>,
        /// What was sent on this connection.
        sent: Vec<u8>,
    }

    fn plan(via: Via, auto: bool, since: Option<&str>) -> Plan {
        let second = Duration::from_secs(1);
        Plan {
            host: "h:1".into(),
            channel: ChannelName::LOBBY,
            via,
            auto,
            since: since.and_then(Since::parse),
            interval: second * 5,
            hold: second * 30,
            silence: second * 60,
            opening: second * 10,
            named: true,
            patient: false,
        }
    }

    impl Wire {
        fn new(plan: Plan, piece: usize) -> Wire {
            let mut random = Random::new(7);
            let follower = Follower::new(&plan, Tick(0), &mut random);
            Wire { plan, follower, random, now: 0, piece, told: Vec::new(), sent: Vec::new() }
        }

        fn react<T>(&mut self, reaction: impl FnOnce(&mut Follower, &mut Turn<'_>) -> T) -> T {
            let Wire { plan, follower, random, now, told, sent, .. } = self;
            let now = Now { tick: Tick(*now), wall: *now };
            let mut hear = |heard: Heard<'_>| {
                told.push(match heard {
                    Heard::Event(event) => {
                        format!("{} {}", text_of(Some(Since::After(event.id))), event.data.text())
                    }
                    Heard::Place { had, cursor, missed } => {
                        let at = text_of(Some(Since::After(cursor)));
                        format!("{}{} at {at}", text_of(had), if missed { " missed" } else { "" })
                    }
                    Heard::Cut(why, _) => why.to_string(),
                    Heard::FellBack(_, via) => format!("now via {}", via.name()),
                });
            };
            reaction(follower, &mut Turn { plan, now, random, out: sent, hear: &mut hear })
        }

        /// Lets time pass until the deadline, which must order a connection, and makes it: what is asked on it.
        fn connect(&mut self) -> String {
            let order = self.wait();
            assert!(matches!(order, Order::Connect), "{order:?}");
            self.sent.clear();
            self.react(Follower::on_connected);
            self.asked()
        }

        fn wait(&mut self) -> Order {
            self.now = self.now.max(self.follower.deadline(&self.plan).0);
            self.react(Follower::on_deadline)
        }

        /// The first line of what was sent since it was last looked at.
        fn asked(&mut self) -> String {
            let sent = String::from_utf8_lossy(&self.sent).into_owned();
            let line = sent.lines().next().unwrap_or("").trim_end_matches(" HTTP/1.1").to_owned();
            assert!(line.is_empty() || sent.contains("\r\nCache-Control: no-cache\r\n"), "{sent}");
            let id = sent.lines().find_map(|line| line.strip_prefix("Last-Event-ID: "));
            if !sent.contains("Sec-WebSocket-Key") {
                self.sent.clear();
            }
            id.map_or(line.clone(), |id| format!("{line} after {id}"))
        }

        fn say(&mut self, bytes: &[u8]) -> Order {
            let mut last = Order::Wait;
            for piece in bytes.chunks(self.piece) {
                assert!(matches!(last, Order::Wait), "{last:?} before all was said");
                last = self.react(|follower, turn| follower.on_bytes(piece, turn));
            }
            last
        }

        fn answer(&mut self, status: &str, fields: &str, body: &str) -> Order {
            let length = body.len();
            self.say(
                format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}").as_bytes(),
            )
        }

        fn object(&mut self, body: &str) -> Order {
            self.answer("200 OK", "Content-Type: application/json\r\n", body)
        }

        fn chunk(&mut self, text: &str) -> Order {
            self.say(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
        }

        fn begin_stream(&mut self, media: &str) {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n");
            assert!(matches!(self.say(head.as_bytes()), Order::Wait));
        }

        fn switch_protocols(&mut self) {
            let sent = String::from_utf8(std::mem::take(&mut self.sent)).unwrap();
            let key = sent.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let accept = handshake::check(&Offer { connection_upgrade: true, version: Some("13"), key });
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                accept.unwrap().as_str()
            );
            assert!(matches!(self.say(head.as_bytes()), Order::Wait));
        }

        fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> Order {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, opcode, payload);
            self.say(&bytes)
        }

        fn cut(&mut self) {
            let order = self.react(Follower::on_end);
            assert!(matches!(order, Order::Drop), "{order:?}");
        }

        fn told(&mut self) -> Vec<String> {
            std::mem::take(&mut self.told)
        }
    }

    /// Tries it with whole answers, and byte by byte.
    fn whole_and_byte_by_byte(test: impl Fn(usize)) {
        for piece in [usize::MAX, 7, 1] {
            test(piece);
        }
    }

    fn event(number: u64) -> String {
        format!(r#"{{"type":"event","id":"a-{number}","time":"T","data":"{number}"}}"#)
    }

    const TIMEOUT: &str = r#"{"type":"timeout","cursor":"a-3","missed":false,"events":[]}"#;

    #[test]
    fn a_long_poll_asks_again_with_its_cursor() {
        whole_and_byte_by_byte(|piece| {
            let mut wire = Wire::new(plan(Via::LongPoll, false, None), piece);
            assert_eq!(wire.connect(), "GET /poll?channel=lobby&timeout=0");
            assert!(matches!(wire.object(TIMEOUT), Order::Wait));
            let asked = wire.asked();
            assert!(
                asked.starts_with("GET /poll?channel=lobby&since=a-3&timeout=30000ms&client="),
                "{asked}"
            );
            let answer = r#"{"type":"event","cursor":"a-4","missed":false,
                             "events":[{"id":"a-4","time":"T","data":[1,null]}]}"#;
            assert!(matches!(wire.object(answer), Order::Wait));
            assert!(wire.asked().contains("since=a-4"));
            wire.cut();
            assert_eq!(wire.told(), [" at a-3", "a-4 [1,null]"], "an idle connection may be closed");
            assert!(wire.connect().contains("since=a-4"));
            assert!(matches!(wire.say(b"HTTP/1.1 "), Order::Wait));
            wire.cut();
            assert_eq!(wire.told(), ["the connection was cut"]);
            assert!(wire.connect().contains("since=a-4"));
        });
    }

    #[test]
    fn a_short_poll_rests_between_two_questions() {
        let mut wire = Wire::new(plan(Via::ShortPoll, false, Some("start")), usize::MAX);
        assert_eq!(wire.connect(), "GET /news?channel=lobby&since=start");
        let empty = r#"{"type":"empty","cursor":"a-3","missed":false,"events":[]}"#;
        assert!(matches!(wire.object(empty), Order::Wait));
        assert_eq!(wire.asked(), "");
        assert_eq!(wire.follower.deadline(&wire.plan), Tick(5000));
        assert!(matches!(wire.wait(), Order::Wait));
        assert_eq!(wire.asked(), "GET /news?channel=lobby&since=a-3");
        let closing = "Content-Type: application/json\r\nConnection: close\r\n";
        assert!(matches!(wire.answer("200 OK", closing, empty), Order::Drop));
        assert_eq!(wire.follower.deadline(&wire.plan), Tick(10_000), "and then a new connection");
        assert_eq!(wire.connect(), "GET /news?channel=lobby&since=a-3");
    }

    #[test]
    fn a_stream_is_read_by_lines_and_resumed() {
        whole_and_byte_by_byte(|piece| {
            let mut wire = Wire::new(plan(Via::Stream, false, None), piece);
            assert_eq!(wire.connect(), "GET /stream?channel=lobby");
            wire.begin_stream("application/x-ndjson");
            let welcome = "{\"type\":\"welcome\",\"cursor\":\"a-0\",\"missed\":false}\n";
            // Chunks end where they like.
            let text = format!("{welcome}\n{}\n{}\n", event(1), event(2));
            let (one, two) = text.split_at(70);
            assert!(matches!(wire.chunk(one), Order::Wait));
            assert!(matches!(wire.chunk(two), Order::Wait));
            assert!(matches!(wire.say(b"0\r\n\r\n"), Order::Drop));
            assert_eq!(wire.told(), [" at a-0", "a-1 1", "a-2 2", "the server ended the stream"]);
            assert_eq!(wire.connect(), "GET /stream?channel=lobby&since=a-2");
            wire.begin_stream("application/x-ndjson");
            let again = "{\"type\":\"welcome\",\"cursor\":\"b-0\",\"missed\":true}\n";
            assert!(matches!(wire.chunk(again), Order::Wait));
            assert_eq!(wire.told(), ["a-2 missed at b-0"]);
        });
    }

    #[test]
    fn an_event_stream_is_resumed_by_its_last_id_after_the_pause_it_asks_for() {
        whole_and_byte_by_byte(|piece| {
            let mut wire = Wire::new(plan(Via::Sse, false, Some("start")), piece);
            assert_eq!(wire.connect(), "GET /connect?channel=lobby&since=start");
            wire.begin_stream("text/event-stream;charset=UTF-8");
            assert!(matches!(wire.chunk("retry: 2500\nid: a-0\n\nid: a-1\ndata: one\n\n"), Order::Wait));
            assert_eq!(wire.told(), ["start at a-0", "a-1 one"]);
            let before = wire.now;
            wire.cut();
            assert_eq!(wire.connect(), "GET /connect?channel=lobby after a-1");
            assert!(wire.now >= before + 2500);
        });
    }

    #[test]
    fn a_websocket_answers_pings_asks_by_pings_and_closes() {
        whole_and_byte_by_byte(|piece| {
            let mut wire = Wire::new(plan(Via::WebSocket, false, None), piece);
            assert_eq!(wire.connect(), "GET /ws?channel=lobby");
            wire.switch_protocols();
            let welcome = br#"{"type":"welcome","cursor":"a-0","missed":false}"#;
            assert!(matches!(wire.frame(Opcode::Text, welcome), Order::Wait));
            assert!(matches!(wire.frame(Opcode::Ping, b"?"), Order::Wait));
            let pong = std::mem::take(&mut wire.sent);
            let (header, start) = Header::parse(&pong, false).unwrap().unwrap();
            let mut payload = pong[start..].to_vec();
            header.mask.apply(&mut payload);
            assert_eq!((header.opcode, payload.as_slice()), (Opcode::Pong, &b"?"[..]));
            // Half of the silence, and it asks; the rest, and it goes.
            assert!(matches!(wire.wait(), Order::Wait));
            assert_eq!((wire.now, wire.sent[0]), (30_000, 0x89));
            assert!(matches!(wire.wait(), Order::Drop));
            assert_eq!(wire.now, 60_000);
            assert_eq!(wire.told(), [" at a-0", "the server has fallen silent"]);
            assert_eq!(wire.connect(), "GET /ws?channel=lobby&since=a-0");
            wire.switch_protocols();
            assert!(matches!(wire.frame(Opcode::Text, event(1).as_bytes()), Order::Wait));
            assert!(matches!(wire.frame(Opcode::Close, &1001u16.to_be_bytes()), Order::Drop));
            assert_eq!(wire.sent[0], 0x88, "the closing handshake is answered");
            assert_eq!(wire.told(), ["a-1 1", "the server closed the WebSocket with 1001"]);
        });
    }

    #[test]
    fn it_falls_back_where_a_technique_does_not_get_through() {
        let mut wire = Wire::new(plan(Via::WebSocket, true, None), usize::MAX);
        wire.connect();
        assert!(matches!(wire.answer("426 Upgrade Required", "", ""), Order::Drop));
        assert_eq!(wire.connect(), "GET /connect?channel=lobby");
        assert!(matches!(wire.answer("200 OK", "Content-Type: text/html\r\n", "hello"), Order::Drop));
        assert_eq!(wire.connect(), "GET /poll?channel=lobby&timeout=0");
        assert_eq!(wire.told(), ["now via sse", "now via long_poll"]);
    }

    #[test]
    fn it_falls_back_from_a_websocket_that_is_cut_right_after_it_opened() {
        for says_welcome in [false, true] {
            let mut wire = Wire::new(plan(Via::WebSocket, true, None), usize::MAX);
            wire.connect();
            wire.switch_protocols();
            if says_welcome {
                let welcome = br#"{"type":"welcome","cursor":"a-0","missed":false}"#;
                assert!(matches!(wire.frame(Opcode::Text, welcome), Order::Wait));
            }
            wire.cut();
            assert_eq!(wire.told().last().unwrap(), "now via sse");
        }
        let mut wire = Wire::new(plan(Via::WebSocket, true, None), usize::MAX);
        wire.connect();
        wire.switch_protocols();
        assert!(matches!(wire.frame(Opcode::Text, event(1).as_bytes()), Order::Wait));
        wire.cut();
        assert_eq!(wire.told(), ["a-1 1", "the connection was cut"], "it has proven that it works");
        assert!(wire.connect().starts_with("GET /ws"));
    }

    #[test]
    fn it_does_not_fall_back_from_a_server_that_is_full_or_going_away() {
        let mut wire = Wire::new(plan(Via::WebSocket, true, None), usize::MAX);
        wire.connect();
        let before = wire.now;
        assert!(matches!(wire.answer("503 Service Unavailable", "Retry-After: 9\r\n", ""), Order::Drop));
        assert!(wire.connect().starts_with("GET /ws"));
        assert!(wire.now >= before + 9000);
        wire.switch_protocols();
        assert!(matches!(wire.frame(Opcode::Close, &1001u16.to_be_bytes()), Order::Drop));
        assert!(wire.connect().starts_with("GET /ws"));
    }

    #[test]
    fn what_cannot_get_better_ends_it() {
        let detail = r#"{"detail":"A channel's name is\nshort."}"#;
        let problem = "Content-Type: application/problem+json\r\n";
        for piece in [usize::MAX, 1] {
            let mut wire = Wire::new(plan(Via::LongPoll, false, None), piece);
            wire.connect();
            let Order::Stop(why) = wire.answer("400 Bad Request", problem, detail) else { panic!() };
            assert_eq!(why.to_string(), "the server answered 400 Bad Request: A channel's name is short.");
        }
        let mut wire = Wire::new(plan(Via::Sse, false, None), usize::MAX);
        wire.connect();
        assert!(matches!(wire.say(b"SSH-2.0-OpenSSH_9.2\r\n"), Order::Stop(Why::Broken(_))));
        let mut wire = Wire::new(plan(Via::Sse, false, None), usize::MAX);
        assert!(matches!(wire.wait(), Order::Connect));
        assert!(matches!(wire.react(Follower::on_unreachable), Order::Stop(Why::Unreachable)));
    }

    #[test]
    fn a_server_that_was_there_once_is_waited_for() {
        let mut wire = Wire::new(plan(Via::Stream, false, None), usize::MAX);
        wire.connect();
        wire.begin_stream("application/x-ndjson");
        wire.cut();
        for _ in 0..20 {
            let before = wire.now;
            assert!(matches!(wire.wait(), Order::Connect));
            assert!(wire.now <= before + 30_000);
            assert!(matches!(wire.react(Follower::on_unreachable), Order::Drop));
        }
        assert!(wire.now > 60_000, "twenty tries took only {} ms", wire.now);
        assert!(wire.connect().starts_with("GET /stream"));
    }

    #[test]
    fn a_replaced_poll_takes_another_name_and_its_time() {
        let mut wire = Wire::new(plan(Via::LongPoll, false, Some("a-3")), usize::MAX);
        let name = |asked: String| asked.split_once("client=").unwrap().1.to_owned();
        let mut names = vec![name(wire.connect())];
        for _ in 0..6 {
            let replaced = TIMEOUT.replace("timeout", "replaced");
            assert!(matches!(wire.object(&replaced), Order::Drop));
            names.push(name(wire.connect()));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 7);
        assert!(wire.now > 2000, "seven polls in {} ms would be a fight", wire.now);
    }

    #[test]
    fn a_server_that_does_not_park_is_not_asked_without_a_pause() {
        let mut wire = Wire::new(plan(Via::LongPoll, false, Some("a-3")), usize::MAX);
        wire.connect();
        assert!(matches!(wire.object(TIMEOUT), Order::Wait));
        assert_eq!(wire.asked(), "");
        assert_eq!(wire.follower.deadline(&wire.plan), Tick(1000));
    }

    #[test]
    fn a_proof_that_is_wrong_is_no_websocket() {
        let mut wire = Wire::new(plan(Via::WebSocket, false, None), usize::MAX);
        wire.connect();
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert!(matches!(wire.say(head.as_bytes()), Order::Stop(Why::Broken(_))));
    }

    #[test]
    fn silence_before_an_answer_is_noticed_too() {
        let mut wire = Wire::new(plan(Via::LongPoll, false, Some("a-3")), usize::MAX);
        wire.connect();
        assert!(matches!(wire.wait(), Order::Drop));
        assert_eq!((wire.now, wire.told()), (40_000, vec!["the server does not answer".into()]));
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Follower>() <= 320, "{}", size_of::<Follower>());
    }
}
