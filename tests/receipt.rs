//! What each technique costs: the server's receipt, against what a client counts at its end of the wire.

mod support;

use std::collections::BTreeMap;
use support::{Client, Server, for_each_mechanism};

/// How many events each subscriber hears.
const EVENTS: u64 = 10;

/// The figures of `/metrics`, by name and labels, asked over a connection that is open already.
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn of(client: &mut Client) -> Figures {
        let text = client.get("/metrics").body;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' '));
        Figures(pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect())
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How much a figure has grown since `before`.
    fn grown(&self, before: &Figures, name: &str) -> u64 {
        (self.get(name) - before.get(name)).round() as u64
    }
}

/// What a technique has cost between two readings.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    requests: u64,
    wakeups: u64,
    reads: u64,
    writes: u64,
    other_calls: u64,
    packets: [u64; 2],
    bytes: [u64; 2],
    payload: [u64; 2],
}

impl Cost {
    fn between(before: &Figures, after: &Figures, technique: &str) -> Cost {
        let of = |figure: &str, labels: &str| {
            let name = format!("doorbell_technique_{figure}{{technique=\"{technique}\"{labels}}}");
            after.grown(before, &name)
        };
        let calls = after.0.keys().filter(|name| {
            name.starts_with(&format!("doorbell_technique_syscalls_total{{technique=\"{technique}\""))
        });
        let all_calls: u64 = calls.map(|name| after.grown(before, name)).sum();
        let [reads, writes] =
            ["read", "write"].map(|call| of("syscalls_total", &format!(",call=\"{call}\"")));
        let both = ["received", "sent"];
        let part = |way: &str, part| of("bytes_total", &format!(",direction=\"{way}\",part=\"{part}\""));
        Cost {
            requests: of("requests_total", ""),
            wakeups: of("wakeups_total", ""),
            reads,
            writes,
            other_calls: all_calls - reads - writes,
            packets: both.map(|way| of("packets_total", &format!(",direction=\"{way}\""))),
            bytes: both.map(|way| part(way, "header") + part(way, "payload")),
            payload: both.map(|way| part(way, "payload")),
        }
    }
}

#[test]
fn a_poll_that_is_answered_at_once_is_charged_like_one_that_waited() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &["--max-channels", "1"]);
        let mut asker = server.connect();
        asker.publish("lobby", "before");
        let before = Figures::of(&mut asker);
        // A connection of its own for each: something is there, nothing is and nothing is waited for, and there is
        // no room for another channel.
        let (mut asked, mut said, mut told) = (0, 0, 0);
        let mut clients = Vec::new();
        for target in ["/poll?since=start", "/poll?timeout=0", "/poll?channel=another"] {
            let ask = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut client = server.connect_and_send(&ask);
            let answer = client.answer();
            clients.push(client);
            asked += ask.len() as u64;
            said += (answer.head.len() + answer.body.len()) as u64;
            told += answer.body.len() as u64;
        }
        let after = Figures::of(&mut asker);
        let cost = Cost::between(&before, &after, "long_poll");
        assert_eq!((cost.requests, cost.bytes, cost.payload), (3, [asked, said], [0, told]), "{mechanism}");
        assert_eq!((cost.reads, cost.writes), (3, 3), "{mechanism}: {cost:?}");
        let http = Cost::between(&before, &after, "http");
        assert_eq!(http.requests, 1, "who asks for the figures: {http:?}");
    });
}

#[test]
fn a_delivered_event_costs_what_the_technique_says() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &["--ping-interval", "10m"]);
        let mut publisher = server.connect();
        let mut stream = server.connect_and_send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.read_until("}\n\r\n");
        let mut sse = server.connect_and_send("GET /connect HTTP/1.1\r\nHost: a\r\n\r\n");
        sse.read_until("\n\n\r\n");
        let mut socket = server.connect();
        socket.upgrade("/ws");
        socket.message();
        let mut long = server.connect();
        let ask = "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n";
        // The first answer makes the connection one of long polling; what follows is what it costs.
        long.send("GET /poll?timeout=0 HTTP/1.1\r\nHost: a\r\n\r\n");
        long.answer();
        let before = Figures::of(&mut publisher);
        let (mut polled, mut piece, mut fields, mut message) = (0, 0, 0, 0);
        for _ in 0..EVENTS {
            long.send(ask);
            server.wait_for_subscribers(4);
            publisher.publish("lobby", "0123456789");
            polled += long.answer().body.len() as u64;
            piece += stream.read_until("}\n\r\n").len() as u64;
            fields += sse.read_until("\n\n\r\n").len() as u64;
            message += socket.message().len() as u64;
        }
        let after = Figures::of(&mut publisher);

        let cost = Cost::between(&before, &after, "long_poll");
        let asked = EVENTS * ask.len() as u64;
        assert_eq!((cost.requests, cost.reads, cost.writes, cost.other_calls), (EVENTS, EVENTS, EVENTS, 0));
        assert_eq!((cost.wakeups, cost.packets), (EVENTS, [EVENTS, EVENTS]), "{mechanism}");
        assert_eq!((cost.bytes[0], cost.payload), (asked, [0, polled]), "{mechanism}");
        assert!(cost.bytes[1] > polled + EVENTS * 100, "a head each time: {cost:?}");

        for (technique, bytes) in [("stream", piece), ("sse", fields)] {
            let cost = Cost::between(&before, &after, technique);
            // Chunks: a size in hexadecimal, and two line ends.
            let header = EVENTS * 6;
            let expected = Cost {
                requests: 0,
                wakeups: 0,
                reads: 0,
                writes: EVENTS,
                other_calls: 0,
                packets: [0, EVENTS],
                bytes: [0, bytes],
                payload: [0, bytes - header],
            };
            assert_eq!(cost, expected, "{mechanism} {technique}");
        }
        let cost = Cost::between(&before, &after, "websocket");
        assert_eq!((cost.requests, cost.wakeups, cost.reads, cost.writes), (0, 0, 0, EVENTS), "{mechanism}");
        assert_eq!((cost.bytes, cost.payload), ([0, message + EVENTS * 2], [0, message]), "{mechanism}");
        let delivered = |technique| {
            let name = format!("doorbell_deliveries_total{{technique=\"{technique}\"}}");
            after.grown(&before, &name)
        };
        for technique in ["long_poll", "stream", "sse", "websocket"] {
            assert_eq!(delivered(technique), EVENTS, "{mechanism} {technique}");
        }
    });
}

#[test]
fn short_polling_pays_for_each_question_with_news_or_without() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.get("/news");
    let mut publisher = server.connect();
    let before = Figures::of(&mut publisher);
    for _ in 0..5 {
        assert!(client.get("/news").body.contains("empty"));
    }
    let after = Figures::of(&mut publisher);
    let cost = Cost::between(&before, &after, "short_poll");
    assert_eq!((cost.requests, cost.reads, cost.writes, cost.wakeups), (5, 5, 5, 5));
    assert_eq!(after.grown(&before, "doorbell_deliveries_total{technique=\"short_poll\"}"), 0);
}

#[test]
fn what_stands_in_one_piece_behind_a_question_to_the_server_itself_is_charged_with_it() {
    let server = Server::start(&[]);
    let mut reader = server.connect();
    let before = Figures::of(&mut reader);
    let event = "y".repeat(1000);
    let ask = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n\
         POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{event}\
         GET /news HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    let mut client = server.connect_and_send(&ask);
    for status in [200, 201, 200] {
        assert_eq!(client.answer().status, status);
    }
    let after = Figures::of(&mut reader);
    let cost = Cost::between(&before, &after, "short_poll");
    assert_eq!((cost.reads, cost.wakeups, cost.packets[0]), (1, 1, 1), "{cost:?}");
    assert_eq!((cost.bytes[0], cost.payload[0]), (ask.len() as u64, 1000), "{cost:?}");
}

#[test]
fn every_system_call_is_on_somebodys_account_and_what_is_said_by_frame_is_counted_too() {
    let server = Server::start(&[]);
    let mut reader = server.connect();
    let before = Figures::of(&mut reader);
    let mut echo = server.connect();
    echo.upgrade("/echo");
    echo.send_frame(1, b"hello");
    echo.frame();
    let after = Figures::of(&mut reader);
    let cost = Cost::between(&before, &after, "websocket");
    assert_eq!((cost.requests, cost.reads, cost.writes, cost.wakeups), (1, 2, 2, 2));
    assert_eq!(cost.payload, [5, 5]);
    // What a connection costs before it has asked for anything.
    let http = |call| {
        let name = format!("doorbell_technique_syscalls_total{{technique=\"http\",call=\"{call}\"}}");
        after.grown(&before, &name)
    };
    assert_eq!((http("accept4"), http("epoll_ctl")), (1, 1));
    // The loop's own calls are the wait, the accept that found nobody, and at the start the signals.
    for call in ["read", "write", "close", "epoll_ctl"] {
        let all = after.get(&format!("doorbell_syscalls_total{{call=\"{call}\"}}"));
        let charged: f64 = after
            .0
            .iter()
            .filter(|(name, _)| {
                name.starts_with("doorbell_technique_syscalls_total")
                    && name.contains(&format!("call=\"{call}\""))
            })
            .map(|(_, count)| count)
            .sum();
        let own = if call == "epoll_ctl" { 2.0 } else { 0.0 };
        assert!(all - charged <= own + 1.0, "{call}: {all} in all, {charged} charged");
    }
}
