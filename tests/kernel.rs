//! `GET /kernel` against what the kernel says to others: ls, lsof and cat.

mod support;

use serde_json::Value;
use socket2::SockRef;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};
use support::crowd::{self, Crowd};
use support::traced::Traced;
use support::{Client, MECHANISMS, Server, eventually, for_each_mechanism};

fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Everything there is to see.
fn look(client: &mut Client) -> Value {
    let answer = client.get("/kernel?limit=10000");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    assert_eq!(answer.field("Cache-Control"), Some("no-cache"));
    parse(&answer.body)
}

fn lines(page: &Value) -> &Vec<Value> {
    page["fds"].as_array().unwrap()
}

fn fds(page: &Value) -> BTreeSet<i32> {
    let fds: BTreeSet<i32> = lines(page).iter().map(fd_of).collect();
    assert_eq!(fds.len(), lines(page).len(), "each fd is listed once: {page}");
    fds
}

fn fd_of(line: &Value) -> i32 {
    line["fd"].as_i64().unwrap() as i32
}

fn of_kind<'a>(page: &'a Value, kind: &str) -> Vec<&'a Value> {
    lines(page).iter().filter(|line| line["kind"] == kind).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The line of the connection whose other end this is.
fn line_of<'a>(page: &'a Value, client: &Client) -> &'a Value {
    let peer = client.stream.local_addr().unwrap().to_string();
    let line = lines(page).iter().find(|line| line["peer"] == peer.as_str());
    line.unwrap_or_else(|| panic!("{peer} is connected: {page}"))
}

/// What `ls /proc/PID/fd` says.
fn listed(pid: u32) -> BTreeSet<i32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn target(pid: u32, fd: i32) -> String {
    std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap().to_string_lossy().into_owned()
}

/// What lsof says. (`-F f`: one field a line, of which `f` is the fd.)
fn told_by_lsof(pid: u32) -> BTreeSet<i32> {
    let output = Command::new("lsof")
        .args(["-a", "-p", &pid.to_string(), "-d", "0-99999", "-F", "f"])
        .output()
        .expect("lsof is there; ./scripts/test installs it");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_prefix('f')).map(|fd| fd.parse().unwrap()).collect()
}

/// What `cat /proc/PID/fdinfo/EPFD` says: the events for each fd, less EPOLLERR and EPOLLHUP.
fn watched_by_kernel(pid: u32, epoll_fd: i64) -> BTreeMap<i32, u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{epoll_fd}")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("tfd:"));
    let watched = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[2]), ("tfd:", "events:"), "{line}");
        (words[1].parse().unwrap(), u32::from_str_radix(words[3], 16).unwrap() & !0x18)
    });
    watched.collect()
}

/// <sys/epoll.h>
fn epoll_bits(names: &[&str]) -> u32 {
    let bit = |name: &&str| match *name {
        "EPOLLIN" => 0x1,
        "EPOLLOUT" => 0x4,
        "EPOLLRDHUP" => 0x2000,
        other => panic!("{other} is not asked"),
    };
    names.iter().map(bit).sum()
}

#[test]
fn the_mirror_shows_what_ls_lsof_and_cat_show() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &crowd::FLAGS);
        let crowd = Crowd::enter(&server);
        let mut asker = server.connect();
        // Until everybody has come to its state, and nobody left in the middle of the look.
        let page = eventually("everybody to be where it belongs", || {
            let page = look(&mut asker);
            if page["open_fds"] != fds(&page).len() {
                return None;
            }
            let is_there = |guest: &crowd::Guest| {
                words(&line_of(&page, &guest.client)["interest"]) == guest.state.interest(mechanism)
            };
            crowd.guests.iter().all(is_there).then_some(page)
        });
        let pid = server.pid();
        assert_eq!(page["pid"], pid);
        assert_eq!(page["multiplexer"], mechanism);
        assert_eq!(page["disagreements"], 0);
        // The fds.
        assert_eq!(fds(&page), listed(pid), "{mechanism}");
        assert_eq!(fds(&page), told_by_lsof(pid), "{mechanism}");
        assert_eq!(page["open_fds"], fds(&page).len());
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let soft = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(page["fd_limit"].to_string(), soft.split_whitespace().nth(3).unwrap());
        // What each of them is.
        for (kind, count) in [
            ("listener", 1),
            ("signal", 1),
            ("spare", 1),
            ("epoll", usize::from(mechanism == "epoll")),
            ("connection", crowd.len() + 1),
        ] {
            assert_eq!(of_kind(&page, kind).len(), count, "{kind}: {page}");
        }
        // Input, output, errors, and what else the server was born with.
        let others: BTreeSet<i32> = of_kind(&page, "other").into_iter().map(fd_of).collect();
        assert!(others.is_superset(&BTreeSet::from([0, 1, 2])), "{page}");
        for other in of_kind(&page, "other") {
            assert_eq!(other["target"], target(pid, fd_of(other)).as_str());
        }
        for (kind, name) in [("signal", "anon_inode:[signalfd]"), ("epoll", "anon_inode:[eventpoll]")] {
            of_kind(&page, kind).iter().for_each(|line| assert_eq!(target(pid, fd_of(line)), name));
        }
        assert!(lines(&page).iter().all(|line| line["kind"] == "other" || line.get("target").is_none()));
        // What is watched.
        for line in lines(&page) {
            let is_watched = ["listener", "signal", "connection"].contains(&line["kind"].as_str().unwrap());
            for member in ["interest", "watched", "agree"] {
                assert_eq!(line.get(member).is_some(), is_watched, "{member}: {line}");
            }
            assert!(!is_watched || line["agree"] == true && line["interest"] == line["watched"], "{line}");
        }
        match mechanism {
            "epoll" => {
                let epoll_fd = page["epoll_fd"].as_i64().unwrap();
                assert_eq!(epoll_fd, i64::from(fd_of(of_kind(&page, "epoll")[0])));
                let mut watched = watched_by_kernel(pid, epoll_fd);
                // Of who asked nothing was read while the answer was owed; now it may ask again.
                let asking = line_of(&page, &asker);
                assert_eq!(asking["watched"], Value::Array(vec![]));
                assert_eq!(watched.insert(fd_of(asking), 0), Some(1), "EPOLLIN");
                let told = lines(&page).iter().filter(|line| line.get("watched").is_some());
                let told: BTreeMap<i32, u32> =
                    told.map(|line| (fd_of(line), epoll_bits(&words(&line["watched"])))).collect();
                assert_eq!(told, watched);
            }
            _ => assert_eq!(page["epoll_fd"], Value::Null),
        }
        // Who is who.
        let deadline = |line: &Value| line["deadline_ms"].as_u64().unwrap();
        for guest in &crowd.guests {
            let (line, state) = (line_of(&page, &guest.client), guest.state);
            assert_eq!(line["kind"], "connection");
            assert_eq!(line["technique"], state.technique(), "{state:?}");
            assert_eq!(line.get("channel").and_then(Value::as_str), state.channel(), "{state:?}");
            assert!((1..=state.longest()).contains(&deadline(line)), "{state:?}: {line}");
        }
        // Each connection has a timer; one that has moved on since may be armed too early.
        assert_eq!(page["timing_wheel"]["armed"], crowd.len() + 1);
        let first = of_kind(&page, "connection").into_iter().map(deadline).min().unwrap();
        assert!(page["timing_wheel"]["next_ms"].as_u64().unwrap() <= first, "{page}");
    });
}

#[test]
fn its_counts_are_those_of_metrics() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let mut client = server.connect();
        client.get("/news");
        // In one piece, so that nothing happens between the two.
        client.send("GET /kernel HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let page = parse(&client.answer().body);
        let text = client.answer().body;
        let metric = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is in {text}")).parse().unwrap()
        };
        let syscalls = page["syscalls"].as_object().unwrap();
        assert!(syscalls["read"].as_u64().unwrap() >= 2 && syscalls["accept4"].as_u64().unwrap() >= 1);
        for (call, count) in syscalls {
            let metric = metric(&format!("doorbell_syscalls_total{{call=\"{call}\"}}"));
            let count = count.as_u64().unwrap();
            // /metrics itself looks into /proc before it counts.
            let looks =
                ["openat", "read", "close", "newfstatat", "getdents64", "prlimit64"].contains(&call.as_str());
            let range = if looks { count..=count + 8 } else { count..=count };
            assert!(range.contains(&metric), "{mechanism}: {call} is {count} and then {metric}");
        }
        let counted = text.lines().filter(|line| line.starts_with("doorbell_syscalls_total{")).count();
        assert!(syscalls.len() <= counted && counted <= syscalls.len() + 1, "newfstatat may be new: {page}");
        assert_eq!(page["loop"]["wakeups"], metric("doorbell_wakeups_total"));
        assert_eq!(page["loop"]["ready"], metric("doorbell_ready_total"));
        assert_eq!(page["timing_wheel"]["armed"], metric("doorbell_timers"));
        assert_eq!(page["open_fds"], server.fds());
    });
}

#[test]
fn the_list_is_cut_and_the_counts_are_not() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &["--head-timeout", "10m"]);
        let crowd: Vec<Client> = (0..120).map(|_| server.connect()).collect();
        let mut asker = server.connect();
        server.wait_for_metric("doorbell_accepted_total", crowd.len() as f64 + 2.0);
        let open = eventually("who asked for figures to be gone", || {
            let open = server.fds();
            (open == asker_sees(&mut asker, "/kernel?limit=0", 0)).then_some(open)
        });
        for (target, listed) in [
            ("/kernel", 100),
            ("/kernel?limit=1", 1),
            ("/kernel?limit=100", 100),
            ("/kernel?limit=10000", open),
            ("/kernel?limit=18446744073709551615", open),
        ] {
            assert_eq!(asker_sees(&mut asker, target, listed), open, "{mechanism}: {target}");
        }
        for query in ["limit=x", "limit=-1", "limit=", "limit=1.5", "limit=18446744073709551616"] {
            let answer = asker.get(&format!("/kernel?{query}"));
            assert_eq!(answer.status, 400, "{query}");
            assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
            assert!(parse(&answer.body)["detail"].as_str().unwrap().contains("limit"), "{}", answer.body);
        }
    });
}

#[test]
fn whoever_asks_gets_as_many_as_it_asked_for() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let mut crowd: Vec<Client> = (0..60).map(|_| server.connect()).collect();
        for (number, client) in crowd.iter_mut().enumerate() {
            // Some of them want the same.
            client.ask(&format!("/kernel?limit={}", number / 2));
        }
        for (number, client) in crowd.iter_mut().enumerate() {
            asker_told(&client.answer().body, number / 2);
        }
    });
}

/// How many fds are open by this page, which lists so many.
fn asker_sees(asker: &mut Client, target: &str, listed: usize) -> usize {
    asker_told(&asker.get(target).body, listed)
}

fn asker_told(body: &str, listed: usize) -> usize {
    let page = parse(body);
    assert_eq!(lines(&page).len(), listed, "{page}");
    assert_eq!(page["disagreements"], 0);
    page["open_fds"].as_u64().unwrap() as usize
}

#[test]
fn other_methods_and_the_old_version_get_what_they_get_elsewhere() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let mut client = server.connect();
        for (request, status, field, value) in [
            ("HEAD /kernel", 200, "Content-Type", Some("application/json")),
            ("HEAD /kernel?limit=x", 400, "Content-Type", Some("application/problem+json")),
            ("OPTIONS /kernel", 204, "Allow", Some("GET, HEAD, OPTIONS")),
            ("OPTIONS /kernel/multiplexer", 204, "Allow", Some("OPTIONS, POST")),
            ("POST /kernel", 405, "Allow", Some("GET, HEAD, OPTIONS")),
            ("DELETE /kernel", 405, "Allow", Some("GET, HEAD, OPTIONS")),
            ("GET /kernel/multiplexer", 405, "Allow", Some("OPTIONS, POST")),
            ("HEAD /kernel/multiplexer", 405, "Allow", Some("OPTIONS, POST")),
            ("GET /kernel/", 404, "Allow", None),
            ("GET /kernel/epoll", 404, "Allow", None),
        ] {
            client.send(&format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.read_until("\r\n\r\n");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            let found = head.lines().find_map(|line| line.strip_prefix(&format!("{field}: ")));
            assert_eq!(found, value, "{request}: {head}");
            let has_body = status >= 400 && !request.starts_with("HEAD");
            if has_body {
                client.read_until("}\n");
            }
        }
        let mut old = server.connect_and_send("GET /kernel HTTP/1.0\r\n\r\n");
        let answer = old.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(parse(&answer.body)["multiplexer"], mechanism);
        assert_eq!(old.read_to_end(), "", "an old client hears the end");
    });
}

#[test]
fn what_comes_behind_a_question_is_answered_behind_it() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let mut client = server.connect();
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        client
            .send(&(get("/kernel?limit=1") + &get("/healthz") + &get("/kernel?limit=2") + &get("/nothing")));
        client.send(&(get("/kernel?limit=3") + &get("/kernel?limit=x") + &get("/poll?timeout=0")));
        for expected in [1, 0, 2, 404, 3, 400, 200] {
            let answer = client.answer();
            match expected {
                0 => assert_eq!(answer.body, "ok\n"),
                1..=3 => assert_eq!(lines(&parse(&answer.body)).len(), expected, "{mechanism}"),
                status => assert_eq!(usize::from(answer.status), status, "{mechanism}"),
            }
        }
        // More than is kept: the rest waits in the kernel.
        client.send(&(get("/kernel?limit=1") + &get("/kernel?limit=1") + &get("/healthz").repeat(2000)));
        (0..2).for_each(|_| assert_eq!(lines(&parse(&client.answer().body)).len(), 1));
        (0..2000).for_each(|_| assert_eq!(client.answer().body, "ok\n"));
    });
}

#[test]
fn who_has_sent_its_fin_is_answered_all_the_same() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        server.connect().get("/kernel");
        // With epoll this answer comes a second later.
        let mut client = server.connect_and_send("GET /kernel HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.answer().status, 200, "{mechanism}");
        assert_eq!(client.read_to_end(), "", "{mechanism}");
    });
}

#[test]
fn who_asks_and_hangs_up_leaves_nothing() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let mut asker = server.connect();
        let before = look(&mut asker);
        for number in 0..200 {
            let client = server.connect_and_send("GET /kernel?limit=10000 HTTP/1.1\r\nHost: a\r\n\r\n");
            if number % 2 == 0 {
                SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
        // As few fds are open before they are let in as after they have gone.
        eventually("everybody to be let in", || {
            asker.get("/metrics").body.contains("doorbell_accepted_total 201\n").then_some(())
        });
        server.wait_for_fds(before["open_fds"].as_u64().unwrap() as usize);
        let after = look(&mut asker);
        assert_eq!(fds(&after), fds(&before), "{mechanism}");
        assert_eq!(after["disagreements"], 0);
        assert_eq!(after["timing_wheel"]["armed"], 1, "the asker's own: {after}");
    });
}

#[test]
fn who_is_owed_an_answer_gets_it_though_the_server_is_going_away() {
    for_each_mechanism(|mechanism| {
        let mut server = Server::start_over(mechanism, &[]);
        let mut asker = server.connect();
        let mut late = server.connect_and_send("GET /kernel HTTP/1.1\r\nHo");
        look(&mut asker);
        asker.ask("/kernel?limit=10000");
        let mut parked = server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        server.wait_for_subscribers(1);
        server.signal("TERM");
        assert!(parked.answer().body.contains("draining"));
        late.send("st: a\r\n\r\n");
        for client in [&mut asker, &mut late] {
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{mechanism}");
            assert_eq!(parse(&answer.body)["disagreements"], 0, "{mechanism}: {}", answer.body);
        }
        // It asked when no listener was left.
        assert_eq!(late.read_to_end(), "");
        drop((asker, late, parked));
        assert!(server.wait_for_exit().success(), "{mechanism}");
    });
}

#[test]
fn the_kernel_is_asked_once_a_second_and_all_who_ask_share_what_it_said() {
    const ASKERS: usize = 20;
    let traced = Traced::start(&[]);
    let began = Instant::now();
    let mut bodies = BTreeSet::new();
    let mut answers = 0;
    for _ in 0..3 {
        let mut crowd: Vec<Client> = (0..ASKERS)
            .map(|_| traced.server.connect_and_send("GET /kernel HTTP/1.1\r\nHost: a\r\n\r\n"))
            .collect();
        for client in &mut crowd {
            bodies.insert(client.answer().body);
            answers += 1;
        }
    }
    let seconds = began.elapsed().as_secs() as usize;
    let asked = traced.calls_with("\"/proc/self/fdinfo/");
    assert!(
        asked.iter().all(|call| call.text.starts_with("openat(") && !call.text.contains(" = -1 ")),
        "{asked:?}"
    );
    assert!(asked.len() >= 3 && asked.len() <= seconds + 2, "{} times in {seconds} s", asked.len());
    assert!(asked.len() < answers / 4, "{answers} answers from {} readings", asked.len());
    for pair in asked.windows(2) {
        assert!(pair[1].moment - pair[0].moment > 0.9, "a second lies between two: {asked:?}");
    }
    assert_eq!(bodies.len(), asked.len(), "who shares a reading is told the same");
    // One readlink for each fd that is not the server's, in each look.
    let page = parse(bodies.iter().next().unwrap());
    let others: BTreeSet<String> =
        of_kind(&page, "other").iter().map(|line| format!("/proc/self/fd/{}", fd_of(line))).collect();
    assert!(others.len() >= 3, "{page}");
    let links = traced.calls_with("readlink(\"/proc/self/fd/");
    let linked: BTreeSet<String> =
        links.iter().map(|call| call.text.split('"').nth(1).unwrap().to_owned()).collect();
    assert_eq!(linked, others);
    assert_eq!(links.len(), others.len() * asked.len());
}

#[test]
fn poll_and_select_leave_nothing_to_be_asked() {
    for mechanism in &MECHANISMS[1..] {
        let traced = Traced::start(&["--multiplexer", mechanism]);
        let mut client = traced.server.connect();
        (0..5).for_each(|_| assert_eq!(look(&mut client)["disagreements"], 0));
        assert!(traced.calls_with("/proc/self/fdinfo").is_empty(), "{mechanism}");
        assert_eq!(traced.calls_with("\"/proc/self/fd\"").len(), 5, "{mechanism}: a listing for each look");
    }
}
