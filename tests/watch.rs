//! `doorbell watch` against a real server: by each technique, through cuts, restarts and relays.
#![cfg(feature = "lab")]

mod support;

use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use support::tool::{Fate, Relay, Tool};
use support::{Server, eventually};

const TECHNIQUES: [&str; 5] = ["short_poll", "long_poll", "stream", "sse", "websocket"];

/// Tries each technique at the same time, for tests that do little but wait.
fn for_each_technique(test: impl Fn(&'static str) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for via in TECHNIQUES {
            scope.spawn(move || test(via));
        }
    });
}

fn watch(url: &str, via: &str, more: &[&str]) -> Tool {
    Tool::start(&[&["watch", url, "--via", via, "--interval", "50ms"], more].concat())
}

#[test]
fn each_technique_tells_every_event_once_and_in_order() {
    for_each_technique(|via| {
        let server = Server::start(&[]);
        server.publish("lobby", "zero");
        let tool = watch(&server.url("/"), via, &["--since", "start", "--json", "--count", "52"]);
        let first: Value = serde_json::from_str(&tool.line()).unwrap();
        assert_eq!(first["data"], "zero", "{via}");
        for number in 1..=50 {
            server.publish("lobby", &number.to_string());
        }
        let mut publisher = server.connect();
        let json = r#"{"price": 52300}"#;
        publisher.send(&format!(
            "POST /event HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        ));
        assert_eq!(publisher.answer().status, 201);
        for number in 1..=51 {
            let event: Value = serde_json::from_str(&tool.line()).unwrap();
            assert!(event["id"].as_str().unwrap().ends_with(&format!("-{}", number + 1)), "{event}");
            assert_eq!(event["via"], via);
            assert_eq!(event["time"].is_null(), via == "sse", "{event}");
            match (number, via) {
                (51, "sse") => assert_eq!(event["data"], r#"{"price":52300}"#),
                (51, _) => assert_eq!(event["data"]["price"], 52300),
                _ => assert_eq!(event["data"], number.to_string()),
            }
        }
        assert_eq!(tool.end().well(), Vec::<String>::new(), "{via}");
    });
}

#[test]
fn without_since_it_tells_what_comes_from_now_on() {
    for_each_technique(|via| {
        let server = Server::start(&[]);
        server.publish("news", "before");
        let tool = watch(&server.url("/?channel=news"), via, &["--count", "2"]);
        // A short poll sits in no seat, but two questions say that it is there.
        match via {
            "short_poll" => {
                let asked = || server.metric("doorbell_requests_total{path=\"/news\",status=\"200\"}") > 0.0;
                eventually("a short poll", || asked().then_some(()));
            }
            _ => server.wait_for_subscribers(1),
        }
        server.publish("news", "one\ntwo");
        server.publish("news", "안녕");
        assert_eq!(tool.end().well(), ["one", "two", "안녕"], "{via}");
    });
}

#[test]
fn it_goes_on_after_any_cut_and_nothing_is_lost_or_doubled() {
    for_each_technique(|via| {
        let server = Server::start(&[]);
        // The first connections are cut at any place: in a head, in a frame, between two events.
        let cut = |number: usize| 90 + number * 333;
        let relay =
            Relay::start(
                server.address,
                move |number, _| {
                    if number < 3 { Fate::CutAfter(cut(number)) } else { Fate::Pass }
                },
            );
        for number in 1..=20 {
            server.publish("lobby", &number.to_string());
        }
        let tool = watch(&relay.url(), via, &["--since", "start", "--count", "60"]);
        for number in 21..=40 {
            server.publish("lobby", &number.to_string());
        }
        eventually("three cuts", || (relay.heads().len() > 3).then_some(()));
        for number in 41..=60 {
            server.publish("lobby", &number.to_string());
        }
        let told: Vec<String> = (0..60).map(|_| tool.line()).collect();
        let expected: Vec<String> = (1..=60).map(|number: i32| number.to_string()).collect();
        assert_eq!(told, expected, "{via}");
        assert!(tool.end().status.success());
        let heads = relay.heads();
        assert!(heads.iter().all(|head| head.contains("\r\nCache-Control: no-cache\r\n")), "{heads:?}");
    });
}

#[test]
fn a_server_that_was_killed_and_started_again_is_found_and_what_was_missed_is_told() {
    for_each_technique(|via| {
        let server = Server::start(&[]);
        let address = server.address.to_string();
        let tool = watch(&server.url("/"), via, &["--since", "start", "--count", "2"]);
        server.publish("lobby", "before");
        assert_eq!(tool.line(), "before");
        drop(server);
        tool.error_with("trying again in");
        let server = Server::start(&["--listen", &address]);
        server.publish("lobby", "after");
        tool.error_with("missed what came after");
        assert_eq!(tool.line(), "after", "{via}");
        assert!(tool.end().status.success(), "{via}");
    });
}

#[test]
fn what_the_server_keeps_no_longer_is_told_by_number() {
    for_each_technique(|via| {
        let server = Server::start(&["--history", "3"]);
        server.publish("lobby", "1");
        let cursor = server.connect().get("/news").body;
        let cursor: Value = serde_json::from_str(&cursor).unwrap();
        for number in 2..=10 {
            server.publish("lobby", &number.to_string());
        }
        let since = cursor["cursor"].as_str().unwrap();
        let tool = watch(&server.url("/"), via, &["--since", since, "--count", "3"]);
        let ended = tool.end();
        assert_eq!(ended.lines, ["8", "9", "10"], "{via}");
        let epoch = since.strip_suffix("-1").unwrap();
        ended.badly(0, &[&format!("missed 6 events, {epoch}-2 to {epoch}-7")]);
    });
}

#[test]
fn a_server_that_drains_is_left_and_come_back_to() {
    for_each_technique(|via| {
        let mut server = Server::start(&[]);
        let address = server.address.to_string();
        let tool = watch(&server.url("/"), via, &["--since", "start", "--count", "2"]);
        server.publish("lobby", "before");
        assert_eq!(tool.line(), "before");
        server.signal("TERM");
        assert!(server.wait_for_exit().success(), "{via} leaves in time");
        let server = Server::start(&["--listen", &address]);
        server.publish("lobby", "after");
        assert_eq!(tool.line(), "after", "{via}");
        assert!(tool.end().status.success(), "{via}");
    });
}

#[test]
fn auto_takes_a_websocket_and_falls_back_where_it_must() {
    const REFUSAL: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    type Decide = fn(usize, &str) -> Fate;
    let cases: [(Decide, &str); 5] = [
        (|_, _| Fate::Pass, "websocket"),
        (|_, head| if head.contains("Upgrade") { Fate::Answer(REFUSAL) } else { Fate::Pass }, "sse"),
        (|_, head| if head.contains("Upgrade") { Fate::CutAfterHead } else { Fate::Pass }, "sse"),
        (|_, head| if head.contains("Upgrade") { Fate::CutAfter(250) } else { Fate::Pass }, "sse"),
        (|_, head| if head.contains("/poll") { Fate::Pass } else { Fate::Answer(REFUSAL) }, "long_poll"),
    ];
    thread::scope(|scope| {
        for (decide, via) in cases {
            scope.spawn(move || {
                let server = Server::start(&[]);
                let relay = Relay::start(server.address, decide);
                let tool = watch(&relay.url(), "auto", &["--json", "--count", "1"]);
                server.wait_for_metric(&format!("doorbell_connections{{technique=\"{via}\"}}"), 1.0);
                server.publish("lobby", "here");
                let event: Value = serde_json::from_str(&tool.line()).unwrap();
                assert_eq!((&event["data"], &event["via"]), (&"here".into(), &via.into()));
                let ended = tool.end();
                assert!(ended.status.success());
                assert_eq!(ended.errors.is_empty(), via == "websocket", "{:?}", ended.errors);
            });
        }
    });
}

#[test]
fn a_server_that_says_nothing_but_heartbeats_is_stayed_with() {
    for_each_technique(|via| {
        let server = Server::start(&["--ping-interval", "100ms"]);
        // Long polls are answered and asked again meanwhile, short ones anyway.
        let more = ["--silence", "3s", "--timeout", "500ms", "--since", "start", "--count", "1"];
        let tool = watch(&server.url("/"), via, &more);
        thread::sleep(Duration::from_millis(3500));
        server.publish("lobby", "still here");
        assert_eq!(tool.end().well(), ["still here"], "{via}");
    });
}

#[test]
fn a_server_that_is_stopped_is_noticed_and_waited_for() {
    for via in ["stream", "sse", "websocket"] {
        let server = Server::start(&["--ping-interval", "50ms"]);
        let tool = watch(&server.url("/"), via, &["--silence", "400ms", "--count", "1"]);
        server.wait_for_subscribers(1);
        server.signal("STOP");
        tool.error_with("has fallen silent");
        server.signal("CONT");
        server.wait_for_subscribers(1);
        server.publish("lobby", "back");
        assert_eq!(tool.line(), "back", "{via}");
    }
}

#[test]
fn a_poll_that_is_replaced_goes_on_under_another_name() {
    let server = Server::start(&[]);
    let relay = Relay::start(server.address, |_, _| Fate::Pass);
    let tool = watch(&relay.url(), "long_poll", &["--since", "start", "--count", "1"]);
    let head = eventually("a poll", || relay.heads().pop());
    server.wait_for_subscribers(1);
    let name = head.split("client=").nth(1).unwrap().split([' ', '&']).next().unwrap();
    let mut rival = server.connect();
    rival.ask(&format!("/poll?since=start&client={name}"));
    tool.error_with("another long poll of this name took its place");
    // Both are parked now, side by side: there is no fight.
    server.wait_for_subscribers(2);
    server.publish("lobby", "for both");
    assert!(rival.answer().body.contains("for both"));
    assert_eq!(tool.line(), "for both");
    assert!(tool.end().errors.is_empty());
}

#[test]
fn control_c_ends_it_with_0_and_a_closing_handshake() {
    for via in TECHNIQUES {
        let server = Server::start(&["--log", "connections"]);
        let tool = watch(&server.url("/"), via, &["--since", "start"]);
        server.publish("lobby", "one");
        assert_eq!(tool.line(), "one");
        tool.signal("INT");
        assert!(tool.end().well().is_empty(), "{via}");
        if via == "websocket" {
            let line = server.line_with("technique=websocket");
            assert!(line.contains("1000"), "{line}");
        }
    }
}

/// A `watch` that follows, and whose output nobody reads yet.
fn watch_into_a_pipe(server: &Server) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.args(["watch", &server.url("/"), "--since", "start"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for_subscribers(1);
    child
}

#[test]
fn it_ends_quietly_when_nobody_reads_its_output() {
    for is_idle in [true, false] {
        let server = Server::start(&[]);
        let mut child = watch_into_a_pipe(&server);
        drop(child.stdout.take());
        if !is_idle {
            server.publish("lobby", "nobody reads this");
        }
        let status = eventually("its end", || child.try_wait().unwrap());
        let ended = child.wait_with_output().unwrap();
        assert!(status.success() && ended.stderr.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_reader_that_does_not_read_keeps_neither_signals_nor_the_server_waiting() {
    let server = Server::start(&["--max-body", "64KiB"]);
    let mut child = watch_into_a_pipe(&server);
    for _ in 0..40 {
        server.publish("lobby", &"x".repeat(60_000));
    }
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let status = eventually("its end", || child.try_wait().unwrap());
    assert!(status.success());
}

#[test]
fn output_goes_into_a_file_too() {
    let server = Server::start(&[]);
    for number in 0..2000 {
        server.publish("lobby", &number.to_string());
    }
    let file = std::env::temp_dir().join(format!("doorbell-watch-{}", std::process::id()));
    let status = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(["watch", &server.url("/"), "--since", "start", "--count", "1000"])
        .stdout(std::fs::File::create(&file).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let expected: String = (976..1976).map(|number| format!("{number}\n")).collect();
    assert_eq!(text, expected, "1,024 are kept");
    let full = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(["watch", &server.url("/"), "--since", "start", "--count", "1"])
        .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left on device"), "{full:?}");
}

#[test]
fn what_cannot_work_is_told_in_one_line() {
    for (words, hints) in [
        (&["watch"][..], &["URL", "--help"][..]),
        (&["watch", "localhost:8080"], &["http://127.0.0.1:8080"]),
        (&["watch", "https://localhost"], &["TLS ends at a proxy"]),
        (&["watch", "ws://localhost:1/"], &["http://localhost:1"]),
        (&["watch", "http://localhost/poll"], &["leave out the path"]),
        (&["watch", "http://a", "--via", "carrier_pigeon"], &["carrier_pigeon", "long_poll"]),
        (&["watch", "http://a", "--since", "yesterday"], &["write start"]),
        (&["watch", "http://a", "--channel", "a b"], &["1 to 64"]),
        (&["watch", "http://a", "--interval", "0"], &["1ms"]),
        (&["watch", "http://a", "--count", "0"], &["--count"]),
    ] {
        Tool::run(words, "").badly(2, hints);
    }
    Tool::run(&["watch", "http://nobody.invalid"], "").badly(1, &["nobody.invalid", "check the name"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    for via in TECHNIQUES.iter().chain(&["auto"]) {
        watch(&url, via, &[]).end().badly(1, &[&url, "refused", "doorbell serve"]);
    }
}

#[test]
fn what_the_server_refuses_for_good_is_told_in_its_own_words() {
    let server = Server::start(&["--max-channels", "1"]);
    server.publish("lobby", "the only channel");
    for via in TECHNIQUES {
        let ended = watch(&server.url("/?channel=another"), via, &[]).end();
        ended.badly(1, &["507", "channels"]);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n");
        }
    });
    for via in TECHNIQUES {
        watch(&url, via, &[]).end().badly(1, &["no doorbell server", "check the address"]);
    }
}
