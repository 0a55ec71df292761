//! `doorbell relay` before a real server: what is said through it is late, whole and in order.
#![cfg(feature = "lab")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use support::tool::Tool;
use support::{Client, PATIENCE, Server, eventually};

const DELAY: Duration = Duration::from_millis(150);

fn relay(url: &str) -> (Tool, SocketAddr) {
    relay_as(Command::new(env!("CARGO_BIN_EXE_doorbell")), url)
}

fn relay_as(command: Command, url: &str) -> (Tool, SocketAddr) {
    let tool = Tool::start_as(command, &["relay", url, "--delay", "150ms"]);
    let line = tool.line();
    let address = line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
    let address = address.parse().unwrap();
    (tool, address)
}

fn connect(address: SocketAddr) -> Client {
    Client::new(TcpStream::connect(address).unwrap())
}

#[test]
fn a_question_takes_two_transits_and_news_take_one() {
    let server = Server::start(&[]);
    let (tool, address) = relay(&server.url("/"));
    let mut client = connect(address);
    let asked = Instant::now();
    assert!(client.get("/news").body.contains("\"empty\""));
    assert!(asked.elapsed() >= 2 * DELAY);

    client.ask("/stream");
    client.read_until("welcome");
    client.read_until("}\n");
    let published = Instant::now();
    for text in ["one", "two", "three"] {
        server.publish("lobby", text);
    }
    for text in ["one", "two", "three"] {
        assert!(client.read_until("}\n").contains(text));
    }
    assert!(published.elapsed() >= DELAY);

    tool.signal("INT");
    assert!(tool.end().well().is_empty());
}

#[test]
fn who_hangs_up_is_hung_up_on_at_the_other_end() {
    let server = Server::start(&[]);
    let before = server.fds();
    let (_tool, address) = relay(&server.url("/"));
    let mut client = connect(address);
    client.ask("/poll");
    server.wait_for_subscribers(1);
    drop(client);
    server.wait_for_fds(before);
}

#[test]
fn without_a_server_clients_are_hung_up_on_and_the_relay_stays() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (tool, address) = relay(&format!("http://{nobody}"));
    for _ in 0..2 {
        assert_eq!(connect(address).read_to_end(), "");
    }
    tool.signal("TERM");
    assert!(tool.end().well().is_empty());
}

#[test]
fn what_it_cannot_do_is_told_in_one_line() {
    let run = |words: &[&str]| Tool::run(&[&["relay"], words].concat(), "");
    run(&["http://192.0.2.1:8080"]).badly(2, &["a relay is for one's own machine", "127.0.0.1"]);
    run(&["127.0.0.1:8080"]).badly(2, &["write it with its scheme"]);
    run(&["http://127.0.0.1:8080", "--delay", "soon"]).badly(2, &["--delay", "such as 30s or 500ms"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = run(&["http://127.0.0.1:8080", "--port", &port]);
    ended.badly(1, &[&format!("port {port} is in use"), "another --port"]);
}

/// Who has closed both ways is a hang-up for epoll, which reports it whether it is asked for or not.
#[test]
fn what_is_on_its_way_when_both_ends_have_closed_costs_no_time() {
    const OFTEN: usize = 20;
    let server = Server::start(&[]);
    let before = server.fds();
    let (tool, address) = relay(&server.url("/"));
    for _ in 0..OFTEN {
        let mut client = connect(address);
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(client.read_to_end().ends_with("ok\n"));
    }
    server.wait_for_fds(before);
    let spent = cpu_time(tool.child.id());
    assert!(spent < DELAY * OFTEN as u32 / 4, "{spent:?}");
}

#[test]
fn who_does_not_read_is_not_kept_for_without_end() {
    const PLENTY: usize = 200 << 20;
    let talker = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tool, address) = relay(&format!("http://{}", talker.local_addr().unwrap()));
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = talker.accept().unwrap();
    server.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (piece, mut said) = (vec![b'x'; 1 << 20], 0);
    while said < PLENTY
        && let Ok(count) = server.write(&piece)
    {
        said += count;
    }
    assert!(said < PLENTY, "the relay has taken in {said} bytes that nobody reads");
    drop(server);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = 0;
    let mut room = vec![0; 1 << 20];
    while let count @ 1.. = client.read(&mut room).unwrap() {
        heard += count;
    }
    assert_eq!(heard, said);
    tool.signal("INT");
    assert!(tool.end().well().is_empty());
}

#[test]
fn without_fds_clients_are_hung_up_on_and_the_relay_stays() {
    let server = Server::start(&[]);
    let mut shell = Command::new("prlimit");
    shell.args(["--nofile=16", env!("CARGO_BIN_EXE_doorbell")]);
    let (_tool, address) = relay_as(shell, &server.url("/"));
    let mut clients: Vec<Client> = (0..20).map(|_| connect(address)).collect();
    clients.iter_mut().for_each(|client| client.ask("/news"));
    let answered = clients.iter_mut().map(|client| client.stream.read(&mut [0; 64]).unwrap_or(0) > 0);
    let answered = answered.filter(|&it| it).count();
    assert!((1..20).contains(&answered), "{answered} of 20");
    drop(clients);
    eventually("the relay to serve again", || {
        let mut client = connect(address);
        let asked = client.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").is_ok();
        (asked && client.stream.read(&mut [0; 64]).unwrap_or(0) > 0).then_some(())
    });
}

/// utime and stime (proc_pid_stat(5)), in ticks of 10 ms.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|&at| fields[at].parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}
