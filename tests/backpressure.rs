//! Who does not read costs a bounded amount of memory, holds up nobody, and can take up where it left off.

mod support;

use serde_json::Value;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};
use support::{Answer, Client, MECHANISMS, Server, masked_frame, narrow};

/// The techniques whose subscribers stay.
const TECHNIQUES: [&str; 3] = ["sse", "stream", "websocket"];

/// A limit that is soon reached, and a history that forgets nothing.
const TIGHT: [&str; 6] = ["--outbox-limit", "64KiB", "--history-bytes", "256MiB", "--history", "100000"];

fn tight_server(mechanism: &str) -> Server {
    Server::start(&[&TIGHT[..], &["--multiplexer", mechanism]].concat())
}

/// What a subscriber hears in the end.
#[derive(Debug, PartialEq)]
enum Goodbye {
    LastChunk,
    Close(u16),
}

/// A subscriber that takes one event at a time, and insists that all it hears is whole.
struct Subscriber {
    technique: &'static str,
    client: Client,
    /// What was in the chunks so far and is no whole message yet.
    words: String,
    /// The number of the event that must come next.
    next: u64,
    cursor: String,
    goodbye: Option<Goodbye>,
}

impl Subscriber {
    /// Subscribes with a client that is there, to hear what follows event number `heard`.
    fn with(mut client: Client, technique: &'static str, query: &str, heard: u64) -> Subscriber {
        match technique {
            "websocket" => client.upgrade(&format!("/ws{query}")),
            _ => {
                client.ask(&format!("/{}{query}", if technique == "sse" { "connect" } else { "stream" }));
                client.read_until("\r\n\r\n");
            }
        }
        let mut subscriber = Subscriber {
            technique,
            client,
            words: String::new(),
            next: heard + 1,
            cursor: String::new(),
            goodbye: None,
        };
        let welcome = subscriber.message().unwrap();
        assert!(!welcome.contains("missed\":true") && !welcome.contains("event: missed"), "{welcome}");
        subscriber
    }

    /// The next message, or the end of them. A message or a chunk that is cut short is a failure.
    fn message(&mut self) -> Option<String> {
        if self.technique == "websocket" {
            let (first, payload) = self.client.frame();
            if first == 0x88 {
                let code = u16::from_be_bytes(payload[..2].try_into().unwrap());
                self.goodbye = Some(Goodbye::Close(code));
                return None;
            }
            assert_eq!(first, 0x81, "a whole text message");
            return Some(String::from_utf8(payload).unwrap());
        }
        let end = if self.technique == "sse" { "\n\n" } else { "\n" };
        loop {
            if let Some((message, rest)) = self.words.split_once(end) {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.words = rest;
                return Some(message);
            }
            let size = self.client.read_until("\r\n");
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let chunk = String::from_utf8(self.client.read_exact(size + 2)).unwrap();
            self.words.push_str(chunk.strip_suffix("\r\n").unwrap());
            if size == 0 {
                assert_eq!(self.words, "", "the last message is whole");
                self.goodbye = Some(Goodbye::LastChunk);
                return None;
            }
        }
    }

    /// The data of the next event, whose number must be the next; `None` at the end.
    fn event(&mut self) -> Option<String> {
        let message = self.message()?;
        let (id, data) = match self.technique {
            "sse" => {
                let (id, data) = message.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
                (id.to_owned(), data.to_owned())
            }
            _ => {
                let object: Value = serde_json::from_str(&message).unwrap();
                assert_eq!(object["type"], "event");
                (object["id"].as_str().unwrap().to_owned(), object["data"].as_str().unwrap().to_owned())
            }
        };
        assert_eq!(id.split_once('-').unwrap().1, self.next.to_string(), "{} has no holes", self.technique);
        assert_eq!(data.split(' ').next().unwrap(), self.next.to_string(), "ids go with their data");
        self.next += 1;
        self.cursor = id;
        Some(data)
    }

    /// Takes what there is, up to and with event number `last`.
    fn take_up_to(&mut self, last: u64) {
        while self.next <= last {
            assert!(self.event().is_some(), "{} was let go before event {}", self.technique, self.next);
        }
    }

    /// Takes everything, up to the end of the connection; returns who it was to the server.
    fn take_to_the_end(&mut self) -> String {
        while self.event().is_some() {}
        let expected = if self.technique == "websocket" { Goodbye::Close(1013) } else { Goodbye::LastChunk };
        assert_eq!(self.goodbye.as_ref(), Some(&expected), "{}", self.technique);
        let behind = self.client.read_to_end();
        assert_eq!(behind, "", "nothing comes after the last words");
        let peer = self.client.stream.local_addr().unwrap().to_string();
        self.client.stream.shutdown(Shutdown::Both).unwrap();
        peer
    }
}

/// Publishes event number `number`, of at least `size` bytes. Returns how many there were to hear of it.
fn publish(server: &Server, number: u64, size: usize) -> Value {
    publish_in(server, "lobby", number, size)
}

fn publish_in(server: &Server, channel: &str, number: u64, size: usize) -> Value {
    let answer = server.publish(channel, &format!("{number} {}", "x".repeat(size)));
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    answer["delivered"].take()
}

/// Several turns of the loop go by: whatever can be written without anybody's reading has been written.
fn let_it_turn(server: &Server) {
    for _ in 0..5 {
        server.metric("doorbell_accepted_total");
    }
}

#[test]
fn who_does_not_read_is_let_go_with_whole_messages_and_comes_again_without_loss() {
    for mechanism in MECHANISMS {
        let server = tight_server(mechanism);
        let mut readers = TECHNIQUES.map(|technique| Subscriber::with(server.connect(), technique, "", 0));
        let mut sleepers: Vec<Subscriber> =
            TECHNIQUES.iter().map(|technique| Subscriber::with(narrow(&server), technique, "", 0)).collect();
        let mut let_go = Vec::new();
        let mut number = 0;
        while !sleepers.is_empty() {
            number += 1;
            assert!(number < 1000, "{} of them were not let go with {mechanism}", sleepers.len());
            let delivered = publish(&server, number, 8_000);
            for reader in &mut readers {
                reader.take_up_to(number);
            }
            // Only who reads is left.
            for mut sleeper in sleepers.extract_if(.., |sleeper| delivered[sleeper.technique] == 1) {
                let peer = sleeper.take_to_the_end();
                assert!(sleeper.next > 8, "{} had 64 KiB to read at least", sleeper.technique);
                let_go.push((peer, sleeper));
            }
        }
        let mut named = HashSet::new();
        for _ in 0..3 {
            let line = server.line_with("--outbox-limit");
            named.extend(let_go.iter().filter(|(peer, _)| line.contains(peer)).map(|(peer, _)| peer.clone()));
        }
        assert_eq!(named.len(), 3, "each line names another peer");
        for (_, gone) in let_go {
            let mut again = Subscriber::with(
                server.connect(),
                gone.technique,
                &format!("?since={}", gone.cursor),
                gone.next - 1,
            );
            again.take_up_to(number);
        }
    }
}

#[test]
fn the_operator_hears_of_a_slow_reader_that_vanishes_when_it_is_let_go() {
    for technique in TECHNIQUES {
        let server = tight_server("epoll");
        let sleeper = Subscriber::with(narrow(&server), technique, "", 0);
        let peer = sleeper.client.stream.local_addr().unwrap().to_string();
        for number in 1.. {
            if publish(&server, number, 8_000)[technique] == 0 {
                break;
            }
        }
        // Closing with so much unread is a reset.
        drop(sleeper);
        assert!(server.line_with("--outbox-limit").contains(&peer));
    }
}

#[test]
fn history_larger_than_the_limit_is_fed_whole_to_who_reads_slowly() {
    const LONG: u64 = 200;
    for mechanism in MECHANISMS {
        let server = tight_server(mechanism);
        for number in 1..=LONG {
            publish(&server, number, 8_000);
        }
        for technique in TECHNIQUES {
            let mut slow = Subscriber::with(narrow(&server), technique, "?since=start", 0);
            for number in 1..=LONG {
                // It stops for a while now and then.
                if number % 20 == 0 {
                    let_it_turn(&server);
                }
                slow.take_up_to(number);
            }
            assert_eq!(server.metric("doorbell_subscribers"), 1.0, "it was not let go");
            drop(slow);
            server.wait_for_subscribers(0);
        }
    }
}

#[test]
fn history_that_was_not_taken_yet_does_not_count_against_who_is_fed_with_it() {
    for mechanism in MECHANISMS {
        let server = tight_server(mechanism);
        // Some of these histories are a little longer than what the kernel takes: the last of them has
        // been said, and waits.
        for length in 1..=12 {
            let channel = format!("of-{length}");
            for number in 1..=length {
                publish_in(&server, &channel, number, 40_000);
            }
            let query = format!("?channel={channel}&since=start");
            let mut slow = TECHNIQUES.map(|name| Subscriber::with(narrow(&server), name, &query, 0));
            let_it_turn(&server);
            // All the news there ever was fits into the limit.
            publish_in(&server, &channel, length + 1, 60_000);
            let_it_turn(&server);
            let left = server.metric("doorbell_subscribers");
            assert_eq!(left, 3.0, "after {length} events of history, with {mechanism}");
            for subscriber in &mut slow {
                subscriber.take_up_to(length + 1);
            }
            drop(slow);
            server.wait_for_subscribers(0);
        }
    }
}

#[test]
fn news_that_come_while_history_is_fed_wait_their_turn() {
    const LONG: u64 = 200;
    for mechanism in MECHANISMS {
        let server = tight_server(mechanism);
        for number in 1..=LONG {
            publish(&server, number, 8_000);
        }
        let mut slow =
            TECHNIQUES.map(|technique| Subscriber::with(narrow(&server), technique, "?since=start", 0));
        let_it_turn(&server);
        // More than the limit, and nobody has read anything meanwhile.
        for number in LONG + 1..=LONG + 20 {
            publish(&server, number, 8_000);
        }
        assert_eq!(server.metric("doorbell_subscribers"), 3.0, "nobody was let go with {mechanism}");
        for subscriber in &mut slow {
            subscriber.take_up_to(LONG + 20);
        }
    }
}

#[test]
fn one_message_larger_than_the_limit_reaches_who_reads() {
    for mechanism in MECHANISMS {
        let server = tight_server(mechanism);
        let mut subscribers: Vec<Subscriber> = TECHNIQUES
            .iter()
            .flat_map(|technique| {
                [server.connect(), narrow(&server)].map(|client| Subscriber::with(client, technique, "", 0))
            })
            .collect();
        for number in 1..=3 {
            publish(&server, number, 500_000);
            for subscriber in &mut subscribers {
                assert!(subscriber.event().unwrap().len() > 500_000);
            }
        }
    }
}

#[test]
fn who_takes_nothing_for_the_idle_timeout_is_let_go_and_the_operator_hears_of_it() {
    for mechanism in MECHANISMS {
        let server = Server::start(&["--multiplexer", mechanism, "--idle-timeout", "1s"]);
        let fds = server.fds();
        let _sleepers = TECHNIQUES.map(|technique| Subscriber::with(narrow(&server), technique, "", 0));
        let mut poller = narrow(&server);
        // Less than --outbox-limit, but more than the kernel takes.
        publish(&server, 1, 900_000);
        poller.ask("/news");
        for _ in 0..4 {
            server.line_with("--idle-timeout");
        }
        server.wait_for_fds(fds);
    }
}

/// Reads a little.
fn sip(client: &mut Client, most: usize) {
    let mut bytes = vec![0; most];
    let count = client.stream.read(&mut bytes).expect("it was not let go");
    client.kept.extend_from_slice(&bytes[..count]);
}

/// The kernel holds much between the two, and says that there is room only when a third of it is free. Until
/// then the server writes nothing, but the reader takes all the time.
#[test]
fn who_reads_slowly_but_all_the_time_is_not_taken_for_one_who_takes_nothing() {
    let mut slow = MECHANISMS.map(|mechanism| {
        let flags = ["--multiplexer", mechanism, "--idle-timeout", "3s", "--history-bytes", "64MiB"];
        let server = Server::start(&flags);
        for number in 1..=20 {
            publish(&server, number, 1_000_000);
        }
        (mechanism, Subscriber::with(server.connect(), "stream", "?since=start", 0), server)
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        for (_, reader, _) in &mut slow {
            sip(&mut reader.client, 8_000);
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    for (mechanism, _, server) in &slow {
        assert_eq!(server.metric("doorbell_subscribers"), 1.0, "it was let go with {mechanism}");
    }
}

#[test]
fn the_last_answer_is_whole_too_for_who_reads_it_slowly() {
    let mut slow = MECHANISMS.map(|mechanism| {
        let server = Server::start(&["--multiplexer", mechanism]);
        publish(&server, 1, 1_000_000);
        let mut client = narrow(&server);
        client.send("GET /news HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        (server, client)
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        for (_, client) in &mut slow {
            sip(client, 2_000);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for (_, client) in &mut slow {
        assert!(client.answer().body.len() > 1_000_000);
        assert_eq!(client.read_to_end(), "");
    }
}

/// Writes for as long as anybody takes it.
fn write_until_full(client: &mut Client, bytes: &[u8]) {
    client.stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    while let Ok(count) = client.stream.write(&bytes[written % bytes.len()..]) {
        written += count;
    }
    client.stream.set_nonblocking(false).unwrap();
}

#[test]
fn who_asks_and_asks_and_never_reads_the_answers_costs_little_memory_and_holds_up_nobody() {
    const ALLOWED: f64 = 48.0 * 1024.0 * 1024.0;
    for mechanism in MECHANISMS {
        let server = Server::start(&["--multiplexer", mechanism]);
        for number in 1..=8 {
            publish(&server, number, 64_000);
        }
        let before = server.metric("process_resident_memory_bytes");
        let mut sleepers = Vec::new();
        for target in ["/news", "/poll?since=start", "/metrics", "/"] {
            let requests = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(1000).into_bytes();
            sleepers.extend([(server.connect(), requests.clone()), (server.connect(), requests)]);
        }
        let mut echo = server.connect();
        echo.upgrade("/echo");
        sleepers.push((echo, masked_frame(true, 2, &[7; 60_000]).repeat(20)));
        for _ in 0..6 {
            // Whatever room there is now is filled too.
            for (sleeper, questions) in &mut sleepers {
                write_until_full(sleeper, questions);
            }
            assert_eq!(server.connect().get("/healthz").status, 200);
        }
        let grown = server.metric("process_resident_memory_bytes") - before;
        assert!(grown < ALLOWED, "{grown} bytes more with {mechanism}");
    }
}

#[test]
fn who_reads_its_answers_late_gets_all_of_them_in_order() {
    for mechanism in MECHANISMS {
        let server = Server::start(&["--multiplexer", mechanism]);
        for number in 1..=8 {
            publish(&server, number, 30_000);
        }
        let mut client = server.connect();
        for place in 0..60 {
            client.ask(if place % 3 == 0 { "/healthz" } else { "/news" });
        }
        let_it_turn(&server);
        let answers: Vec<Answer> = (0..60).map(|_| client.answer()).collect();
        for (place, answer) in answers.iter().enumerate() {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body == "ok\n", place % 3 == 0, "answer {place} with {mechanism}");
        }
    }
}
