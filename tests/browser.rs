//! An EventSource that nobody here wrote, headless Chromium's.

mod support;

use serde_json::{Value, json};
use std::net::SocketAddr;
use support::browser::Browser;
use support::{Server, eventually, own_address};

/// `readyState` of an EventSource that has not given up.
const CONNECTING: u8 = 0;

fn follow(url: &str) -> Browser {
    Browser::start("browser.mjs", &[url])
}

/// The next thing but errors: a browser tells one each time that it tries in vain.
fn hear_behind_errors(browser: &Browser) -> Value {
    std::iter::repeat_with(|| browser.hear())
        .find(|told| told["type"] != "error" || told["state"] != CONNECTING)
        .unwrap()
}

fn id_of(published: &str) -> String {
    let published: Value = serde_json::from_str(published).unwrap();
    published["id"].as_str().unwrap().to_owned()
}

fn message(id: &str, data: &str) -> Value {
    json!({ "type": "message", "data": data, "lastEventId": id })
}

#[test]
fn an_event_source_hears_data_as_the_standard_says() {
    let server = Server::start(&[]);
    let browser = follow(&server.url("/connect"));
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
    let browser = follow(&server.url("/connect"));
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
    let address = own_address(255);
    let start = |address: SocketAddr| Server::start(&["--listen", &address.to_string()]);

    let server = start(address);
    let browser = follow(&format!("http://{address}/connect"));
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
    assert_eq!(hear_behind_errors(&browser)["type"], "open");
    let cursor = format!("{epoch}-0");
    let data = format!("{{\"cursor\":\"{cursor}\"}}");
    browser.expect(json!({ "type": "missed", "data": data, "lastEventId": cursor }));
    browser.expect(message(&meanwhile, "meanwhile"));
    let after = id_of(&server.publish("lobby", "after"));
    browser.expect(message(&after, "after"));
}
