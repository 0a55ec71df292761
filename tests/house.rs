//! The rules of the house, so that nobody has to remember them.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there are files in {folder}");
    found
}

/// The lines of code of a file, without comments and without its unit tests.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap().to_owned()).collect()
}

/// The path below `src`.
fn room(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    path.strip_prefix(src).unwrap().to_string_lossy().into_owned()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

#[test]
fn system_calls_and_unsafe_code_live_in_sys_alone() {
    for path in files("src", ".rs").iter().filter(|path| !room(path).starts_with("sys/")) {
        for line in code(path) {
            for word in ["unsafe", "libc", "nix", "println", "eprintln", "print", "eprint"] {
                assert!(!has_word(&line, word), "{word} in {}: {line}", room(path));
            }
            let clocks = line.contains("Instant::now") || line.contains("SystemTime::now");
            assert!(!clocks, "a clock is read in {}: {line}", room(path));
        }
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_safe() {
    for path in files("src/sys", ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            let before = &lines[at.saturating_sub(4)..at];
            let says = before.iter().any(|line| line.trim_start().starts_with("// SAFETY: "));
            assert!(says, "no SAFETY above {}:{}: {line}", room(&path), at + 1);
        }
    }
}

/// The floors, from the top: whoever stands on one may call on those that are named, and on the ground.
const FLOORS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "bench",
            "client",
            "exhibit",
            "relay",
            "server",
            "swarm",
            "channel",
            "multiplexer",
            "settings",
            "sys",
        ],
    ),
    ("swarm", &["client", "channel", "random", "multiplexer", "sys"]),
    ("client", &["http", "websocket", "channel", "random", "multiplexer", "sys"]),
    ("bench", &["relay", "websocket", "multiplexer", "sys", "random"]),
    ("relay.rs", &["multiplexer", "sys"]),
    ("exhibit", &["multiplexer", "sys"]),
    ("server", &["connection", "technique", "channel", "http", "multiplexer", "sys", "settings"]),
    ("connection.rs", &["technique", "multiplexer", "sys", "settings"]),
    ("technique", &["http", "websocket", "channel", "settings", "page", "random", "rate"]),
    ("http", &["websocket", "channel", "page", "settings"]),
    ("websocket", &[]),
    ("channel", &["settings"]),
    ("multiplexer", &["sys"]),
    ("sys", &[]),
    ("page", &[]),
    ("settings.rs", &[]),
    ("random.rs", &[]),
    ("rate.rs", &[]),
    ("buffer.rs", &[]),
    ("table.rs", &[]),
    ("wheel.rs", &[]),
    ("digits.rs", &[]),
    ("tick.rs", &[]),
    ("main.rs", &[]),
    ("lib.rs", &[]),
];

/// What anybody may stand on.
const GROUND: &[&str] = &["digits", "tick", "wheel", "table", "buffer"];

#[test]
fn every_floor_calls_only_on_those_below() {
    for path in files("src", ".rs") {
        let room = room(&path);
        let top = room.split('/').next().unwrap();
        let floor = FLOORS.iter().find(|(name, _)| *name == top);
        let (name, below) = floor.unwrap_or_else(|| panic!("{room} stands on no floor"));
        for line in code(&path) {
            for target in line.split("crate::").skip(1) {
                let target: String =
                    target.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let own = name.trim_end_matches(".rs") == target;
                let allowed = own || below.contains(&target.as_str()) || GROUND.contains(&target.as_str());
                assert!(allowed, "{room} calls on {target}: {line}");
            }
        }
    }
}

#[test]
fn what_the_bytes_mean_knows_no_socket_and_no_clock() {
    for folder in ["src/technique", "src/http", "src/websocket", "src/channel"] {
        for path in files(folder, ".rs") {
            for line in code(&path) {
                let knows = ["sys::", "multiplexer::", "TcpStream", "std::io", "Instant"];
                let word = knows.iter().find(|word| line.contains(*word));
                assert!(word.is_none(), "{} in {}: {line}", word.unwrap_or(&""), room(&path));
            }
        }
    }
}

#[test]
fn every_flag_of_serve_is_in_the_documentation() {
    let flags = fs::read_to_string("src/cli/serve.rs").unwrap();
    let protocol = fs::read_to_string("docs/PROTOCOL.md").unwrap();
    let names = flags.split("DOORBELL_").skip(1).filter_map(|rest| rest.split('"').next());
    let names: Vec<String> = names
        .filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .map(|name| format!("--{}", name.to_lowercase().replace('_', "-")))
        .collect();
    assert!(names.len() > 15);
    for name in names {
        assert!(protocol.contains(&format!("`{name}")), "{name} is not in docs/PROTOCOL.md");
    }
}

#[test]
fn every_requirement_that_is_claimed_has_its_conversation() {
    let supported = fs::read_to_string("docs/SUPPORTED.md").unwrap();
    let held = fs::read_to_string("tests/transcripts/rfc9112.txt").unwrap();
    let titles: Vec<&str> = held.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(titles.len() > 90);
    let http = supported.split("## HTTP/1.1").nth(1).unwrap().split("Not supported").next().unwrap();
    let rows = http.lines().filter(|line| line.starts_with("| RFC"));
    let claimed: Vec<String> =
        rows.map(|row| row.trim_matches(['|', ' ']).replacen(" | ", ": ", 1)).collect();
    assert_eq!(claimed, titles);
}

#[test]
fn every_file_of_the_source_is_on_the_map() {
    let map = fs::read_to_string("docs/MAP.md").unwrap();
    for path in files("src", ".rs") {
        let room = format!("src/{}", room(&path));
        assert!(map.contains(&room), "{room} is not in docs/MAP.md");
    }
    // And what the map names is there.
    for named in map
        .split('`')
        .filter(|word| word.starts_with("src/") || word.starts_with("tests/") || word.starts_with("scripts/"))
    {
        assert!(Path::new(named).exists(), "docs/MAP.md names {named}, which is not there");
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let reasons = fs::read_to_string("docs/DEPENDENCIES.md").unwrap();
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| in_dependencies) {
            assert!(reasons.contains(&format!("| `{name}` |")), "{name} is not in docs/DEPENDENCIES.md");
        }
    }
}

#[test]
fn files_stay_short_enough_to_be_read() {
    for path in files("src", ".rs") {
        let lines = code(&path).len();
        assert!(lines <= 400, "{} has {lines} lines", room(&path));
    }
}
