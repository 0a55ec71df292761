//! The quiz is fair: whatever it plays can be told from the lines that it prints, by rules that know nothing else.

mod support;

use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use support::eventually;
use support::pages::{Page, files_below};

const TECHNIQUES: [&str; 5] = ["short_poll", "long_poll", "stream", "sse", "websocket"];
const MECHANISMS: [&str; 3] = ["select", "poll", "epoll"];
const FAULTS: [&str; 13] = [
    "none",
    "client_reset",
    "client_left",
    "slow_reader",
    "no_fd_left",
    "interrupted",
    "slow_head",
    "silent_client",
    "draining",
    "hold_over",
    "replaced",
    "bad_frame",
    "no_pong",
];

/// Whether this can go wrong with that technique.
fn possible(technique: &str, fault: &str) -> bool {
    match fault {
        "hold_over" | "replaced" => technique == "long_poll",
        "bad_frame" | "no_pong" => technique == "websocket",
        _ => true,
    }
}

/// The quiz, with the doorbell that is tested.
fn quiz(words: &[&str]) -> Command {
    let mut command = Command::new("scripts/quiz");
    command.args(words).env("DOORBELL", env!("CARGO_BIN_EXE_doorbell"));
    command.env("LANG", "C").env_remove("LC_ALL").env_remove("LC_MESSAGES").stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> Output {
    quiz(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(words: &[&str]) -> Value {
    let output = run(&[words, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {output:?}"))
}

/// One line of a riddle.
struct Line {
    name: String,
    given: String,
    result: String,
}

impl Line {
    /// Takes "  12   0.41  read(7, …) = 31" apart. What has not returned has no result.
    fn parse(line: &str) -> Line {
        let text = line[13..].to_owned();
        let (call, result) = text.rsplit_once(") = ").unwrap_or((&text, ""));
        let (name, given) = call.split_once('(').unwrap_or((call, ""));
        Line { name: name.to_owned(), given: given.to_owned(), result: result.to_owned() }
    }

    fn fd(&self) -> &str {
        self.given.split(',').next().unwrap()
    }

    fn is_wait(&self) -> bool {
        self.name == "WAIT" || self.name == "restart_syscall"
    }

    fn writes(&self, words: &str) -> bool {
        self.name.starts_with("write") && self.given.contains(words)
    }

    fn reads(&self, words: &str) -> bool {
        self.name == "read" && self.given.contains(words)
    }

    /// Whether fewer bytes were taken than were given.
    fn is_short(&self) -> bool {
        let given = self.given.rsplit(", ").next().and_then(|count| count.parse::<usize>().ok());
        self.name.starts_with("write") && given.is_some_and(|given| self.result != given.to_string())
    }
}

/// The mechanism, by what a wait hands over.
fn mechanism(lines: &[Line]) -> &'static str {
    let wait = lines.iter().find(|line| line.name == "WAIT").unwrap();
    if lines.iter().any(|line| line.name == "TELL") {
        "epoll"
    } else if wait.given.starts_with("[{") {
        "poll"
    } else {
        "select"
    }
}

/// The technique, by what is written, and when.
fn technique(lines: &[Line]) -> &'static str {
    let written = |words: &str| lines.iter().any(|line| line.writes(words));
    if written("HTTP/1.1 1xx") {
        return "websocket";
    }
    if written("\\ndata: …") {
        return "sse";
    }
    if written("Transfer-Encoding: chunked") {
        return "stream";
    }
    let question = lines.iter().position(|line| line.reads("\"GET ")).unwrap();
    let next = lines[question..].iter().find(|line| line.is_wait() || line.writes("HTTP/1.1 2xx")).unwrap();
    if next.is_wait() { "long_poll" } else { "short_poll" }
}

/// The fault, by calls that fail or are cut short, by bytes that should not be there, and by waits that ran out.
fn fault(lines: &[Line]) -> &'static str {
    let any = |rule: &dyn Fn(&Line) -> bool| lines.iter().any(rule);
    let rules: [(&str, bool); 8] = [
        ("no_fd_left", any(&|line| line.result.starts_with("-1 EMFILE"))),
        ("client_reset", any(&|line| line.result.starts_with("-1 ECONNRESET"))),
        ("client_left", any(&|line| line.reads(", \"\", ") && line.result == "0")),
        ("slow_reader", any(&|line| line.is_short() && line.fd() != "2")),
        (
            "interrupted",
            any(&|line| {
                line.is_wait() && (line.result == "-1 EINTR" || line.result.starts_with("? ERESTART"))
            }),
        ),
        ("draining", any(&|line| line.reads("\"\\17…\", 128"))),
        ("bad_frame", any(&|line| line.writes("\"\\210") && line.given.contains("\\3\\352"))),
        ("no_pong", any(&|line| line.writes("\"\\211"))),
    ];
    let mut found: Vec<&str> = rules.iter().filter(|(_, holds)| *holds).map(|(name, _)| *name).collect();
    if found.is_empty() {
        found.extend(expired(lines));
    }
    if found.is_empty() && answers_somebody_else(lines) {
        found.push("replaced");
    }
    assert!(found.len() <= 1, "one thing at a time: {found:?}");
    found.first().unwrap_or(&"none")
}

/// Whether one who asks is left waiting, and another is answered for it, though nobody has published.
fn answers_somebody_else(lines: &[Line]) -> bool {
    lines.split(Line::is_wait).any(|turn| {
        let asking: Vec<&str> =
            turn.iter().filter(|line| line.reads("\"GET ")).map(|line| line.fd()).collect();
        let answered = |line: &Line| line.writes("HTTP/1.1 2xx") && !asking.contains(&line.fd());
        !asking.is_empty() && !turn.iter().any(|line| line.reads("\"POST ")) && turn.iter().any(answered)
    })
}

/// What a wait that ran out was the end of.
fn expired(lines: &[Line]) -> Option<&'static str> {
    for (at, wait) in lines.iter().enumerate() {
        if !(wait.is_wait() && (wait.result == "0" || wait.result == "0 (Timeout)")) {
            continue;
        }
        for line in lines[at + 1..].iter().take_while(|line| !line.is_wait()) {
            if line.writes("HTTP/1.1 4xx") {
                return Some("slow_head");
            }
            if line.writes("HTTP/1.1 2xx") {
                return Some("hold_over");
            }
            if line.name == "close" {
                return Some("silent_client");
            }
        }
    }
    None
}

fn lines_of(riddle: &Value) -> Vec<Line> {
    let lines = riddle["trace"].as_array().expect("a trace");
    lines.iter().map(|line| Line::parse(line.as_str().unwrap())).collect()
}

fn shown(riddle: &Value) -> String {
    let lines = riddle["trace"].as_array().unwrap();
    lines.iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
}

/// Everything that can be played.
fn every_riddle() -> Vec<[&'static str; 3]> {
    let mut all = Vec::new();
    for technique in TECHNIQUES {
        for mechanism in MECHANISMS {
            let faults = FAULTS.iter().filter(|fault| possible(technique, fault));
            all.extend(faults.map(|fault| [technique, mechanism, fault]));
        }
    }
    all
}

/// Words by which an answer could be read off rather than found out.
const TELLTALES: [&str; 20] = [
    "epoll",
    "EPOLL",
    "poll(",
    "POLL",
    "select",
    "/news",
    "/poll",
    "/connect",
    "/stream",
    "/ws",
    "websocket",
    "event-stream",
    "ndjson",
    "\"type",
    "timeout\"",
    "127.0.0.1",
    "htons",
    "SIG",
    "Upgrade",
    "cursor",
];

#[test]
fn every_riddle_can_be_solved_from_its_lines_alone() {
    let riddles = every_riddle();
    assert_eq!(riddles.len(), 147);
    let (queue, wrong) = (Mutex::new(riddles), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(truth) = next() {
                    let number = truth.concat().len().to_string();
                    let riddle = json(&["--level", "3", "--set", &truth.join(" "), "--seed", &number]);
                    let lines = lines_of(&riddle);
                    let solved = [technique(&lines), mechanism(&lines), fault(&lines)];
                    let told = TELLTALES.iter().find(|word| shown(&riddle).contains(*word));
                    if solved != truth || told.is_some() {
                        let trace = shown(&riddle);
                        wrong.lock().unwrap().push(format!("{truth:?}: {solved:?}, {told:?}\n{trace}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} were not solved:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_rules_do_not_find_what_is_not_there() {
    // A solver that says the same of everything would be worth nothing: one sign is taken out of a trace.
    let riddle = json(&["--level", "3", "--set", "websocket epoll client_reset", "--seed", "1"]);
    let mut lines = lines_of(&riddle);
    assert_eq!(fault(&lines), "client_reset");
    lines.retain(|line| !line.result.contains("ECONNRESET"));
    assert_eq!(fault(&lines), "none");
    lines.retain(|line| line.name != "TELL");
    assert_ne!(mechanism(&lines), "epoll");
}

#[test]
fn a_seed_is_a_riddle_and_others_are_others() {
    let solution = |seed: &str| {
        let answer = ["--level", "2", "--seed", seed, "--answer", "sse epoll"];
        json(&answer)["solution"].to_string()
    };
    let first = solution("11");
    assert_eq!(solution("11"), first);
    let others = ["12", "13", "14", "15", "16", "17"].map(solution);
    assert!(others.iter().any(|other| *other != first), "{others:?}");
}

#[test]
fn an_answer_is_graded_and_explained_by_the_lines_that_gave_it_away() {
    let set = ["--set", "long_poll epoll hold_over", "--seed", "3"];
    let right = [&set[..], &["--answer", "hold_over, long-poll EPOLL"]].concat();
    let output = run(&right);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("3 of 3 right"));
    let graded = json(&right);
    assert_eq!(graded["right"], true);
    let trace = graded["trace"].as_array().unwrap();
    let about: HashMap<&str, &Value> = graded["clues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|clue| (clue["about"].as_str().unwrap(), &clue["lines"]))
        .collect();
    for (part, words) in [("technique", "GET"), ("mechanism", "TELL"), ("fault", "= 0")] {
        let number = about[part][0].as_u64().unwrap() as usize;
        assert!(trace[number - 1].as_str().unwrap().contains(words), "{part}: line {number}");
    }

    let wrong = run(&[&set[..], &["--answer", "long_poll poll hold_over"]].concat());
    assert_eq!(wrong.status.code(), Some(1));
    let said = text(&wrong.stdout);
    assert!(said.contains("poll: no, it was epoll") && said.contains("2 of 3 right"), "{said}");
}

#[test]
fn without_an_answer_nothing_is_given_away() {
    let riddle = json(&["--level", "3", "--seed", "21"]);
    let members: Vec<&str> = riddle.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members.len(), 4, "level, seed, asked, trace: {members:?}");
    let output = run(&["--level", "2", "--seed", "21"]);
    assert!(output.status.success());
    let said = text(&output.stdout);
    let how = said.lines().last().unwrap();
    assert!(how.contains("--level 2 --seed 21 --answer 'TECHNIQUE MECHANISM'"), "{how}");
}

#[test]
fn both_languages_say_all_of_it() {
    let korean = |text: &str| text.chars().any(|letter| ('가'..='힣').contains(&letter));
    let list = |lang: &str| text(&run(&["--list", "--lang", lang]).stdout);
    for (english, other) in list("en").lines().zip(list("ko").lines()) {
        assert!(!korean(english) && korean(other), "{english} | {other}");
        let name = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        assert!(!english.starts_with(' ') || name(english) == name(other), "{english} | {other}");
    }
    assert_eq!(list("en").lines().count(), list("ko").lines().count());
    let output = quiz(&["--seed", "4", "--answer", "sse epoll"]).env("LANG", "ko_KR.UTF-8").output().unwrap();
    assert!(korean(&text(&output.stdout)), "the language is that of LANG");
}

/// That this fails with one line of these words.
fn assert_refused(output: &Output, status: i32, words: &str) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.starts_with("quiz: ") && said.lines().count() == 1 && said.contains(words),
        "{words}: {said}"
    );
}

#[test]
fn bad_words_are_answered_in_one_line() {
    for (words, part) in [
        (&["--level", "4"][..], "1, 2 and 3"),
        (&["--level", "two"], "--help"),
        (&["--bogus"], "--help"),
        (&["--lang", "fr"], "en and ko"),
        (&["--answer", "epol"], "did you mean epoll"),
        (&["--answer", "sse stream"], "both"),
        (&["--set", "sse bad_frame"], "websocket alone"),
        (&["--level", "1", "--set", "slow_head"], "--level 3"),
        (&["--level", "2", "--seed", "1", "--answer", "sse"], "names no mechanism"),
    ] {
        assert_refused(&run(words), 2, part);
    }
    let nowhere = run(&["--seed", "1", "--raw", "/nowhere/at/all"]);
    assert_refused(&nowhere, 1, "/nowhere/at/all");
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("quiz-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let absent = quiz(&["--seed", "1"]).env("DOORBELL", "/nowhere/doorbell").output().unwrap();
    assert_refused(&absent, 1, "cargo build --release");

    // A PATH on which there is Python and no strace.
    let find = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let tools = folder("tools");
    std::os::unix::fs::symlink(text(&find.stdout).trim(), tools.join("python3")).unwrap();
    let without = |words: &[&str]| quiz(words).env("PATH", &tools).output().unwrap();
    assert_refused(&without(&["--seed", "1"]), 1, "apt-get install strace");

    // One that may not trace says what strace says then.
    let script = "#!/bin/sh\necho 'strace: test_ptrace_get_syscall_info: PTRACE_TRACEME: Operation not permitted' >&2\nexit 1\n";
    let strace = tools.join("strace");
    std::fs::write(&strace, script).unwrap();
    let allowed = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&strace, allowed).unwrap();
    assert_refused(&without(&["--seed", "1"]), 1, "--cap-add=SYS_PTRACE");
    std::fs::remove_dir_all(&tools).unwrap();
}

#[test]
fn it_asks_on_a_terminal_until_it_understands() {
    let command = "scripts/quiz --level 2 --set 'sse poll' --seed 9".to_owned();
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("DOORBELL", env!("CARGO_BIN_EXE_doorbell"))
        .env("LANG", "C")
        .env_remove("LC_ALL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"gopher\n?\nsse\nepoll\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        "gopher is none of them",
        "asks again and again",
        "sse: right",
        "epoll: no, it was poll",
        "1 of 2 right",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// The quiz in the middle of a riddle that takes two seconds: itself, its server's pid, and where it keeps its record.
fn in_the_middle(name: &str) -> (Child, u32, PathBuf) {
    let place = folder(name);
    let words = ["--set", "websocket epoll no_pong", "--seed", "1"];
    let child = quiz(&words).env("TMPDIR", &place).stdout(Stdio::null()).spawn().unwrap();
    let server = eventually("a server that is traced", || {
        let record = std::fs::read_dir(&place).unwrap().next()?.unwrap().path().join("record");
        let text = String::from_utf8_lossy(&std::fs::read(record).ok()?).into_owned();
        text.contains("listening on").then(|| text.split(' ').next().unwrap().parse().unwrap())
    });
    (child, server, place)
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let (mut child, server, place) = in_the_middle(signal);
        let killed = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended = eventually("the quiz to end", || child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(status));
        assert!(!Path::new(&format!("/proc/{server}")).exists(), "the server is gone");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "the record is gone");
        std::fs::remove_dir_all(&place).unwrap();
    }
}

/// The pages that speak of it: the book's and both READMEs.
fn pages() -> Vec<Page> {
    let mut paths = files_below("docs/book", ".md");
    paths.extend(["README.md", "README.ko.md"].map(PathBuf::from));
    paths.iter().map(Page::read).collect()
}

#[test]
fn every_quiz_that_a_page_shows_can_be_asked() {
    let mut shown = BTreeSet::new();
    for page in pages() {
        for rest in page.text.split("./scripts/quiz").skip(1) {
            let words = rest.split(['`', '\n', '#']).next().unwrap().trim();
            shown.insert(words.to_owned());
        }
    }
    assert!(shown.len() >= 5, "{shown:?}");
    for words in shown {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("scripts/quiz {words}")]).stdin(Stdio::null());
        let output = bash.env("DOORBELL", env!("CARGO_BIN_EXE_doorbell")).output().unwrap();
        let graded = matches!(output.status.code(), Some(0 | 1));
        assert!(graded && output.stderr.is_empty(), "{words}: {output:?}");
    }
}

#[test]
fn the_trace_among_the_exercises_can_be_solved_too() {
    for language in ["en", "ko"] {
        let page = Page::read(format!("docs/book/{language}/exercises.md"));
        let fence = page.fences.iter().find(|fence| fence.kind() == "text").expect("a trace");
        let lines: Vec<Line> = fence.body.iter().map(|line| Line::parse(line)).collect();
        assert_eq!(
            [technique(&lines), mechanism(&lines), fault(&lines)],
            ["long_poll", "select", "client_reset"]
        );
    }
}
