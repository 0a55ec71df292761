//! Where to go: `http://HOST[:PORT][/][?channel=NAME]`, and nothing else.

use crate::channel::ChannelName;
use crate::http::query;
use std::net::{SocketAddr, ToSocketAddrs};

/// An address as a user writes it, checked but not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or an address, an IPv6 one in brackets.
    host: String,
    /// 80 if it was left out.
    port: u16,
    /// The channel behind the question mark, if one was.
    pub channel: Option<ChannelName>,
}

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Target {
    /// What goes into `Host`.
    pub host: String,
    /// Its addresses, of which there is one at least, the best one first.
    pub addresses: Vec<SocketAddr>,
}

impl Url {
    /// Reads it. `Err` says in a few words what to write instead.
    pub fn parse(text: &str) -> Result<Url, String> {
        let rest = without_scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (host, port) = split_authority(authority)?;
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let channel = match rest.strip_prefix('?') {
            None if rest.is_empty() => None,
            None => {
                return Err("leave out the path; the channel goes behind a question mark: \
                     http://HOST:PORT/?channel=NAME"
                    .into());
            }
            Some(query) => channel_in(query)?,
        };
        Ok(Url { host: host.into(), port, channel })
    }

    /// Asks the resolver for the addresses (getaddrinfo(3)). `Err` says what failed and what to do.
    pub fn resolve(&self) -> Result<Target, String> {
        let bare = self.host.trim_matches(['[', ']']);
        let found = (bare, self.port).to_socket_addrs();
        let addresses: Vec<SocketAddr> = found.map_err(|error| self.unknown(&error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(self.unknown("it has no address"));
        }
        Ok(Target { host: format!("{}:{}", self.host, self.port), addresses })
    }

    fn unknown(&self, why: &str) -> String {
        format!("cannot find {}: {why}; check the name, or write an address such as 127.0.0.1", self.host)
    }
}

fn without_scheme(text: &str) -> Result<&str, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("write it with its scheme, such as http://127.0.0.1:8080".into());
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(rest),
        "https" | "wss" => Err("TLS ends at a proxy: write the http:// address of doorbell behind it".into()),
        "ws" => Err(format!("write http://{rest}: a WebSocket is asked for on the same address")),
        _ => Err("write an address such as http://127.0.0.1:8080".into()),
    }
}

fn split_authority(authority: &str) -> Result<(&str, u16), String> {
    if authority.contains('@') {
        return Err("doorbell knows no passwords: leave out what stands before the @".into());
    }
    let behind_brackets = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority[behind_brackets..].find(':') {
        None => (authority, 80),
        Some(colon) => {
            let (host, port) = authority.split_at(behind_brackets + colon);
            let port = port[1..].parse().ok().filter(|&port| port != 0);
            (host, port.ok_or("a port is a number from 1 to 65535, such as http://127.0.0.1:8080")?)
        }
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(allowed) {
        return Err("write a host, such as http://127.0.0.1:8080 or http://[::1]:8080".into());
    }
    Ok((host, port))
}

fn channel_in(query: &str) -> Result<Option<ChannelName>, String> {
    let query = query.split('#').next().unwrap_or(query);
    if let Some(other) = query.split('&').find(|pair| !pair.is_empty() && !pair.starts_with("channel=")) {
        return Err(format!("only ?channel=NAME may stand there, not {other}; the rest has flags"));
    }
    let name = query::parameter(query, "channel").map_err(|problem| problem.detail.to_string())?;
    name.map(|name| channel(&name)).transpose()
}

/// Reads the name of a channel. `Err` says in a few words what a name is.
pub fn channel(name: &str) -> Result<ChannelName, String> {
    ChannelName::parse(name).ok_or_else(|| "a channel's name is 1 to 64 of A-Z a-z 0-9 . _ -".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (text, host, port, channel) in [
            ("http://localhost", "localhost", 80, None),
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, None),
            ("HTTP://127.0.0.1:8080/", "127.0.0.1", 8080, None),
            ("http://[::1]:8080/?channel=a.b", "[::1]", 8080, Some("a.b")),
            ("http://[::1]", "[::1]", 80, None),
            ("http://host?channel=caf%65", "host", 80, Some("cafe")),
            ("http://host/?", "host", 80, None),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
            assert_eq!(url.channel.map(|name| name.as_str().to_owned()).as_deref(), channel, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_to_write() {
        for (text, hint) in [
            ("", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://127.0.0.1:8080"),
            ("https://localhost", "TLS ends at a proxy"),
            ("wss://localhost", "TLS ends at a proxy"),
            ("ws://localhost:8080", "write http://localhost:8080"),
            ("ftp://localhost", "http://127.0.0.1:8080"),
            ("http://", "write a host"),
            ("http://:80", "write a host"),
            ("http://a b", "write a host"),
            ("http://host:", "a port is a number"),
            ("http://host:0", "a port is a number"),
            ("http://host:99999", "a port is a number"),
            ("http://user:secret@host", "no passwords"),
            ("http://host/poll", "leave out the path"),
            ("http://host/#x", "leave out the path"),
            ("http://host/?since=start", "?channel=NAME"),
            ("http://host/?channel=a&channel=b", "only once"),
            ("http://host/?channel=", "1 to 64"),
            ("http://host/?channel=a%20b", "1 to 64"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_needs_no_resolver() {
        let target = Url::parse("http://[::1]:8080").unwrap().resolve().unwrap();
        assert_eq!(target.host, "[::1]:8080");
        assert_eq!(target.addresses, ["[::1]:8080".parse().unwrap()]);
    }
}
