//! What is wanted of the server itself, in JSON.

use super::Name;
use crate::channel::ChannelName;
use crate::http::Problem;
use crate::http::router::CrowdWish;
use serde_json::Value;

/// The most clients that a crowd can be asked to have.
const MOST: u64 = 999_999;

/// Which mechanism the body asks for: `{"multiplexer":"poll"}`.
pub(super) fn multiplexer(body: &[u8]) -> Result<Box<str>, Problem> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let name = body.as_ref().and_then(|body| body.get("multiplexer")?.as_str());
    let detail = r#"Say which one in JSON: {"multiplexer":"epoll"}, "poll" or "select"."#;
    name.map(Into::into).ok_or_else(|| Problem::bad(detail))
}

/// Which crowd the body asks for: `{"technique":"long_poll","clients":1000}`.
pub(super) fn crowd(body: &[u8]) -> Result<CrowdWish, Problem> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let body = body
        .filter(Value::is_object)
        .ok_or_else(|| Problem::bad(r#"Say which one in JSON: {"technique":"long_poll","clients":1000}."#))?;
    Ok(CrowdWish {
        technique: technique(&body["technique"])?,
        clients: clients(&body["clients"])?,
        channel: channel(body.get("channel"))?,
    })
}

fn technique(named: &Value) -> Result<&'static str, Problem> {
    let names = Name::ALL.into_iter().filter(|&name| name != Name::Http).map(Name::as_str);
    let found = names.into_iter().find(|&name| named == name);
    let detail = "technique is one of short_poll, long_poll, stream, sse and websocket.";
    found.ok_or_else(|| Problem::bad(detail))
}

fn clients(count: &Value) -> Result<u32, Problem> {
    let count = count.as_u64().filter(|count| (1..=MOST).contains(count));
    count.map(|count| count as u32).ok_or_else(|| Problem::bad("clients is a number from 1 to 999999."))
}

fn channel(named: Option<&Value>) -> Result<ChannelName, Problem> {
    let Some(named) = named else { return Ok(ChannelName::default()) };
    let name = named.as_str().and_then(ChannelName::parse);
    name.ok_or_else(|| Problem::bad("A channel's name is 1 to 64 of A-Z a-z 0-9 . _ and -."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_a_technique_a_number_and_perhaps_a_channel() {
        let wish = crowd(br#"{"clients":7,"technique":"sse","channel":"a-b","more":1}"#).unwrap();
        assert_eq!((wish.technique, wish.clients, wish.channel.as_str()), ("sse", 7, "a-b"));
        let wish = crowd(br#"{"technique":"websocket","clients":999999}"#).unwrap();
        assert_eq!((wish.technique, wish.clients, wish.channel.as_str()), ("websocket", 999_999, "lobby"));
    }

    #[test]
    fn what_a_crowd_cannot_be_is_refused_with_what_it_can() {
        for (body, word) in [
            ("", "JSON"),
            ("[]", "JSON"),
            ("7", "JSON"),
            (r#"{"technique":"long_poll","clients":1"#, "JSON"),
            (r#"{"clients":1}"#, "technique"),
            (r#"{"technique":"http","clients":1}"#, "technique"),
            (r#"{"technique":7,"clients":1}"#, "technique"),
            (r#"{"technique":"sse"}"#, "clients"),
            (r#"{"technique":"sse","clients":0}"#, "clients"),
            (r#"{"technique":"sse","clients":-1}"#, "clients"),
            (r#"{"technique":"sse","clients":1.5}"#, "clients"),
            (r#"{"technique":"sse","clients":"7"}"#, "clients"),
            (r#"{"technique":"sse","clients":1000000}"#, "clients"),
            (r#"{"technique":"sse","clients":18446744073709551617}"#, "clients"),
            (r#"{"technique":"sse","clients":1,"channel":"a b"}"#, "channel"),
            (r#"{"technique":"sse","clients":1,"channel":null}"#, "channel"),
        ] {
            let problem = crowd(body.as_bytes()).unwrap_err();
            assert!(problem.detail.contains(word), "{body}: {}", problem.detail);
        }
    }
}
