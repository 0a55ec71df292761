//! How often each system call was made: one thread makes them, so a plain cell counts exactly.

use std::cell::Cell;

macro_rules! calls {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// The system calls of the server, by the names that strace(1) gives them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        #[repr(usize)]
        pub enum Call { $($variant),* }

        impl Call {
            /// Every call, in the order of their declaration.
            pub const ALL: &[Call] = &[$(Call::$variant),*];

            /// The name that strace(1) prints.
            pub const fn name(self) -> &'static str {
                match self { $(Call::$variant => $name),* }
            }
        }
    };
}

calls! {
    Accept4 = "accept4",
    Bind = "bind",
    Close = "close",
    Connect = "connect",
    EpollCreate1 = "epoll_create1",
    EpollCtl = "epoll_ctl",
    EpollWait = "epoll_wait",
    Fcntl = "fcntl",
    Getrandom = "getrandom",
    Getrlimit = "prlimit64",
    Getsockname = "getsockname",
    Getsockopt = "getsockopt",
    Ioctl = "ioctl",
    Listen = "listen",
    Openat = "openat",
    Poll = "poll",
    Read = "read",
    // select() of glibc is the system call pselect6.
    Select = "pselect6",
    Setsockopt = "setsockopt",
    Shutdown = "shutdown",
    Sigprocmask = "rt_sigprocmask",
    Signalfd4 = "signalfd4",
    Socket = "socket",
    Stat = "statx",
    Unlink = "unlink",
    Write = "write",
    Writev = "writev",
}

thread_local! {
    static COUNTS: [Cell<u64>; Call::ALL.len()] = const { [const { Cell::new(0) }; Call::ALL.len()] };
}

#[inline]
pub(super) fn count(call: Call) {
    COUNTS.with(|counts| {
        let count = &counts[call as usize];
        count.set(count.get() + 1);
    });
}

/// Each call that this thread has made so far, with how often.
pub fn counts() -> impl Iterator<Item = (Call, u64)> {
    let made = COUNTS.with(|counts| counts.each_ref().map(Cell::get));
    Call::ALL.iter().copied().zip(made).filter(|&(_, count)| count > 0)
}
