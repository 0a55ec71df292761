//! CPU time, of a thread and of another process: clock_gettime(2), clock_getcpuclockid(3).

use super::{Call, told};
use std::time::Duration;

/// How long this thread has been on a CPU, in user mode and in the kernel (CLOCK_THREAD_CPUTIME_ID; unlike the
/// clocks of `clock.rs` this one costs a system call).
pub fn thread_cpu() -> Duration {
    // OK because every Linux has this clock.
    read(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

/// How long a process has been on a CPU so far, all of its threads, in user mode and in the kernel; to the nanosecond.
/// (`/proc/PID/stat` says so too, but in hundredths of a second.) `None` if there is no such process.
pub fn process_cpu(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: glibc writes one clockid_t, which is `clock`. It asks the kernel by clock_getres(2) whether there is one.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    let _ = told(Call::ClockGetres, 0);
    if error != 0 {
        return None;
    }
    read(clock)
}

/// clock_gettime(2); `None` if there is no such clock.
fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut span = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which is `span`.
    let result = unsafe { libc::clock_gettime(clock, &mut span) };
    told(Call::ClockGettime, result as isize).ok()?;
    Some(Duration::new(span.tv_sec as u64, span.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_some_time_and_nobody_none() {
        let thread = thread_cpu();
        assert!(process_cpu(std::process::id()) >= Some(thread));
        assert_eq!(process_cpu(u32::MAX), None);
    }
}
