//! Who may use this server from a page: the check of `Origin` (RFC 6454, RFC 6455 §10.2, Fetch).
//!
//! A browser sends `Origin` with what one site does to another. Reading is guarded by the browser
//! itself (CORS); publishing and opening a WebSocket are guarded here.

use super::Request;
use crate::settings::AllowOrigin;
use std::net::Ipv4Addr;

/// What an origin may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// No page asks, or one of our own: everything, and no word about it.
    #[default]
    Own,
    /// Everyone may (`--allow-origin '*'`).
    Any,
    /// This one of those that are listed may.
    Listed(u8),
    /// A foreign page: it may neither publish nor open a WebSocket.
    Foreign,
}

impl Cors {
    /// Judges a request.
    #[inline]
    pub fn of(request: &Request<'_>, allowed: &AllowOrigin) -> Cors {
        request.origin.map_or(Cors::Own, |origin| Cors::of_page(origin, request, allowed))
    }

    #[inline(never)]
    fn of_page(origin: &str, request: &Request<'_>, allowed: &AllowOrigin) -> Cors {
        if request.host().is_some_and(|host| is_same(origin, host)) {
            return Cors::Own;
        }
        match allowed {
            AllowOrigin::Any => Cors::Any,
            AllowOrigin::Listed(list) => {
                let place = list.iter().position(|listed| listed.eq_ignore_ascii_case(origin));
                place.map_or(Cors::Foreign, |place| Cors::Listed(place as u8))
            }
        }
    }

    /// The value of `Access-Control-Allow-Origin`, if the answer is to carry one.
    pub fn allows(self, allowed: &AllowOrigin) -> Option<&str> {
        match (self, allowed) {
            (Cors::Any, _) => Some("*"),
            (Cors::Listed(place), AllowOrigin::Listed(list)) => {
                list.get(usize::from(place)).map(String::as_str)
            }
            _ => None,
        }
    }
}

/// Same origin: host and port agree. The scheme is not compared, because TLS may end before us; and
/// the names of this machine are one.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let (name, port) = split_port(authority);
    let (our_name, our_port) = split_port(host);
    let same_port = match (port, our_port) {
        (Some(port), Some(our_port)) => port == our_port,
        // Who leaves the port out means the scheme's own.
        (Some(port), None) | (None, Some(port)) => port == default_port,
        (None, None) => true,
    };
    same_port && (name.eq_ignore_ascii_case(our_name) || is_this_machine(name) && is_this_machine(our_name))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(port))
        }
        Some((name, "")) => (name, None),
        _ => (authority, None),
    }
}

/// Whether a host is one of the names that this machine has for itself.
pub fn is_this_machine(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

/// Whether `Host` is a name by which only this machine itself is meant.
pub fn is_local(host: &str) -> bool {
    let (name, _) = split_port(host);
    is_this_machine(name) || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_loopback_interface_are_local() {
        for host in
            ["localhost", "localhost:8080", "LocalHost", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:80"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "example.org", "localhost.example.org", "10.0.0.1", "127.0.0.1.example.org", "[::2]:80"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn same_origin_compares_host_and_port() {
        for (origin, host) in [
            ("http://a:8080", "a:8080"),
            ("https://A", "a"),
            ("https://a", "a:443"),
            ("http://a", "a:80"),
            ("http://localhost:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "localhost:8080"),
        ] {
            assert!(is_same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://a:8080", "a:8081"),
            ("http://a", "a:443"),
            ("http://b", "a"),
            ("null", "a"),
            ("http://localhost.evil:8080", "localhost:8080"),
            ("http://127.0.0.1:1", "localhost:8080"),
        ] {
            assert!(!is_same(origin, host), "{origin} {host}");
        }
    }
}
