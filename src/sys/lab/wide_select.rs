//! pselect6(2) with bitmaps of any width: the limit of 1,024 is the C library's, not the kernel's.

use super::{Call, told};
use std::io;

/// A set of fds with as many bits as it was made for, in the layout that the kernel reads: an array of
/// longs (select(2), "Correspondence between structure type").
#[derive(Clone, Debug)]
pub struct WideSet(Vec<u64>);

impl WideSet {
    /// An empty set with a bit for each fd below `nfds`.
    pub fn below(nfds: i32) -> WideSet {
        WideSet(vec![0; nfds.max(0) as usize / 64 + 1])
    }

    /// Puts an fd in. Panics if the set is too narrow.
    pub fn insert(&mut self, fd: i32) {
        self.0[fd as usize / 64] |= 1 << (fd % 64);
    }

    /// Whether an fd is in it.
    pub fn contains(&self, fd: i32) -> bool {
        self.0.get(fd as usize / 64).is_some_and(|word| word & 1 << (fd % 64) != 0)
    }

    /// Becomes a copy of another without a new allocation.
    pub fn copy_from(&mut self, other: &WideSet) {
        self.0.clone_from(&other.0);
    }

    /// How many fds it has bits for.
    fn width(&self) -> usize {
        self.0.len() * 64
    }
}

/// pselect6(2), by its number: hands the kernel the bits of all fds below `nfds`, sleeps for at most
/// `timeout` milliseconds (`None`: for ever), and leaves set the bits of those that are ready. Returns how
/// many bits that is; EINVAL if a set is too narrow for `nfds`.
pub fn pselect6(
    nfds: i32,
    readable: &mut WideSet,
    writable: &mut WideSet,
    timeout: Option<u64>,
) -> io::Result<usize> {
    if nfds < 0 || readable.width().min(writable.width()) < nfds as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut span = timeout.map(|millis| libc::timespec {
        tv_sec: (millis / 1000) as libc::time_t,
        tv_nsec: (millis % 1000 * 1_000_000) as libc::c_long,
    });
    let span = span.as_mut().map_or(std::ptr::null_mut(), |span| &raw mut *span);
    let (readable, writable) = (readable.0.as_mut_ptr(), writable.0.as_mut_ptr());
    let nothing = std::ptr::null_mut::<u64>();
    // SAFETY: the kernel reads and writes whole longs up to bit `nfds` of both sets, and both are as wide
    // (asked above); the timespec outlives the call; no third set and no signal mask are handed over.
    let result =
        unsafe { libc::syscall(libc::SYS_pselect6, nfds, readable, writable, nothing, span, nothing) };
    told(Call::Select, result as isize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_is_too_narrow_is_refused() {
        let mut narrow = WideSet::below(63);
        let mut wide = WideSet::below(640);
        let error = pselect6(65, &mut wide, &mut narrow, Some(0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(pselect6(64, &mut wide, &mut narrow, Some(0)).unwrap(), 0);
    }

    #[test]
    fn bits_are_those_of_their_fds() {
        let mut set = WideSet::below(5000);
        set.insert(4999);
        assert!(set.contains(4999));
        assert!(!set.contains(4998));
        assert!(!set.contains(500_000));
    }
}
