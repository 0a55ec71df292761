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

/// The same of a whole head. Where its lines end follows from what stands before: in the first the version, behind a
/// value perhaps white space. So a few bytes are looked at, and not each.
#[inline]
pub(super) fn check_line_ends(head: &[u8], parts: &httparse::Request<'_, '_>) -> Result<(), Problem> {
    let behind = |part: &[u8]| (part.as_ptr().addr() + part.len()).wrapping_sub(head.as_ptr().addr());
    let is_cr = |at: usize| head.get(at) == Some(&b'\r');
    let first = behind(parts.path.unwrap_or_default().as_bytes()) + " HTTP/1.1".len();
    let is_fields_end = |field: &httparse::Header<'_>| {
        let rest = head.get(behind(field.value)..).unwrap_or_default();
        let white = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        rest.get(white) == Some(&b'\r')
    };
    let begins = !head.starts_with(b"\r") && !head.starts_with(b"\n");
    if begins && is_cr(first) && parts.headers.iter().all(is_fields_end) && head.ends_with(b"\r\n") {
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
                prop_assert_eq!(check_line_ends(&head[..length], &parts), no_bare_line_feed(&head[..length]));
            }
        }
    }
}
