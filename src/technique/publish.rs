//! Publishing: `POST /event`.

use super::Turn;
use crate::channel::{Audience, ChannelId, Data};
use crate::http::response::{Content, Fields};
use crate::http::router::{JSON, Media};
use crate::http::{Manner, Problem, Status};

/// Publishes a body and answers 201 with the event's id, and how many were there to hear it.
pub(super) fn publish(
    turn: &mut Turn<'_>,
    manner: &Manner,
    channel: ChannelId,
    media: Media,
    body: Vec<u8>,
) -> Result<(), Problem> {
    let data = read(media, body)?;
    let (id, delivered) = turn.publish(channel, data).ok_or_else(too_fast)?;
    let mut answer = br#"{"id":""#.to_vec();
    id.write(&mut answer);
    let [long_poll, sse, stream, websocket] =
        [Audience::LongPoll, Audience::Sse, Audience::Stream, Audience::WebSocket]
            .map(|who| delivered.of(who));
    let counts = format!(
        r#"","delivered":{{"long_poll":{long_poll},"sse":{sse},"stream":{stream},"websocket":{websocket}}}}}"#
    );
    answer.extend_from_slice(counts.as_bytes());
    answer.push(b'\n');
    turn.answer(manner, Status::Created, Fields::NONE, Content::Whole(JSON, &answer));
    Ok(())
}

/// 429 with `Retry-After` (RFC 6585 §4). The buckets refill at least once a second.
fn too_fast() -> Problem {
    let detail =
        "Your address publishes faster than --publish-rate allows; wait a little, or send several in one.";
    Problem::new(Status::TooManyRequests, detail).with(&[("Retry-After", "1")])
}

fn read(media: Media, body: Vec<u8>) -> Result<Data, Problem> {
    let text = String::from_utf8(body).map_err(|_| {
        Problem::new(
            Status::UnsupportedMediaType,
            "An event is text in UTF-8; encode other bytes, in base64 for instance.",
        )
    })?;
    match media {
        Media::Text => Ok(Data::Text(text.into())),
        Media::Json => {
            Data::json(&text).map_err(|error| Problem::bad(format!("The body is not JSON: {error}.")))
        }
    }
}
