//! A regular file has no readiness: epoll(7) says so, poll(2) and select(2) call it always ready.

use super::Exhibit;
use super::parts::PATIENCE;
use super::show::{Show, exactly};
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Token};
use crate::sys::{self, Fd};
use std::io;
use std::thread;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "regular-file",
    about: "a regular file in epoll (EPERM), and in poll and select (always ready)",
    file: "src/exhibit/regular_file.rs",
    mistake: "A file is watched like a socket, to be told when it has grown, or so that reading it does not block.",
    cure: "Another thread reads the file and says so through a pipe; a pipe can be watched.",
    why: "A file on a disk has nobody who would send: read(2) fetches what is there, waits for the disk if it must,
          and returns 0 at the end. It has no poll method in the kernel, and neither has /dev/null. poll(2)
          and select(2) take such an fd for ready, always; a loop that follows a growing file with them
          spins, and reads nothing. epoll_ctl(2) refuses it with EPERM, which is the honest answer.
          (A file that grows is inotify(7)'s business.)",
    run,
};

const TURNS: usize = 100;
const PIECE: usize = 4096;

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let file_refused = show.expect("mistake: epoll, a regular file", exactly("EPERM"));
    let null_refused = show.expect("mistake: epoll, /dev/null", exactly("EPERM"));
    let in_poll =
        show.expect("mistake: poll, turns of 100 in which a file at its end is ready", exactly(TURNS));
    let in_select = show.expect("mistake: select, turns of 100 in which it is", exactly(TURNS));
    let nothing = show.expect("mistake: bytes read in these turns", exactly(0_u64));
    let early = show.expect("cure: reports by epoll before the file was read", exactly(0_u64));
    let told = show.expect("cure: reports by epoll afterwards", exactly(1_u64));
    let bytes = show.expect("cure: bytes read", exactly(PIECE));

    show.measured(file_refused, &watch(Mechanism::Epoll, &program()?).map(drop));
    show.measured(null_refused, &watch(Mechanism::Epoll, &sys::open_spare()?).map(drop));
    let (poll_turns, poll_bytes) = mistake(Mechanism::Poll)?;
    let (select_turns, select_bytes) = mistake(Mechanism::Select)?;
    show.measured(in_poll, poll_turns);
    show.measured(in_select, select_turns);
    show.measured(nothing, poll_bytes + select_bytes);
    let read = cure()?;
    show.measured(early, read.reports_before);
    show.measured(told, read.reports_after);
    show.measured(bytes, read.bytes);
    Ok(())
}

/// Follows a file that does not grow, as `tail -f` would if this worked: turns in which it was ready, and bytes read.
fn mistake(mechanism: Mechanism) -> io::Result<(usize, usize)> {
    let file = program()?;
    sys::seek_to_end(&file)?;
    let (mut multiplexer, mut ready) = (watch(mechanism, &file)?, Vec::new());
    let (mut turns, mut bytes) = (0, 0);
    for _ in 0..TURNS {
        multiplexer.wait(Some(1000), &mut ready)?;
        turns += ready.len();
        bytes += sys::read(&file, &mut [0; PIECE])?;
    }
    Ok((turns, bytes))
}

struct Read {
    reports_before: usize,
    reports_after: usize,
    bytes: usize,
}

fn cure() -> io::Result<Read> {
    let (reader, writer) = sys::pipe()?;
    let (mut multiplexer, mut ready) = (watch(Mechanism::Epoll, &reader)?, Vec::new());
    multiplexer.wait(Some(0), &mut ready)?;
    let reports_before = ready.len();
    thread::scope(|scope| {
        let helper = scope.spawn(|| {
            let bytes = sys::read(&program()?, &mut [0; PIECE])?; // It may block, and nobody minds.
            sys::write(&writer, b"done")?;
            io::Result::Ok(bytes)
        });
        multiplexer.wait(Some(PATIENCE.as_millis() as u64), &mut ready)?;
        let bytes = helper.join().map_err(|_| io::Error::other("the helper panicked"))??;
        Ok(Read { reports_before, reports_after: ready.len(), bytes })
    })
}

/// A regular file that is always there: this program.
fn program() -> io::Result<Fd> {
    sys::open_file("/proc/self/exe")
}

fn watch(mechanism: Mechanism, fd: &Fd) -> io::Result<Box<dyn Multiplexer>> {
    let mut multiplexer = mechanism.open()?;
    multiplexer.add(fd, Token(0), Interest::READ)?;
    Ok(multiplexer)
}
