//! The page in a real browser: what its lanes hear, what it shows of the kernel, and for whom it can be used.

mod support;

use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use support::browser::Browser;
use support::{Server, eventually, own_address};

const SCRIPT: &str = "<script>window.rung = 1</script><img src=x onerror='window.rung = 1'>";

fn visit(scenario: &str, server: &Server) -> Browser {
    visit_with("chromium", scenario, server)
}

fn visit_with(browser: &str, scenario: &str, server: &Server) -> Browser {
    Browser::start("page.mjs", &[scenario, &server.url("/"), pictures().to_str().unwrap(), browser])
}

/// Where pictures are left for a person to look at.
fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn each_lane_hears_as_text_and_the_page_counts_what_the_server_counts() {
    each_lane_hears("chromium");
}

#[test]
fn each_lane_hears_in_firefox_too() {
    each_lane_hears("firefox");
}

fn each_lane_hears(browser: &str) {
    let server = Server::start(&[]);
    let browser = visit_with(browser, "lanes", &server);
    let english = ["Short polling", "Long polling", "HTTP streaming", "Server-Sent Events", "WebSocket"];
    let korean = ["쇼트 폴링", "롱 폴링", "HTTP 스트리밍", "Server-Sent Events", "WebSocket"];
    for (language, names) in [("en", english), ("ko", korean)] {
        let seen = browser.hear();
        assert_eq!(seen["language"], language);
        assert_eq!(seen["names"], json!(names));
        assert_eq!(seen["published"], json!([SCRIPT]));
        assert_eq!((&seen["scripts"], &seen["images"], &seen["rung"]), (&json!(1), &json!(0), &Value::Null));
        assert_eq!((&seen["trouble"], &seen["complaints"]), (&json!([]), &json!([])));
        assert_eq!(seen["elsewhere"], json!([]), "nothing is asked of anybody else");
    }
}

#[test]
fn the_mechanism_is_switched_under_living_lanes_and_select_is_refused_past_its_bound() {
    // All but a few numbers below 1,024 are taken by files that nobody watches.
    let script = "ulimit -Sn $(ulimit -Hn); \
                  for i in $(seq 40 1019); do eval \"exec $i</dev/null\"; done; exec \"$0\" \"$@\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, env!("CARGO_BIN_EXE_doorbell")]);
    let server = Server::start_as(bash, &[]);
    let mut browser = visit("swap", &server);
    for (mechanism, calls) in
        [("poll", "epoll_wait → poll"), ("select", "poll → pselect6"), ("epoll", "pselect6 → epoll_wait")]
    {
        let seen = browser.hear();
        assert_eq!(seen["mechanism"], mechanism);
        let said = seen["said"].as_str().unwrap();
        assert!(said.contains(calls) && said.contains("0 came back, 0 lost"), "{said}");
    }
    let seen = browser.hear();
    assert_eq!((&seen["complaints"], &seen["bugs"]), (&json!(0), &json!("")));
    let before = server.fds();
    let crowd: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    eventually("all of them to be let in", || (server.fds() >= before + crowd.len() - 8).then_some(()));
    browser.go_on();
    let seen = browser.hear();
    assert_eq!(seen["mechanism"], "epoll");
    assert!(seen["said"].as_str().unwrap().contains("1024"), "{seen}");
    assert_eq!(seen["reconnects"], json!([0, 0, 0, 0, 0]));
}

#[test]
fn lanes_come_back_after_a_restart_and_a_cut_and_say_what_they_missed() {
    let address = own_address(254);
    let start = |address: SocketAddr| Server::start(&["--listen", &address.to_string()]);

    let server = start(address);
    let url = format!("http://{address}/");
    let mut browser = Browser::start("page.mjs", &["restart", &url]);
    assert_eq!(browser.hear()["type"], "kill");
    drop(server);
    browser.go_on();
    assert_eq!(browser.hear()["type"], "start");
    let _server = start(address);
    browser.go_on();
    assert_eq!(browser.hear(), json!({ "type": "back", "misses": 5, "bugs": "" }));
    let seen = browser.hear();
    assert_eq!(seen["bugs"], "");
    let reconnects = seen["reconnects"].as_array().unwrap();
    assert!(reconnects.iter().all(|count| count.as_u64().unwrap() >= 2), "{seen}");
}

#[test]
fn a_stream_that_is_not_read_is_let_go_and_comes_back_for_what_was_kept() {
    let server = Server::start(&["--outbox-limit", "64KiB", "--history-bytes", "64MiB"]);
    let seen = visit("unread", &server).hear();
    assert!(seen["published"].as_u64().unwrap() < 100, "it was never let go: {seen}");
    assert!(seen["unheard"].as_u64().unwrap() > 5, "the page has read after all: {seen}");
    assert_eq!((&seen["reconnects"], &seen["bugs"]), (&json!(1), &json!("")));
    assert_eq!(seen["buttons"], 1, "only one lane can stop reading");
}

#[test]
fn three_tabs_share_one_long_poll_and_starve_nobody() {
    let server = Server::start(&[]);
    let seen = visit("tabs", &server).hear();
    assert_eq!((&seen["bugs"], &seen["replaced"]), (&json!(""), &json!(0)));
    assert!(seen["answered"].as_u64().unwrap() < 10_000, "{seen}");
}

#[test]
fn where_browsers_cannot_lock_each_tab_is_a_client_of_its_own() {
    let server = Server::start(&[]);
    let seen = visit("unlocked", &server).hear();
    assert_eq!((&seen["locks"], &seen["bugs"]), (&json!([false, false]), &json!("")));
    assert_eq!(seen["replaced"], 0, "they do not drive each other out");
    assert_eq!(seen["themes"], json!(["light", "dark"]), "what is chosen holds, though it is kept nowhere");
    assert!(seen["said"].as_str().unwrap().contains("403"), "{seen}");
}

#[test]
fn a_lane_falls_back_where_something_between_lets_its_technique_not_through() {
    let server = Server::start(&[]);
    let browser = visit("proxied", &server);
    for (instead, name) in [("sse", "Server-Sent Events"), ("long_poll", "Long polling")] {
        let seen = browser.hear();
        assert_eq!((&seen["instead"], &seen["bugs"]), (&json!(instead), &json!("")));
        let note = seen["note"].as_str().unwrap();
        assert!(note.contains(&format!("listening by {name}")), "{note}");
    }
}

#[test]
fn it_is_for_everybody() {
    let server = Server::start(&[]);
    let browser = visit("people", &server);
    for _ in 0..4 {
        let seen = browser.hear();
        assert_eq!(seen["found"], json!([]), "axe finds nothing serious");
        assert_eq!(seen["wide"], json!(false), "nothing is wider than the window: {seen}");
    }
    let seen = browser.hear();
    for (which, name) in [("first", "Short polling"), ("second", "Long polling")] {
        let told = seen[which].as_str().unwrap();
        assert!(told.contains(name) && told.contains("by key p"), "{told}");
    }
    assert_eq!((&seen["isPaused"], &seen["isStillPaused"]), (&json!("true"), &json!("true")));
    assert_eq!(seen["mechanism"], "poll");
    let language = &seen["language"];
    assert_eq!((&language["lang"], &language["missing"]), (&json!("ko"), &json!([])));
    let heard = language["state"].as_array().unwrap();
    assert!(!heard.is_empty() && heard.iter().all(|state| state == "open" || state == "waiting"), "{seen}");
    assert_ne!(language["before"], language["after"]);
}

#[test]
fn a_burst_does_not_stop_it_and_hours_do_not_fill_it() {
    let server = Server::start(&[]);
    let seen = visit("endurance", &server).hear();
    println!("the longest task: {} ms of processor time; then {}", seen["longest"], seen["measures"]);
    assert_eq!(seen["bugs"], "");
    assert!(seen["longest"].as_f64().unwrap() < 50.0, "{seen}");
    let measure = |round: usize, what: &str| seen["measures"][round][what].as_f64().unwrap();
    for (what, room) in [("nodes", 200.0), ("listeners", 50.0), ("heap", 4e6)] {
        let (first, last) = (measure(1, what), measure(3, what));
        assert!(last <= first + room, "{what} grew from {first} to {last}");
    }
}

#[test]
fn a_crowd_is_brought_in_and_let_go_and_refused_past_what_is_possible() {
    let mut limited = Command::new("prlimit");
    limited.args(["--nofile=4096", env!("CARGO_BIN_EXE_doorbell")]);
    let server = Server::start_as(limited, &[]);
    let before = server.fds();
    let seen = visit("crowd", &server).hear();
    let said = seen["said"].as_str().unwrap();
    assert!(said.starts_with("500 × Long polling"), "{said}");
    let refused = seen["refused"].as_str().unwrap();
    assert!(refused.contains("507") && refused.contains("There is room for"), "{refused}");
    assert_eq!(seen["bugs"], "");
    eventually("all fds to be free again", || (server.fds() == before).then_some(()));
}
