//! Clients that nobody here wrote: curl, Node's fetch and ws, Python's websockets, and an EventSource
//! by the letter of the standard.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use support::{MECHANISMS, PATIENCE, Server, collect_lines, eventually};

/// The same on a server of each mechanism, side by side.
fn on_each_mechanism(flags: &[&str], test: impl Fn(Server) + Sync) {
    std::thread::scope(|scope| {
        for mechanism in MECHANISMS {
            let test = &test;
            scope.spawn(move || test(Server::start(&[&["--multiplexer", mechanism], flags].concat())));
        }
    });
}

/// A client program in a process of its own, told line by line. It is killed when it is dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts it; what it says on standard error goes to the test's own.
    fn start(command: &mut Command) -> Program {
        let name = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name:?}: {error}; run ./scripts/test, which installs it"));
        let lines = collect_lines(child.stdout.take().unwrap());
        Program { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("another line from the client")
    }

    /// The first line that has these words in it, from here on.
    fn line_with(&self, words: &str) -> String {
        std::iter::repeat_with(|| self.line()).find(|line| line.contains(words)).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Everything that it still says, once it has ended well.
    fn end(mut self) -> String {
        let status = eventually("the client to end", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        self.lines.iter().map(|line| line + "\n").collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// curl, silent but for errors, and bounded in time.
fn curl() -> Command {
    let mut command = Command::new("curl");
    // A proxy that the environment names is none of the server's.
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    command
}

/// Runs curl with these words to its end and returns what it wrote.
fn curl_says(words: &[&str]) -> String {
    Program::start(curl().args(words)).end()
}

/// Runs curl with something on its standard input. Returns what it wrote, and the story of it that
/// `--verbose` tells.
fn curl_sends(words: &[&str], input: &[u8]) -> (String, String) {
    let mut command = curl();
    command.arg("--verbose").args(words).args(["--data-binary", "@-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("curl; run ./scripts/test, which installs it");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (said, story) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{said}{story}");
    (said, story)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// One of the programs in tests/clients/.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Where a client is: where the environment says, or else where ./scripts/test puts it.
fn installed(variable: &str, place: &str) -> PathBuf {
    let path = std::env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(place));
    assert!(path.exists(), "there is no {}; run ./scripts/test, which installs it", path.display());
    path
}

/// Node, with one of the programs; what it brings itself is enough for most.
fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script(name));
    command
}

fn ws_of_node() -> Command {
    let mut command = node("websocket.mjs");
    command.env("DOORBELL_NODE_PATH", installed("DOORBELL_NODE_PATH", "node"));
    command
}

fn websockets_of_python() -> Command {
    let mut command = Command::new(installed("DOORBELL_PYTHON", "python/bin/python"));
    command.arg(script("websocket.py"));
    command
}

#[test]
fn curl_asks_for_news_and_is_answered_at_once() {
    on_each_mechanism(&[], |server| {
        let nothing = json(&curl_says(&[&server.url("/news")]));
        assert_eq!((&nothing["type"], nothing["events"].as_array().unwrap().len()), (&"empty".into(), 0));
        server.publish("lobby", "hello");
        let news = json(&curl_says(&[&server.url("/news")]));
        assert_eq!((&news["type"], &news["events"][0]["data"]), (&"event".into(), &"hello".into()));
        let cursor = news["cursor"].as_str().unwrap();
        let nothing_more = curl_says(&[&server.url(&format!("/news?since={cursor}"))]);
        assert_eq!(json(&nothing_more)["type"], "empty");
    });
}

#[test]
fn curl_parks_and_is_woken() {
    on_each_mechanism(&[], |server| {
        let parked = Program::start(curl().arg(server.url("/poll")));
        server.wait_for_subscribers(1);
        server.publish("lobby", "안녕하세요");
        let answer = json(&parked.end());
        assert_eq!((&answer["type"], &answer["events"][0]["data"]), (&"event".into(), &"안녕하세요".into()));
    });
}

#[test]
fn curl_parks_until_its_hold_is_over() {
    on_each_mechanism(&["--hold", "300ms"], |server| {
        for target in ["/poll", "/poll?timeout=0.2"] {
            assert_eq!(json(&curl_says(&[&server.url(target)]))["type"], "timeout");
        }
    });
}

#[test]
fn curl_follows_a_stream() {
    on_each_mechanism(&[], |server| {
        let stream = Program::start(curl().args(["--no-buffer", &server.url("/stream")]));
        assert_eq!(stream.json()["type"], "welcome");
        for text in ["one", "two\nlines"] {
            server.publish("lobby", text);
            let event = stream.json();
            assert_eq!((&event["type"], &event["data"]), (&"event".into(), &text.into()));
        }
    });
}

#[test]
fn curl_follows_server_sent_events() {
    on_each_mechanism(&[], |server| {
        let stream = Program::start(curl().args(["--no-buffer", "--include", &server.url("/connect")]));
        assert_eq!(stream.line(), "HTTP/1.1 200 OK");
        stream.line_with("Content-Type: text/event-stream;charset=UTF-8");
        let cursor = stream.line_with("id: ");
        server.publish("lobby", "two\r\nlines");
        let first = cursor.replace("-0", "-1");
        let lines: Vec<String> = std::iter::repeat_with(|| stream.line()).take(5).collect();
        assert_eq!(lines, ["", &first, "data: two", "data: lines", ""]);
    });
}

#[test]
fn curl_publishes_text_and_json() {
    on_each_mechanism(&[], |server| {
        let event = server.url("/event");
        let text = curl_says(&["--data", "price=52300", &event]);
        assert!(text.ends_with("\"delivered\":{\"long_poll\":0,\"sse\":0,\"stream\":0,\"websocket\":0}}\n"));
        let as_json = ["--header", "Content-Type: application/json", "--data", r#"{"price": 52300}"#];
        let id = json(&curl_says(&[&as_json[..], &[&event]].concat()))["id"].clone();
        assert!(id.as_str().unwrap().ends_with("-2"), "{id}");
        let news = json(&curl_says(&[&server.url("/news")]));
        assert_eq!(news["events"][0]["data"], "price=52300");
        assert_eq!(news["events"][1]["data"], serde_json::json!({ "price": 52300 }));
        let refused = curl_says(&[
            "--write-out",
            "\n%{http_code} %{content_type}",
            "--header",
            "Content-Type: application/json",
            "--data",
            "{",
            &event,
        ]);
        assert!(refused.ends_with("\n400 application/problem+json\n"), "{refused}");
    });
}

#[test]
fn curl_speaks_http_1_0() {
    on_each_mechanism(&[], |server| {
        let one = |target| curl_says(&["--http1.0", "--include", &server.url(target)]);
        assert!(one("/news").contains("Connection: close"));
        assert!(one("/poll?timeout=100ms").contains("\"timeout\""));
        let words = ["--http1.0", "--no-buffer", "--include", &server.url("/connect")];
        let stream = Program::start(curl().args(words));
        let head: Vec<String> =
            std::iter::repeat_with(|| stream.line()).take_while(|line| !line.is_empty()).collect();
        // The end of the connection is the end of the answer: HTTP/1.0 knows no chunks.
        assert!(!head.iter().any(|line| line.starts_with("Transfer-Encoding")), "{head:?}");
        assert!(head.contains(&"Connection: close".to_owned()), "{head:?}");
        server.wait_for_subscribers(1);
        server.publish("lobby", "hello");
        stream.line_with("data: hello");
    });
}

#[test]
fn curl_asks_for_heads_only() {
    on_each_mechanism(&[], |server| {
        for target in ["/", "/news", "/poll", "/stream", "/connect", "/metrics", "/healthz"] {
            let head = curl_says(&["--head", &server.url(target)]);
            assert!(head.starts_with("HTTP/1.1 200 OK\n"), "{target}: {head}");
            assert!(head.contains("\nDate: ") && head.ends_with("\n\n"), "{target}: {head}");
        }
        assert_eq!(server.metric("doorbell_subscribers"), 0.0);
        let refused = curl_says(&["--head", &server.url("/event")]);
        assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    });
}

#[test]
fn curl_asks_for_the_options() {
    on_each_mechanism(&[], |server| {
        for (target, allow) in [
            ("/poll", "GET, HEAD, OPTIONS"),
            ("/ws", "GET, HEAD, OPTIONS"),
            ("/event", "OPTIONS, POST"),
            ("/send-message", "OPTIONS"),
        ] {
            let answer = curl_says(&["--request", "OPTIONS", "--include", &server.url(target)]);
            assert!(answer.starts_with("HTTP/1.1 204 "), "{target}: {answer}");
            assert!(answer.contains(&format!("\nAllow: {allow}\n")), "{target}: {answer}");
        }
        let words = ["--request", "OPTIONS", "--request-target", "*", "--include", &server.url("")];
        assert!(curl_says(&words).starts_with("HTTP/1.1 204 "));
    });
}

#[test]
fn curl_uses_one_connection_for_several_requests() {
    on_each_mechanism(&[], |server| {
        let each =
            ["--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code} %{num_connects}\n"];
        let (news, event) = (server.url("/news"), server.url("/event"));
        let poll = server.url("/poll?timeout=100ms");
        let mut words = each.to_vec();
        words.push(&news);
        for more in [&["--data", "hello", event.as_str()][..], &[&poll], &[&news]] {
            words.push("--next");
            words.extend(each);
            words.extend(more);
        }
        // How many connections each of them had to open.
        assert_eq!(curl_says(&words), "200 1\n201 0\n200 0\n200 0\n");
    });
}

#[test]
fn curl_asks_before_it_sends_a_large_body() {
    on_each_mechanism(&[], |server| {
        let body = "벨".repeat(300 * 1024);
        let expect = ["--header", "Expect: 100-continue", &server.url("/event")];
        let (answer, story) = curl_sends(&expect, body.as_bytes());
        assert!(json(&answer)["id"].is_string(), "{answer}");
        let interim = story.find("< HTTP/1.1 100 Continue").expect(&story);
        assert!(story.find("< HTTP/1.1 201 ").expect(&story) > interim, "{story}");
        assert_eq!(json(&curl_says(&[&server.url("/news")]))["events"][0]["data"], body.as_str());

        let count = ["--output", "/dev/null", "--write-out", "%{http_code} %{size_upload}"];
        let (answer, _) = curl_sends(&[&count[..], &expect].concat(), &vec![b'x'; 2 * 1024 * 1024]);
        assert_eq!(answer, "413 0", "what is too large is not even sent");
    });
}

#[test]
fn curl_uploads_in_chunks() {
    on_each_mechanism(&[], |server| {
        let body = "벨".repeat(300 * 1024);
        let words = ["--header", "Transfer-Encoding: chunked", &server.url("/event")];
        let (answer, story) = curl_sends(&words, body.as_bytes());
        assert!(
            story.contains("> Transfer-Encoding: chunked") && !story.contains("> Content-Length"),
            "{story}"
        );
        assert!(json(&answer)["id"].is_string(), "{answer}");
        assert_eq!(json(&curl_says(&[&server.url("/news")]))["events"][0]["data"], body.as_str());
    });
}

#[test]
fn curl_comes_through_a_unix_socket() {
    for mechanism in MECHANISMS {
        let name = format!("doorbell-{}-{mechanism}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listen = format!("unix:{}", path.display());
        let server = Server::start(&["--multiplexer", mechanism, "--listen", &listen]);
        let through = ["--unix-socket", path.to_str().unwrap()];
        let parked = Program::start(curl().args(through).arg("http://doorbell/poll"));
        server.wait_for_subscribers(1);
        curl_says(&[&through[..], &["--data", "hello", "http://doorbell/event"]].concat());
        assert_eq!(json(&parked.end())["events"][0]["data"], "hello");
        drop(server);
        // It was killed, so it left the file.
        std::fs::remove_file(&path).unwrap();
    }
}

const WEBSOCKET_CLIENTS: [fn() -> Command; 2] = [ws_of_node, websockets_of_python];

#[test]
fn websocket_libraries_converse() {
    let flags = ["--ping-interval", "2s", "--log", "connections"];
    for client in WEBSOCKET_CLIENTS {
        on_each_mechanism(&flags, |server| {
            let url = format!("ws://{}/ws?channel=mine", server.address);
            let said = Program::start(client().args(["converse", &url])).end();
            assert_eq!(said, "closed with 1000\n");
            assert!(server.line_with("technique=websocket").contains("websocket closed with 1000"));
        });
    }
}

#[test]
fn websocket_libraries_need_no_path() {
    let flags = ["--ping-interval", "2s"];
    for client in WEBSOCKET_CLIENTS {
        let server = Server::start(&flags);
        let url = format!("ws://{}", server.address);
        let said = Program::start(client().args(["converse", &url])).end();
        assert_eq!(said, "closed with 1000\n");
        let news = server.connect().get("/news?channel=lobby").body;
        assert_eq!(json(&news)["events"][1]["data"], "안녕하세요");
    }
}

#[test]
fn websocket_libraries_hear_their_echo() {
    for client in WEBSOCKET_CLIENTS {
        on_each_mechanism(&["--max-message", "1MiB"], |server| {
            let url = format!("ws://{}/echo", server.address);
            let said = Program::start(client().args(["echo", &url])).end();
            assert_eq!(said, "closed with 1000\n");
        });
    }
}

#[test]
fn websocket_libraries_hear_their_echo_compressed() {
    for client in WEBSOCKET_CLIENTS {
        on_each_mechanism(&["--deflate"], |server| {
            let url = format!("ws://{}/echo", server.address);
            let said = Program::start(client().args(["echo", &url])).end();
            assert_eq!(said, "closed with 1000, permessage-deflate\n");
        });
    }
}

#[test]
fn fetch_polls_and_loses_nothing() {
    on_each_mechanism(&[], |server| {
        let polls = Program::start(node("long_poll.mjs").arg(server.url("/poll?timeout=300ms")));
        let answered = "doorbell_requests_total{path=\"/poll\",status=\"200\"}";
        eventually("a poll to time out", || (server.metric(answered) >= 1.0).then_some(()));
        let mut expected = String::new();
        for number in 0..50 {
            // Some come while it is parked, others between two of its requests.
            let text = format!("event {number}");
            server.publish("lobby", &text);
            expected += &format!("\"{text}\"\n");
        }
        server.publish("lobby", "end");
        let said = polls.end();
        let (events, timeouts) = said.rsplit_once("timeouts: ").unwrap();
        assert_eq!(events, expected + "\"end\"\n");
        assert!(timeouts.trim().parse::<u32>().unwrap() >= 1);
    });
}

/// A relay between a client and a server, that can cut all connections and hold back new ones.
struct Relay {
    address: SocketAddr,
    /// While somebody holds this no new connection goes through.
    gate: Arc<Mutex<()>>,
    /// Everything that clients sent.
    heard: Arc<Mutex<Vec<u8>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn to(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let relay = Relay { address, gate: Arc::default(), heard: Arc::default(), open: Arc::default() };
        let (gate, heard, open) = (relay.gate.clone(), relay.heard.clone(), relay.open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                drop(gate.lock());
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { return };
                for stream in [&client, &server] {
                    open.lock().unwrap().push(stream.try_clone().unwrap());
                }
                pump(client.try_clone().unwrap(), server.try_clone().unwrap(), Some(heard.clone()));
                pump(server, client, None);
            }
        });
        relay
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Carries bytes one way until there are no more.
fn pump(mut from: TcpStream, mut to: TcpStream, heard: Option<Arc<Mutex<Vec<u8>>>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if let Some(heard) = &heard {
                heard.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
}

#[test]
fn an_event_source_hears_every_event_once_though_it_is_cut_off() {
    on_each_mechanism(&[], |server| {
        let relay = Relay::to(server.address);
        let url = format!("http://{}/connect?channel=mine", relay.address);
        let source = Program::start(node("event_source.mjs").arg(&url));
        assert_eq!(source.json()["type"], "open");
        server.wait_for_subscribers(1);

        let mut number = 0;
        let mut epoch = String::new();
        let mut publish_and_expect = |texts: &[(&str, &str)], meanwhile: &dyn Fn()| {
            for (text, _) in texts {
                let id = json(&server.publish("mine", text))["id"].as_str().unwrap().to_owned();
                epoch = id.split('-').next().unwrap().to_owned();
            }
            meanwhile();
            for (_, heard) in texts {
                number += 1;
                let event = source.json();
                assert_eq!((&event["type"], &event["data"]), (&"message".into(), &(*heard).into()));
                assert_eq!(event["lastEventId"], format!("{epoch}-{number}"));
            }
            format!("{epoch}-{number}")
        };
        let texts = [
            ("one", "one"),
            ("", ""),
            ("two\nlines", "two\nlines"),
            ("ends\rof\r\nlines\n", "ends\nof\nlines\n"),
            ("\n", "\n"),
            (" a space", " a space"),
            (":no comment\nid: 7\nevent: other\nretry: 1", ":no comment\nid: 7\nevent: other\nretry: 1"),
            ("안녕하세요 🔔", "안녕하세요 🔔"),
        ];
        let last = publish_and_expect(&texts, &|| ());

        let gate = relay.gate.lock().unwrap();
        relay.heard.lock().unwrap().clear();
        relay.cut();
        assert_eq!(source.json()["type"], "error");
        let gate = Mutex::new(Some(gate));
        publish_and_expect(&[("missed", "missed"), ("while\naway", "while\naway")], &|| {
            drop(gate.lock().unwrap().take());
            assert_eq!(source.json()["type"], "open");
        });
        publish_and_expect(&[("after", "after")], &|| ());
        let heard = String::from_utf8(relay.heard.lock().unwrap().clone()).unwrap();
        assert!(heard.contains(&format!("\r\nLast-Event-ID: {last}\r\n")), "{heard}");
    });
}

#[test]
fn an_event_source_is_told_that_something_was_missed() {
    let server = Server::start(&[]);
    server.publish("lobby", "kept");
    let source = Program::start(node("event_source.mjs").arg(server.url("/connect?since=longago-7")));
    assert_eq!(source.json()["type"], "open");
    let missed = source.json();
    assert_eq!(
        (&missed["type"], &missed["data"].as_str().unwrap()[..11]),
        (&"missed".into(), "{\"cursor\":\"")
    );
    assert_eq!(source.json()["data"], "kept");
}
