//! poll(2).

use super::narration::{array, flags};
use super::{Call, names_of, told};
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
    told!(Call::Poll, result as isize, |telling, count| {
        let asked = list.iter().map(|line| format!("{{fd={}, events={}}}", line.fd(), names(line.events())));
        telling.with(array(asked)).with(list.len()).with(timeout);
        let answers = list.iter().filter(|line| line.revents() != 0);
        telling.woken_by(answers.clone().map(|line| line.fd()));
        let answers = answers.map(|line| format!("{{fd={}, revents={}}}", line.fd(), names(line.revents())));
        match count {
            0 => telling.answered("(Timeout)"),
            _ => telling.answered(format!("({})", array(answers))),
        };
    })
}

fn names(events: i16) -> String {
    flags(&poll_names(events))
}

/// The names of the bits that are set.
pub fn poll_names(events: i16) -> Vec<&'static str> {
    const NAMES: &[(u32, &str)] = &[
        (POLLIN as u32, "POLLIN"),
        (POLLOUT as u32, "POLLOUT"),
        (POLLERR as u32, "POLLERR"),
        (POLLHUP as u32, "POLLHUP"),
        (POLLNVAL as u32, "POLLNVAL"),
        (POLLRDHUP as u32, "POLLRDHUP"),
    ];
    names_of(events as u32, NAMES)
}
