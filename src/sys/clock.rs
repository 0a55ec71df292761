//! The clocks. On Linux a reading is no system call: the vDSO answers in user space (vdso(7)).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reading of CLOCK_MONOTONIC: nanoseconds in one number, for the loop reads it twice in each turn.
/// (`Instant` of the standard library keeps seconds and nanoseconds apart, and pays for it in each subtraction.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Reads CLOCK_MONOTONIC (clock_gettime(2)).
#[inline]
pub fn moment() -> Moment {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel, or the vDSO, writes one timespec, which is `time`. It cannot fail: the clock is
    // always there, and the pointer is good.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Moment(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

impl Moment {
    /// Nanoseconds from `earlier` to here; 0 if `earlier` is later.
    #[inline]
    pub fn nanos_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same as a span.
    pub fn duration_since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        moment().duration_since(self)
    }
}

/// Reads CLOCK_REALTIME: milliseconds since 1970, 0 for a clock set before that.
pub fn wall_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_millis() as u64)
}
