//! The commands of a page, run one after another against one server as a reader would, and what they say held
//! against what the page says.
//!
//! What differs from run to run is made the same on both sides: epochs, times, ports, process ids, cookies.
//! Where more may differ the page itself says so: `…` stands for any text within a line, and a line that is
//! nothing but `…` for any number of lines.

use super::pages::{Command, Fence, Page};
use super::{PATIENCE, Server};
use std::path::Path;
use std::time::Instant;

/// Where a page says that its server is.
const ON_THE_PAGE: &str = "127.0.0.1:8080";
/// The same, as bash opens a connection.
const DEVICE_ON_THE_PAGE: &str = "/dev/tcp/127.0.0.1/8080";
/// How a page says the server's process id.
const PID_ON_THE_PAGE: &str = "$(pidof doorbell)";
/// What a command may take.
const SECONDS: &str = "60";

/// Runs every command of the page's consoles, but those that have tests of their own, and those of which the page
/// says that they are not run.
pub fn take(page: &Page) -> usize {
    let mut server = None;
    let mut count = 0;
    for fence in page.consoles().filter(|fence| is_run(fence)) {
        for command in fence.commands().iter().filter(|command| !is_run_elsewhere(&command.words)) {
            count += 1;
            if let Some(flags) = flags_of_serve(&command.words) {
                drop(server.replace(Served::start(&flags, &command.output)));
            } else {
                run(command, server.get_or_insert_with(|| Served::start(&[], BANNER)), page);
            }
        }
    }
    count
}

/// Whether a console is run here.
pub fn is_run(console: &Fence) -> bool {
    console.info == "console"
}

/// Whether this command is a script or a build, for which there are other tests.
fn is_run_elsewhere(words: &str) -> bool {
    ["./scripts/", "cargo ", "export PATH="].iter().any(|start| words.starts_with(start))
}

/// The flags, if this command starts a server.
pub fn flags_of_serve(words: &str) -> Option<Vec<String>> {
    let words = words.strip_prefix("doorbell")?.trim_end_matches('&');
    let mut words = words.split_whitespace().peekable();
    if words.peek().is_some_and(|first| *first != "serve" && !first.starts_with("--")) {
        return None;
    }
    Some(words.filter(|word| *word != "serve").map(str::to_owned).collect())
}

const BANNER: &str = "listening on http://127.0.0.1:8080\n";

/// A server, and what the page says of its standard error.
struct Served {
    server: Server,
    errors: Vec<String>,
}

impl Served {
    fn start(flags: &[String], output: &str) -> Served {
        let errors = output.strip_prefix(BANNER);
        let errors = errors.unwrap_or_else(|| panic!("a server says first {BANNER:?}, not {output:?}"));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Served { server: Server::start(&flags), errors: errors.lines().map(str::to_owned).collect() }
    }
}

/// What the page says of the server's standard error must have come by the time that the server goes.
impl Drop for Served {
    fn drop(&mut self) {
        if self.errors.is_empty() || std::thread::panicking() {
            return;
        }
        let expected = self.errors.join("\n");
        let deadline = Instant::now() + PATIENCE;
        let mut said: Vec<String> = Vec::new();
        while !says(&format!("…\n{expected}\n…"), &said.join("\n")) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.server.lines.recv_timeout(left) else {
                panic!("--- the page says of the server\n{expected}\n--- it says\n{}", said.join("\n"));
            };
            said.push(line);
            said.extend(self.server.lines.try_iter());
        }
    }
}

fn run(command: &Command, served: &Served, page: &Page) {
    let server = &served.server;
    let here = command.words.replace(ON_THE_PAGE, &server.address.to_string());
    let here = here.replace(DEVICE_ON_THE_PAGE, &format!("/dev/tcp/127.0.0.1/{}", server.address.port()));
    let here = here.replace(PID_ON_THE_PAGE, &server.pid().to_string());
    let binary = Path::new(env!("CARGO_BIN_EXE_doorbell")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut bash = std::process::Command::new("timeout");
    bash.args([SECONDS, "bash", "-c", &format!("exec 2>&1\n{here}")]);
    let output = bash.env("PATH", path).env("LANG", "C.UTF-8").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    // Two programs at a time say what they say in either order.
    let in_order = !command.words.contains(" & ");
    let (said, expected) =
        if in_order { (said, command.output.clone()) } else { (sorted(&said), sorted(&command.output)) };
    let name = page.name();
    assert!(
        says(&expected, &said),
        "{name}: $ {}\n--- the page says\n{expected}\n--- it says\n{said}",
        command.words
    );
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Whether what was said is what was expected, but for what may differ.
pub fn says(expected: &str, said: &str) -> bool {
    let (expected, said) = (masked(expected), masked(said));
    let expected: Vec<&str> = expected.trim_end().lines().collect();
    let said: Vec<&str> = said.trim_end().lines().collect();
    lines_match(&expected, &said)
}

/// A gap takes as little as it can: what fits early leaves the most for the rest.
fn lines_match(expected: &[&str], said: &[&str]) -> bool {
    let parts: Vec<&[&str]> = expected.split(|line| line.trim() == "…").collect();
    let [first, between @ .., last] = &parts[..] else { return fit(expected, said) };
    if said.len() < first.len() || !fit(first, &said[..first.len()]) {
        return false;
    }
    let mut rest = &said[first.len()..];
    for part in between.iter().filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|lines| fit(part, lines)) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.len() >= last.len() && fit(last, &rest[rest.len() - last.len()..])
}

fn fit(patterns: &[&str], lines: &[&str]) -> bool {
    patterns.len() == lines.len()
        && patterns.iter().zip(lines).all(|(pattern, line)| line_matches(pattern, line))
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let [first, between @ .., last] = &parts[..] else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// Makes the same what differs from run to run.
fn masked(text: &str) -> String {
    let not_quote = |c: char| c != '"';
    let digit = |c: char| c.is_ascii_digit();
    let mut text = without_epochs(text);
    text = mask(&text, "\"time\":\"", not_quote);
    text = mask(&text, "\"peer\":\"", not_quote);
    text = mask(&text, "\"pid\":", digit);
    text = mask(&text, "127.0.0.1:", digit);
    text = mask(&text, "retry: ", digit);
    text = mask(&text, "Date: ", |c| c.is_ascii_alphanumeric() || ", :".contains(c));
    mask(&text, "doorbell=", |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Puts `*` for the characters of this kind that follow these words.
fn mask(text: &str, after: &str, kind: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(after);
    let mut masked = parts.next().unwrap().to_owned();
    for part in parts {
        masked.push_str(after);
        let rest = part.trim_start_matches(&kind);
        masked.push_str(if rest.len() < part.len() { "*" } else { "" });
        masked.push_str(rest);
    }
    masked
}

/// The epoch of each cursor is six digits to base 36.
fn without_epochs(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match word.split_once('-') {
            Some((epoch, seq)) if is_cursor(epoch, seq) => {
                masked.push_str("epoch-");
                masked.push_str(seq);
            }
            _ => masked.push_str(word),
        }
        rest = after;
    }
    masked
}

fn is_cursor(epoch: &str, seq: &str) -> bool {
    let base_36 = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    epoch.len() == 6
        && epoch.bytes().all(base_36)
        && !seq.is_empty()
        && seq.bytes().all(|c| c.is_ascii_digit())
}
