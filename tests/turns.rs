//! `GET /kernel?turns=N`: the last turns of the loop, against what strace saw of them.

mod support;

use serde_json::Value;
use support::traced::Traced;
use support::{Client, MECHANISMS, Server, eventually, for_each_mechanism};

fn look(client: &mut Client, query: &str) -> Value {
    let answer = client.get(&format!("/kernel?limit=1000&{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn turns(client: &mut Client, query: &str) -> Vec<Value> {
    look(client, query)["turns"].as_array().unwrap().clone()
}

fn lines(turn: &Value) -> &Vec<Value> {
    turn["lines"].as_array().unwrap()
}

fn call(line: &Value) -> &str {
    line["call"].as_str().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

/// Whether one of the calls begins so.
fn has_call(turn: &Value, words: &str) -> bool {
    lines(turn).iter().any(|line| call(line).starts_with(words))
}

/// Everything between two looks: a turn that only time ended, one that wakes many, and each technique.
fn drive(server: &Server, parked: &mut [Client], idle: &mut Client) {
    assert_eq!(idle.get("/news").status, 200);
    assert!(idle.get("/poll?timeout=0.05").body.contains("timeout"));
    let mut sse = server.connect_and_send("GET /connect HTTP/1.1\r\nHost: a\r\n\r\n");
    sse.read_until("id: ");
    let mut socket = server.connect();
    socket.upgrade("/ws");
    assert!(socket.message().contains("welcome"));
    idle.publish("lobby", "to all");
    for client in parked {
        assert!(client.answer().body.contains("to all"));
    }
    sse.read_until("to all");
    assert!(socket.message().contains("to all"));
    socket.send_frame(8, &[]);
    assert_eq!(socket.frame().0, 0x88);
    let mut broken = server.connect_and_send("nonsense\r\n\r\n");
    assert_eq!(broken.answer().status, 400);
    broken.read_to_end();
}

/// A call with what the two notations write differently cut off.
fn plain(text: &str) -> String {
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let result = text.rsplit(" = ").next().unwrap();
    match name {
        "accept4" => format!("accept4({} = {result}", rest.split(',').next().unwrap()),
        "epoll_ctl" => format!("epoll_ctl({} = {result}", rest.split(", {").next().unwrap()),
        // How much of the time was left is known to the kernel alone.
        name if is_wait(name) => {
            format!("{name} = {}", result.split([' ', ',']).next().unwrap())
        }
        _ => text
            .replace(") = ", ")= ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace(")= ", ") = "),
    }
}

fn is_wait(name: &str) -> bool {
    matches!(name, "epoll_wait" | "poll" | "pselect6")
}

/// What strace saw between the onlooker's first question and its last, turn by turn, without what was done for the
/// onlooker.
fn turns_by_strace(traced: &Traced, onlooker: i64) -> Vec<Vec<String>> {
    let calls = traced.calls();
    let question = format!("read({onlooker}, \"GET /kernel?limit=1000&turns");
    let asked: Vec<usize> = (0..calls.len()).filter(|&at| calls[at].text.starts_with(&question)).collect();
    let [first, .., last] = asked[..] else { panic!("two looks at least: {asked:?}") };
    let mut turns: Vec<Vec<String>> = Vec::new();
    // The fds by which it is read in /proc.
    let mut reading: Vec<String> = Vec::new();
    for text in calls[first..last].iter().map(|call| call.text.as_str()) {
        let (name, rest) = text.split_once('(').unwrap();
        let subject = rest.split([',', ')']).next().unwrap();
        if is_wait(name) {
            turns.push(Vec::new());
        } else if name == "openat" {
            assert!(text.contains("/proc/self/"), "{text}");
            reading.push(text.rsplit(' ').next().unwrap().to_owned());
            continue;
        } else if let Some(at) = reading.iter().position(|fd| fd == subject) {
            if name == "close" {
                reading.remove(at);
            }
            continue;
        } else if is_the_onlookers(name, rest, &onlooker.to_string()) {
            continue;
        }
        if let Some(turn) = turns.last_mut() {
            turn.push(plain(text));
        }
    }
    // The last one is that of the last question.
    turns.pop();
    turns.retain(|turn| turn.len() > 1);
    turns
}

/// What is done for the look itself, or with the onlooker's connection; or by the allocator.
fn is_the_onlookers(name: &str, given: &str, fd: &str) -> bool {
    let mut words = given.split([',', ')']).map(str::trim);
    match name {
        "getpid" | "prlimit64" | "readlink" => true,
        "brk" | "mmap" | "munmap" | "mremap" | "madvise" => true,
        "epoll_ctl" => words.nth(2) == Some(fd),
        _ => words.next() == Some(fd),
    }
}

#[test]
fn the_calls_are_those_that_strace_saw_less_the_onlookers() {
    for mechanism in MECHANISMS {
        let traced = Traced::start(&["--multiplexer", mechanism]);
        let server = &traced.server;
        // These were there before anybody looked.
        let park = |_| server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut parked: Vec<Client> = (0..60).map(park).collect();
        server.wait_for_subscribers(parked.len());
        let mut idle = server.connect();
        assert_eq!(idle.get("/healthz").status, 200);
        let mut onlooker = server.connect();
        assert_eq!(turns(&mut onlooker, "turns=64"), Vec::<Value>::new(), "nobody has asked before");
        drive(server, &mut parked, &mut idle);
        // Until everybody who has left is gone.
        let open = parked.len() + 3;
        eventually("those who left to be gone", || {
            let page = look(&mut onlooker, "narrate=ko");
            let connections =
                page["fds"].as_array().unwrap().iter().filter(|line| line["kind"] == "connection");
            (connections.count() <= open).then_some(())
        });
        let page = look(&mut onlooker, "turns=64");
        let told = page["turns"].as_array().unwrap();
        let own = page["fds"].as_array().unwrap().iter().find(|line| line["onlooker"] == true).unwrap();
        let seen = turns_by_strace(&traced, own["fd"].as_i64().unwrap());
        assert!(told.len() >= 10, "{mechanism}: {told:#?}");
        for (turn, seen) in told.iter().zip(&seen) {
            let calls: Vec<String> = lines(turn).iter().map(|line| plain(call(line))).collect();
            let whole = calls.len() + number(&turn["more"]) as usize;
            assert_eq!(&calls[..], &seen[..calls.len().min(seen.len())], "{mechanism}: {turn:#}");
            assert_eq!(whole, seen.len(), "{mechanism}: {turn:#}");
        }
        assert_eq!(told.len(), seen.len(), "{mechanism}");
        // 60 answers do not fit into one turn.
        let long = told.iter().find(|turn| number(&turn["more"]) > 0).expect("a turn that was cut");
        assert_eq!(lines(long).len(), 40);
        // Who was watched before is known by its fd.
        assert!(!page["turns"].to_string().contains("fd -1"), "{mechanism}: {page}");
        assert!(!page["turns"].to_string().contains("/kernel"), "{mechanism}: {page}");
    }
}

#[test]
fn as_many_turns_are_told_as_were_asked_for_the_newest_last() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let (mut client, mut onlooker) = (server.connect(), server.connect());
        assert_eq!(client.get("/healthz").status, 200);
        turns(&mut onlooker, "turns=1");
        for _ in 0..100 {
            assert_eq!(client.get("/healthz").status, 200);
        }
        let all = turns(&mut onlooker, "turns=64");
        assert_eq!(all.len(), 64, "{mechanism}");
        let numbers: Vec<u64> = all.iter().map(|turn| number(&turn["turn"])).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let page = look(&mut onlooker, "turns=3");
        let last = page["turns"].as_array().unwrap();
        assert_eq!(last[..], all[61..], "the newest three");
        assert!(numbers[63] < number(&page["loop"]["wakeups"]));
        // Each is a wait, a read and a write.
        for turn in &all {
            assert_eq!(lines(turn).len(), 3, "{turn}");
            let healthz = lines(turn)[1]["call"].as_str().unwrap();
            assert!(healthz.starts_with("read(") && healthz.contains("GET /healthz"), "{turn}");
            let fd = number(&lines(turn)[1]["fd"]);
            assert!(call(&lines(turn)[2]).starts_with(&format!("write({fd}, \"HTTP/1.1 200 OK")), "{turn}");
            assert_eq!(lines(turn)[0]["fd"], fd, "who woke it: {turn}");
            let why = lines(turn)[2]["why"].as_str().unwrap();
            assert_eq!(why, "200 to /healthz; the next request may come on the same connection");
            assert_eq!(turn["more"], 0);
        }
        // They are in the order of time, and none is later than now.
        let moments: Vec<u64> = all.iter().map(|turn| number(&turn["at_ms"])).collect();
        assert!(moments.is_sorted() && moments[63] <= number(&page["timing_wheel"]["now_ms"]), "{moments:?}");
        for absent in ["turns=0", "turns=0&narrate=en", "narrate=ko"] {
            let page = look(&mut onlooker, absent);
            assert!(page.get("turns").is_none(), "{absent}: {page}");
        }
    });
}

#[test]
fn who_only_looks_sees_nothing_of_itself() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &["--log", "requests"]);
        let (mut one, mut other) = (server.connect(), server.connect());
        turns(&mut one, "turns=64");
        assert_eq!(other.get("/healthz").status, 200);
        for _ in 0..3 {
            turns(&mut other, "turns=64&narrate=ko");
            turns(&mut one, "turns=64");
        }
        let told = turns(&mut one, "turns=64");
        // Only that the other was there before it looked on.
        assert!(told.iter().any(|turn| turn.to_string().contains("GET /healthz")), "{mechanism}: {told:#?}");
        assert!(!Value::from(told).to_string().contains("/kernel"), "{mechanism}");
        // Whoever asks for something else is no onlooker any more, and one that leaves is none either.
        let is_onlooker = |page: &Value, client: &Client| {
            let peer = client.stream.local_addr().unwrap().to_string();
            let line = page["fds"].as_array().unwrap().iter().find(|line| line["peer"] == peer.as_str());
            line.expect("it is connected").get("onlooker").cloned()
        };
        let page = look(&mut one, "turns=1");
        assert_eq!(is_onlooker(&page, &one), Some(Value::Bool(true)));
        assert_eq!(is_onlooker(&page, &other), Some(Value::Bool(true)));
        other.publish("lobby", "something else");
        let page = look(&mut one, "turns=1");
        assert_eq!(is_onlooker(&page, &one), Some(Value::Bool(true)));
        assert_eq!(is_onlooker(&page, &other), None);
        let last = page["turns"].as_array().unwrap().last().unwrap();
        assert!(lines(last).iter().any(|line| call(line).contains("POST /event")), "{last}");
        look(&mut other, "narrate=ko");
        drop(other);
        let told = eventually("the other to be gone", || {
            let page = look(&mut one, "turns=64");
            let connections =
                page["fds"].as_array().unwrap().iter().filter(|line| line["kind"] == "connection");
            (connections.count() == 1).then(|| page["turns"].as_array().unwrap().clone())
        });
        assert!(!told.iter().any(|turn| has_call(turn, "close(")), "{mechanism}: {told:#?}");
    });
}

#[test]
fn a_turn_that_only_time_began_is_told() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &[]);
        let (mut client, mut onlooker) = (server.connect(), server.connect());
        assert_eq!(client.get("/healthz").status, 200);
        turns(&mut onlooker, "turns=64");
        assert!(client.get("/poll?timeout=0.3").body.contains("timeout"));
        let told = turns(&mut onlooker, "turns=64");
        let [parked, over] = &told[told.len() - 2..] else { panic!("{told:#?}") };
        let fd = number(&lines(parked)[1]["fd"]);
        assert!(has_call(parked, &format!("read({fd}, \"GET /poll?timeout=0.3")), "{parked}");
        let sleep = over["sleep"].as_str().unwrap();
        assert!(sleep.contains(&format!("by then the hold of the long poll on fd {fd} is over")), "{sleep}");
        assert!((290..5000).contains(&number(&over["slept_ms"])), "{over}");
        // It went to sleep when the turn before was over.
        let between = number(&over["at_ms"]) - number(&parked["at_ms"]);
        assert!(number(&over["slept_ms"]) <= between, "{told:#?}");
        assert!(lines(over)[0].get("fd").is_none(), "nobody woke it: {over}");
        assert!(has_call(over, &format!("write({fd}, ")), "{over}");
    });
}

#[test]
fn two_onlookers_read_two_languages() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &["--narrate=ko"]);
        let mut client = server.connect();
        assert_eq!(client.get("/healthz").status, 200);
        let (mut english, mut korean) = (server.connect(), server.connect());
        turns(&mut english, "turns=8&narrate=en");
        turns(&mut korean, "turns=8&narrate=ko");
        assert_eq!(client.get("/news").status, 200);
        let [english, default, korean] = [
            turns(&mut english, "turns=1&narrate=en"),
            turns(&mut english, "turns=1"),
            turns(&mut korean, "turns=1&narrate=ko"),
        ];
        assert_eq!(english, default);
        let sentences = |turn: &Value| {
            let why = lines(turn).iter().filter_map(|line| line.get("why"));
            std::iter::once(&turn["sleep"])
                .chain(why)
                .map(|why| why.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (english, korean) = (&english[0], &korean[0]);
        assert_eq!(english["turn"], korean["turn"]);
        assert_eq!(sentences(english).len(), sentences(korean).len());
        assert!(sentences(english).iter().all(|why| why.is_ascii()), "{english}");
        let is_hangul = |why: &String| why.chars().any(|c| ('가'..='힣').contains(&c));
        assert!(sentences(korean).iter().all(is_hangul), "{korean}");
        let calls = |turn: &Value| lines(turn).iter().map(|line| call(line).to_owned()).collect::<Vec<_>>();
        assert_eq!(calls(english), calls(korean));
    });
}

#[test]
fn nothing_is_kept_when_nobody_has_asked_for_five_seconds() {
    for_each_mechanism(|mechanism| {
        let server = Server::start_over(mechanism, &["--log", "requests"]);
        let (mut client, mut onlooker) = (server.connect(), server.connect());
        let asked = number(&look(&mut onlooker, "turns=64")["timing_wheel"]["now_ms"]);
        assert_eq!(client.get("/news").status, 200);
        assert!(turns(&mut onlooker, "turns=64").iter().any(|turn| turn.to_string().contains("GET /news")));
        // A look that asks for no turns keeps none.
        let now = eventually("five seconds to be over", || {
            let now = number(&look(&mut onlooker, "turns=0")["timing_wheel"]["now_ms"]);
            (now > asked + 6000).then_some(now)
        });
        assert_eq!(client.get("/healthz").status, 200);
        assert_eq!(turns(&mut onlooker, "turns=64"), Vec::<Value>::new(), "{mechanism} at {now}");
        // The log goes on as it was, and so do the turns.
        server.line_with("path=/healthz status=200");
        assert_eq!(client.get("/nothing").status, 404);
        server.line_with("path=other status=404");
        assert!(
            turns(&mut onlooker, "turns=64").iter().any(|turn| turn.to_string().contains("GET /nothing"))
        );
    });
}

#[test]
fn who_waits_long_for_a_look_sees_what_came_meanwhile() {
    // The kernel seems to take 40 ms for its account, so that it is asked again only 200 times as long after.
    let slow = ["-ttt", "-e", "inject=openat:delay_exit=40000"];
    let traced = Traced::start_with(&slow, &[]);
    let (mut client, mut onlooker) = (traced.server.connect(), traced.server.connect());
    assert_eq!(client.get("/healthz").status, 200);
    let asked = number(&look(&mut onlooker, "turns=64")["timing_wheel"]["now_ms"]);
    onlooker.ask("/kernel?limit=1&turns=64");
    assert_eq!(client.get("/news").status, 200);
    let page: Value = serde_json::from_str(&onlooker.answer().body).unwrap();
    let waited = number(&page["timing_wheel"]["now_ms"]) - asked;
    assert!(waited > 6000, "{waited} ms are more than the patience with those who ask no more");
    let told = page["turns"].as_array().unwrap();
    assert!(told.iter().any(|turn| turn.to_string().contains("GET /news")), "{page}");
}

#[test]
fn what_is_not_understood_is_refused() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (query, word) in [
        ("turns=65", "turns"),
        ("turns=-1", "turns"),
        ("turns=x", "turns"),
        ("turns=", "turns"),
        ("turns=1&turns=2", "turns"),
        ("turns=1&narrate=de", "narrate"),
        ("narrate=", "narrate"),
    ] {
        let answer = client.get(&format!("/kernel?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(told["detail"].as_str().unwrap().contains(word), "{query}: {told}");
    }
}
