//! `POST /kernel/multiplexer`: everybody moves to another mechanism, and nobody notices.

mod support;

use doorbell::buffer::Outgoing;
use doorbell::http::router::Report;
use doorbell::settings::Settings;
use doorbell::technique::{After, Conversation, Hub, Turn};
use doorbell::tick::{Now, Tick};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use support::crowd::{self, Crowd};
use support::traced::Traced;
use support::{Answer, Client, MECHANISMS, Server, eventually};

fn request(host: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /kernel/multiplexer HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn naming(mechanism: &str) -> String {
    format!("{{\"multiplexer\":\"{mechanism}\"}}")
}

fn try_swap(client: &mut Client, to: &str) -> Answer {
    client.send(&request("localhost", "", &naming(to)));
    client.answer()
}

/// Moves everybody, and says how many that were.
fn swap(client: &mut Client, to: &str) -> u64 {
    let answer = try_swap(client, to);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["multiplexer"], to);
    assert_eq!(told.as_object().unwrap().len(), 2, "{told}");
    told["moved"].as_u64().unwrap()
}

fn look(client: &mut Client) -> Value {
    let answer = client.get("/kernel?limit=10000");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let page: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(page["disagreements"], 0, "{page}");
    page
}

fn epoll_instances(pid: u32) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    targets.filter(|target| target.as_os_str() == "anon_inode:[eventpoll]").count()
}

/// Every mechanism, and every other one to go to from there.
fn for_each_pair(test: impl Fn(&'static str, &'static str) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for from in MECHANISMS {
            for to in MECHANISMS.into_iter().filter(|&to| to != from) {
                scope.spawn(move || test(from, to));
            }
        }
    });
}

#[test]
fn everybody_moves_and_hears_everything_once() {
    for_each_pair(|from, to| {
        let server = Server::start_over(from, &crowd::FLAGS);
        let mut crowd = Crowd::enter(&server);
        crowd.hears(&server, "before the move");
        let mut asker = server.connect();
        let is_where_it_belongs = |page: &Value, mechanism: &str| {
            crowd.guests.iter().all(|guest| {
                let peer = guest.client.stream.local_addr().unwrap().to_string();
                let lines = page["fds"].as_array().unwrap();
                let line = lines.iter().find(|line| line["peer"] == peer.as_str()).unwrap();
                line["interest"] == Value::from(guest.state.interest(mechanism)) && line["agree"] == true
            })
        };
        eventually("everybody to be where it belongs", || {
            is_where_it_belongs(&look(&mut asker), from).then_some(())
        });
        assert_eq!(epoll_instances(server.pid()), usize::from(from == "epoll"));
        // The signals and the listener move too, and who asks.
        let watched = crowd.len() as u64 + 3;
        assert_eq!(swap(&mut asker, to), watched, "{from} to {to}");
        assert_eq!(epoll_instances(server.pid()), usize::from(to == "epoll"), "the old one is closed");
        let page = look(&mut asker);
        assert_eq!(page["multiplexer"], to);
        assert_eq!(page["epoll_fd"].is_null(), to != "epoll");
        assert!(is_where_it_belongs(&page, to), "{from} to {to}: {page}");
        crowd.hears(&server, "after the move");
        assert_eq!(swap(&mut asker, from), watched, "{to} to {from}");
        crowd.hears(&server, "back again");
        assert_eq!(swap(&mut asker, to), watched, "{from} to {to}");
        crowd.finish(&server);
    });
}

#[test]
fn under_strace_the_next_wait_is_another_system_call() {
    let call_of = |mechanism| match mechanism {
        "epoll" => "epoll_wait(",
        "poll" => "poll(",
        _ => "pselect6(",
    };
    for_each_pair(|from, to| {
        let traced = Traced::start(&["--multiplexer", from]);
        let server = &traced.server;
        let mut parked = server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        server.wait_for_subscribers(1);
        let mut asker = server.connect();
        swap(&mut asker, to);
        server.publish("lobby", "news");
        assert!(parked.answer().body.contains("news"));
        // What comes before this is the loader's and the standard library's.
        let mut calls = traced.calls();
        calls.drain(..calls.iter().position(|call| call.text.starts_with("signalfd4(")).unwrap());
        let asked = calls.iter().position(|call| call.text.contains("POST /kernel/multiplexer")).unwrap();
        let is_wait = |text: &str| MECHANISMS.iter().any(|&mechanism| text.starts_with(call_of(mechanism)));
        let waits = |of: &'static str, part: &[support::traced::Call]| {
            let waits = part.iter().map(|call| call.text.as_str()).filter(|text| is_wait(text));
            let waits: Vec<&str> = waits.collect();
            assert!(!waits.is_empty() && waits.iter().all(|wait| wait.starts_with(call_of(of))), "{waits:?}");
        };
        let (before, after) = calls.split_at(asked);
        waits(from, before);
        waits(to, after);
        let instances = |call: &str| calls.iter().filter(|other| other.text.starts_with(call)).count();
        assert_eq!(instances("epoll_create1("), usize::from(from == "epoll" || to == "epoll"));
        if from == "epoll" {
            let created = before.iter().find(|call| call.text.starts_with("epoll_create1(")).unwrap();
            let fd = created.text.rsplit(' ').next().unwrap();
            let closed = format!("close({fd})");
            assert!(after.iter().any(|call| call.text.starts_with(&closed)), "{closed}: {after:#?}");
        }
    });
}

#[test]
fn to_the_same_mechanism_nobody_moves() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &[]);
        let mut asker = server.connect();
        let before = look(&mut asker);
        assert_eq!(swap(&mut asker, mechanism), 0);
        let after = look(&mut asker);
        assert_eq!(after["epoll_fd"], before["epoll_fd"]);
        assert_eq!(after["syscalls"]["epoll_create1"], before["syscalls"]["epoll_create1"]);
        assert_eq!(after["syscalls"]["epoll_ctl"].is_null(), mechanism != "epoll");
    }
}

#[test]
fn select_refuses_as_long_as_an_fd_past_fd_setsize_is_open() {
    // All but a few numbers below 1,024 are taken by files that nobody watches.
    let script = "ulimit -Sn $(ulimit -Hn); \
                  for i in $(seq 20 1019); do eval \"exec $i</dev/null\"; done; exec \"$0\" \"$@\"";
    for from in ["epoll", "poll"] {
        let mut bash = Command::new("bash");
        bash.args(["-c", script, env!("CARGO_BIN_EXE_doorbell")]);
        let server = Server::start_as(bash, &["--multiplexer", from]);
        let mut asker = server.connect();
        let mut crowd: Vec<Client> = (0..40)
            .map(|_| server.connect_and_send("GET /poll?channel=crowd HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        server.wait_for_subscribers(40);
        let before = look(&mut asker);
        let highest = before["fds"].as_array().unwrap().last().unwrap()["fd"].as_u64().unwrap();
        assert!(highest >= 1024, "{before}");
        let refused = try_swap(&mut asker, "select");
        assert_eq!(refused.status, 409, "{}", refused.body);
        assert_eq!(refused.field("Content-Type"), Some("application/problem+json"));
        for words in ["FD_SETSIZE", "1024", &highest.to_string()] {
            assert!(refused.body.contains(words), "{words}: {}", refused.body);
        }
        let after = look(&mut asker);
        assert_eq!(
            (&after["multiplexer"], &after["epoll_fd"]),
            (&before["multiplexer"], &before["epoll_fd"])
        );
        assert_eq!(after["syscalls"]["pselect6"], Value::Null);
        server.publish("crowd", "still here");
        for client in &mut crowd {
            assert!(client.answer().body.contains("still here"), "with {from}");
        }
        drop(crowd);
        // Once they are gone, it can be done.
        eventually("room below 1,024", || (try_swap(&mut asker, "select").status == 200).then_some(()));
        assert_eq!(look(&mut asker)["multiplexer"], "select");
    }
}

#[test]
fn select_bounds_who_may_come_and_another_mechanism_lifts_that() {
    // 1,024 less what is kept back for what is no connection.
    const ROOM: usize = 960;
    let server = Server::start(&[]);
    let mut asker = server.connect();
    let mut crowd: Vec<Client> = (0..ROOM - 1).map(|_| server.connect()).collect();
    assert_eq!(crowd.last_mut().unwrap().get("/healthz").status, 200);
    assert_eq!(swap(&mut asker, "select"), ROOM as u64 + 2);
    let refused = server.connect().answer();
    assert_eq!(refused.status, 503);
    assert!(server.line_with("503").contains("FD_SETSIZE"));
    assert_eq!(crowd[0].get("/healthz").status, 200, "who is in stays in");
    swap(&mut asker, "poll");
    let more: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for mut client in more {
        assert_eq!(client.get("/healthz").status, 200, "there is room again");
    }
}

#[test]
fn what_names_no_mechanism_is_refused_and_nothing_changes() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "\"poll\"",
        "poll",
        "{\"multiplexer\":\"poll\"",
        "{\"multiplexer\":\"poll\"} x",
        "{\"multiplexer\":1}",
        "{\"multiplexer\":null}",
        "{\"multiplexer\":\"\"}",
        "{\"multiplexer\":\"kqueue\"}",
        "{\"multiplexer\":\"POLL\"}",
        "{\"mechanism\":\"poll\"}",
        "\u{feff}{\"multiplexer\":\"poll\"}",
        &deep,
    ] {
        client.send(&request("localhost", "", body));
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{body}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(["epoll", "poll", "select"].iter().all(|name| detail.contains(name)), "{detail}");
    }
    client.send("POST /kernel/multiplexer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert_eq!(look(&mut client)["multiplexer"], "epoll");
    // What else is said beside it does not matter, nor how it comes.
    client.send(&request("localhost", "", "{ \"why\": [1], \"multiplexer\" : \"\\u0070oll\" }"));
    assert_eq!(client.answer().status, 200);
    let body = naming("epoll");
    client.send("POST /kernel/multiplexer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n");
    client.send(&format!("Content-Length: {}\r\n\r\n", body.len()));
    assert_eq!(client.answer().status, 100);
    client.send(&body);
    assert_eq!(client.answer().status, 200);
    assert_eq!(look(&mut client)["multiplexer"], "epoll");
}

#[test]
fn who_is_elsewhere_may_not() {
    let server = Server::start(&["--allow-origin", "https://friend.example"]);
    let mut client = server.connect();
    let port = server.address.port();
    let same_origin = format!("Origin: http://127.0.0.1:{port}\r\n");
    let local = format!("localhost:{port}");
    for (host, fields, status) in [
        ("localhost", "", 200),
        ("LocalHost:80", "", 200),
        ("127.0.0.1", "", 200),
        ("127.1.2.3:9", "", 200),
        ("[::1]", "", 200),
        ("[::1]:8080", "", 200),
        (&local, &same_origin, 200),
        ("localhost", "Origin: https://friend.example\r\n", 200),
        ("localhost", "Forwarding: x\r\n", 200),
        ("a", "", 403),
        ("doorbell.example", "", 403),
        ("localhost.evil.example", "", 403),
        ("127.0.0.1.evil.example", "", 403),
        ("10.0.0.1", "", 403),
        ("0.0.0.0", "", 403),
        ("[::2]", "", 403),
        ("localhost", "Forwarded: for=192.0.2.1\r\n", 403),
        ("localhost", "Forwarded:\r\n", 403),
        ("localhost", "X-Forwarded-For: 127.0.0.1\r\n", 403),
        ("localhost", "x-forwarded-host: localhost\r\n", 403),
        ("localhost", "X-Forwarded-Anything: 1\r\n", 403),
        ("localhost", "X-Forwarded-Proto: http\r\n", 403),
        ("localhost", "Via: 1.1 nginx\r\n", 403),
        ("localhost", "Origin: http://evil.example\r\n", 403),
        ("localhost", "Origin: null\r\n", 403),
    ] {
        client.send(&request(host, fields, &naming("epoll")));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{host} {fields}");
        if status == 403 {
            assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
        }
    }
    // An absolute target goes before Host (RFC 9112 §3.2.2), both ways.
    let body = naming("epoll");
    for (target, host, status) in [("localhost", "evil.example", 200), ("evil.example", "localhost", 403)] {
        client.send(&format!(
            "POST http://{target}/kernel/multiplexer HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(client.answer().status, status, "{target}");
    }
    // HTTP/1.0 without a Host names nothing.
    client
        .send(&format!("POST /kernel/multiplexer HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.answer().status, 403);
}

#[test]
fn a_peer_that_is_not_this_machine_may_not() {
    let report = |from: Option<&str>| {
        let mut hub = Hub::new(Settings::default(), 7);
        let mut out = Outgoing::default();
        let now = Now { tick: Tick(1000), wall: 1_768_252_695_123 };
        let from: Option<IpAddr> = from.map(|from| from.parse().unwrap());
        let mut turn = Turn::new(&mut hub, now, &mut out, 0, from);
        let mut bytes = request("localhost", "", &naming("poll")).into_bytes();
        let after = Conversation::new(Tick(1000)).on_bytes(&mut bytes, &mut turn);
        (after, String::from_utf8(out.own).unwrap())
    };
    for from in [None, Some("127.0.0.1"), Some("127.200.3.4"), Some("::1")] {
        let (after, said) = report(from);
        let After::Report(question) = after else { panic!("{from:?}: {after:?} {said}") };
        assert_eq!((question.report, said.as_str()), (Report::Multiplexer("poll".into()), ""), "{from:?}");
    }
    for from in ["192.0.2.1", "10.0.0.1", "0.0.0.0", "2001:db8::1", "fe80::1", "::"] {
        let (after, said) = report(Some(from));
        assert!(matches!(after, After::Wait), "{from}: {after:?}");
        assert!(said.starts_with("HTTP/1.1 403 "), "{from}: {said}");
    }
}

#[test]
fn a_unix_socket_and_the_other_loopback_address_are_this_machine() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("swaps-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let server = Server::start(&["--listen", &listen, "--listen", "[::1]:0"]);
    let mut local = UnixStream::connect(&path).unwrap();
    local.set_read_timeout(Some(support::PATIENCE)).unwrap();
    local.write_all(request("localhost", "Connection: close\r\n", &naming("poll")).as_bytes()).unwrap();
    let mut answer = String::new();
    local.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"moved\":5"), "{answer}");
    let mut asker = server.connect();
    let mut unheard = UnixStream::connect(&path).unwrap();
    unheard.write_all(b"GET /poll HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    server.wait_for_subscribers(1);
    let page = look(&mut asker);
    let listeners = page["fds"].as_array().unwrap().iter().filter(|line| line["kind"] == "listener");
    assert_eq!(listeners.count(), 3, "{page}");
    assert!(page["fds"].as_array().unwrap().iter().any(|line| line["peer"] == "unix"), "{page}");
    // The kernel knows which port was given out (proc_pid_net(5)): the listening one, state 0A, of this server.
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp6", server.pid())).unwrap();
    let inodes: BTreeSet<String> = page["fds"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["kind"] == "listener")
        .map(|line| std::fs::read_link(format!("/proc/{}/fd/{}", server.pid(), line["fd"])).unwrap())
        .map(|target| target.to_string_lossy().trim_matches(|c: char| !c.is_ascii_digit()).to_owned())
        .collect();
    let line = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = line.into_iter().find(|words| words[3] == "0A" && inodes.contains(words[9])).unwrap();
    let port = u16::from_str_radix(line[1].rsplit(':').next().unwrap(), 16).unwrap();
    let mut other = Client::new(std::net::TcpStream::connect(("::1", port)).unwrap());
    other.send(&request(&format!("[::1]:{port}"), "", &naming("select")));
    assert_eq!(other.answer().status, 200);
    let page = look(&mut other);
    let peer = other.stream.local_addr().unwrap().to_string();
    assert!(page["fds"].as_array().unwrap().iter().any(|line| line["peer"] == peer.as_str()), "{page}");
}

#[test]
fn a_look_that_a_swap_comes_between_is_taken_again() {
    // So many that a look takes several turns, and select has room for them all.
    const CROWD: usize = 800;
    // They say nothing, and a slow machine must not let them go for that.
    let server = Server::start(&["--head-timeout", "10m"]);
    let _crowd: Vec<Client> = (0..CROWD).map(|_| server.connect()).collect();
    let (mut swapper, is_over) = (server.connect(), AtomicBool::new(false));
    let clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    let looks = std::thread::scope(|scope| {
        let is_over = &is_over;
        let look_on = |mut client: Client| {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                seen.push(look(&mut client));
            }
            seen
        };
        let askers: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || look_on(client))).collect();
        for to in MECHANISMS.iter().cycle().skip(1).take(300) {
            swap(&mut swapper, to);
        }
        is_over.store(true, Ordering::Relaxed);
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect::<Vec<Value>>()
    });
    assert!(looks.len() >= 3);
    for page in &looks {
        let begins = match page["multiplexer"].as_str().unwrap() {
            "epoll" => "EPOLL",
            "poll" => "POLL",
            _ => "fds",
        };
        let lines = page["fds"].as_array().unwrap();
        assert!(lines.len() > CROWD, "everybody is there: {}", lines.len());
        for name in lines.iter().filter_map(|line| line["interest"].as_array()).flatten() {
            let name = name.as_str().unwrap();
            assert!(name.starts_with(begins) || name.ends_with(begins), "{name} in a page of {begins}");
        }
    }
    // The three hundredth swap leads back to where it began.
    assert_eq!(look(&mut swapper)["multiplexer"], "epoll");
    assert_eq!(epoll_instances(server.pid()), 1);
}

#[test]
fn a_look_that_waits_for_its_second_is_taken_at_once_where_nobody_has_to_wait() {
    let server = Server::start(&[]);
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!(look(&mut first)["multiplexer"], "epoll");
    first.ask("/kernel");
    // Two answers later it is heard, and a timer is armed for it.
    (0..2).for_each(|_| drop(second.get("/healthz")));
    swap(&mut second, "poll");
    // The loop does not sleep before it is taken; and a second is more than so many questions take.
    for _ in 0..50 {
        assert_eq!(second.get("/healthz").status, 200);
    }
    first.stream.set_nonblocking(true).unwrap();
    assert!(first.stream.peek(&mut [0]).is_ok(), "the look is taken already");
    first.stream.set_nonblocking(false).unwrap();
    assert!(first.answer().body.contains("\"multiplexer\":\"poll\""));
    // And the other way round.
    swap(&mut second, "epoll");
    assert_eq!(look(&mut first)["multiplexer"], "epoll");
}

#[test]
fn a_swap_is_told_where_calls_are_told() {
    let server = Server::start(&["--narrate=en"]);
    let mut asker = server.connect();
    for (to, words) in [
        ("poll", "from epoll to poll: 3 fds move while all stays open"),
        ("select", "from poll to select: 3 fds move while all stays open"),
    ] {
        assert_eq!(swap(&mut asker, to), 3);
        server.line_with(words);
    }
    assert_eq!(swap(&mut asker, "epoll"), 3);
    // It stands beside the call that it explains.
    let line = server.line_with("from select to epoll: 3 fds move while all stays open");
    assert!(line.starts_with("epoll_create1(EPOLL_CLOEXEC) = "), "{line}");
    (0..3).for_each(|_| drop(server.line_with("EPOLL_CTL_ADD")));
    asker.get("/healthz");
    server.line_with("epoll_wait(");
}

#[test]
fn where_fds_have_run_out_the_listeners_rest_on_and_are_heard_again() {
    for_each_pair(|from, to| {
        let mut bash = Command::new("bash");
        bash.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_doorbell")]);
        let server = Server::start_as(bash, &["--multiplexer", from, "--max-connections", "36"]);
        let mut asker = server.connect();
        assert_eq!(asker.get("/healthz").status, 200);
        // From outside, by prlimit(1): no number is left, but that of the fd that is held back.
        let limit_fds = |limit: u32| {
            let (pid, limit) = (server.pid().to_string(), format!("--nofile={limit}:"));
            let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
            assert!(status.success(), "prlimit {limit}");
        };
        let is_free = |fd: &u32| std::fs::read_link(format!("/proc/{}/fd/{fd}", server.pid())).is_err();
        limit_fds((0..).find(is_free).unwrap());
        let refused = server.connect().answer();
        assert_eq!(refused.status, 503, "{from}");
        let swapped = try_swap(&mut asker, to);
        match to {
            "epoll" => {
                assert_eq!(swapped.status, 409, "an epoll instance needs an fd: {}", swapped.body);
                assert!(swapped.body.contains("nothing has changed"), "{}", swapped.body);
            }
            _ => assert_eq!(swapped.status, 200, "{from} to {to}: {}", swapped.body),
        }
        limit_fds(100);
        eventually("somebody to be let in", || {
            // Who comes while it rests waits, or is refused.
            (server.connect().get("/healthz").status == 200).then_some(())
        });
        let page = look(&mut asker);
        assert_eq!(page["multiplexer"], if to == "epoll" { from } else { to });
    });
}

#[test]
fn a_swap_in_the_middle_of_a_drain_lets_everybody_go_all_the_same() {
    for_each_pair(|from, to| {
        let mut server = Server::start_over(from, &["--drain-timeout", "10s"]);
        let mut asker = server.connect_and_send("POST /kernel/multiplexer HTTP/1.1\r\nHost: local");
        let mut parked = server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut late = server.connect_and_send("GET /kernel?limit=10000 HTTP/1.1\r\nHo");
        server.wait_for_subscribers(1);
        server.signal("TERM");
        assert!(parked.answer().body.contains("draining"));
        asker.send(&format!("host\r\nContent-Length: {}\r\n\r\n{}", naming(to).len(), naming(to)));
        assert_eq!(asker.answer().status, 200, "{from} to {to}");
        late.send("st: a\r\n\r\n");
        let page: Value = serde_json::from_str(&late.answer().body).unwrap();
        assert_eq!((&page["multiplexer"], &page["disagreements"]), (&Value::from(to), &Value::from(0)));
        let lines = page["fds"].as_array().unwrap();
        assert!(lines.iter().all(|line| line["kind"] != "listener"), "{page}");
        drop((asker, parked, late));
        assert!(server.wait_for_exit().success(), "{from} to {to}");
    });
}
