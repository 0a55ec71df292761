//! The program's own clients as processes, and a relay that stands between them and a server.

use super::{PATIENCE, collect_lines, eventually, line_with};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;

/// `doorbell` with these words; its output is collected. It is killed when it is dropped.
pub struct Tool {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

/// How it ended, and what it had said that nobody had read yet.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub errors: Vec<String>,
}

impl Tool {
    pub fn start(words: &[&str]) -> Tool {
        Tool::start_as(Command::new(env!("CARGO_BIN_EXE_doorbell")), words)
    }

    /// The same by way of another command, such as a shell that sets limits.
    pub fn start_as(mut command: Command, words: &[&str]) -> Tool {
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = collect_lines(child.stdout.take().unwrap());
        let errors = collect_lines(child.stderr.take().unwrap());
        Tool { stdin: child.stdin.take(), child, lines, errors }
    }

    /// Runs to the end, which must come by itself, with this on standard input.
    pub fn run(words: &[&str], input: &str) -> Ended {
        let mut tool = Tool::start(words);
        tool.write(input);
        tool.end()
    }

    pub fn write(&mut self, text: &str) {
        let _ = self.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(_) => panic!("no line; on standard error: {:?}", self.errors.try_iter().collect::<Vec<_>>()),
        }
    }

    /// The next line of standard error that holds these words.
    pub fn error_with(&self, words: &str) -> String {
        line_with(&self.errors, words)
    }

    /// Sends a signal by kill(1).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Closes its standard input and waits for its end.
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let status = eventually("the tool to end", || self.child.try_wait().unwrap());
        Ended { status, lines: self.lines.iter().collect(), errors: self.errors.iter().collect() }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// That it succeeded, and had nothing to complain of: what it said.
    pub fn well(self) -> Vec<String> {
        assert!(self.status.success() && self.errors.is_empty(), "{self:?}");
        self.lines
    }

    /// That it ended with this status and one line on standard error with all of these words.
    pub fn badly(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(status), "{self:?}");
        assert_eq!(self.errors.len(), 1, "one line: {self:?}");
        assert!(self.errors[0].starts_with("doorbell: "), "{self:?}");
        for word in words {
            assert!(self.errors[0].contains(word), "{word:?} in {self:?}");
        }
    }
}

/// What a relay does with a connection, once it has seen the head of its first request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Passes everything on.
    Pass,
    /// Passes so many bytes of the server's on, and then cuts it.
    CutAfter(usize),
    /// Passes the head of the first answer on, and then cuts it.
    CutAfterHead,
    /// Answers in the server's place, and closes.
    Answer(&'static str),
    /// Takes everything and passes nothing on.
    Swallow,
}

/// Stands between clients and a server, and does with each connection what it is told to.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// Heads of first requests, in order.
    heads: Mutex<Vec<String>>,
    /// Both ends of each connection.
    open: Mutex<Vec<TcpStream>>,
    decide: Box<Decide>,
}

type Decide = dyn Fn(usize, &str) -> Fate + Send + Sync;

impl Relay {
    /// `decide` is told the number of the connection, from 0, and the head of its first request.
    pub fn start(server: SocketAddr, decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            heads: Mutex::default(),
            open: Mutex::default(),
            decide: Box::new(decide),
        });
        let relay = Relay { address, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(client));
            }
        });
        relay
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the first requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) {
        let Some(head) = read_head(&mut client) else { return };
        let number = {
            let mut heads = self.heads.lock().unwrap();
            heads.push(head.clone());
            heads.len() - 1
        };
        let most = match (self.decide)(number, &head) {
            Fate::Answer(answer) => {
                let _ = client.write_all(answer.as_bytes());
                return;
            }
            Fate::Swallow => {
                self.open.lock().unwrap().push(client.try_clone().unwrap());
                let _ = std::io::copy(&mut client, &mut std::io::sink());
                return;
            }
            Fate::Pass => usize::MAX,
            Fate::CutAfterHead => 0,
            Fate::CutAfter(count) => count,
        };
        let Ok(mut server) = TcpStream::connect(self.server) else { return };
        for stream in [&client, &server] {
            self.open.lock().unwrap().push(stream.try_clone().unwrap());
        }
        server.write_all(head.as_bytes()).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        if most == 0 {
            if let Some(head) = read_head(&mut server) {
                let _ = client.write_all(head.as_bytes());
            }
        } else {
            let _ = std::io::copy(&mut (&mut server).take(most as u64), &mut client);
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
}

/// Reads up to the empty line, byte by byte.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}
