//! The requests of a client, as bytes.

use crate::channel::{ChannelName, Since};
use std::time::Duration;

/// A question for a server about a channel.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// Where the channel stands: a long poll that does not wait.
    Place,
    /// Short polling.
    ShortPoll(Since),
    /// Long polling, for so long; with a name by which the server knows us again.
    LongPoll(Since, Duration, Option<u64>),
    /// HTTP streaming.
    Stream(Option<Since>),
    /// Server-Sent Events.
    Sse(Option<Since>),
    /// A WebSocket.
    WebSocket(Option<Since>),
}

/// Appends the request. `key` is for `Sec-WebSocket-Key`.
pub fn write(out: &mut Vec<u8>, host: &str, channel: &ChannelName, ask: Ask, key: &str) {
    let (path, since) = match ask {
        Ask::Place => ("/poll", None),
        Ask::ShortPoll(since) => ("/news", Some(since)),
        Ask::LongPoll(since, ..) => ("/poll", Some(since)),
        Ask::Stream(since) => ("/stream", since),
        Ask::Sse(since) => ("/connect", since),
        Ask::WebSocket(since) => ("/ws", since),
    };
    let mut target = format!("{path}?channel={}", channel.as_str());
    let mut fields = String::new();
    match (ask, since) {
        // What EventSource does when it comes again (HTML §9.2.4).
        (Ask::Sse(_), Some(Since::After(_))) => {
            fields = format!("Last-Event-ID: {}\r\n", text_of(since));
        }
        (_, Some(_)) => target += &format!("&since={}", text_of(since)),
        (_, None) => {}
    }
    match ask {
        Ask::Place => target += "&timeout=0",
        Ask::LongPoll(_, hold, name) => {
            target += &format!("&timeout={}ms", hold.as_millis());
            if let Some(name) = name {
                target += &format!("&client={name:016x}");
            }
        }
        Ask::Sse(_) => fields += "Accept: text/event-stream\r\n",
        Ask::WebSocket(_) => {
            fields += &format!(
                "Upgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            );
        }
        Ask::ShortPoll(_) | Ask::Stream(_) => {}
    }
    // A cache on the way must neither answer instead of the server nor wait for it (RFC 6202 §5.6).
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nCache-Control: no-cache\r\n{fields}\r\n");
    out.extend_from_slice(head.as_bytes());
}

/// Appends a publication.
pub fn write_post(out: &mut Vec<u8>, host: &str, channel: &ChannelName, is_json: bool, data: &[u8]) {
    let media = if is_json { "application/json" } else { "text/plain;charset=UTF-8" };
    let head = format!(
        "POST /event?channel={} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        channel.as_str(),
        data.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(data);
}

/// `start`, or the cursor.
pub fn text_of(since: Option<Since>) -> String {
    match since {
        None => String::new(),
        Some(Since::Start) => "start".into(),
        Some(Since::After(cursor)) => {
            let mut text = Vec::new();
            cursor.write(&mut text);
            String::from_utf8(text).expect("OK because a cursor is ASCII")
        }
    }
}
