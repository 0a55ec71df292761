//! On which processors a process may run: sched_getaffinity(2), sched_setaffinity(2).

use super::{Call, told};
use std::io;

/// The processors on which this thread may run, by their numbers.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = affinity()?;
    // SAFETY: no pointers are involved, and each number is within the set.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Has a process run on this processor alone, and whoever it starts from now on.
pub fn pin_process(pid: u32, cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = no_cpu();
    // SAFETY: the number is within the set (asked above).
    unsafe { libc::CPU_SET(cpu, &mut set) };
    restrict(pid, &set)
}

/// This thread is kept on one processor for as long as this lives.
pub struct Pinned {
    before: libc::cpu_set_t,
}

impl Pinned {
    /// Has this thread run on this processor alone.
    pub fn to(cpu: usize) -> io::Result<Pinned> {
        let before = affinity()?;
        pin_process(0, cpu)?;
        Ok(Pinned { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // OK to ignore because it was allowed before.
        let _ = restrict(0, &self.before);
    }
}

fn no_cpu() -> libc::cpu_set_t {
    // SAFETY: all-zero bytes are a valid, empty set.
    unsafe { std::mem::zeroed() }
}

const SIZE: usize = size_of::<libc::cpu_set_t>();

fn affinity() -> io::Result<libc::cpu_set_t> {
    let mut set = no_cpu();
    // SAFETY: the kernel writes at most SIZE bytes, all of them `set`'s.
    let result = unsafe { libc::sched_getaffinity(0, SIZE, &mut set) };
    told(Call::SchedGetaffinity, result as isize)?;
    Ok(set)
}

fn restrict(pid: u32, set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the kernel reads SIZE bytes, all of them `set`'s.
    let result = unsafe { libc::sched_setaffinity(pid as libc::pid_t, SIZE, set) };
    told(Call::SchedSetaffinity, result as isize).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_and_let_go() {
        let before = allowed_cpus().unwrap();
        let last = *before.last().unwrap();
        let pinned = Pinned::to(last).unwrap();
        assert_eq!(allowed_cpus().unwrap(), [last]);
        drop(pinned);
        assert_eq!(allowed_cpus().unwrap(), before);
        assert_eq!(pin_process(0, 4096).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
