//! Child processes of this very program: fork(2), and what the kernel says of them in /proc (proc(5)).

use super::{Call, die_with, poll, told};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A child made by [`fork`]. It is killed and waited for when this is dropped, and the kernel kills it if we die
/// without having done so.
#[derive(Debug)]
pub struct Forked(libc::pid_t);

/// fork(2): runs `work` in a child, which has a copy of every fd and ends with it. Fails where there are other
/// threads: one of them may hold a lock, which the child would wait for in vain. (Those that are about to end
/// are waited for: a thread that was joined is listed a moment longer.)
pub fn fork(work: impl FnOnce() -> io::Result<()>) -> io::Result<Forked> {
    await_solitude()?;
    let parent = std::process::id();
    // SAFETY: this is the only thread (asked above), so the child finds no lock taken and memory as it was.
    let result = unsafe { libc::fork() };
    if result == 0 {
        // Nothing may unwind out of here: what lies above on the stack is the parent's work.
        let done = catch_unwind(AssertUnwindSafe(|| die_with(parent).and_then(|()| work())));
        // SAFETY: no pointers are involved, and it does not return: no destructor runs twice.
        unsafe { libc::_exit(i32::from(!matches!(done, Ok(Ok(()))))) }
    }
    // glibc's fork(3) makes the system call clone.
    told(Call::Clone, result as isize).map(|pid| Forked(pid as libc::pid_t))
}

/// Waits, for two seconds at most, until this is the only thread.
fn await_solitude() -> io::Result<()> {
    for _ in 0..1000 {
        if fs::read_dir("/proc/self/task")?.count() == 1 {
            return Ok(());
        }
        poll(&mut [], 2)?;
    }
    Err(io::Error::other("only a process with a single thread may fork, and this one has several"))
}

impl Forked {
    /// Whether it sleeps in a system call: state `S` of `/proc/PID/stat`.
    pub fn is_asleep(&self) -> io::Result<bool> {
        let stat = self.file("stat")?;
        // Field 2 is the program's name in brackets and may hold anything; the state follows it.
        Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
    }

    /// How often it went to sleep by itself so far: `voluntary_ctxt_switches` of `/proc/PID/status`. Every
    /// sleep but the present one ended with a wake-up.
    pub fn sleeps(&self) -> io::Result<u64> {
        let status = self.file("status")?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn file(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.0))
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: no pointers are involved. The pid is our child's until it has been waited for, below.
        let result = unsafe { libc::kill(self.0, libc::SIGKILL) };
        let _ = told(Call::Kill, result as isize);
        loop {
            // SAFETY: a null pointer asks for no status.
            let result = unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
            match told(Call::Wait4, result as isize) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
    }
}
