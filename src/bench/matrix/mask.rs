//! Masks: what differs between two runs of the same conversation by its nature, and nothing else.
//!
//! A value is masked only where it stands and only if it has the shape that it must have; so a `Date` of
//! another length or a cookie with a wrong character is a difference like any other. Numbers of events,
//! lengths and chunk sizes are not masked at all.

/// What stands before a value that is masked, the shape of the value (`0` a digit, `A` a letter, `x` one of
/// the 64 characters of base64 in either alphabet, anything else itself), and the mask.
const SHAPES: &[(&str, &str, &str)] = &[
    ("Date: ", "AAA, 00 AAA 0000 00:00:00 GMT", "<date>"),
    ("\"time\":\"", "0000-00-00T00:00:00.000Z", "<time>"),
    ("retry: ", "0000", "<chance>"),
    ("Set-Cookie: doorbell=", "xxxxxxxxxxxxxxxxxxxxxx;", "<browser>;"),
    ("Sec-WebSocket-Key: ", "xxxxxxxxxxxxxxxxxxxxxx==", "<key>"),
    ("Sec-WebSocket-Accept: ", "xxxxxxxxxxxxxxxxxxxxxxxxxxx=", "<proof>"),
];

/// What is known of one conversation.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The epoch of its server.
    pub epoch: &'a str,
    /// The channel that it is about.
    pub channel: &'a str,
}

/// The bytes as text, with masks.
pub fn mask(bytes: &[u8], known: Known<'_>) -> String {
    let mut text = bytes.escape_ascii().to_string().replace("\\\"", "\"");
    for &(before, shape, mask) in SHAPES {
        text = mask_shape(&text, before, shape, mask);
    }
    text.replace(&format!("{}-", known.epoch), "<epoch>-").replace(known.channel, "<channel>")
}

fn mask_shape(text: &str, before: &str, shape: &str, mask: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(before) {
        let (head, value) = rest.split_at(at + before.len());
        masked.push_str(head);
        rest = value;
        if has_shape(value, shape) {
            masked.push_str(mask);
            rest = &value[shape.len()..];
        }
    }
    masked + rest
}

fn has_shape(value: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_alphabetic(),
        b'x' => byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte),
        other => byte == other,
    };
    value.len() >= shape.len() && value.bytes().zip(shape.bytes()).all(fits)
}

/// The first place where two conversations differ: which step, and the two around that place.
pub fn first_difference(one: &[String], other: &[String]) -> Option<(usize, String, String)> {
    let steps = one.len().max(other.len());
    let step = (0..steps).find(|&step| one.get(step) != other.get(step))?;
    let (one, other) = (one.get(step).map_or("", String::as_str), other.get(step).map_or("", String::as_str));
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    Some((step + 1, around(one, same), around(other, same)))
}

/// A piece of a text (which is ASCII) around a place in it.
fn around(text: &str, at: usize) -> String {
    const REACH: usize = 30;
    text[at.saturating_sub(REACH).min(text.len())..(at + REACH).min(text.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known<'static> = Known { epoch: "5dz6w3", channel: "bench-007" };

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:13:08 GMT\r\n\
        Set-Cookie: doorbell=AbcdefghijklmnopqrstU-; HttpOnly\r\nContent-Length: 99\r\n\r\n\
        {\"cursor\":\"5dz6w3-2\",\"events\":[{\"id\":\"5dz6w3-2\",\"time\":\"2026-11-21T10:13:08.800Z\",\"data\":\"ding\"}]}";

    fn masked(text: &str) -> String {
        mask(text.as_bytes(), KNOWN)
    }

    #[test]
    fn what_differs_by_its_nature_is_masked() {
        let expected = "HTTP/1.1 200 OK\\r\\nDate: <date>\\r\\n\
            Set-Cookie: doorbell=<browser>; HttpOnly\\r\\nContent-Length: 99\\r\\n\\r\\n\
            {\"cursor\":\"<epoch>-2\",\"events\":[{\"id\":\"<epoch>-2\",\"time\":\"<time>\",\"data\":\"ding\"}]}";
        assert_eq!(masked(ANSWER), expected);
        assert_eq!(masked("retry: 2279\nid: 5dz6w3-0\n"), "retry: <chance>\\nid: <epoch>-0\\n");
        assert_eq!(masked("GET /poll?channel=bench-007 "), "GET /poll?channel=<channel> ");
        let handshake = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(masked(handshake), "Sec-WebSocket-Key: <key>\\r\\nSec-WebSocket-Accept: <proof>");
    }

    #[test]
    fn the_same_at_another_time_is_no_difference() {
        let later = ANSWER
            .replace("21 Nov 2026 10:13:08", "22 Dec 2027 11:14:09")
            .replace("2026-11-21T10:13:08.800Z", "2027-12-22T11:14:09.001Z")
            .replace("AbcdefghijklmnopqrstU-", "bbcdefghijklmnopqrst_9");
        assert_ne!(later, ANSWER);
        assert_eq!(masked(&later), masked(ANSWER));
    }

    #[test]
    fn a_real_difference_is_not_masked() {
        for (from, to) in [
            // A number, a length, the data, a word.
            ("5dz6w3-2", "5dz6w3-3"),
            ("Length: 99", "Length: 98"),
            ("ding", "dong"),
            ("HttpOnly", "HttpOnlY"),
            // What is masked, but in another shape.
            ("Date: Sat, 21", "Date: Sat, 1"),
            ("10:13:08 GMT", "10:13:08 UTC"),
            (".800Z", ".8Z"),
            ("rstU-;", "rstU-A;"),
            ("rstU-;", "rst,-;"),
            // Another epoch in one place.
            ("cursor\":\"5dz6w3", "cursor\":\"5dz6w4"),
            // An end of a line.
            ("\r\nSet-Cookie", "\nSet-Cookie"),
            // A field more, a field in another place.
            ("Content-Length", "X: 1\r\nContent-Length"),
        ] {
            let other = ANSWER.replace(from, to);
            assert_ne!(other, ANSWER, "{from} is in it");
            assert_ne!(masked(&other), masked(ANSWER), "{from} is not {to}");
        }
        assert_ne!(mask(&[0x81, 0x05], KNOWN), mask(&[0x81, 0x06], KNOWN), "the length of a frame");
        assert_ne!(masked("retry: 10000\n"), masked("retry: 2000\n"));
    }

    #[test]
    fn the_first_difference_is_shown_with_what_is_around_it() {
        let one = ["the same".to_owned(), "and then ding".to_owned()];
        let other = ["the same".to_owned(), "and then dong".to_owned()];
        assert_eq!(first_difference(&one, &one), None);
        let difference = first_difference(&one, &other);
        assert_eq!(difference, Some((2, "and then ding".into(), "and then dong".into())));
        assert_eq!(first_difference(&one, &one[..1]), Some((2, "and then ding".into(), String::new())));
    }
}
