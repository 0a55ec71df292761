//! What may be set: the limits and times that the conversations keep.
//!
//! The defaults here are the defaults of the flags (`doorbell serve --help`).

use std::time::Duration;

/// One kibibyte, in bytes.
pub const KIB: usize = 1024;
/// One mebibyte, in bytes.
pub const MIB: usize = 1024 * KIB;

/// In which language the loop is narrated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Korean.
    Korean,
}

impl Language {
    /// Every language.
    pub const ALL: [Language; 2] = [Language::English, Language::Korean];

    /// The one of this name (ISO 639).
    pub fn named(name: &str) -> Option<Language> {
        match name {
            "en" => Some(Language::English),
            "ko" => Some(Language::Korean),
            _ => None,
        }
    }
}

/// Limits (bytes and counts) and times of the conversations.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a long poll is parked when it does not say. Thirty seconds is what most proxies
    /// bear (RFC 6202 §5.5).
    pub hold: Duration,
    /// The longest that a long poll may ask for.
    pub max_hold: Duration,
    /// How many events a channel keeps.
    pub history: usize,
    /// How many bytes of data a channel keeps.
    pub history_bytes: usize,
    /// How many channels there may be; past it 507.
    pub max_channels: usize,
    /// The largest head of a request; past it 431, or 414 for the request line.
    pub max_head: usize,
    /// The largest body of a request; past it 413.
    pub max_body: usize,
    /// The largest WebSocket message; past it the connection is closed with 1009.
    pub max_message: usize,
    /// Whether WebSocket messages may be compressed (RFC 7692).
    pub deflate: bool,
    /// How much a slow reader may leave unread before it is let go; one whole message always fits.
    pub outbox_limit: usize,
    /// For a whole head, from accept or from its first byte; then 408.
    pub head_timeout: Duration,
    /// For a whole body, from the end of its head; then 408.
    pub body_timeout: Duration,
    /// How long a connection may rest between two requests, and how long a write may wait for a
    /// peer that takes nothing.
    pub idle_timeout: Duration,
    /// After this much silence a WebSocket is pinged and a stream gets a heartbeat.
    pub ping_interval: Duration,
    /// How long a stream may last (±10 %); `None`: as long as it likes.
    pub stream_lease: Option<Duration>,
    /// How many events one address may publish in a second; `None`: as many as it likes.
    pub publish_rate: Option<u32>,
    /// Whose pages may use this server besides its own.
    pub allow_origin: AllowOrigin,
}

/// The origins that are allowed besides the server's own (`--allow-origin`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowOrigin {
    /// Everyone.
    Any,
    /// These, as browsers write them: `scheme://host[:port]`. At most 255.
    Listed(Vec<String>),
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hold: Duration::from_secs(30),
            max_hold: Duration::from_secs(120),
            history: 1024,
            history_bytes: 4 * MIB,
            max_channels: 10_000,
            max_head: 16 * KIB,
            max_body: MIB,
            max_message: MIB,
            deflate: false,
            outbox_limit: MIB,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            ping_interval: Duration::from_secs(20),
            stream_lease: None,
            publish_rate: None,
            allow_origin: AllowOrigin::Listed(Vec::new()),
        }
    }
}
