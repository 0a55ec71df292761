//! The benches, run as a user runs them: what they count is exact, and what they time is plausible.
#![cfg(feature = "lab")]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::eventually;

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
    command.env("DOORBELL_MULTIPLEXER", "poll").env("DOORBELL_LOG", "requests").env("DOORBELL_HOLD", "1ms");
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
fn an_event_costs_epoll_what_it_costs_and_poll_and_select_what_is_there() {
    let picture = scratch("growth.svg");
    let report = json(&["growth", "--quick", "--svg", picture.to_str().unwrap()]);
    let rows = report["tables"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["idle"].as_u64().unwrap()).collect::<Vec<_>>(), [100, 300, 960]);
    let cost = |row: usize, mechanism: &str| rows[row][mechanism]["median"].as_f64().unwrap();
    assert!(cost(0, "epoll") > 0.0, "{rows:?}");
    for mechanism in ["poll", "select"] {
        // Nine times as many are there, and each is looked at: on any machine that shows.
        assert!(cost(2, mechanism) > 1.5 * cost(0, mechanism), "{mechanism}: {rows:?}");
        assert!(cost(2, mechanism) > 1.5 * cost(2, "epoll"), "{mechanism}: {rows:?}");
    }
    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("silent connections"));
    std::fs::remove_file(picture).unwrap();
}

#[test]
fn a_wait_of_select_and_poll_costs_what_is_watched() {
    let picture = scratch("readiness.svg");
    let report = json(&["readiness", "--quick", "--svg", picture.to_str().unwrap()]);
    assert_eq!(report["ok"], true, "{}", report["verdict"]);
    let [times, bytes] = [0, 1].map(|table| report["tables"][table]["rows"].as_array().unwrap().clone());
    assert_eq!((times.len(), bytes.len()), (6, 6), "10, 100 and 1,000 idle, 1 and 10 ready");
    for row in &times {
        for mechanism in ["select", "poll", "epoll"] {
            let measured = &row[mechanism];
            let [lowest, median, highest] =
                ["lowest", "median", "highest"].map(|name| measured[name].as_f64());
            assert!(Some(0.0) < lowest && lowest <= median && median <= highest, "{measured}");
            assert_eq!(measured["rounds"], 3);
        }
    }
    let last = bytes.iter().find(|row| row["idle"] == 1_000 && row["ready"] == 10).unwrap();
    assert_eq!(last["poll"], 10 * 1_010);
    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("10 ready") && drawn.contains("epoll"));
    std::fs::remove_file(picture).unwrap();
}

#[test]
fn timers_are_timed_on_three_structures() {
    let picture = scratch("wheel.svg");
    let report = json(&["wheel", "--quick", "--rounds", "2", "--svg", picture.to_str().unwrap()]);
    assert_eq!(report["ok"], true, "{}", report["verdict"]);
    for table in report["tables"].as_array().unwrap() {
        let rows = table["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 8, "four works with 1,000 and with 10,000");
        for (row, structure) in rows.iter().flat_map(|row| ["wheel", "heap", "map"].map(|name| (row, name))) {
            assert!(row[structure]["median"].as_f64() > Some(0.0), "{row}");
            assert_eq!(row[structure]["rounds"], 2);
        }
    }
    assert!(std::fs::read_to_string(&picture).unwrap().contains("one among them, in random order"));
    std::fs::remove_file(picture).unwrap();
}

#[test]
fn who_waits_costs_memory_and_no_system_call() {
    let picture = scratch("idle.svg");
    let report = json(&["idle", "--quick", "--rounds", "1", "--svg", picture.to_str().unwrap()]);
    assert_eq!(report["ok"], true, "{}", report["verdict"]);
    let rows = report["tables"][0]["rows"].as_array().unwrap();
    let techniques: Vec<&str> = rows.iter().map(|row| row["technique"].as_str().unwrap()).collect();
    assert_eq!(techniques, ["long_poll", "sse", "websocket"]);
    for row in rows {
        assert_eq!(row["calls"]["highest"], 0.0, "{row}");
        let bytes = row["user"]["median"].as_f64().unwrap();
        assert!((1.0..10_000.0).contains(&bytes), "{row}");
    }
    assert!(std::fs::read_to_string(&picture).unwrap().contains("websocket"));
    std::fs::remove_file(picture).unwrap();
}

#[test]
fn techniques_are_late_and_dear_as_theory_says() {
    let picture = scratch("techniques.svg");
    let report = json(&["techniques", "--quick", "--rounds", "1", "--svg", picture.to_str().unwrap()]);
    assert_eq!(report["ok"], true, "{}", report["verdict"]);
    let [delivery, overtaking, degradation, transits] =
        [0, 1, 2, 3].map(|table| report["tables"][table]["rows"].as_array().unwrap().clone());
    let median = |value: &Value| value["median"].as_f64().unwrap();
    assert_eq!(delivery.len(), 8, "short polling at four intervals, and four others");
    for row in &delivery {
        let requests = row["requests"].as_f64().unwrap();
        let pushes = ["stream", "sse", "websocket"].iter().any(|name| row["technique"] == *name);
        assert_eq!(requests == 0.0, pushes, "{row}");
        let late = [&row["p50"], &row["p99"], &row["longest"]].map(median);
        assert!(0.0 < late[0] && late[0] <= late[1] && late[1] <= late[2], "{row}");
        assert!(row["sent"].as_f64() > Some(64.0) && median(&row["cpu"]) > 0.0, "{row}");
    }
    // Every event is one request of a parked client, whatever the machine does meanwhile; the rates are less sure.
    assert_eq!(delivery[4]["technique"], "long_poll");
    assert!((0.5..=1.5).contains(&delivery[4]["requests"].as_f64().unwrap()), "{}", delivery[4]);
    for row in &overtaking {
        let formula = row["short_formula"].as_f64().unwrap();
        assert!(row["short_requests"].as_f64().unwrap() < 1.5 * formula, "{row}");
    }
    let together = |row: &Value| median(&row["together"]);
    assert!(together(&degradation[2]) > 2.0 * together(&degradation[0]));
    let crossed: Vec<_> =
        transits.iter().map(|row| (&row["first_transits"], &row["second_transits"])).collect();
    assert_eq!(crossed[0], (&1.into(), &3.into()));
    assert!(crossed[1..].iter().all(|row| *row == (&1.into(), &1.into())), "{crossed:?}");
    assert!(std::fs::read_to_string(&picture).unwrap().contains("long polling under load"));
    std::fs::remove_file(picture).unwrap();
}

/// A folder of peers, in which one is installed: a program for the shell.
fn peers(name: &str, run: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = scratch(name);
    std::fs::create_dir_all(folder.join("axum")).unwrap();
    let program = folder.join("axum/run");
    std::fs::write(&program, format!("#!/bin/sh\n{run}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.join("axum/version"), "a version\n").unwrap();
    folder
}

#[test]
fn without_peers_there_is_nothing_to_compare_with() {
    let output = bench(&["peers", "--peers", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let expected =
        "doorbell: bench peers: no peer is installed in /nowhere; scripts/peers/install installs them\n";
    assert_eq!(said, expected);
}

#[test]
fn a_peer_that_does_not_start_is_told_in_one_line() {
    let folder = peers("broken", "echo it hurts >&2; exit 3");
    let output = bench(&["peers", "--quick", "--peers", folder.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("axum did not start") && said.contains("it hurts"), "{said}");
    assert!(said.contains("scripts/peers/install axum") && said.lines().count() == 1, "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_peer_is_measured_beside_doorbell_and_who_is_missing_is_named() {
    // Nobody resembles us more than we do.
    let ourselves = env!("CARGO_BIN_EXE_doorbell");
    let folder = peers("one", &format!("exec {ourselves} serve --listen 127.0.0.1:$1"));
    let words = ["peers", "--quick", "--rounds", "1", "--clients", "20", "--peers", folder.to_str().unwrap()];
    let report = json(&words);
    assert_eq!(report["peers"], serde_json::json!([{"name": "axum", "version": "a version"}]));
    let lengths = [0, 1, 2].map(|table| report["tables"][table]["rows"].as_array().unwrap().len());
    assert_eq!(lengths, [6 * 2, 3 * 2, 3 * 2], "each row for both");
    for (table, figure) in [(0, "rate"), (0, "cpu"), (1, "first"), (1, "last"), (1, "cpu")] {
        for row in report["tables"][table]["rows"].as_array().unwrap() {
            assert!(row[figure]["median"].as_f64() > Some(0.0), "{figure} of {row}");
        }
    }
    let warnings = report["warnings"].to_string();
    for name in ["nginx", "node"] {
        assert!(warnings.contains(&format!("scripts/peers/install {name}")), "{warnings}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_server_is_held_against_the_floor() {
    let picture = scratch("floor.svg");
    let report = json(&["floor", "--quick", "--rounds", "2", "--svg", picture.to_str().unwrap()]);
    let rows = |table: usize| report["tables"][table]["rows"].as_array().unwrap().clone();
    let (asked, fanned, costs) = (rows(0), rows(1), rows(2));
    assert_eq!((asked.len(), fanned.len(), costs.len()), (6, 7, 9));
    for row in asked.iter().chain(&fanned) {
        for name in ["server", "floor", "ratio"] {
            let [lowest, median, highest] =
                ["lowest", "median", "highest"].map(|figure| row[name][figure].as_f64());
            assert!(Some(0.0) < lowest && lowest <= median && median <= highest, "{row}");
            assert_eq!(row[name]["rounds"], 2);
        }
    }
    for row in &costs {
        let figure = |name: &str| row[name].as_f64().unwrap_or_else(|| row[name]["median"].as_f64().unwrap());
        assert!(figure("server_cpu") > 0.0 && figure("floor_cpu") > 0.0, "{row}");
        // A question costs a wait, a read and a write; a wait may serve several, and a write several answers.
        let (fewest, most) = match row["of"].as_str().unwrap() {
            deep if deep.ends_with("16") => (2.0 / 16.0, 3.0),
            deep if deep.ends_with("depth 1") => (2.0, 3.1),
            "long poll" => (2.0, 3.1),
            _ => (1.0, 1.1),
        };
        for calls in ["server_calls", "floor_calls"].map(figure) {
            assert!((fewest..most).contains(&calls), "{row}");
        }
    }
    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert!(drawn.contains("to reach") && drawn.contains("asked again"));
    std::fs::remove_file(picture).unwrap();
}

#[test]
fn a_gate_is_closed_to_who_is_far_from_the_floor() {
    // A debug build is, wherever it runs; a release build may or may not be.
    let output = bench(&["floor", "--quick", "--rounds", "1", "--gate"]).output().unwrap();
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("WebSocket echo of 1 KiB, depth 16"), "{said}");
    match output.status.code() {
        Some(0) if !cfg!(debug_assertions) => {}
        status => {
            assert_eq!(status, Some(1), "{complaint}");
            let beginning = "doorbell: bench floor: not as expected: missed by more than a tenth: ";
            assert!(complaint.starts_with(beginning) && complaint.lines().count() == 1, "{complaint}");
        }
    }
}

#[test]
fn the_floor_can_be_had_by_itself() {
    let sizes = ["--question=4", "--answer=3", "--publication=0", "--event=0"];
    let mut floor = bench(&[&["floor-server"], &sizes[..]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(floor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("where it listens");
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(b"one two thre").unwrap();
    let mut answers = [1; 9];
    client.read_exact(&mut answers).unwrap();
    assert_eq!(answers, [0; 9], "three questions, and three answers of three bytes");
    floor.kill().unwrap();
    floor.wait().unwrap();
    let help = text(&succeed(&mut bench(&["--help"])).stdout);
    assert!(help.contains("floor") && !help.contains("floor-server"), "{help}");
}

#[test]
fn the_limit_on_open_files_is_told_plainly() {
    let limited = |limit: u32| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}:{limit}")).arg(env!("CARGO_BIN_EXE_doorbell"));
        command.args(["bench", "readiness", "--quick", "--rounds", "1"]).output().unwrap()
    };
    let output = limited(200);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let note =
        "Up to 110 idle fds: the limit of 200 open files allows no more; ulimit -n 1090 would allow 1,000.";
    assert!(said.contains(note), "{said}");
    assert!(said.contains("The range is too short to judge."), "{said}");
    let output = limited(95);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("doorbell: bench readiness: the limit of 95 open files"), "{said}");
    assert!(said.contains("ulimit -n 100") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_picture_that_cannot_be_written_is_told_before_the_work() {
    let output = bench(&["readiness", "--svg", "/nowhere/x.svg"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write /nowhere/x.svg"), "{}", text(&output.stderr));
}

#[test]
fn a_bench_that_is_killed_leaves_no_server_behind() {
    let mut bench = bench(&["readiness"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = eventually("its server", || child_of(bench.id()));
    bench.kill().unwrap();
    bench.wait().unwrap();
    eventually("the server's end", || parent_of(server).is_none().then_some(()));
}

/// A process whose parent this is.
fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|&pid| parent_of(pid) == Some(parent))
}

/// `None` if there is no such process, or nothing of it but its exit status.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let (state, rest) = fields.split_once(' ')?;
    rest.split(' ').next().filter(|_| state != "Z")?.parse().ok()
}

/// A path for a file of this test run.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

#[test]
fn wrong_words_are_told_in_one_line() {
    for (words, part) in [
        (&[][..], "requires a subcommand"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["matrix", "--json", "--markdown"], "cannot be used with"),
        (&["readiness", "--rounds", "0"], "0 is not in 1..=1000"),
        (&["techniques", "--clients", "0"], "0 is not in 1..=9000"),
        (&["matrix", "--svg", "x.svg"], "unexpected argument '--svg'"),
    ] {
        let output = bench(words).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(said.starts_with("doorbell: ") && said.contains(part), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn the_receipt_is_what_its_formulas_say() {
    let report = json(&["receipt", "--clients", "3", "--events", "4"]);
    assert_eq!(report["ok"], true, "{}", report["verdict"]);
    let receipts = report["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 5);
    for (receipt, asks) in receipts.iter().zip([true, true, false, false, false]) {
        let counted = |figure: &str| receipt["figures"][figure]["counted"].as_f64().unwrap();
        assert_eq!((counted("events"), counted("write")), (12.0, 12.0), "{receipt}");
        let for_asking = if asks { 12.0 } else { 0.0 };
        assert_eq!((counted("requests"), counted("read")), (for_asking, for_asking), "{receipt}");
        assert!(counted("payload bytes out") > 120.0 && counted("fd seconds") > 0.0, "{receipt}");
    }
    let table = text(&succeed(&mut bench(&["receipt", "--clients", "1", "--events", "1"])).stdout);
    assert!(table.contains("What one delivered event costs the server"), "{table}");
}
