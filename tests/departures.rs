//! Whoever goes away, in whatever state and however rudely, leaves nothing behind: no fd, no timer and no seat.

mod support;

use socket2::SockRef;
use std::net::Shutdown;
use std::time::Duration;
use support::{Client, MECHANISMS, Server, eventually, masked_frame, publication};

/// Longer than any test waits: what happens before this is over happened for another reason.
const LONG: &str = "300s";

/// A state in which a client may be when it goes, and how it gets there.
type State = (&'static str, fn(&Server) -> Client);

/// The states in which the client has read all that the server said.
const STATES: &[State] = &[
    ("with nothing sent", |server| server.connect()),
    ("in mid-head", |server| having_sent(server, "GET /news HTTP/1.1\r\nHost: a\r\nX-Ha")),
    ("in mid-body", |server| {
        having_sent(server, "POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal")
    }),
    ("in the middle of a chunk", |server| {
        having_sent(server, "POST /event HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhal")
    }),
    ("between two requests", |server| {
        let mut client = server.connect();
        assert_eq!(client.get("/news").status, 200);
        client
    }),
    ("in mid-head of a second request", |server| {
        let mut client = server.connect();
        assert_eq!(client.get("/news").status, 200);
        client.send("GET /ne");
        client
    }),
    ("with a parked poll", |server| having_sent(server, "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("with a request behind a parked poll", |server| {
        having_sent(server, "GET /poll HTTP/1.1\r\nHost: a\r\n\r\nGET /news HTTP/1.1\r\nHost: a\r\n\r\n")
    }),
    ("on an event stream", |server| listening(server, "/connect", "\n\n\r\n")),
    ("on a stream", |server| listening(server, "/stream", "}\n\r\n")),
    ("on a WebSocket", websocket),
    ("on an echo", |server| {
        let mut client = server.connect();
        client.upgrade("/echo");
        client
    }),
    ("in mid-frame", |server| {
        let mut client = websocket(server);
        client.send_bytes(&masked_frame(true, 1, b"half")[..7]);
        client
    }),
    ("between two fragments", |server| {
        let mut client = websocket(server);
        client.send_bytes(&masked_frame(false, 1, b"the first half"));
        client
    }),
];

/// The states in which more was said to the client than it has read, and the server waits for room.
const BEHIND: &[State] = &[
    ("with unread answers", |server| {
        let request = "GET /news?channel=long HTTP/1.1\r\nHost: a\r\n\r\n";
        having_sent(server, &request.repeat(200))
    }),
    ("with unread events", |server| listening(server, "/connect?channel=long&since=start", "\n\n")),
    ("with unread lines", |server| listening(server, "/stream?channel=long&since=start", "\n")),
    ("with unread messages", |server| {
        let mut client = server.connect();
        client.upgrade("/ws?channel=long&since=start");
        client
    }),
];

fn having_sent(server: &Server, text: &str) -> Client {
    let mut client = server.connect();
    client.send(text);
    client
}

/// On a stream whose opening ends in these words.
fn listening(server: &Server, target: &str, opening: &str) -> Client {
    let mut client = server.connect();
    client.ask(target);
    client.read_until("\r\n\r\n");
    client.read_until(opening);
    client
}

fn websocket(server: &Server) -> Client {
    let mut client = server.connect();
    client.upgrade("/ws");
    client.message();
    client
}

/// Closing a socket that has read everything sends a FIN.
fn closes(client: Client) -> Option<Client> {
    drop(client);
    None
}

/// Closing one that lingers for no time sends a RST.
fn is_reset(client: Client) -> Option<Client> {
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    closes(client)
}

/// It will send no more, and could still read.
fn closes_one_half(client: Client) -> Option<Client> {
    client.stream.shutdown(Shutdown::Write).unwrap();
    Some(client)
}

/// A server, and how many fds it has while nobody is there. Its channel `long` has more to tell than a
/// socket buffer holds.
fn quiet_server(mechanism: &str) -> (Server, usize) {
    let flags = ["--multiplexer", mechanism, "--hold", LONG, "--max-hold", LONG, "--head-timeout", LONG];
    let more = ["--body-timeout", LONG, "--idle-timeout", LONG, "--history-bytes", "16MiB"];
    let server = Server::start(&[&flags[..], &more].concat());
    let fds = server.fds();
    for _ in 0..10 {
        server.publish("long", &"x".repeat(1_000_000));
    }
    server.wait_for_fds(fds);
    (server, fds)
}

/// What was sent before this has been read after it, in several turns if need be.
fn let_it_turn(server: &Server) {
    for _ in 0..3 {
        server.metric("doorbell_accepted_total");
    }
}

/// Waits until the server holds no more than while nobody is there.
fn expect_nothing_left(server: &Server, fds: usize, of_whom: &str) {
    eventually(&format!("all fds of a client {of_whom} to be closed"), || {
        (server.fds() == fds).then_some(())
    });
    eventually(&format!("no seat of a client {of_whom} to be taken"), || {
        (server.metric("doorbell_subscribers") == 0.0).then_some(())
    });
    // The one timer is that of the connection that asks.
    eventually(&format!("no timer of a client {of_whom} to be armed"), || {
        (server.metric("doorbell_timers") == 1.0).then_some(())
    });
}

fn expect_nothing_left_after(leaves: fn(Client) -> Option<Client>, states: &[State]) {
    for mechanism in MECHANISMS {
        let (server, fds) = quiet_server(mechanism);
        for (state, enter) in states {
            let client = enter(&server);
            let_it_turn(&server);
            assert!(server.fds() > fds, "a client {state} is there, with {mechanism}");
            let half = leaves(client);
            expect_nothing_left(&server, fds, &format!("{state}, with {mechanism}"));
            drop(half);
        }
    }
}

#[test]
fn nothing_is_left_of_a_client_that_closes() {
    expect_nothing_left_after(closes, STATES);
}

#[test]
fn nothing_is_left_of_a_client_that_is_reset() {
    expect_nothing_left_after(is_reset, STATES);
}

#[test]
fn nothing_is_left_of_a_client_that_closes_one_half() {
    // Who has closed its half can answer nothing and ask nothing: it is gone from a poll and a stream too.
    expect_nothing_left_after(closes_one_half, STATES);
}

#[test]
fn nothing_is_left_of_a_client_that_goes_with_much_unread() {
    expect_nothing_left_after(closes, BEHIND);
    expect_nothing_left_after(is_reset, BEHIND);
}

#[test]
fn a_stream_that_closes_one_half_with_much_unread_is_gone_too() {
    // What was said before is still offered to it for some seconds, but no seat is kept for it.
    let halves = MECHANISMS.map(|mechanism| {
        let (server, fds) = quiet_server(mechanism);
        let client = listening(&server, "/stream?channel=long&since=start", "\n");
        let_it_turn(&server);
        client.stream.shutdown(Shutdown::Write).unwrap();
        (mechanism, server, fds, client)
    });
    for (mechanism, server, fds, _client) in &halves {
        server.wait_for_subscribers(0);
        expect_nothing_left(
            server,
            *fds,
            &format!("that closed one half with much unread, with {mechanism}"),
        );
    }
}

#[test]
fn nothing_is_left_of_a_crowd_that_goes_all_at_once() {
    for mechanism in MECHANISMS {
        let (server, fds) = quiet_server(mechanism);
        let crowd: Vec<Client> = (0..5).flat_map(|_| STATES).map(|(_, enter)| enter(&server)).collect();
        server.wait_for_subscribers(5 * 7);
        for (place, client) in crowd.into_iter().enumerate() {
            if place % 2 == 0 {
                closes(client)
            } else {
                is_reset(client)
            };
        }
        expect_nothing_left(&server, fds, &format!("in a crowd, with {mechanism}"));
    }
}

#[test]
fn who_goes_away_while_parked_leaves_long_before_the_hold_ends() {
    for mechanism in MECHANISMS {
        let (server, fds) = quiet_server(mechanism);
        let parked: Vec<Client> =
            (0..3).map(|_| having_sent(&server, "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        server.wait_for_subscribers(3);
        drop(parked);
        server.wait_for_subscribers(0);
        server.wait_for_fds(fds);
        let answer = server.publish("lobby", "is anybody there?");
        assert!(answer.contains(r#""long_poll":0"#), "{answer}");
    }
}

/// A client that has filled all the room there is behind a parked poll: nothing more is read from it, and
/// nothing is to be written. poll and epoll report a failure unasked; select knows only what it is asked.
#[test]
fn only_select_is_blind_to_a_reset_where_nothing_is_asked() {
    for mechanism in MECHANISMS {
        let flags = ["--multiplexer", mechanism, "--hold", LONG, "--max-hold", LONG, "--max-head", "256"];
        let server = Server::start(&flags);
        let fds = server.fds();
        let mut client = having_sent(&server, "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(&"GET /news HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
        server.wait_for_subscribers(1);
        let_it_turn(&server);
        is_reset(client);
        let_it_turn(&server);
        if mechanism == "select" {
            assert_eq!(server.metric("doorbell_subscribers"), 1.0, "it cannot have been noticed");
            server.publish("lobby", "the next write tells");
        }
        expect_nothing_left(&server, fds, &format!("behind whose poll there was no room, with {mechanism}"));
    }
}

#[test]
fn select_notices_a_reset_where_nothing_is_asked_at_the_deadline() {
    let server = Server::start(&["--multiplexer", "select", "--hold", "1s", "--max-head", "256"]);
    let fds = server.fds();
    let mut client = having_sent(&server, "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(&"GET /news HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
    let_it_turn(&server);
    is_reset(client);
    expect_nothing_left(&server, fds, "whose hold ended");
}

#[test]
fn news_reach_the_living_when_half_of_the_crowd_has_just_died() {
    for mechanism in MECHANISMS {
        let (server, fds) = quiet_server(mechanism);
        let mut crowd: Vec<Client> =
            (0..40).map(|_| having_sent(&server, "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        server.wait_for_subscribers(40);
        let mut publisher = server.connect();
        // While it stands still the deaths and the news pile up, so that it hears of all in one turn.
        server.signal("STOP");
        publisher.send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnews");
        for place in (0..40).rev().step_by(2) {
            is_reset(crowd.remove(place));
        }
        server.signal("CONT");
        for living in &mut crowd {
            assert!(living.answer().body.contains("news"));
        }
        assert_eq!(publisher.answer().status, 201);
        drop((crowd, publisher));
        expect_nothing_left(&server, fds, &format!("that died before news came, with {mechanism}"));
    }
}

#[test]
fn a_fresh_client_is_served_after_500_visits_cut_short() {
    for mechanism in MECHANISMS {
        let (server, fds) = quiet_server(mechanism);
        let mut parked = having_sent(&server, "GET /poll?channel=own HTTP/1.1\r\nHost: a\r\n\r\n");
        server.wait_for_subscribers(1);
        // The same few fd numbers are taken again and again, each time by somebody who asks something else.
        let visits = [
            "",
            "GET /po",
            "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabandoned",
        ];
        for visit in 0..500 {
            let client = having_sent(&server, visits[visit % visits.len()]);
            if visit % 2 == 0 {
                closes(client)
            } else {
                is_reset(client)
            };
        }
        let mut fresh = server.connect();
        assert_eq!(fresh.get("/healthz").body, "ok\n");
        assert_eq!(fresh.get("/news?channel=empty").status, 200);
        drop(fresh);
        // The one who was there all the time has heard nothing that was meant for others.
        server.wait_for_subscribers(1);
        server.publish("own", "for you");
        assert!(parked.answer().body.contains("for you"));
        assert!(parked.kept.is_empty());
        drop(parked);
        expect_nothing_left(&server, fds, &format!("of 500, with {mechanism}"));
    }
}

/// More bytes of news than pile up in one turn before they are delivered in the middle of it.
const PILE: usize = 1024 * 1024;

/// Its reset is found by a write, for in this turn its own event comes behind those of the publishers.
#[test]
fn who_is_found_reset_when_news_is_passed_on_takes_the_news_of_nobody_along() {
    for mechanism in MECHANISMS {
        let server = Server::start_over(mechanism, &["--ping-interval", LONG]);
        // They come first, for poll and select look at fds in the order of their numbers.
        let mut publishers: Vec<Client> = (0..PILE / 15_000 + 2).map(|_| server.connect()).collect();
        let mut followers = Vec::from([(); 3].map(|()| listening(&server, "/stream", "}\n\r\n")));
        server.wait_for_subscribers(3);

        server.stop();
        publishers[0].send(&publication("lobby", "news"));
        let pile = publication("pile", &"x".repeat(15_000));
        publishers[1..].iter_mut().for_each(|publisher| publisher.send(&pile));
        is_reset(followers.remove(1));
        server.signal("CONT");
        for mut follower in followers {
            assert!(follower.read_until("}\n").contains("news"), "{mechanism}");
        }
    }
}
