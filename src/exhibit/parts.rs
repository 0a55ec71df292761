//! What several exhibits need around the mistake and the cure.

use crate::sys::{self, Endpoint, Fd, Forked, Listening, POLLIN, PollFd};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long anything may take that ought to happen at once.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A listener on a free port of 127.0.0.1.
pub fn listener() -> io::Result<Listening> {
    sys::listen_on(&Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), PATIENCE)
}

/// A client of that listener. It waits in the backlog until it is accepted.
pub fn client_of(listening: &Listening) -> io::Result<Fd> {
    match listening.endpoint {
        Endpoint::Tcp(address) => sys::dial(address, PATIENCE),
        Endpoint::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Accepts the one who comes next.
pub fn accept(listening: &Listening) -> io::Result<Fd> {
    await_bytes(&listening.fd)?;
    sys::accept4(&listening.fd).map(|(fd, _)| fd)
}

/// Whether there is something to read within so many milliseconds.
pub fn is_readable(fd: &Fd, millis: i32) -> io::Result<bool> {
    Ok(sys::poll(&mut [PollFd::new(fd.number(), POLLIN)], millis)? > 0)
}

/// Waits until there is something to read. Fails with `TimedOut` when patience is over.
pub fn await_bytes(fd: &Fd) -> io::Result<()> {
    let came = is_readable(fd, PATIENCE.as_millis() as i32)?;
    came.then_some(()).ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// Reads until `into` is full: a few bytes, which come in one piece or not at all.
pub fn read_exactly(fd: &Fd, into: &mut [u8]) -> io::Result<()> {
    await_bytes(fd)?;
    match sys::read(fd, into)? {
        count if count == into.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Waits until every process sleeps in a system call.
pub fn await_sleep(processes: &[Forked]) -> io::Result<()> {
    let begin = sys::moment();
    loop {
        let asleep = processes.iter().map(Forked::is_asleep).collect::<io::Result<Vec<bool>>>()?;
        if asleep.into_iter().all(|asleep| asleep) {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sys::poll(&mut [], 1)?;
    }
}

/// The bytes that are there, 64 at most.
pub fn read_words(fd: &Fd) -> io::Result<Vec<u8>> {
    let mut words = vec![0; 64];
    let count = sys::read(fd, &mut words)?;
    words.truncate(count);
    Ok(words)
}

/// What a piece of work returned, and the CPU time that it took this thread.
pub fn with_cpu<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Duration)> {
    let before = sys::thread_cpu();
    let result = work()?;
    Ok((result, sys::thread_cpu() - before))
}

/// How many times as much `more` is as `less`.
pub fn ratio(more: Duration, less: Duration) -> f64 {
    more.as_secs_f64() / less.as_secs_f64()
}

/// The one in the middle.
pub fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 2]
}
