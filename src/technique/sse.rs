//! Server-Sent Events: an answer without end, in the notation that EventSource reads (HTML §9.2).

use super::endless::Endless;
use super::feed::Notation;
use super::{Name, Next, Technique, Turn};
use crate::channel::{Audience, ChannelId, Cursor, Event, Since};
use crate::http::Manner;
use crate::http::response::Fields;
use crate::http::router::EVENT_STREAM;

/// How long EventSource waits before it comes again, in milliseconds; up to a second more is added by
/// chance, so that those who are cut off together do not come back together.
const RETRY: u64 = 2000;

/// Fields and empty lines. A silence is broken by a comment, which nobody hears (HTML §9.2.7).
static FIELDS: Notation =
    Notation { technique: Name::Sse, audience: Audience::Sse, write_place, write_event, heartbeat: b":\n\n" };

/// nginx is to pass on at once what there is.
const HEAD: Fields<'_> = Fields::fixed(&[("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]);

/// Answers `GET /connect`, after `padding` bytes of comment.
pub(super) fn begin(
    turn: &mut Turn<'_>,
    manner: &Manner,
    place: (ChannelId, Option<Since>),
    padding: usize,
) -> Next {
    let preface = comment_of(padding);
    let sse = Endless::begin(turn, manner, (EVENT_STREAM, HEAD), &preface, &FIELDS, place);
    turn.becomes(Technique::Sse(sse))
}

/// A comment of so many bytes, its newline included.
fn comment_of(length: usize) -> Vec<u8> {
    let mut comment = vec![b':'; length];
    if let Some(last) = comment.last_mut() {
        *last = b'\n';
    }
    comment
}

/// Says where the stream stands. The `id:` makes EventSource remember the cursor, and send it as
/// `Last-Event-ID` when it comes again.
fn write_place(out: &mut Vec<u8>, cursor: Cursor, missed: bool, jitter: u64) {
    if missed {
        out.extend_from_slice(b"event: missed\n");
    }
    out.extend_from_slice(format!("retry: {}\nid: ", RETRY + jitter).as_bytes());
    cursor.write(out);
    if missed {
        out.extend_from_slice(b"\ndata: {\"cursor\":\"");
        cursor.write(out);
        out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b"\n\n");
}

/// Appends one event: its id, a `data:` for each line, and an empty line. CR and CRLF end a line like
/// LF does, and arrive as LF (HTML §9.2.5). A space is always put behind the colon, because one is
/// always taken away there.
fn write_event(out: &mut Vec<u8>, id: Cursor, event: &Event) {
    out.extend_from_slice(b"id: ");
    id.write(out);
    for line in lines(event.data.as_str()) {
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(line.as_bytes());
    }
    out.extend_from_slice(b"\n\n");
}

/// The lines of a text, whether they end in CR, LF or CRLF. A text always has one line at least.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            return rest.take();
        };
        let after = &text[end..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_end_of_a_line_is_one() {
        assert_eq!(lines("a\rb\nc\r\nd\n\re").collect::<Vec<_>>(), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
        assert_eq!(lines("\n").collect::<Vec<_>>(), ["", ""]);
    }

    #[test]
    fn padding_is_a_comment_of_exactly_that_length() {
        assert_eq!(comment_of(0), b"");
        assert_eq!(comment_of(1), b"\n");
        assert_eq!(comment_of(4), b":::\n");
    }

    proptest! {
        #[test]
        fn lines_put_together_again_are_the_text(text in "[a\r\n]{0,12}") {
            let plain = text.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(lines(&text).collect::<Vec<_>>().join("\n"), plain);
        }
    }
}
