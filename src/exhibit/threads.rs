//! A thread for each request, and a request that waits: the pool is empty while nobody works.

use super::Exhibit;
use super::parts::{await_bytes, is_readable, read_words};
use super::show::{Show, at_least, at_most, exactly};
use crate::multiplexer::{Epoll, Interest, Multiplexer, Ready, Token};
use crate::sys::{self, Fd};
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "threads",
    about: "a thread for each request: eight workers, eight parked polls, and a ninth request",
    file: "src/exhibit/threads.rs",
    mistake: "Eight worker threads, each with one request until it is answered. Eight polls wait for news; the ninth
              request brings it.",
    cure: "One loop: a parked poll is an entry in a table, and needs no thread.",
    why: "All eight threads sleep, and the news waits in the queue behind those who wait for it: nothing moves until a
          hold is over. The CPU is idle, so more load looks harmless. This is how long polling starved mod_jk
          and Servlet 2.5, where a request is its thread; Servlet 3.0 and DeferredResult let the thread go.
          More threads only move the number. In a loop a parked poll takes no thread, so the ninth request
          is read at once, and its news is what the eight are answered with.",
    run,
};

const WORKERS: usize = 8;
const HOLD: Duration = Duration::from_millis(600);
const POLL: &[u8] = b"GET /poll";
const EVENT: &[u8] = b"POST /event";
const NEWS: &[u8] = b"news";

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let starved = show.expect("mistake: until the ninth is answered; a hold is 600 ms", at_least(HOLD));
    let in_vain = show.expect("mistake: polls of 8 that waited in vain", at_least(1_u64));
    let served = show.expect("cure: until the ninth is answered", at_most(HOLD / 2));
    let told = show.expect("cure: polls of 8 that waited in vain", exactly(0_u64));
    let (waited, heard) = mistake()?;
    show.measured(starved, waited);
    show.measured(in_vain, WORKERS - heard);
    let (waited, heard) = cure()?;
    show.measured(served, waited);
    show.measured(told, WORKERS - heard);
    show.also("mistake: threads that can do nothing else meanwhile", WORKERS);
    Ok(())
}

/// Returns how long the ninth client waited, and how many of the eight heard the news.
fn mistake() -> io::Result<(Duration, usize)> {
    let (queue, requests) = channel();
    let (requests, (bell, ringer)) = (Mutex::new(requests), sys::pipe()?);
    let (mut clients, begin) = (Vec::new(), sys::moment());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| worker(&requests, &bell, &ringer));
        }
        for words in [POLL; WORKERS].into_iter().chain([EVENT]) {
            let (server, client) = sys::socketpair()?;
            sys::write(&client, words)?;
            queue.send(server).map_err(io::Error::other)?;
            clients.push(client);
        }
        drop(queue); // So that the workers go home when all is answered.
        await_bytes(&clients[WORKERS])?;
        Ok((begin.elapsed(), count_news(&clients[..WORKERS])?))
    })
}

/// Takes one request after the other, and has no time for the next until this one is answered.
fn worker(requests: &Mutex<Receiver<Fd>>, bell: &Fd, ringer: &Fd) -> io::Result<()> {
    loop {
        let next = requests.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(request) = next else { return Ok(()) };
        if read_words(&request)? == POLL {
            let has_rung = is_readable(bell, HOLD.as_millis() as i32)?;
            sys::write(&request, if has_rung { NEWS } else { b"timeout" })?;
        } else {
            sys::write(ringer, NEWS)?; // Nobody reads it, so whoever waits sees it.
            sys::write(&request, b"201")?;
        }
    }
}

fn cure() -> io::Result<(Duration, usize)> {
    let mut server = Server { epoll: Epoll::new()?, connections: Vec::new(), parked: Vec::new() };
    let (mut clients, begin) = (Vec::new(), sys::moment());
    for words in [POLL; WORKERS].into_iter().chain([EVENT]) {
        let (fd, client) = sys::socketpair()?;
        sys::write(&client, words)?;
        server.epoll.add(&fd, Token(clients.len() as u64), Interest::READ)?;
        server.connections.push(fd);
        clients.push(client);
        server.turn()?;
    }
    await_bytes(&clients[WORKERS])?;
    Ok((begin.elapsed(), count_news(&clients[..WORKERS])?))
}

/// One thread for all. (Holds are left out: none of them is over before the news is there.)
struct Server {
    epoll: Epoll,
    connections: Vec<Fd>,
    parked: Vec<usize>,
}

impl Server {
    fn turn(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        self.epoll.wait(Some(HOLD.as_millis() as u64), &mut ready)?;
        for Ready { token, .. } in ready {
            let index = token.0 as usize;
            if read_words(&self.connections[index])? == POLL {
                self.parked.push(index);
            } else {
                for poll in self.parked.drain(..) {
                    sys::write(&self.connections[poll], NEWS)?;
                }
                sys::write(&self.connections[index], b"201")?;
            }
        }
        Ok(())
    }
}

fn count_news(clients: &[Fd]) -> io::Result<usize> {
    let mut heard = 0;
    for client in clients {
        await_bytes(client)?;
        heard += usize::from(read_words(client)? == NEWS);
    }
    Ok(heard)
}
