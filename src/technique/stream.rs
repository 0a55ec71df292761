//! HTTP streaming: an answer without end (RFC 6202 §3), here with one JSON object a line. A message
//! ends at the newline and never at the edge of a chunk, for proxies cut chunks as they like.

use super::endless::Endless;
use super::feed::Notation;
use super::{Name, Next, Technique, Turn, object};
use crate::channel::{Audience, ChannelId, Since};
use crate::http::Manner;
use crate::http::response::Fields;
use crate::http::router::NDJSON;

/// Lines. A silence is broken by an empty one.
static LINES: Notation = Notation {
    technique: Name::Stream,
    audience: Audience::Stream,
    write_place: |out, cursor, missed, _| {
        object::write_welcome(out, cursor, missed);
        out.push(b'\n');
    },
    write_event: |out, id, event| {
        object::write_event(out, id, event);
        out.push(b'\n');
    },
    heartbeat: b"\n",
};

/// There is nothing to keep of an answer without end. A browser that may keep it does so: Chromium reads on as fast as
/// the server writes, whether its page reads or not, and so a slow page would never be seen as one.
const HEAD: Fields<'_> =
    Fields::fixed(&[("Cache-Control", "no-cache, no-store"), ("X-Accel-Buffering", "no")]);

/// Answers `GET /stream`.
pub(super) fn begin(turn: &mut Turn<'_>, manner: &Manner, place: (ChannelId, Option<Since>)) -> Next {
    let stream = Endless::begin(turn, manner, (NDJSON, HEAD), b"", &LINES, place);
    turn.becomes(Technique::Stream(stream))
}
