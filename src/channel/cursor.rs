//! Event ids and cursors: `EPOCH-SEQ`.
//!
//! The epoch is drawn when the server starts; the sequence counts from 1 in each channel. A cursor
//! is the id of the last event that a client has, so `EPOCH-0` is the cursor of a channel in which
//! nothing has happened. A number is never a time: two events of one millisecond have two numbers.

/// When the sequence numbers were given out: a number drawn at start, written in base 36.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

/// How many base-36 digits an epoch has at most; so many always fit 64 bits.
const EPOCH_DIGITS: usize = 12;

impl Epoch {
    /// An epoch of six digits, from a random number.
    pub fn draw(random: u64) -> Epoch {
        let first_of_six_digits = 36u64.pow(5);
        Epoch(first_of_six_digits + random % (36u64.pow(6) - first_of_six_digits))
    }

    fn parse(digits: &str) -> Option<Epoch> {
        let fits = (1..=EPOCH_DIGITS).contains(&digits.len()) && !digits.starts_with('0');
        let known = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        if !fits || !digits.bytes().all(known) {
            return None;
        }
        u64::from_str_radix(digits, 36).ok().map(Epoch)
    }

    fn write(self, out: &mut Vec<u8>) {
        let mut digits = [0u8; 13];
        let (mut rest, mut at) = (self.0, digits.len());
        while at == digits.len() || rest > 0 {
            at -= 1;
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
        }
        out.extend_from_slice(&digits[at..]);
    }
}

/// The id of an event, or of the place before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the number was given out.
    pub epoch: Epoch,
    /// The number, counted from 1; 0 stands before the first event.
    pub seq: u64,
}

impl Cursor {
    /// Reads `EPOCH-SEQ`; `None` if it is not of that form.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (epoch, seq) = text.split_once('-')?;
        let canonical = seq == "0" || !seq.starts_with('0');
        if !canonical || !seq.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Cursor { epoch: Epoch::parse(epoch)?, seq: seq.parse().ok()? })
    }

    /// Appends `EPOCH-SEQ`.
    pub fn write(self, out: &mut Vec<u8>) {
        self.epoch.write(out);
        out.push(b'-');
        out.extend_from_slice(itoa::Buffer::new().format(self.seq).as_bytes());
    }
}

/// Where a client asks to go on from (`?since=`, `Last-Event-ID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// `start`: from the oldest event that is kept.
    Start,
    /// Right after this one.
    After(Cursor),
}

impl Since {
    /// Reads `start` or a cursor; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Since> {
        if text == "start" { Some(Since::Start) } else { Cursor::parse(text).map(Since::After) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "-", "a-", "-1", "a1", "A-1", "a-01", "a--1", "a-+1", "a-1 ", "0a-1", "a-1-1"] {
            assert_eq!(Cursor::parse(text), None, "{text:?}");
        }
        assert_eq!(Cursor::parse("a-18446744073709551616"), None, "2^64");
        assert_eq!(Cursor::parse("abcdefghijklm-1"), None, "thirteen digits");
    }

    proptest! {
        #[test]
        fn a_cursor_reads_as_it_was_written(random: u64, seq: u64) {
            let cursor = Cursor { epoch: Epoch::draw(random), seq };
            let mut text = Vec::new();
            cursor.write(&mut text);
            prop_assert_eq!(Cursor::parse(std::str::from_utf8(&text).unwrap()), Some(cursor));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _ = Since::parse(&text);
        }
    }
}
