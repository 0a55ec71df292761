//! `doorbell swarm` against a real server: what it hears, how it behaves, how it is ended.
#![cfg(feature = "lab")]

mod support;

use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use support::tool::{Ended, Tool};
use support::{Server, eventually};

const TECHNIQUES: [&str; 5] = ["short_poll", "long_poll", "stream", "sse", "websocket"];

fn swarm(url: &str, via: &str, more: &[&str]) -> Tool {
    Tool::start(&[&["swarm", url, "--via", via, "--interval", "200ms", "--json"], more].concat())
}

fn report(ended: Ended) -> Value {
    assert!(ended.status.success() && ended.lines.len() == 1, "{ended:?}");
    serde_json::from_str(&ended.lines[0]).unwrap()
}

/// These figures of a report.
fn figures<const N: usize>(report: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}")))
}

/// Waits until so many events were handed to clients of this technique.
fn wait_for_deliveries(server: &Server, via: &str, count: f64) {
    let name = format!("doorbell_deliveries_total{{technique=\"{via}\"}}");
    eventually(&format!("{count} deliveries"), || (server.metric(&name) >= count).then_some(()));
}

#[test]
fn five_hundred_hear_everything_once_by_each_technique() {
    thread::scope(|scope| {
        for via in TECHNIQUES {
            scope.spawn(move || {
                let server = Server::start(&[]);
                let before = server.fds();
                let flags = ["--clients", "500", "--for", "1s", "--publish", "20/s"];
                let report = report(swarm(&server.url("/?channel=crowd"), via, &flags).end());
                let [connected, published, events] = figures(&report, ["connected", "published", "events"]);
                assert_eq!(connected, 500, "{report}");
                assert!(published > 0, "{report}");
                assert_eq!(events, published * 500, "{report}");
                let wrong = figures(&report, ["lost", "doubled", "owed", "restarts", "refused", "let_go"]);
                assert_eq!(wrong, [0; 6], "{report}");
                let latency = &report["latency"];
                assert_eq!(
                    (&latency["measured_by"], &latency["count"]),
                    (&"own_events".into(), &events.into())
                );
                let [p50, p99, max] = figures(latency, ["p50_us", "p99_us", "max_us"]);
                assert!(0 < p50 && p50 <= p99 && p99 <= max, "{report}");
                let [fds, limit, room] = figures(&report, ["fds", "fd_limit", "room"]);
                assert!((500..530).contains(&fds) && room < limit, "{report}");
                server.wait_for_fds(before);
            });
        }
    });
}

#[test]
fn the_news_of_others_are_measured_by_their_time_where_it_is_told() {
    for (via, measured) in [("long_poll", true), ("websocket", true), ("sse", false)] {
        let server = Server::start(&[]);
        let tool = swarm(&server.url("/"), via, &["--clients", "20", "--for", "600s"]);
        server.wait_for_subscribers(20);
        for number in 0..5 {
            server.publish("lobby", &number.to_string());
        }
        wait_for_deliveries(&server, via, 100.0);
        tool.signal("TERM");
        let report = report(tool.end());
        assert_eq!(figures(&report, ["lost", "doubled", "published"]), [0; 3], "{report}");
        match measured {
            true => assert_eq!(report["latency"]["measured_by"], "time", "{report}"),
            false => assert!(report["latency"].is_null(), "{report}"),
        }
    }
}

#[test]
fn one_that_is_interrupted_tells_what_it_measured_and_leaves_nothing_behind() {
    for (via, signal) in [("websocket", "INT"), ("long_poll", "TERM"), ("stream", "INT")] {
        let server = Server::start(&[]);
        let before = server.fds();
        let tool = swarm(&server.url("/"), via, &["--clients", "100", "--for", "600s", "--publish", "50/s"]);
        server.wait_for_subscribers(100);
        wait_for_deliveries(&server, via, 500.0);
        tool.signal(signal);
        let report = report(tool.end());
        assert_eq!(report["interrupted"], true);
        assert!(report["events"].as_u64().unwrap() > 0, "{report}");
        assert_eq!(figures(&report, ["connected", "lost", "doubled"]), [100, 0, 0], "{report}");
        server.wait_for_fds(before);
    }
    // Also while they are still gathering; and the report for people has the same figures.
    let server = Server::start(&[]);
    let tool =
        Tool::start(&["swarm", &server.url("/"), "--via", "sse", "--clients", "10000", "--ramp", "50/s"]);
    // They grow in number while they are counted.
    eventually("some to be there", || (server.metric("doorbell_subscribers") >= 5.0).then_some(()));
    tool.signal("INT");
    let ended = tool.end();
    assert!(ended.status.success() && ended.errors.is_empty(), "no bar without a terminal: {ended:?}");
    assert!(ended.lines[0].ends_with(", interrupted"), "{ended:?}");
    for row in ["connected", "events", "latency", "reconnects", "fds", "memory"] {
        assert!(ended.lines.iter().any(|line| line.trim_start().starts_with(row)), "{row} in {ended:?}");
    }
}

#[test]
fn what_is_lost_is_seen() {
    for via in ["long_poll", "sse", "websocket"] {
        let server = Server::start(&["--history", "3"]);
        let tool = swarm(&server.url("/"), via, &["--clients", "10", "--for", "600s"]);
        server.wait_for_subscribers(10);
        tool.signal("STOP");
        // What is written to a stream waits in the kernel; a long poll is answered with the first event, and then
        // only three of the others are kept.
        for number in 0..10 {
            server.publish("lobby", &number.to_string());
        }
        tool.signal("CONT");
        wait_for_deliveries(&server, via, if via == "long_poll" { 40.0 } else { 100.0 });
        server.wait_for_subscribers(10);
        tool.signal("INT");
        let report = report(tool.end());
        let expected = if via == "long_poll" { [40, 60, 0] } else { [100, 0, 0] };
        assert_eq!(figures(&report, ["events", "lost", "doubled"]), expected, "{via}: {report}");
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_has_its_crowd_back() {
    for via in ["long_poll", "stream", "websocket"] {
        let server = Server::start(&[]);
        let address = server.address.to_string();
        let tool = swarm(&server.url("/"), via, &["--clients", "50", "--for", "600s"]);
        server.wait_for_subscribers(50);
        server.publish("lobby", "before");
        wait_for_deliveries(&server, via, 50.0);
        drop(server);
        let server = Server::start(&["--listen", &address]);
        server.wait_for_subscribers(50);
        server.publish("lobby", "after");
        wait_for_deliveries(&server, via, 50.0);
        server.wait_for_subscribers(50);
        tool.signal("INT");
        let report = report(tool.end());
        assert_eq!(figures(&report, ["events", "lost", "doubled", "restarts"]), [100, 0, 0, 50], "{report}");
        assert!(report["reconnects"].as_u64().unwrap() >= 50, "{report}");
    }
}

#[test]
fn who_vanishes_leaves_a_reset() {
    let server = Server::start(&["--log", "connections"]);
    let before = server.fds();
    let flags = ["--clients", "20", "--for", "100ms", "--vanish"];
    let report = report(swarm(&server.url("/"), "long_poll", &flags).end());
    assert_eq!(figures(&report, ["connected", "cuts"]), [20, 0], "{report}");
    server.line_with("Connection reset by peer");
    server.wait_for_fds(before);
}

#[test]
fn who_is_frozen_or_slow_is_let_go_and_counted() {
    // No pong comes from the frozen.
    let server = Server::start(&["--ping-interval", "1s"]);
    let tool = swarm(&server.url("/"), "websocket", &["--clients", "20", "--for", "600s", "--freeze"]);
    server.wait_for_subscribers(20);
    server.wait_for_subscribers(0);
    tool.signal("INT");
    let of_frozen = report(tool.end());
    assert_eq!(
        figures(&of_frozen, ["connected", "let_go", "reconnects", "events"]),
        [20, 20, 0, 0],
        "{of_frozen}"
    );
    // The slow leave too much unread.
    let server = Server::start(&["--outbox-limit", "64KiB", "--history-bytes", "64KiB"]);
    let flags = ["--clients", "3", "--for", "600s", "--slow", "--publish", "100/s", "--size", "200KiB"];
    let tool = swarm(&server.url("/"), "stream", &flags);
    server.wait_for_subscribers(3);
    for _ in 0..3 {
        server.line_with("technique=stream");
    }
    server.wait_for_subscribers(0);
    tool.signal("INT");
    let of_slow = report(tool.end());
    assert_eq!(figures(&of_slow, ["connected", "reconnects"]), [3, 0], "{of_slow}");
}

#[test]
fn who_does_not_get_in_is_told_of() {
    let server = Server::start(&["--max-connections", "30"]);
    let report = report(swarm(&server.url("/"), "sse", &["--clients", "40", "--for", "200ms"]).end());
    assert_eq!(figures(&report, ["connected"]), [30], "{report}");
    assert!(report["refused"].as_u64().unwrap() >= 10, "{report}");
    let server = Server::start(&["--max-channels", "1"]);
    server.publish("lobby", "the only channel");
    swarm(&server.url("/?channel=another"), "sse", &[]).end().badly(1, &["507", "channels"]);
}

#[test]
fn on_a_terminal_there_is_a_bar() {
    let server = Server::start(&[]);
    let command = format!(
        "{} swarm {} --via long_poll --clients 50 --for 300ms",
        env!("CARGO_BIN_EXE_doorbell"),
        server.url("/")
    );
    // script(1) runs it on a terminal of its own.
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("50/50") && text.contains("\x1b["), "{text:?}");
    assert!(text.contains("50 clients via long_poll"), "{text:?}");
}

#[test]
fn what_cannot_work_is_told_in_one_line() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    for (words, hints) in [
        (&["swarm", &url][..], &["--via"][..]),
        (&["swarm", "https://localhost", "--via", "sse"], &["TLS ends at a proxy"]),
        (&["swarm", "http://192.0.2.7:80", "--via", "sse"], &["192.0.2.7", "one's own machine", "127.0.0.1"]),
        (&["swarm", "http://[2001:db8::1]", "--via", "sse"], &["one's own machine"]),
        (&["swarm", &url, "--via", "auto"], &["auto", "websocket"]),
        (&["swarm", &url, "--via", "sse", "--clients", "0"], &["--clients"]),
        (
            &["swarm", &url, "--via", "sse", "--clients", "999999"],
            &["999999 clients", "ulimit -n", "--clients"],
        ),
        (&["swarm", &url, "--via", "sse", "--ramp", "fast"], &["10/s"]),
        (&["swarm", &url, "--via", "sse", "--freeze", "--slow"], &["--freeze", "--slow"]),
    ] {
        Tool::run(words, "").badly(2, hints);
    }
    for via in TECHNIQUES {
        swarm(&url, via, &[]).end().badly(1, &[&url, "refused", "doorbell serve"]);
    }
}

#[test]
fn too_few_fds_are_told_and_as_many_clients_fit_as_it_says() {
    let server = Server::start(&[]);
    let limited = |clients: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_doorbell")]);
        let url = server.url("/");
        let words = ["swarm", &url, "--via", "stream", "--for", "100ms", "--publish", "20/s", "--json"];
        Tool::start_as(command, &[&words, &["--clients", clients][..]].concat()).end()
    };
    limited("49").badly(2, &["49 clients", "limit of 64 open files", "--clients 48", "ulimit -n 65"]);
    let report = report(limited("48"));
    assert_eq!(figures(&report, ["connected", "cuts", "lost"]), [48, 0, 0], "{report}");
}

#[test]
fn when_ports_run_out_it_goes_on_from_other_addresses() {
    // A network of its own, in which there are a hundred ports: unshare(1). Python brings its lo up.
    const UP: &str = "import fcntl,socket,struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0x41))";
    let script = format!(
        "python3 -c \"{UP}\" && echo '40000 40099' >/proc/sys/net/ipv4/ip_local_port_range || exit 9
         \"$0\" serve --listen 127.0.0.1:8080 >/dev/null & server=$!
         trap 'kill $server' EXIT
         until (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; do sleep 0.05; done
         \"$0\" swarm http://127.0.0.1:8080 --via websocket --clients 250 --for 500ms --publish 20/s --json"
    );
    let output = Command::new("unshare")
        .args(["--net", "--map-root-user", "bash", "-c", &script, env!("CARGO_BIN_EXE_doorbell")])
        .output()
        .unwrap();
    if output.stdout.is_empty() && matches!(output.status.code(), Some(1 | 9)) {
        eprintln!("not tried: no network namespace may be made here: {output:?}");
        return;
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let found = figures(&report, ["connected", "cuts", "lost", "doubled", "owed"]);
    assert_eq!(found, [250, 0, 0, 0, 0], "{report}");
    assert!(report["addresses"].as_u64().unwrap() >= 3, "{report}");
    assert_eq!(report["events"].as_u64(), report["published"].as_u64().map(|count| count * 250), "{report}");
    assert_ne!(report["published"], 0);
}
