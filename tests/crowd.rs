//! `POST /kernel/crowd`: a swarm beside the server, brought in, sent away, and never left behind.

mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use support::{Answer, Client, Server, eventually};

fn request(method: &str, host: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} /kernel/crowd HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

fn try_to_bring(client: &mut Client, technique: &str, clients: u64) -> Answer {
    let body = json!({"technique": technique, "clients": clients}).to_string();
    client.send(&request("POST", "localhost", "", &body));
    client.answer()
}

fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn look(client: &mut Client) -> Value {
    let answer = client.get("/kernel?limit=10000");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let page = parse(&answer.body);
    assert_eq!(page["disagreements"], 0, "{page}");
    page
}

fn room(client: &mut Client) -> u64 {
    look(client)["crowd_room"].as_u64().unwrap()
}

fn of_technique(page: &Value, technique: &str) -> usize {
    page["fds"].as_array().unwrap().iter().filter(|line| line["technique"] == technique).count()
}

/// The line of the pidfd.
fn pidfd(page: &Value) -> Option<&Value> {
    page["fds"].as_array().unwrap().iter().find(|line| line["kind"] == "crowd")
}

/// A field of `/proc/PID/status`; `None` if there is no such process.
fn status(pid: u64, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

fn is_there(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A server, and who asks it.
struct Lab {
    server: Server,
    client: Client,
    /// The fds before a crowd came.
    base: usize,
}

impl Lab {
    fn over(mechanism: &str) -> Lab {
        Lab::with(Server::start_over(mechanism, &[]))
    }

    fn with(server: Server) -> Lab {
        let mut client = server.connect();
        let base = look(&mut client)["open_fds"].as_u64().unwrap() as usize;
        Lab { server, client, base }
    }

    /// Brings in a crowd, waits until it is there, and returns its process id.
    fn bring(&mut self, technique: &str, clients: usize) -> u64 {
        let answer = try_to_bring(&mut self.client, technique, clients as u64);
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.field("Content-Type"), Some("application/json"));
        let told = parse(&answer.body);
        let pid = told["pid"].as_u64().unwrap();
        assert_eq!(told, json!({"pid": pid, "technique": technique, "clients": clients}));
        eventually(&format!("{clients} of {technique}"), || {
            let page = look(&mut self.client);
            let is_whole = of_technique(&page, technique) == clients;
            (is_whole && page["open_fds"] == self.base + clients + 1).then_some(())
        });
        pid
    }

    fn dismiss(&mut self) -> Answer {
        self.client.send(&request("DELETE", "localhost", "", ""));
        self.client.answer()
    }

    /// Waits until nothing is left of the crowd: no fd, no process, and no zombie.
    fn wait_until_gone(&mut self, pid: u64) {
        eventually("the crowd to be gone", || {
            let page = look(&mut self.client);
            (page["crowd"].is_null() && page["open_fds"] == self.base && !is_there(pid)).then_some(())
        });
        let page = look(&mut self.client);
        assert!(pidfd(&page).is_none(), "{page}");
        assert_eq!(page["timing_wheel"]["armed"], 1, "only the asker's: {page}");
    }
}

fn kill(pid: u64, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_crowd_of_each_technique_comes_and_goes() {
    support::for_each_mechanism(|mechanism| {
        let mut lab = Lab::over(mechanism);
        for technique in ["short_poll", "long_poll", "stream", "sse", "websocket"] {
            let possible = room(&mut lab.client);
            let pid = lab.bring(technique, 20);
            let page = look(&mut lab.client);
            let crowd = &page["crowd"];
            let since = crowd["since_ms"].as_u64().unwrap();
            let now = page["timing_wheel"]["now_ms"].as_u64().unwrap();
            assert!(since <= now && now < since + 60_000, "{page}");
            let expected = json!({"pid": pid, "technique": technique, "clients": 20, "since_ms": since,
                                  "room": possible, "leaving": false});
            assert_eq!(crowd, &expected, "{mechanism}");
            // Its end is waited for like anything else.
            let line = pidfd(&page).expect("the pidfd is watched");
            assert!(line["agree"] == true && line["interest"].as_array().unwrap().len() == 1, "{line}");
            // There is one at a time.
            assert_eq!(page["crowd_room"], 0);
            let second = try_to_bring(&mut lab.client, technique, 1);
            assert_eq!(second.status, 409, "{}", second.body);
            assert!(parse(&second.body)["detail"].as_str().unwrap().contains(&pid.to_string()));
            // Everybody who waits hears of an event.
            if technique != "short_poll" {
                let told = parse(&lab.client.publish("lobby", "to all"));
                assert_eq!(told["delivered"][technique], 20, "{mechanism} {technique}: {told}");
            }
            let answer = lab.dismiss();
            assert_eq!((answer.status, parse(&answer.body)), (200, json!({"pid": pid})));
            lab.wait_until_gone(pid);
            assert_eq!(room(&mut lab.client), possible);
            assert_eq!(lab.dismiss().status, 404);
        }
    });
}

#[test]
fn no_more_are_brought_in_than_there_is_room_for() {
    for (flags, limit) in [
        (vec!["--max-connections", "30"], 29),
        (vec!["--max-connections-per-ip", "9"], 8),
        // One less for who asks; and 64 fds below 1,024 are for other things.
        (vec!["--multiplexer", "select"], 959),
    ] {
        let mut lab = Lab::with(Server::start(&flags));
        assert_eq!(room(&mut lab.client), limit, "{flags:?}");
        let answer = try_to_bring(&mut lab.client, "long_poll", limit + 1);
        assert_eq!(answer.status, 507, "{}", answer.body);
        assert!(
            parse(&answer.body)["detail"].as_str().unwrap().contains(&format!("room for {limit} clients"))
        );
        assert!(look(&mut lab.client)["crowd"].is_null());
        // And so many fit.
        let pid = lab.bring("long_poll", limit as usize);
        assert_eq!(lab.dismiss().status, 200);
        lab.wait_until_gone(pid);
    }
}

#[test]
fn where_nothing_listens_on_a_loopback_address_there_is_no_room() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crowd-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.args(["serve", "--listen", &listen]).stdout(std::process::Stdio::null());
    let mut server = command.spawn().unwrap();
    let mut asked = Command::new("curl");
    asked.args(["--silent", "--unix-socket"]).arg(&path).args(["--write-out", "%{http_code}", "-d"]);
    asked.args([r#"{"technique":"sse","clients":1}"#, "http://localhost/kernel/crowd"]);
    let said = eventually("the server to listen", || {
        let output = asked.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    server.kill().unwrap();
    server.wait().unwrap();
    let _ = std::fs::remove_file(&path);
    assert!(said.ends_with("507") && said.contains("--listen"), "{said}");
}

#[test]
fn what_no_crowd_can_be_is_refused() {
    let mut lab = Lab::over("epoll");
    for (body, word) in [
        ("", "JSON"),
        (r#"{"technique":"sse","clients":0}"#, "clients"),
        (r#"{"technique":"sse","clients":1000000}"#, "clients"),
        (r#"{"technique":"http","clients":1}"#, "technique"),
        (r#"{"technique":"sse","clients":1,"channel":"a b"}"#, "channel"),
    ] {
        lab.client.send(&request("POST", "localhost", "", body));
        let answer = lab.client.answer();
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert!(parse(&answer.body)["detail"].as_str().unwrap().contains(word), "{body}: {}", answer.body);
    }
    for (method, status, allow) in [
        ("OPTIONS", 204, Some("DELETE, OPTIONS, POST")),
        ("GET", 405, Some("DELETE, OPTIONS, POST")),
        ("PUT", 405, Some("DELETE, OPTIONS, POST")),
    ] {
        lab.client.send(&request(method, "localhost", "", ""));
        let answer = lab.client.answer();
        assert_eq!((answer.status, answer.field("Allow")), (status, allow), "{method}");
    }
    assert_eq!(look(&mut lab.client)["open_fds"], lab.base);
}

#[test]
fn it_is_for_this_machine_only() {
    let mut lab = Lab::over("epoll");
    let pid = lab.bring("long_poll", 3);
    for (host, fields) in [
        ("a", ""),
        ("example.com", ""),
        ("localhost.example.com", ""),
        ("localhost", "Forwarded: for=192.0.2.1\r\n"),
        ("localhost", "X-Forwarded-For: 192.0.2.1\r\n"),
        ("localhost", "X-Forwarded-Proto: https\r\n"),
        ("localhost", "Via: 1.1 proxy\r\n"),
        ("localhost", "Origin: http://example.com\r\n"),
    ] {
        for (method, body) in [("POST", r#"{"technique":"sse","clients":1}"#), ("DELETE", "")] {
            lab.client.send(&request(method, host, fields, body));
            let answer = lab.client.answer();
            assert_eq!(answer.status, 403, "{method} {host} {fields}: {}", answer.body);
        }
    }
    assert_eq!(look(&mut lab.client)["crowd"]["pid"], pid, "it is still there");
    // Other names of this machine, and a page of our own.
    let own = format!("Origin: http://{}\r\n", lab.server.address);
    lab.client.send(&request("DELETE", &lab.server.address.to_string(), &own, ""));
    assert_eq!(lab.client.answer().status, 200);
    lab.wait_until_gone(pid);
}

#[test]
fn one_that_is_killed_leaves_nothing_and_another_may_come() {
    support::for_each_mechanism(|mechanism| {
        let mut lab = Lab::over(mechanism);
        let pid = lab.bring("websocket", 25);
        kill(pid, "KILL");
        lab.wait_until_gone(pid);
        let line = lab.server.line_with("the crowd of 25");
        assert!(line.contains(&format!("process {pid}, was killed by signal 9")), "{line}");
        let pid = lab.bring("long_poll", 5);
        assert_eq!(lab.dismiss().status, 200);
        lab.wait_until_gone(pid);
    });
}

#[test]
fn one_that_does_not_go_is_killed() {
    let mut lab = Lab::over("epoll");
    let pid = lab.bring("long_poll", 5);
    kill(pid, "STOP");
    assert_eq!(lab.dismiss().status, 200);
    let page = look(&mut lab.client);
    assert_eq!(page["crowd"]["leaving"], true);
    assert_eq!(try_to_bring(&mut lab.client, "sse", 1).status, 409, "the old one is still there");
    assert_eq!(lab.dismiss().status, 200, "it was asked already");
    lab.wait_until_gone(pid);
}

#[test]
fn it_ends_with_the_server() {
    let mut lab = Lab::over("epoll");
    let pid = lab.bring("long_poll", 10);
    lab.server.signal("KILL");
    // Whoever inherits it may let the zombie lie.
    eventually("the crowd to die", || {
        status(pid, "State").is_none_or(|state| state.starts_with('Z')).then_some(())
    });
}

#[test]
fn a_drain_sends_it_away_first() {
    support::for_each_mechanism(|mechanism| {
        for stopped in [false, true] {
            let server = Server::start(&["--multiplexer", mechanism, "--drain-timeout", "2s"]);
            let mut lab = Lab::with(server);
            let pid = lab.bring("long_poll", 60);
            if stopped {
                kill(pid, "STOP");
            }
            lab.server.signal("TERM");
            assert!(lab.server.wait_for_exit().success(), "{mechanism}");
            assert!(!is_there(pid), "{mechanism}: it was waited for");
        }
    });
}

#[test]
fn no_signal_is_blocked_in_it() {
    const USR1: u64 = 1 << 9;
    let mut command = Command::new("env");
    command.args(["--block-signal=USR1", "DOORBELL_HOLD=7s", env!("CARGO_BIN_EXE_doorbell")]);
    let mut lab = Lab::with(Server::start_as(command, &[]));
    let blocked = |pid| u64::from_str_radix(&status(pid, "SigBlk").unwrap(), 16).unwrap();
    let server = lab.server.pid().into();
    assert_eq!(blocked(server) & USR1, USR1, "the server was born with it");
    let pid = lab.bring("long_poll", 2);
    assert_eq!(blocked(pid) & USR1, 0, "and the crowd was not");
    // Nor does it inherit what was meant for the server, or its output.
    let environment = String::from_utf8(std::fs::read(format!("/proc/{pid}/environ")).unwrap()).unwrap();
    assert!(!environment.contains("DOORBELL_") && environment.contains("PATH="), "{environment}");
    for fd in 0..3 {
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    // An idle member is one socket: nothing else of the server's is open there.
    let sockets = |pid| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let targets = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    };
    assert_eq!(sockets(pid), 2);
    assert_eq!(lab.dismiss().status, 200);
    lab.wait_until_gone(pid);
}

#[test]
fn it_moves_to_another_mechanism_like_everybody() {
    let mut lab = Lab::over("epoll");
    let pid = lab.bring("sse", 30);
    for mechanism in ["poll", "select", "epoll", "select"] {
        let body = json!({"multiplexer": mechanism}).to_string();
        lab.client.send(&format!(
            "POST /kernel/multiplexer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer = lab.client.answer();
        assert_eq!(answer.status, 200, "{}", answer.body);
        // The signals, the listener, the pidfd, who asks, and the crowd.
        assert_eq!(parse(&answer.body)["moved"], 34, "{mechanism}");
        let page = look(&mut lab.client);
        assert!(pidfd(&page).unwrap()["agree"] == true, "{mechanism}: {page}");
        assert_eq!(parse(&lab.client.publish("lobby", mechanism))["delivered"]["sse"], 30);
    }
    // Under select now: its end is noticed there.
    let instance = lab.base - 1;
    kill(pid, "TERM");
    eventually("the crowd to be gone", || {
        let page = look(&mut lab.client);
        (page["crowd"].is_null() && page["open_fds"] == instance).then_some(())
    });
    assert!(!is_there(pid));
}
