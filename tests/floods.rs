//! Floods, bombs and dawdlers: each costs its author more than the server. Others are served meanwhile,
//! and afterwards the server has the fds and about the memory that it had before.

mod support;

use flate2::{Compress, Compression, FlushCompress};
use std::io::{Read, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{Client, MECHANISMS, Server, for_each_mechanism, masked_frame};

/// How much more memory there may be after an attack, or during one, in bytes.
const ALLOWED: f64 = 16.0 * 1024.0 * 1024.0;

/// No timer ends while a test runs.
const PATIENT: [&str; 6] = ["--idle-timeout", "10m", "--head-timeout", "10m", "--body-timeout", "10m"];

/// A server under attack, and what it was like before.
struct Target {
    server: Server,
    mechanism: &'static str,
    fds: usize,
    resident: f64,
}

impl Target {
    fn start(mechanism: &'static str, flags: &[&str]) -> Target {
        Target::start_pinging(mechanism, "10m", flags)
    }

    fn start_pinging(mechanism: &'static str, interval: &str, flags: &[&str]) -> Target {
        let more = ["--multiplexer", mechanism, "--ping-interval", interval];
        let server = Server::start(&[&more, &PATIENT[..], flags].concat());
        let fds = server.fds();
        // The first of everything allocates what all later ones use again.
        let mut client = server.connect();
        client.upgrade("/echo");
        client.send_frame(2, &[7; 100_000]);
        client.frame();
        server.publish("warm-up", "news");
        drop(client);
        server.wait_for_fds(fds);
        let resident = server.metric("process_resident_memory_bytes");
        Target { server, mechanism, fds, resident }
    }

    /// Somebody else is served, and the server has not grown.
    fn expect_service(&self, during: &str) {
        let mut client = self.server.connect();
        for _ in 0..5 {
            assert_eq!(client.get("/healthz").status, 200);
        }
        client.upgrade("/echo");
        client.send_frame(1, b"hello");
        assert_eq!(client.message(), "hello");
        let grown = self.server.metric("process_resident_memory_bytes") - self.resident;
        assert!(grown < ALLOWED, "{grown} bytes more during {during} with {}", self.mechanism);
    }

    /// All is as before.
    fn expect_peace(&self, after: &str) {
        self.server.wait_for_fds(self.fds);
        self.expect_service(after);
        self.server.wait_for_fds(self.fds);
    }

    fn websocket(&self, target: &str) -> Client {
        let mut client = self.server.connect();
        client.upgrade(target);
        if target == "/ws" {
            client.message();
        }
        client
    }
}

/// Sends from a thread of its own, for as long as anybody takes it.
fn send_all(client: &Client, bytes: Vec<u8>) -> JoinHandle<()> {
    let mut stream = client.stream.try_clone().unwrap();
    std::thread::spawn(move || drop(stream.write_all(&bytes)))
}

/// A Close frame with this code, and then the end.
fn expect_close(client: &mut Client, code: u16) {
    assert_eq!(client.close_code(), code);
    expect_the_end(client);
}

/// Nothing more, and the end: also by a reset, if the server has left something unread.
fn expect_the_end(client: &mut Client) {
    assert!(client.kept.is_empty(), "{:?}", String::from_utf8_lossy(&client.kept));
    match client.stream.read(&mut [0; 100]) {
        Ok(count) => assert_eq!(count, 0, "nothing more, and the end"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn pings_are_answered_one_by_one_when_their_sender_reads_at_last() {
    const PINGS: u32 = 50_000;
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        let mut client = target.websocket("/ws");
        let payload = |number: u32| [&number.to_be_bytes()[..], &[b'.'; 121]].concat();
        let flood = (0..PINGS).flat_map(|number| masked_frame(true, 9, &payload(number))).collect();
        let sender = send_all(&client, flood);
        for _ in 0..5 {
            target.expect_service("a flood of pings");
        }
        for number in 0..PINGS {
            assert_eq!(client.frame(), (0x8a, payload(number)), "pong {number} with {mechanism}");
        }
        sender.join().unwrap();
        drop(client);
        target.expect_peace("a flood of pings");
    }
}

#[test]
fn fragments_without_end_or_content_make_one_message_at_last() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        for (count, piece) in [(50_000, ""), (100_000, "x")] {
            let mut client = target.websocket("/echo");
            let first = masked_frame(false, 1, piece.as_bytes());
            let rest = masked_frame(false, 0, piece.as_bytes()).repeat(count - 1);
            let sender = send_all(&client, [first, rest].concat());
            target.expect_service("a flood of fragments");
            sender.join().unwrap();
            client.send_frame(0, b"!");
            assert_eq!(client.message(), piece.repeat(count) + "!");
            drop(client);
            target.expect_peace("a flood of fragments");
        }
    }
}

#[test]
fn lengths_that_nobody_has_are_refused_by_their_heads() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        for (length, code) in [(i64::MAX as u64, 1009), (1 << 63, 1002), (u64::MAX, 1002)] {
            for path in ["/ws", "/echo"] {
                let mut client = target.websocket(path);
                client.send_bytes(&[&[0x82, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat());
                expect_close(&mut client, code);
            }
        }
        target.expect_peace("giants");
    }
}

#[test]
fn who_never_finishes_a_frame_is_pinged_and_let_go_while_others_are_served() {
    for_each_mechanism(|mechanism| {
        let target = Target::start_pinging(mechanism, "1s", &[]);
        let mut crowd: Vec<Client> = (0..50).map(|_| target.websocket("/ws")).collect();
        for client in &mut crowd {
            client.send_bytes(&masked_frame(true, 1, &[b'x'; 1000])[..100]);
        }
        target.expect_service("frames that are never finished");
        for client in &mut crowd {
            assert_eq!(client.frame(), (0x89, vec![]), "a ping");
            expect_the_end(client);
        }
        drop(crowd);
        target.expect_peace("frames that are never finished");
    });
}

#[test]
fn frames_without_a_mask_are_a_violation_however_many_come() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        for _ in 0..20 {
            for path in ["/ws", "/echo"] {
                let mut client = target.websocket(path);
                let sender = send_all(&client, b"\x81\x05hello".repeat(1_000));
                expect_close(&mut client, 1002);
                sender.join().unwrap();
            }
        }
        target.expect_peace("frames without a mask");
    }
}

#[test]
fn a_flood_of_close_frames_is_answered_by_one() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        for _ in 0..50 {
            let mut client = target.websocket("/ws");
            let sender = send_all(&client, masked_frame(true, 8, &1000u16.to_be_bytes()).repeat(1_000));
            expect_close(&mut client, 1000);
            sender.join().unwrap();
        }
        target.expect_peace("a flood of close frames");
    }
}

/// The opening handshake of a WebSocket whose messages may be compressed.
fn compressing(target: &Target) -> Client {
    let mut client = target.server.connect();
    client.send(
        "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    );
    let answer = client.answer();
    assert!(answer.field("Sec-WebSocket-Extensions").is_some(), "{}", answer.head);
    client
}

/// So many zeros, in a thousandth of the bytes (RFC 7692 §7.2.1).
fn bomb(size: usize) -> Vec<u8> {
    let (zeros, mut bytes) = (vec![0; size], Vec::with_capacity(size / 500));
    let mut deflater = Compress::new(Compression::best(), false);
    deflater.compress_vec(&zeros, &mut bytes, FlushCompress::Sync).unwrap();
    assert!(deflater.total_in() as usize == size && bytes.ends_with(&[0, 0, 0xff, 0xff]));
    bytes.truncate(bytes.len() - 4);
    bytes
}

#[test]
fn a_compressed_bomb_is_refused_before_it_has_grown() {
    let bomb = bomb(64 * 1024 * 1024);
    assert!(bomb.len() < 80 * 1024);
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &["--deflate"]);
        for _ in 0..20 {
            let mut client = compressing(&target);
            let mut whole = masked_frame(true, 2, &bomb);
            whole[0] |= 0x40;
            client.send_bytes(&whole);
            expect_close(&mut client, 1009);
            // And in pieces, of which only the first says that they are compressed.
            let mut client = compressing(&target);
            let (half, rest) = bomb.split_at(bomb.len() / 2);
            let mut first = masked_frame(false, 2, half);
            first[0] |= 0x40;
            client.send_bytes(&[first, masked_frame(true, 0, rest)].concat());
            expect_close(&mut client, 1009);
        }
        target.expect_peace("forty bombs");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_when_their_sender_reads_at_last() {
    const REQUESTS: usize = 20_000;
    const KINDS: [(&str, u16); 3] = [("GET /healthz", 200), ("GET /nowhere", 404), ("DELETE /news", 405)];
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        let mut client = target.server.connect();
        let request =
            |number: usize| format!("{} HTTP/1.1\r\nHost: a\r\n\r\n", KINDS[(number + number / 7) % 3].0);
        let flood = (0..REQUESTS).map(request).collect::<String>();
        let sender = send_all(&client, flood.into_bytes());
        for _ in 0..5 {
            target.expect_service("a flood of requests");
        }
        for number in 0..REQUESTS {
            let expected = KINDS[(number + number / 7) % 3].1;
            assert_eq!(client.answer().status, expected, "answer {number} with {mechanism}");
        }
        sender.join().unwrap();
        assert!(client.kept.is_empty());
        drop(client);
        target.expect_peace("a flood of requests");
    }
}

#[test]
fn heads_without_end_are_431() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        // Where so many bytes are allowed, so many fields are not.
        let roomy = Target::start(mechanism, &["--max-head", "4MiB"]);
        let start = "GET /healthz HTTP/1.1\r\nHost: a\r\n";
        let fields = format!("{start}{}\r\n", "a: b\r\n".repeat(100_000));
        let name = format!("{start}{}", "n".repeat(5_000_000));
        let value = format!("{start}X: {}", "v".repeat(5_000_000));
        for head in [fields, name, value] {
            for target in [&target, &roomy] {
                let mut client = target.server.connect();
                let sender = send_all(&client, head.clone().into_bytes());
                let answer = client.answer();
                assert_eq!(answer.status, 431, "{:.60} with {mechanism}: {}", head, answer.body);
                assert_eq!(answer.field("Connection"), Some("close"));
                client.stream.shutdown(std::net::Shutdown::Both).unwrap();
                sender.join().unwrap();
            }
        }
        target.expect_peace("endless heads");
        roomy.expect_peace("endless heads");
    }
}

#[test]
fn chunk_extensions_and_trailers_without_end_are_431() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        let start = "POST /event HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for endless in [
            format!("1;{}", "x".repeat(1_000_000)),
            "1;x=y\r\nz\r\n".repeat(100_000),
            format!("0\r\n{}", "a: b\r\n".repeat(100_000)),
            format!("0\r\n{}", "n".repeat(1_000_000)),
            format!("0\r\nX: {}", "v".repeat(1_000_000)),
        ] {
            let mut client = target.server.connect();
            let sender = send_all(&client, format!("{start}{endless}").into_bytes());
            let answer = client.answer();
            assert_eq!(answer.status, 431, "{endless:.30} with {mechanism}: {}", answer.body);
            assert_eq!(answer.field("Connection"), Some("close"));
            client.stream.shutdown(std::net::Shutdown::Both).unwrap();
            sender.join().unwrap();
        }
        target.expect_peace("endless chunks");
    }
}

/// The median of so many requests, one after the other, over one connection.
fn median_latency(client: &mut Client) -> Duration {
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(client.get("/healthz").status, 200);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn slow_heads_and_bodies_hold_up_nobody() {
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        let mut client = target.server.connect();
        let alone = median_latency(&mut client);
        let mut crowd: Vec<Client> = (0..200).map(|_| target.server.connect()).collect();
        let head = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
        let body = "POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
        for (place, slow) in crowd.iter_mut().enumerate() {
            slow.send(if place % 2 == 0 { head } else { body });
        }
        let mut times = Vec::new();
        for _ in 0..10 {
            crowd.iter_mut().for_each(|slow| slow.send("x"));
            times.push(median_latency(&mut client));
        }
        times.sort_unstable();
        println!("{mechanism}: {alone:?} alone, {:?} beside 200 who send a byte now and then", times[5]);
        target.expect_service("slow heads");
        // They are served too, when they come to an end.
        for (place, mut slow) in crowd.into_iter().enumerate() {
            slow.send(&if place % 2 == 0 { "\r\n\r\n".to_owned() } else { "x".repeat(990) });
            assert_eq!(slow.answer().status, if place % 2 == 0 { 200 } else { 201 });
        }
        drop(client);
        target.expect_peace("slow heads");
    }
}

#[test]
fn who_never_reads_holds_up_nobody_while_thousands_of_events_are_published() {
    const EVENTS: usize = 2_000;
    for mechanism in MECHANISMS {
        let target = Target::start(mechanism, &[]);
        let mut reader = target.server.connect();
        reader.ask("/connect");
        reader.read_until("\n\n\r\n");
        let mut publisher = target.websocket("/echo");
        let mut sleepers: Vec<Client> = Vec::new();
        for path in ["/connect", "/stream", "/poll", "/ws"] {
            for _ in 0..5 {
                let mut sleeper = target.server.connect();
                if path == "/ws" {
                    sleeper.upgrade(path);
                } else {
                    sleeper.ask(path);
                }
                sleepers.push(sleeper);
            }
        }
        target.server.wait_for_subscribers(21);
        publisher.stream.shutdown(std::net::Shutdown::Both).unwrap();
        publisher = target.server.connect();
        let text = "x".repeat(1_000);
        for number in 0..EVENTS {
            publisher.send(&format!(
                "POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 1005\r\n\r\n{number:05}{text}"
            ));
            assert_eq!(publisher.answer().status, 201);
            let line = reader.read_until("\n\n\r\n");
            assert!(line.contains(&format!("data: {number:05}")), "{line}");
        }
        target.expect_service("readers that never read");
        drop((reader, publisher, sleepers));
        target.expect_peace("readers that never read");
    }
}

#[test]
fn a_pong_that_could_not_be_read_because_much_was_unread_counts_when_it_can() {
    for_each_mechanism(|mechanism| {
        let target = Target::start_pinging(mechanism, "4s", &["--max-body", "32MiB"]);
        let mut client = target.websocket("/ws");
        assert_eq!(client.frame(), (0x89, vec![]), "a ping");
        // More than the sockets hold, so that the server waits for room, and reads nothing meanwhile.
        target.server.publish("lobby", &"x".repeat(20_000_000));
        client.send_frame(10, b"");
        // Until the time for the pong is over.
        std::thread::sleep(Duration::from_secs(5));
        assert!(client.message().len() > 20_000_000);
        target.server.publish("lobby", "are you there?");
        assert!(client.message().contains("are you there?"), "with {mechanism}");
    });
}
