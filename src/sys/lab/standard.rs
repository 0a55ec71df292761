//! Standard input, output and error as fds that a loop can wait for, and the terminal behind the last.

use super::{Call, Fd, told};
use std::io;

/// Standard input, by another number: fcntl(2) with F_DUPFD_CLOEXEC.
pub fn stdin_fd() -> io::Result<Fd> {
    duplicate(libc::STDIN_FILENO)
}

/// Standard output, by another number: fcntl(2) with F_DUPFD_CLOEXEC.
///
/// It is not made non-blocking, because that would hold for everybody who shares it, the shell too. What
/// poll(2) calls writable takes PIPE_BUF bytes without blocking (pipe(7)); see [`PIPE_BUF`].
pub fn stdout_fd() -> io::Result<Fd> {
    duplicate(libc::STDOUT_FILENO)
}

/// How many bytes a pipe takes at once, if it takes any (pipe(7)).
pub const PIPE_BUF: usize = libc::PIPE_BUF;

fn duplicate(number: libc::c_int) -> io::Result<Fd> {
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    told(Call::Fcntl, result as isize).map(Fd::new)
}

/// Writes text to standard error as it is, without a newline.
pub fn stderr_text(text: &str) {
    // SAFETY: the kernel reads `len` bytes from the pointer on, all of them `text`'s.
    let result = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    let _ = told(Call::Write, result);
}

/// How many columns the terminal behind standard error has; `None` if there is no terminal
/// (TIOCGWINSZ, ioctl_tty(2)).
pub fn stderr_width() -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one winsize, which `size` is.
    let result = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    told(Call::Ioctl, result as isize).ok()?;
    Some(size.ws_col)
}
