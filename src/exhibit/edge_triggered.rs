//! Edge-triggered means: told once for what is new. What was left in the socket is not new.

use super::Exhibit;
use super::show::{Show, at_most, exactly};
use crate::sys::{self, EPOLLET, EPOLLIN, EpollEvent, EpollOp, Fd};
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "edge-triggered",
    about: "edge-triggered readiness without draining",
    file: "src/exhibit/edge_triggered.rs",
    mistake: "With EPOLLET one read(2) is made for each wake-up, as one may without it.",
    cure: "Read until EAGAIN at each wake-up. Or leave EPOLLET alone: what is left is then reported again.",
    why: "Without EPOLLET epoll_wait(2) asks the socket each time whether there is something to read. With it, an
          entry is reported when something arrives, and forgotten once reported. The 90 bytes that the
          first read(2) left arrived already; nothing new comes, because the client waits for an answer, and
          so both wait for ever. The server here is level-triggered: what it does not finish is reported again.",
    run,
};

const SENT: usize = 100;
const READ: usize = 10;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let level_wakeups = show.expect("level-triggered, one read each: wake-ups", exactly(SENT / READ));
    let level_left = show.expect("level-triggered, one read each: bytes left behind", exactly(0_u64));
    let stuck_wakeups = show.expect("mistake, edge-triggered, one read each: wake-ups", exactly(1_u64));
    let stuck_left =
        show.expect("mistake, edge-triggered, one read each: bytes left behind", exactly(SENT - READ));
    let cured_wakeups = show.expect("cure, edge-triggered, drained: wake-ups", exactly(1_u64));
    let cured_left = show.expect("cure, edge-triggered, drained: bytes left behind", exactly(0_u64));
    let reads = show.expect("cure: reads, the last for EAGAIN", at_most(SENT / READ + 1));

    let level = serve(EPOLLIN, read_once)?;
    show.measured(level_wakeups, level.wakeups);
    show.measured(level_left, level.left);
    let stuck = serve(EPOLLIN | EPOLLET, read_once)?;
    show.measured(stuck_wakeups, stuck.wakeups);
    show.measured(stuck_left, stuck.left);
    let cured = serve(EPOLLIN | EPOLLET, read_until_eagain)?;
    show.measured(cured_wakeups, cured.wakeups);
    show.measured(cured_left, cured.left);
    show.measured(reads, cured.reads);
    Ok(())
}

/// The mistake, if the events are edge-triggered. Returns how many reads it made.
fn read_once(server: &Fd) -> io::Result<usize> {
    sys::read(server, &mut [0; READ])?;
    Ok(1)
}

/// The cure.
fn read_until_eagain(server: &Fd) -> io::Result<usize> {
    for reads in 1.. {
        match sys::read(server, &mut [0; READ]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(reads),
            result => result?,
        };
    }
    Ok(0)
}

struct Served {
    wakeups: usize,
    reads: usize,
    left: usize,
}

/// A client sends 100 bytes, once, and waits. The loop runs for as long as it is woken within 20 ms.
fn serve(events: u32, handle: fn(&Fd) -> io::Result<usize>) -> io::Result<Served> {
    let (epoll, (server, client)) = (sys::epoll_create1()?, sys::socketpair()?);
    sys::epoll_ctl(&epoll, server.number(), EpollOp::Add(events, 0))?;
    sys::write(&client, &[b'x'; SENT])?;
    let mut served = Served { wakeups: 0, reads: 0, left: 0 };
    while sys::epoll_wait(&epoll, &mut [EpollEvent::EMPTY], 20)? > 0 {
        served.wakeups += 1;
        served.reads += handle(&server)?;
    }
    served.left = sys::unread(&server)?;
    Ok(served)
}
