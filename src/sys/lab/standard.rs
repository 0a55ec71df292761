//! Standard input, output and error as fds that a loop can wait for, and the terminal behind the last.

use super::descriptors::duplicate;
use super::{Call, Fd, told};
use std::io;

/// The first number that is none of the three.
const ABOVE: libc::c_int = 3;

/// Standard input, by another number: fcntl(2) with F_DUPFD_CLOEXEC.
pub fn stdin_fd() -> io::Result<Fd> {
    duplicate(libc::STDIN_FILENO, ABOVE)
}

/// Standard output, by another number: fcntl(2) with F_DUPFD_CLOEXEC.
///
/// It is not made non-blocking, because that would hold for everybody who shares it, the shell too. What
/// poll(2) calls writable takes PIPE_BUF bytes without blocking (pipe(7)); see [`PIPE_BUF`].
pub fn stdout_fd() -> io::Result<Fd> {
    duplicate(libc::STDOUT_FILENO, ABOVE)
}

/// How many bytes a pipe takes at once, if it takes any (pipe(7)).
pub const PIPE_BUF: usize = libc::PIPE_BUF;

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
