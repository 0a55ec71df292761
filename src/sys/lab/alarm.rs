//! A signal that comes again and again: rt_sigaction(2) and setitimer(2).

use super::{Call, told};
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// SIGALRM every so often, to a handler that does nothing. The system call that it finds asleep is interrupted
/// all the same: that is what it is for. When this is dropped the timer stops and the old handler is back.
pub struct Alarm(libc::sigaction);

impl Alarm {
    /// Starts. The handler is installed with SA_RESTART, which restarts read(2) and its kin, and never a wait
    /// for several fds (signal(7), "Interruption of system calls").
    pub fn every(span: Duration) -> io::Result<Alarm> {
        let mut handler = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: all-zero bytes are a valid sigaction: the default action, no flags, an empty mask.
        let handler = unsafe { handler.assume_init_mut() };
        handler.sa_sigaction = ignore as extern "C" fn(libc::c_int) as usize;
        handler.sa_flags = libc::SA_RESTART;
        let alarm = Alarm(exchange_handler(handler)?);
        tick(span).map(|()| alarm)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // OK to ignore because neither fails with arguments that were right before (setitimer(2), sigaction(2)).
        let _ = tick(Duration::ZERO);
        let _ = exchange_handler(&self.0);
    }
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// rt_sigaction(2) for SIGALRM: the handler from now on; returns the one before.
fn exchange_handler(handler: &libc::sigaction) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: both point to a sigaction that outlives the call, and a handler that does nothing is safe at any
    // moment (signal-safety(7)).
    let result = unsafe { libc::sigaction(libc::SIGALRM, handler, before.as_mut_ptr()) };
    told(Call::Sigaction, result as isize)?;
    // SAFETY: all-zero bytes are a valid sigaction, and so is what the kernel wrote.
    Ok(unsafe { before.assume_init() })
}

/// setitimer(2): a SIGALRM after each `span` of real time; zero stops it.
fn tick(span: Duration) -> io::Result<()> {
    let span = libc::timeval {
        tv_sec: span.as_secs() as libc::time_t,
        tv_usec: span.subsec_micros() as libc::suseconds_t,
    };
    let timer = libc::itimerval { it_interval: span, it_value: span };
    // SAFETY: the timer outlives the call, which only reads it; the old one is not asked for.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    told(Call::Setitimer, result as isize).map(drop)
}
