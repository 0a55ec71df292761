//! What a request is for: the characters of its target and of its host (RFC 9112 §3.2, RFC 3986 §3.2.2).

use super::problem::{Problem, malformed};
use std::net::Ipv6Addr;

/// A target up to its question mark, and what follows that; there is no fragment behind it. (httparse has seen to
/// white space and controls. A target is short: a look at each byte is quicker than a search made for long texts, and
/// most are a path and nothing else, which is seen of eight at once.)
#[inline]
pub(super) fn split_target(target: &str) -> Result<(&str, &str), Problem> {
    let (eights, rest) = target.as_bytes().as_chunks();
    let has_special = |eight: &[u8; 8]| eight.iter().fold(false, |special, byte| special | is_special(byte));
    if eights.iter().any(has_special) || rest.iter().any(is_special) {
        return split_at_question_mark(target);
    }
    Ok((target, ""))
}

fn is_special(&byte: &u8) -> bool {
    (byte == b'?') | (byte == b'#') | (byte >= 128)
}

fn split_at_question_mark(target: &str) -> Result<(&str, &str), Problem> {
    if target.bytes().any(|byte| is_special(&byte) && byte != b'?') {
        let detail = "The target of a request is plain ASCII without a fragment (RFC 9112 §3.2).";
        return Err(malformed(detail));
    }
    Ok(target.split_once('?').unwrap_or((target, "")))
}

/// What can stand in the name of a host: letters, digits, and some signs (RFC 3986 §3.2.2).
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

/// `uri-host [ ":" port ]` (RFC 9110 §7.2).
#[inline(always)]
pub(super) fn check_host(host: &[u8]) -> Result<(), Problem> {
    let behind_name = match host.strip_prefix(b"[") {
        Some(rest) => behind_address(rest),
        None => {
            let end = host.iter().position(|&byte| !IN_NAME[usize::from(byte)]).unwrap_or(host.len());
            (end > 0).then(|| &host[end..])
        }
    };
    match behind_name {
        Some([]) => Ok(()),
        Some([b':', port @ ..]) if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(no_host(host)),
    }
}

/// What stands behind an IPv6 address in brackets, of which the first is gone.
fn behind_address(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().rposition(|&byte| byte == b']')?;
    let address = std::str::from_utf8(&rest[..end]).ok()?;
    address.parse::<Ipv6Addr>().ok().map(|_| &rest[end + 1..])
}

#[cold]
fn no_host(host: &[u8]) -> Problem {
    text(host).err().unwrap_or_else(|| malformed("Host must be a name or an address, and perhaps a port."))
}

/// The value of a field, which may be anything in UTF-8.
pub(super) fn text(value: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(value).map_err(|_| malformed("A field of the head is not text."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        for host in ["a", "a:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a_b.example:", "localhost"] {
            assert!(check_host(host.as_bytes()).is_ok(), "{host}");
        }
        for host in ["", ":80", "a b", "a/b", "a@b", "[::1", "::1", "[zz]", "a:b", "a:123456", "[::1]x:1"] {
            assert!(check_host(host.as_bytes()).is_err(), "{host}");
        }
    }
}
