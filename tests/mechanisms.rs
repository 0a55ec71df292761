//! The three mechanisms under one contract, and the places where they cannot be the same.

use doorbell::multiplexer::{Interest, Mechanism, Multiplexer, Ready, Token};
use doorbell::sys::{self, Endpoint, FD_SETSIZE, Fd, Listening};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A connected pair: our end as the server has it, theirs as a client has it.
fn pair() -> (Fd, TcpStream) {
    let any = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
    let Listening { fd, endpoint } = sys::listen_on(&any, Duration::from_secs(9)).unwrap();
    let Endpoint::Tcp(address) = endpoint else { unreachable!() };
    let theirs = TcpStream::connect(address).unwrap();
    let ours = loop {
        if let Ok((fd, _)) = sys::accept4(&fd) {
            break fd;
        }
    };
    (ours, theirs)
}

/// What is ready within a few seconds.
fn wait(multiplexer: &mut dyn Multiplexer) -> Vec<Ready> {
    let mut ready = Vec::new();
    multiplexer.wait(Some(5000), &mut ready).unwrap();
    ready
}

/// What is ready at once.
fn glance(multiplexer: &mut dyn Multiplexer) -> Vec<Ready> {
    let mut ready = Vec::new();
    multiplexer.wait(Some(0), &mut ready).unwrap();
    ready
}

/// Held for writing while so many fds are open that others would get numbers that select cannot watch.
static NUMBERS: RwLock<()> = RwLock::new(());

fn on_each(test: impl Fn(&mut dyn Multiplexer)) {
    let _low_numbers = NUMBERS.read().unwrap_or_else(PoisonError::into_inner);
    over_each(test);
}

fn over_each(test: impl Fn(&mut dyn Multiplexer)) {
    for mechanism in Mechanism::ALL {
        let mut multiplexer = mechanism.open().unwrap();
        assert_eq!(multiplexer.mechanism(), mechanism);
        test(&mut *multiplexer);
    }
}

#[test]
fn what_is_not_read_is_reported_again() {
    on_each(|multiplexer| {
        let (ours, mut theirs) = pair();
        multiplexer.add(&ours, Token(7), Interest::READ).unwrap();
        assert_eq!(glance(multiplexer), []);
        theirs.write_all(b"ab").unwrap();
        for _ in 0..2 {
            let ready = wait(multiplexer);
            assert_eq!(ready.len(), 1);
            assert_eq!((ready[0].token, ready[0].readable, ready[0].writable), (Token(7), true, false));
        }
        assert_eq!(sys::read(&ours, &mut [0; 9]).unwrap(), 2);
        assert_eq!(glance(multiplexer), []);
    });
}

#[test]
fn only_what_is_ready_is_reported() {
    on_each(|multiplexer| {
        let pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        for (token, (ours, _)) in pairs.iter().enumerate() {
            multiplexer.add(ours, Token(token as u64), Interest::READ).unwrap();
        }
        (&pairs[31].1).write_all(b"x").unwrap();
        let tokens: Vec<Token> = wait(multiplexer).iter().map(|ready| ready.token).collect();
        assert_eq!(tokens, [Token(31)]);
    });
}

#[test]
fn room_to_write_is_reported_only_to_who_asks() {
    on_each(|multiplexer| {
        let (ours, _theirs) = pair();
        multiplexer.add(&ours, Token(1), Interest::READ).unwrap();
        assert_eq!(glance(multiplexer), []);
        multiplexer.modify(&ours, Token(2), Interest::WRITE).unwrap();
        let ready = wait(multiplexer);
        assert_eq!((ready[0].token, ready[0].readable, ready[0].writable), (Token(2), false, true));
        multiplexer.modify(&ours, Token(2), Interest::NONE).unwrap();
        assert_eq!(glance(multiplexer), []);
    });
}

#[test]
fn the_end_of_the_peer_is_readable() {
    on_each(|multiplexer| {
        let (ours, theirs) = pair();
        multiplexer.add(&ours, Token(1), Interest::READ).unwrap();
        drop(theirs);
        assert!(wait(multiplexer)[0].readable);
        assert_eq!(sys::read(&ours, &mut [0; 9]).unwrap(), 0);
    });
}

/// Closes with a reset: bytes that were never read turn close(2) into one.
fn reset(ours: &Fd, theirs: TcpStream) {
    sys::write(ours, b"never read").unwrap();
    theirs.peek(&mut [0; 1]).unwrap();
    drop(theirs);
}

#[test]
fn a_reset_that_nobody_asked_about_is_seen_by_poll_and_epoll_but_not_by_select() {
    on_each(|multiplexer| {
        let (ours, theirs) = pair();
        multiplexer.add(&ours, Token(1), Interest::NONE).unwrap();
        reset(&ours, theirs);
        match multiplexer.mechanism() {
            Mechanism::Select => assert_eq!(glance(multiplexer), [], "an fd in no set is invisible"),
            Mechanism::Poll | Mechanism::Epoll => {
                let ready = wait(multiplexer);
                assert!(ready[0].hung_up && ready[0].readable);
            }
        }
        multiplexer.modify(&ours, Token(1), Interest::READ).unwrap();
        assert!(wait(multiplexer)[0].readable);
        assert!(sys::read(&ours, &mut [0; 9]).is_err(), "read(2) tells what happened");
    });
}

#[test]
fn an_fd_that_was_removed_or_closed_is_reported_no_more() {
    on_each(|multiplexer| {
        let (first, mut one) = pair();
        let (second, mut two) = pair();
        multiplexer.add(&first, Token(1), Interest::READ).unwrap();
        multiplexer.add(&second, Token(2), Interest::READ).unwrap();
        one.write_all(b"x").unwrap();
        two.write_all(b"x").unwrap();
        multiplexer.remove(&first).unwrap();
        let ready = wait(multiplexer);
        assert_eq!((ready.len(), ready[0].token), (1, Token(2)));
        multiplexer.forget(&second);
        drop(second);
        assert_eq!(glance(multiplexer), []);
        // The number is given out again; whoever has it now is somebody else.
        let (third, mut three) = pair();
        multiplexer.add(&third, Token(3), Interest::READ).unwrap();
        three.write_all(b"x").unwrap();
        assert_eq!(wait(multiplexer)[0].token, Token(3));
    });
}

#[test]
fn a_wait_lasts_until_its_timeout_and_not_less() {
    on_each(|multiplexer| {
        let (ours, mut theirs) = pair();
        multiplexer.add(&ours, Token(1), Interest::READ).unwrap();
        let mut ready = Vec::new();
        let before = Instant::now();
        multiplexer.wait(Some(30), &mut ready).unwrap();
        assert!(ready.is_empty());
        assert!(before.elapsed() >= Duration::from_millis(30));
        // Without a timeout it lasts until something happens.
        let writer = std::thread::spawn(move || {
            theirs.write_all(b"x").unwrap();
            theirs
        });
        multiplexer.wait(None, &mut ready).unwrap();
        assert_eq!(ready.len(), 1);
        let mut theirs = writer.join().unwrap();
        drop(ours);
        let _ = theirs.read(&mut [0; 1]);
    });
}

#[test]
fn select_has_no_bit_for_fd_1024() {
    for mechanism in Mechanism::ALL {
        let expected = if mechanism == Mechanism::Select { Some(FD_SETSIZE) } else { None };
        assert_eq!(mechanism.fd_ceiling(), expected);
    }
    assert_eq!(FD_SETSIZE, 1024);
}

#[test]
fn an_fd_past_the_ceiling_is_refused_by_select_and_watched_by_the_others() {
    // Each pair is two fds, of which ours is kept; so a few hundred reach past 1,024.
    let _high_numbers = NUMBERS.write().unwrap_or_else(PoisonError::into_inner);
    let pairs: Vec<_> = (0..600).map(|_| pair()).collect();
    let (high, _) = pairs.iter().find(|(ours, _)| ours.number() >= FD_SETSIZE).expect("fds past 1,024");
    over_each(|multiplexer| {
        let added = multiplexer.add(high, Token(1), Interest::READ);
        assert_eq!(added.is_err(), multiplexer.mechanism() == Mechanism::Select);
    });
}
