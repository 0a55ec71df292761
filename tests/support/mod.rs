//! What the tests share: a real server in a process of its own, and clients made of plain sockets.
//!
//! Every wait here has a deadline, and none of them is tight: a test fails when something does not
//! happen at all, not when the machine is slow.
#![allow(dead_code)]

pub mod alike;
pub mod browser;
pub mod crowd;
pub mod named;
pub mod pages;
pub mod quotes;
pub mod tool;
pub mod tour;
pub mod traced;

use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The mechanisms, by the names of `--multiplexer`.
pub const MECHANISMS: [&str; 3] = ["epoll", "poll", "select"];

/// Tries until it works.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tries each mechanism at the same time, for tests that do little but wait.
pub fn for_each_mechanism(test: impl Fn(&'static str) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for mechanism in MECHANISMS {
            scope.spawn(move || test(mechanism));
        }
    });
}

/// A server on a free port of the loopback address. It is killed when it is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    lines: Receiver<String>,
}

impl Server {
    /// `doorbell serve` with these flags, once it listens.
    pub fn start(flags: &[&str]) -> Server {
        Server::start_as(Command::new(env!("CARGO_BIN_EXE_doorbell")), flags)
    }

    /// The same over one of the mechanisms.
    pub fn start_over(mechanism: &str, flags: &[&str]) -> Server {
        Server::start(&[&["--multiplexer", mechanism], flags].concat())
    }

    /// The same by way of another command, such as strace.
    pub fn start_as(mut command: Command, flags: &[&str]) -> Server {
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let lines = collect_lines(child.stderr.take().unwrap());
        let Some(address) = first.trim().strip_prefix("listening on http://") else {
            let said: Vec<String> = lines.iter().collect();
            panic!("the server did not start: {first:?} {said:?}");
        };
        Server { child, address: address.parse().unwrap(), lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// A client that has said this.
    pub fn connect_and_send(&self, text: &str) -> Client {
        let mut client = self.connect();
        client.send(text);
        client
    }

    /// How many fds the server has.
    pub fn fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    pub fn wait_for_fds(&self, count: usize) {
        eventually(&format!("{count} fds, not {}", self.fds()), || (self.fds() == count).then_some(()));
    }

    /// One figure of `/metrics`, asked over a connection of its own.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.connect().get("/metrics").body;
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        line.map_or(0.0, |line| line[name.len()..].trim().parse().unwrap())
    }

    pub fn wait_for_metric(&self, name: &str, value: f64) {
        eventually(&format!("{name} to be {value}"), || (self.metric(name) == value).then_some(()));
    }

    /// Waits until so many are subscribed: parked polls, streams and WebSockets.
    pub fn wait_for_subscribers(&self, count: usize) {
        self.wait_for_metric("doorbell_subscribers", count as f64);
    }

    /// POSTs text to a channel and returns the answer's body.
    pub fn publish(&self, channel: &str, text: &str) -> String {
        self.connect().publish(channel, text)
    }

    /// Sends a signal by kill(1).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Stops it, so that the kernel alone takes in what comes until SIGCONT.
    pub fn stop(&self) {
        self.signal("STOP");
        eventually("the server to stand still", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat.rsplit_once(')').unwrap().1.starts_with(" T").then_some(())
        });
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        eventually("the server to exit", || self.child.try_wait().unwrap())
    }

    pub fn has_exited(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The next line of standard error that holds these words.
    pub fn line_with(&self, words: &str) -> String {
        line_with(&self.lines, words)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that come out of a pipe, as they come.
pub fn collect_lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line of standard error that holds these words.
pub fn line_with(errors: &Receiver<String>, words: &str) -> String {
    loop {
        let line = errors.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("no line with {words:?} on standard error"));
        if line.contains(words) {
            return line;
        }
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A client between whom and the server the kernel holds little: its window is small, and small segments
/// make for a small send buffer on the other side.
pub fn narrow(server: &Server) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.set_tcp_mss(1000).unwrap();
    socket.connect(&server.address.into()).unwrap();
    Client::new(TcpStream::from(socket))
}

/// A client made of a plain socket.
pub struct Client {
    pub stream: TcpStream,
    /// What was read and not asked for yet.
    pub kept: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, kept: Vec::new() }
    }

    pub fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// POSTs text to a channel and returns the answer's body.
    pub fn publish(&mut self, channel: &str, text: &str) -> String {
        self.send(&publication(channel, text));
        let answer = self.answer();
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }

    /// Sends a GET and waits for the answer.
    pub fn get(&mut self, target: &str) -> Answer {
        self.ask(target);
        self.answer()
    }

    /// Sends a GET.
    pub fn ask(&mut self, target: &str) {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }

    /// Reads more; false at the end.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let count = loop {
            // A read with a deadline is not restarted after SIGSTOP and SIGCONT (signal(7)).
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result.expect("bytes or an end within the deadline"),
            }
        };
        self.kept.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.kept.len() < count {
            assert!(self.read_more(), "the connection ended early: {:?}", self.text());
        }
        self.kept.drain(..count).collect()
    }

    /// Reads up to and with these words.
    pub fn read_until(&mut self, words: &str) -> String {
        loop {
            let found = self.kept.windows(words.len()).position(|window| window == words.as_bytes());
            if let Some(at) = found {
                return String::from_utf8_lossy(&self.read_exact(at + words.len())).into_owned();
            }
            assert!(self.read_more(), "no {words:?} before the end: {:?}", self.text());
        }
    }

    /// Reads an answer with a Content-Length, or with none.
    pub fn answer(&mut self) -> Answer {
        let head = self.read_until("\r\n\r\n");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        if let Some(length) = answer.field("Content-Length") {
            let length = length.parse().unwrap();
            answer.body = String::from_utf8(self.read_exact(length)).unwrap();
        }
        answer
    }

    /// Reads to the end of the connection, which must come.
    pub fn read_to_end(&mut self) -> String {
        while self.read_more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.kept)).into_owned()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// The opening handshake of a WebSocket.
    pub fn upgrade(&mut self, target: &str) {
        self.send(&format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ));
        let answer = self.answer();
        assert_eq!(answer.status, 101, "{}", answer.head);
        assert_eq!(answer.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    /// Sends one whole, masked frame.
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.send_bytes(&masked_frame(true, opcode, payload));
    }

    /// Reads one frame: its first byte and its payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exact(2);
        let length = match head[1] {
            126 => u16::from_be_bytes(self.read_exact(2).try_into().unwrap()) as usize,
            127 => u64::from_be_bytes(self.read_exact(8).try_into().unwrap()) as usize,
            short => usize::from(short),
        };
        (head[0], self.read_exact(length))
    }

    /// Reads one text message.
    pub fn message(&mut self) -> String {
        let (first, payload) = self.frame();
        assert_eq!(first, 0x81, "a whole text message");
        String::from_utf8(payload).unwrap()
    }

    /// Reads a Close frame: its code.
    pub fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame();
        assert_eq!(first, 0x88, "a Close frame: {:?}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes(payload[..2].try_into().unwrap())
    }
}

/// The request that publishes this text.
pub fn publication(channel: &str, text: &str) -> String {
    let length = text.len();
    format!("POST /event?channel={channel} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{text}")
}

/// A frame as a client sends it.
pub fn masked_frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let key = [0x37, 0xfa, 0x21, 0x3d];
    bytes.extend_from_slice(&key);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

/// An address of this process's own, whose port is still free for a second server when the first has gone. Tests
/// that run at once differ in the last part.
pub fn own_address(last: u8) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, high.max(1), low, last);
    TcpListener::bind((host, 0)).and_then(|free| free.local_addr()).unwrap()
}
