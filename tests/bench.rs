//! The benches, run as a user runs them: what they count is exact, and what they time is plausible.
#![cfg(feature = "lab")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Output};

const WAITS: [(&str, &str); 3] = [("select", "pselect6"), ("poll", "poll"), ("epoll", "epoll_wait")];

/// `doorbell bench` with these words.
fn bench(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.arg("bench").args(words);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    output
}

fn json(words: &[&str]) -> Value {
    let output = succeed(&mut bench(&[words, &["--json"]].concat()));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["bench"], words[0]);
    assert!(value["machine"]["kernel"].as_str().is_some_and(|kernel| kernel.contains('.')));
    value
}

/// The calls of one cell of the matrix.
fn calls(cell: &Value) -> BTreeMap<String, u64> {
    let calls = cell["calls"].as_object().unwrap();
    calls.iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

#[test]
fn the_columns_of_the_matrix_differ_in_the_wait_and_in_epoll_ctl_alone() {
    let report = json(&["matrix"]);
    assert_eq!((&report["ok"], &report["identical"]), (&Value::Bool(true), &Value::Bool(true)));
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 15);
    // accept4 is told once that there is no other, each delivery is a write, and each wait has a client for
    // a reason: to connect, or to ask.
    for (technique, waits, reads, writes) in [
        ("short_poll", 5, 4, 4),
        ("long_poll", 4, 3, 3),
        ("stream", 2, 1, 3),
        ("sse", 2, 1, 3),
        ("websocket", 4, 3, 5),
    ] {
        for (mechanism, wait) in WAITS {
            let cell = cells.iter().find(|c| c["technique"] == technique && c["mechanism"] == mechanism);
            let mut expected: BTreeMap<String, u64> =
                [("accept4", 2), ("read", reads), ("write", writes), (wait, waits)]
                    .map(|(name, count)| (name.to_owned(), count))
                    .into();
            if mechanism == "epoll" {
                expected.insert("epoll_ctl".into(), 1);
            }
            let cell = cell.unwrap_or_else(|| panic!("no cell for {technique} over {mechanism}"));
            assert_eq!(calls(cell), expected, "{technique} over {mechanism}");
        }
    }
    for (mechanism, wait) in WAITS {
        let publication = report["publication"][mechanism].as_object().unwrap();
        let expected = BTreeMap::from([(wait, 1), ("read", 1), ("write", 1)]);
        let publication: BTreeMap<&str, u64> =
            publication.iter().map(|(name, count)| (name.as_str(), count.as_u64().unwrap())).collect();
        assert_eq!(publication, expected, "a publication over {mechanism}");
    }
}

#[test]
fn the_matrix_shows_what_was_said_with_masks() {
    let report = json(&["matrix"]);
    let cells = report["cells"].as_array().unwrap();
    let said = |technique: &str| -> String {
        let cell = cells.iter().find(|cell| cell["technique"] == technique).unwrap();
        cell["said"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect()
    };
    for (technique, words) in [
        ("short_poll", "\"cursor\":\"<epoch>-2\",\"missed\":false,\"events\":[]"),
        ("long_poll", "\"type\":\"event\",\"cursor\":\"<epoch>-2\""),
        ("long_poll", "Set-Cookie: doorbell=<browser>;"),
        ("stream", "{\"type\":\"welcome\",\"cursor\":\"<epoch>-0\""),
        ("sse", "retry: <chance>\\nid: <epoch>-0"),
        ("sse", "id: <epoch>-2\\ndata: dong"),
        ("websocket", "Sec-WebSocket-Accept: <proof>"),
        ("websocket", "\\x81\\x88<mask>and mine"),
        ("websocket", "\\x8a\\x0cstill there?"),
        ("websocket", "\"time\":\"<time>\",\"data\":\"and mine\""),
        ("sse", "\"delivered\":{\"long_poll\":0,\"sse\":1,"),
    ] {
        let said = said(technique);
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn the_environment_does_not_change_the_matrix() {
    let mut command = bench(&["matrix"]);
    command
        .env("DOORBELL_MULTIPLEXER", "poll")
        .env("DOORBELL_LOG", "requests")
        .env("DOORBELL_HOLD", "1ms");
    let output = succeed(&mut command);
    assert!(text(&output.stdout).contains("The two axes are independent"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_table_is_markdown_if_asked_for() {
    let page = text(&succeed(&mut bench(&["matrix", "--markdown"])).stdout);
    assert!(page.contains("| long_poll | accept4 | 2 | 2 | 2 |"), "{page}");
    assert!(page.contains("|  | wait | 4 pselect6 | 4 poll | 4 epoll_wait |"), "{page}");
}

#[test]
fn wrong_words_are_told_in_one_line() {
    for (words, part) in [
        (&[][..], "requires a subcommand"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["matrix", "--json", "--markdown"], "cannot be used with"),
        (&["matrix", "--svg", "x.svg"], "unexpected argument '--svg'"),
    ] {
        let output = bench(words).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(said.starts_with("doorbell: ") && said.contains(part), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
