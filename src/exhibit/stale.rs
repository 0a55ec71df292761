//! One wait returns a batch. What is done for its first entry may make the second one a lie.

use super::Exhibit;
use super::parts::read_words;
use super::show::{Show, exactly};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Ready, Token};
use crate::sys::{self, Fd};
use crate::table::{Id, Table};
use std::collections::HashMap;
use std::io;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "stale",
    about: "stale readiness for an fd number that somebody else has by now",
    file: "src/exhibit/stale.rs",
    mistake: "Connections are known by their fd numbers, so a report is for whoever has the number when it is read.",
    cure: "Connections are known by slot and generation; the generation is never used again, so that an old
           report names nobody.",
    why: "Two reports come in one batch: the first connection asks to take the place of the second, and the second has
          hung up. While the first is dealt with, the second is closed and a newcomer is accepted; the kernel
          hands out the lowest free number, which is the one just closed. The report that is still in the
          array was true when it was made. The server's tokens are those of src/table.rs.",
    run,
};

const ROUNDS: usize = 50;
/// What a client says that takes the place of another.
const REPLACE: &[u8] = b"replace";

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let same = show.expect("newcomers of 50 who get the number that was just closed", exactly(ROUNDS));
    let thrown_out = show.expect("mistake: newcomers of 50 who are thrown out for it", exactly(ROUNDS));
    let spared = show.expect("cure: newcomers of 50 who are thrown out for it", exactly(0_u64));
    let stale = show.expect("cure: reports that are known to be stale", exactly(ROUNDS));
    let (mut wrong, mut right) = (Seen::default(), Seen::default());
    for _ in 0..ROUNDS {
        mistake(&mut wrong)?;
        cure(&mut right)?;
    }
    show.measured(same, wrong.same_number);
    show.measured(thrown_out, wrong.thrown_out);
    show.measured(spared, right.thrown_out);
    show.measured(stale, right.stale);
    Ok(())
}

#[derive(Default)]
struct Seen {
    same_number: usize,
    thrown_out: usize,
    stale: usize,
}

fn mistake(seen: &mut Seen) -> io::Result<()> {
    let (mut epoll, mut open) = (Epoll::new()?, HashMap::new());
    let ((first, friend), (second, stranger)) = (sys::socketpair()?, sys::socketpair()?);
    let replaced = second.number();
    for fd in [first, second] {
        epoll.add(&fd, Token(fd.number() as u64), Interest::READ)?;
        open.insert(fd.number(), fd);
    }
    let mut newcomer = None;
    for ready in batch(&mut epoll, &friend, stranger)? {
        let number = ready.token.0 as i32;
        if ready.hung_up {
            open.remove(&number);
        } else if read_words(&open[&number])? == REPLACE {
            open.remove(&replaced);
            let (fd, client) = sys::socketpair()?;
            seen.same_number += usize::from(fd.number() == replaced);
            newcomer = Some((fd.number(), client));
            open.insert(fd.number(), fd);
        }
    }
    seen.thrown_out += usize::from(newcomer.is_some_and(|(number, _)| !open.contains_key(&number)));
    Ok(())
}

fn cure(seen: &mut Seen) -> io::Result<()> {
    let (mut epoll, mut open) = (Epoll::new()?, Table::default());
    let ((first, friend), (second, stranger)) = (sys::socketpair()?, sys::socketpair()?);
    let (first, replaced) = (open.insert(first), open.insert(second));
    for id in [first, replaced] {
        epoll.add(
            open.get(id).expect("OK because it was just inserted"),
            Token(id.to_bits()),
            Interest::READ,
        )?;
    }
    let mut newcomer = None;
    for ready in batch(&mut epoll, &friend, stranger)? {
        let id = Id::from_bits(ready.token.0).filter(|&id| open.get(id).is_some());
        let Some(id) = id else {
            seen.stale += 1;
            continue;
        };
        if ready.hung_up {
            open.remove(id);
        } else if read_words(open.get(id).expect("OK because it was filtered for that"))? == REPLACE {
            open.remove(replaced);
            let (fd, client) = sys::socketpair()?;
            newcomer = Some((open.insert(fd), client));
        }
    }
    seen.thrown_out += usize::from(newcomer.is_some_and(|(id, _)| open.get(id).is_none()));
    Ok(())
}

/// The friend asks to replace the stranger, then the stranger hangs up: two reports, fetched together.
fn batch(epoll: &mut Epoll, friend: &Fd, stranger: Fd) -> io::Result<Vec<Ready>> {
    sys::write(friend, REPLACE)?;
    drop(stranger);
    let mut ready = Vec::new();
    epoll.wait(Some(1000), &mut ready)?;
    Ok(ready)
}
