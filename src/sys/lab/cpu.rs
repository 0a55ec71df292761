//! The CPU time of one thread: clock_gettime(2).

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
