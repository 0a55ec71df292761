//! accept4(2) says EMFILE: no fd is left. The client stays in the backlog, and the listener stays ready.

use super::Exhibit;
use super::parts::{client_of, is_readable, listener, ratio, with_cpu};
use super::show::{Show, at_least, at_most, exactly};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Token};
use crate::sys::{self, Fd, Listening, SoftLimit};
use std::io;
use std::time::Duration;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "emfile",
    about: "accept at EMFILE in a level-triggered loop",
    file: "src/exhibit/emfile.rs",
    mistake: "The error is left for the next turn of the loop; and the next turn is at once.",
    cure: "The listener is not watched for a tenth of a second. And one fd was held back: it is given up,
           the client is accepted in its place, is told so and let go.",
    why:
        "Readiness of a listener means that somebody waits in the backlog, not that accept4(2) would succeed.
          A failed accept4(2) takes nobody out of the backlog, so a level-triggered wait returns at once, for
          as long as fds are short: often until an operator comes. Resting alone ends the spin, and leaves
          the clients without an answer; the spare fd gives them one.",
    run,
};

const CLIENTS: usize = 3;
const WINDOW: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_millis(100);

fn run(show: &mut Show<'_>) -> io::Result<()> {
    // The listener is looked at when the window begins, and again after each rest.
    let looks = 1 + WINDOW.as_millis() / REST.as_millis();
    let spins = show.expect("mistake: wake-ups in 250 ms", at_least(20 * looks as u64));
    let burnt = show.expect("mistake: CPU time, as a multiple of the cure's", at_least(5.0));
    let unheard = show.expect("mistake: clients that hear anything", exactly(0_u64));
    let rests =
        show.expect("cure: wake-ups in 250 ms: one look, and one after each rest", at_most(looks as u64));
    let silent = show.expect("cure without a spare fd: clients that hear anything", exactly(0_u64));
    let heard = show.expect("cure: clients told that there is no room", exactly(CLIENTS));

    let mut scene = Scene::set(None)?;
    let (wakeups, cpu) = with_cpu(|| mistake(&mut scene))?;
    show.measured(spins, wakeups);
    let told = scene.clients_told()?;
    drop(scene);

    let mut scene = Scene::set(None)?;
    let (rested, calm) = with_cpu(|| cure(&mut scene))?;
    show.measured(burnt, ratio(cpu, calm));
    show.also("mistake: CPU time in 250 ms", cpu);
    show.also("cure: CPU time in 250 ms", calm);
    show.measured(unheard, told);
    show.measured(rests, rested);
    show.measured(silent, scene.clients_told()?);
    drop(scene);

    let mut scene = Scene::set(Some(sys::open_spare()?))?;
    cure(&mut scene)?;
    show.measured(heard, scene.clients_told()?);
    Ok(())
}

fn mistake(scene: &mut Scene) -> io::Result<u64> {
    let (begin, mut wakeups, mut ready) = (sys::moment(), 0, Vec::new());
    while let Some(left) = WINDOW.checked_sub(begin.elapsed()) {
        scene.epoll.wait(Some(left.as_millis() as u64 + 1), &mut ready)?;
        for _ in &ready {
            wakeups += 1;
            match sys::accept4(&scene.listening.fd) {
                Err(error) if sys::scarcity(&error).is_some() => {} // Perhaps it works the next time.
                result => drop(result?),
            }
        }
    }
    Ok(wakeups)
}

fn cure(scene: &mut Scene) -> io::Result<u64> {
    let (begin, mut wakeups, mut ready) = (sys::moment(), 0, Vec::new());
    while let Some(left) = WINDOW.checked_sub(begin.elapsed()) {
        scene.epoll.wait(Some(left.min(REST).as_millis() as u64 + 1), &mut ready)?;
        // A wait in which nobody came was a rest, and it is over.
        let mut interest = Interest::READ;
        for _ in &ready {
            wakeups += 1;
            match sys::accept4(&scene.listening.fd) {
                Err(error) if sys::scarcity(&error).is_some() => {
                    scene.turn_away()?;
                    interest = Interest::NONE;
                }
                result => drop(result?),
            }
        }
        scene.epoll.modify(&scene.listening.fd, LISTENER, interest)?;
    }
    Ok(wakeups)
}

const LISTENER: Token = Token(0);
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A listener with clients in its backlog, and not one fd left.
struct Scene {
    epoll: Epoll,
    listening: Listening,
    clients: Vec<Fd>,
    spare: Option<Fd>,
    _hoard: Vec<Fd>,
    _limit: SoftLimit,
}

impl Scene {
    fn set(spare: Option<Fd>) -> io::Result<Scene> {
        let (mut epoll, listening) = (Epoll::new()?, listener()?);
        epoll.add(&listening.fd, LISTENER, Interest::READ)?;
        let clients = (0..CLIENTS).map(|_| client_of(&listening)).collect::<io::Result<_>>()?;
        let limit = SoftLimit::at_most(64)?;
        let hoard = std::iter::from_fn(|| sys::open_spare().ok()).collect();
        Ok(Scene { epoll, listening, clients, spare, _hoard: hoard, _limit: limit })
    }

    /// Gives the spare fd up, so that those who wait can be accepted one by one, and takes it back.
    fn turn_away(&mut self) -> io::Result<()> {
        if self.spare.take().is_some() {
            while let Ok((client, _)) = sys::accept4(&self.listening.fd) {
                sys::write(&client, NO_ROOM)?;
            }
            self.spare = Some(sys::open_spare()?);
        }
        Ok(())
    }

    fn clients_told(&self) -> io::Result<usize> {
        let told = |client: &Fd| {
            is_readable(client, 50)?;
            Ok(usize::from(sys::unread(client)? == NO_ROOM.len()))
        };
        self.clients.iter().map(told).sum()
    }
}
