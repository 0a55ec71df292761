//! An fd_set has 1,024 bits. FD_SET(3) does not ask whether the fd is one of them.

use super::Exhibit;
use super::show::{Show, exactly};
use crate::multiplexer::{Interest, Mechanism, Multiplexer, Select, Token};
use crate::sys::{self, FD_SETSIZE, Fd, FdSet, SoftLimit, WideSet};
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "fd-setsize",
    about: "FD_SETSIZE: select(2) and fd 1024",
    file: "src/exhibit/fd_setsize.rs",
    mistake: "FD_SET(3) for an fd past the end: a bit is set in whatever lies behind the fd_set.",
    cure: "Refuse an fd that is too high before it is watched; or use poll(2) or epoll(7), which have no such end.",
    why: "The kernel takes as many bits as its caller says; handed a larger bitmap by its own name, pselect6(2) watches
          fd 1024 and any other. It is the C library that fixed the type fd_set at 1,024 bits, and its macro
          that computes an address without looking: C writes into its neighbour, glibc with _FORTIFY_SOURCE
          aborts, Rust panics at the array's end. The server refuses with 503: src/server/gate.rs.",
    run,
};

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let bytes = show.expect("size of an fd_set in bytes", exactly(FD_SETSIZE as usize / 8));
    let smashed = show.expect("mistake: bytes of the neighbour that FD_SET(1024) changes", exactly(1_u64));
    let refused = show.expect("cure: the server's select, asked to watch fd 1024", exactly("refused"));
    let poll = show.expect("cure: poll(2), fds that are ready", exactly(1_u64));
    let epoll = show.expect("cure: epoll(7), fds that are ready", exactly(1_u64));
    let wide = show.expect("and pselect6(2) with a larger bitmap, fds that are ready", exactly(1_u64));

    show.measured(bytes, size_of::<FdSet>());
    show.measured(smashed, mistake());
    let (_limit, high, client) = a_high_fd()?;
    sys::write(&client, b"hello")?;
    show.also("the fd's number", high.number() as u64);
    show.measured(
        refused,
        if Select::new().add(&high, Token(0), Interest::READ).is_err() { "refused" } else { "watched" },
    );
    show.measured(poll, cure(Mechanism::Poll, &high)?);
    show.measured(epoll, cure(Mechanism::Epoll, &high)?);
    show.measured(wide, larger_bitmap(&high)?);
    Ok(())
}

/// What FD_SET(3) does in C, on memory of which the first 128 bytes are the fd_set, and the rest is somebody else's.
fn mistake() -> usize {
    let mut memory = [0_u8; size_of::<FdSet>() + 8];
    let fd = FD_SETSIZE;
    memory[fd as usize / 8] |= 1 << (fd % 8);
    let neighbour = &memory[size_of::<FdSet>()..];
    neighbour.iter().filter(|&&byte| byte != 0).count()
}

fn cure(mechanism: Mechanism, high: &Fd) -> io::Result<usize> {
    let (mut multiplexer, mut ready) = (mechanism.open()?, Vec::new());
    multiplexer.add(high, Token(0), Interest::READ)?;
    multiplexer.wait(Some(1000), &mut ready)?;
    Ok(ready.len())
}

/// The limit is not the kernel's.
fn larger_bitmap(high: &Fd) -> io::Result<usize> {
    let nfds = high.number() + 1;
    let (mut readable, mut writable) = (WideSet::below(nfds), WideSet::below(nfds));
    readable.insert(high.number());
    sys::pselect6(nfds, &mut readable, &mut writable, Some(1000))
}

/// A socket whose number is the first that an fd_set has no bit for, and the other end of it.
fn a_high_fd() -> io::Result<(SoftLimit, Fd, Fd)> {
    let limit = SoftLimit::at_least(FD_SETSIZE as u64 + 64).map_err(|error| {
        let advice = "this needs an fd above 1024: raise the hard limit on open files (ulimit -Hn)";
        io::Error::other(format!("{error}; {advice}"))
    })?;
    let (low, client) = sys::socketpair()?;
    let high = sys::dup_from(&low, FD_SETSIZE)?;
    Ok((limit, high, client))
}
