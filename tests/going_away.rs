//! Told to go, the server says goodbye to everybody, lets nobody new in, and ends with a status that tells how.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Answer, Client, MECHANISMS, PATIENCE, Server, eventually};

const SERVER: &str = env!("CARGO_BIN_EXE_doorbell");

fn parked(server: &Server) -> Client {
    server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A client with a request under way, which the server waits for.
fn half_a_request(server: &Server) -> Client {
    server.connect_and_send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
}

/// On a stream, with everything read that was said so far.
fn listening(server: &Server, target: &str, version: &str, opening: &str) -> Client {
    let mut client = server.connect_and_send(&format!("GET {target} HTTP/{version}\r\nHost: a\r\n\r\n"));
    client.read_until("\r\n\r\n");
    client.read_until(opening);
    client
}

fn websocket(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.upgrade(target);
    client
}

/// The server has begun to go: it accepts nobody any more.
fn wait_until_it_goes(server: &Server) {
    eventually("new connections to be refused", || TcpStream::connect(server.address).err());
}

fn expect_the_end(client: &mut Client) {
    assert_eq!(client.read_to_end(), "", "nothing more, and the end");
}

fn expect_draining(client: &mut Client) {
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with(r#"{"type":"draining","cursor":""#), "{}", answer.body);
    assert_eq!(answer.field("Connection"), Some("close"));
    expect_the_end(client);
}

/// An answer that could not be given as it would have been: the server goes away.
fn expect_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
    assert_eq!(answer.field("Connection"), Some("close"));
}

#[test]
fn everybody_hears_goodbye_in_the_words_of_its_technique() {
    for signal in ["TERM", "INT"] {
        for mechanism in MECHANISMS {
            let mut server = Server::start_over(mechanism, &[]);
            let mut poll = parked(&server);
            let mut sse = listening(&server, "/connect", "1.1", "\n\n\r\n");
            let mut stream = listening(&server, "/stream", "1.1", "}\n\r\n");
            let mut old_sse = listening(&server, "/connect", "1.0", "\n\n");
            let mut old_stream = listening(&server, "/stream", "1.0", "}\n");
            let mut ws = websocket(&server, "/ws");
            ws.message();
            let mut echo = websocket(&server, "/echo");
            let mut idle = server.connect();
            assert_eq!(idle.get("/healthz").status, 200);
            let mut fresh = server.connect();
            server.wait_for_subscribers(6);
            server.signal(signal);

            expect_draining(&mut poll);
            for chunked in [&mut sse, &mut stream] {
                assert_eq!(chunked.read_to_end(), "0\r\n\r\n", "the last chunk");
            }
            for websocket in [&mut ws, &mut echo] {
                assert_eq!(websocket.close_code(), 1001);
                websocket.send_frame(8, &1001u16.to_be_bytes());
                expect_the_end(websocket);
            }
            for client in [&mut old_sse, &mut old_stream, &mut idle, &mut fresh] {
                expect_the_end(client);
            }
            drop((poll, sse, stream, old_sse, old_stream, ws, echo, idle, fresh));
            assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
        }
    }
}

#[test]
fn a_request_under_way_is_finished_while_new_connections_are_refused() {
    for mechanism in MECHANISMS {
        let mut server = Server::start_over(mechanism, &[]);
        let mut client = half_a_request(&server);
        let mut other = server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n");
        server.metric("doorbell_accepted_total");
        server.signal("TERM");
        wait_until_it_goes(&server);
        assert!(!server.has_exited(), "it waits for requests that have begun");
        client.send("other");
        let answer = client.answer();
        assert_eq!(answer.status, 201);
        assert_eq!(answer.field("Connection"), Some("close"));
        expect_the_end(&mut client);
        other.send("\r\n");
        expect_draining(&mut other);
        drop((client, other));
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
    }
}

#[test]
fn an_open_connection_hears_from_healthz_that_the_server_goes() {
    for mechanism in MECHANISMS {
        let mut server = Server::start_over(mechanism, &[]);
        let mut client = server.connect_and_send("GET /healthz HTTP/1.1\r\nHost: a\r\n");
        let mut upgrade = server.connect_and_send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n");
        server.metric("doorbell_accepted_total");
        server.signal("TERM");
        wait_until_it_goes(&server);
        client.send("\r\n");
        expect_unavailable(&client.answer());
        expect_the_end(&mut client);
        // Who becomes a subscriber now is sent away at once.
        upgrade.send(
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n",
        );
        assert_eq!(upgrade.answer().status, 101);
        upgrade.message();
        assert_eq!(upgrade.close_code(), 1001);
        upgrade.send_frame(8, &1001u16.to_be_bytes());
        expect_the_end(&mut upgrade);
        drop((client, upgrade));
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
    }
}

#[test]
fn what_waits_in_the_backlog_when_the_signal_comes_is_still_answered() {
    for mechanism in MECHANISMS {
        let mut server = Server::start_over(mechanism, &[]);
        server.stop();
        let mut healthz = server.connect_and_send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut polls: Vec<Client> = (0..20).map(|_| parked(&server)).collect();
        let mut publisher = server
            .connect_and_send("POST /event?channel=b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast");
        let mut stream = server.connect_and_send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut silent = server.connect();
        server.signal("TERM");
        server.signal("CONT");

        expect_unavailable(&healthz.answer());
        for poll in &mut polls {
            expect_draining(poll);
        }
        let answer = publisher.answer();
        assert_eq!((answer.status, answer.field("Connection")), (201, Some("close")));
        let all = stream.read_to_end();
        assert!(all.starts_with("HTTP/1.1 200 OK\r\n") && all.ends_with("\r\n0\r\n\r\n"), "{all}");
        expect_the_end(&mut silent);
        drop((healthz, polls, publisher, stream, silent));
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
    }
}

#[test]
fn a_crowd_is_told_over_half_of_the_drain_timeout_and_not_all_at_once() {
    const DRAIN: Duration = Duration::from_secs(4);
    for mechanism in MECHANISMS {
        let mut server = Server::start_over(mechanism, &["--drain-timeout", "4s"]);
        let crowd: Vec<Client> = (0..300).map(|_| parked(&server)).collect();
        server.wait_for_subscribers(300);
        let began = Instant::now();
        server.signal("TERM");
        let told = std::thread::scope(|scope| {
            let tell = |mut client: Client| {
                expect_draining(&mut client);
                began.elapsed()
            };
            let waiting: Vec<_> = crowd.into_iter().map(|client| scope.spawn(move || tell(client))).collect();
            waiting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<Duration>>()
        });
        let (first, last) = (*told.iter().min().unwrap(), *told.iter().max().unwrap());
        assert!(last - first > DRAIN / 8, "spread over {:?} only, with {mechanism}", last - first);
        assert!(last < DRAIN / 2 + Duration::from_secs(5), "the last goodbye after {last:?}");
        let early = told.iter().filter(|&&time| time < first + (last - first) / 2).count();
        assert!((20..280).contains(&early), "{early} of 300 in the first half");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
    }
}

#[test]
fn who_hears_news_or_asks_before_its_goodbye_is_answered_and_closed() {
    for mechanism in MECHANISMS {
        // The goodbyes are spread over so long that none of those of the last is said in this test.
        let mut server = Server::start_over(mechanism, &["--drain-timeout", "300s"]);
        let crowd: Vec<Client> = (0..60).map(|_| server.connect()).collect();
        let mut idle = server.connect();
        assert_eq!(idle.get("/news").status, 200);
        let mut ws = websocket(&server, "/ws");
        ws.message();
        let mut poll = parked(&server);
        server.wait_for_subscribers(2);
        server.signal("TERM");
        wait_until_it_goes(&server);
        // Its goodbye is yet to come, and so it is still served.
        ws.send_frame(1, b"the last news");
        assert!(ws.message().contains("the last news"));
        let answer = poll.answer();
        assert!(answer.body.contains("the last news"), "{}", answer.body);
        assert_eq!(answer.field("Connection"), Some("close"));
        expect_the_end(&mut poll);
        expect_unavailable(&idle.get("/healthz"));
        expect_the_end(&mut idle);
        drop((crowd, idle, ws, poll));
        assert_eq!(server.wait_for_exit().code(), Some(0), "all have left before their time: {mechanism}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_with_one_line_and_status_1() {
    for (first, second, name) in
        [("TERM", "TERM", "SIGTERM"), ("TERM", "INT", "SIGINT"), ("INT", "TERM", "SIGTERM")]
    {
        for mechanism in MECHANISMS {
            let said = temporary(&format!("said-{first}-{second}-{mechanism}"));
            let mut bash = Command::new("bash");
            bash.args(["-c", r#"said=$1; shift; exec "$0" "$@" 2>"$said""#, SERVER]).arg(&said);
            let mut server = Server::start_as(bash, &["--multiplexer", mechanism, "--drain-timeout", "300s"]);
            let client = half_a_request(&server);
            server.metric("doorbell_accepted_total");
            server.signal(first);
            wait_until_it_goes(&server);
            server.signal(second);
            assert_eq!(server.wait_for_exit().code(), Some(1), "{mechanism}");
            let lines = std::fs::read_to_string(&said).unwrap();
            assert_eq!(lines.lines().count(), 1, "{lines}");
            assert!(lines.contains(name) && lines.contains("--drain-timeout"), "{lines}");
            drop(client);
            std::fs::remove_file(&said).unwrap();
        }
    }
}

#[test]
fn who_never_leaves_is_cut_off_when_the_drain_timeout_is_over() {
    for mechanism in MECHANISMS {
        let mut server =
            Server::start_over(mechanism, &["--drain-timeout", "1s", "--history-bytes", "16MiB"]);
        for _ in 0..10 {
            server.publish("long", &"x".repeat(1_000_000));
        }
        let mut under_way = half_a_request(&server);
        let mut deaf = websocket(&server, "/ws");
        let sleeper =
            server.connect_and_send("GET /stream?channel=long&since=start HTTP/1.1\r\nHost: a\r\n\r\n");
        server.wait_for_subscribers(2);
        server.signal("TERM");
        let line = server.line_with("--drain-timeout");
        assert!(line.contains("cut off 3 connections"), "{line}");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
        deaf.message();
        assert_eq!(deaf.close_code(), 1001);
        for client in [&mut under_way, &mut deaf] {
            expect_the_end(client);
        }
        drop(sleeper);
    }
}

#[test]
fn a_server_without_clients_ends_at_once() {
    for mechanism in MECHANISMS {
        let mut server = Server::start_over(mechanism, &["--drain-timeout", "300s"]);
        server.signal("TERM");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
    }
}

/// A path for a socket or a file, short enough for a socket address, where nothing is yet.
fn temporary(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("doorbell-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Asks over a Unix socket, to the end of the connection.
fn ask_unix(path: &PathBuf, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_unix_socket_serves_and_its_file_is_gone_afterwards() {
    for mechanism in MECHANISMS {
        let path = temporary(&format!("serves-{mechanism}"));
        let listen = format!("unix:{}", path.display());
        let mut server = Server::start_over(mechanism, &["--listen", &listen]);
        assert!(ask_unix(&path, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        // A poll over it hears what comes over TCP, and what waits in its backlog is answered too.
        let mut poll = UnixStream::connect(&path).unwrap();
        poll.write_all(b"GET /poll HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        server.wait_for_subscribers(1);
        server.publish("lobby", "to all");
        let mut answer = String::new();
        poll.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("to all"), "{answer}");
        server.stop();
        let mut late = UnixStream::connect(&path).unwrap();
        late.write_all(b"GET /poll HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        server.signal("TERM");
        server.signal("CONT");
        let mut answer = String::new();
        late.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(r#""type":"draining""#), "{answer}");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{mechanism}");
        assert!(!path.exists(), "the file is gone");
    }
}

#[test]
fn the_socket_file_of_a_killed_server_is_replaced() {
    let path = temporary("stale");
    let listen = format!("unix:{}", path.display());
    let killed = Server::start(&["--listen", &listen]);
    drop(killed);
    assert!(path.exists(), "who is killed cannot tidy up");
    let mut server = Server::start(&["--listen", &listen]);
    assert!(ask_unix(&path, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    server.signal("TERM");
    assert_eq!(server.wait_for_exit().code(), Some(0));
    assert!(!path.exists());
}

/// Starts a server that cannot start; returns what it says.
fn start_in_vain(flags: &[&str]) -> String {
    let mut command = Command::new(SERVER);
    command.arg("serve").args(flags).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // One that has started after all is not left behind.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the server should not have started");
    String::from_utf8(output.stderr).unwrap()
}

/// One line says on which listener it failed.
fn expect_refusal(listen: &str) {
    let lines = start_in_vain(&["--listen", listen]);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains(listen), "{lines}");
}

#[test]
fn the_socket_of_a_living_server_is_left_alone() {
    let path = temporary("living");
    let listen = format!("unix:{}", path.display());
    let server = Server::start(&["--listen", &listen]);
    expect_refusal(&listen);
    assert!(ask_unix(&path, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    drop(server);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = temporary("precious");
    std::fs::write(&path, "precious").unwrap();
    expect_refusal(&format!("unix:{}", path.display()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
}
