//! A client that goes away while it is parked says so, to who still listens to it.

use super::Exhibit;
use super::parts::{PATIENCE, accept, await_bytes, client_of, listener};
use super::show::{Show, exactly};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Token};
use crate::sys::{self, Fd, Listening};
use std::collections::HashMap;
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "leaked-waiters",
    about: "waiters never cleaned up",
    file: "src/exhibit/leaked_waiters.rs",
    mistake: "A parked poll is put on a list and not watched any more: there is nothing to read from it.",
    cure: "It stays watched. The client's FIN is readable, read(2) says 0, and the waiter goes.",
    why: "The kernel closes nothing for us: a connection whose client has gone stays in CLOSE_WAIT, with its fd and its
          memory, until close(2). So a server leaks one fd for each client that gave up, and writes its next
          event to nobody. Browsers give up all the time: a reload is enough. In the server a close is one
          function, and whoever holds an id of what was closed holds nothing: src/server/settle.rs.",
    run,
};

const CLIENTS: usize = 40;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let leaks = [1, 2, 3].map(|round| round * CLIENTS as u64);
    let leaked = show.expect("mistake: fds more than at first, after each 40 clients", exactly(list(leaks)));
    let wasted = show.expect("mistake: answers written to nobody", exactly(3 * CLIENTS));
    let closed = show.expect("cure: fds more than at first, after each 40 clients", exactly(list([0; 3])));
    let none = show.expect("cure: answers written to nobody", exactly(0_u64));
    let (fds, answers) = scene(mistake)?;
    show.measured(leaked, list(fds));
    show.measured(wasted, answers);
    let (fds, answers) = scene(cure)?;
    show.measured(closed, list(fds));
    show.measured(none, answers);
    Ok(())
}

fn list(counts: [u64; 3]) -> String {
    counts.map(|count| count.to_string()).join(", ")
}

/// Nothing is expected of a parked client but patience.
fn mistake(server: &mut Server, fd: Fd) -> io::Result<()> {
    server.epoll.remove(&fd)?;
    server.parked.insert(fd.number(), fd);
    Ok(())
}

/// A parked client may still say that it goes.
fn cure(server: &mut Server, fd: Fd) -> io::Result<()> {
    server.parked.insert(fd.number(), fd);
    Ok(())
}

struct Server {
    listening: Listening,
    epoll: Epoll,
    parked: HashMap<i32, Fd>,
}

impl Server {
    /// Accepts a client and reads its request.
    fn accept(&mut self) -> io::Result<Fd> {
        let fd = accept(&self.listening)?;
        self.epoll.add(&fd, Token(fd.number() as u64), Interest::READ)?;
        await_bytes(&fd)?;
        sys::read(&fd, &mut [0; 64])?;
        Ok(fd)
    }

    /// Turns the loop until nobody has had anything to say for 50 ms.
    fn turn_until_quiet(&mut self) -> io::Result<()> {
        let (begin, mut ready) = (sys::moment(), Vec::new());
        while begin.elapsed() < PATIENCE {
            self.epoll.wait(Some(50), &mut ready)?;
            for report in &ready {
                let number = report.token.0 as i32;
                if sys::read(&self.parked[&number], &mut [0; 64])? == 0 {
                    self.parked.remove(&number);
                }
            }
            if ready.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// Three times clients come, ask, and go; at last something is published. Returns how many fds there were more
/// after each time, and how many answers were written.
fn scene(park: fn(&mut Server, Fd) -> io::Result<()>) -> io::Result<([u64; 3], usize)> {
    let mut server = Server { listening: listener()?, epoll: Epoll::new()?, parked: HashMap::new() };
    let (at_first, mut more) = (open_fds()?, [0; 3]);
    for more in &mut more {
        let clients: Vec<Fd> =
            (0..CLIENTS).map(|_| client_of(&server.listening)).collect::<io::Result<_>>()?;
        for client in &clients {
            sys::write(client, b"GET /poll HTTP/1.1\r\n\r\n")?;
            let fd = server.accept()?;
            park(&mut server, fd)?;
        }
        drop(clients);
        server.turn_until_quiet()?;
        *more = open_fds()? - at_first;
    }
    let answer = |fd: &Fd| sys::write(fd, b"HTTP/1.1 200 OK\r\n\r\n").is_ok();
    Ok((more, server.parked.values().filter(|fd| answer(fd)).count()))
}

fn open_fds() -> io::Result<u64> {
    sys::open_fds().ok_or_else(|| io::Error::other("/proc/self/fd cannot be read; mount /proc"))
}
