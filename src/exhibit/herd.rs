//! Eight processes wait for one listener. How many wake up when one client comes?

use super::Exhibit;
use super::parts::{PATIENCE, await_sleep, read_exactly};
use super::show::{Figure, Show, at_least, at_most, exactly};
use crate::sys::{self, EPOLLEXCLUSIVE, EPOLLIN, EpollEvent, EpollOp, Fd, Forked};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

pub const EXHIBIT: Exhibit = Exhibit {
    name: "herd",
    about: "eight processes on one listener: plain, EPOLLEXCLUSIVE, SO_REUSEPORT",
    file: "src/exhibit/herd.rs",
    mistake: "Eight processes watch one listening socket, each with an epoll instance of its own.",
    cure: "EPOLLEXCLUSIVE wakes one of them. SO_REUSEPORT gives each a listener of its own.",
    why: "A client that comes wakes whoever waits for the listener: all eight. One accepts; for the others the kernel
          mostly finds out in time that nothing is left, and they go back to sleep without a word, so that
          epoll_wait(2) hides most of the herd; the kernel's count of sleeps does not. EPOLLEXCLUSIVE wakes
          the first in line: and that is the same process each time, as long as it is back asleep before the
          next client comes. SO_REUSEPORT deals by a hash of the addresses: fair in the long run, but a client
          waits for its process even if seven others are idle, and dies with it. (Under strace each system call
          is a sleep as well: then the counts say nothing.)",
    run,
};

const WORKERS: usize = 8;
const CLIENTS: usize = 64;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let all = show.expect("all three: clients served, of 3 × 64", exactly(3 * CLIENTS));
    let herd = show.expect("mistake, plain: processes woken for each client, of 8", at_least(4.0));
    let exclusive = show.expect("cure, EPOLLEXCLUSIVE: processes woken for each client", at_most(2.0));
    let reuseport = show.expect("cure, SO_REUSEPORT: processes woken for each client", at_most(2.0));
    let lopsided =
        show.expect("EPOLLEXCLUSIVE: clients of the busiest process, of 64", at_least(CLIENTS / 2));
    let dealt = show.expect("SO_REUSEPORT: clients of the busiest process, of 64", at_most(CLIENTS / 2));

    let plain = mistake()?;
    let one_wakes = cure_exclusive()?;
    let own_listeners = cure_reuseport()?;
    let served = [&plain, &one_wakes, &own_listeners].map(|seen| seen.served.iter().sum::<usize>());
    show.measured(all, served.iter().sum::<usize>());
    show.measured(herd, plain.wakeups_for_each());
    show.measured(exclusive, one_wakes.wakeups_for_each());
    show.measured(reuseport, own_listeners.wakeups_for_each());
    show.measured(lopsided, one_wakes.busiest());
    show.measured(dealt, own_listeners.busiest());
    for (name, seen) in [("plain", plain), ("EPOLLEXCLUSIVE", one_wakes), ("SO_REUSEPORT", own_listeners)] {
        show.also(&format!("{name}: waits that returned, and accepted nobody"), seen.wasted);
        show.also(&format!("{name}: clients of each process"), seen.distribution());
    }
    Ok(())
}

fn mistake() -> io::Result<Seen> {
    scene(1, EPOLLIN)
}

fn cure_exclusive() -> io::Result<Seen> {
    scene(1, EPOLLIN | EPOLLEXCLUSIVE)
}

fn cure_reuseport() -> io::Result<Seen> {
    scene(WORKERS, EPOLLIN)
}

const LISTENER: u64 = 0;
const STOP: u64 = 1;

/// A worker process: greets each client with its index, and at last reports how many waits were for nothing.
fn worker(index: u8, listener: &Fd, events: u32, stop: &Fd, report: &Fd) -> io::Result<()> {
    let (epoll, mut wasted) = (sys::epoll_create1()?, 0_u64);
    sys::epoll_ctl(&epoll, listener.number(), EpollOp::Add(events, LISTENER))?;
    sys::epoll_ctl(&epoll, stop.number(), EpollOp::Add(EPOLLIN, STOP))?;
    sys::write(report, &[index])?;
    loop {
        let mut ready = [EpollEvent::EMPTY];
        match sys::epoll_wait(&epoll, &mut ready, -1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if ready[0].data() == STOP {
            return sys::write(report, &wasted.to_le_bytes()).map(drop);
        }
        match sys::accept4(listener) {
            Ok((client, _)) => drop(sys::write(&client, &[index])?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wasted += 1,
            Err(error) => return Err(error),
        }
    }
}

struct Seen {
    /// How often a process woke up, in all.
    wakeups: u64,
    /// How often epoll_wait(2) returned and nobody was there to be accepted, in all.
    wasted: u64,
    /// How many clients each process had.
    served: [usize; WORKERS],
}

impl Seen {
    fn wakeups_for_each(&self) -> f64 {
        self.wakeups as f64 / CLIENTS as f64
    }

    fn busiest(&self) -> usize {
        self.served.into_iter().max().unwrap_or(0)
    }

    fn distribution(&self) -> Figure {
        self.served.map(|count| count.to_string()).join(" ").into()
    }
}

/// Eight processes share so many listeners. Clients come one by one, each when all processes are asleep.
fn scene(listeners: usize, events: u32) -> io::Result<Seen> {
    let (listeners, port) = sys::listen_together(listeners)?;
    let ((stop, stopper), (report, reporter)) = (sys::pipe()?, sys::pipe()?);
    let workers = (0..WORKERS).map(|index| {
        let listener = &listeners[index % listeners.len()];
        sys::fork(|| worker(index as u8, listener, events, &stop, &reporter))
    });
    let workers = workers.collect::<io::Result<Vec<Forked>>>()?;
    for _ in &workers {
        read_exactly(&report, &mut [0; 1])?;
    }
    await_sleep(&workers)?;
    let before = sleeps(&workers)?;
    let mut seen = Seen { wakeups: 0, wasted: 0, served: [0; WORKERS] };
    for _ in 0..CLIENTS {
        let client = sys::dial(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
        let mut index = [0];
        read_exactly(&client, &mut index)?;
        seen.served[usize::from(index[0])] += 1;
        await_sleep(&workers)?;
    }
    seen.wakeups = sleeps(&workers)? - before;
    sys::write(&stopper, b"stop")?; // Nobody reads it, so all of them see it.
    for _ in &workers {
        let mut wasted = [0; 8];
        read_exactly(&report, &mut wasted)?;
        seen.wasted += u64::from_le_bytes(wasted);
    }
    Ok(seen)
}

fn sleeps(workers: &[Forked]) -> io::Result<u64> {
    workers.iter().map(Forked::sleeps).sum()
}
