//! What is said on streams, on WebSockets and in the answers to polls: JSON objects, read where they lie.

use super::answer::Broken;
use crate::channel::{Cursor, write_json_string};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// What a server has said of a channel.
#[derive(Debug, PartialEq)]
pub enum Said<'b> {
    /// One event.
    Event(Event<'b>),
    /// Where the channel stands, or from where on it is told; and whether something before that is lost.
    Place {
        /// The number before the next event.
        cursor: Cursor,
        /// Something between this and the last event we had is kept no longer.
        missed: bool,
    },
    /// How long to wait before coming again (`retry:`, HTML §9.2.6).
    Retry(Duration),
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'b> {
    /// Its number.
    pub id: Cursor,
    /// When it was published (RFC 3339), where the technique says so: Server-Sent Events do not.
    pub time: Option<&'b str>,
    /// What was published.
    pub data: Data<'b>,
}

/// The data of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'b> {
    /// Characters. Server-Sent Events tell no string from a JSON value, so there it is always this.
    Text(&'b str),
    /// JSON, as it was sent.
    Json(&'b str),
}

impl Data<'_> {
    /// A string without its quotes, and any other value as JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match *self {
            Data::Text(text) => Cow::Borrowed(text),
            Data::Json(json) if json.starts_with('"') => {
                // OK because the JSON around it has been read.
                serde_json::from_str(json).map_or(Cow::Borrowed(json), Cow::Owned)
            }
            Data::Json(json) => Cow::Borrowed(json),
        }
    }

    /// Appends it as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match *self {
            Data::Text(text) => write_json_string(text, out),
            Data::Json(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

/// Why a poll was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There were events.
    Event,
    /// There was nothing, and it was not to wait.
    Empty,
    /// There was nothing until the hold was over.
    Timeout,
    /// Another poll of the same client took its place.
    Replaced,
    /// The server is going away.
    Draining,
}

#[derive(Deserialize)]
struct Item<'b> {
    id: &'b str,
    time: &'b str,
    #[serde(borrow)]
    data: &'b RawValue,
}

/// Every object that there is, in one.
#[derive(Deserialize)]
struct Object<'b> {
    r#type: &'b str,
    cursor: Option<&'b str>,
    #[serde(default)]
    missed: bool,
    id: Option<&'b str>,
    time: Option<&'b str>,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
    #[serde(borrow, default)]
    events: Vec<Item<'b>>,
}

const NO_OBJECT: Broken = Broken("it says something that is no object of doorbell's");

/// Reads one line of a stream, or one message.
pub fn read_message(bytes: &[u8], hear: &mut dyn FnMut(Said<'_>)) -> Result<(), Broken> {
    let object: Object<'_> = serde_json::from_slice(bytes).map_err(|_| NO_OBJECT)?;
    match object.r#type {
        "event" => {
            // A JSON null is read as if it were not there.
            let data = Data::Json(object.data.map_or("null", RawValue::get));
            hear(Said::Event(Event { id: cursor(object.id)?, time: object.time, data }));
        }
        "welcome" => hear(Said::Place { cursor: cursor(object.cursor)?, missed: object.missed }),
        // What a later server may say besides is none of our business.
        _ => {}
    }
    Ok(())
}

/// Reads the answer to a poll.
pub fn read_answer(bytes: &[u8], hear: &mut dyn FnMut(Said<'_>)) -> Result<Kind, Broken> {
    let object: Object<'_> = serde_json::from_slice(bytes).map_err(|_| NO_OBJECT)?;
    let last = cursor(object.cursor)?;
    let first = object.events.first().map(|item| cursor(Some(item.id))).transpose()?;
    // Its cursor stands behind its events; what was missed lies before them.
    let place = first.map_or(last, |first| Cursor { seq: first.seq.saturating_sub(1), ..first });
    if object.missed || first.is_none() {
        hear(Said::Place { cursor: place, missed: object.missed });
    }
    for item in &object.events {
        let (id, time, data) = (cursor(Some(item.id))?, Some(item.time), Data::Json(item.data.get()));
        hear(Said::Event(Event { id, time, data }));
    }
    match object.r#type {
        "event" => Ok(Kind::Event),
        "empty" => Ok(Kind::Empty),
        "timeout" => Ok(Kind::Timeout),
        "replaced" => Ok(Kind::Replaced),
        "draining" => Ok(Kind::Draining),
        _ => Err(NO_OBJECT),
    }
}

/// Reads the answer to a publication: the event's id.
pub fn read_receipt(bytes: &[u8]) -> Result<String, Broken> {
    #[derive(Deserialize)]
    struct Receipt<'b> {
        id: &'b str,
    }
    let receipt: Receipt<'_> = serde_json::from_slice(bytes).map_err(|_| NO_OBJECT)?;
    cursor(Some(receipt.id))?;
    Ok(receipt.id.into())
}

fn cursor(text: Option<&str>) -> Result<Cursor, Broken> {
    text.and_then(Cursor::parse).ok_or(Broken("it gives an event no id of the form EPOCH-SEQ"))
}

/// What `read` says, as lines; for tests.
#[cfg(test)]
pub fn lines_of<T>(mut read: impl FnMut(&mut dyn FnMut(Said<'_>)) -> T) -> (Vec<String>, T) {
    let mut lines = Vec::new();
    let result = read(&mut |said| {
        let written = |cursor: Cursor| {
            let mut out = Vec::new();
            cursor.write(&mut out);
            String::from_utf8(out).unwrap()
        };
        lines.push(match said {
            Said::Event(event) => {
                format!("{} {} {}", written(event.id), event.time.unwrap_or("?"), event.data.text())
            }
            Said::Place { cursor, missed } => {
                format!("at {}{}", written(cursor), if missed { " missed" } else { "" })
            }
            Said::Retry(pause) => format!("retry {}", pause.as_millis()),
        });
    });
    (lines, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_stream_are_read() {
        let read = |text: &str| lines_of(|hear| read_message(text.as_bytes(), hear));
        let welcome = r#"{"type":"welcome","cursor":"m3k9a1-5","missed":true}"#;
        assert_eq!(read(welcome), (vec!["at m3k9a1-5 missed".into()], Ok(())));
        let event = |data: &str| format!(r#"{{"type":"event","id":"a-1","time":"T","data":{data}}}"#);
        assert_eq!(read(&event(r#""say \"hi\" \u2603""#)).0, ["a-1 T say \"hi\" ☃"]);
        assert_eq!(read(&event("null")).0, ["a-1 T null"]);
        assert_eq!(read(&event(r#"{"a":[1.50,"x"]}"#)).0, [r#"a-1 T {"a":[1.50,"x"]}"#]);
        assert_eq!(read(r#"{"type":"weather","sun":true}"#), (vec![], Ok(())));
        for text in ["", "{", "[]", r#"{"type":"event","time":"T","data":1}"#, r#"{"type":"welcome"}"#] {
            assert!(read(text).1.is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_says_from_where_on_it_tells() {
        let read = |text: &str| lines_of(|hear| read_answer(text.as_bytes(), hear));
        let events = r#"[{"id":"a-8","time":"T","data":"x"},{"id":"a-9","time":"T","data":"y"}]"#;
        let answer = |kind: &str, missed: bool, events: &str| {
            format!(r#"{{"type":"{kind}","cursor":"a-9","missed":{missed},"events":{events}}}"#)
        };
        let told = ["a-8 T x".to_owned(), "a-9 T y".to_owned()];
        assert_eq!(read(&answer("event", false, events)), (told.to_vec(), Ok(Kind::Event)));
        let missed = [&["at a-7 missed".to_owned()][..], &told].concat();
        assert_eq!(read(&answer("event", true, events)), (missed, Ok(Kind::Event)));
        assert_eq!(read(&answer("empty", true, "[]")), (vec!["at a-9 missed".into()], Ok(Kind::Empty)));
        assert_eq!(read(&answer("timeout", false, "[]")), (vec!["at a-9".into()], Ok(Kind::Timeout)));
        assert!(read(&answer("nonsense", false, "[]")).1.is_err());
    }
}
