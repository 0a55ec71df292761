//! A file descriptor that is closed when it goes.

use super::{Call, told};
use std::num::NonZeroU32;

/// An open file descriptor and the duty to close it.
///
/// `OwnedFd` of the standard library would do, but for its silence: this `close` is counted like
/// every other call. (The number is kept plus one, so that `Option<Fd>` and the table's free slots
/// cost no space.)
#[derive(Debug)]
pub struct Fd(NonZeroU32);

impl Fd {
    /// Takes charge of `number`, which the kernel has just handed out and nobody else closes.
    pub(super) fn new(number: usize) -> Fd {
        let above_zero = u32::try_from(number + 1).ok().and_then(NonZeroU32::new);
        Fd(above_zero.expect("the kernel's fds are small numbers"))
    }

    /// The number itself, as it stands in strace(1) and /proc.
    #[inline]
    pub fn number(&self) -> i32 {
        (self.0.get() - 1) as i32
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: we own the number, and nobody uses it after this. Even when close(2) fails the
        // fd is gone (close(2), NOTES), so there is nothing to do about an error.
        let result = unsafe { libc::close(self.number()) };
        let _ = told!(Call::Close, result as isize, |telling, _| {
            telling.on(self.number());
        });
    }
}
