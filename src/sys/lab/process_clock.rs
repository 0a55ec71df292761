//! The CPU time of another process, to the nanosecond: clock_getcpuclockid(3), clock_gettime(2).

use super::{Call, told};
use std::io;
use std::time::Duration;

/// How long a process has been on a CPU so far, all of its threads, in user mode and in the kernel. (`/proc/PID/stat`
/// says so too, but counts in hundredths of a second.) Fails if there is no such process.
pub fn process_clock(pid: u32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: glibc writes one clockid_t, which is `clock`. It asks the kernel by clock_getres(2) whether there is one.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) };
    let _ = told(Call::ClockGetres, 0);
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut span = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which is `span`.
    let result = unsafe { libc::clock_gettime(clock, &mut span) };
    told(Call::ClockGettime, result as isize)?;
    Ok(Duration::new(span.tv_sec as u64, span.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_what_its_thread_has_used() {
        let thread = super::super::thread_cpu();
        assert!(process_clock(std::process::id()).unwrap() >= thread);
        // No process has the highest number that there is (proc(5), pid_max).
        assert!(process_clock(i32::MAX as u32).is_err());
    }
}
