//! The system calls told aloud, as strace(1) tells them.
//!
//! The rules of its interface:
//!
//! - While nobody narrates, a call costs one look at a flag, and nothing of it is put into words.
//! - It is told aloud, on standard error, or kept for whoever asks afterwards (`record.rs`), or both.
//! - A line goes to standard error by one write(2). These writes are neither counted nor narrated.
//! - A call's line is held back until something else is said, so that a sentence on what it meant can
//!   still be set beside it.

use super::Call;
use super::record::{Record, Sentences, Turn};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::hash::RandomState;
use std::io::{self, IsTerminal};

/// How many bytes of a text, and how many elements of an array, strace(1) shows (its option -s).
pub(super) const MOST: usize = 32;

/// In which column the sentences stand.
const COLUMN: usize = 62;

thread_local! {
    static NARRATING: Cell<bool> = const { Cell::new(false) };
    static NARRATOR: RefCell<Narrator> = RefCell::default();
}

/// Who hears of the calls.
#[derive(Default)]
struct Narrator {
    /// Whoever reads standard error.
    aloud: Option<Aloud>,
    /// Whoever asks afterwards.
    record: Option<Record>,
    watched: Watched,
}

/// Whether the calls of this thread are being told.
#[inline]
pub fn is_narrating() -> bool {
    NARRATING.get()
}

/// Tells each call of this thread from now on. In colour only on a terminal, and never if `NO_COLOR` is set.
pub fn narrate() {
    // The standard library draws the secret of its hash maps once in each thread (getrandom(2)): it may do
    // so now, for what follows is to be told whole.
    let _ = RandomState::new();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = !no_colour && io::stderr().is_terminal();
    change(|narrator| narrator.aloud = Some(Aloud { colour, held: None }));
}

/// Tells the last call, and no other.
pub fn fall_silent() {
    change(|narrator| {
        if let Some(mut teller) = std::mem::take(narrator).aloud {
            teller.flush();
        }
    });
}

/// Keeps the calls of each turn from the next one on, for [`take_turn`]. `watched` is what the kernel watches
/// already: each fd with the data by which it will be named.
pub fn record(watched: impl Iterator<Item = (u64, i32)>) {
    change(|narrator| {
        narrator.record = Some(Record::default());
        watched.for_each(|(data, fd)| narrator.watched.note(data, fd));
    });
}

/// Keeps no more of them.
pub fn stop_recording() {
    change(|narrator| {
        narrator.record = None;
        if narrator.aloud.is_none() {
            narrator.watched = Watched::default();
        }
    });
}

fn change(change: impl FnOnce(&mut Narrator)) {
    NARRATOR.with_borrow_mut(|narrator| {
        change(narrator);
        NARRATING.set(narrator.aloud.is_some() || narrator.record.is_some());
    });
}

/// What was kept since the last [`rule`], without the calls for fds that were disowned.
pub fn take_turn() -> Option<Turn> {
    with_record(Record::take).flatten()
}

/// Whoever has this fd is not to be found in the record of this turn.
pub fn disown(fd: i32) {
    with_record(|record| record.disown(fd));
}

/// What follows concerns this fd, until a call names another one.
pub fn attend_to(fd: i32) {
    with_record(|record| record.attend_to(fd));
}

/// Until it is set back, calls are made for somebody who is not to be found in the record. Returns what it was.
pub fn set_aside(aside: bool) -> bool {
    with_record(|record| std::mem::replace(&mut record.aside, aside)).unwrap_or(false)
}

fn with_record<T>(work: impl FnOnce(&mut Record) -> T) -> Option<T> {
    if !is_narrating() {
        return None;
    }
    NARRATOR.with_borrow_mut(|narrator| narrator.record.as_mut().map(work))
}

/// Says what the last call meant: `aloud` beside it if there is room and nothing stands there yet, `kept` for the
/// record.
pub fn remark(aloud: impl FnOnce() -> String, kept: impl FnOnce() -> Sentences) {
    if is_narrating() {
        NARRATOR.with_borrow_mut(|narrator| {
            if let Some(teller) = &mut narrator.aloud {
                teller.remark(&aloud());
            }
            if let Some(record) = &mut narrator.record {
                record.remark(kept);
            }
        });
    }
}

/// Draws a line across: a new turn of the loop, and why it sleeps as long as it will.
pub fn rule(aloud: impl FnOnce() -> String, kept: impl FnOnce() -> Sentences) {
    if is_narrating() {
        NARRATOR.with_borrow_mut(|narrator| {
            if let Some(teller) = &mut narrator.aloud {
                teller.rule(&aloud());
            }
            if let Some(record) = &mut narrator.record {
                record.begin(kept());
            }
        });
    }
}

/// Tells a finished call; `describe` puts what it was given into words.
#[cold]
#[inline(never)]
pub(super) fn tell(call: Call, heard: &io::Result<usize>, describe: impl FnOnce(&mut Telling, usize)) {
    let Some(brief) = NARRATOR.with_borrow(Narrator::wants_it_brief) else { return };
    let mut telling = Telling { brief, ..Telling::default() };
    describe(&mut telling, heard.as_ref().map_or(0, |&count| count));
    let line = if brief { String::new() } else { telling.line(call, heard) };
    NARRATOR.with_borrow_mut(|narrator| {
        if let Some(record) = &mut narrator.record {
            record.hold(call, &line, telling.fd, telling.about);
        }
        if let Some(teller) = &mut narrator.aloud {
            teller.hold(line);
        }
    });
}

/// `EAGAIN (Resource temporarily unavailable)`.
fn failure(error: &io::Error) -> String {
    let number = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{number:?} ({text})")
}

/// Remembers that the kernel will name `fd` by `data`.
pub(super) fn note_watched(data: u64, fd: i32) {
    if is_narrating() {
        NARRATOR.with_borrow_mut(|narrator| narrator.watched.note(data, fd));
    }
}

/// Which fd the kernel means by `data`.
pub(super) fn watched(data: u64) -> i32 {
    NARRATOR.with_borrow(|narrator| narrator.watched.fds.get(&data).copied().unwrap_or(-1))
}

impl Narrator {
    /// Whether only the fd of the next call is asked for and not its words; `None` if nobody hears of it at all.
    fn wants_it_brief(&self) -> Option<bool> {
        let wanted = self.record.as_ref().and_then(Record::wants_it_brief);
        if self.aloud.is_some() { Some(false) } else { wanted }
    }
}

/// What epoll_ctl(2) was given for each fd: strace shows the number, a reader wants the fd.
#[derive(Default)]
struct Watched {
    fds: HashMap<u64, i32>,
    /// The other way round, so that what an fd was named by before its number was given out again is forgotten.
    data: HashMap<i32, u64>,
}

impl Watched {
    fn note(&mut self, data: u64, fd: i32) {
        if let Some(before) = self.data.insert(fd, data) {
            self.fds.remove(&before);
        }
        self.fds.insert(data, fd);
    }
}

/// The narration on standard error.
struct Aloud {
    colour: bool,
    /// The last call, not told yet.
    held: Option<String>,
}

impl Aloud {
    fn hold(&mut self, line: String) {
        self.flush();
        self.held = Some(line);
    }

    fn flush(&mut self) {
        if let Some(line) = self.held.take() {
            write_line(&line);
        }
    }

    fn remark(&mut self, sentence: &str) {
        let (dim, plain) = if self.colour { ("\x1b[36m", "\x1b[0m") } else { ("", "") };
        let beside = self.held.take_if(|line| line.chars().count() < COLUMN);
        self.flush();
        let call = beside.unwrap_or_default();
        write_line(&format!("{call:<COLUMN$} {dim}{sentence}{plain}"));
    }

    fn rule(&mut self, sentence: &str) {
        self.flush();
        let (dim, plain) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        write_line(&format!("{dim}──── {sentence}{plain}"));
    }
}

/// One write(2), which is not among those that are told. Nobody may be listening any more.
fn write_line(line: &str) {
    let whole = format!("{line}\n");
    // SAFETY: the kernel reads `len` bytes from the pointer on, all of them `whole`'s.
    let _ = unsafe { libc::write(libc::STDERR_FILENO, whole.as_ptr().cast(), whole.len()) };
}

/// What one call was given and what it answered, in strace(1)'s notation.
#[derive(Default)]
pub(super) struct Telling {
    given: String,
    answer: String,
    /// Only the fd is wanted, and no words.
    brief: bool,
    /// Which fd it is about, to show and to say whose it is.
    fd: Option<i32>,
    about: Option<i32>,
}

impl Telling {
    /// The whole line.
    fn line(&self, call: Call, heard: &io::Result<usize>) -> String {
        let (name, Telling { given, answer, .. }) = (call.name(), self);
        match heard {
            Ok(result) => format!("{name}({given}) = {result}{answer}"),
            Err(error) => format!("{name}({given}) = -1 {}", failure(error)),
        }
    }

    /// The fd that it was given, and that it is about.
    pub(super) fn on(&mut self, fd: i32) -> &mut Telling {
        self.about(fd).with(fd)
    }

    /// The fd that it is about, where that is not simply given.
    pub(super) fn about(&mut self, fd: i32) -> &mut Telling {
        self.about = Some(fd);
        self.fd = Some(fd);
        self
    }

    /// A wait was ended by these fds: the only one is shown.
    pub(super) fn woken_by(&mut self, mut fds: impl Iterator<Item = i32>) -> &mut Telling {
        self.fd = fds.next().filter(|_| fds.next().is_none());
        self
    }

    /// The next thing that it was given.
    pub(super) fn with(&mut self, what: impl Display) -> &mut Telling {
        if self.brief {
            return self;
        }
        let comma = if self.given.is_empty() { "" } else { ", " };
        let _ = write!(self.given, "{comma}{what}");
        self
    }

    /// Bytes: the first 32 of them.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Telling {
        if self.brief { self } else { self.with(quoted(bytes, octal)) }
    }

    /// A buffer that the kernel has filled with these bytes; where it has not, strace shows the address.
    pub(super) fn filled(&mut self, buffer: *const u8, bytes: Option<&[u8]>) -> &mut Telling {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.with(format_args!("{buffer:p}")),
        }
    }

    /// A path, which is always shown whole.
    pub(super) fn path(&mut self, path: &str) -> &mut Telling {
        self.with(format_args!("\"{path}\""))
    }

    /// What it answered besides its result.
    pub(super) fn answered(&mut self, what: impl Display) -> &mut Telling {
        let _ = write!(self.answer, " {what}");
        self
    }
}

/// An array in brackets, cut as strace cuts it.
pub(super) fn array(elements: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = elements.take(MOST + 1).collect();
    if shown.len() > MOST {
        shown[MOST] = "...".into();
    }
    format!("[{}]", shown.join(", "))
}

/// Names of bits, joined; 0 for none.
pub(super) fn flags(names: &[&str]) -> String {
    if names.is_empty() { "0".into() } else { names.join("|") }
}

/// Bytes in quotes, the first 32 of them; `escape` writes those that cannot be shown, and is told whether an
/// octal digit follows.
pub(super) fn quoted(bytes: &[u8], escape: fn(&mut String, u8, bool)) -> String {
    let mut text = String::from("\"");
    for (at, &byte) in bytes.iter().enumerate().take(MOST) {
        let digit_follows = bytes.get(at + 1).is_some_and(|next| (b'0'..=b'7').contains(next));
        escape(&mut text, byte, digit_follows);
    }
    text.push_str(if bytes.len() > MOST { "\"..." } else { "\"" });
    text
}

/// As C would write it: `\r\n`, `\33`.
pub(super) fn octal(text: &mut String, byte: u8, digit_follows: bool) {
    let _ = match byte {
        b'"' => text.write_str("\\\""),
        b'\\' => text.write_str("\\\\"),
        b'\n' => text.write_str("\\n"),
        b'\r' => text.write_str("\\r"),
        b'\t' => text.write_str("\\t"),
        0x0b => text.write_str("\\v"),
        0x0c => text.write_str("\\f"),
        b' '..=b'~' => text.write_char(char::from(byte)),
        _ if digit_follows => write!(text, "\\{byte:03o}"),
        _ => write!(text, "\\{byte:o}"),
    };
}

/// As strace writes what is never text.
pub(super) fn hexadecimal(text: &mut String, byte: u8, _: bool) {
    let _ = write!(text, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_quoted_as_strace_quotes_them() {
        assert_eq!(quoted(b"GET / HTTP/1.1\r\n\"\\\t", octal), r#""GET / HTTP/1.1\r\n\"\\\t""#);
        // A digit behind an escape would be taken for a part of it.
        assert_eq!(quoted(b"\x81\x05\x001\x7fa\x089", octal), r#""\201\5\0001\177a\109""#);
        assert_eq!(quoted(&[b'a'; 33], octal), format!("\"{}\"...", "a".repeat(32)));
        assert_eq!(quoted(&[b'a'; 32], octal), format!("\"{}\"", "a".repeat(32)));
        assert_eq!(quoted(b"\x01\xff", hexadecimal), r#""\x01\xff""#);
    }

    #[test]
    fn arrays_are_cut_as_strace_cuts_them() {
        assert_eq!(array((0..2).map(|n| n.to_string())), "[0, 1]");
        let cut = array((0..40).map(|n| n.to_string()));
        assert!(cut.ends_with(", 31, ...]"), "{cut}");
        assert_eq!(array(std::iter::empty()), "[]");
    }

    #[test]
    fn failures_have_their_name_and_their_text() {
        let error = io::Error::from_raw_os_error(libc::EAGAIN);
        assert_eq!(failure(&error), "EAGAIN (Resource temporarily unavailable)");
    }
}
