//! One client in each state that a connection can be in, to be looked at, moved, and heard from again.

use super::{Client, Server, narrow};
use serde_json::Value;

/// A state that a connection can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Connected, and nothing else.
    Fresh,
    /// Half a head has been sent.
    HalfHead,
    /// A head and half a body have been sent.
    HalfBody,
    /// Between two short polls.
    ShortPoll,
    LongPoll,
    /// A parked poll, and so much behind it that nothing more is read.
    ParkedAndFull,
    Sse,
    Stream,
    WebSocket,
    Echo,
    /// A stream that is not read, and more to be said than the kernel takes.
    Unread,
    /// A client that asks and asks, and reads no answer.
    Paused,
}

/// How many large events an [`State::Unread`] stream is sent, and how many bytes each has.
const LARGE: (usize, usize) = (16, 100_000);
/// How many large answers a [`State::Paused`] client asks for.
const QUESTIONS: usize = 10;
/// How many requests wait behind the poll of [`State::ParkedAndFull`]: more than 16 KiB.
const BEHIND: usize = 600;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// What the server must be started with: nothing happens by itself, and nobody is let go for reading slowly.
pub const FLAGS: [&str; 6] = ["--outbox-limit", "64MiB", "--ping-interval", "5m", "--idle-timeout", "10m"];

impl State {
    pub const ALL: [State; 12] = [
        State::Fresh,
        State::HalfHead,
        State::HalfBody,
        State::ShortPoll,
        State::LongPoll,
        State::ParkedAndFull,
        State::Sse,
        State::Stream,
        State::WebSocket,
        State::Echo,
        State::Unread,
        State::Paused,
    ];

    /// What is spoken.
    pub fn technique(self) -> &'static str {
        match self {
            State::Fresh | State::HalfHead | State::HalfBody => "http",
            State::ShortPoll | State::Paused => "short_poll",
            State::LongPoll | State::ParkedAndFull => "long_poll",
            State::Sse => "sse",
            State::Stream | State::Unread => "stream",
            State::WebSocket | State::Echo => "websocket",
        }
    }

    /// Where it is subscribed.
    pub fn channel(self) -> Option<&'static str> {
        match self {
            State::LongPoll | State::Sse | State::Stream | State::WebSocket => Some("lobby"),
            State::ParkedAndFull => Some("behind"),
            State::Unread => Some("large"),
            _ => None,
        }
    }

    /// The longest that it may be until something is due, in milliseconds.
    pub fn longest(self) -> u64 {
        match self {
            State::Fresh | State::HalfHead => 10_000,
            State::HalfBody | State::LongPoll | State::ParkedAndFull => 30_000,
            State::Sse | State::Stream | State::WebSocket | State::Echo => 300_000,
            State::ShortPoll | State::Unread | State::Paused => 600_000,
        }
    }

    /// What the kernel is asked about it, in the words of a mechanism.
    pub fn interest(self, mechanism: &str) -> Vec<&'static str> {
        let [read, write, end] = match mechanism {
            "epoll" => ["EPOLLIN", "EPOLLOUT", "EPOLLRDHUP"],
            "poll" => ["POLLIN", "POLLOUT", "POLLRDHUP"],
            _ => ["readfds", "writefds", ""],
        };
        match self {
            State::Unread => vec![read, write],
            State::Paused => vec![write],
            State::ParkedAndFull if mechanism == "select" => vec![],
            State::ParkedAndFull => vec![end],
            _ => vec![read],
        }
    }
}

/// A client in one of these states.
pub struct Guest {
    pub state: State,
    pub client: Client,
    /// The last event it heard, or where it began.
    cursor: String,
}

/// One in each state.
pub struct Crowd {
    pub guests: Vec<Guest>,
}

impl Crowd {
    /// Lets one of each come, and waits until all subscribers have their seats.
    pub fn enter(server: &Server) -> Crowd {
        server.publish("lobby", "before");
        server.publish("big", &"b".repeat(200_000));
        let guests = State::ALL.into_iter().map(|state| Guest::enter(server, state)).collect();
        let crowd = Crowd { guests };
        let seats = State::ALL.iter().filter(|state| state.channel().is_some()).count();
        server.wait_for_subscribers(seats);
        for number in 0..LARGE.0 {
            server.publish("large", &large(number));
        }
        crowd
    }

    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// Publishes, and has everybody who waits for news hear of it, once and of nothing else; who waits for none
    /// is spoken to as well.
    pub fn hears(&mut self, server: &Server, text: &str) {
        server.publish("lobby", text);
        self.guests.iter_mut().for_each(|guest| guest.hears(text));
    }

    /// Has everybody go on who was in the middle of something: nothing was lost on the way.
    pub fn finish(self, server: &Server) {
        server.publish("behind", "at last");
        self.guests.into_iter().for_each(Guest::finish);
    }
}

/// A large event: it says which one it is.
fn large(number: usize) -> String {
    format!("{number} {}", "l".repeat(LARGE.1))
}

impl Guest {
    fn enter(server: &Server, state: State) -> Guest {
        let is_slow = matches!(state, State::Unread | State::Paused);
        let mut client = if is_slow { narrow(server) } else { server.connect() };
        let mut cursor = String::new();
        match state {
            State::Fresh => {}
            State::HalfHead => client.send("GET /healthz HTTP/1.1\r\nHo"),
            State::HalfBody => {
                client
                    .send("POST /event?channel=half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
            }
            State::ShortPoll => drop(client.get("/news?channel=short")),
            State::LongPoll => {
                let news: Value = serde_json::from_str(&client.get("/news").body).unwrap();
                cursor = news["cursor"].as_str().unwrap().to_owned();
                client.ask(&format!("/poll?since={cursor}"));
            }
            State::ParkedAndFull => {
                client.ask("/poll?channel=behind");
                client.send(&HEALTH.repeat(BEHIND));
            }
            State::Sse => {
                client.ask("/connect");
                client.read_until("\n\n\r\n");
            }
            State::Stream | State::Unread => {
                client.ask(&format!("/stream?channel={}", state.channel().unwrap()));
                client.read_until("\"missed\":false}\n\r\n");
            }
            State::WebSocket => {
                client.upgrade("/ws");
                assert!(client.message().contains("welcome"));
            }
            State::Echo => client.upgrade("/echo"),
            State::Paused => {
                let question = "GET /news?channel=big HTTP/1.1\r\nHost: a\r\n\r\n";
                client.send(&question.repeat(QUESTIONS));
            }
        }
        Guest { state, client, cursor }
    }

    fn hears(&mut self, text: &str) {
        let Guest { state, client, cursor } = self;
        match state {
            State::LongPoll => {
                let news: Value = serde_json::from_str(&client.answer().body).unwrap();
                assert_eq!(news["events"].as_array().unwrap().len(), 1, "{news}");
                assert_eq!(news["events"][0]["data"], text, "{news}");
                *cursor = news["cursor"].as_str().unwrap().to_owned();
                client.ask(&format!("/poll?since={cursor}"));
            }
            State::Sse => {
                let heard = client.read_until("\n\n\r\n");
                assert!(heard.ends_with(&format!("data: {text}\n\n\r\n")), "{heard}");
                assert_eq!(heard.matches("data: ").count(), 1, "{heard}");
            }
            State::Stream => {
                let heard = client.read_until("\"}\n\r\n");
                assert!(heard.ends_with(&format!("\"data\":\"{text}\"}}\n\r\n")), "{heard}");
                assert_eq!(heard.matches("\"data\"").count(), 1, "{heard}");
            }
            State::WebSocket => {
                let heard = client.message();
                assert!(heard.ends_with(&format!("\"data\":\"{text}\"}}")), "{heard}");
            }
            State::Echo => {
                client.send_frame(1, text.as_bytes());
                assert_eq!(client.message(), text);
            }
            State::ShortPoll => assert_eq!(client.get("/news?channel=short").status, 200),
            _ => {}
        }
    }

    fn finish(mut self) {
        let client = &mut self.client;
        match self.state {
            State::Fresh => assert_eq!(client.get("/healthz").status, 200),
            State::HalfHead => {
                client.send("st: a\r\n\r\n");
                assert_eq!(client.answer().status, 200);
            }
            State::HalfBody => {
                client.send("world");
                assert_eq!(client.answer().status, 201);
            }
            State::ParkedAndFull => {
                let news = client.answer().body;
                assert!(news.contains("at last"), "{news}");
                (0..BEHIND).for_each(|_| assert_eq!(client.answer().body, "ok\n"));
            }
            State::Unread => {
                for number in 0..LARGE.0 {
                    let heard = client.read_until("\"}\n\r\n");
                    assert!(
                        heard.contains(&format!("\"data\":\"{number} lll")),
                        "event {number} is the next"
                    );
                    assert!(heard.len() > LARGE.1, "event {number} is whole");
                }
            }
            State::Paused => {
                for number in 0..QUESTIONS {
                    assert!(client.answer().body.len() > 200_000, "answer {number} is whole");
                }
            }
            _ => {}
        }
    }
}
