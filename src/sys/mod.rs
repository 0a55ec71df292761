//! The system calls: one thin function for each, and the only `unsafe` code there is.
//!
//! The rules of its interface:
//!
//! - A function here makes one system call, says so to [`told`], and returns what the kernel said
//!   as an [`io::Result`]. What the call is *for* is decided elsewhere.
//! - Whatever leaves the process leaves it here: lines on stdout and stderr, and readings of
//!   `/proc`, too. So one place can count every call, and tell it.
//! - `libc` and `nix` are named nowhere else.
#![allow(unsafe_code)]

mod bytes;
#[cfg(feature = "lab")]
mod client;
mod clock;
mod counts;
mod epoll;
mod fd;
mod limits;
mod lines;
mod poll;
mod process;
mod random;
mod select;
mod signal;
mod socket;
#[cfg(feature = "lab")]
mod standard;

pub use bytes::{read, write, writev};
#[cfg(feature = "lab")]
pub use client::{connect, connect_result, reset_on_close, shrink_receive_buffer};
pub use clock::{Moment, moment, wall_millis};
pub use counts::{Call, counts};
pub use epoll::{
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EpollEvent, EpollOp, epoll_create1, epoll_ctl,
    epoll_wait,
};
pub use fd::Fd;
pub use limits::{fd_limit, raise_fd_limit};
pub use lines::{stderr_line, stdout_line};
pub use poll::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, PollFd, poll};
pub use process::{cpu_seconds, open_fds, resident_bytes};
pub use random::random_u64;
pub use select::{FD_SETSIZE, FdSet, select};
pub use signal::{Signal, block_and_open, next_signal};
pub use socket::{Endpoint, Listening, accept4, listen_on, open_spare, remove_socket_file, shutdown_write};
#[cfg(feature = "lab")]
pub use standard::{PIPE_BUF, stderr_text, stderr_width, stdin_fd, stdout_fd};

use std::io;

/// Counts a finished call, and turns its −1 into the error that errno holds.
#[inline]
fn told(call: Call, result: isize) -> io::Result<usize> {
    counts::count(call);
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
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
