//! One event, and its JSON.

use super::Cursor;
use std::time::{Duration, UNIX_EPOCH};

/// What was published, and when.
#[derive(Debug)]
pub struct Event {
    /// The moment of publication, in milliseconds since 1970.
    pub time: u64,
    /// What was published.
    pub data: Data,
}

/// The data of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// A string.
    Text(Box<str>),
    /// A JSON value, as it was sent but for insignificant white space.
    Json(Box<str>),
}

impl Data {
    /// A JSON value: checked, and freed of insignificant white space (RFC 8259 §2). Numbers, escapes
    /// and the order of names stay as they were sent. `Err` says where it is no JSON.
    pub fn json(text: &str) -> Result<Data, serde_json::Error> {
        serde_json::from_str::<serde::de::IgnoredAny>(text)?;
        Ok(Data::Json(without_white_space(text).into()))
    }

    /// The characters as they were published.
    pub fn as_str(&self) -> &str {
        let (Data::Text(text) | Data::Json(text)) = self;
        text
    }
}

/// Drops white space outside strings from valid JSON.
fn without_white_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let significant = |&character: &char| {
        let keep = in_string || !matches!(character, ' ' | '\t' | '\n' | '\r');
        in_string ^= character == '"' && !escaped;
        escaped = in_string && character == '\\' && !escaped;
        keep
    };
    json.chars().filter(significant).collect()
}

impl Event {
    /// Appends `"id":…,"time":…,"data":…`, to be put in braces.
    pub fn write_members(&self, id: Cursor, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""id":""#);
        id.write(out);
        out.extend_from_slice(br#"","time":""#);
        write_time(self.time, out);
        out.extend_from_slice(br#"","data":"#);
        match &self.data {
            Data::Text(text) => write_json_string(text, out),
            Data::Json(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

/// Appends `text` as a JSON string.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("OK because writing to a Vec cannot fail");
}

/// Appends a time as `2026-01-12T21:18:15.123Z` (RFC 3339).
fn write_time(millis: u64, out: &mut Vec<u8>) {
    // OK because the clamp is the year 9999, the last that RFC 3339 and humantime can write.
    let time = UNIX_EPOCH + Duration::from_millis(millis.min(253_402_300_799_999));
    out.extend_from_slice(humantime::format_rfc3339_millis(time).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_keeps_its_numbers_escapes_and_order() {
        let sent = "{ \"b\" : 1.50 ,\n \"a\" : [ 1e2 , \"x \\\" y\\\\\" , -0 ] }\t";
        let kept = Data::json(sent).unwrap();
        assert_eq!(kept.as_str(), r#"{"b":1.50,"a":[1e2,"x \" y\\",-0]}"#);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "nul", "1 2", "'a'", "[1,]", "\"\n\"", "{\"a\":1,}"] {
            assert!(Data::json(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_written_with_milliseconds() {
        let mut out = Vec::new();
        write_time(1_768_252_695_123, &mut out);
        assert_eq!(out, b"2026-01-12T21:18:15.123Z");
    }

    proptest! {
        #[test]
        fn dropping_white_space_changes_no_value(value in any::<Vec<(String, Option<i64>)>>()) {
            let wide = serde_json::to_string_pretty(&serde_json::json!(value)).unwrap();
            let narrow = Data::json(&wide).unwrap();
            prop_assert_eq!(narrow.as_str(), serde_json::json!(value).to_string());
        }
    }
}
