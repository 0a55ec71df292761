//! `doorbell publish` against a real server.
#![cfg(feature = "lab")]

mod support;

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use support::tool::{Fate, Relay, Tool};
use support::{Server, eventually};

/// What a channel keeps.
fn kept(server: &Server, channel: &str) -> Vec<Value> {
    let body = server.connect().get(&format!("/news?since=start&channel={channel}")).body;
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect()
}

#[test]
fn one_event_is_published_as_it_is() {
    let server = Server::start(&[]);
    let url = server.url("/?channel=news");
    assert!(Tool::run(&["publish", &url, "two\nlines"], "").well().is_empty());
    assert!(Tool::run(&["publish", &url, "--", "--dashed"], "").well().is_empty());
    assert!(Tool::run(&["publish", &url, ""], "").well().is_empty());
    let ids = Tool::run(&["publish", &url, "--json", r#"{"price": 52300}"#, "--verbose"], "").well();
    assert!(ids.len() == 1 && ids[0].ends_with("-4"), "{ids:?}");
    let told = kept(&server, "news");
    assert_eq!(
        told,
        ["two\nlines".into(), "--dashed".into(), "".into(), serde_json::json!({"price": 52300})]
    );
    Tool::run(&["publish", &url, "--channel", "other", "x"], "").well();
    assert_eq!(kept(&server, "other"), ["x"], "--channel wins");
}

#[test]
fn each_line_of_standard_input_is_an_event_and_all_take_one_connection() {
    let server = Server::start(&[]);
    let relay = Relay::start(server.address, |_, _| Fate::Pass);
    let ids = Tool::run(&["publish", &relay.url(), "-", "-v"], "one\n\ntwo\r\n안녕\nwithout an end").well();
    let numbers: Vec<&str> = ids.iter().map(|id| id.split('-').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert_eq!(kept(&server, "lobby"), ["one", "", "two", "안녕", "without an end"]);
    assert_eq!(relay.heads().len(), 1, "one connection");
    Tool::run(&["publish", &server.url("/?channel=json"), "--json"], "1\n\n {\"a\": 2} \n").well();
    assert_eq!(kept(&server, "json"), [serde_json::json!(1), serde_json::json!({"a": 2})]);
    Tool::run(&["publish", &server.url("/?channel=nothing")], "").well();
    assert!(kept(&server, "nothing").is_empty());
}

#[test]
fn standard_input_may_be_a_file() {
    let server = Server::start(&[]);
    let path = std::env::temp_dir().join(format!("doorbell-publish-{}", std::process::id()));
    let long = "x".repeat(200_000);
    std::fs::write(&path, format!("{long}\n1\n2\n")).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(["publish", &server.url("/")])
        .stdin(std::fs::File::open(&path).unwrap())
        .status()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(status.success());
    assert_eq!(kept(&server, "lobby"), [long.as_str(), "1", "2"]);
}

#[test]
fn a_line_is_published_when_it_is_written_and_not_only_at_the_end() {
    let server = Server::start(&[]);
    let mut tool = Tool::start(&["publish", &server.url("/"), "-v"]);
    for number in 1..4 {
        tool.write(&format!("{number}\n"));
        assert!(tool.line().ends_with(&format!("-{number}")));
    }
    assert!(tool.end().well().is_empty());
}

#[test]
fn a_connection_that_the_server_closes_between_two_lines_is_no_loss() {
    let server = Server::start(&["--idle-timeout", "100ms"]);
    let mut tool = Tool::start(&["publish", &server.url("/"), "-v"]);
    for number in 1..4 {
        tool.write(&format!("{number}\n"));
        assert!(tool.line().ends_with(&format!("-{number}")));
        server.wait_for_metric("doorbell_connections{technique=\"http\"}", 1.0);
    }
    assert!(tool.end().well().is_empty());
}

#[test]
fn the_rate_is_kept() {
    let server = Server::start(&[]);
    let lines: String = (0..21).map(|number| format!("{number}\n")).collect();
    let began = Instant::now();
    Tool::run(&["publish", &server.url("/"), "--rate", "50/s"], &lines).well();
    assert!(began.elapsed() >= Duration::from_millis(300), "twenty gaps of 20 ms took {:?}", began.elapsed());
    assert_eq!(kept(&server, "lobby").len(), 21);
}

#[test]
fn who_is_told_to_wait_waits_and_nothing_is_lost() {
    let server = Server::start(&["--publish-rate", "5/s"]);
    let lines: String = (0..12).map(|number| format!("{number}\n")).collect();
    Tool::run(&["publish", &server.url("/")], &lines).well();
    let expected: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    assert_eq!(kept(&server, "lobby"), expected);
    assert!(server.metric("doorbell_requests_total{path=\"/event\",status=\"429\"}") > 0.0);
}

#[test]
fn what_is_refused_is_told_in_the_server_s_words_with_the_line() {
    let server = Server::start(&["--max-body", "1KiB"]);
    let url = server.url("/");
    Tool::run(&["publish", &url, "--json", "{bad"], "").badly(1, &["400", "The body is not JSON"]);
    let ended = Tool::run(&["publish", &url, "--json"], "1\n2\n{bad\n4\n");
    ended.badly(1, &["line 3: ", "The body is not JSON", "(2 published before it)"]);
    assert_eq!(kept(&server, "lobby").len(), 2);
    // The server answers, and closes, long before it was sent.
    Tool::run(&["publish", &url], &"x".repeat(3_000_000)).badly(1, &["413", "--max-body"]);
    let mut tool = Tool::start(&["publish", &url]);
    tool.stdin.as_mut().unwrap().write_all(b"\xff\n").unwrap();
    tool.end().badly(1, &["415", "UTF-8"]);
}

#[test]
fn what_cannot_work_is_told_in_one_line() {
    for (words, hints) in [
        (&["publish"][..], &["URL", "--help"][..]),
        (&["publish", "localhost:8080", "x"], &["http://127.0.0.1:8080"]),
        (&["publish", "https://localhost", "x"], &["TLS ends at a proxy"]),
        (&["publish", "http://localhost/event", "x"], &["leave out the path"]),
        (&["publish", "http://a", "x", "--rate", "fast"], &["10/s"]),
        (&["publish", "http://a", "x", "--channel", ""], &["1 to 64"]),
        (&["publish", "http://a", "x", "y"], &["y", "--help"]),
    ] {
        Tool::run(words, "").badly(2, hints);
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    Tool::run(&["publish", &url, "x"], "").badly(1, &[&url, "refused", "doorbell serve"]);
    Tool::run(&["publish", &url], "a\nb\n").badly(1, &["line 1: ", &url, "refused"]);
}

#[test]
fn a_cut_before_the_answer_is_told_as_what_it_is() {
    let server = Server::start(&[]);
    let relay = Relay::start(server.address, |_, _| Fate::CutAfter(10));
    let ended = Tool::run(&["publish", &relay.url()], "a\nb\n");
    ended.badly(1, &["line 1: ", "was cut", "may have been published or not"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    Tool::run(&["publish", &url, "x"], "").badly(1, &["no doorbell server", "check the address"]);
}

#[test]
fn control_c_ends_it_at_once() {
    let server = Server::start(&[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(["publish", &server.url("/"), "-v"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let status = eventually("its end", || child.try_wait().unwrap());
    assert!(!status.success(), "not all was published, perhaps");
}
