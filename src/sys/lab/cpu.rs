//! CPU time: of a thread by clock_gettime(2), of another process by /proc (proc(5)).

use super::file::read_file;
use super::machine::ticks_per_second;
use super::{Call, told};
use std::time::Duration;

/// How long this thread has been on a CPU, in user mode and in the kernel (CLOCK_THREAD_CPUTIME_ID; unlike the
/// clocks of `clock.rs` this one costs a system call).
pub fn thread_cpu() -> Duration {
    let mut span = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which is `span`.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut span) };
    // OK to ignore because every Linux has this clock, and `span` is ours.
    let _ = told(Call::ClockGettime, result as isize);
    Duration::new(span.tv_sec as u64, span.tv_nsec as u32)
}

/// How long the first thread of a process has been on a CPU, in user mode and in the kernel: to the nanosecond
/// while it sleeps, if the kernel keeps account of that (`/proc/PID/schedstat`); else in clock ticks (fields 14
/// and 15 of `/proc/PID/stat`). `None` if there is no such process.
pub fn process_cpu(pid: u32) -> Option<Duration> {
    if let Ok(text) = read_file(&format!("/proc/{pid}/schedstat")) {
        return text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos);
    }
    let stat = read_file(&format!("/proc/{pid}/stat")).ok()?;
    // Field 2 is the program's name in brackets and may hold anything; field 3 follows it.
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_secs_f64((user + system) / ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_some_time_and_nobody_none() {
        assert!(process_cpu(std::process::id()).is_some());
        assert_eq!(process_cpu(u32::MAX), None);
    }
}
