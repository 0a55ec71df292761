//! System calls that fail, a server that is stopped, and a debugger that comes and goes: the right
//! connection ends, or none, and the loop goes on.
//!
//! strace makes the failures: it is attached to a server that sleeps, and lets the next calls of one name
//! return an error without making them (`-e inject`, strace(1)).

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Client, MECHANISMS, Server, eventually, for_each_mechanism};

/// No timer ends while a test runs.
const PATIENT: [&str; 6] = ["--ping-interval", "10m", "--idle-timeout", "10m", "--hold", "2m"];

fn start(mechanism: &str) -> Server {
    Server::start(&[&["--multiplexer", mechanism][..], &PATIENT].concat())
}

/// The call by which the loop waits, as strace names it.
fn wait_of(mechanism: &str) -> &'static str {
    match mechanism {
        "epoll" => "epoll_wait",
        "poll" => "poll",
        _ => "pselect6",
    }
}

/// strace, attached to a server until it is dropped.
struct Tracer {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tracer {
    fn attach(server: &Server, options: &[&str]) -> Tracer {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &server.pid().to_string()]).args(options);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("strace is there; ./scripts/test installs it");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, sink) = (BufReader::new(child.stderr.take().unwrap()), lines.clone());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| sink.lock().unwrap().push(line));
        });
        let mut tracer = Tracer { child, lines };
        eventually("strace to attach; it must be allowed to (ptrace(2), ptrace_scope)", || {
            let gone = tracer.child.try_wait().unwrap();
            assert!(gone.is_none(), "strace cannot attach: {:?}", tracer.lines.lock().unwrap());
            (tracer.count(" attached") == 1).then_some(())
        });
        tracer
    }

    /// Attaches, and has calls of this name fail: each, or when `when` says (strace(1)).
    fn inject(server: &Server, call: &str, errno: &str, when: &str) -> Tracer {
        let when = if when.is_empty() { String::new() } else { format!(":when={when}") };
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:error={errno}{when}");
        Tracer::attach(server, &["-e", &trace, "-e", &inject])
    }

    /// How many lines with these words it has written.
    fn count(&self, words: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }

    /// Whether a failure was made.
    fn wait_for_failure(&self) {
        eventually("a call to fail", || (self.count("(INJECTED)") > 0).then_some(()));
    }

    fn detach(mut self) {
        let status = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
        eventually("strace to go", || self.child.try_wait().unwrap());
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Those who have nothing to do with it: a parked poll, an event stream, a WebSocket, and a publisher
/// whose connection is open already.
struct Bystanders {
    poll: Client,
    sse: Client,
    websocket: Client,
    publisher: Client,
    published: usize,
    /// How many fds the server has while they are there and nobody else.
    fds: usize,
}

const POLL: &str = "GET /poll?channel=quiet HTTP/1.1\r\nHost: a\r\n\r\n";

impl Bystanders {
    fn gather(server: &Server) -> Bystanders {
        let fds = server.fds() + 4;
        let [mut poll, mut sse, mut websocket, publisher] = [(); 4].map(|()| server.connect());
        poll.send(POLL);
        sse.ask("/connect?channel=quiet");
        sse.read_until("\n\n\r\n");
        websocket.upgrade("/ws?channel=quiet");
        websocket.message();
        server.wait_for_subscribers(3);
        Bystanders { poll, sse, websocket, publisher, published: 0, fds }
    }

    /// All of them are served, and have been spared whatever happened.
    fn expect_service(&mut self) {
        self.published += 1;
        let text = format!("news {}.", self.published);
        self.publisher.publish("quiet", &text);
        let answer = self.poll.answer();
        assert!(answer.body.contains(&text), "{}", answer.body);
        assert!(self.sse.read_until(".\n\n\r\n").ends_with(&format!("data: {text}\n\n\r\n")));
        assert!(self.websocket.message().contains(&text));
        self.poll.send(POLL);
    }

    /// Asking after them comes behind parking again.
    fn wait_for_places(&self, server: &Server) {
        server.wait_for_subscribers(3);
    }
}

/// Whether it hears these words before its connection ends.
fn hears(client: &mut Client, words: &str) -> bool {
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&client.kept).contains(words) {
        match client.stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => client.kept.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("neither news nor an end: {error}"),
        }
    }
    true
}

fn visitor(server: &Server) -> Client {
    let mut client = server.connect();
    client.ask("/healthz");
    client
}

#[test]
fn who_comes_when_accept4_finds_no_fd_or_no_memory_is_told_503() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        for errno in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
            let tracer = Tracer::inject(&server, "accept4", errno, "1");
            let mut client = visitor(&server);
            let answer = client.answer();
            assert_eq!(answer.status, 503, "{errno} with {mechanism}");
            assert!(answer.field("Retry-After").is_some());
            tracer.wait_for_failure();
            others.expect_service();
            tracer.detach();
            eventually("the listener to be watched again", || {
                (visitor(&server).answer().status == 200).then_some(())
            });
        }
        others.wait_for_places(&server);
        server.wait_for_fds(others.fds);
    }
}

#[test]
fn while_accept4_always_fails_the_loop_sleeps_and_serves_who_is_in() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        let tracer = Tracer::inject(&server, "accept4", "EMFILE", "");
        let mut client = visitor(&server);
        tracer.wait_for_failure();
        let before = tracer.count("accept4(");
        std::thread::sleep(Duration::from_secs(1));
        let calls = tracer.count("accept4(") - before;
        assert!(calls < 200, "{calls} calls in a second, with {mechanism}");
        others.expect_service();
        tracer.detach();
        // It has waited in the backlog. If strace goes in the middle of a refusal, it is refused.
        let status = client.answer().status;
        assert!([200, 503].contains(&status), "{status} with {mechanism}");
        eventually("the listener to be watched again", || {
            (visitor(&server).answer().status == 200).then_some(())
        });
        drop(client);
        server.wait_for_fds(others.fds);
    }
}

#[test]
fn an_accept4_that_fails_for_another_reason_costs_nobody_anything() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        for (errno, when) in
            [("ECONNABORTED", "1"), ("ECONNABORTED", "1..20"), ("EPROTO", "1"), ("EINTR", "1")]
        {
            let tracer = Tracer::inject(&server, "accept4", errno, when);
            assert_eq!(visitor(&server).answer().status, 200, "{errno} with {mechanism}");
            tracer.wait_for_failure();
            others.expect_service();
            tracer.detach();
        }
        server.wait_for_fds(others.fds);
    }
}

/// Somebody to whom something happens: it says something, and would be answered.
type Victim = (&'static str, fn(&Server) -> Client, fn(&mut Client), fn(&mut Client));

const VICTIMS: [Victim; 2] = [
    (
        "between two requests",
        |server| {
            let mut client = server.connect();
            assert_eq!(client.get("/healthz").status, 200);
            client
        },
        |client| client.ask("/healthz"),
        |client| assert_eq!(client.answer().status, 200),
    ),
    (
        "on an echo",
        |server| {
            let mut client = server.connect();
            client.upgrade("/echo");
            client
        },
        |client| client.send_frame(1, b"hello"),
        |client| assert_eq!(client.message(), "hello"),
    ),
];

#[test]
fn a_read_or_a_write_that_fails_ends_that_connection_and_no_other() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        for (state, enter, speak, _) in VICTIMS {
            for (call, errno) in [
                ("read", "ECONNRESET"),
                ("read", "ETIMEDOUT"),
                ("read", "EPIPE"),
                ("write", "ECONNRESET"),
                ("write", "ETIMEDOUT"),
                ("write", "EPIPE"),
            ] {
                let mut client = enter(&server);
                let tracer = Tracer::inject(&server, call, errno, "1");
                speak(&mut client);
                let ended = !hears(&mut client, "\n");
                assert!(ended, "{call} {errno} {state} with {mechanism}");
                tracer.wait_for_failure();
                others.expect_service();
                tracer.detach();
                server.wait_for_fds(others.fds);
            }
        }
        others.wait_for_places(&server);
    }
}

#[test]
fn a_read_or_a_write_that_is_interrupted_or_finds_no_room_is_made_again() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        for (_, enter, speak, hear) in VICTIMS {
            for (call, errno) in
                [("read", "EINTR"), ("read", "EAGAIN"), ("write", "EINTR"), ("write", "EAGAIN")]
            {
                let mut client = enter(&server);
                let tracer = Tracer::inject(&server, call, errno, "1..3");
                speak(&mut client);
                hear(&mut client);
                tracer.wait_for_failure();
                others.expect_service();
                tracer.detach();
            }
        }
    }
}

/// What subscribers say to be told, and how their greeting ends.
const SUBSCRIBERS: [(&str, &str); 4] =
    [("/poll", ""), ("/stream", "}\n\r\n"), ("/connect", "\n\n\r\n"), ("/ws", "")];

fn subscribe(server: &Server, (target, greeting): (&str, &str)) -> Client {
    let mut client = server.connect();
    if target == "/ws" {
        client.upgrade(target);
        client.message();
        return client;
    }
    client.ask(target);
    if !greeting.is_empty() {
        client.read_until("\r\n\r\n");
        client.read_until(greeting);
    }
    client
}

#[test]
fn a_write_that_fails_in_the_middle_of_a_crowd_leaves_the_others_their_news() {
    for mechanism in MECHANISMS {
        for subscriber in SUBSCRIBERS {
            for errno in ["EPIPE", "ECONNRESET", "ETIMEDOUT", "EINTR"] {
                let server = start(mechanism);
                let mut publisher = server.connect();
                assert_eq!(publisher.get("/healthz").status, 200);
                let fds = server.fds();
                let mut crowd: Vec<Client> = (0..6).map(|_| subscribe(&server, subscriber)).collect();
                server.wait_for_subscribers(6);
                // The first write is the publisher's answer, the third that to the second subscriber.
                let tracer = Tracer::inject(&server, "write", errno, "3");
                publisher.publish("lobby", "ding dong");
                let heard = crowd.iter_mut().map(|client| hears(client, "ding dong"));
                let heard = heard.filter(|heard| *heard).count();
                let expected = if errno == "EINTR" { 6 } else { 5 };
                assert_eq!(heard, expected, "{errno} on {} with {mechanism}", subscriber.0);
                tracer.wait_for_failure();
                tracer.detach();
                drop(crowd);
                server.wait_for_fds(fds);
                server.wait_for_subscribers(0);
            }
        }
    }
}

#[test]
fn a_wait_that_is_interrupted_again_and_again_is_no_harm() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        for when in ["1..50", "1..40+2"] {
            let tracer = Tracer::inject(&server, wait_of(mechanism), "EINTR", when);
            let mut client = server.connect();
            for _ in 0..20 {
                assert_eq!(client.get("/healthz").status, 200);
            }
            others.expect_service();
            tracer.wait_for_failure();
            tracer.detach();
        }
        others.wait_for_places(&server);
        server.wait_for_fds(others.fds);
    }
}

#[test]
fn who_cannot_be_watched_is_told_503() {
    let server = start("epoll");
    let mut others = Bystanders::gather(&server);
    for errno in ["ENOSPC", "ENOMEM"] {
        let tracer = Tracer::inject(&server, "epoll_ctl", errno, "1");
        let answer = visitor(&server).answer();
        assert_eq!((answer.status, answer.field("Connection")), (503, Some("close")), "{errno}");
        assert_eq!(visitor(&server).answer().status, 200, "the next one can");
        others.expect_service();
        tracer.detach();
    }
    others.wait_for_places(&server);
    server.wait_for_fds(others.fds);
}

/// Waits until the server is in one of these states (proc_pid_stat(5)): S asleep, T or t stopped.
fn wait_for_state(server: &Server, states: &str) {
    eventually("the server to sleep or to stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        let state = stat.rsplit_once(") ").unwrap().1.chars().next().unwrap();
        states.contains(state).then_some(())
    });
}

#[test]
fn nobody_is_dropped_when_the_server_is_stopped_or_strace_comes_and_goes() {
    for mechanism in MECHANISMS {
        let server = start(mechanism);
        let mut others = Bystanders::gather(&server);
        for _ in 0..3 {
            others.wait_for_places(&server);
            server.signal("STOP");
            wait_for_state(&server, "T");
            server.signal("CONT");
            others.expect_service();
            others.wait_for_places(&server);
            let tracer = Tracer::attach(&server, &[]);
            others.expect_service();
            tracer.detach();
            others.expect_service();
        }
        server.wait_for_fds(others.fds);
    }
}

/// A time limit, longer than it takes to bring so many about.
const LIMIT: Duration = Duration::from_secs(4);

/// A server and so many connections, of which each has begun something while it ran, and gone on while it
/// was stopped, until the time for it was over; that began after `so_far`. `None` if the machine was too slow.
fn speak_while_stopped(
    flags: &[&str],
    (count, so_far): (usize, Duration),
    begin: fn(&mut Client),
    go_on: fn(&mut Client),
) -> Option<(Server, Vec<Client>)> {
    let server = Server::start(flags);
    let fds = server.fds();
    let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
    let began = Instant::now();
    clients.iter_mut().for_each(begin);
    server.wait_for_fds(fds + count);
    // In the middle of a wait, which is then interrupted.
    wait_for_state(&server, "S");
    server.signal("STOP");
    wait_for_state(&server, "T");
    let in_time = began.elapsed() < so_far + LIMIT - Duration::from_secs(1);
    clients.iter_mut().for_each(go_on);
    std::thread::sleep(LIMIT);
    server.signal("CONT");
    in_time.then_some((server, clients))
}

#[test]
fn requests_that_came_while_the_server_was_stopped_are_answered_though_their_time_is_over() {
    for_each_mechanism(|mechanism| {
        raise_own_fd_limit();
        // One, and more than one wait returns; but select knows no more than 1,024 fds.
        for count in [1, if mechanism == "select" { 400 } else { 1_500 }] {
            let (_server, mut clients) = eventually("a server that stops in time", || {
                let flags = ["--multiplexer", mechanism, "--head-timeout", "4s"];
                let begin = |client: &mut Client| client.send("GET /healthz HTTP/1.1\r\n");
                speak_while_stopped(&flags, (count, Duration::ZERO), begin, |client| {
                    client.send("Host: a\r\n\r\n")
                })
            });
            let late = clients.iter_mut().map(|client| hears(client, "HTTP/1.1 200 "));
            let late = late.filter(|in_time| !in_time).count();
            assert_eq!(late, 0, "of {count} were too late, with {mechanism}");
        }
    });
}

#[test]
fn a_pong_that_came_while_the_server_was_stopped_counts_though_its_time_is_over() {
    for_each_mechanism(|mechanism| {
        let (server, mut clients) = eventually("a server that stops in time", || {
            let flags = ["--multiplexer", mechanism, "--ping-interval", "4s"];
            let begin = |client: &mut Client| {
                client.upgrade("/ws");
                client.message();
                assert_eq!(client.frame(), (0x89, vec![]), "a ping");
            };
            speak_while_stopped(&flags, (1, LIMIT), begin, |client| client.send_frame(10, b""))
        });
        server.publish("lobby", "are you there?");
        assert!(hears(&mut clients[0], "are you there?"), "it was let go, with {mechanism}");
    });
}

/// A crowd needs more fds than most are given at first.
fn raise_own_fd_limit() {
    let pid = std::process::id().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, "--nofile=8192:"]).status().unwrap();
    assert!(status.success(), "8,192 open files are allowed (ulimit -Hn)");
}
