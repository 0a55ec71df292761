//! poll(2).

use super::{Call, told};
use std::io;

/// There is something to read, or the peer has sent its FIN.
pub const POLLIN: i16 = libc::POLLIN;
/// There is room to write.
pub const POLLOUT: i16 = libc::POLLOUT;
/// An error waits to be fetched; reported whether asked for or not.
pub const POLLERR: i16 = libc::POLLERR;
/// Both directions are shut; reported whether asked for or not.
pub const POLLHUP: i16 = libc::POLLHUP;
/// The peer has sent its FIN; only if asked for.
pub const POLLRDHUP: i16 = libc::POLLRDHUP;
/// The fd is not open.
pub const POLLNVAL: i16 = libc::POLLNVAL;

/// One line of the list that poll(2) is handed each time: 8 bytes in, 8 bytes out.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct PollFd(libc::pollfd);

impl PollFd {
    /// An fd and what is asked about it.
    pub fn new(fd: i32, events: i16) -> PollFd {
        PollFd(libc::pollfd { fd, events, revents: 0 })
    }

    /// Whose line it is.
    pub fn fd(self) -> i32 {
        self.0.fd
    }

    /// What is asked.
    pub fn events(self) -> i16 {
        self.0.events
    }

    /// What the kernel answered last.
    pub fn revents(self) -> i16 {
        self.0.revents
    }

    /// Asks something else from now on.
    pub fn ask(&mut self, events: i16) {
        self.0.events = events;
    }
}

/// poll(2): hands the kernel the whole list, sleeps for at most `timeout` milliseconds (−1: for
/// ever), and returns how many of its lines got an answer.
pub fn poll(list: &mut [PollFd], timeout: i32) -> io::Result<usize> {
    // SAFETY: the kernel reads and writes `len` lines, all of them `list`'s; PollFd is a
    // transparent pollfd.
    let result = unsafe { libc::poll(list.as_mut_ptr().cast(), list.len() as libc::nfds_t, timeout) };
    told(Call::Poll, result as isize)
}
