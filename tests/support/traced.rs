//! A server under strace.

use super::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Traced {
    pub server: Server,
    /// The server itself; `Server::pid` is that of strace.
    pub pid: u32,
    trace: PathBuf,
}

/// One call, as strace writes it.
#[derive(Debug)]
pub struct Call {
    /// In seconds.
    pub moment: f64,
    pub text: String,
}

impl Traced {
    /// Each call with its moment.
    pub fn start(flags: &[&str]) -> Traced {
        Traced::start_with(&["-ttt"], flags)
    }

    /// The same with other options of strace.
    pub fn start_with(options: &[&str], flags: &[&str]) -> Traced {
        let works = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
        assert!(works, "strace is missing; run ./scripts/test, which installs it");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("traced-{}-{number}", std::process::id());
        let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut command = Command::new("strace");
        command.args(options).args(["-f", "-o"]).arg(&trace).args(["--", env!("CARGO_BIN_EXE_doorbell")]);
        let server = Server::start_as(command, flags);
        let text = std::fs::read_to_string(&trace).unwrap();
        let pid = text.split(' ').next().unwrap().parse().expect("a line begins with the pid");
        Traced { server, pid, trace }
    }

    /// Everything that has been traced so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.trace).unwrap()).into_owned()
    }

    /// Sends a signal to the server itself.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status();
    }

    /// The calls so far, also one that has not returned.
    pub fn calls(&self) -> Vec<Call> {
        let text = self.text();
        // PID, moment, call.
        let calls = text.lines().filter_map(|line| {
            let (_, line) = line.trim_start().split_once(' ')?;
            let (moment, text) = line.trim_start().split_once(' ')?;
            Some(Call { moment: moment.parse().ok()?, text: text.to_owned() })
        });
        calls.collect()
    }

    /// The calls with these words.
    pub fn calls_with(&self, words: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.text.contains(words)).collect()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // strace is killed with `server`, and what it traced would go on alone.
        self.signal("KILL");
        let _ = std::fs::remove_file(&self.trace);
    }
}
