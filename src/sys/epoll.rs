//! epoll_create1(2), epoll_ctl(2), epoll_wait(2).

use super::names_of;
use super::narration::{self, array, flags};
use super::{Call, Fd, told};
use std::io;

/// There is something to read, or the peer has sent its FIN.
pub const EPOLLIN: u32 = libc::EPOLLIN as u32;
/// There is room to write.
pub const EPOLLOUT: u32 = libc::EPOLLOUT as u32;
/// An error waits to be fetched; reported whether asked for or not.
pub const EPOLLERR: u32 = libc::EPOLLERR as u32;
/// Both directions are shut; reported whether asked for or not.
pub const EPOLLHUP: u32 = libc::EPOLLHUP as u32;
/// The peer has sent its FIN; only if asked for.
pub const EPOLLRDHUP: u32 = libc::EPOLLRDHUP as u32;
/// Report only what is new: edge-triggered. The server never asks for it.
#[cfg(feature = "lab")]
pub const EPOLLET: u32 = libc::EPOLLET as u32;
/// Wake only one of several epoll instances that watch the same socket; only with EPOLL_CTL_ADD.
#[cfg(feature = "lab")]
pub const EPOLLEXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

/// What epoll_wait(2) fills in: 12 bytes on x86-64, where the kernel packs it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct EpollEvent(libc::epoll_event);

impl EpollEvent {
    /// An empty event, to be filled in.
    pub const EMPTY: EpollEvent = EpollEvent(libc::epoll_event { events: 0, u64: 0 });

    /// The readiness: bits of EPOLLIN and its kin.
    pub fn events(self) -> u32 {
        self.0.events
    }

    /// What epoll_ctl(2) was given for this fd.
    pub fn data(self) -> u64 {
        self.0.u64
    }
}

/// What epoll_ctl(2) is to do with an fd.
#[derive(Clone, Copy, Debug)]
pub enum EpollOp {
    /// EPOLL_CTL_ADD: watch for these events; report them with this data.
    Add(u32, u64),
    /// EPOLL_CTL_MOD: from now on these events and this data.
    Modify(u32, u64),
    /// EPOLL_CTL_DEL: watch no longer.
    Delete,
}

/// epoll_create1(2) with EPOLL_CLOEXEC: a new, empty interest list.
pub fn epoll_create1() -> io::Result<Fd> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    told!(Call::EpollCreate1, result as isize, |telling, _| {
        telling.with("EPOLL_CLOEXEC");
    })
    .map(Fd::new)
}

/// epoll_ctl(2): changes one entry of the interest list.
pub fn epoll_ctl(epoll: &Fd, fd: i32, op: EpollOp) -> io::Result<()> {
    let (op, name, events, data) = match op {
        EpollOp::Add(events, data) => (libc::EPOLL_CTL_ADD, "EPOLL_CTL_ADD", events, data),
        EpollOp::Modify(events, data) => (libc::EPOLL_CTL_MOD, "EPOLL_CTL_MOD", events, data),
        EpollOp::Delete => (libc::EPOLL_CTL_DEL, "EPOLL_CTL_DEL", 0, 0),
    };
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: `event` outlives the call, which only reads it.
    let result = unsafe { libc::epoll_ctl(epoll.number(), op, fd, &mut event) };
    told!(Call::EpollCtl, result as isize, |telling, _| {
        if op != libc::EPOLL_CTL_DEL {
            narration::note_watched(data, fd);
        }
        telling.about(fd).with(epoll.number()).with(name).with(fd).with(entry(events, fd));
    })
    .map(drop)
}

/// epoll_wait(2): sleeps for at most `timeout` milliseconds (−1: for ever) until something on the
/// interest list is ready, and fills `into` with what is.
#[inline(always)]
pub fn epoll_wait(epoll: &Fd, into: &mut [EpollEvent], timeout: i32) -> io::Result<usize> {
    let room = into.len().min(i32::MAX as usize) as i32;
    // SAFETY: the kernel writes at most `room` events, all within `into`; EpollEvent is a
    // transparent epoll_event.
    let result = unsafe { libc::epoll_wait(epoll.number(), into.as_mut_ptr().cast(), room, timeout) };
    told!(Call::EpollWait, result as isize, move |telling, count| {
        let fd_of = |event: &EpollEvent| narration::watched(event.data());
        let ready = into[..count].iter().map(|event| entry(event.events(), fd_of(event)));
        telling.woken_by(into[..count].iter().map(fd_of));
        telling.with(epoll.number()).with(array(ready)).with(room).with(timeout);
    })
}

/// `{EPOLLIN, fd 9}`: strace shows the number that epoll_ctl(2) was given, here it is the fd it stands for.
fn entry(events: u32, fd: i32) -> String {
    format!("{{{}, fd {fd}}}", flags(&epoll_names(events)))
}

/// The names of the bits that are set.
pub fn epoll_names(events: u32) -> Vec<&'static str> {
    const NAMES: &[(u32, &str)] = &[
        (EPOLLIN, "EPOLLIN"),
        (EPOLLOUT, "EPOLLOUT"),
        (EPOLLERR, "EPOLLERR"),
        (EPOLLHUP, "EPOLLHUP"),
        (EPOLLRDHUP, "EPOLLRDHUP"),
    ];
    names_of(events, NAMES)
}
