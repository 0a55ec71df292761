//! Readers that are cut at random moments and resume by their cursor: nothing lost, nothing twice, nothing
//! out of order; and who fell behind, or comes from before a restart, is told so.
//!
//! All chance comes from `SEED`. What a reader does depends on it and on what the scheduler does.

mod support;

use serde_json::Value;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use support::{Client, MECHANISMS, PATIENCE, Server, eventually, masked_frame};

const SEED: u64 = 0x00d0_0bbe_11ed;

/// How often each reader is cut before the publishers stop, and how often at most.
const CUTS: usize = 12;
const CUTS_AT_MOST: usize = 40;
/// What publishers stop at if the readers are not cut often enough.
const EVENTS_AT_MOST: usize = 1_000;

/// The last event of all.
const THE_END: &str = "the end";

/// A history that forgets nothing.
const LONG: [&str; 4] = ["--history", "1000000", "--history-bytes", "256MiB"];

/// Numbers by chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Technique {
    ShortPoll,
    LongPoll,
    Stream,
    Sse,
    WebSocket,
}

const TECHNIQUES: [Technique; 5] =
    [Technique::ShortPoll, Technique::LongPoll, Technique::Stream, Technique::Sse, Technique::WebSocket];

impl Technique {
    /// What is sent to resume by a cursor.
    fn request(self, cursor: &str) -> String {
        let get = |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
        match self {
            Technique::ShortPoll => get(&format!("/news?since={cursor}"), ""),
            Technique::LongPoll => get(&format!("/poll?since={cursor}"), ""),
            Technique::Stream => get(&format!("/stream?since={cursor}"), ""),
            Technique::Sse => get("/connect", &format!("Last-Event-ID: {cursor}\r\n")),
            Technique::WebSocket => get(
                &format!("/ws?since={cursor}"),
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
        }
    }

    fn is_poll(self) -> bool {
        matches!(self, Technique::ShortPoll | Technique::LongPoll)
    }
}

/// Something that a reader is told.
#[derive(Debug, PartialEq)]
enum Told {
    /// An event: its id and its data.
    Event(String, String),
    /// Where it stands, and whether something was missed.
    Place(String, bool),
    /// A poll's answer is over.
    Answered,
}

/// Takes apart what comes over one connection, as far as it has come. What is not whole is not heard.
struct Parser {
    technique: Technique,
    bytes: Vec<u8>,
    /// What was in the chunks of a stream.
    words: String,
    has_head: bool,
}

impl Parser {
    fn new(technique: Technique) -> Parser {
        Parser { technique, bytes: Vec::new(), words: String::new(), has_head: false }
    }

    fn take(&mut self, fresh: &[u8]) -> Vec<Told> {
        self.bytes.extend_from_slice(fresh);
        let mut told = Vec::new();
        while self.step(&mut told) {}
        told
    }

    /// Takes one thing from what has come; false if that is not whole yet.
    fn step(&mut self, told: &mut Vec<Told>) -> bool {
        if self.technique.is_poll() {
            return self.answer(told);
        }
        if !self.has_head {
            let Some(head) = self.line("\r\n\r\n") else { return false };
            let status = if self.technique == Technique::WebSocket { "101" } else { "200" };
            assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
            self.has_head = true;
            return true;
        }
        match self.technique {
            Technique::WebSocket => self.frame(told),
            _ => self.chunk(told),
        }
    }

    /// Takes what ends in these words.
    fn line(&mut self, end: &str) -> Option<String> {
        let at = self.bytes.windows(end.len()).position(|window| window == end.as_bytes())?;
        let line = self.bytes.drain(..at + end.len()).collect();
        Some(String::from_utf8(line).unwrap())
    }

    fn answer(&mut self, told: &mut Vec<Told>) -> bool {
        let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        let head = String::from_utf8(self.bytes[..end].to_vec()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap();
        let whole = end + 4 + length.parse::<usize>().unwrap();
        if self.bytes.len() < whole {
            return false;
        }
        let body: Value = serde_json::from_slice(&self.bytes[end + 4..whole]).unwrap();
        self.bytes.drain(..whole);
        let cursor = body["cursor"].as_str().unwrap().to_owned();
        let events: Vec<Told> = body["events"].as_array().into_iter().flatten().map(event).collect();
        let first = match events.first() {
            Some(Told::Event(id, _)) => before(id),
            _ => cursor.clone(),
        };
        let last = match events.last() {
            Some(Told::Event(id, _)) => id.clone(),
            _ => first.clone(),
        };
        assert_eq!(cursor, last, "the cursor names the last event: {body}");
        told.push(Told::Place(first, body["missed"] == true));
        told.extend(events);
        told.push(Told::Answered);
        true
    }

    fn frame(&mut self, told: &mut Vec<Told>) -> bool {
        let &[first, short, ref rest @ ..] = &self.bytes[..] else { return false };
        let (length, start) = match (short, rest) {
            (126, &[high, low, ..]) => (usize::from(u16::from_be_bytes([high, low])), 4),
            (126, _) => return false,
            (short, _) => (usize::from(short), 2),
        };
        if self.bytes.len() < start + length {
            return false;
        }
        let payload: Vec<u8> = self.bytes.drain(..start + length).skip(start).collect();
        // A ping may be left without an answer: nobody stays long enough.
        if first != 0x89 {
            assert_eq!(first, 0x81, "a whole text message: {:?}", String::from_utf8_lossy(&payload));
            told.push(message(&String::from_utf8(payload).unwrap()));
        }
        true
    }

    fn chunk(&mut self, told: &mut Vec<Told>) -> bool {
        let Some(end) = self.bytes.windows(2).position(|window| window == b"\r\n") else { return false };
        let size = std::str::from_utf8(&self.bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if self.bytes.len() < end + 2 + size + 2 {
            return false;
        }
        let chunk: Vec<u8> = self.bytes.drain(..end + 2 + size + 2).skip(end + 2).take(size).collect();
        self.words.push_str(&String::from_utf8(chunk).unwrap());
        let end = if self.technique == Technique::Sse { "\n\n" } else { "\n" };
        while let Some((words, rest)) = self.words.split_once(end) {
            if self.technique == Technique::Sse {
                told.extend(paragraph(words));
            } else if !words.is_empty() {
                told.push(message(words));
            }
            self.words = rest.to_owned();
        }
        true
    }
}

/// The cursor right before an event.
fn before(id: &str) -> String {
    let (epoch, number) = split(id);
    format!("{epoch}-{}", number - 1)
}

fn split(id: &str) -> (&str, u64) {
    let (epoch, number) = id.rsplit_once('-').unwrap();
    (epoch, number.parse().unwrap())
}

fn event(object: &Value) -> Told {
    Told::Event(object["id"].as_str().unwrap().to_owned(), object["data"].as_str().unwrap().to_owned())
}

fn message(text: &str) -> Told {
    let object: Value = serde_json::from_str(text).unwrap();
    if object["type"] == "welcome" {
        return Told::Place(object["cursor"].as_str().unwrap().to_owned(), object["missed"] == true);
    }
    assert_eq!(object["type"], "event", "{text}");
    event(&object)
}

fn paragraph(words: &str) -> Option<Told> {
    let field = |name: &str| words.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let id = field("id: ")?;
    match field("event: ").as_deref() {
        Some("missed") => Some(Told::Place(id, true)),
        Some(other) => panic!("an event of type {other}"),
        None => Some(field("data: ").map_or(Told::Place(id.clone(), false), |data| Told::Event(id, data))),
    }
}

/// What all threads of a test share.
struct Stage {
    address: Mutex<SocketAddr>,
    /// How many events there were so far.
    published: AtomicU64,
    /// How many readers have been cut often enough.
    cut_enough: AtomicUsize,
    /// Nothing is published any more but what the test itself publishes.
    over: AtomicBool,
}

impl Stage {
    fn new(server: &Server) -> Stage {
        let (published, cut_enough) = (AtomicU64::new(0), AtomicUsize::new(0));
        Stage { address: Mutex::new(server.address), published, cut_enough, over: AtomicBool::new(false) }
    }

    fn address(&self) -> MutexGuard<'_, SocketAddr> {
        self.address.lock().unwrap()
    }
}

/// One reader, through all its connections.
struct Reader<'a> {
    stage: &'a Stage,
    technique: Technique,
    chance: Chance,
    cursor: String,
    heard: Vec<(String, String)>,
    /// The numbers that it was never told and never told of: a loss.
    lost: u64,
    twice: u64,
    /// How often it was told that it has missed something.
    missed: u64,
    cuts: usize,
    /// How often the server ended a connection.
    ended: usize,
    /// It stays away for so many events now and then.
    stays_away: Option<u64>,
}

/// What becomes of a connection.
enum Fate {
    /// It is cut when so many bytes have been read.
    Cut(usize),
    /// It is cut when it has sent so many bytes of its request, and perhaps of what comes behind.
    CutEarly(usize),
}

impl Reader<'_> {
    fn new(stage: &Stage, technique: Technique, number: u64, cursor: String) -> Reader<'_> {
        Reader {
            stage,
            technique,
            chance: Chance(SEED + number * 1_000_003),
            cursor,
            heard: Vec::new(),
            lost: 0,
            twice: 0,
            missed: 0,
            cuts: 0,
            ended: 0,
            stays_away: None,
        }
    }

    fn read_to_the_end(mut self) -> Self {
        let deadline = Instant::now() + 3 * PATIENCE;
        while self.heard.last().is_none_or(|(_, data)| data != THE_END) {
            assert!(
                Instant::now() < deadline,
                "{:?} hears no end behind {} with seed {SEED:#x}",
                self.technique,
                self.cursor
            );
            self.stay_away();
            // The server of this address may just have gone.
            let Ok(stream) = TcpStream::connect(*self.stage.address()) else { continue };
            if self.live(stream).is_none() {
                self.ended += 1;
            }
        }
        self
    }

    fn stay_away(&mut self) {
        let Some(span) = self.stays_away.filter(|_| self.chance.below(3) == 0) else { return };
        let until = self.stage.published.load(Ordering::Relaxed) + span;
        eventually("others to publish", || {
            let is_over = self.stage.over.load(Ordering::Relaxed);
            (is_over || self.stage.published.load(Ordering::Relaxed) >= until).then_some(())
        });
    }

    /// One connection; `None` if it was the server who ended it.
    fn live(&mut self, mut stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = self.technique.request(&self.cursor).into_bytes();
        let mut fate = self.fate(request.len());
        if let Fate::CutEarly(sent) = fate {
            // In mid-head, when all has been asked and nothing read, or in the middle of what comes behind.
            request.extend_from_slice(match self.technique {
                Technique::WebSocket => b"\x81\x85\x01\x02\x03\x04ab",
                _ => b"GET /new",
            });
            stream.write_all(&request[..sent.min(request.len())]).ok()?;
            self.cut(stream);
            return Some(());
        }
        let (mut parser, mut buffer) = (Parser::new(self.technique), vec![0; 16 * 1024]);
        stream.write_all(&request).ok()?;
        loop {
            let Fate::Cut(left) = &mut fate else { unreachable!() };
            if *left == 0 {
                self.cut(stream);
                return Some(());
            }
            let most = buffer.len().min(*left);
            let count = match stream.read(&mut buffer[..most]) {
                Ok(0) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                result => result.expect("news, or an answer without any"),
            };
            *left -= count;
            for told in parser.take(&buffer[..count]) {
                if told == Told::Answered {
                    if self.technique == Technique::ShortPoll {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    stream.write_all(self.technique.request(&self.cursor).as_bytes()).ok()?;
                }
                if self.hear(told) {
                    return Some(());
                }
            }
        }
    }

    fn fate(&mut self, length: usize) -> Fate {
        if self.cuts >= CUTS_AT_MOST {
            return Fate::Cut(usize::MAX);
        }
        match self.chance.below(5) {
            0 => Fate::CutEarly(self.chance.below(length as u64) as usize),
            1 => Fate::CutEarly(length + self.chance.below(9) as usize),
            // A poll's answer has up to 256 KiB: somebody must stay that long some time.
            _ => {
                let magnitude = if self.chance.below(8) == 0 { 20 } else { 6 + self.chance.below(10) };
                Fate::Cut(1 + self.chance.below(1 << magnitude) as usize)
            }
        }
    }

    /// Closes in an orderly way, by half at first, or by a RST.
    fn cut(&mut self, mut stream: TcpStream) {
        self.cuts += 1;
        if self.cuts == CUTS {
            self.stage.cut_enough.fetch_add(1, Ordering::Relaxed);
        }
        match self.chance.below(3) {
            0 => {}
            1 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            _ => {
                let _ = stream.shutdown(Shutdown::Write);
                let ended = std::io::copy(&mut stream, &mut std::io::sink());
                let in_vain = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(
                    !ended.is_err_and(|error| in_vain(error.kind())),
                    "who closes one half is let go ({:?}, seed {SEED:#x})",
                    self.technique
                );
            }
        }
    }

    /// Whether that was the end.
    fn hear(&mut self, told: Told) -> bool {
        match told {
            Told::Answered => {}
            Told::Place(cursor, missed) => {
                let ((old, at), (new, number)) = (split(&self.cursor), split(&cursor));
                if missed {
                    self.missed += 1;
                    assert!(old != new || at < number, "{cursor} is missed behind {}", self.cursor);
                } else {
                    assert_eq!(self.cursor, cursor, "a place is where one was, or something was missed");
                }
                self.cursor = cursor;
            }
            Told::Event(id, data) => {
                let ((old, at), (new, number)) = (split(&self.cursor), split(&id));
                assert_eq!(old, new, "another epoch comes with missed");
                if number <= at {
                    self.twice += 1;
                } else {
                    self.lost += number - at - 1;
                    self.cursor = id.clone();
                }
                let is_the_end = data == THE_END;
                self.heard.push((id, data));
                return is_the_end;
            }
        }
        false
    }
}

/// Publishes until all readers have been cut often enough; returns how many there were, one after the
/// other. Now and then it is cut itself, in the middle of an event that nobody may ever hear of.
fn publish(stage: &Stage, name: usize, readers: usize) -> usize {
    let mut chance = Chance(SEED ^ name as u64);
    let mut publisher: Option<Client> = None;
    let by_websocket = name % 2 == 1;
    let mut count = 0;
    while count < EVENTS_AT_MOST && stage.cut_enough.load(Ordering::Relaxed) < readers {
        let publisher = publisher.get_or_insert_with(|| {
            let mut client = Client::new(TcpStream::connect(*stage.address()).unwrap());
            if by_websocket {
                client.upgrade("/ws");
                client.message();
            }
            client
        });
        let text = format!("{name} {count}{}", " and more".repeat(chance.below(20) as usize));
        if by_websocket {
            publisher.send_frame(1, text.as_bytes());
            let own = format!("\"data\":\"{name} {count}");
            while !publisher.message().contains(&own) {}
        } else {
            publisher.publish("lobby", &text);
        }
        count += 1;
        stage.published.fetch_add(1, Ordering::Relaxed);
        // So that there are moments in which all is quiet.
        std::thread::sleep(Duration::from_millis(chance.below(4)));
        if chance.below(20) == 0 {
            cut_in_the_middle(publisher, by_websocket, chance.below(2) == 0);
            *publisher = Client::new(TcpStream::connect(*stage.address()).unwrap());
            if by_websocket {
                publisher.upgrade("/ws");
                publisher.message();
            }
        }
    }
    count
}

fn cut_in_the_middle(publisher: &mut Client, by_websocket: bool, by_reset: bool) {
    if by_websocket {
        publisher.send_bytes(&masked_frame(true, 1, b"abandoned")[..10]);
    } else {
        publisher.send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabandoned");
    }
    if by_reset {
        SockRef::from(&publisher.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The cursor now.
fn cursor(server: &Server) -> String {
    let body: Value = serde_json::from_str(&server.connect().get("/news").body).unwrap();
    body["cursor"].as_str().unwrap().to_owned()
}

/// All that was ever published, if all of it is kept.
fn everything(server: &Server) -> Vec<(String, String)> {
    let (mut client, mut parser) = (server.connect(), Parser::new(Technique::ShortPoll));
    let (mut events, mut cursor) = (Vec::new(), "start".to_owned());
    loop {
        let answer = client.get(&format!("/news?since={cursor}"));
        let told = parser.take(format!("{}{}", answer.head, answer.body).as_bytes());
        let before = events.len();
        for told in told {
            if let Told::Event(id, data) = told {
                cursor = id.clone();
                events.push((id, data));
            }
        }
        if events.len() == before {
            return events;
        }
    }
}

/// Four publishers, and four readers by each technique; returns the readers, and how many events each
/// publisher published.
fn churn<'a>(server: &Server, stage: &'a Stage, stays_away: Option<u64>) -> (Vec<Reader<'a>>, Vec<usize>) {
    let start = cursor(server);
    let techniques: Vec<Technique> = TECHNIQUES.into_iter().cycle().take(20).collect();
    let count = techniques.len();
    std::thread::scope(|scope| {
        let readers: Vec<_> = techniques
            .iter()
            .enumerate()
            .map(|(number, technique)| {
                let mut reader = Reader::new(stage, *technique, number as u64, start.clone());
                reader.stays_away = stays_away;
                scope.spawn(|| reader.read_to_the_end())
            })
            .collect();
        let publishers: Vec<_> =
            (0..4).map(|name| scope.spawn(move || publish(stage, name, count))).collect();
        let counts = publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect();
        stage.over.store(true, Ordering::Relaxed);
        server.publish("lobby", THE_END);
        (readers.into_iter().map(|reader| reader.join().unwrap()).collect(), counts)
    })
}

fn sum(readers: &[Reader<'_>], figure: impl Fn(&Reader<'_>) -> u64) -> u64 {
    readers.iter().map(figure).sum()
}

#[test]
fn who_is_cut_at_any_moment_and_resumes_loses_nothing_and_hears_nothing_twice() {
    for mechanism in MECHANISMS {
        let server = Server::start(&[&["--multiplexer", mechanism][..], &LONG].concat());
        let (fds, stage) = (server.fds(), Stage::new(&server));
        let (readers, counts) = churn(&server, &stage, None);
        let all = everything(&server);
        for (name, count) in counts.iter().enumerate() {
            let prefix = format!("{name} ");
            let own = all.iter().filter_map(|(_, data)| data.strip_prefix(&prefix));
            let own: Vec<&str> = own.map(|data| data.split(' ').next().unwrap()).collect();
            let expected: Vec<String> = (0..*count).map(|number| number.to_string()).collect();
            assert_eq!(own, expected, "what publisher {name} published, in order, with {mechanism}");
        }
        assert_eq!(all.len(), counts.iter().sum::<usize>() + 1, "and what was abandoned was not published");
        let (lost, twice) = (sum(&readers, |reader| reader.lost), sum(&readers, |reader| reader.twice));
        println!(
            "{mechanism}: {} events, {} readers, {} cuts, {} deliveries; {lost} lost, {twice} twice",
            all.len(),
            readers.len(),
            sum(&readers, |reader| reader.cuts as u64),
            sum(&readers, |reader| reader.heard.len() as u64),
        );
        for reader in &readers {
            let who = format!("{:?} with {mechanism}, seed {SEED:#x}", reader.technique);
            assert_eq!((reader.lost, reader.twice, reader.missed, reader.ended), (0, 0, 0, 0), "{who}");
            assert!(reader.heard == all, "{who} heard all of it as it was published");
        }
        drop(readers);
        server.wait_for_subscribers(0);
        server.wait_for_fds(fds);
    }
}

/// Moves everybody from one mechanism to the next until it is over, and looks now and then whether the kernel
/// agrees; returns how often each was done.
fn keep_moving(stage: &Stage) -> (usize, usize) {
    let connect = || Client::new(TcpStream::connect(*stage.address()).unwrap());
    let (mut mover, mut onlooker) = (connect(), connect());
    let (mut moves, mut looks, mut looking) = (0, 0, false);
    for mechanism in MECHANISMS.iter().cycle().skip(1) {
        if stage.over.load(Ordering::Relaxed) {
            break;
        }
        let body = format!("{{\"multiplexer\":\"{mechanism}\"}}");
        mover.send(&format!(
            "POST /kernel/multiplexer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer = mover.answer();
        assert_eq!(answer.status, 200, "{}", answer.body);
        moves += 1;
        if looking {
            let page: Value = serde_json::from_str(&onlooker.answer().body).unwrap();
            assert_eq!(page["disagreements"], 0, "{page}");
            looks += 1;
        }
        looking = moves % 20 == 0;
        if looking {
            // The answer is read after another move: so it may be made before, between, or behind.
            onlooker.ask("/kernel?limit=10000");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (moves, looks)
}

#[test]
fn whoever_is_moved_every_few_milliseconds_loses_nothing_and_hears_nothing_twice() {
    let server = Server::start(&LONG);
    let (fds, stage) = (server.fds(), Stage::new(&server));
    let ((readers, counts), (moves, looks)) = std::thread::scope(|scope| {
        let mover = scope.spawn(|| keep_moving(&stage));
        let outcome = churn(&server, &stage, None);
        (outcome, mover.join().unwrap())
    });
    let all = everything(&server);
    let events = counts.iter().sum::<usize>() + 1;
    println!(
        "{moves} moves, {looks} looks, {events} events, {} readers, {} cuts, {} deliveries",
        readers.len(),
        sum(&readers, |reader| reader.cuts as u64),
        sum(&readers, |reader| reader.heard.len() as u64),
    );
    assert_eq!(all.len(), events);
    assert!(moves > 50, "only {moves} moves");
    for reader in &readers {
        let who = format!("{:?}, seed {SEED:#x}", reader.technique);
        assert_eq!((reader.lost, reader.twice, reader.missed, reader.ended), (0, 0, 0, 0), "{who}");
        assert!(reader.heard == all, "{who} heard all of it as it was published");
    }
    drop(readers);
    server.wait_for_subscribers(0);
    // What it waits by at the end may be epoll, with an fd of its own, or not.
    eventually("every fd to be closed", || (fds - 1..=fds).contains(&server.fds()).then_some(()));
}

#[test]
fn who_falls_behind_a_short_history_is_told_so_and_misses_nothing_in_silence() {
    const HISTORY: u64 = 30;
    for mechanism in MECHANISMS {
        let server = Server::start(&["--multiplexer", mechanism, "--history", "30"]);
        let stage = Stage::new(&server);
        let (readers, counts) = churn(&server, &stage, Some(2 * HISTORY));
        let events = counts.iter().sum::<usize>() + 1;
        let (lost, twice) = (sum(&readers, |reader| reader.lost), sum(&readers, |reader| reader.twice));
        let missed = sum(&readers, |reader| reader.missed);
        println!(
            "{mechanism}: {events} events, {} readers, {} cuts, told {missed} times of what was missed; \
             {lost} lost in silence, {twice} twice",
            readers.len(),
            sum(&readers, |reader| reader.cuts as u64),
        );
        assert_eq!((lost, twice), (0, 0), "{mechanism}, seed {SEED:#x}");
        for technique in TECHNIQUES {
            let told: u64 =
                readers.iter().filter(|reader| reader.technique == technique).map(|it| it.missed).sum();
            assert!(told > 0, "{technique:?} was away for long, with {mechanism}, seed {SEED:#x}");
        }
    }
}

#[test]
fn who_comes_with_a_cursor_from_before_a_restart_is_told_missed_and_goes_on() {
    const EVENTS: usize = 60;
    for mechanism in MECHANISMS {
        let flags = [&["--multiplexer", mechanism][..], &LONG].concat();
        let old = Server::start(&flags);
        let (stage, start) = (Stage::new(&old), cursor(&old));
        let techniques: Vec<Technique> = TECHNIQUES.into_iter().cycle().take(10).collect();
        let (readers, all) = std::thread::scope(|scope| {
            let readers: Vec<_> = techniques
                .iter()
                .enumerate()
                .map(|(number, technique)| {
                    let reader = Reader::new(&stage, *technique, number as u64, start.clone());
                    scope.spawn(|| reader.read_to_the_end())
                })
                .collect();
            for number in 0..EVENTS {
                old.publish("lobby", &format!("old {number}"));
            }
            let new = Server::start(&flags);
            *stage.address() = new.address;
            // Killed, in the middle of whatever it was doing.
            drop(old);
            for number in 0..EVENTS {
                new.publish("lobby", &format!("new {number}"));
            }
            new.publish("lobby", THE_END);
            let readers: Vec<Reader<'_>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
            (readers, everything(&new))
        });
        assert_eq!(all.len(), EVENTS + 1);
        let (lost, twice) = (sum(&readers, |reader| reader.lost), sum(&readers, |reader| reader.twice));
        println!(
            "{mechanism}: {} events around a restart, {} readers, {} cuts, {} ends by the server; \
             {lost} lost, {twice} twice",
            2 * EVENTS + 1,
            readers.len(),
            sum(&readers, |reader| reader.cuts as u64),
            sum(&readers, |reader| reader.ended as u64),
        );
        for reader in &readers {
            let who = format!("{:?} with {mechanism}, seed {SEED:#x}", reader.technique);
            assert_eq!((reader.lost, reader.twice, reader.missed), (0, 0, 1), "{who}");
            let since = reader.heard.len() - all.len();
            assert!(reader.heard[since..] == all, "{who} heard all of the new epoch");
            let old = reader.heard[..since].iter().map(|(_, data)| data.clone());
            assert!(old.eq((0..since).map(|number| format!("old {number}"))), "{who} heard the old in order");
        }
    }
}

#[test]
fn what_is_published_behind_other_requests_is_heard_though_nobody_else_stirs() {
    for mechanism in MECHANISMS {
        let server = Server::start(&["--multiplexer", mechanism]);
        // An answer so large that whoever asked for it pauses before its next request.
        (0..3).for_each(|_| drop(server.publish("lobby", &"x".repeat(60_000))));
        let before = ["/news", "/kernel"];
        for (number, before) in before.iter().enumerate() {
            let mut parked = server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
            server.wait_for_subscribers(1);
            let mut publisher = server.connect();
            publisher.send(&format!(
                "GET {before} HTTP/1.1\r\nHost: a\r\n\r\n\
                 POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nnews{number}"
            ));
            assert_eq!(publisher.answer().status, 200);
            assert_eq!(publisher.answer().status, 201);
            assert!(parked.answer().body.contains(&format!("news{number}")), "{mechanism}, behind {before}");
        }
    }
}
