//! Messages out of the frames of a server (RFC 6455 §5.4): not masked, and not compressed.

use crate::websocket::close::{self, Violation};
use crate::websocket::frame::{Header, Opcode};
use crate::websocket::message::{Said, said};

/// The largest message that is taken, in bytes. It bounds what a server can make us keep.
const LARGEST: u64 = 256 << 20;

/// Reads messages; owns nothing between two of them.
#[derive(Debug, Default)]
pub struct Reader {
    /// What has come of a message in fragments, and whether it is text.
    unfinished: Option<Box<(bool, Vec<u8>)>>,
}

impl Reader {
    /// Reads one frame from the start of `bytes`, if it is whole: how many were used, and what was said, if
    /// something was. Nothing used means that more bytes are needed. A message that came in fragments is put into
    /// `room`.
    pub fn next<'b>(
        &mut self,
        bytes: &'b [u8],
        room: &'b mut Vec<u8>,
    ) -> Result<(usize, Option<Said<'b>>), Violation> {
        let Some((header, start)) = Header::parse_unmasked(bytes)? else { return Ok((0, None)) };
        if header.length > LARGEST {
            return Err(Violation::too_big());
        }
        let end = start + header.length as usize;
        let Some(payload) = bytes.get(start..end) else { return Ok((0, None)) };
        let said = match header.opcode {
            Opcode::Close => Some(Said::Close(close::parse(payload)?)),
            Opcode::Ping => Some(Said::Ping(payload)),
            Opcode::Pong => Some(Said::Pong),
            _ => self.take_data(&header, payload, room)?,
        };
        Ok((end, said))
    }

    fn take_data<'b>(
        &mut self,
        header: &Header,
        payload: &'b [u8],
        room: &'b mut Vec<u8>,
    ) -> Result<Option<Said<'b>>, Violation> {
        const OUT_OF_ORDER: Violation =
            Violation::protocol("The fragments of a message are out of order (RFC 6455 §5.4).");
        let is_text = header.opcode == Opcode::Text;
        let continues = header.opcode == Opcode::Continuation;
        match (self.unfinished.take(), header.fin) {
            (None, _) if continues => Err(OUT_OF_ORDER),
            (Some(_), _) if !continues => Err(OUT_OF_ORDER),
            (None, true) => said(is_text, payload).map(Some),
            (None, false) => {
                self.unfinished = Some(Box::new((is_text, payload.to_vec())));
                Ok(None)
            }
            (Some(mut message), fin) => {
                message.1.extend_from_slice(payload);
                if message.1.len() as u64 > LARGEST {
                    return Err(Violation::too_big());
                }
                if fin {
                    *room = message.1;
                    return said(message.0, room).map(Some);
                }
                self.unfinished = Some(message);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::close::Code;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, payload.len() as u8], payload].concat()
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>, Code> {
        let (mut reader, mut at, mut heard) = (Reader::default(), 0, Vec::new());
        loop {
            let mut room = Vec::new();
            let (used, said) = reader.next(&bytes[at..], &mut room).map_err(|violation| violation.code)?;
            heard.extend(said.map(|said| format!("{said:?}")));
            at += used;
            if used == 0 {
                return Ok(heard);
            }
        }
    }

    #[test]
    fn fragments_make_a_message_and_pings_may_stand_between() {
        let frames = [
            frame(0x01, b"h"),
            frame(0x89, b"?"),
            frame(0x00, b""),
            frame(0x80, b"i"),
            frame(0x88, b"\x03\xe9"),
        ];
        let heard = read(&frames.concat()).unwrap();
        assert_eq!(heard, ["Ping([63])", "Text(\"hi\")", "Close(Some(Code(1001)))"]);
    }

    #[test]
    fn a_frame_is_read_when_it_is_whole() {
        let bytes = frame(0x81, b"hello");
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(vec![]), "{cut}");
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_a_violation() {
        for bytes in [
            vec![0x81, 0x80, 0, 0, 0, 0],                    // masked
            frame(0xc1, b"x"),                               // compressed, and nobody offered it
            frame(0x80, b"x"),                               // continues nothing
            [frame(0x01, b"x"), frame(0x81, b"x")].concat(), // begins in the middle
            frame(0x09, b"x"),                               // fragmented ping
        ] {
            assert_eq!(read(&bytes), Err(Code::PROTOCOL_ERROR), "{bytes:x?}");
        }
        assert_eq!(read(&frame(0x81, b"\xff")), Err(Code::INVALID_PAYLOAD));
        assert_eq!(read(&[0x82, 127, 0, 0, 0, 0x80, 0, 0, 0, 0]), Err(Code::TOO_BIG));
    }
}
