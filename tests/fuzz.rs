//! The connection state machine under anything that may happen to it: bytes, time, news and ends, in any
//! order and cut anywhere. No socket and no clock, so that a machine tries many thousands a second; what
//! it finds is shrunk to the shortest story.
//!
//! How long it goes on is `DOORBELL_FUZZ_SECONDS` (5 if it is not set); `scripts/fuzz` sets it.

use doorbell::buffer::Outgoing;
use doorbell::channel::{ChannelName, Data};
use doorbell::http::Status;
use doorbell::settings::Settings;
use doorbell::technique::{After, Conversation, Hub, News, Round, Seat, Turn};
use doorbell::tick::{Now, Tick};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use std::time::{Duration, Instant};

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// Bytes come on one of the connections.
    Bytes(usize, Vec<u8>),
    /// A client sends its FIN.
    End(usize),
    /// So many milliseconds pass.
    Pass(u64),
    /// Somebody publishes.
    Publish(bool, String),
    /// A client that had not taken what it was sent has taken it now, or takes nothing from here on.
    Block(usize, bool),
    /// The server begins to go away.
    Drain,
}

const CONNECTIONS: usize = 3;
const MAX_HEAD: usize = 512;
const MAX_BODY: usize = 300;
const MAX_MESSAGE: usize = 300;
const OUTBOX_LIMIT: usize = 2_000;

fn settings() -> Settings {
    Settings {
        max_head: MAX_HEAD,
        max_body: MAX_BODY,
        max_message: MAX_MESSAGE,
        outbox_limit: OUTBOX_LIMIT,
        history: 4,
        max_channels: 3,
        deflate: true,
        stream_lease: Some(Duration::from_secs(50)),
        ..Settings::default()
    }
}

/// Words of which conversations are made, so that chance gets beyond the first line.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let whole = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let requests = vec![
        whole("GET /news", ""),
        whole("GET /poll", ""),
        whole("GET /poll?timeout=1&client=0123456789abcdef", ""),
        whole("GET /poll?since=start&channel=b", "Connection: close\r\n"),
        whole("GET /connect?since=start", ""),
        whole("GET /stream", ""),
        whole("GET /ws?since=start", upgrade),
        whole("GET /echo", upgrade),
        whole("GET /echo", &format!("{upgrade}Sec-WebSocket-Extensions: permessage-deflate\r\n")),
        whole("GET /healthz", "Content-Length: 5\r\n"),
        whole("POST /event", "Content-Length: 5\r\n"),
        whole("POST /event?channel=b", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"),
        whole("HEAD /poll", ""),
        whole("OPTIONS *", ""),
        b"GET /poll HTTP/1.0\r\n\r\n".to_vec(),
        b"GET /connect HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
    ];
    let pieces = [
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "ffff\r\n",
        "\r\n",
        "GET ",
        "/news",
        " HTTP/1.1",
        "\r\nHost: a",
        "\r\n\r\n",
        "Content-Length: 3\r\n",
        "X: \u{1}",
        ": ",
        "\n",
    ];
    let frame = (
        prop::sample::select(vec![0x01u8, 0x81, 0x82, 0x80, 0x00, 0x88, 0x89, 0x8a, 0xc1, 0x41, 0xff]),
        prop::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|(first, payload)| {
            // A key of zeros: the payload stands as it is.
            [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], &payload[..]].concat()
        });
    prop_oneof![
        4 => prop::sample::select(requests),
        2 => prop::sample::select(pieces.map(|piece| piece.as_bytes().to_vec()).to_vec()),
        3 => frame,
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0..700usize).prop_map(|length| vec![b'x'; length]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop::collection::vec(words(), 1..4).prop_map(|words| words.concat());
    let step = prop_oneof![
        12 => (0..CONNECTIONS, bytes).prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        1 => (0..CONNECTIONS).prop_map(Step::End),
        3 => prop_oneof![0..2_000u64, 0..100_000u64].prop_map(Step::Pass),
        4 => (any::<bool>(), "[a-z\r\n]{0,60}").prop_map(|(other, text)| Step::Publish(other, text)),
        2 => (0..CONNECTIONS, any::<bool>()).prop_map(|(who, blocked)| Step::Block(who, blocked)),
        1 => Just(Step::Drain),
    ];
    prop::collection::vec(step, 1..40)
}

/// One client and what the server holds for it.
struct Party {
    talk: Conversation,
    open: bool,
    /// The seat that it was given, as the server would have it.
    seat: Option<Seat>,
    blocked: bool,
    backlog: usize,
    /// How many heads may have ended in what it sent.
    heads: usize,
    last_bytes: Vec<u8>,
    answers: usize,
    websocket: bool,
}

struct World {
    hub: Hub,
    now: Tick,
    parties: Vec<Party>,
}

impl World {
    fn new() -> World {
        let party = |_| Party {
            talk: Conversation::new(Tick(0)),
            open: true,
            seat: None,
            blocked: false,
            backlog: 0,
            heads: 0,
            last_bytes: Vec::new(),
            answers: 0,
            websocket: false,
        };
        World { hub: Hub::new(settings(), 7), now: Tick(0), parties: (0..CONNECTIONS).map(party).collect() }
    }

    fn react(&mut self, who: usize, react: impl FnOnce(&mut Conversation, &mut Turn<'_>) -> After) {
        let party = &mut self.parties[who];
        if !party.open {
            return;
        }
        let mut out = Outgoing::default();
        let now = Now { tick: self.now, wall: 1_768_252_695_123 + self.now.0 };
        let mut turn = Turn::new(&mut self.hub, now, &mut out, party.backlog, None);
        let mut after = react(&mut party.talk, &mut turn);
        while let After::Report(question) = after {
            let manner = question.manner;
            after =
                party.talk.answer(&mut turn, &manner, &Ok((Status::Ok, "text/plain", b"figures".to_vec())));
        }
        let said = [&out.own, out.shared.as_deref().unwrap_or(&[])].concat();
        party.note(&said);
        if party.blocked {
            party.backlog += said.len();
        }
        if let After::Close(_) = after {
            party.open = false;
        }
        let seat = if party.open { party.talk.subscribed() } else { None };
        party.check();
        if seat != party.seat {
            let old = std::mem::replace(&mut party.seat, seat);
            // The position does not matter here: nobody is told by it.
            if let Some(old) = old {
                let channel = self.hub.channels.get_mut(old.channel);
                let position = channel.subscribers().iter().position(|&slot| slot == who as u32);
                channel.unsubscribe(position.expect("a seat that was taken") as u32, old.audience);
            }
            if let Some(new) = seat {
                self.hub.channels.get_mut(new.channel).subscribe(who as u32, new.audience);
            }
        }
    }

    fn go_on(&mut self) {
        while let Some((channel, heard)) = self.hub.channels.next_ringing() {
            let mut round = Round::new(channel, heard);
            for who in 0..CONNECTIONS {
                if self.parties[who].seat.is_some_and(|seat| seat.channel == channel) {
                    self.react(who, |talk, turn| talk.on_news(News::Events(&mut round), turn));
                }
            }
            self.hub.channels.told(channel, &self.hub.settings);
        }
        for who in 0..CONNECTIONS {
            let mut rounds = 0;
            while self.parties[who].open
                && self.parties[who].backlog == 0
                && self.parties[who].talk.is_unfinished(&self.hub)
            {
                rounds += 1;
                assert!(rounds < 1_000, "it goes on for ever");
                self.react(who, Conversation::resume);
            }
        }
        let seats = self.parties.iter().filter(|party| party.seat.is_some()).count();
        assert_eq!(self.hub.channels.seats(), seats, "a seat for each subscriber, and no other");
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Bytes(who, bytes) => self.feed(*who, bytes),
            Step::End(who) => {
                self.react(*who, |talk, _| talk.on_eof());
            }
            Step::Pass(span) => self.pass(*span),
            Step::Publish(other, text) => {
                let name = ChannelName::parse(if *other { "b" } else { "lobby" }).unwrap();
                if let Ok(id) = self.hub.channels.open(&name, &self.hub.settings) {
                    self.hub.channels.publish(id, Data::Text(text.as_str().into()), 1);
                }
            }
            Step::Block(who, blocked) => {
                let party = &mut self.parties[*who];
                (party.blocked, party.backlog) = (*blocked, 0);
                if !blocked {
                    self.react(*who, Conversation::resume);
                }
            }
            Step::Drain => {
                self.hub.draining = true;
                for who in 0..CONNECTIONS {
                    self.react(who, |talk, turn| talk.on_news(News::Draining, turn));
                }
            }
        }
        self.go_on();
    }

    /// Hands over as many bytes at a time as are asked for, as the socket would.
    fn feed(&mut self, who: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.parties[who].open {
            let party = &mut self.parties[who];
            let appetite = party.talk.appetite(party.backlog, &self.hub.settings).min(bytes.len());
            if appetite == 0 {
                return;
            }
            let (piece, rest) = bytes.split_at(appetite);
            party.count_heads(piece);
            let mut piece = piece.to_vec();
            self.react(who, |talk, turn| talk.on_bytes(&mut piece, turn));
            self.go_on();
            bytes = rest;
        }
    }

    fn pass(&mut self, span: u64) {
        let until = Tick(self.now.0 + span);
        loop {
            let due = (0..CONNECTIONS).filter(|&who| self.parties[who].open).filter_map(|who| {
                let party = &self.parties[who];
                let blocked = party.backlog > 0;
                let due = party.talk.deadline(&self.hub.settings, blocked);
                assert!(blocked || due.is_some(), "who is not blocked has a deadline");
                due.map(|due| (due.at, who))
            });
            let Some((at, who)) = due.min().filter(|&(at, _)| at <= until) else { break };
            self.now = self.now.max(at);
            self.react(who, Conversation::on_deadline);
            let party = &self.parties[who];
            let next = party.talk.deadline(&self.hub.settings, party.backlog > 0);
            let moved = !party.open || next.is_none_or(|next| next.at > at);
            assert!(moved, "a deadline that has come moves on, or the loop would spin");
            self.go_on();
        }
        self.now = until;
    }
}

impl Party {
    fn count_heads(&mut self, piece: &[u8]) {
        self.last_bytes.extend_from_slice(piece);
        self.heads += self.last_bytes.windows(4).filter(|window| window == b"\r\n\r\n").count();
        let keep = self.last_bytes.len().saturating_sub(3);
        self.last_bytes.drain(..keep);
    }

    /// Counts the answers. (On a WebSocket and in streams the words of others could look like one.)
    fn note(&mut self, said: &[u8]) {
        if self.websocket {
            return;
        }
        let lines =
            said.windows(12).filter(|window| window.starts_with(b"HTTP/1.1 ") && window[9].is_ascii_digit());
        self.answers += lines.filter(|line| !line.ends_with(b"100")).count();
        self.websocket = said.windows(12).any(|window| window == b"HTTP/1.1 101");
    }

    fn check(&self) {
        // A head that is wrong is answered before it ends; so is the last, for the end of a time.
        assert!(self.answers <= self.heads + 1, "{} answers to {} heads", self.answers, self.heads);
        assert!(self.talk.kept() <= MAX_HEAD.max(64 * 1024), "{} bytes are kept", self.talk.kept());
    }
}

#[test]
fn nothing_that_happens_breaks_the_state_machine() {
    let seconds = std::env::var("DOORBELL_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut stories, mut happenings) = (0u64, 0u64);
    while Instant::now() < until {
        let mut runner =
            TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let result = runner.run(&steps(), |steps| {
            let mut world = World::new();
            steps.iter().for_each(|step| world.step(step));
            Ok(())
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(reason, story)) => panic!("{reason}\nThe shortest story: {story:#?}"),
            Err(error) => panic!("{error}"),
        }
        stories += 200;
        happenings += 200 * 20;
    }
    println!("fuzz: {stories} stories, about {happenings} happenings, in {seconds} s");
}
