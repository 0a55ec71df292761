//! The progress bar, on standard error, if that is a terminal.

use crate::sys;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io;

/// A bar for so many clients; one that is not seen if there is no terminal.
pub fn bar(clients: u32) -> ProgressBar {
    let target = match sys::stderr_width() {
        Some(_) => ProgressDrawTarget::term_like_with_hz(Box::new(Stderr), 10),
        None => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    let style = style.expect("OK because this template is tried in a test");
    ProgressBar::with_draw_target(Some(u64::from(clients)), target).with_style(style)
}

/// The terminal as `indicatif` wants it. It could write by itself, but whatever this program says leaves it in `sys`.
#[derive(Debug)]
struct Stderr;

/// A control sequence with a count (console_codes(4)).
fn control(count: usize, letter: char) -> io::Result<()> {
    if count > 0 {
        sys::stderr_text(&format!("\x1b[{count}{letter}"));
    }
    Ok(())
}

impl TermLike for Stderr {
    fn width(&self) -> u16 {
        // A terminal that was never told its size says 0.
        sys::stderr_width().filter(|&width| width > 0).unwrap_or(80)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        control(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        control(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        control(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        control(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        sys::stderr_line(s);
        Ok(())
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        sys::stderr_text(s);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        sys::stderr_text("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_can_be_made() {
        super::bar(7).finish_and_clear();
    }
}
