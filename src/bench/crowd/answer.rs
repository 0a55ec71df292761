//! Where an answer ends, for who reads whatever has come.

/// The head of an answer that has come whole, its content too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// The line and the fields, with the empty line after them.
    pub(super) head: &'a [u8],
    pub(super) content: &'a [u8],
}

/// More fields than anybody sends us.
const FIELDS: usize = 64;

impl Answer<'_> {
    /// How many bytes it has.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.content.len()
    }

    /// The value of a field, as it stands.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        response.parse(self.head).ok()?;
        value(&response, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

/// The answer at the beginning of these bytes; `None` if it is not whole yet.
pub(super) fn first_answer(bytes: &[u8]) -> Result<Option<Answer<'_>>, String> {
    let Some((status, head, length)) = first_head(bytes)? else { return Ok(None) };
    let length = length.ok_or("an answer without Content-Length")?;
    if bytes.len() < head + length {
        return Ok(None);
    }
    Ok(Some(Answer { status, head: &bytes[..head], content: &bytes[head..head + length] }))
}

/// The head at the beginning of these bytes: its status, how long it is, and how long the content after it is, if
/// it says so. `None` if it is not whole yet.
pub(super) fn first_head(bytes: &[u8]) -> Result<Option<(u16, usize, Option<usize>)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let parsed = parsed.map_err(|error| format!("what came is no answer: {error}: {}", excerpt(bytes)))?;
    let httparse::Status::Complete(head) = parsed else { return Ok(None) };
    let status = response.code.expect("OK because it was parsed");
    let length = value(&response, "content-length").map(|digits| {
        let digits = String::from_utf8_lossy(digits);
        digits.parse().map_err(|_| format!("{digits:?} is no Content-Length"))
    });
    Ok(Some((status, head, length.transpose()?)))
}

fn value<'a>(response: &httparse::Response<'_, 'a>, name: &str) -> Option<&'a [u8]> {
    response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// The beginning of what came, for an error.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(80)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] =
        b"HTTP/1.1 200 OK\r\nEtag: 5:0\r\ncontent-length: 3\r\n\r\nnewHTTP/1.1 201 Created\r\n";

    #[test]
    fn an_answer_is_whole_when_its_content_is() {
        let answer = first_answer(TWO).unwrap().unwrap();
        assert_eq!((answer.status, answer.content, answer.length()), (200, &b"new"[..], 52));
        assert_eq!(answer.field("ETag").as_deref(), Some("5:0"));
        assert_eq!(answer.field("Last-Modified"), None);
        for cut in 0..52 {
            assert_eq!(first_answer(&TWO[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert!(first_answer(b"SSH-2.0-OpenSSH\r\n").unwrap_err().contains("SSH-2.0"));
        assert!(first_answer(b"HTTP/1.1 200 OK\r\n\r\n").unwrap_err().contains("Content-Length"));
        assert!(first_answer(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
