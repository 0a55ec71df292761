//! `doorbell relay` before a real server: what is said through it is late, whole and in order.
#![cfg(feature = "lab")]

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use support::tool::Tool;
use support::{Client, Server};

const DELAY: Duration = Duration::from_millis(150);

fn relay(url: &str) -> (Tool, SocketAddr) {
    let tool = Tool::start(&["relay", url, "--delay", "150ms"]);
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
