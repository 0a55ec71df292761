//! A wait that a signal interrupts says EINTR. Nothing is wrong with it.

use super::Exhibit;
use super::show::{Show, exactly};
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Token};
use crate::sys::{self, Alarm, EpollEvent, FdSet};
use std::io;
use std::time::Duration;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "eintr",
    about: "EINTR taken for an error",
    file: "src/exhibit/interrupted.rs",
    mistake: "Whatever the wait fails with ends the loop.",
    cure: "EINTR is no failure: what has become ready meanwhile is fetched, and the loop goes on.",
    why: "A handler ran, and the kernel comes back so that the program may look at what it changed. SA_RESTART, which
          restarts read(2), does not restart a wait for several fds (signal(7)). And it takes no handler of
          one's own: attaching strace(1), or SIGSTOP and SIGCONT, interrupt epoll_wait(2) too, so that the loop
          dies on the day somebody looks. The server's way is in src/multiplexer/mod.rs.",
    run,
};

/// The signal comes again and again, so that it surely finds the wait asleep.
const OFTEN: Duration = Duration::from_millis(10);
const LONG: u64 = 5000;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let interrupted = Mechanism::ALL.map(|mechanism| {
        let what = format!("mistake: {}, a sleep of 5 s with a signal in it", mechanism.name());
        (mechanism, show.expect(what, exactly("EINTR")))
    });
    let unserved = show.expect("mistake: requests that are answered, of 3", exactly(0_u64));
    let served = show.expect("cure: requests that are answered, of 3", exactly(3_u64));

    let mut answered = 0;
    for (mechanism, expected) in interrupted {
        show.measured(expected, &serve(mechanism, mistake, &mut answered));
    }
    show.measured(unserved, answered);
    let mut answered = 0;
    for mechanism in Mechanism::ALL {
        serve(mechanism, cure, &mut answered)?;
    }
    show.measured(served, answered);
    Ok(())
}

/// The system call as it is. With nobody ready it sleeps, and the signal makes it fail.
fn mistake(multiplexer: &mut dyn Multiplexer) -> io::Result<()> {
    match multiplexer.mechanism() {
        Mechanism::Epoll => sys::epoll_wait(&sys::epoll_create1()?, &mut [EpollEvent::EMPTY], LONG as i32),
        Mechanism::Poll => sys::poll(&mut [], LONG as i32),
        Mechanism::Select => sys::select(0, &mut FdSet::default(), &mut FdSet::default(), Some(LONG)),
    }
    .map(drop)
}

/// The same, for somebody to whom EINTR is no failure.
fn cure(multiplexer: &mut dyn Multiplexer) -> io::Result<()> {
    multiplexer.wait(Some(LONG), &mut Vec::new())
}

/// Two turns of a loop: a signal falls into the first, and a request comes before the second.
fn serve(
    mechanism: Mechanism,
    first_wait: fn(&mut dyn Multiplexer) -> io::Result<()>,
    answered: &mut u64,
) -> io::Result<()> {
    let (mut multiplexer, (server, client)) = (mechanism.open()?, sys::socketpair()?);
    multiplexer.add(&server, Token(0), Interest::READ)?;
    let alarm = Alarm::every(OFTEN)?;
    first_wait(&mut *multiplexer)?; // The mistake ends the loop here.
    drop(alarm);

    sys::write(&client, b"request")?;
    let mut ready = Vec::new();
    multiplexer.wait(Some(LONG), &mut ready)?;
    for _ in &ready {
        sys::read(&server, &mut [0; 64])?;
        sys::write(&server, b"answer")?;
        *answered += 1;
    }
    Ok(())
}
