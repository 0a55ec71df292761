//! Header and body in two writes: each end waits politely for the other, for 40 ms.

use super::Exhibit;
use super::parts::{accept, await_bytes, client_of, listener, median, ratio};
use super::show::{Show, at_least};
use crate::sys::{self, Fd};
use std::io::{self, IoSlice};
use std::time::Duration;

pub const EXHIBIT: Exhibit = Exhibit {
    name: "two-writes",
    about: "header and body in two writes: Nagle's algorithm and delayed ACKs",
    file: "src/exhibit/two_writes.rs",
    mistake: "An answer's header is written, then its body: two write(2), on a socket as it comes.",
    cure: "Both in one writev(2). Or TCP_NODELAY. The server does both.",
    why: "Nagle's algorithm sends a small segment at once if nothing is on its way, and keeps the next one back until
          the first was acknowledged (RFC 1122 §4.2.3.4). The receiver delays its ACK, for an answer of its own
          might carry it (§4.2.3.2; Linux: 40 ms). Each idea is good alone; together the body waits for
          an ACK that waits for the body. Nothing is lost and no CPU is used, which is why it is not found.",
    run,
};

const ROUNDS: usize = 15;
const HEADER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
const BODY: &[u8] = b"hello";

fn run(show: &mut Show<'_>) -> io::Result<()> {
    let late = show.expect("mistake: median time of an answer", at_least(Duration::from_millis(20)));
    let by_writev = show.expect("cure, one writev: how many times faster", at_least(10.0));
    let by_nodelay = show.expect("cure, two writes with TCP_NODELAY: how many times faster", at_least(10.0));
    let slow = median_of(false, mistake)?;
    let gathered = median_of(false, cure)?;
    let unheld = median_of(true, mistake)?;
    show.measured(late, slow);
    show.also("cure, one writev: median time of an answer", gathered);
    show.also("cure, two writes with TCP_NODELAY: median time of an answer", unheld);
    show.measured(by_writev, ratio(slow, gathered));
    show.measured(by_nodelay, ratio(slow, unheld));
    Ok(())
}

/// Returns how many bytes were written.
fn mistake(server: &Fd) -> io::Result<usize> {
    Ok(sys::write(server, HEADER)? + sys::write(server, BODY)?)
}

fn cure(server: &Fd) -> io::Result<usize> {
    sys::writev(server, &[IoSlice::new(HEADER), IoSlice::new(BODY)])
}

/// How long a request takes, from its first byte to the last of the answer.
fn median_of(nodelay: bool, answer: fn(&Fd) -> io::Result<usize>) -> io::Result<Duration> {
    let listening = listener()?;
    let client = client_of(&listening)?;
    let server = accept(&listening)?;
    sys::set_nodelay(&server, nodelay)?;
    let mut spans = Vec::new();
    for _ in 0..ROUNDS {
        let begin = sys::moment();
        sys::write(&client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        await_bytes(&server)?;
        sys::read(&server, &mut [0; 256])?;
        let mut unread = answer(&server)?;
        while unread > 0 {
            unread -= sys::read(&client, &mut [0; 256])?;
        }
        spans.push(begin.elapsed());
    }
    Ok(median(spans))
}
