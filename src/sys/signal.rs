//! Signals as a readable fd: signalfd(2).

use super::{Call, Fd, heard, told};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use std::io;
use std::mem::MaybeUninit;

/// The size of the kernel's set of signals, in bytes.
const KERNEL_SET: usize = 8;

/// A signal that asks the server to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from a supervisor or kill(1).
    Terminate,
    /// SIGINT, from Ctrl-C.
    Interrupt,
}

impl Signal {
    /// As kill(1) and strace(1) name it.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "SIGTERM",
            Signal::Interrupt => "SIGINT",
        }
    }
}

/// Blocks SIGTERM and SIGINT for this thread and opens an fd on which they arrive instead:
/// rt_sigprocmask(2), then signalfd4(2), non-blocking.
pub fn block_and_open() -> io::Result<Fd> {
    let signals = SigSet::from_iter([NixSignal::SIGTERM, NixSignal::SIGINT]);
    let blocked = signals.thread_block();
    heard(Call::Sigprocmask, blocked, 0, |telling, _| {
        telling.with("SIG_BLOCK").with("[INT TERM]").with("NULL").with(KERNEL_SET);
    })?;
    // SAFETY: the set is valid for the call, which only reads it; −1 asks for a new fd.
    let result = unsafe { libc::signalfd(-1, signals.as_ref(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
    told!(Call::Signalfd4, result as isize, |telling, _| {
        telling.with(-1).with("[INT TERM]").with(KERNEL_SET).with("SFD_CLOEXEC|SFD_NONBLOCK");
    })
    .map(Fd::new)
}

/// Takes the next signal off the fd: read(2). EAGAIN if there is none.
pub fn next_signal(fd: &Fd) -> io::Result<Signal> {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    // SAFETY: the kernel writes at most SIZE bytes, all of them `info`'s.
    let result = unsafe { libc::read(fd.number(), info.as_mut_ptr().cast(), SIZE) };
    told!(Call::Read, result, |telling, count| {
        // SAFETY: the first `count` bytes were written by the kernel, and `info` outlives the slice.
        let bytes = unsafe { std::slice::from_raw_parts(info.as_ptr().cast::<u8>(), count) };
        telling.on(fd.number()).filled(bytes.as_ptr(), (result >= 0).then_some(bytes)).with(SIZE);
    })?;
    // SAFETY: all-zero bytes are a valid signalfd_siginfo (integers only), and so is what the
    // kernel wrote over them.
    let info = unsafe { info.assume_init() };
    Ok(if info.ssi_signo == libc::SIGINT as u32 { Signal::Interrupt } else { Signal::Terminate })
}
