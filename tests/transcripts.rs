//! Conversations, written down in `tests/transcripts/*.txt`, and held three ways on the pure code
//! (whole, byte by byte, cut at random) and once over a socket on each mechanism.
//!
//! | line | means |
//! | --- | --- |
//! | `## TITLE` | a new conversation, on a new server |
//! | `% hold=5s` | a setting of that server |
//! | `> TEXT` | the client sends TEXT and CRLF; a `\` at the end leaves the CRLF out |
//! | `>f 81 TEXT` | the client sends a masked WebSocket frame: first byte, payload |
//! | `< TEXT` | the server has sent TEXT and CRLF; `*` stands for anything on that line |
//! | `<f 81 TEXT` | the server has sent a WebSocket frame |
//! | `@ 30s` | so much time passes (on the pure code only) |
//! | `! CHANNEL TEXT` | somebody publishes TEXT |
//! | `x` | the client sends its FIN |
//! | `= STATE` | what is spoken now, or `closed` |
//!
//! `\r`, `\n`, `\\` and `\xff` stand for bytes. Wherever the client speaks again, time passes or
//! something is published, the server must have said no more than is written.

mod support;

use doorbell::buffer::Outgoing;
use doorbell::channel::{ChannelName, Data};
use doorbell::settings::{AllowOrigin, Settings};
use doorbell::technique::{After, Conversation, Hub, News, Round, Turn, Why};
use doorbell::tick::{Now, Tick};
use std::path::Path;
use std::time::Duration;
use support::{Client, MECHANISMS, PATIENCE, Server, eventually};

/// One line of a conversation, read.
#[derive(Debug)]
enum Step {
    Send(Vec<u8>),
    Expect(Vec<Vec<u8>>),
    Pass(Duration),
    Publish(String, String),
    End,
    State(String),
}

#[derive(Debug)]
struct Transcript {
    title: String,
    settings: Vec<(String, String)>,
    steps: Vec<Step>,
}

/// Either side of a conversation: the pure code, or a server behind a socket.
trait Party {
    fn send(&mut self, bytes: &[u8]);
    /// What the server has said and nobody has expected yet, at least `want` bytes of it if they come.
    fn heard(&mut self, want: usize) -> Vec<u8>;
    /// The first `count` bytes of that were expected.
    fn consume(&mut self, count: usize);
    fn pass(&mut self, span: Duration);
    fn publish(&mut self, channel: &str, text: &str);
    fn end(&mut self);
    fn check_state(&mut self, state: &str);
}

fn all() -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let transcripts: Vec<Transcript> =
        paths.iter().flat_map(|path| parse(&std::fs::read_to_string(path).unwrap())).collect();
    assert!(transcripts.len() > 40, "the transcripts are found");
    transcripts
}

fn parse(text: &str) -> Vec<Transcript> {
    let mut transcripts: Vec<Transcript> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            transcripts.push(Transcript { title: title.into(), settings: Vec::new(), steps: Vec::new() });
            continue;
        }
        let Some(Transcript { steps, settings, .. }) = transcripts.last_mut() else { continue };
        let rest = line.get(2..).unwrap_or("");
        match line.split(' ').next().unwrap_or("") {
            "" => {}
            ">" => send(steps, unescape_line(rest)),
            ">f" => send(steps, frame(line, true)),
            "<" => expect(steps, unescape_line(rest)),
            "<f" => expect(steps, frame(line, false)),
            "@" => steps.push(Step::Pass(humantime(rest))),
            "!" => {
                let (channel, text) = rest.split_once(' ').unwrap();
                steps.push(Step::Publish(channel.into(), text.into()));
            }
            "x" => steps.push(Step::End),
            "=" => steps.push(Step::State(rest.into())),
            "%" => {
                let (name, value) = rest.split_once('=').unwrap();
                settings.push((name.into(), value.into()));
            }
            other => panic!("what is {other:?} in {line:?}?"),
        }
    }
    transcripts
}

fn send(steps: &mut Vec<Step>, bytes: Vec<u8>) {
    match steps.last_mut() {
        Some(Step::Send(so_far)) => so_far.extend(bytes),
        _ => steps.push(Step::Send(bytes)),
    }
}

fn expect(steps: &mut Vec<Step>, bytes: Vec<u8>) {
    match steps.last_mut() {
        Some(Step::Expect(lines)) => lines.push(bytes),
        _ => steps.push(Step::Expect(vec![bytes])),
    }
}

fn humantime(text: &str) -> Duration {
    if let Some(millis) = text.strip_suffix("ms") {
        return Duration::from_millis(millis.parse().unwrap());
    }
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

fn unescape_line(text: &str) -> Vec<u8> {
    match text.strip_suffix('\\') {
        Some(text) if !text.ends_with('\\') => unescape(text),
        _ => [unescape(text), b"\r\n".to_vec()].concat(),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
            other => panic!("what is \\{} in {text:?}?", char::from(other)),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// `>f 81 hello` or `<f 81 hello`.
fn frame(line: &str, masked: bool) -> Vec<u8> {
    let mut words = line.splitn(3, ' ').skip(1);
    let first = u8::from_str_radix(words.next().unwrap(), 16).unwrap();
    let payload = unescape(words.next().unwrap_or(""));
    if masked {
        let mut bytes = support::masked_frame(true, 0, &payload);
        bytes[0] = first;
        return bytes;
    }
    // A `*` in an expected payload makes its length unknown, so the two bytes of the head are `**`.
    let unknown = payload.contains(&b'*');
    let head = if unknown { vec![first, b'*'] } else { vec![first, payload.len() as u8] };
    assert!(payload.len() < 126 || unknown, "short frames only");
    [head, payload].concat()
}

/// Matches `pattern`, in which `*` stands for any bytes but LF, at the start of `bytes`: how many bytes
/// it took.
fn matches(pattern: &[u8], bytes: &[u8]) -> Option<usize> {
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else {
        return bytes.starts_with(pattern).then_some(pattern.len());
    };
    let (literal, rest) = (&pattern[..star], &pattern[star + 1..]);
    if !bytes.starts_with(literal) {
        return None;
    }
    let line = bytes[star..].iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len() - star);
    if rest.is_empty() {
        return Some(star + line);
    }
    (0..=line).find_map(|skip| Some(star + skip + matches(rest, &bytes[star + skip..])?))
}

fn hold(transcript: &Transcript, party: &mut dyn Party, how: &str) {
    let Transcript { title, steps, .. } = transcript;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for step in steps {
        if !matches!(step, Step::Expect(_) | Step::State(_)) {
            let more = party.heard(0);
            assert!(more.is_empty(), "{title} ({how}): before {step:?} the server said {:?}", text(&more));
        }
        match step {
            Step::Send(bytes) => party.send(bytes),
            Step::Pass(span) => party.pass(*span),
            Step::Publish(channel, text) => party.publish(channel, text),
            Step::End => party.end(),
            Step::State(state) => party.check_state(state),
            Step::Expect(lines) => {
                for line in lines {
                    let mut want = 1;
                    let used = loop {
                        let heard = party.heard(want);
                        if let Some(used) = matches(line, &heard) {
                            break used;
                        }
                        assert!(
                            heard.len() >= want && heard.len() < 1 << 20,
                            "{title} ({how}): expected {:?}, heard {:?}",
                            text(line),
                            text(&heard)
                        );
                        want = heard.len() + 1;
                    };
                    party.consume(used);
                }
            }
        }
    }
    let more = party.heard(0);
    assert!(more.is_empty(), "{title} ({how}): at the end the server said {:?}", text(&more));
}

/// The pure code: a conversation and a clock that moves only when it is told to.
struct Pure {
    hub: Hub,
    talk: Conversation,
    now: Tick,
    heard: Vec<u8>,
    closed: Option<Why>,
    cuts: Box<dyn FnMut(usize) -> usize>,
}

impl Pure {
    fn new(settings: Settings, cuts: Box<dyn FnMut(usize) -> usize>) -> Pure {
        let talk = Conversation::new(Tick(1000));
        Pure { hub: Hub::new(settings, 7), talk, now: Tick(1000), heard: Vec::new(), closed: None, cuts }
    }

    fn react(&mut self, react: impl FnOnce(&mut Conversation, &mut Turn<'_>) -> After) {
        if self.closed.is_some() {
            return;
        }
        let mut out = Outgoing::default();
        let from = Some("127.0.0.1".parse().unwrap());
        let now = Now { tick: self.now, wall: 1_768_252_695_123 + self.now.0 };
        let mut turn = Turn::new(&mut self.hub, now, &mut out, 0, from);
        let after = react(&mut self.talk, &mut turn);
        self.heard.extend_from_slice(&out.own);
        self.heard.extend_from_slice(out.shared.as_deref().unwrap_or(&[]));
        match after {
            After::Wait | After::Same => {}
            After::Close(why) => self.closed = Some(why),
            After::Report(..) => panic!("reports are the server's"),
        }
    }

    fn go_on(&mut self) {
        while let Some((channel, heard)) = self.hub.channels.next_ringing() {
            let mut round = Round::new(channel, heard);
            if self.talk.subscribed().is_some_and(|seat| seat.channel == channel) {
                self.react(|talk, turn| talk.on_news(News::Events(&mut round), turn));
            }
            self.hub.channels.told(channel, &self.hub.settings);
        }
        while self.closed.is_none() && self.talk.is_unfinished(&self.hub) {
            self.react(Conversation::resume);
        }
    }
}

impl Party for Pure {
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((self.cuts)(bytes.len()));
            let mut piece = piece.to_vec();
            self.react(|talk, turn| talk.on_bytes(&mut piece, turn));
            self.go_on();
            bytes = rest;
        }
    }

    fn heard(&mut self, _: usize) -> Vec<u8> {
        self.heard.clone()
    }

    fn consume(&mut self, count: usize) {
        self.heard.drain(..count);
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.closed.is_none() {
            let due = self.talk.deadline(&self.hub.settings, false).unwrap();
            if due.at > until {
                break;
            }
            self.now = due.at;
            self.react(Conversation::on_deadline);
        }
        self.now = until;
    }

    fn publish(&mut self, channel: &str, text: &str) {
        let name = ChannelName::parse(channel).unwrap();
        let id = self.hub.channels.open(&name, &self.hub.settings).unwrap();
        self.hub.channels.publish(id, Data::Text(text.into()), 1_768_252_695_123);
        self.go_on();
    }

    fn end(&mut self) {
        self.react(|talk, _| talk.on_eof());
    }

    fn check_state(&mut self, state: &str) {
        match self.closed {
            Some(why) => assert!(state.starts_with("closed"), "closed: {why}, not {state}"),
            None => assert_eq!(self.talk.name().as_str(), state),
        }
        if let (Some(expected), Some(why)) = (state.strip_prefix("closed: "), self.closed) {
            assert_eq!(why.to_string(), expected);
        }
    }
}

fn settings_of(transcript: &Transcript) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in &transcript.settings {
        match name.as_str() {
            "hold" => settings.hold = humantime(value),
            "max-hold" => settings.max_hold = humantime(value),
            "head-timeout" => settings.head_timeout = humantime(value),
            "ping-interval" => settings.ping_interval = humantime(value),
            "history" => settings.history = value.parse().unwrap(),
            "max-head" => settings.max_head = value.parse().unwrap(),
            "max-body" => settings.max_body = value.parse().unwrap(),
            "max-message" => settings.max_message = value.parse().unwrap(),
            "max-channels" => settings.max_channels = value.parse().unwrap(),
            "publish-rate" => {
                settings.publish_rate = value.strip_suffix("/s").map(|rate| rate.parse().unwrap())
            }
            "deflate" => settings.deflate = true,
            "allow-origin" => settings.allow_origin = AllowOrigin::Listed(vec![value.clone()]),
            other => panic!("no setting {other}"),
        }
    }
    settings
}

fn on_the_pure_code(how: &str, cuts: impl Fn() -> Box<dyn FnMut(usize) -> usize>) {
    for transcript in all() {
        let mut party = Pure::new(settings_of(&transcript), cuts());
        hold(&transcript, &mut party, how);
    }
}

#[test]
fn conversations_go_as_written_when_they_come_whole() {
    on_the_pure_code("whole", || Box::new(|length| length));
}

#[test]
fn conversations_go_as_written_byte_by_byte() {
    on_the_pure_code("byte by byte", || Box::new(|_| 1));
}

#[test]
fn conversations_go_as_written_when_they_are_cut_at_random() {
    for seed in 1..=20u64 {
        on_the_pure_code(&format!("cut at random, seed {seed}"), || {
            let mut state = seed;
            Box::new(move |length| {
                // A linear congruential generator (Knuth, MMIX).
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                1 + (state >> 33) as usize % length.min(40)
            })
        });
    }
}

/// A server behind a socket.
struct Wire {
    server: Server,
    client: Client,
    ended: bool,
}

impl Wire {
    fn read(&mut self, patience: Duration) {
        use std::io::Read;
        self.client.stream.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 65536];
        match self.client.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.client.kept.extend_from_slice(&buffer[..count]),
            Err(_) => {}
        }
    }
}

impl Party for Wire {
    fn send(&mut self, bytes: &[u8]) {
        use std::io::Write;
        // The server may have closed in the middle of what it refuses.
        let _ = self.client.stream.write_all(bytes);
    }

    fn heard(&mut self, want: usize) -> Vec<u8> {
        while !self.ended && self.client.kept.len() < want {
            let before = self.client.kept.len();
            self.read(PATIENCE);
            if self.client.kept.len() == before {
                break;
            }
        }
        self.client.kept.clone()
    }

    fn consume(&mut self, count: usize) {
        self.client.kept.drain(..count);
    }

    fn pass(&mut self, _: Duration) {
        unreachable!("only on the pure code");
    }

    fn publish(&mut self, channel: &str, text: &str) {
        self.server.publish(channel, text);
    }

    fn end(&mut self) {
        self.client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn check_state(&mut self, state: &str) {
        if state.starts_with("closed") {
            while !self.ended && self.client.kept.is_empty() {
                self.read(PATIENCE);
            }
            assert!(self.ended, "the server has not closed");
            return;
        }
        let name = format!("doorbell_connections{{technique=\"{state}\"}}");
        // The one that asks for the figure is an http connection too.
        let count = if state == "http" { 2.0 } else { 1.0 };
        eventually(state, || (self.server.metric(&name) == count).then_some(()));
    }
}

fn over_sockets(mechanism: &str) {
    for transcript in all() {
        if transcript.steps.iter().any(|step| matches!(step, Step::Pass(_))) {
            continue;
        }
        let mut flags = vec!["--multiplexer".to_owned(), mechanism.to_owned()];
        for (name, value) in &transcript.settings {
            flags.extend(
                [Some(format!("--{name}")), (value != "on").then(|| value.clone())].into_iter().flatten(),
            );
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Server::start(&flags);
        let client = server.connect();
        hold(&transcript, &mut Wire { server, client, ended: false }, mechanism);
    }
}

#[test]
fn conversations_go_as_written_over_sockets_and_epoll() {
    over_sockets(MECHANISMS[0]);
}

#[test]
fn conversations_go_as_written_over_sockets_and_poll() {
    over_sockets(MECHANISMS[1]);
}

#[test]
fn conversations_go_as_written_over_sockets_and_select() {
    over_sockets(MECHANISMS[2]);
}
