//! What the server says of its system calls (`--narrate`), against what strace sees of them.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{Client, MECHANISMS, Server, eventually};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/verify-narration");

/// A server under strace, and the folder with its two records. However the test ends, it is told to go.
struct Narrated {
    server: Server,
    folder: PathBuf,
}

impl Narrated {
    fn start(name: &str, flags: &[&str]) -> Narrated {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("narration-{name}"));
        let _ = fs::remove_dir_all(&folder);
        let mut command = Command::new(SCRIPT);
        command.env("DOORBELL", env!("CARGO_BIN_EXE_doorbell")).arg("--keep").arg(&folder);
        Narrated { server: Server::start_as(command, flags), folder }
    }

    /// Ends the server; the records are compared then. How many calls they agree on.
    fn finish(&mut self) -> usize {
        self.server.signal("TERM");
        let verdict = self.server.line_with("narration");
        assert!(verdict.ends_with("agree on every one"), "{verdict}");
        assert!(self.server.wait_for_exit().success());
        verdict.split(' ').next().unwrap().parse().unwrap()
    }

    fn narration(&self) -> String {
        fs::read_to_string(self.folder.join("narration")).unwrap()
    }
}

impl Drop for Narrated {
    fn drop(&mut self) {
        if !self.server.has_exited() {
            self.server.signal("TERM");
            self.server.wait_for_exit();
        }
    }
}

/// Everything that there is, once: each technique, each way to leave, a reader that does not read.
fn drive(server: &Server) {
    // Whoever looks on hears in another language, and that changes nothing here.
    let mut onlooker = server.connect();
    assert_eq!(onlooker.get("/kernel?turns=64&narrate=ko").status, 200);
    let mut short = server.connect();
    assert_eq!(short.get("/news").status, 200);
    assert_eq!(short.get("/nothing").status, 404);
    let mut parked = server.connect_and_send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut given_up = server.connect_and_send("GET /poll?timeout=0.05 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(given_up.answer().body.contains("timeout"));
    let mut sse = server.connect_and_send("GET /connect HTTP/1.1\r\nHost: a\r\n\r\n");
    sse.read_until("id: ");
    let mut stream = server.connect_and_send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.read_until("welcome");
    let mut socket = server.connect();
    socket.upgrade("/ws");
    assert!(socket.message().contains("welcome"));
    server.wait_for_subscribers(4);
    server.publish("lobby", "안녕 \u{1}2\u{7f}");
    for client in [&mut sse, &mut stream] {
        client.read_until("안녕");
    }
    assert!(parked.answer().body.contains("안녕"));
    assert!(socket.message().contains("안녕"));
    let mut echo = server.connect();
    echo.upgrade("/echo");
    echo.send_frame(2, &[0, 1, 2, 0xff, b'7', 8, b'8']);
    assert_eq!(echo.frame(), (0x82, vec![0, 1, 2, 0xff, b'7', 8, b'8']));
    echo.send_frame(8, &[]);
    assert_eq!(echo.frame().0, 0x88);
    do_not_read(server);
    drop((sse, stream));
    server.wait_for_subscribers(1);
    assert!(server.connect().get("/metrics").body.contains("doorbell_syscalls_total"));
    assert_eq!(onlooker.get("/kernel?turns=64&narrate=ko").status, 200);
    assert_eq!(short.get("/news").status, 200);
    assert!(onlooker.get("/kernel?turns=64&narrate=ko").body.contains("번째 바퀴"));
    let mut broken = server.connect_and_send("nonsense\r\n\r\n");
    assert_eq!(broken.answer().status, 400);
    broken.read_to_end();
}

/// Leaves more unread than the kernel takes, and reads it then: so room is asked for, and reported.
fn do_not_read(server: &Server) {
    let body = "x".repeat(1_000_000);
    let mut slow = server.connect_and_send("GET /stream?channel=slow HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_until("welcome");
    for _ in 0..8 {
        server.publish("slow", &body);
    }
    let marked = |client: &mut Client, count| (0..count).for_each(|_| drop(client.read_until("\"id\"")));
    marked(&mut slow, 8);
}

#[test]
fn the_narration_and_strace_agree_on_every_call() {
    for mechanism in MECHANISMS {
        let flags = ["--multiplexer", mechanism, "--log", "requests", "--outbox-limit", "16MiB"];
        let mut narrated = Narrated::start(mechanism, &flags);
        drive(&narrated.server);
        let count = narrated.finish();
        assert!(count > 150, "{mechanism}: {count}");
        for sentence in [
            "no news yet: parked until 30.000 s from now; nothing is written",
            "news: this is the answer that was held back; the poll is over",
            "news: one more piece of the answer that never ends",
            "news: a frame",
            "the hold is over: answered with timeout; it may ask again",
            "101: the same connection on the same fd speaks WebSocket from now on",
            "200 to /connect: an answer without end",
            "201 to /event: published; 4 wait for it",
            "has room; ",
            "the client has gone: its fd, its timer and its seat go together",
            "refused with 400",
            "SIGTERM: nobody new is let in",
        ] {
            assert!(narrated.narration().contains(sentence), "{mechanism}: {sentence}");
        }
    }
}

#[test]
fn a_crowd_that_comes_and_goes_is_told_like_everything() {
    for mechanism in MECHANISMS {
        let mut narrated = Narrated::start(&format!("crowd-{mechanism}"), &["--multiplexer", mechanism]);
        let mut client = narrated.server.connect();
        for killed in [false, true] {
            let body = r#"{"technique":"sse","clients":3}"#;
            let length = body.len();
            let host = "Host: localhost\r\n";
            client.send(&format!(
                "POST /kernel/crowd HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n{body}"
            ));
            let answer = client.answer();
            assert_eq!(answer.status, 201, "{}", answer.body);
            let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            narrated.server.wait_for_subscribers(3);
            if killed {
                Command::new("kill").args(["-s", "KILL", &told["pid"].to_string()]).status().unwrap();
            } else {
                client.send(&format!("DELETE /kernel/crowd HTTP/1.1\r\n{host}\r\n"));
                assert_eq!(client.answer().status, 200);
            }
            eventually("the crowd to be gone", || {
                client.get("/kernel?limit=1").body.contains("\"crowd\":null").then_some(())
            });
        }
        narrated.finish();
        for sentence in [
            "brings 3 clients; its pidfd is fd ",
            "is asked to go, and its clients with it",
            "waitid(P_PIDFD, ",
            "was waited for: it leaves no zombie",
            "CLD_KILLED",
        ] {
            assert!(narrated.narration().contains(sentence), "{mechanism}: {sentence}");
        }
    }
}

fn compare(folder: &Path, narration: &str, strace: &str) -> Output {
    let (told, seen) = (folder.join("told"), folder.join("seen"));
    fs::write(&told, narration).unwrap();
    fs::write(&seen, strace).unwrap();
    Command::new(SCRIPT).arg("--compare").arg(told).arg(seen).output().unwrap()
}

#[test]
fn a_record_that_lacks_a_line_or_has_another_is_caught() {
    let mut narrated = Narrated::start("caught", &[]);
    assert_eq!(narrated.server.connect().get("/healthz").status, 200);
    narrated.finish();
    let folder = &narrated.folder;
    let told = narrated.narration();
    let seen = fs::read_to_string(folder.join("strace")).unwrap();
    assert!(compare(folder, &told, &seen).status.success());
    let without = |text: &str, words: &str| {
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains(words)).collect();
        assert!(kept.len() < text.lines().count(), "{words} is in the record");
        kept.join("\n")
    };
    let read = r#""GET /healthz"#;
    let last_close = told.lines().rfind(|line| line.starts_with("close(")).unwrap();
    for (told, seen, what) in [
        (without(&told, read), seen.clone(), "a read is not narrated"),
        (told.clone(), without(&seen, read), "a read was never made"),
        (told.replace(" = 5\n", " = 6\n"), seen.clone(), "another fd"),
        (told.replace("GET /healthz", "GET /HEALTHZ"), seen.clone(), "other bytes"),
        (told.replace("EPOLLIN", "EPOLLOUT"), seen.clone(), "another interest"),
        (without(&told, last_close), seen.clone(), "the last close is not narrated"),
        (String::new(), seen.clone(), "nothing is narrated"),
    ] {
        let output = compare(folder, &told, &seen);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.starts_with("verify-narration: "), "{said}");
    }
}

#[test]
fn the_language_follows_the_environment_unless_it_is_named() {
    for (flags, environment, words) in [
        (vec!["--narrate"], ("LANG", "ko_KR.UTF-8"), "바퀴"),
        (vec!["--narrate"], ("LANG", "C.UTF-8"), "turn 1: "),
        (vec!["--narrate=en"], ("LANG", "ko_KR.UTF-8"), "turn 1: "),
        (vec!["--narrate=ko"], ("LC_ALL", "C"), "바퀴"),
        (vec![], ("DOORBELL_NARRATE", "ko"), "바퀴"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
        command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env(environment.0, environment.1);
        let server = Server::start_as(command, &flags);
        let line = server.line_with("────");
        assert!(line.contains(words), "{line}");
        assert!(!line.contains('\u{1b}'), "no colour where there is no terminal: {line:?}");
    }
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let run = |arguments: &[&str], variable: (&str, &str)| {
        Command::new(SCRIPT).args(arguments).env(variable.0, variable.1).output().unwrap()
    };
    let nothing = ("DOORBELL", "/nowhere/doorbell");
    let here = ("DOORBELL", env!("CARGO_BIN_EXE_doorbell"));
    for (arguments, variable, status, words) in [
        (vec!["--multiplexer", "poll"], nothing, 1, "/nowhere/doorbell is missing"),
        (vec!["--compare", "one"], here, 2, "--compare takes"),
        (vec!["--compare", "/nowhere", "/nowhere"], here, 2, "/nowhere is no file"),
        (vec!["--multiplexer", "kqueue"], here, 2, "invalid value 'kqueue'"),
    ] {
        let output = run(&arguments, variable);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
}
