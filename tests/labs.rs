//! Every lab of `scripts/lab`, run against the real program: it passes, it fails when what it depends on is taken
//! away, it says all it has to say in both languages, and it leaves nothing behind.

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use support::eventually;

/// Labs that need what not every kernel shows to everybody.
const MAY_SKIP: [&str; 1] = ["price-of-a-watch"];

/// Labs measure; so they do not run beside one another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder for the temporary files of one test. It is gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("doorbell-labs-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `scripts/lab` below this root, with these words.
fn lab_below(root: &Path, words: &[&str]) -> Command {
    for_the_lab(Command::new(root.join("scripts/lab")), words)
}

fn for_the_lab(mut command: Command, words: &[&str]) -> Command {
    command.args(words).env("DOORBELL", env!("CARGO_BIN_EXE_doorbell")).env("LANG", "C.UTF-8");
    command.env_remove("LC_ALL").env_remove("LC_MESSAGES").stdin(Stdio::null());
    command
}

fn lab(words: &[&str]) -> Command {
    lab_below(Path::new(env!("CARGO_MANIFEST_DIR")), words)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The objects that a run printed, one a line.
fn objects(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    let objects = lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    objects.collect()
}

fn names() -> Vec<String> {
    let listed = objects(&lab(&["--json"]).output().unwrap());
    listed.iter().map(|lab| lab["lab"].as_str().unwrap().to_owned()).collect()
}

/// The one line on standard error.
fn complaint(output: &Output) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    stderr.trim_end().to_owned()
}

/// A lab that could not be measured here, and may say so.
fn is_excused(ran: &Value) -> bool {
    ran["verdict"] == "SKIP" && MAY_SKIP.contains(&ran["lab"].as_str().unwrap())
}

fn has_figure(ran: &Value, met: bool) -> bool {
    ran["figures"].as_array().unwrap().iter().any(|figure| figure["met"] == met)
}

/// That nothing is left of these, or what is.
fn nothing_of(what: &str, ran: Vec<Value>) {
    let told: Vec<String> = ran.iter().map(|ran| format!("{ran:#}")).collect();
    assert!(ran.is_empty(), "{what}: {}", told.join("\n"));
}

#[test]
fn every_lab_passes() {
    let _alone = ONE_AT_A_TIME.lock();
    let output = lab(&["all", "--yes", "--short", "--json"]).output().unwrap();
    let mut ran = objects(&output);
    let ran_names: Vec<&str> = ran.iter().map(|lab| lab["lab"].as_str().unwrap()).collect();
    assert_eq!(names(), ran_names);
    ran.retain(|ran| !(is_excused(ran) || ran["verdict"] == "PASS" && has_figure(ran, true)));
    nothing_of("did not pass", ran);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_lab_fails_when_what_it_depends_on_is_taken_away() {
    let _alone = ONE_AT_A_TIME.lock();
    let mut ran = Vec::new();
    for name in names() {
        let output = lab(&[&name, "--yes", "--short", "--json", "--sabotage"]).output().unwrap();
        let object = objects(&output).remove(0);
        // Because of what was measured, and not because something broke.
        let failed =
            output.status.code() == Some(1) && object["verdict"] == "FAIL" && has_figure(&object, false);
        if !failed && !is_excused(&object) {
            ran.push(object);
        }
    }
    nothing_of("did not fail", ran);
}

#[test]
fn the_listing_names_every_lab_in_both_languages() {
    let list = |language| text(&lab(&["--lang", language]).output().unwrap().stdout);
    let (english, korean) = (list("en"), list("ko"));
    for name in names() {
        let line = |text: &str| text.lines().find(|line| line.trim().starts_with(&name)).unwrap().to_owned();
        assert!(line(&english).is_ascii(), "{}", line(&english));
        assert!(line(&korean).chars().any(|c| ('가'..='힣').contains(&c)), "{}", line(&korean));
    }
    let files = fs::read_dir("scripts/labs").unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let files: BTreeSet<String> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(files, names().into_iter().collect());
}

#[test]
fn the_language_is_that_of_the_terminal_unless_told() {
    let _alone = ONE_AT_A_TIME.lock();
    let output = lab(&["one-client-one-fd", "--short"]).env("LANG", "ko_KR.UTF-8").output().unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("왜 그런가") && !said.contains("as expected"), "{said}");
    let output = lab(&["--lang=en"]).env("LANG", "ko_KR.UTF-8").output().unwrap();
    assert!(text(&output.stdout).contains("scripts/lab NAME runs a lab"));
}

/// A copy of the scripts in which one lab has lost the lines that begin so.
fn without(folder: &Folder, name: &str, lost: &str) -> Output {
    let copied = Command::new("cp").args(["-r", "scripts"]).arg(&folder.0).status().unwrap();
    assert!(copied.success());
    let file = folder.0.join("scripts/labs").join(name);
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with(lost)).collect();
    assert!(kept.len() < text.lines().count(), "{lost} in {name}");
    fs::write(&file, kept.join("\n")).unwrap();
    lab_below(&folder.0, &[name, "--yes"]).output().unwrap()
}

#[test]
fn a_lab_that_lacks_a_language_says_so_and_does_not_run() {
    let folder = Folder::new("language");
    for (lost, told) in [("title_ko=", "title_ko"), ("figure_ko[fds]=", "figure_ko[fds]")] {
        let output = without(&folder, "one-client-one-fd", lost);
        assert_eq!(output.status.code(), Some(1));
        let line = format!("scripts/lab: the lab one-client-one-fd lacks {told}: add it to ");
        assert!(complaint(&output).starts_with(&line), "{}", complaint(&output));
    }
}

#[test]
fn a_lab_that_bash_gives_up_on_fails_and_leaves_nothing_behind() {
    let folder = Folder::new("unset");
    let temporary = Folder::new("unset-tmp");
    assert!(Command::new("cp").args(["-r", "scripts"]).arg(&folder.0).status().unwrap().success());
    let file = folder.0.join("scripts/labs/one-client-one-fd");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("    let_them_come\n", "    echo $no_such_variable\n")).unwrap();
    let mut command = lab_below(&folder.0, &["one-client-one-fd", "--json"]);
    let output = command.env("TMPDIR", &temporary.0).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let leader = output.id();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(objects(&output)[0]["verdict"], "FAIL");
    assert!(group(leader).is_empty() && temporary.is_empty());
}

#[test]
fn a_word_that_is_not_understood_is_a_usage_error_that_says_what_to_do() {
    for (words, line) in [
        (
            &["One-client-one-fdd"][..],
            "there is no lab 'One-client-one-fdd'; did you mean one-client-one-fd? scripts/lab lists them",
        ),
        (&["xyzzy"], "there is no lab 'xyzzy'; scripts/lab lists them"),
        (&["../verify-narration"], "there is no lab '../verify-narration'; scripts/lab lists them"),
        (&["--quick"], "there is no flag '--quick'; --help lists them"),
        (&["--lang", "fr"], "--lang is en or ko, not 'fr'"),
        (&["--lang"], "--lang takes a value; --help lists the flags"),
        (&["--port", "70000"], "--port is a number up to 65535, not '70000'"),
        (&["all", "drain"], "one lab at a time, or all; not 'all' and 'drain'"),
    ] {
        let output = lab(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(complaint(&output), format!("scripts/lab: {line}"));
    }
}

#[test]
fn help_is_complete() {
    let output = lab(&["--help"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    for word in ["--yes", "--short", "--sabotage", "--json", "--lang", "--port", "DOORBELL", "Examples:"] {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn a_port_in_use_ends_it_with_a_line_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = lab(&["one-client-one-fd", "--json", "--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let [ran] = &objects(&output)[..] else { panic!("{output:?}") };
    let reason = ran["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{reason}");
}

/// Folders of the search path that hold everything but this program.
fn path_without(folder: &Folder, program: &str) -> PathBuf {
    let bin = folder.0.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for from in ["/usr/bin", "/bin"] {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_name() != program {
                let _ = std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name()));
            }
        }
    }
    bin
}

#[test]
fn a_missing_tool_is_told_with_the_line_that_installs_it() {
    let folder = Folder::new("tool");
    let output = lab(&["one-client-one-fd"]).env("PATH", path_without(&folder, "lsof")).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let line = "SKIP one-client-one-fd: lsof is missing; install it with: apt-get install lsof\n";
    assert_eq!(text(&output.stdout), line);
}

#[test]
fn a_strace_that_may_not_attach_is_told_with_what_to_do() {
    let folder = Folder::new("trace");
    let bin = path_without(&folder, "strace");
    let refuses = "#!/bin/sh\necho 'strace: attach: ptrace: Operation not permitted' >&2; exit 1\n";
    fs::write(bin.join("strace"), refuses).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(bin.join("strace")).status().unwrap().success());
    let output = lab(&["ten-thousand-sleepers", "--short"]).env("PATH", bin).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stdout);
    assert!(said.lines().count() == 1 && said.contains("kernel.yama.ptrace_scope=0"), "{said}");
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let output = lab(&["one-client-one-fd"]).env("DOORBELL", "/nowhere/doorbell").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.lines().count() == 1 && said.contains("DOORBELL=/nowhere/doorbell"), "{said}");
}

#[test]
fn predictions_are_asked_for_on_a_terminal_and_stand_beside_the_measurement() {
    let _alone = ONE_AT_A_TIME.lock();
    let script = format!("{}/scripts/lab one-client-one-fd --short --lang en", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("script");
    command.args(["-qec", &script, "/dev/null"]).env("DOORBELL", env!("CARGO_BIN_EXE_doorbell"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"77\n\n").unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    let row = said.lines().find(|line| line.starts_with("  more fds in /proc/PID/fd ")).expect(&said);
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["more fds in /proc/PID/fd", "77", "100", "= N = 100", "as expected"], "{said}");
}

/// The processes of a process group, by proc(5), but for those that only wait to be reaped.
fn group(leader: u32) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_member = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> =
            stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
        fields.len() > 2 && fields[0] != "Z" && fields[2] == leader.to_string()
    };
    pids.filter(is_member).collect()
}

/// Labs in the middle of a measurement: a server runs, and what measures it.
fn in_the_middle(name: &str, folder: &Folder) -> Child {
    // However these tests were started: who is born to ignore a signal, under nohup(1) or in the background of a
    // script, cannot trap it.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab");
    let words = ["--default-signal=HUP,INT,TERM", script, name, "--yes", "--short"];
    let mut command = for_the_lab(Command::new("env"), &words);
    command.env("TMPDIR", &folder.0).process_group(0);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("a server and who asks it", || (group(child.id()).len() >= 4).then_some(()));
    child
}

fn ends_by(signal: &str, name: &str, of_all: bool) {
    let folder = Folder::new(&format!("{name}-{signal}-{of_all}"));
    let mut child = in_the_middle(name, &folder);
    let pid = child.id();
    let target = if of_all { format!("-{pid}") } else { pid.to_string() };
    assert!(Command::new("kill").args(["-s", signal, "--", &target]).status().unwrap().success());
    let status = eventually("the lab to end", || child.try_wait().unwrap());
    assert!(!status.success(), "{status}");
    eventually("everything to be gone", || group(pid).is_empty().then_some(()));
    assert!(folder.is_empty(), "nothing is left in {:?}", folder.0);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let _alone = ONE_AT_A_TIME.lock();
    for name in ["ten-thousand-sleepers", "all"] {
        // A terminal sends it to the whole group.
        ends_by("INT", name, true);
        ends_by("TERM", name, false);
    }
    ends_by("INT", "ten-thousand-sleepers", false);
    ends_by("HUP", "ten-thousand-sleepers", true);
}
