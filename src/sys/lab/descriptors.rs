//! Descriptors for experiments: socketpair(2), pipe2(2), openat(2), dup(2), and what may be asked of them.

use super::{Call, Fd, told};
use nix::errno::Errno;
use std::io;

/// socketpair(2): two Unix stream sockets, non-blocking, connected to each other. The first has the lower number.
pub fn socketpair() -> io::Result<(Fd, Fd)> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two numbers, which are `ends`.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    told(Call::Socketpair, result as isize).map(|_| adopt(ends))
}

/// pipe2(2), non-blocking: the end to read from, and the end to write to.
pub fn pipe() -> io::Result<(Fd, Fd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two numbers, which are `ends`.
    let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
    told(Call::Pipe2, result as isize).map(|_| adopt(ends))
}

fn adopt([first, second]: [i32; 2]) -> (Fd, Fd) {
    (Fd::new(first as usize), Fd::new(second as usize))
}

/// lseek(2): from now on a file is read from its end, where there is nothing. Returns its size in bytes.
pub fn seek_to_end(file: &Fd) -> io::Result<u64> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::lseek(file.number(), 0, libc::SEEK_END) };
    told(Call::Lseek, result as isize).map(|size| size as u64)
}

/// dup(2): another number for the same open file description.
pub fn dup(fd: &Fd) -> io::Result<Fd> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::dup(fd.number()) };
    told(Call::Dup, result as isize).map(Fd::new)
}

/// fcntl(2) with F_DUPFD_CLOEXEC: the same, with the lowest free number that is at least `lowest`. EINVAL if the
/// limit on open files is not above it.
pub fn dup_from(fd: &Fd, lowest: i32) -> io::Result<Fd> {
    duplicate(fd.number(), lowest)
}

/// The same for a number that is not ours to close.
pub(super) fn duplicate(number: libc::c_int, lowest: libc::c_int) -> io::Result<Fd> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, lowest) };
    told(Call::Fcntl, result as isize).map(Fd::new)
}

/// ioctl(2) with FIONREAD: how many bytes have come and were not read yet.
pub fn unread(socket: &Fd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, which is `count`.
    let result = unsafe { libc::ioctl(socket.number(), libc::FIONREAD, &raw mut count) };
    told(Call::Ioctl, result as isize).map(|_| count as usize)
}

/// An error by the name that errno(3) gives it, such as `EPERM`; by its text if it is none of the kernel's.
pub fn error_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", Errno::from_raw(number)),
        None => error.to_string(),
    }
}
