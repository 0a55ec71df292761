//! The body of a request: a number of bytes, or chunks (RFC 9112 §6, §7.1).

use super::problem::{Problem, Status};

/// Where a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// After so many bytes.
    Length(u64),
    /// At the last chunk.
    Chunked,
}

impl Framing {
    /// Whether there is anything to be read.
    #[inline]
    pub fn has_body(self) -> bool {
        !matches!(self, Framing::None | Framing::Length(0))
    }
}

/// A body on its way in. Feed it bytes with [`Body::take`] until it is whole.
#[derive(Debug)]
pub struct Body {
    /// What has come so far; nothing if it is read only to be dropped.
    pub content: Vec<u8>,
    received: u64,
    keep: bool,
    state: State,
    limits: Limits,
}

/// How large the body itself, and everything around it, may be, in bytes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    body: u64,
    around: usize,
}

#[derive(Debug)]
enum State {
    Length { remaining: u64 },
    Chunks { place: Chunk, around: usize },
    Whole,
}

/// Where in the chunked coding the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Chunk {
    /// In a size: its value so far, and whether a digit was there.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind a size, in the white space before an extension.
    Space {
        size: u64,
    },
    /// Behind a semicolon, where the name of an extension begins.
    Name {
        size: u64,
    },
    /// In a chunk extension, which is ignored (RFC 9112 §7.1.1); in quotes; behind a backslash there.
    Extension {
        size: u64,
    },
    Quoted {
        size: u64,
    },
    Escaped {
        size: u64,
    },
    /// At the LF of a size line.
    SizeEnd {
        size: u64,
    },
    /// In the data, with so many bytes to come.
    Data {
        remaining: u64,
    },
    /// At the CR, then at the LF behind the data.
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    /// In the name, then in the value of a trailer field, which is ignored (RFC 9112 §7.1.2).
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// At the LF of the empty line that ends it all.
    EndLf,
}

impl Body {
    /// A body to be kept, or to be read and dropped; 413 if it is known to be larger than `max_body`. `max_around`
    /// bounds extensions and trailers together.
    pub fn begin(framing: Framing, keep: bool, max_body: usize, max_around: usize) -> Result<Body, Problem> {
        let limits = Limits { body: max_body as u64, around: max_around };
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Whole,
            Framing::Length(length) if length > limits.body => return Err(too_large()),
            Framing::Length(length) => State::Length { remaining: length },
            Framing::Chunked => State::Chunks { place: Chunk::FIRST, around: 0 },
        };
        Ok(Body { content: Vec::new(), received: 0, keep, state, limits })
    }

    /// Whether the last byte has come.
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole)
    }

    /// Takes what belongs to the body from the start of `bytes`, and returns how many bytes that
    /// was: all of them, unless the body is whole. Errors are fatal: 400 for a bad chunk, 413 for too
    /// much content, 431 for too much around it.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Problem> {
        match &mut self.state {
            State::Whole => Ok(0),
            State::Length { remaining } => {
                let used = bytes.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                *remaining -= used as u64;
                if *remaining == 0 {
                    self.state = State::Whole;
                }
                self.receive(&bytes[..used])?;
                Ok(used)
            }
            State::Chunks { .. } => self.take_chunks(bytes),
        }
    }

    fn take_chunks(&mut self, bytes: &[u8]) -> Result<usize, Problem> {
        let mut used = 0;
        while used < bytes.len() {
            let State::Chunks { place, around } = &mut self.state else {
                break;
            };
            if let Chunk::Data { remaining } = place {
                let run = (bytes.len() - used).min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                *remaining -= run as u64;
                if *remaining == 0 {
                    *place = Chunk::DataCr;
                }
                self.receive(&bytes[used..used + run])?;
                used += run;
                continue;
            }
            if place.is_around() {
                *around += 1;
                if *around > self.limits.around {
                    let detail =
                        "The chunk extensions or trailers of the body are too large; leave them out.";
                    return Err(Problem::fatal(Status::FieldsTooLarge, detail));
                }
            }
            match place.step(bytes[used]).ok_or_else(|| bad_chunk(*place))? {
                Some(next) => *place = next,
                None => self.state = State::Whole,
            }
            used += 1;
        }
        Ok(used)
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.received += bytes.len() as u64;
        if self.received > self.limits.body {
            return Err(too_large());
        }
        if self.keep {
            self.content.extend_from_slice(bytes);
        }
        Ok(())
    }
}

impl Chunk {
    /// Where the first byte belongs.
    pub const FIRST: Chunk = Chunk::Size { size: 0, digits: 0 };

    /// Whether what stands here is neither size nor data, and so could go on for ever.
    fn is_around(self) -> bool {
        !matches!(self, Chunk::Size { .. } | Chunk::Data { .. } | Chunk::DataCr | Chunk::DataLf)
    }

    /// Where the byte after `byte` belongs; `Some(None)` behind the last one; `None` if `byte` may not
    /// stand here.
    pub fn step(self, byte: u8) -> Option<Option<Chunk>> {
        let next = match (self, byte) {
            (Chunk::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                // Sixteen digits are 64 bits; leading zeros count, or they could go on for ever.
                let digit = u64::from(char::from(byte).to_digit(16)?);
                Chunk::Size { size: (digits < 16).then_some(size << 4 | digit)?, digits: digits + 1 }
            }
            (Chunk::Size { digits: 0, .. }, _) => return None,
            (Chunk::Size { size, .. } | Chunk::Extension { size }, b'\r') => Chunk::SizeEnd { size },
            (Chunk::Size { size, .. } | Chunk::Space { size }, b' ' | b'\t') => Chunk::Space { size },
            (Chunk::Size { size, .. } | Chunk::Space { size } | Chunk::Extension { size }, b';') => {
                Chunk::Name { size }
            }
            (Chunk::Name { size }, b' ' | b'\t') => Chunk::Name { size },
            (Chunk::Name { size }, _) if is_token(byte) => Chunk::Extension { size },
            (Chunk::Extension { size }, b'"') => Chunk::Quoted { size },
            (Chunk::Quoted { size }, b'"') => Chunk::Extension { size },
            (Chunk::Quoted { size }, b'\\') => Chunk::Escaped { size },
            (Chunk::Quoted { size } | Chunk::Escaped { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                Chunk::Quoted { size }
            }
            (Chunk::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => Chunk::Extension { size },
            (Chunk::SizeEnd { size: 0 }, b'\n') => Chunk::TrailerStart,
            (Chunk::SizeEnd { size }, b'\n') => Chunk::Data { remaining: size },
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::Size { size: 0, digits: 0 },
            (Chunk::TrailerStart, b'\r') => Chunk::EndLf,
            (Chunk::TrailerName, b':') => Chunk::TrailerValue,
            (Chunk::TrailerStart | Chunk::TrailerName, _) if is_token(byte) => Chunk::TrailerName,
            (Chunk::TrailerValue, b'\r') => Chunk::TrailerLf,
            (Chunk::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Chunk::TrailerValue,
            (Chunk::TrailerLf, b'\n') => Chunk::TrailerStart,
            (Chunk::EndLf, b'\n') => return Some(None),
            _ => return None,
        };
        Some(Some(next))
    }
}

/// `tchar` (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn too_large() -> Problem {
    Problem::fatal(Status::ContentTooLarge, "The body is too large; send less, or raise --max-body.")
}

fn bad_chunk(place: Chunk) -> Problem {
    use Chunk::*;
    let detail = match place {
        Data { .. } | DataCr | DataLf => {
            "A chunk ends in CR and LF right behind as many bytes as its size says (RFC 9112 §7.1)."
        }
        TrailerStart | TrailerName | TrailerValue | TrailerLf | EndLf => {
            "The trailers are malformed (RFC 9112 §7.1.2)."
        }
        _ => "A chunk begins with its size in hexadecimal digits, CR and LF (RFC 9112 §7.1).",
    };
    Problem::fatal(Status::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunked(max_body: usize) -> Body {
        Body::begin(Framing::Chunked, true, max_body, 64).unwrap()
    }

    /// Feeds the pieces and returns the content, and what was left over.
    fn read<'b>(body: &mut Body, pieces: impl Iterator<Item = &'b [u8]>) -> Result<(Vec<u8>, usize), Status> {
        let mut left = 0;
        for piece in pieces {
            let used = body.take(piece).map_err(|problem| problem.status)?;
            left += piece.len() - used;
        }
        Ok((std::mem::take(&mut body.content), left))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_understood() {
        let bytes = b"5;a=b\r\nhello\r\n6 ;c=\"d\"\r\n world\r\n000\r\nX: y\r\nZ:\r\n\r\nGET";
        let mut body = chunked(100);
        assert_eq!(read(&mut body, std::iter::once(&bytes[..])), Ok((b"hello world".to_vec(), 3)));
        assert!(body.is_whole());
    }

    #[test]
    fn bad_chunks_are_refused() {
        for bytes in [
            "x\r\n",
            "\r\n",
            ";\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1\n",
            "1\rx",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rx",
            "00000000000000001\r\n",
            "10000000000000000\r\n",
            "0\r\n \r\n",
            "0\r\n:\r\n",
            "0\r\nX y\r\n",
            "0\r\nX:\n",
            "0\r\n\rx",
            "5 abc\r\n",
            "5 \r\n",
            "5;\r\n",
            "5;a=\"b\r\n",
            "5 abc\r\n",
            "5 \r\n",
            "5;\r\n",
            "5;a=\"b\r\n",
            "1;\x00\r\n",
        ] {
            let got = read(&mut chunked(100), std::iter::once(bytes.as_bytes()));
            assert_eq!(got, Err(Status::BadRequest), "{bytes:?}");
        }
    }

    #[test]
    fn too_much_is_refused_in_either_place() {
        let status = |bytes: &str| read(&mut chunked(4), std::iter::once(bytes.as_bytes())).unwrap_err();
        assert_eq!(status("5\r\nhello"), Status::ContentTooLarge);
        assert_eq!(status("3\r\nabc\r\n2\r\nde"), Status::ContentTooLarge);
        assert_eq!(status(&format!("1;{}", "x".repeat(99))), Status::FieldsTooLarge);
        assert_eq!(status(&"1;xxxxxx\r\na\r\n".repeat(99)), Status::ContentTooLarge);
        assert_eq!(status(&format!("0\r\n{}", "a:b\r\n".repeat(99))), Status::FieldsTooLarge);
        let announced = Body::begin(Framing::Length(5), true, 4, 64).unwrap_err();
        assert_eq!(announced.status, Status::ContentTooLarge);
    }

    fn encode(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    proptest! {
        #[test]
        fn chunks_read_the_same_whole_and_in_pieces(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            piece in 1..50usize,
        ) {
            let bytes = [encode(&chunks), b"rest".to_vec()].concat();
            let whole = read(&mut chunked(9_999), std::iter::once(&bytes[..]));
            let pieces = read(&mut chunked(9_999), bytes.chunks(piece));
            prop_assert_eq!(&whole, &Ok((chunks.concat(), 4)));
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut body = chunked(50);
            let _ = read(&mut body, std::iter::once(&bytes[..]));
            prop_assert!(body.content.len() <= 50 + bytes.len());
        }
    }
}
