//! The paths, and the methods that each of them knows.

use crate::page;

macro_rules! paths {
    ($($variant:ident = $path:literal),* $(,)?) => {
        /// The paths, as they are counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        #[repr(u8)]
        pub enum Path { $($variant,)* /** A file of the page. */ Page, /** Any other. */ Other }

        impl Path {
            /// Every path.
            pub const ALL: &[Path] = &[$(Path::$variant,)* Path::Page, Path::Other];

            /// As it is counted.
            pub const fn label(self) -> &'static str {
                match self { $(Path::$variant => $path,)* Path::Page => "page", Path::Other => "other" }
            }

            /// Which one a request names.
            pub fn of(path: &[u8]) -> Path {
                $(if path == $path.as_bytes() { return Path::$variant; })*
                if page::find(path).is_some() { Path::Page } else { Path::Other }
            }
        }
    };
}

paths! {
    Connect = "/connect",
    Crowd = "/kernel/crowd",
    Echo = "/echo",
    Event = "/event",
    Healthz = "/healthz",
    Kernel = "/kernel",
    Metrics = "/metrics",
    Multiplexer = "/kernel/multiplexer",
    News = "/news",
    Poll = "/poll",
    SendMessage = "/send-message",
    Star = "*",
    Stream = "/stream",
    Ws = "/ws",
}

impl Path {
    /// Which methods it knows, as the field that says so (RFC 9110 §10.2.1).
    pub(super) fn allow(self) -> &'static [(&'static str, &'static str); 1] {
        match self {
            Path::Event | Path::Multiplexer => &[("Allow", "OPTIONS, POST")],
            Path::Crowd => &[("Allow", "DELETE, OPTIONS, POST")],
            Path::SendMessage => &[("Allow", "OPTIONS")],
            _ => &[("Allow", "GET, HEAD, OPTIONS")],
        }
    }
}
