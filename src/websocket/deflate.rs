//! permessage-deflate (RFC 7692): messages that are compressed one by one.
//!
//! Both sides begin each message with an empty window (§7.1.1), so an idle connection owns none: one
//! inflater serves all who send, and one deflater for each window size serves all who listen.

use super::close::{Code, Violation};
use super::frame::{self, Opcode};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What was agreed on in the opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The size of the window with which we compress: 2 to the power of 9 to 15 bytes.
    pub window_bits: u8,
    /// Whether the client asked for a size, which is then confirmed.
    asked: bool,
}

impl Agreement {
    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub fn answer(self) -> String {
        let size = format!("; server_max_window_bits={}", self.window_bits);
        let size = if self.asked { size.as_str() } else { "" };
        format!("permessage-deflate; server_no_context_takeover; client_no_context_takeover{size}")
    }
}

/// The first offer in a value of `Sec-WebSocket-Extensions` that can be accepted, if there is one. What
/// is malformed or not known is declined, which is no error (§5.1).
pub fn accept(offers: &str) -> Option<Agreement> {
    offers.split(',').find_map(accept_one)
}

fn accept_one(offer: &str) -> Option<Agreement> {
    let mut parts = offer.split(';').map(|part| part.trim_matches([' ', '\t']));
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut agreement = Agreement { window_bits: 15, asked: false };
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start().trim_matches('"'))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            // Our inflater knows every size, so there is nothing to ask of the client (§7.1.2.2).
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) => drop(window_bits(bits)?),
            ("server_max_window_bits", Some(bits)) => {
                // zlib cannot compress with a window of 256 bytes.
                let bits = window_bits(bits).filter(|&bits| bits > 8)?;
                agreement = Agreement { window_bits: bits, asked: true };
            }
            _ => return None,
        }
    }
    Some(agreement)
}

/// A decimal number from 8 to 15 without leading zeros (§7.1.2.1).
fn window_bits(text: &str) -> Option<u8> {
    let bits: u8 = text.parse().ok().filter(|_| !text.starts_with(['0', '+']))?;
    (8..=15).contains(&bits).then_some(bits)
}

/// What ends every compressed message, and is left out on the wire (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Compresses and decompresses for all connections. What it needs is made when it is first needed.
#[derive(Debug, Default)]
pub struct Deflate {
    deflaters: [Option<Compress>; 16],
    inflater: Option<Decompress>,
    scratch: Vec<u8>,
}

impl Deflate {
    /// Appends a whole, compressed message, and returns the length of what is inside the frame.
    pub fn write_message(
        &mut self,
        out: &mut Vec<u8>,
        opcode: Opcode,
        payload: &[u8],
        window_bits: u8,
    ) -> usize {
        let deflater = self.deflaters[usize::from(window_bits)].get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::default(), false, window_bits)
        });
        let scratch = &mut self.scratch;
        scratch.clear();
        loop {
            scratch.reserve(payload.len() / 2 + 64);
            let rest = &payload[deflater.total_in() as usize..];
            deflater
                .compress_vec(rest, scratch, FlushCompress::Sync)
                .expect("OK because a deflater takes any bytes");
            // Where there is room left everything has been said (zlib.h, deflate).
            if scratch.len() < scratch.capacity() {
                break;
            }
        }
        deflater.reset();
        debug_assert!(scratch.ends_with(&TAIL));
        scratch.truncate(scratch.len() - TAIL.len());
        frame::write_header(out, opcode, scratch.len());
        let head = out.len() - header_length(scratch.len());
        out[head] |= frame::COMPRESSED;
        out.extend_from_slice(scratch);
        scratch.len()
    }

    /// Decompresses a message of at most `most` bytes. It is stopped as soon as it grows beyond that, so
    /// that a bomb does no harm: the violation is 1009. What is no deflate is 1007.
    pub fn inflate(&mut self, payload: &[u8], most: usize) -> Result<Vec<u8>, Violation> {
        let inflater = self.inflater.get_or_insert_with(|| Decompress::new(false));
        let mut message = Vec::new();
        let result = [payload, &TAIL]
            .into_iter()
            .try_for_each(|part| inflate_part(inflater, part, &mut message, most));
        inflater.reset(false);
        result.map(|()| message)
    }
}

fn header_length(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

fn inflate_part(
    inflater: &mut Decompress,
    mut part: &[u8],
    message: &mut Vec<u8>,
    most: usize,
) -> Result<(), Violation> {
    const STEP: usize = 16 * 1024;
    const NO_DEFLATE: Violation = Violation {
        code: Code::INVALID_PAYLOAD,
        reason: "The message is not compressed as agreed (RFC 7692 §7.2.2).",
    };
    loop {
        message.reserve(STEP.min(most - message.len() + 1));
        let before = inflater.total_in();
        let status = inflater.decompress_vec(part, message, FlushDecompress::Sync).map_err(|_| NO_DEFLATE)?;
        part = &part[(inflater.total_in() - before) as usize..];
        if message.len() > most {
            return Err(Violation::too_big());
        }
        match status {
            // A final block is allowed, and another one may follow it (§7.2.3.4).
            Status::StreamEnd => inflater.reset(false),
            Status::Ok | Status::BufError => {}
        }
        if part.is_empty() && message.len() < message.capacity() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offers_are_accepted_or_declined() {
        let answer = |offer: &str| accept(offer).map(Agreement::answer);
        let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=9 ; server_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        ] {
            assert_eq!(answer(offer).as_deref(), Some(plain), "{offer}");
        }
        let small = format!("{plain}; server_max_window_bits=9");
        assert_eq!(answer("permessage-deflate; server_max_window_bits=\"9\""), Some(small));
        for offer in [
            "",
            "deflate",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=1",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        ] {
            assert_eq!(answer(offer), None, "{offer}");
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut deflate = Deflate::default();
        let mut read = |payload: &[u8]| deflate.inflate(payload, 100);
        assert_eq!(read(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), Ok(b"Hello".to_vec()), "§7.2.3.1");
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(read(&stored), Ok(b"Hello".to_vec()), "§7.2.3.3");
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(read(&last), Ok(b"Hello".to_vec()), "§7.2.3.4");
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(read(&two), Ok(b"Hello".to_vec()), "§7.2.3.5");
        assert_eq!(read(&[0x00]), Ok(Vec::new()), "§7.2.3.6");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let mut deflate = Deflate::default();
        let mut frame = Vec::new();
        deflate.write_message(&mut frame, Opcode::Text, &vec![b'x'; 8 << 20], 15);
        assert!(frame.len() < 10_000, "{}", frame.len());
        assert_eq!(deflate.inflate(&frame[4..], 1 << 20), Err(Violation::too_big()));
        assert_eq!(deflate.inflate(&frame[4..], 8 << 20).map(|message| message.len()), Ok(8 << 20));
        assert_eq!(deflate.inflate(&frame[4..], (8 << 20) - 1), Err(Violation::too_big()));
    }

    proptest! {
        #[test]
        fn a_message_reads_as_it_was_written(
            text in "[a-d]{0,3000}",
            tail: Vec<u8>,
            bits in 9..=15u8,
        ) {
            let payload = [text.as_bytes(), &tail].concat();
            let mut deflate = Deflate::default();
            let mut out = Vec::new();
            deflate.write_message(&mut out, Opcode::Binary, &payload, bits);
            prop_assert_eq!(out[0], 0xc2);
            let start = header_length(out.len());
            let start = if out[1] < 126 { 2 } else { start };
            prop_assert_eq!(deflate.inflate(&out[start..], payload.len()), Ok(payload));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let message = Deflate::default().inflate(&bytes, 1000);
            prop_assert!(message.is_err() || message.is_ok_and(|message| message.len() <= 1000));
        }
    }
}
