//! A child process that ends with this one: clone(2), execve(2), and at last kill(2) and wait4(2).

use super::file::read_file;
use super::{Call, Fd, POLLIN, PollFd, die_with, poll, read, told};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A running child. It is killed and waited for when this is dropped, and the kernel kills it if we die
/// without having done so (PR_SET_PDEATHSIG, prctl(2)).
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    stdout: Fd,
    /// A file without a name, so that whatever it says is kept and it never waits for a reader.
    stderr: File,
}

impl Child {
    /// Runs this program again with other words. Its standard input is empty; the variables of the
    /// environment that begin with `without` are kept from it.
    pub fn start_ourselves<'a>(words: impl IntoIterator<Item = &'a str>, without: &str) -> io::Result<Child> {
        // The link leads to the program also after its file was replaced (proc(5)).
        let mut command = Command::new("/proc/self/exe");
        // So that ps(1) shows a name.
        command.arg0(std::env::args_os().next().unwrap_or_default());
        command.args(words);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(without) {
                command.env_remove(name);
            }
        }
        Child::start(command)
    }

    /// Runs another program with these words. Its standard input is empty.
    pub fn start_program<'a>(program: &Path, words: impl IntoIterator<Item = &'a str>) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.args(words);
        Child::start(command)
    }

    fn start(mut command: Command) -> io::Result<Child> {
        let stderr = memory_file()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        let parent = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe calls are made, prctl(2) and getppid(2),
        // and nothing is allocated.
        unsafe { command.pre_exec(move || die_with(parent)) };
        let process = command.spawn();
        let _ = told(Call::Clone, 0);
        let mut process = process?;
        let stdout = process.stdout.take().expect("OK because it was asked for above");
        let stdout = std::os::fd::OwnedFd::from(stdout);
        Ok(Child { process, stdout: Fd::new(stdout.into_raw_fd() as usize), stderr })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line of its standard output without the newline; `None` at the end. Fails with `TimedOut`
    /// after `patience`.
    pub fn read_line(&mut self, patience: Duration) -> io::Result<Option<String>> {
        let deadline = Instant::now() + patience;
        let mut line = Vec::new();
        // One byte at a time: what comes after the line is left to the next reading.
        let mut byte = [0; 1];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis() as i32;
            match poll(&mut [PollFd::new(self.stdout.number(), POLLIN)], left) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            match read(&self.stdout, &mut byte)? {
                0 => return Ok(None),
                _ if byte == *b"\n" => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                _ => line.push(byte[0]),
            }
        }
    }

    /// Whatever it has said on standard error so far.
    pub fn said(&self) -> String {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = self.stderr.read_at(&mut piece, text.len() as u64) {
            text.extend_from_slice(&piece[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether it has come to its end.
    pub fn has_ended(&mut self) -> bool {
        let answer = self.process.try_wait();
        let _ = told(Call::Wait4, 0);
        // OK for an error, too: there is nobody to be waited for.
        !matches!(answer, Ok(None))
    }

    /// Whether it sleeps in a system call. False also if it is gone.
    pub fn is_asleep(&self) -> bool {
        self.state() == Some('S')
    }

    /// Whether it has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.state() == Some('T')
    }

    /// SIGSTOP: it does nothing from now on, and what it has open stays open.
    pub fn stop(&self) -> io::Result<()> {
        // SAFETY: no pointers are involved; the child was not waited for, so the number is its own.
        let result = unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGSTOP) };
        told(Call::Kill, result as isize).map(drop)
    }

    /// The letter in `/proc/PID/stat`. Field 2 is the program's name in brackets and may hold anything; the
    /// state follows it.
    fn state(&self) -> Option<char> {
        let stat = read_file(&format!("/proc/{}/stat", self.pid())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Not by pid alone: the standard library kills no process that was waited for already.
        let _ = self.process.kill();
        let _ = told(Call::Kill, 0);
        let _ = self.process.wait();
        let _ = told(Call::Wait4, 0);
    }
}

/// memfd_create(2): a file in memory that has no name.
fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a C string that outlives the call.
    let result = unsafe { libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC) };
    let number = told(Call::MemfdCreate, result as isize)?;
    // SAFETY: the number was just handed out, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(number as i32) })
}
