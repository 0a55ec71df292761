//! How the loop waits: select(2), poll(2) and epoll(7) behind one small trait.
//!
//! The three files beside this one are the lesson; read them side by side. The rules they share:
//!
//! - An fd is added once, with a [`Token`] that comes back whenever it is ready, and an
//!   [`Interest`]; the interest may be changed, also to nothing; before the fd is closed it is
//!   removed.
//! - Readiness is level-triggered: what is not dealt with is reported again.
//! - A hang-up or an error counts as *readable*, so that read(2) tells what happened. With no
//!   interest at all poll and epoll still report both; select cannot, for an fd in no set is
//!   invisible to it.
//! - [`Multiplexer::wait`] is the only place where the thread sleeps. A wait that a signal or a
//!   debugger interrupts (EINTR) returns what has become ready until then.

mod epoll;
mod poll;
mod select;

pub use epoll::{BATCH, Epoll, parse_watch};
pub use poll::Poll;
pub use select::Select;

use crate::sys::Fd;
use std::io;

/// The mechanisms, by the names that users give them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mechanism {
    /// epoll(7): the kernel keeps the list and returns what is ready.
    #[default]
    Epoll,
    /// poll(2): the kernel is handed the whole list each time.
    Poll,
    /// select(2): the kernel is handed bitmaps each time; at most 1,024 fds.
    Select,
}

impl Mechanism {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// All three.
    pub const ALL: [Mechanism; 3] = [Mechanism::Epoll, Mechanism::Poll, Mechanism::Select];

    /// `epoll`, `poll` or `select`.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Epoll => "epoll",
            Mechanism::Poll => "poll",
            Mechanism::Select => "select",
        }
    }

    /// Makes one of this kind, watching nothing yet.
    pub fn open(self) -> io::Result<Box<dyn Multiplexer>> {
        Ok(match self {
            Mechanism::Epoll => Box::new(Epoll::new()?),
            Mechanism::Poll => Box::new(Poll::new()),
            Mechanism::Select => Box::new(Select::new()),
        })
    }

    /// The fd number from which on this mechanism can watch nothing, if there is one.
    pub fn fd_ceiling(self) -> Option<i32> {
        (self == Mechanism::Select).then_some(crate::sys::FD_SETSIZE)
    }
}

/// What comes back when an fd is ready. Its meaning is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// What is asked about an fd. (One byte: there is one in each connection.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Nothing but what the kernel reports unasked.
    pub const NONE: Interest = Interest(0);
    /// Report when there is something to read.
    pub const READ: Interest = Interest(1);
    /// Report when there is room to write.
    pub const WRITE: Interest = Interest(2);
    /// Report the peer's FIN as a hang-up, though nothing is read. (select cannot.)
    pub const END: Interest = Interest(4);

    /// Whether something of `other` is asked.
    pub fn has(self, other: Interest) -> bool {
        self.0 & other.0 != 0
    }

    /// This, and `other` too if it is wanted.
    pub fn and(self, other: Interest, wanted: bool) -> Interest {
        if wanted { Interest(self.0 | other.0) } else { self }
    }
}

/// One fd that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Whose it is.
    pub token: Token,
    /// read(2) will not block: bytes, an end or an error wait.
    pub readable: bool,
    /// write(2) will not block.
    pub writable: bool,
    /// The kernel says, asked or not, that the connection has failed or is shut both ways; or, if asked, that
    /// the peer has sent its FIN. (Counted as readable too; select cannot say it.)
    pub hung_up: bool,
}

/// A way to wait for many fds at once. See the module's text for the rules.
pub trait Multiplexer {
    /// Which one it is.
    fn mechanism(&self) -> Mechanism;

    /// Starts to watch `fd`. Fails with EINVAL where the mechanism cannot watch a number so high.
    fn add(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()>;

    /// From now on asks `interest` about an fd that was added.
    fn modify(&mut self, fd: &Fd, token: Token, interest: Interest) -> io::Result<()>;

    /// Watches `fd` no longer.
    fn remove(&mut self, fd: &Fd) -> io::Result<()>;

    /// Says that `fd` is about to be closed. epoll needs no telling: close(2) takes an fd off its
    /// list (with its last duplicate, and nothing here duplicates one).
    fn forget(&mut self, fd: &Fd) {
        let _ = self.remove(fd);
    }

    /// The fd in which the kernel keeps the list of what is watched, if it keeps one: it can be asked about in
    /// `/proc/self/fdinfo`.
    fn kernel_list(&self) -> Option<&Fd> {
        None
    }

    /// What will be asked about this fd at the next wait, where that is handed over each time: the token, and
    /// the events in this mechanism's own bits.
    fn handed_over(&self, _fd: i32) -> Option<(Token, u32)> {
        None
    }

    /// An interest in this mechanism's own bits.
    fn events(&self, interest: Interest) -> u32;

    /// Those bits by the names that they have in C.
    fn names(&self, events: u32) -> Vec<&'static str>;

    /// Sleeps until something is ready or `timeout` milliseconds are over (`None`: as long as it
    /// takes), and replaces what is in `ready` by what is.
    fn wait(&mut self, timeout: Option<u64>, ready: &mut Vec<Ready>) -> io::Result<()>;
}

/// A timeout as poll(2) and epoll_wait(2) take it: an `int` of milliseconds, −1 for ever. One that
/// is too long is cut to 24 days; the loop then merely wakes for nothing.
fn as_int(timeout: Option<u64>) -> i32 {
    timeout.map_or(-1, |millis| i32::try_from(millis).unwrap_or(i32::MAX))
}

/// EINTR is no error of the wait. It comes with signals, with SIGSTOP and SIGCONT, and whenever strace(1)
/// attaches. Nobody knows how long we were away, so what has become ready meanwhile is fetched before anybody
/// is told that its time is over.
#[inline(always)]
fn unless_interrupted(
    timeout: Option<u64>,
    mut wait: impl FnMut(Option<u64>) -> io::Result<usize>,
) -> io::Result<usize> {
    match wait(timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => without_sleeping(wait),
        other => other,
    }
}

#[cold]
fn without_sleeping(mut wait: impl FnMut(Option<u64>) -> io::Result<usize>) -> io::Result<usize> {
    match wait(Some(0)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
