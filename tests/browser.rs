//! A real browser: the page, and an EventSource that nobody here wrote, headless Chromium's.

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;
use support::{PATIENCE, Server, collect_lines, eventually};

/// A browser on its way through one scenario of tests/clients/browser.mjs. It is closed when it is
/// dropped.
struct Browser {
    node: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Browser {
    fn start(scenario: &str, url: &str) -> Browser {
        assert!(chromium().exists(), "there is no {}; run ./scripts/test", chromium().display());
        let mut node = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/browser.mjs"))
            .args([scenario, url])
            .env("DOORBELL_NODE_PATH", node_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error}; run ./scripts/test, which installs it"));
        let lines = collect_lines(node.stdout.take().unwrap());
        Browser { stdin: node.stdin.take(), node, lines }
    }

    fn hear(&self) -> Value {
        let line = self.lines.recv_timeout(2 * PATIENCE).expect("another line from the browser");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn expect(&self, told: Value) {
        assert_eq!(self.hear(), told);
    }

    /// The next thing but errors: a browser tells one each time that it tries in vain.
    fn hear_behind_errors(&self) -> Value {
        std::iter::repeat_with(|| self.hear())
            .find(|told| told["type"] != "error" || told["state"] != CONNECTING)
            .unwrap()
    }

    fn go_on(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

/// `readyState` of an EventSource that has not given up.
const CONNECTING: u8 = 0;

impl Drop for Browser {
    /// It is asked to go, so that it takes its folder in /tmp with it.
    fn drop(&mut self) {
        self.stdin = None;
        let deadline = Instant::now() + PATIENCE;
        while self.node.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn chromium() -> PathBuf {
    std::env::var_os("DOORBELL_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into()).into()
}

/// Where playwright-core is: where the environment says, or else where ./scripts/test puts it.
fn node_path() -> PathBuf {
    let path = std::env::var_os("DOORBELL_NODE_PATH").map(PathBuf::from);
    let path = path.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/node"));
    let module = path.join("node_modules/playwright-core");
    assert!(module.exists(), "there is no {}; run ./scripts/test, which installs it", module.display());
    path
}

fn id_of(published: &str) -> String {
    let published: Value = serde_json::from_str(published).unwrap();
    published["id"].as_str().unwrap().to_owned()
}

fn message(id: &str, data: &str) -> Value {
    json!({ "type": "message", "data": data, "lastEventId": id })
}

#[test]
fn the_page_hears_one_event_by_five_techniques_and_shows_it_as_text() {
    let server = Server::start(&[]);
    let mut browser = Browser::start("page", &server.url("/"));
    browser.expect(json!({ "type": "listening" }));
    // All who can wait do.
    server.wait_for_subscribers(4);
    browser.go_on();
    let seen = browser.hear();
    let names = ["Short polling", "Long polling", "HTTP streaming", "Server-Sent Events", "WebSocket"];
    assert_eq!(seen["names"], json!(names));
    let published = &seen["published"];
    assert!(published.as_str().unwrap().starts_with("<script>"));
    assert_eq!(seen["data"], Value::from(vec![published.clone(); 5]));
    assert_eq!(seen["newest"], json!([published]));
    assert_eq!((&seen["scripts"], &seen["images"], &seen["rung"]), (&json!(1), &json!(0), &Value::Null));
    assert_eq!((&seen["trouble"], &seen["complaints"]), (&json!([]), &json!([])));
}

#[test]
fn an_event_source_hears_data_as_the_standard_says() {
    let server = Server::start(&[]);
    let browser = Browser::start("follow", &server.url("/connect"));
    browser.expect(json!({ "type": "open" }));
    for (text, heard) in [
        ("one", "one"),
        ("", ""),
        ("a\rb", "a\nb"),
        ("a\nb", "a\nb"),
        ("a\r\nb", "a\nb"),
        ("a\n\rb", "a\n\nb"),
        ("a\n\nb", "a\n\nb"),
        ("ends\r\n", "ends\n"),
        ("\n", "\n"),
        ("\r\r\n\n", "\n\n\n"),
        (" one space", " one space"),
        ("  two\n  spaces ", "  two\n  spaces "),
        ("\u{feff}a mark", "\u{feff}a mark"),
        ("\u{feff}", "\u{feff}"),
        (
            ":no comment\nid: 7\nevent: other\nretry: 1\ndata",
            ":no comment\nid: 7\nevent: other\nretry: 1\ndata",
        ),
        ("none ends a line: \u{b}\u{c}\u{85}\u{2028}\0", "none ends a line: \u{b}\u{c}\u{85}\u{2028}\0"),
        ("안녕하세요 🔔", "안녕하세요 🔔"),
    ] {
        let id = id_of(&server.publish("lobby", text));
        browser.expect(message(&id, heard));
    }
}

#[test]
fn an_event_source_that_is_cut_off_comes_back_by_itself_and_misses_nothing() {
    let server = Server::start(&["--stream-lease", "300ms"]);
    let browser = Browser::start("follow", &server.url("/connect"));
    browser.expect(json!({ "type": "open" }));
    let answered = "doorbell_requests_total{path=\"/connect\",status=\"200\"}";
    let mut expected = Vec::new();
    let mut publish = |text: &str| {
        for number in 0..5 {
            let text = format!("{text} {number}");
            expected.push(message(&id_of(&server.publish("lobby", &text)), &text));
        }
    };
    for opened in 2..4 {
        publish("while it listens");
        server.wait_for_subscribers(0);
        publish("while it is away");
        eventually("the browser to come back", || {
            (server.metric(answered) >= f64::from(opened)).then_some(())
        });
    }
    publish("at last");

    let mut heard = Vec::new();
    let mut reopened = 0;
    while heard.last() != expected.last() {
        let told = browser.hear();
        match told["type"].as_str() {
            Some("error") => assert_eq!(told["state"], CONNECTING),
            Some("open") => reopened += 1,
            _ => heard.push(told),
        }
    }
    assert_eq!(heard, expected);
    assert!(reopened >= 2, "{reopened}");
}

#[test]
fn an_event_source_is_told_what_a_restart_made_it_miss() {
    // An address of our own, so that the port is still free for the second server.
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, high.max(1), low, 255);
    let address = TcpListener::bind((host, 0)).and_then(|free| free.local_addr()).unwrap();
    let start = |address: SocketAddr| Server::start(&["--listen", &address.to_string()]);

    let server = start(address);
    let browser = Browser::start("follow", &format!("http://{address}/connect"));
    browser.expect(json!({ "type": "open" }));
    let before = id_of(&server.publish("lobby", "before"));
    browser.expect(message(&before, "before"));
    // It is killed, and has no time for a goodbye.
    drop(server);
    browser.expect(json!({ "type": "error", "state": CONNECTING }));

    let server = start(address);
    let meanwhile = id_of(&server.publish("lobby", "meanwhile"));
    let (epoch, _) = meanwhile.split_once('-').unwrap();
    assert_ne!(before.split_once('-').unwrap().0, epoch);
    assert_eq!(browser.hear_behind_errors()["type"], "open");
    let cursor = format!("{epoch}-0");
    let data = format!("{{\"cursor\":\"{cursor}\"}}");
    browser.expect(json!({ "type": "missed", "data": data, "lastEventId": cursor }));
    browser.expect(message(&meanwhile, "meanwhile"));
    let after = id_of(&server.publish("lobby", "after"));
    browser.expect(message(&after, "after"));
}
