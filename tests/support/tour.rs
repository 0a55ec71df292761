//! The commands of a page, run one after another against one server as a reader would, and what they say held
//! against what the page says.

use super::Server;
use super::alike::says;
use super::pages::{Command, Fence, Page};
use std::path::Path;
use std::time::{Duration, Instant};

/// Where a page says that its server is.
const ON_THE_PAGE: &str = "127.0.0.1:8080";
/// The same, as bash opens a connection.
const DEVICE_ON_THE_PAGE: &str = "/dev/tcp/127.0.0.1/8080";
/// How a page says the server's process id.
const PID_ON_THE_PAGE: &str = "$(pidof doorbell)";
/// What a server says first.
const BANNER: &str = "listening on http://127.0.0.1:8080\n";
/// What a command may take.
const SECONDS: &str = "60";
/// How long a page waits for its server to have said something.
const PATIENCE: Duration = Duration::from_secs(5);
/// A page waits half a second for another program, and a busy machine takes longer. So a page that is not as it says
/// is taken again from its beginning, with all its waits so many times as long.
const PACES: [u32; 3] = [1, 3, 8];

/// Runs every command of the page's consoles, but those that have tests of their own, and those of which the page
/// says that they are not run; and says how many these were.
pub fn take(page: &Page) -> usize {
    let mut why = String::new();
    for pace in PACES {
        match walk(page, pace) {
            Ok(count) => return count,
            Err(reason) => why = reason,
        }
    }
    panic!("{}: {why}", page.name());
}

fn walk(page: &Page, pace: u32) -> Result<usize, String> {
    let (mut server, mut count): (Option<Served>, usize) = (None, 0);
    for fence in page.consoles().filter(|fence| is_run(fence)) {
        for command in fence.commands().iter().filter(|command| !is_run_elsewhere(&command.words)) {
            count += 1;
            if let Some(flags) = flags_of_serve(&command.words) {
                let next = Served::start(&flags, &command.output);
                server.replace(next).map_or(Ok(()), |served| served.has_said_all(pace))?;
            } else {
                run(command, server.get_or_insert_with(|| Served::start(&[], BANNER)), pace)?;
            }
        }
    }
    server.map_or(Ok(()), |served| served.has_said_all(pace))?;
    Ok(count)
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

    /// What the page says of its standard error must have come by the time that the server goes.
    fn has_said_all(self, pace: u32) -> Result<(), String> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let expected = self.errors.join("\n");
        let deadline = Instant::now() + PATIENCE * pace;
        let mut said: Vec<String> = Vec::new();
        while !says(&format!("…\n{expected}\n…"), &said.join("\n")) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.server.lines.recv_timeout(left) else {
                let said = said.join("\n");
                return Err(format!("--- the page says of the server\n{expected}\n--- it says\n{said}"));
            };
            said.push(line);
            said.extend(self.server.lines.try_iter());
        }
        Ok(())
    }
}

fn run(command: &Command, served: &Served, pace: u32) -> Result<(), String> {
    let server = &served.server;
    let here = command.words.replace(ON_THE_PAGE, &server.address.to_string());
    let here = here.replace(DEVICE_ON_THE_PAGE, &format!("/dev/tcp/127.0.0.1/{}", server.address.port()));
    let here = slowed(&here.replace(PID_ON_THE_PAGE, &server.pid().to_string()), pace);
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
    if says(&expected, &said) {
        return Ok(());
    }
    Err(format!("$ {}\n--- the page says\n{expected}\n--- it says\n{said}", command.words))
}

/// The same command with its waits so many times as long.
fn slowed(command: &str, pace: u32) -> String {
    let mut slowed = command.to_owned();
    for word in ["sleep ", "--max-time ", "--for ", "timeout ", "timeout="] {
        let mut parts = slowed.split(word);
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
            let (number, rest) = part.split_at(end);
            let longer = number.parse::<f64>().map(|number| (number * f64::from(pace)).to_string());
            text.push_str(word);
            text.push_str(longer.as_deref().unwrap_or(number));
            text.push_str(rest);
        }
        slowed = text;
    }
    slowed
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
