//! The system calls: one thin function for each, and the only `unsafe` code there is.
//!
//! The rules of its interface:
//!
//! - A function here makes one system call, says so to [`told`], which counts it and can tell it, and
//!   returns what the kernel said as an [`io::Result`]. What the call is *for* is decided elsewhere.
//! - Whatever leaves the process leaves it here: lines on stdout and stderr, and readings of
//!   `/proc`, too. So no call is missing in the counts and in the narration.
//! - `libc` and `nix` are named nowhere else.
#![allow(unsafe_code)]

mod bytes;
mod clock;
mod companion;
mod counts;
mod epoll;
mod fd;
#[cfg(feature = "lab")]
mod lab;
mod limits;
mod lines;
mod narration;
mod poll;
mod process;
mod random;
mod record;
mod select;
mod signal;
mod socket;

pub use bytes::{read, write, writev};
pub use clock::{Moment, moment, wall_millis};
pub use companion::{Companion, End, Parting};
pub use counts::{Account, Call, charge_to, counts, counts_of, recharge};
pub use epoll::{
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EpollEvent, EpollOp, epoll_create1, epoll_ctl,
    epoll_names, epoll_wait,
};
#[cfg(feature = "lab")]
pub use epoll::{EPOLLET, EPOLLEXCLUSIVE};
pub use fd::Fd;
#[cfg(feature = "lab")]
pub use lab::*;
pub use limits::{fd_limit, raise_fd_limit};
pub use lines::{stderr_line, stdout_line};
pub use narration::{
    attend_to, disown, fall_silent, is_narrating, narrate, record, remark, rule, set_aside, stop_recording,
    take_turn,
};
pub use poll::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, PollFd, poll, poll_names};
pub use process::{
    OpenFds, cpu_seconds, fd_info, fd_target, open_fds, open_file, process_id, resident_bytes,
};
pub use random::random_u64;
pub use record::{Line, Sentences, Turn};
pub use select::{FD_SETSIZE, FdSet, select};
pub use signal::{Signal, block_and_open, next_signal};
pub use socket::{Endpoint, Listening, accept4, listen_on, open_spare, remove_socket_file, shutdown_write};

use narration::Telling;
use std::io;

/// Counts a finished call, turns its −1 into the error that errno holds, and tells it if calls are being
/// told: `describe` is handed the result (0 for an error) and puts the arguments into words. (A macro, so that
/// what that needs is put together only where it is told: a call is made some million times a second.)
macro_rules! told {
    ($call:expr, $result:expr, $describe:expr $(,)?) => {{
        let (call, result): ($crate::sys::Call, isize) = ($call, $result);
        if $crate::sys::is_narrating() {
            $crate::sys::tell(call, result, $describe)
        } else {
            $crate::sys::counts::count(call);
            $crate::sys::checked(result)
        }
    }};
}
use told;

/// What a system call returned, or the error that errno holds.
#[inline(always)]
fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| why())
}

#[cold]
fn why() -> io::Error {
    io::Error::last_os_error()
}

/// The same, counted and told.
#[cold]
fn tell(call: Call, result: isize, describe: impl FnOnce(&mut Telling, usize)) -> io::Result<usize> {
    heard(call, checked(result), result.max(0) as usize, describe)
}

/// Counts and tells a finished call whose result is at hand: a library may have made it for us. `number` is what the
/// kernel returned, if it was no error.
fn heard<T, E: Into<io::Error>>(
    call: Call,
    result: Result<T, E>,
    number: usize,
    describe: impl FnOnce(&mut Telling, usize),
) -> io::Result<T> {
    let (told, result) = match result.map_err(Into::into) {
        Ok(value) => (Ok(number), Ok(value)),
        Err(error) => (Err(error.raw_os_error().unwrap_or(0)), Err(error)),
    };
    counts::count(call);
    if is_narrating() {
        narration::tell(call, &told.map_err(io::Error::from_raw_os_error), describe);
    }
    result
}

/// The names of the bits that are set.
pub fn names_of(bits: u32, names: &[(u32, &'static str)]) -> Vec<&'static str> {
    names.iter().filter(|(bit, _)| bits & bit != 0).map(|&(_, name)| name).collect()
}

/// What ran out when a call failed for want of file descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scarcity {
    /// EMFILE: this process has as many fds as its limit allows.
    Process,
    /// ENFILE, ENOBUFS, ENOMEM: the whole system is out of files or of memory for sockets.
    System,
}

/// Whether `error` says that fds have run out, and whose.
pub fn scarcity(error: &io::Error) -> Option<Scarcity> {
    match error.raw_os_error()? {
        libc::EMFILE => Some(Scarcity::Process),
        libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => Some(Scarcity::System),
        _ => None,
    }
}
