//! Interest in writing that is never taken back: an idle socket can nearly always be written to.

use super::Exhibit;
use super::parts::{ratio, with_cpu};
use super::show::{Show, at_least, exactly};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Token};
use crate::sys::{self, Fd};
use std::io;
use std::time::Duration;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "epollout",
    about: "EPOLLOUT left armed",
    file: "src/exhibit/epollout.rs",
    mistake: "READ and WRITE are asked for when the connection is added, and that is that.",
    cure: "WRITE is asked for only while there is something to say that the kernel would not take.",
    why: "EPOLLOUT means that there is room in the send buffer. While an answer is larger than the buffer that is
          news; once everything is sent it is true for good, and a level-triggered wait never sleeps
          again. The server writes first, and asks only after EAGAIN: src/server/settle.rs.",
    run,
};

const ANSWER: usize = 1 << 20;
const WINDOW: Duration = Duration::from_millis(100);

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let whole = show.expect("both: bytes that the client got, of an answer of 1 MiB", exactly(2 * ANSWER));
    let idle = show.expect("mistake: wake-ups in 100 ms with nothing to write", at_least(100_u64));
    let burnt = show.expect("mistake: CPU time in these, as a multiple of the cure's", at_least(5.0));
    let none = show.expect("cure: wake-ups in 100 ms with nothing to write", exactly(0_u64));
    let wrong = scene(mistake)?;
    let right = scene(cure)?;
    show.measured(whole, wrong.received + right.received);
    show.measured(idle, wrong.idle_wakeups);
    show.measured(burnt, ratio(wrong.idle_cpu, right.idle_cpu));
    show.also("mistake: CPU time in these", wrong.idle_cpu);
    show.measured(none, right.idle_wakeups);
    show.also("cure: CPU time in these", right.idle_cpu);
    show.also("mistake: wake-ups for the answer itself", wrong.busy_wakeups);
    show.also("cure: wake-ups for the answer itself", right.busy_wakeups);
    Ok(())
}

/// Nothing is ever taken back.
fn mistake(connection: &mut Connection, _epoll: &mut Epoll) -> io::Result<()> {
    connection.write()
}

/// What is asked for follows from what is left to say, after each write.
fn cure(connection: &mut Connection, epoll: &mut Epoll) -> io::Result<()> {
    connection.write()?;
    let interest = Interest::READ.and(Interest::WRITE, connection.unsent > 0);
    epoll.modify(&connection.fd, Token(0), interest)
}

struct Connection {
    fd: Fd,
    unsent: usize,
}

impl Connection {
    fn write(&mut self) -> io::Result<()> {
        if self.unsent > 0 {
            self.unsent -= sys::write(&self.fd, &vec![b'x'; self.unsent])?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    received: usize,
    busy_wakeups: u64,
    idle_wakeups: u64,
    idle_cpu: Duration,
}

/// An answer that is larger than the buffers goes to a client that reads after each wake-up; then all is quiet.
fn scene(on_writable: fn(&mut Connection, &mut Epoll) -> io::Result<()>) -> io::Result<Seen> {
    let (mut epoll, (fd, client)) = (Epoll::new()?, sys::socketpair()?);
    let mut connection = Connection { fd, unsent: ANSWER };
    epoll.add(&connection.fd, Token(0), Interest::READ.and(Interest::WRITE, true))?;
    let (mut seen, mut ready, mut buffer) = (Seen::default(), Vec::new(), vec![0; 1 << 16]);
    while seen.received < ANSWER {
        epoll.wait(Some(1000), &mut ready)?;
        if ready.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        seen.busy_wakeups += 1;
        on_writable(&mut connection, &mut epoll)?;
        while let Ok(count @ 1..) = sys::read(&client, &mut buffer) {
            seen.received += count;
        }
    }
    let begin = sys::moment();
    let quiet = || {
        while let Some(left) = WINDOW.checked_sub(begin.elapsed()) {
            epoll.wait(Some(left.as_millis() as u64 + 1), &mut ready)?;
            seen.idle_wakeups += ready.len() as u64;
            for _ in &ready {
                on_writable(&mut connection, &mut epoll)?;
            }
        }
        Ok(())
    };
    ((), seen.idle_cpu) = with_cpu(quiet)?;
    Ok(seen)
}
