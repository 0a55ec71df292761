//! Every exhibit, shown by the real program: it says what it expects before it measures, and this kernel agrees.
//!
//! That one which expects what is not so fails is shown beside the verdict, in `src/exhibit/mod.rs`.
#![cfg(feature = "lab")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use support::eventually;

fn exhibit(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.arg("exhibit").args(words).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line on standard error.
fn complaint(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(stdout(output), "");
    stderr.trim_end().to_owned()
}

/// The names in the order of the listing.
fn names() -> Vec<String> {
    let listing = stdout(&exhibit(&[]));
    listing.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The lines below a title, up to the next empty one.
fn section<'a>(text: &'a str, title: &str) -> Vec<&'a str> {
    let mut lines = text.lines();
    assert!(lines.any(|line| line == title), "{title} in {text}");
    lines.take_while(|line| !line.is_empty()).collect()
}

/// What each line of a section is about: the text up to the column of figures.
fn subjects(lines: &[&str], figures_after: &[&str]) -> Vec<String> {
    let subject = |line: &&str| line.trim().split("  ").next().unwrap().to_owned();
    let judged =
        |line: &&&str| figures_after.is_empty() || figures_after.iter().any(|end| line.ends_with(end));
    lines.iter().filter(judged).map(subject).collect()
}

fn is_shown(name: &str) {
    let output = exhibit(&[name]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let title = |title: &str| text.find(title).unwrap_or_else(|| panic!("{title} in {text}"));
    let (expected, measured) = (title("\nExpected, before anything is measured\n"), title("\nMeasured\n"));
    assert!(title("\nThe mistake\n") < title("\nThe cure\n") && title("\nThe cure\n") < expected);
    assert!(expected < measured && measured < title("\nWhy\n"));
    // Whatever was expected was measured, and nothing was left out.
    let mut expected = subjects(&section(&text, "Expected, before anything is measured"), &[]);
    let mut judged = subjects(&section(&text, "Measured"), &["as expected"]);
    assert!(expected.iter().any(|what| what.contains("mistake")), "{text}");
    assert!(expected.iter().any(|what| what.contains("cure")), "{text}");
    expected.sort();
    judged.sort();
    assert_eq!(expected, judged);
    assert!(!text.contains("not as expected"), "{text}");
    let count = expected.len();
    assert!(
        text.contains(&format!("The kernel agrees: {count} of {count} expectations were met.")),
        "{text}"
    );
    assert!(section(&text, "Why").len() >= 3);
    let file = text.trim_end().rsplit(' ').next().unwrap();
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{file}");
    assert!(text.lines().all(|line| line.chars().count() <= 115), "{text}");
}

macro_rules! exhibits {
    ($($test:ident = $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            is_shown($name);
        })*

        #[test]
        fn every_exhibit_is_listed_and_shown_here() {
            assert_eq!(names(), [$($name),*]);
        }
    };
}

exhibits! {
    accept_at_emfile = "emfile",
    edge_triggered_without_draining = "edge-triggered",
    epollout_left_armed = "epollout",
    a_duplicate_that_epoll_still_reports = "dup",
    stale_readiness_for_a_reused_number = "stale",
    select_and_fd_1024 = "fd-setsize",
    a_regular_file = "regular-file",
    one_bad_fd = "bad-fd",
    eintr_taken_for_an_error = "eintr",
    header_and_body_in_two_writes = "two-writes",
    waiters_without_cursors = "no-cursor",
    timestamps_as_cursors = "timestamps",
    waiters_never_cleaned_up = "leaked-waiters",
    a_thread_for_each_request = "threads",
    eight_processes_on_one_listener = "herd",
}

#[test]
fn all_of_them_run_one_after_the_other_and_are_summed_up() {
    let output = exhibit(&["--all"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let names = names();
    let summary: Vec<&str> = text.lines().rev().take(names.len()).collect();
    for (line, name) in summary.iter().rev().zip(&names) {
        assert!(line.starts_with(&format!("{name} ")) && line.contains("the kernel agrees"), "{line}");
    }
    assert_eq!(text.matches("\nThe kernel agrees: ").count(), names.len());
}

#[test]
fn a_name_that_nobody_bears_is_a_usage_error_that_says_the_nearest_or_how_to_list_them() {
    let near = exhibit(&["Emfil"]);
    assert_eq!(near.status.code(), Some(2));
    let line = "doorbell: there is no exhibit 'Emfil'; did you mean emfile? doorbell exhibit lists them";
    assert_eq!(complaint(&near), line);
    let far = exhibit(&["xyzzy"]);
    assert_eq!(far.status.code(), Some(2));
    assert_eq!(complaint(&far), "doorbell: there is no exhibit 'xyzzy'; doorbell exhibit lists them");
    let both = exhibit(&["--all", "emfile"]);
    assert_eq!(both.status.code(), Some(2));
    assert!(complaint(&both).starts_with("doorbell: "));
}

#[test]
fn what_cannot_be_shown_here_says_what_to_do() {
    let shell = "ulimit -n 200; exec \"$0\" exhibit fd-setsize";
    let mut command = Command::new("sh");
    let output = command.args(["-c", shell, env!("CARGO_BIN_EXE_doorbell")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("doorbell: exhibit fd-setsize could not be shown: "), "{stderr}");
    assert!(stderr.contains("ulimit -Hn"), "{stderr}");
}

#[test]
fn help_is_complete_and_shows_an_example() {
    let output = exhibit(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for word in ["[NAME]", "--all", "Example:", "doorbell exhibit emfile"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

/// The children of a process, by proc(5).
fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Whether a process is gone, or dead and only waits to be reaped.
fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[test]
fn processes_of_an_exhibit_die_with_it() {
    // It takes part of a second; until it is caught in the act, it is started again.
    let orphans = eventually("an exhibit to be caught with its children", || {
        let mut parent = Command::new(env!("CARGO_BIN_EXE_doorbell"))
            .args(["exhibit", "herd"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut caught = Vec::new();
        while caught.len() < 8 && parent.try_wait().unwrap().is_none() {
            caught = children(parent.id());
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        (caught.len() == 8).then_some(caught)
    });
    eventually("the children to die", || orphans.iter().all(|&pid| is_gone(pid)).then_some(()));
}
