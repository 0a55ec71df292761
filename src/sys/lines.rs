//! Lines for people: on standard output and standard error, each by one write(2).
//!
//! Nobody may be listening any more, and that must never end the server: errors are dropped.

use super::{Call, told};

/// Writes `line` and a newline to standard output.
pub fn stdout_line(line: &str) {
    write_line(libc::STDOUT_FILENO, line);
}

/// Writes `line` and a newline to standard error.
pub fn stderr_line(line: &str) {
    write_line(libc::STDERR_FILENO, line);
}

fn write_line(fd: i32, line: &str) {
    let whole = format!("{line}\n");
    // SAFETY: the kernel reads `len` bytes from the pointer on, all of them `whole`'s.
    let result = unsafe { libc::write(fd, whole.as_ptr().cast(), whole.len()) };
    let _ = told!(Call::Write, result, |telling, _| {
        telling.with(fd).bytes(whole.as_bytes()).with(whole.len());
    });
}
