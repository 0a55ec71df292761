//! read(2), write(2) and writev(2).

use super::narration::{array, octal, quoted};
use super::{Call, Fd, told};
use std::io::{self, IoSlice};

/// read(2): the bytes that are there, at most `into.len()`; 0 when the peer has sent its FIN.
#[inline(always)]
pub fn read(fd: &Fd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes from the pointer on, all of them `into`'s.
    let result = unsafe { libc::read(fd.number(), into.as_mut_ptr().cast(), into.len()) };
    told!(Call::Read, result, move |telling, count| {
        telling.on(fd.number()).filled(into.as_ptr(), (result >= 0).then_some(&into[..count]));
        telling.with(into.len());
    })
}

/// write(2): how many of the bytes the kernel took. SIGPIPE is ignored by Rust's start-up code, so
/// a broken pipe is the error EPIPE.
#[inline(always)]
pub fn write(fd: &Fd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads `len` bytes from the pointer on, all of them `bytes`'s.
    let result = unsafe { libc::write(fd.number(), bytes.as_ptr().cast(), bytes.len()) };
    told!(Call::Write, result, move |telling, _| {
        telling.on(fd.number()).bytes(bytes).with(bytes.len());
    })
}

/// writev(2): how many bytes the kernel took of several pieces, in order.
pub fn writev(fd: &Fd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = pieces.len().min(libc::UIO_MAXIOV as usize) as libc::c_int;
    // SAFETY: IoSlice has the layout of iovec on Unix (its documentation promises so), the first
    // `count` of them are `pieces`'s, and each points to bytes that outlive the call.
    let result = unsafe { libc::writev(fd.number(), pieces.as_ptr().cast(), count) };
    told!(Call::Writev, result, |telling, _| {
        let piece =
            |piece: &IoSlice<'_>| format!("{{iov_base={}, iov_len={}}}", quoted(piece, octal), piece.len());
        telling.on(fd.number()).with(array(pieces.iter().map(piece))).with(count);
    })
}
