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
mod child;
mod clock;
#[cfg(feature = "lab")]
mod counted;
mod counts;
#[cfg(feature = "lab")]
mod dial;
mod epoll;
mod fd;
#[cfg(feature = "lab")]
mod file;
mod limits;
mod lines;
#[cfg(feature = "lab")]
mod machine;
#[cfg(feature = "lab")]
mod memory;
mod poll;
mod process;
mod random;
mod select;
mod signal;
mod socket;
#[cfg(feature = "lab")]
mod wide_select;

pub use bytes::{read, write, writev};
#[cfg(feature = "lab")]
pub use child::Child;
pub use clock::{Moment, moment, wall_millis};
pub use counts::{Call, counts};
#[cfg(feature = "lab")]
pub use dial::{dial, reset_on_close};
pub use epoll::{
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EpollEvent, EpollOp, epoll_create1, epoll_ctl,
    epoll_wait,
};
pub use fd::Fd;
#[cfg(feature = "lab")]
pub use file::{create_file, write_all};
pub use limits::{fd_limit, raise_fd_limit};
pub use lines::{stderr_line, stdout_line};
#[cfg(feature = "lab")]
pub use machine::{
    cpu_model, cpus, family_cpu_seconds, kernel_release, machine_cpu_seconds, stderr_is_a_terminal,
};
#[cfg(feature = "lab")]
pub use memory::{Slab, anonymous_bytes, memory_bytes, slab_bytes, slabs, tcp_buffer_bytes};
pub use poll::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, PollFd, poll};
pub use process::{cpu_seconds, open_fds, resident_bytes};
pub use random::random_u64;
pub use select::{FD_SETSIZE, FdSet, select};
pub use signal::{Signal, block_and_open, next_signal};
pub use socket::{Endpoint, Listening, accept4, listen_on, open_spare, remove_socket_file, shutdown_write};
#[cfg(feature = "lab")]
pub use wide_select::{WideSet, pselect6};

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
