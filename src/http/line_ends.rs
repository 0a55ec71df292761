//! Lines of a head end in CR and LF (RFC 9112 §2.2).

use super::problem::{Problem, malformed};

/// httparse takes a bare LF for the end of a line; RFC 9112 §2.2 lets us refuse it, and some who
/// stand between us and the client do not take it for one.
pub(super) fn no_bare_line_feed(head: &[u8]) -> Result<(), Problem> {
    let is_bare = |at: usize| at == 0 || head[at - 1] != b'\r';
    if memchr::memchr_iter(b'\n', head).any(is_bare) {
        return Err(malformed("Lines end in CR and LF (RFC 9112 §2.2)."));
    }
    Ok(())
}

/// The same of a whole head. Each name of a field begins a line, so another ends before it, and the last two end
/// with the head. So a few bytes are looked at, and not each.
#[inline]
pub(super) fn check_line_ends(head: &[u8], fields: &[httparse::Header<'_>]) -> Result<(), Problem> {
    let is_behind_one = |field: &httparse::Header<'_>| {
        let before = head.get(..field.name.as_ptr().addr() - head.as_ptr().addr());
        before.is_some_and(|before| before.ends_with(b"\r\n"))
    };
    let begins = !matches!(head, [b'\r' | b'\n', ..]);
    if begins && fields.iter().all(is_behind_one) && head.ends_with(b"\r\n\r\n") {
        return Ok(());
    }
    no_bare_line_feed(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A head of whatever may stand in one, and how each of its lines ends.
    fn heads() -> impl Strategy<Value = Vec<u8>> {
        let end = || prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just(" \r\n"), 1 => Just("\t\n")];
        let field = ("[A-Z]{1,3}", "[ \t]{0,2}", "[a-z\t ]{0,20}", end());
        let line = prop_oneof![
            9 => Just("GET /a HTTP/1.1"),
            1 => Just("\r\nGET / HTTP/1.0"),
            1 => Just("\nGET /?b HTTP/1.1"),
        ];
        (line, end(), prop::collection::vec(field, 0..4), end()).prop_map(|(line, line_end, fields, end)| {
            let fields: String = fields
                .iter()
                .map(|(name, white, value, end)| format!("{name}:{white}{value}{end}"))
                .collect();
            format!("{line}{line_end}{fields}{end}").into_bytes()
        })
    }

    proptest! {
        #[test]
        fn a_few_bytes_say_of_a_whole_head_what_all_of_them_say(head in heads()) {
            let mut fields = [httparse::EMPTY_HEADER; 9];
            let mut parts = httparse::Request::new(&mut fields);
            if let Ok(httparse::Status::Complete(length)) = parts.parse(&head) {
                prop_assert_eq!(check_line_ends(&head[..length], parts.headers), no_bare_line_feed(&head[..length]));
            }
        }
    }
}
