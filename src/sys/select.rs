//! select(2), which with glibc is the system call pselect6.

use super::{Call, is_narrating, told};
use std::io;

/// How many fds an `fd_set` has a bit for. The limit is the C library's, not the kernel's: a bit
/// past the end of the array would be written into whatever lies behind it (select(2), BUGS).
pub const FD_SETSIZE: i32 = libc::FD_SETSIZE as i32;

/// A set of fds: 1,024 bits in the layout of `fd_set`, which is an array of longs.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct FdSet([u64; FD_SETSIZE as usize / 64]);

const _: () = assert!(size_of::<FdSet>() == size_of::<libc::fd_set>());

impl FdSet {
    /// FD_SET(3). Panics at or past FD_SETSIZE, where C would write into foreign memory.
    pub fn insert(&mut self, fd: i32) {
        self.0[fd as usize / 64] |= 1 << (fd % 64);
    }

    /// FD_CLR(3).
    pub fn remove(&mut self, fd: i32) {
        self.0[fd as usize / 64] &= !(1 << (fd % 64));
    }

    /// FD_ISSET(3).
    pub fn contains(&self, fd: i32) -> bool {
        self.0[fd as usize / 64] & 1 << (fd % 64) != 0
    }
}

/// select(2): hands the kernel the bits of all fds below `nfds`, sleeps for at most `timeout`
/// milliseconds (`None`: for ever), and leaves set the bits of those that are ready. Returns how
/// many bits that is.
pub fn select(
    nfds: i32,
    readable: &mut FdSet,
    writable: &mut FdSet,
    timeout: Option<u64>,
) -> io::Result<usize> {
    let mut span = timeout.map(|millis| libc::timeval {
        tv_sec: (millis / 1000) as libc::time_t,
        tv_usec: (millis % 1000 * 1000) as libc::suseconds_t,
    });
    // The kernel answers by overwriting: what was asked must be kept, if it is to be told.
    let asked = is_narrating().then_some((*readable, *writable));
    let span = span.as_mut().map_or(std::ptr::null_mut(), |span| &raw mut *span);
    let read = (&raw mut *readable).cast::<libc::fd_set>();
    let write = (&raw mut *writable).cast::<libc::fd_set>();
    // SAFETY: both sets have the size and alignment of fd_set (asserted above), `nfds` is at most
    // FD_SETSIZE because insert() panics past it, and the timeval outlives the call.
    let result = unsafe { libc::select(nfds, read, write, std::ptr::null_mut(), span) };
    told!(Call::Select, result as isize, |telling, count| {
        let (asked_read, asked_write) = asked.unwrap_or_default();
        // On an error the sets are as they were.
        let is_set = |&fd: &i32| count > 0 && (readable.contains(fd) || writable.contains(fd));
        telling.woken_by((0..nfds).filter(is_set));
        telling.with(nfds).with(words(&asked_read, nfds)).with(words(&asked_write, nfds));
        telling.with("NULL").with(timeout.map_or("NULL".into(), timespec)).with("NULL");
        telling.answered(if count == 0 { "(Timeout)".into() } else { answer(readable, writable, nfds) });
    })
}

/// `[3 5 9]`.
fn words(set: &FdSet, nfds: i32) -> String {
    let fds: Vec<String> = (0..nfds).filter(|&fd| set.contains(fd)).map(|fd| fd.to_string()).collect();
    format!("[{}]", fds.join(" "))
}

fn timespec(millis: u64) -> String {
    format!("{{tv_sec={}, tv_nsec={}}}", millis / 1000, millis % 1000 * 1_000_000)
}

/// `(in [9], out [12])`: what is left set.
fn answer(readable: &FdSet, writable: &FdSet, nfds: i32) -> String {
    let sets = [("in", words(readable, nfds)), ("out", words(writable, nfds))];
    let sets: Vec<String> =
        sets.into_iter().filter(|(_, fds)| fds != "[]").map(|(name, fds)| format!("{name} {fds}")).collect();
    format!("({})", sets.join(", "))
}
