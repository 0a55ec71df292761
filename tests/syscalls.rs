//! How many system calls the server makes, as strace sees them: exactly as many as there is reason for.
//!
//! A *window* is what was traced from one quiet moment to the next. The server is quiet when it sleeps:
//! then the trace ends in the middle of a line, with a wait that has not returned. So no test has to
//! guess how long something takes. A window begins with the return of that wait.

mod support;

use std::ops::Deref;
use std::time::{Duration, Instant};
use support::traced::Traced;
use support::{Client, MECHANISMS, eventually};

/// How many subscribers a crowd has here.
const CROWD: usize = 20;

/// No timer ends while a test runs, so each call has a client for a reason.
const PATIENT: &[&str] = &["--ping-interval", "10m", "--idle-timeout", "10m", "--hold", "2m"];

/// One system call that has returned.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    arguments: String,
    result: String,
}

impl Call {
    /// From a line such as `4711  read(7, "GET / HTTP"..., 16384) = 83`; `None` for what is no call.
    fn parse(line: &str) -> Option<Call> {
        let line = without_pid(line);
        // A signal, or the end.
        if line.starts_with("---") || line.starts_with("+++") {
            return None;
        }
        let (name, rest) = line.split_once('(')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // Only where there are several threads does another line come between a call and its result.
        assert!(is_name && !line.ends_with("<unfinished ...>"), "a line of one thread: {line}");
        let (arguments, result) = rest.rsplit_once(" = ").expect("a call that has returned has a result");
        Some(Call { name: name.into(), arguments: arguments.into(), result: result.into() })
    }

    fn fd(&self) -> i32 {
        let first = self.arguments.split([',', ')']).next().unwrap_or("");
        first.parse().unwrap_or_else(|_| panic!("an fd comes first: {self:?}"))
    }

    fn value(&self) -> i64 {
        self.result.split(' ').next().unwrap().parse().expect("a call returns a number")
    }

    fn would_block(&self) -> bool {
        self.result.starts_with("-1 EAGAIN")
    }

    /// The timeout of a wait in milliseconds.
    fn timeout(&self) -> i64 {
        let number_behind = |words: &str| -> i64 {
            let (_, rest) = self.arguments.rsplit_once(words).unwrap();
            rest.split([',', ')', '}']).next().unwrap().trim().parse().unwrap()
        };
        match self.name.as_str() {
            "pselect6" => number_behind("tv_sec=") * 1000 + number_behind("tv_nsec=") / 1_000_000,
            _ => number_behind(","),
        }
    }

    /// Whether it came to no end because the process was stopped. The kernel goes on with it by itself,
    /// under the same name or as restart_syscall(2), and the process hears of one call.
    fn is_suspended(&self) -> bool {
        self.result.starts_with("? ERESTART")
    }

    /// Whether it is none of the server's doing: memory; the clock, where the machine cannot tell the
    /// time without a system call (vdso(7)); and a wait that was cut short because the process was
    /// stopped, as whole machines sometimes are (signal(7)).
    fn is_beside_the_point(&self) -> bool {
        const NAMES: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "madvise", "clock_gettime"];
        NAMES.contains(&self.name.as_str()) || self.result.starts_with("-1 EINTR")
    }
}

/// The calls in some lines of a trace.
fn parse(lines: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for call in lines.lines().filter_map(Call::parse) {
        match calls.last_mut() {
            Some(last) if last.is_suspended() => last.result = call.result,
            _ => calls.push(call),
        }
    }
    calls.retain(|call| !call.is_suspended());
    calls
}

/// A line of the trace without the pid that it begins with.
fn without_pid(line: &str) -> &str {
    line.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim_start()
}

/// A server under strace, looked at in windows.
struct Windows {
    traced: Traced,
    wait: &'static str,
    /// How many calls were in the windows so far.
    seen: usize,
}

impl Deref for Windows {
    type Target = Traced;

    fn deref(&self) -> &Traced {
        &self.traced
    }
}

impl Windows {
    fn start(mechanism: &str, flags: &[&str]) -> Windows {
        let traced = Traced::start_with(&[], &[&["--multiplexer", mechanism], flags].concat());
        let wait = match mechanism {
            "epoll" => "epoll_wait",
            "poll" => "poll",
            _ => "pselect6",
        };
        Windows { traced, wait, seen: 0 }
    }

    /// Waits until the server sleeps and returns every call that has returned since it started.
    fn all_calls(&self) -> Vec<Call> {
        let waits = [format!("{}(", self.wait), "restart_syscall(".to_owned()];
        let text = eventually("the server to sleep", || {
            let text = self.traced.text();
            let last_line = without_pid(text.rsplit('\n').next()?);
            waits.iter().any(|wait| last_line.starts_with(wait)).then_some(text)
        });
        parse(text.rsplit_once('\n').unwrap().0)
    }

    /// The same, without what is beside the point.
    fn calls(&self) -> Vec<Call> {
        let mut calls = self.all_calls();
        calls.retain(|call| !call.is_beside_the_point());
        calls
    }

    /// Every call since the last window.
    ///
    /// Before, somebody must have heard what the window is to hold: strace lets a call happen only
    /// when it has written down that it begins, so what was heard of is in the trace.
    fn window(&mut self) -> Vec<Call> {
        let mut calls = self.calls();
        let window = calls.split_off(self.seen);
        self.seen += window.len();
        window
    }

    /// Parks a long poll.
    fn park(&self, client: &mut Client, channel: &str) {
        self.send_unheard(client, &format!("GET /poll?channel={channel} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }

    /// Sends what is not answered yet. So nobody hears of it, and its read(2) is awaited in the trace.
    fn send_unheard(&self, client: &mut Client, request: &str) {
        let beginning = format!("\"{}", request.split('?').next().unwrap());
        let times_read = || self.traced.text().matches(&beginning).count();
        let before = times_read();
        client.send(request);
        eventually("the request to be read", || (times_read() > before).then_some(()));
    }
}

fn names(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| call.name.as_str()).collect()
}

/// The techniques whose clients wait for news.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Waiting {
    LongPoll,
    Stream,
    Sse,
    WebSocket,
}

impl Waiting {
    const ALL: [Waiting; 4] = [Waiting::LongPoll, Waiting::Stream, Waiting::Sse, Waiting::WebSocket];

    /// A channel of its own.
    fn channel(self) -> &'static str {
        match self {
            Waiting::LongPoll => "parked",
            Waiting::Stream => "streams",
            Waiting::Sse => "sse",
            Waiting::WebSocket => "websockets",
        }
    }

    /// Subscribes a client, and has the server's greeting read if there is one.
    fn subscribe(self, traced: &Windows, client: &mut Client) {
        let channel = self.channel();
        match self {
            Waiting::LongPoll => traced.park(client, channel),
            Waiting::Stream => {
                client.ask(&format!("/stream?channel={channel}"));
                client.read_until("\"missed\":false}\n\r\n");
            }
            Waiting::Sse => {
                client.ask(&format!("/connect?channel={channel}"));
                client.read_until("\r\n\r\n");
                client.read_until("\n\n\r\n");
            }
            Waiting::WebSocket => {
                client.upgrade(&format!("/ws?channel={channel}"));
                client.message();
            }
        }
    }

    /// Reads one event.
    fn hear(self, client: &mut Client, text: &str) {
        match self {
            Waiting::LongPoll => assert!(client.answer().body.contains(text)),
            Waiting::Stream => drop(client.read_until(&format!("\"data\":\"{text}\"}}\n\r\n"))),
            Waiting::Sse => drop(client.read_until(&format!("data: {text}\n\n\r\n"))),
            Waiting::WebSocket => assert!(client.message().contains(text)),
        }
    }
}

#[test]
fn starting_is_a_short_list_of_calls() {
    for mechanism in MECHANISMS {
        let traced = Windows::start(mechanism, &[]);
        let calls = traced.calls();
        let first = calls.iter().position(|call| call.arguments.contains("RLIMIT_NOFILE"));
        let calls: Vec<&Call> = calls[first.expect("the limit on open files is asked first")..]
            .iter()
            // The limit is also raised where that is possible, and hash tables draw seeds too.
            .filter(|call| !["prlimit64", "getrandom"].contains(&call.name.as_str()))
            .collect();
        let made: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        let mut expected = vec!["rt_sigprocmask", "signalfd4"];
        let is_epoll = mechanism == "epoll";
        expected.extend(is_epoll.then_some(["epoll_create1", "epoll_ctl"]).into_iter().flatten());
        expected.extend(["socket", "setsockopt", "setsockopt", "setsockopt", "setsockopt"]);
        expected.extend(["bind", "listen", "getsockname"]);
        expected.extend(is_epoll.then_some("epoll_ctl"));
        // The fd that is held back, and the line on standard output.
        expected.extend(["openat", "write"]);
        assert_eq!(made, expected, "{mechanism}: {calls:#?}");
        assert!(calls.iter().all(|call| call.value() >= 0), "{mechanism}: nothing fails: {calls:#?}");
    }
}

#[test]
fn a_request_on_an_open_connection_is_three_calls() {
    const REQUESTS: usize = 100;
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, PATIENT);
        let mut client = traced.server.connect();
        client.get("/news");
        let fd = traced.window().last().expect("there was a request").fd();
        for _ in 0..REQUESTS {
            assert_eq!(client.get("/news").status, 200);
        }
        let window = traced.window();
        assert_eq!(window.len(), 3 * REQUESTS, "{mechanism}");
        for request in window.chunks(3) {
            assert_eq!(names(request), [traced.wait, "read", "write"], "{request:#?}");
            assert_eq!((request[0].value(), request[1].fd(), request[2].fd()), (1, fd, fd), "{request:#?}");
        }
    }
}

#[test]
fn an_echo_of_a_websocket_is_three_calls() {
    const MESSAGES: usize = 10;
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, PATIENT);
        let mut client = traced.server.connect();
        client.upgrade("/echo");
        traced.window();
        for _ in 0..MESSAGES {
            client.send_frame(1, b"twenty bytes it has.");
            assert_eq!(client.message(), "twenty bytes it has.");
        }
        let window = traced.window();
        assert_eq!(window.len(), 3 * MESSAGES, "{mechanism}: {window:#?}");
        for echo in window.chunks(3) {
            assert_eq!(names(echo), [traced.wait, "read", "write"], "{echo:#?}");
        }
    }
}

#[test]
fn a_parked_poll_makes_no_call_until_it_is_woken_by_one_write() {
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, PATIENT);
        let (mut parked, mut publisher) = (traced.server.connect(), traced.server.connect());
        publisher.get("/news");
        parked.get("/news");
        traced.window();
        traced.park(&mut parked, "lobby");
        assert_eq!(names(&traced.window()), [traced.wait, "read"], "{mechanism}: parking");
        std::thread::sleep(Duration::from_secs(1));
        assert!(traced.window().is_empty(), "{mechanism}: waiting");
        publisher.publish("lobby", "news");
        assert!(parked.answer().body.contains("news"));
        let window = traced.window();
        assert_eq!(names(&window), [traced.wait, "read", "write", "write"], "{mechanism}: {window:#?}");
    }
}

#[test]
fn an_event_is_one_write_for_each_subscriber() {
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, PATIENT);
        let mut publisher = traced.server.connect();
        publisher.get("/news");
        // All of them stay, so that those of other techniques are there and make no calls.
        let mut crowds = Vec::new();
        for technique in Waiting::ALL {
            let mut crowd: Vec<Client> = (0..CROWD).map(|_| traced.server.connect()).collect();
            crowd.iter_mut().for_each(|client| technique.subscribe(&traced, client));
            crowds.push((technique, crowd));
        }
        traced.window();
        for round in ["first", "second"] {
            for (technique, crowd) in &mut crowds {
                publisher.publish(technique.channel(), round);
                crowd.iter_mut().for_each(|client| technique.hear(client, round));
                let window = traced.window();
                let mut expected = vec![traced.wait, "read"];
                expected.extend(["write"; 1 + CROWD]);
                assert_eq!(names(&window), expected, "{mechanism}, {technique:?}: {window:#?}");
                let mut written: Vec<i32> = window[2..].iter().map(Call::fd).collect();
                written.sort_unstable();
                written.dedup();
                assert_eq!(written.len(), 1 + CROWD, "{mechanism}, {technique:?}: one write each");
                if *technique == Waiting::LongPoll {
                    crowd.iter_mut().for_each(|client| technique.subscribe(&traced, client));
                    traced.window();
                }
            }
        }
    }
}

#[test]
fn a_lone_poll_is_one_wait_that_ends_when_its_hold_does() {
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, &["--hold", "2s"]);
        let mut client = traced.server.connect();
        client.get("/news");
        traced.window();
        assert!(client.get("/poll").body.contains("\"timeout\""));
        let window = traced.window();
        assert_eq!(names(&window), [traced.wait, "read", traced.wait, "write"], "{mechanism}: {window:#?}");
        assert_eq!(window[2].value(), 0, "{mechanism}: nothing was ready: {window:#?}");
        // The hold, less the time that reading the request took under strace.
        let timeout = window[2].timeout();
        assert!((1_000..=2_000).contains(&timeout), "{mechanism}: {timeout} ms");
    }
}

#[test]
fn a_poll_is_held_for_thirty_seconds_by_the_timeout_of_one_wait() {
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, &[]);
        let (mut parked, mut publisher) = (traced.server.connect(), traced.server.connect());
        publisher.get("/news");
        traced.park(&mut parked, "lobby");
        traced.window();
        publisher.publish("lobby", "news");
        // strace shows the timeout that a wait was given when it returns: this is what it slept by.
        let timeout = traced.window()[0].timeout();
        assert!((25_000..=30_000).contains(&timeout), "{mechanism}: {timeout} ms");
    }
}

#[test]
fn a_wait_that_is_interrupted_ends_no_hold_early() {
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, &["--hold", "2s"]);
        let mut client = traced.server.connect();
        client.get("/news");
        traced.window();
        let asked = Instant::now();
        traced.park(&mut client, "lobby");
        traced.signal("STOP");
        eventually("the server to stop", || {
            traced.text().contains("--- stopped by SIGSTOP ---").then_some(())
        });
        traced.signal("CONT");
        assert!(client.answer().body.contains("\"timeout\""));
        assert!(asked.elapsed() >= Duration::from_secs(2), "{mechanism}: {:?}", asked.elapsed());
        let window = traced.window();
        // poll(2) and select(2) sleep on by themselves (signal(7)). epoll_wait(2) returns, so there is one look at
        // what has become ready meanwhile, and another sleep.
        let mut names = names(&window);
        names.dedup();
        assert_eq!(names, [traced.wait, "read", traced.wait, "write"], "{mechanism}: {window:#?}");
    }
}

#[test]
fn the_kernel_is_told_of_a_connection_once() {
    let traced = Windows::start("epoll", PATIENT);
    let mut clients = busy_hour(&traced);
    clients[0].get("/news");
    let calls = traced.calls();
    let told: Vec<&Call> = calls.iter().filter(|call| call.name == "epoll_ctl").collect();
    assert!(told.iter().all(|call| call.arguments.contains("EPOLL_CTL_ADD")), "{told:#?}");
    let accepted = calls.iter().filter(|call| call.name == "accept4" && call.value() >= 0).count();
    assert_eq!(accepted, clients.len());
    // The signals and the listener are watched too.
    assert_eq!(told.len(), accepted + 2, "{told:#?}");
    assert_eq!(calls.iter().filter(|call| call.name == "epoll_create1").count(), 1);
}

#[test]
fn a_write_that_blocks_has_the_kernel_told_twice() {
    let traced = Windows::start("epoll", PATIENT);
    let (mut slow, mut publisher) = (traced.server.connect(), traced.server.connect());
    slow.ask("/stream");
    slow.read_until("\"missed\":false}\n\r\n");
    let news = "n".repeat(512 * 1024);
    let mut published = 0;
    let told = |traced: &Windows| {
        let calls = traced.calls();
        let told = calls.into_iter().filter(|call| call.arguments.contains("EPOLL_CTL_MOD"));
        told.map(|call| call.arguments).collect::<Vec<_>>()
    };
    while told(&traced).is_empty() {
        publisher.publish("lobby", &news);
        published += 1;
        assert!(published < 200, "a socket that nobody reads is full some time");
    }
    for _ in 0..published {
        slow.read_until("\"}\n\r\n");
    }
    let told = told(&traced);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("EPOLLIN|EPOLLOUT") && !told[1].contains("EPOLLOUT"), "{told:#?}");
}

#[test]
fn nothing_is_read_only_to_hear_that_there_is_nothing() {
    for mechanism in MECHANISMS {
        let traced = Windows::start(mechanism, PATIENT);
        let clients = busy_hour(&traced);
        let count = clients.len();
        drop(clients);
        eventually("everybody to be closed", || {
            let calls = traced.calls();
            let ends = calls.iter().filter(|call| call.name == "read" && call.value() == 0).count();
            (ends == count).then_some(())
        });
        let in_vain: Vec<Call> = traced.calls().into_iter().filter(Call::would_block).collect();
        // Only the backlog has no other way to say that nobody else is waiting.
        assert!(in_vain.iter().all(|call| call.name == "accept4"), "{mechanism}: {in_vain:#?}");
    }
}

#[test]
fn one_thread_does_it_all() {
    for mechanism in MECHANISMS {
        let traced = Windows::start(mechanism, PATIENT);
        let _clients = busy_hour(&traced);
        let threads = std::fs::read_dir(format!("/proc/{}/task", traced.pid)).unwrap().count();
        assert_eq!(threads, 1, "{mechanism}");
        let born =
            traced.calls().into_iter().find(|call| call.name.contains("clone") || call.name.contains("fork"));
        assert!(born.is_none(), "{mechanism}: {born:?}");
    }
}

/// Something of everything: requests, a body in two pieces, every technique, events. Returns the
/// clients, all still connected.
fn busy_hour(traced: &Windows) -> Vec<Client> {
    let mut clients = Vec::new();
    for technique in Waiting::ALL {
        for _ in 0..3 {
            let mut client = traced.server.connect();
            technique.subscribe(traced, &mut client);
            clients.push((Some(technique), client));
        }
    }
    let mut publisher = traced.server.connect();
    let post = "POST /event?channel=lobby HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";
    traced.send_unheard(&mut publisher, post);
    publisher.send("world");
    assert_eq!(publisher.answer().status, 201);
    for technique in Waiting::ALL {
        publisher.publish(technique.channel(), "news");
        let subscribers = clients.iter_mut().filter(|(of, _)| *of == Some(technique));
        subscribers.for_each(|(_, client)| technique.hear(client, "news"));
    }
    let mut echo = traced.server.connect();
    echo.upgrade("/echo");
    for size in [0, 20, 1_000, 100_000] {
        echo.send_frame(2, &vec![7; size]);
        assert_eq!(echo.frame().1.len(), size);
    }
    clients.insert(0, (None, publisher));
    clients.push((None, echo));
    clients.into_iter().map(|(_, client)| client).collect()
}

#[test]
fn metrics_count_what_strace_sees() {
    for mechanism in MECHANISMS {
        let mut traced = Windows::start(mechanism, PATIENT);
        let mut clients = busy_hour(&traced);
        traced.window();
        // The second time the first answer is among what is counted.
        for _ in 0..2 {
            let text = clients[0].get("/metrics").body;
            let calls = traced.all_calls();
            // The answer cannot hold its own write, which is the last call.
            let (answer, before) = calls.split_last().unwrap();
            assert_eq!(answer.name, "write");
            // What comes before this is the loader's and the standard library's.
            let first = before.iter().position(|call| call.name == "signalfd4").unwrap();
            for name in ["accept4", "read", "write", "close", "epoll_ctl", traced.wait] {
                let seen = before[first..].iter().filter(|call| call.name == name).count();
                let line = format!("doorbell_syscalls_total{{call=\"{name}\"}} ");
                let told = text.lines().find_map(|told| told.strip_prefix(&line));
                assert_eq!(told.unwrap_or("0"), seen.to_string(), "{mechanism}: {name}");
            }
        }
    }
}
