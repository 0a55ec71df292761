//! Every limit and every time limit: past it there is a clear answer or a quiet end, and never a hang or a spin.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Answer, Client, MECHANISMS, PATIENCE, Server, eventually, masked_frame};

const SERVER: &str = env!("CARGO_BIN_EXE_doorbell");

/// An error that a person can act on, and the last answer on its connection or not.
fn expect_problem(answer: &Answer, status: u16, connection: &str) {
    assert_eq!(answer.status, status, "{} {}", answer.head, answer.body);
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
    assert_eq!(answer.field("Connection"), Some(connection));
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().unwrap().len() > 20, "{problem}");
}

fn expect_the_end(client: &mut Client) {
    assert_eq!(client.read_to_end(), "", "nothing more, and the end");
}

/// One who comes and asks: the status of the answer, if there is one.
fn visit(server: &Server) -> Option<u16> {
    let mut stream = TcpStream::connect(server.address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who is turned away may be so before it has asked.
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    status_of(&mut stream)
}

/// The status of the one answer on a connection.
fn status_of(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = Vec::new();
    // A reset behind the answer takes nothing away from it.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

fn wait_for_a_place(server: &Server) {
    eventually("a place to be free", || (visit(server) == Some(200)).then_some(()));
}

/// Two who are let in, and answered.
fn take_two_places(server: &Server) -> [Client; 2] {
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        assert_eq!(client.get("/healthz").status, 200);
    }
    clients
}

/// Somebody who is told with this status to come again, and is let go.
fn be_refused(server: &Server, status: u16) -> Client {
    let mut client = server.connect();
    let answer = client.get("/healthz");
    expect_problem(&answer, status, "close");
    assert!(answer.field("Retry-After").unwrap().parse::<u32>().unwrap() > 0);
    expect_the_end(&mut client);
    client
}

#[test]
fn past_max_connections_there_is_503_until_a_place_is_free_again() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-connections", "2"]);
        let [first, mut second] = take_two_places(&server);
        let third = be_refused(&server, 503);
        let line = server.line_with("503");
        assert!(line.contains("--max-connections"), "{line}");
        assert_eq!(second.get("/healthz").status, 200, "who is in stays in");
        drop((first, third));
        wait_for_a_place(&server);
    }
}

#[test]
fn a_crowd_past_max_connections_is_told_503_to_the_last_of_it() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-connections", "2"]);
        let [mut inside, other] = take_two_places(&server);
        let crowd: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        for mut stream in crowd {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(status_of(&mut stream), Some(503), "{mechanism}");
        }
        assert_eq!(inside.get("/healthz").status, 200);
        drop(other);
        wait_for_a_place(&server);
    }
}

#[test]
fn past_max_connections_per_ip_there_is_429_until_a_place_is_free_again() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-connections-per-ip", "2"]);
        let [first, mut second] = take_two_places(&server);
        let third = be_refused(&server, 429);
        drop((first, third));
        wait_for_a_place(&server);
        assert_eq!(second.get("/healthz").status, 200);
    }
}

#[test]
fn who_was_refused_takes_up_no_place() {
    for mechanism in MECHANISMS {
        for flag in ["--max-connections", "--max-connections-per-ip"] {
            let server = Server::start_over(mechanism, &[flag, "2"]);
            let [first, _second] = take_two_places(&server);
            // They have been answered, and stay all the same.
            let mut refused: Vec<Client> = (0..5).map(|_| server.connect()).collect();
            for client in &mut refused {
                assert!(client.get("/healthz").status >= 429);
            }
            let fds = server.fds();
            drop(first);
            eventually("the one inside to be gone", || (server.fds() < fds).then_some(()));
            assert_eq!(visit(&server), Some(200), "one of two places is free, with {mechanism} and {flag}");
        }
    }
}

#[test]
fn past_max_channels_there_is_507_and_the_channels_that_are_there_still_work() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-channels", "1"]);
        let mut client = server.connect();
        assert_eq!(client.get("/news?channel=first").status, 200);
        for target in ["/news?channel=second", "/poll?channel=second", "/connect", "/stream"] {
            expect_problem(&client.get(target), 507, "keep-alive");
        }
        client.send("POST /event?channel=second HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        expect_problem(&client.answer(), 507, "keep-alive");
        server.publish("first", "still here");
        assert!(client.get("/news?channel=first").body.contains("still here"));
    }
}

#[test]
fn past_max_head_there_is_431_or_414_for_the_request_line() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-head", "512"]);
        let long = "x".repeat(600);
        let mut client = server.connect_and_send(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"));
        expect_problem(&client.answer(), 414, "close");
        expect_the_end(&mut client);
        let mut client = server.connect_and_send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"));
        expect_problem(&client.answer(), 431, "close");
        expect_the_end(&mut client);
        // One that has no end is not waited for.
        let mut client = server.connect_and_send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"));
        expect_problem(&client.answer(), 431, "close");
        // The limit itself is allowed.
        let head = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
        let fill = "x".repeat(512 - head.len() - 4);
        let mut client = server.connect_and_send(&format!("{head}{fill}\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn past_max_body_there_is_413_however_the_body_is_framed() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-body", "1KiB"]);
        let post = "POST /event HTTP/1.1\r\nHost: a\r\n";
        let over = "x".repeat(1025);
        let allowed = "x".repeat(1024);
        // Before the body has come, and also when all of it comes at once.
        let mut client = server.connect_and_send(&format!("{post}Content-Length: 1025\r\n\r\n"));
        expect_problem(&client.answer(), 413, "close");
        let mut client = server.connect_and_send(&format!("{post}Content-Length: 1025\r\n\r\n{over}"));
        expect_problem(&client.answer(), 413, "close");
        expect_the_end(&mut client);
        let mut client = server
            .connect_and_send(&format!("{post}Transfer-Encoding: chunked\r\n\r\n401\r\n{over}\r\n0\r\n\r\n"));
        expect_problem(&client.answer(), 413, "close");
        expect_the_end(&mut client);
        // In small chunks, none of which is too large.
        let mut client = server.connect_and_send(&format!("{post}Transfer-Encoding: chunked\r\n\r\n"));
        client.send(&format!("100\r\n{}\r\n", "x".repeat(256)).repeat(5));
        expect_problem(&client.answer(), 413, "close");

        let mut client = server.connect_and_send(&format!("{post}Content-Length: 1024\r\n\r\n{allowed}"));
        assert_eq!(client.answer().status, 201);
        client.send(&format!("{post}Transfer-Encoding: chunked\r\n\r\n400\r\n{allowed}\r\n0\r\n\r\n"));
        assert_eq!(client.answer().status, 201);
    }
}

#[test]
fn an_answer_of_413_reaches_a_client_that_goes_on_sending() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-body", "1KiB"]);
        let mut client =
            server.connect_and_send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
        client.send(&"x".repeat(3_000_000));
        expect_problem(&client.answer(), 413, "close");
    }
}

#[test]
fn past_max_message_a_websocket_is_closed_with_1009() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--max-message", "1KiB"]);
        let whole = masked_frame(true, 1, &[b'x'; 1025]);
        // Only the announcement of a giant: the first bytes of its frame.
        let giant = [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4].to_vec();
        let fragments = [masked_frame(false, 1, &[b'x'; 600]), masked_frame(true, 0, &[b'x'; 600])].concat();
        for target in ["/ws", "/echo"] {
            for bytes in [&whole, &giant, &fragments] {
                let mut client = server.connect();
                client.upgrade(target);
                if target == "/ws" {
                    client.message();
                }
                client.send_bytes(bytes);
                assert_eq!(client.close_code(), 1009);
                expect_the_end(&mut client);
            }
        }
        let mut client = server.connect();
        client.upgrade("/echo");
        client.send_frame(2, &[7; 1024]);
        assert_eq!(client.frame(), (0x82, vec![7; 1024]));
    }
}

/// Sends a byte now and then, until the other side has ended it; bytes do not prolong any time limit.
fn trickle(client: &mut Client) -> String {
    let mut words = client.stream.try_clone().unwrap();
    let began = Instant::now();
    let drip = std::thread::spawn(move || {
        while began.elapsed() < PATIENCE && words.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let answer = client.answer();
    expect_problem(&answer, 408, "close");
    client.stream.shutdown(std::net::Shutdown::Both).unwrap();
    drip.join().unwrap();
    answer.body
}

#[test]
fn a_head_that_does_not_come_in_time_is_408_and_silence_is_ended_with_silence() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--head-timeout", "1s"]);
        let mut silent = server.connect();
        let mut blank = server.connect_and_send("\r\n");
        let mut half = server.connect_and_send("GET / HTTP/1.1\r\nHo");
        let mut dripping = server.connect_and_send("GET / HTTP/1.1\r\nX: ");
        // A later head counts from its first byte.
        let mut second = server.connect();
        assert_eq!(second.get("/healthz").status, 200);
        second.send("GET /hea");

        assert!(trickle(&mut dripping).contains("--head-timeout"));
        for client in [&mut half, &mut second] {
            let answer = client.answer();
            expect_problem(&answer, 408, "close");
            assert!(answer.body.contains("--head-timeout"), "{}", answer.body);
            expect_the_end(client);
        }
        expect_the_end(&mut silent);
        expect_the_end(&mut blank);
    }
}

#[test]
fn a_body_that_does_not_come_in_time_is_408() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--body-timeout", "1s"]);
        let post = "POST /event HTTP/1.1\r\nHost: a\r\n";
        let mut half = server.connect_and_send(&format!("{post}Content-Length: 99\r\n\r\nhalf"));
        let mut chunk =
            server.connect_and_send(&format!("{post}Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"));
        let mut dripping = server.connect_and_send(&format!("{post}Content-Length: 9999\r\n\r\n"));
        assert!(trickle(&mut dripping).contains("--body-timeout"));
        for client in [&mut half, &mut chunk] {
            let answer = client.answer();
            expect_problem(&answer, 408, "close");
            assert!(answer.body.contains("--body-timeout"), "{}", answer.body);
            expect_the_end(client);
        }
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--idle-timeout", "500ms"]);
        // A parked poll is not idle, and an answered one is.
        let mut poll = server.connect_and_send("GET /poll?timeout=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut client = server.connect();
        assert_eq!(client.get("/healthz").status, 200);
        expect_the_end(&mut client);
        assert!(poll.answer().body.contains(r#""type":"timeout""#));
        expect_the_end(&mut poll);
    }
}

#[test]
fn a_websocket_that_answers_no_ping_is_dropped() {
    let open = |server: &Server| {
        let mut client = server.connect();
        client.upgrade("/ws");
        client.message();
        client
    };
    let mut all = MECHANISMS.map(|mechanism| {
        let server = Server::start_over(mechanism, &["--ping-interval", "1s"]);
        let (lively, dead) = (open(&server), open(&server));
        (server, lively, dead)
    });
    for _ in 0..3 {
        for (_, lively, _) in &mut all {
            assert_eq!(lively.frame(), (0x89, vec![]), "a ping");
            lively.send_frame(10, b"");
        }
    }
    for (server, lively, dead) in &mut all {
        assert_eq!(dead.frame(), (0x89, vec![]), "a ping");
        expect_the_end(dead);
        server.publish("lobby", "the other is still there");
        let mut frame = lively.frame();
        while frame.0 == 0x89 {
            lively.send_frame(10, b"");
            frame = lively.frame();
        }
        assert!(String::from_utf8(frame.1).unwrap().contains("the other is still there"));
    }
}

#[test]
fn a_silent_stream_shows_signs_of_life() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--ping-interval", "200ms"]);
        for (target, chunk) in [("/connect", "3\r\n:\n\n\r\n"), ("/stream", "1\r\n\n\r\n")] {
            let mut client = server.connect();
            client.ask(target);
            client.read_until("\r\n\r\n");
            client.read_until("\n\r\n");
            for _ in 0..3 {
                assert_eq!(client.read_until("\n\r\n"), chunk);
            }
            server.publish("lobby", "news");
            assert!(client.read_until("news").len() < 200);
        }
    }
}

#[test]
fn a_stream_ends_with_its_lease() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--stream-lease", "700ms"]);
        let fds = server.fds();
        let mut clients = ["/connect", "/stream"].map(|target| {
            let mut client = server.connect();
            client.ask(target);
            client.read_until("\r\n\r\n");
            client
        });
        for client in &mut clients {
            assert!(client.read_to_end().ends_with("\n\r\n0\r\n\r\n"), "it ends with the last chunk");
        }
        server.wait_for_subscribers(0);
        server.wait_for_fds(fds);
    }
}

/// The CPU time of the server so far, in ticks of a hundredth of a second.
fn cpu_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // The fields 14 and 15 of proc_pid_stat(5): utime and stime.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Whether the server sleeps, rather than spins, while a second goes by.
fn expect_sleep(server: &Server) {
    let before = cpu_ticks(server);
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_ticks(server) - before;
    assert!(used < 50, "{used} hundredths of a second of CPU time in a second");
}

/// Somebody who parks a poll; it may be told something else at once, so nothing is expected yet.
fn newcomer(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(b"GET /poll?timeout=100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream
}

#[test]
fn when_fds_run_out_the_others_are_told_503_and_the_server_sleeps() {
    for mechanism in MECHANISMS {
        let mut command = Command::new("prlimit");
        command.args(["--nofile=40", SERVER]);
        let server = Server::start_as(command, &["--multiplexer", mechanism]);
        let mut crowd: Vec<TcpStream> = (0..100).map(|_| newcomer(&server)).collect();
        assert!(server.line_with("503").starts_with("doorbell: "));
        expect_sleep(&server);
        // The first were let in; when they leave others are.
        crowd.drain(..10);
        wait_for_a_place(&server);
        eventually("a place for a publisher", || {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = stream.write_all(
                b"POST /event HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnews",
            );
            (status_of(&mut stream) == Some(201)).then_some(())
        });
        // Nobody hangs: all of the others have been answered the one or the other.
        let told: Vec<Option<u16>> = crowd.iter_mut().map(status_of).collect();
        let served = told.iter().filter(|status| **status == Some(200)).count();
        let refused = told.iter().filter(|status| **status == Some(503)).count();
        assert!(
            served >= 15 && refused >= 15,
            "{served} were served and {refused} refused, with {mechanism}"
        );
        assert_eq!(served + refused, crowd.len(), "{told:?} with {mechanism}");
    }
}

/// Lowers or raises the limit on fds of a server that runs.
fn limit_fds(server: &Server, limit: usize) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &server.pid().to_string(), &format!("--nofile={limit}:")]);
    assert!(command.status().unwrap().success());
}

#[test]
fn when_not_even_a_refusal_is_possible_the_server_sleeps_and_takes_everybody_in_later() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &[]);
        let mut first = server.connect();
        assert_eq!(first.get("/healthz").status, 200);
        // Fewer than it has already; but poll(2) accepts no list that is longer than this limit.
        limit_fds(&server, 4);
        let mut waiting: Vec<Client> =
            (0..10).map(|_| server.connect_and_send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        assert!(server.line_with("file descriptors").starts_with("doorbell: "));
        expect_sleep(&server);
        assert_eq!(first.get("/healthz").status, 200, "who is in is served");
        limit_fds(&server, 200);
        for client in &mut waiting {
            assert_eq!(client.answer().status, 200);
        }
    }
}

/// A server to which somebody has left a thousand open files, all but a few below 1,024.
fn start_with_inherited_files(mechanism: &str) -> Server {
    let script = "ulimit -Sn $(ulimit -Hn); \
                  for i in $(seq 10 1015); do eval \"exec $i</dev/null\"; done; exec \"$0\" \"$@\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, SERVER]);
    Server::start_as(bash, &["--multiplexer", mechanism])
}

#[test]
fn select_refuses_who_would_get_an_fd_past_fd_setsize_and_says_so() {
    let server = start_with_inherited_files("select");
    let mut inside = Vec::new();
    let refused = loop {
        let mut client = server.connect();
        let answer = client.get("/healthz");
        if answer.status != 200 {
            break answer;
        }
        inside.push(client);
        assert!(inside.len() < 30, "there are fewer numbers than that below 1024");
    };
    expect_problem(&refused, 503, "close");
    assert!(refused.field("Retry-After").is_some());
    assert!(server.line_with("FD_SETSIZE").contains("503"));
    for client in &mut inside {
        assert_eq!(client.get("/healthz").status, 200, "who is in is served");
    }
    assert_eq!(visit(&server), Some(503));
    inside.pop();
    wait_for_a_place(&server);
}

#[test]
fn poll_and_epoll_know_no_such_number() {
    for mechanism in ["poll", "epoll"] {
        let server = start_with_inherited_files(mechanism);
        let mut crowd: Vec<Client> = (0..40).map(|_| server.connect()).collect();
        for client in &mut crowd {
            assert_eq!(client.get("/healthz").status, 200);
        }
    }
}
