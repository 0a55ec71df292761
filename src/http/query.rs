//! The parameters behind the question mark, `name=value&name=value`, percent-encoded (URL Standard,
//! `application/x-www-form-urlencoded`).

use super::Problem;
use std::borrow::Cow;

/// The value of the parameter `name`, decoded; `None` if it is not there. Giving it twice is an
/// error, for the two could contradict each other.
#[inline(always)]
pub fn parameter<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Problem> {
    if query.is_empty() { Ok(None) } else { find(query, name) }
}

fn find<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, Problem> {
    let (mut found, mut start) = (None, 0);
    for end in memchr::memchr_iter(b'&', query.as_bytes()).chain([query.len()]) {
        let pair = &query[start..end];
        start = end + 1;
        let value = match pair.strip_prefix(name) {
            Some("") => "",
            Some(rest) if rest.starts_with('=') => &rest[1..],
            _ => continue,
        };
        if found.replace(value).is_some() {
            return Err(Problem::bad(format!("The parameter {name} may be given only once.")));
        }
    }
    found.map(|value| decode(value, name)).transpose()
}

fn decode<'q>(value: &'q str, name: &str) -> Result<Cow<'q, str>, Problem> {
    if memchr::memchr2(b'%', b'+', value.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(value));
    }
    let wrong = || Problem::bad(format!("The parameter {name} is not percent-encoded UTF-8."));
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                (high * 16 + low) as u8
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_decoded() {
        let of = |query, name| parameter(query, name).unwrap().map(Cow::into_owned);
        assert_eq!(of("a=1&channel=caf%C3%A9+x", "channel").as_deref(), Some("café x"));
        assert_eq!(of("since", "since").as_deref(), Some(""));
        assert_eq!(of("sincere=1", "since"), None);
        assert_eq!(of("&&since=a=b&", "since").as_deref(), Some("a=b"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for query in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=1&a=2"] {
            assert!(parameter(query, "a").is_err(), "{query}");
        }
    }
}
