//! The command line: flags, the environment, what is written where, and with which status it ends.

mod support;

use std::io::{BufRead, BufReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use support::{Client, PATIENCE, Server, eventually};

/// The program, with none of its variables in the environment.
fn doorbell() -> Command {
    without_variables(Command::new(env!("CARGO_BIN_EXE_doorbell")))
}

/// The program after a line for the shell, which ends in `exec "$0" "$@"`.
fn after(shell: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_doorbell")]);
    without_variables(command)
}

fn without_variables(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOORBELL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that has ended: how, and what it wrote.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs something to its end, which must come by itself.
fn run(command: &mut Command) -> Ended {
    Started::new(command).end()
}

/// A program that runs. It is killed when it is dropped.
struct Started {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Started {
    fn new(command: &mut Command) -> Started {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Started { child, stdout }
    }

    /// The next line of standard output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// The address in the next line of standard output.
    fn address(&mut self) -> SocketAddr {
        let line = self.line();
        let address = line.trim_end().strip_prefix("listening on http://");
        address.unwrap_or_else(|| panic!("where it listens, not {line:?}")).parse().unwrap()
    }

    fn terminate(&self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end, and takes what it wrote that nobody has taken yet.
    fn end(mut self) -> Ended {
        let status = eventually("the program to end", || self.child.try_wait().unwrap());
        let mut ended = Ended { status, stdout: String::new(), stderr: String::new() };
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_string(&mut ended.stdout).unwrap();
        }
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut ended.stderr).unwrap();
        }
        ended
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> Client {
    Client::new(TcpStream::connect(address).unwrap())
}

/// Runs it with words that it cannot use: it must say why in one line on standard error, with each of
/// `hints` in it, and nothing else.
fn refuses(status: i32, command: &mut Command, hints: &[&str]) {
    let ended = run(command);
    let Ended { stdout, stderr, .. } = &ended;
    assert_eq!(ended.status.code(), Some(status), "{command:?}: {ended:?}");
    assert_eq!(stdout, "", "{command:?}");
    assert!(stderr.ends_with('\n') && stderr.lines().count() == 1, "{command:?}: one line: {stderr:?}");
    assert!(stderr.starts_with("doorbell: "), "{command:?}: {stderr:?}");
    for hint in hints {
        assert!(stderr.contains(hint), "{command:?}: {hint:?} in {stderr:?}");
    }
}

#[test]
fn words_that_are_not_understood_end_with_2_and_a_line_that_helps() {
    for (words, hints) in [
        (&["serve", "--no-such-flag"][..], &["--no-such-flag", "--help"][..]),
        (&["--no-such-flag"], &["--no-such-flag", "--help"]),
        (&["no-such-command"], &["no-such-command", "--help"]),
        (&["serve", "no-such-word"], &["no-such-word", "--help"]),
        (&["serve", "--hold"], &["--hold"]),
        (&["serve", "--multiplexer", "kqueue"], &["kqueue", "epoll", "poll", "select"]),
        (&["serve", "--log", "loud"], &["loud", "off", "connections", "requests"]),
        (&["serve", "--hold", "30 parsecs"], &["--hold", "30 parsecs", "500ms"]),
        (&["serve", "--hold", "30"], &["--hold", "30s"]),
        (&["serve", "--hold=-1s"], &["--hold"]),
        (&["serve", "--head-timeout", "0s"], &["--head-timeout", "1ms"]),
        (&["serve", "--max-body", "1 stone"], &["--max-body", "16KiB"]),
        (&["serve", "--max-body", "99999999999GiB"], &["--max-body"]),
        (&["serve", "--max-head", "10"], &["--max-head", "256"]),
        (&["serve", "--history", "many"], &["--history", "many"]),
        (&["serve", "--publish-rate", "often"], &["--publish-rate", "often"]),
        (&["serve", "--publish-rate", "0/s"], &["--publish-rate"]),
        (&["serve", "--max-connections", "0"], &["--max-connections"]),
        (&["serve", "--max-connections-per-ip", "0"], &["--max-connections-per-ip"]),
        (&["serve", "--allow-origin", "example.org"], &["--allow-origin", "scheme://host"]),
        (&["serve", "--listen", "somewhere"], &["--listen", "127.0.0.1:8080"]),
        (&["serve", "--listen", "127.0.0.1:99999"], &["--listen", "127.0.0.1:8080"]),
        (&["serve", "--listen", "127.0.0.1"], &["--listen", "127.0.0.1:8080"]),
        (&["serve", "--listen", "unix:"], &["--listen", "path"]),
    ] {
        refuses(2, doorbell().args(words), hints);
    }
}

#[test]
fn more_connections_than_open_files_end_with_2() {
    let hints = ["--max-connections 1000000000", "ulimit -n"];
    refuses(2, doorbell().args(["--listen", "127.0.0.1:0", "--max-connections", "1000000000"]), &hints);
    // The limit counts as it is when the program starts, and a part of it is for other things.
    let mut limited = after("ulimit -n 256;");
    refuses(
        2,
        limited.args(["--listen", "127.0.0.1:0", "--max-connections", "256"]),
        &["192", "ulimit -n 320"],
    );
    let mut server =
        Started::new(after("ulimit -n 256;").args(["--listen", "127.0.0.1:0", "--max-connections", "192"]));
    assert_eq!(connect(server.address()).get("/healthz").status, 200);
}

#[test]
fn the_soft_limit_on_open_files_is_raised_to_the_hard_one() {
    let words = ["--listen", "127.0.0.1:0", "--max-connections", "192"];
    let mut server = Started::new(after("ulimit -Sn 100 && ulimit -Hn 256;").args(words));
    let metrics = connect(server.address()).get("/metrics").body;
    assert!(metrics.contains("\nprocess_max_fds 256\n"), "{metrics}");
}

#[test]
fn a_port_in_use_ends_with_1_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refuses(1, doorbell().args(["serve", "--listen", &address]), &[&address, "--listen"]);
}

#[test]
fn an_address_that_is_not_ours_ends_with_1_and_says_what_to_do() {
    // 192.0.2.0/24 is for documentation (RFC 5737), so no machine has it.
    refuses(1, doorbell().args(["serve", "--listen", "192.0.2.1:8080"]), &["192.0.2.1:8080", "choose"]);
}

#[test]
fn a_socket_file_in_a_folder_that_is_not_there_ends_with_1_and_says_what_to_do() {
    let words = ["serve", "--listen", "unix:/no/such/folder/doorbell.sock"];
    refuses(1, doorbell().args(words), &["unix:/no/such/folder/doorbell.sock", "folder"]);
}

#[test]
fn help_names_every_flag_its_default_and_its_variable() {
    let ended = run(doorbell().args(["serve", "--help"]));
    assert!(ended.status.success());
    assert_eq!(ended.stderr, "");
    for (flag, default) in [
        ("--listen", "127.0.0.1:8080"),
        ("--multiplexer", "epoll"),
        ("--hold", "30s"),
        ("--max-hold", "120s"),
        ("--history", "1024"),
        ("--history-bytes", "4MiB"),
        ("--max-connections", "the limit on open files less a reserve"),
        ("--max-connections-per-ip", "no limit"),
        ("--max-channels", "10000"),
        ("--max-head", "16KiB"),
        ("--max-body", "1MiB"),
        ("--max-message", "1MiB"),
        ("--publish-rate", "no limit"),
        ("--deflate", ""),
        ("--outbox-limit", "1MiB"),
        ("--head-timeout", "10s"),
        ("--body-timeout", "30s"),
        ("--idle-timeout", "75s"),
        ("--ping-interval", "20s"),
        ("--stream-lease", "0"),
        ("--drain-timeout", "10s"),
        ("--log", "off"),
        ("--narrate", "by LANG"),
        ("--allow-origin", ""),
    ] {
        let variable = format!("[env: DOORBELL_{}=]", flag[2..].replace('-', "_").to_uppercase());
        let entry = help_of(&ended.stdout, flag);
        assert!(entry.contains(&variable), "{variable} in {entry:?}");
        let default = format!("[default: {default}]");
        assert!(entry.contains(&default) || default == "[default: ]", "{default} in {entry:?}");
    }
    for name in ["epoll", "poll", "select"] {
        assert!(help_of(&ended.stdout, "--multiplexer").contains(name), "{name}");
    }
    for name in ["off", "connections", "requests"] {
        assert!(help_of(&ended.stdout, "--log").contains(name), "{name}");
    }
    let (_, example) = ended.stdout.split_once("Example:\n").expect("an example");
    assert!(example.trim().starts_with("doorbell serve --"), "{example}");
}

/// What the help says of one flag, on one line.
fn help_of(help: &str, flag: &str) -> String {
    let is_flag = |line: &str| line.trim_start().starts_with("--");
    let begins = |line: &&str| line.trim_start().split([' ', '[']).next() == Some(flag);
    let mut lines = help.lines().skip_while(|line| !begins(line));
    let first = lines.next().unwrap_or_else(|| panic!("{flag} in {help}"));
    let more = lines.take_while(|line| !is_flag(line) && !line.starts_with("Example"));
    let words: Vec<&str> = std::iter::once(first).chain(more).flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[test]
fn the_example_in_the_help_works() {
    let help = run(doorbell().args(["serve", "--help"])).stdout;
    let (_, examples) = help.split_once("Example:\n").expect("an example");
    let example = examples.lines().find(|line| line.contains("doorbell")).unwrap();
    let mut server = Started::new(doorbell().args(example.split_whitespace().skip(1)));
    assert_eq!(connect(server.address()).get("/healthz").status, 200);
}

#[test]
fn help_and_version_end_with_0_and_without_a_word_on_stderr() {
    for words in [&["--help"][..], &["-h"], &["help"], &["serve", "-h"], &["--version"]] {
        let ended = run(doorbell().args(words));
        assert!(ended.status.success() && ended.stderr.is_empty(), "{words:?}: {ended:?}");
        assert!(ended.stdout.contains("doorbell"), "{words:?}: {ended:?}");
    }
    let help = run(doorbell().arg("--help")).stdout;
    assert!(help.contains("serve"), "{help}");
}

#[test]
fn doorbell_alone_serves() {
    let mut server = Started::new(doorbell().env("DOORBELL_LISTEN", "127.0.0.1:0"));
    assert_eq!(connect(server.address()).get("/healthz").status, 200);
    server.terminate();
    let ended = server.end();
    assert!(ended.status.success(), "{ended:?}");
    // Flags are understood without the word too.
    let mut server = Started::new(doorbell().args(["--listen", "127.0.0.1:0", "--hold", "0"]));
    assert!(connect(server.address()).get("/poll").body.contains("\"timeout\""));
}

#[test]
fn flags_come_from_the_environment_too() {
    let variables = [
        ("DOORBELL_LISTEN", "127.0.0.1:0,127.0.0.1:0"),
        ("DOORBELL_MULTIPLEXER", "poll"),
        ("DOORBELL_HOLD", "200ms"),
        ("DOORBELL_MAX_BODY", "1KiB"),
        ("DOORBELL_LOG", "requests"),
        ("DOORBELL_ALLOW_ORIGIN", "https://one.example,https://two.example"),
    ];
    let mut server = Started::new(doorbell().arg("serve").envs(variables));
    let (first, second) = (server.address(), server.address());
    assert!(connect(first).get("/poll").body.contains("\"timeout\""));
    let mut client = connect(second);
    client.send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    let mut client = connect(second);
    assert!(client.get("/metrics").body.contains("doorbell_syscalls_total{call=\"poll\"}"));
    client.send("GET /news HTTP/1.1\r\nHost: a\r\nOrigin: https://two.example\r\n\r\n");
    assert_eq!(client.answer().field("Access-Control-Allow-Origin"), Some("https://two.example"));
    server.terminate();
    let log = server.end().stderr;
    assert!(log.contains("path=/poll status=200"), "{log}");
}

#[test]
fn a_flag_wins_over_the_environment() {
    let variables =
        [("DOORBELL_HOLD", "1h"), ("DOORBELL_MAX_HOLD", "1h"), ("DOORBELL_LISTEN", "192.0.2.1:80")];
    let words = ["serve", "--listen", "127.0.0.1:0", "--hold", "100ms"];
    let mut server = Started::new(doorbell().args(words).envs(variables));
    assert!(connect(server.address()).get("/poll").body.contains("\"timeout\""));
}

#[test]
fn a_variable_that_is_not_understood_ends_with_2() {
    refuses(2, doorbell().arg("serve").env("DOORBELL_HOLD", "30 parsecs"), &["30 parsecs", "--hold"]);
    refuses(2, doorbell().env("DOORBELL_MULTIPLEXER", "kqueue"), &["kqueue", "epoll"]);
}

#[test]
fn times_and_sizes_carry_units() {
    for (hold, max_body) in [("1500us", "1KiB"), ("100ms", "1 kB"), ("0", "2048"), ("1ms 500us", "1024B")] {
        let words =
            ["--listen", "127.0.0.1:0", "--hold", hold, "--max-body", max_body, "--idle-timeout", "1m 15s"];
        let mut server = Started::new(doorbell().args(words));
        let mut client = connect(server.address());
        assert!(client.get("/poll").body.contains("\"timeout\""), "{hold}");
        client.send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        client.send_bytes(&[b'x'; 1000]);
        assert_eq!(client.answer().status, 201, "{max_body}");
        client.send("POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 2049\r\n\r\n");
        assert_eq!(client.answer().status, 413, "{max_body}");
    }
}

/// A path for a socket in the file system, which names are short enough for.
fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("doorbell-{}-{name}.sock", std::process::id()))
}

#[test]
fn standard_output_has_one_line_for_each_listener_and_nothing_else() {
    let path = socket_path("lines");
    let unix = format!("unix:{}", path.display());
    let words =
        ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--listen", &unix, "--log", "requests"];
    let mut server = Started::new(doorbell().args(words));
    let (first, second) = (server.address(), server.address());
    assert_ne!(first, second);
    assert_eq!(server.line(), format!("listening on {unix}\n"));
    for address in [first, second] {
        let mut client = connect(address);
        assert_eq!(client.get("/news").status, 200);
        assert_eq!(client.get("/no/such/path").status, 404);
    }
    assert!(ask_on(&path, "/news").starts_with("HTTP/1.1 200 "));
    server.terminate();
    let ended = server.end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.matches("path=/news status=200").count(), 3, "{ended:?}");
    assert!(!path.exists(), "the socket file goes with the server");
}

/// One request over a Unix socket, and everything that comes back.
fn ask_on(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A pipe whose other end is gone.
fn broken_pipe() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn standard_error_that_nobody_reads_ends_nothing() {
    let words = ["--listen", "127.0.0.1:0", "--log", "requests"];
    let mut server = Started::new(doorbell().args(words).stderr(broken_pipe()));
    let address = server.address();
    for _ in 0..10 {
        assert_eq!(connect(address).get("/news").status, 200);
    }
    server.terminate();
    assert!(server.end().status.success());
}

#[test]
fn standard_output_that_nobody_reads_ends_nothing() {
    let path = socket_path("unread");
    let listen = format!("unix:{}", path.display());
    let server = Started::new(doorbell().args(["--listen", &listen]).stdout(broken_pipe()));
    eventually("the socket file", || UnixStream::connect(&path).ok());
    assert!(ask_on(&path, "/news").starts_with("HTTP/1.1 200 "));
    server.terminate();
    assert!(server.end().status.success());
}

#[test]
fn standard_streams_that_are_closed_end_nothing() {
    for (number, closing) in ["exec >&-;", "exec 2>&-;", "exec <&- >&- 2>&-;"].iter().enumerate() {
        let path = socket_path(&format!("closed-{number}"));
        let words = ["--listen", &format!("unix:{}", path.display()), "--log", "requests"];
        let server = Started::new(after(closing).args(words));
        eventually("the socket file", || UnixStream::connect(&path).ok());
        for _ in 0..10 {
            assert!(ask_on(&path, "/news").starts_with("HTTP/1.1 200 "), "{closing}");
        }
        server.terminate();
        assert!(server.end().status.success(), "{closing}");
    }
}

#[test]
fn the_line_of_a_listener_comes_when_connections_are_accepted() {
    // `Server` connects as soon as it has read the line, and never tries again.
    for _ in 0..20 {
        assert_eq!(Server::start(&[]).connect().get("/healthz").status, 200);
    }
}
