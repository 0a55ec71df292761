//! An event that is known again whatever protocol is put around it: `ring=` and ten digits.

const MARK: &[u8] = b"ring=";
const DIGITS: usize = 10;
const LENGTH: usize = MARK.len() + DIGITS;

/// The content of event `number`, in so many bytes if it is not too long for that.
pub(super) fn content(number: u64, size: usize) -> Vec<u8> {
    let mut content = MARK.to_vec();
    content.extend_from_slice(format!("{number:0DIGITS$}").as_bytes());
    content.resize(size.max(LENGTH), b'.');
    content
}

/// The number of the first event in these bytes, and where it ends.
pub(super) fn find(bytes: &[u8]) -> Option<(u64, usize)> {
    memchr::memmem::find_iter(bytes, MARK).find_map(|at| {
        let digits = bytes.get(at + MARK.len()..at + LENGTH)?;
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some((number, at + LENGTH))
    })
}

/// How many of these bytes cannot belong to an event whose rest is still to come.
pub(super) fn ends_before(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(LENGTH - 1);
    let begins = |&at: &usize| {
        let rest = &bytes[at..];
        rest.starts_with(MARK) || MARK.starts_with(rest)
    };
    (from..bytes.len()).find(begins).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_found_among_other_things() {
        assert_eq!(content(12, 20), b"ring=0000000012.....");
        assert_eq!(content(12, 0).len(), LENGTH);
        assert_eq!(find(b"ring=ring=0000000012..."), Some((12, 20)));
        assert_eq!(find(b"ring=000000001"), None);
        assert_eq!(find(b"ring"), None);
    }

    #[test]
    fn only_what_may_be_a_beginning_is_kept() {
        assert_eq!(ends_before(b"nothing"), 7);
        assert_eq!(ends_before(b"nothing, ri"), 9);
        assert_eq!(ends_before(b"nothing, ring=000000001"), 9);
        assert_eq!(ends_before(b""), 0);
    }
}
