//! What a request is for: the characters of its target and of its host (RFC 9112 §3.2, RFC 3986 §3.2.2).

use super::problem::{Problem, malformed};

/// Where in a target the question mark stands, or its end; there is no fragment behind it. (httparse has seen to
/// white space and controls. A target is short: a look at each byte is quicker than a search made for long texts.)
#[inline]
pub(super) fn check_target(target: &str) -> Result<usize, Problem> {
    let is_special = |&byte: &u8| SPECIAL_IN_TARGET[usize::from(byte)];
    let Some(mark) = target.as_bytes().iter().position(is_special) else { return Ok(target.len()) };
    let (path, query) = target.as_bytes().split_at(mark);
    if query.iter().any(|byte| is_special(byte) && *byte != b'?') {
        let detail = "The target of a request is plain ASCII without a fragment (RFC 9112 §3.2).";
        return Err(malformed(detail));
    }
    Ok(path.len())
}

/// The question mark, and what may not be there.
const SPECIAL_IN_TARGET: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = byte == b'?' as usize || byte == b'#' as usize || byte >= 128;
        byte += 1;
    }
    special
};

/// The host, if it is one.
pub(super) fn checked_host(host: &str) -> Result<&str, Problem> {
    if !is_host(host) {
        return Err(malformed("Host must be a name or an address, and perhaps a port."));
    }
    Ok(host)
}

/// What can stand in the name of a host, for each byte: letters, digits, and some signs (RFC 3986 §3.2.2).
const IN_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        let sign = matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'=');
        allowed[byte as usize] = sign || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    allowed
};

/// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
fn is_host(host: &str) -> bool {
    let bracketed = host.starts_with('[');
    let (name, port) = match split_at_byte(host, host.bytes().rposition(|byte| byte == b':')) {
        Some((name, port)) if !bracketed || name.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    let is_name = match name.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => !name.is_empty() && name.bytes().all(|byte| IN_NAME[usize::from(byte)]),
    };
    is_name && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands before and behind the ASCII byte at this place. (For a few dozen bytes a plain loop finds the
/// place sooner than a search that is made for long texts.)
fn split_at_byte(text: &str, place: Option<usize>) -> Option<(&str, &str)> {
    place.map(|at| (&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        for host in ["a", "a:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a_b.example:", "localhost"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["", ":80", "a b", "a/b", "a@b", "[::1", "::1", "[zz]", "a:b", "a:123456", "[::1]x:1"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
