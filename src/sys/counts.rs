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
    ClockGetres = "clock_getres",
    ClockGettime = "clock_gettime",
    Clone = "clone",
    Close = "close",
    Connect = "connect",
    Dup = "dup",
    EpollCreate1 = "epoll_create1",
    EpollCtl = "epoll_ctl",
    EpollWait = "epoll_wait",
    Fcntl = "fcntl",
    Getdents64 = "getdents64",
    Getpid = "getpid",
    Getrandom = "getrandom",
    Getsockname = "getsockname",
    Getsockopt = "getsockopt",
    Ioctl = "ioctl",
    Kill = "kill",
    Listen = "listen",
    Lseek = "lseek",
    MemfdCreate = "memfd_create",
    Newfstatat = "newfstatat",
    Openat = "openat",
    PidfdSendSignal = "pidfd_send_signal",
    Pipe2 = "pipe2",
    Poll = "poll",
    Prlimit64 = "prlimit64",
    Read = "read",
    Readlink = "readlink",
    SchedGetaffinity = "sched_getaffinity",
    SchedSetaffinity = "sched_setaffinity",
    // select() of glibc is the system call pselect6.
    Select = "pselect6",
    Setitimer = "setitimer",
    Setsockopt = "setsockopt",
    Shutdown = "shutdown",
    Sigaction = "rt_sigaction",
    Signalfd4 = "signalfd4",
    Sigprocmask = "rt_sigprocmask",
    Socket = "socket",
    Socketpair = "socketpair",
    Unlink = "unlink",
    Wait4 = "wait4",
    Waitid = "waitid",
    Write = "write",
    Writev = "writev",
}

/// On whose behalf calls are made, by a small number of the caller's own choosing; 0 is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account(pub u8);

impl Account {
    /// How many there may be.
    pub const MOST: usize = 8;
}

type Row = [Cell<u64>; Call::ALL.len()];

struct Counts {
    rows: [Row; Account::MOST],
    /// To which of them calls are charged at present.
    account: Cell<u8>,
}

thread_local! {
    static COUNTS: Counts = const {
        let rows = [const { [const { Cell::new(0) }; Call::ALL.len()] }; Account::MOST];
        Counts { rows, account: Cell::new(0) }
    };
}

#[inline]
pub(super) fn count(call: Call) {
    COUNTS.with(|counts| add(counts, counts.account.get(), call, 1));
}

#[inline]
fn add(counts: &Counts, account: u8, call: Call, count: u64) {
    let cell = &counts.rows[usize::from(account) % Account::MOST][call as usize];
    cell.set(cell.get().wrapping_add(count));
}

/// Charges the calls from now on to another account, and returns the one before.
#[inline]
pub fn charge_to(account: Account) -> Account {
    COUNTS.with(|counts| Account(counts.account.replace(account.0)))
}

/// Moves one call from an account to another: on whose behalf it was made was seen only afterwards.
#[inline]
pub fn recharge(call: Call, from: Account, to: Account) {
    COUNTS.with(|counts| {
        add(counts, from.0, call, u64::MAX);
        add(counts, to.0, call, 1);
    });
}

/// Each call that this thread has made so far, with how often.
pub fn counts() -> impl Iterator<Item = (Call, u64)> {
    let of = |call: Call| (0..Account::MOST as u8).map(|account| made(Account(account), call)).sum();
    Call::ALL.iter().map(move |&call| (call, of(call))).filter(|&(_, count)| count > 0)
}

/// The same for one account.
pub fn counts_of(account: Account) -> impl Iterator<Item = (Call, u64)> {
    Call::ALL.iter().map(move |&call| (call, made(account, call))).filter(|&(_, count)| count > 0)
}

fn made(account: Account, call: Call) -> u64 {
    COUNTS.with(|counts| counts.rows[usize::from(account.0)][call as usize].get())
}
