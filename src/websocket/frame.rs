//! Frames (RFC 6455 §5.2), and the mask on them (§5.3).

use super::close::{Code, Violation};

/// What a frame is for (RFC 6455 §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn parse(nibble: u8) -> Option<Opcode> {
        Some(match nibble {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Control frames may stand between the fragments of a message, and are short (§5.5).
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The head of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last fragment of its message.
    pub fin: bool,
    /// What it is for.
    pub opcode: Opcode,
    /// The message that begins here is compressed (RFC 7692 §6).
    pub compressed: bool,
    /// Bytes of payload.
    pub length: u64,
    /// The masking key.
    pub mask: Mask,
}

/// The longest payload of a control frame, in bytes (§5.5).
pub const LONGEST_CONTROL: usize = 125;

impl Header {
    /// Reads a head from the start of `bytes`, and says how many bytes it took; `None` if it is not
    /// whole yet. What a client may not send is a violation as soon as it can be seen. A message may be
    /// compressed if that was agreed on.
    #[inline(always)]
    pub fn parse(bytes: &[u8], may_be_compressed: bool) -> Result<Option<(Header, usize)>, Violation> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        let opcode = check_first_byte(first, may_be_compressed)?;
        if second & 0x80 == 0 {
            return Err(Violation::protocol("Frames from a client are masked (RFC 6455 §5.1)."));
        }
        let (fin, short) = (first & 0x80 != 0, second & 0x7f);
        check_control(opcode, fin, short)?;
        let Some((length, start)) = parse_length(short, bytes)? else { return Ok(None) };
        let Some(mask) = bytes.get(start..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
        let compressed = first & COMPRESSED != 0;
        Ok(Some((Header { fin, opcode, compressed, length, mask: Mask(*mask) }, start + 4)))
    }

    /// The same for a frame from a server, which is not masked (§5.1), to a client that offered no extension.
    pub fn parse_unmasked(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        let opcode = check_first_byte(first, false)?;
        if second & 0x80 != 0 {
            return Err(Violation::protocol("Frames from a server are not masked (RFC 6455 §5.1)."));
        }
        let (fin, short) = (first & 0x80 != 0, second & 0x7f);
        check_control(opcode, fin, short)?;
        let Some((length, start)) = parse_length(short, bytes)? else { return Ok(None) };
        Ok(Some((Header { fin, opcode, compressed: false, length, mask: Mask::default() }, start)))
    }
}

/// Takes a whole message apart that lies at the start of `bytes` in one frame, as nearly all do: how many bytes that
/// took, whether it is text, its mask, and its payload. `None` if it is anything else, of which [`Header::parse`]
/// knows more.
#[inline(always)]
pub fn whole_message(bytes: &mut [u8]) -> Option<(usize, bool, Mask, &mut [u8])> {
    const TEXT: u8 = 0x80 | Opcode::Text as u8;
    const BINARY: u8 = 0x80 | Opcode::Binary as u8;
    let &mut [first @ (TEXT | BINARY), second @ 0x80..=0xff, ..] = bytes else { return None };
    let (length, start) = parse_length(second & 0x7f, bytes).ok()??;
    let (mask, rest) = bytes.get_mut(start..)?.split_first_chunk_mut()?;
    let payload = rest.get_mut(..usize::try_from(length).ok()?)?;
    Some((start + 4 + payload.len(), first == TEXT, Mask(*mask), payload))
}

/// The first reserved bit, which permessage-deflate gives a meaning (RFC 7692 §6).
pub const COMPRESSED: u8 = 0x40;

#[inline(always)]
fn check_first_byte(first: u8, may_be_compressed: bool) -> Result<Opcode, Violation> {
    let Some(opcode) = Opcode::parse(first & 0x0f) else {
        return Err(Violation::protocol("This opcode is reserved (RFC 6455 §5.2)."));
    };
    if first & 0x70 != 0 {
        check_reserved(first & 0x70, opcode, may_be_compressed)?;
    }
    Ok(opcode)
}

/// Reserved bits mean nothing but that a message is compressed: the first frame of it may say so, and no control
/// frame (RFC 7692 §6.1).
#[inline(never)]
fn check_reserved(bits: u8, opcode: Opcode, may_be_compressed: bool) -> Result<(), Violation> {
    let begins_a_message = matches!(opcode, Opcode::Text | Opcode::Binary);
    if bits == COMPRESSED && may_be_compressed && begins_a_message {
        return Ok(());
    }
    Err(Violation::protocol("A reserved bit is set that means nothing here (RFC 6455 §5.2)."))
}

/// Control frames are one piece, and short (§5.5).
#[inline]
fn check_control(opcode: Opcode, fin: bool, short: u8) -> Result<(), Violation> {
    if opcode.is_control() && (!fin || usize::from(short) > LONGEST_CONTROL) {
        let reason = "A control frame is one piece of at most 125 bytes (RFC 6455 §5.5).";
        return Err(Violation::protocol(reason));
    }
    Ok(())
}

/// 7 bits, or 126 and 16 bits, or 127 and 63 bits; always the shortest that holds it (§5.2). Returns the length,
/// and where what follows it begins.
#[inline]
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    if short < 126 {
        return Ok(Some((u64::from(short), 2)));
    }
    let long = bytes[2..].first_chunk().map(|long| (u64::from_be_bytes(*long), 10));
    let middle = bytes[2..].first_chunk().map(|middle| (u64::from(u16::from_be_bytes(*middle)), 4));
    let Some((length, start)) = (if short == 126 { middle } else { long }) else { return Ok(None) };
    let shortest = if short == 126 { length > 125 } else { length > 0xffff };
    if !shortest || length > i64::MAX as u64 {
        let reason = "The length of a frame is written in the fewest bytes (RFC 6455 §5.2).";
        return Err(Violation::protocol(reason));
    }
    Ok(Some((length, start)))
}

/// A masking key, turned so that its first byte belongs to the next byte of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub [u8; 4]);

/// How many bytes the mask is taken off at once on the way: one or two registers full.
const STEP: usize = 32;

/// And where there are many: as many as stay in registers from one place to the other.
const BLOCK: usize = 128;

impl Mask {
    /// Takes the mask off `payload`, in place: eight bytes at once, of which the compiler makes sixteen or more
    /// where many follow each other. The same puts it on.
    #[inline]
    pub fn apply(self, payload: &mut [u8]) {
        let key = u32::from_ne_bytes(self.0);
        let wide = u64::from(key) << 32 | u64::from(key);
        let (words, rest) = payload.as_chunks_mut();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        let (halves, rest) = rest.as_chunks_mut();
        for half in halves {
            *half = (u32::from_ne_bytes(*half) ^ key).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0) {
            *byte ^= key;
        }
    }

    /// Appends `payload` to `out` without the mask that is on it.
    #[inline(always)]
    pub fn append(self, payload: &[u8], out: &mut Vec<u8>) {
        let rest = if payload.len() < BLOCK { payload } else { self.append_blocks(payload, out) };
        let start = out.len();
        out.extend_from_slice(rest);
        // The last step goes beyond the end, so that nothing is left for smaller ones.
        out.extend_from_slice(&[0; STEP - 1]);
        let key = u32::from_ne_bytes(self.0);
        for step in out[start..].as_chunks_mut::<STEP>().0 {
            for word in step.as_chunks_mut().0 {
                *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
            }
        }
        out.truncate(start + rest.len());
    }

    /// Appends what `payload` begins with, and returns the rest: one pass, where copying first would take two. How
    /// many bytes that makes is known before the first.
    #[inline(never)]
    fn append_blocks<'b>(self, payload: &'b [u8], out: &mut Vec<u8>) -> &'b [u8] {
        let (blocks, rest) = payload.as_chunks::<BLOCK>();
        out.extend(blocks.iter().flat_map(|block| {
            let mut plain = *block;
            self.apply(&mut plain);
            plain
        }));
        rest
    }

    /// A copy without the mask.
    #[cold]
    pub fn taken_off(self, payload: &[u8]) -> Vec<u8> {
        let mut plain = payload.to_vec();
        self.apply(&mut plain);
        plain
    }

    /// The mask turned on, for what follows behind so many bytes.
    pub fn behind(mut self, count: usize) -> Mask {
        self.0.rotate_left(count % 4);
        self
    }
}

/// Appends the head of a whole, unmasked message or control frame: what a server sends (§5.1).
#[inline(always)]
pub fn write_header(out: &mut Vec<u8>, opcode: Opcode, length: usize) {
    let first = 0x80 | opcode as u8;
    match length {
        0..=125 => out.extend_from_slice(&[first, length as u8]),
        126..=0xffff => {
            let [high, low] = (length as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends a whole, unmasked frame.
#[inline(always)]
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a whole frame as a client sends it: masked with `key`, which nobody else can guess (§5.3).
pub fn write_masked(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    let head = out.len();
    write_header(out, opcode, payload.len());
    out[head + 1] |= 0x80;
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    Mask(key).apply(&mut out[start..]);
}

/// Appends a Close frame with a code and a reason.
pub fn write_close(out: &mut Vec<u8>, code: Code, reason: &str) {
    debug_assert!(reason.len() + 2 <= LONGEST_CONTROL, "a control frame is short: {reason}");
    write_header(out, Opcode::Close, reason.len() + 2);
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(fin: bool, opcode: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, Opcode::Binary, payload);
        let header = bytes.len() - payload.len();
        bytes[0] = u8::from(fin) << 7 | opcode;
        bytes[1] |= 0x80;
        let mut masked = payload.to_vec();
        Mask(key).apply(&mut masked);
        [&bytes[..header], &key, &masked].concat()
    }

    #[test]
    fn what_a_client_may_not_send_is_a_violation_at_once() {
        for bytes in [
            &[0x81, 0x05][..],                           // unmasked
            &[0xc1, 0x80],                               // reserved bit 1
            &[0xa1, 0x80],                               // reserved bit 2
            &[0x91, 0x80],                               // reserved bit 3
            &[0x83, 0x80],                               // reserved opcode
            &[0x8b, 0x80],                               // reserved control opcode
            &[0x09, 0x80],                               // fragmented ping
            &[0x89, 0xfe],                               // long ping
            &[0x82, 0xfe, 0, 125],                       // 125 in two bytes
            &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], // 65,535 in eight
            &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],    // 2^63
        ] {
            assert_eq!(Header::parse(bytes, false).unwrap_err().code, Code::PROTOCOL_ERROR, "{bytes:x?}");
        }
    }

    #[test]
    fn the_longest_length_is_a_length() {
        let bytes = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
        let (header, used) = Header::parse(&bytes, false).unwrap().unwrap();
        assert_eq!((header.length, used), (i64::MAX as u64, 14));
    }

    #[test]
    fn a_mask_comes_off_bytes_of_any_number_wherever_they_lie() {
        let key = [0x01, 0x20, 0xa5, 0xff];
        let bytes: Vec<u8> = (0..304).map(|at| (at * 7) as u8).collect();
        for length in 0..=300 {
            for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
                let payload = &bytes[from..from + length];
                let mut plain = payload.to_vec();
                for (at, byte) in plain.iter_mut().enumerate() {
                    *byte ^= key[at % 4];
                }
                let mut appended = bytes[..to].to_vec();
                Mask(key).append(payload, &mut appended);
                assert_eq!(appended, [&bytes[..to], &plain].concat(), "{length} bytes, from {from} to {to}");
                assert_eq!(Mask(key).taken_off(payload), plain, "{length} bytes");
                let mut in_place = bytes.clone();
                Mask(key).apply(&mut in_place[from..from + length]);
                assert_eq!(
                    in_place,
                    [&bytes[..from], &plain, &bytes[from + length..]].concat(),
                    "{length} bytes"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_frame_reads_as_it_was_written(
            fin: bool,
            opcode in prop_oneof![Just(0u8), Just(1), Just(2)],
            length in prop_oneof![0..200usize, 65_500..65_600usize],
            key: [u8; 4],
        ) {
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let bytes = masked(fin, opcode, &payload, key);
            let (header, used) = Header::parse(&bytes, false).unwrap().unwrap();
            prop_assert_eq!((header.fin, header.opcode as u8, header.length), (fin, opcode, length as u64));
            for cut in 0..used {
                prop_assert_eq!(Header::parse(&bytes[..cut], false), Ok(None));
            }
            let mut got = bytes[used..].to_vec();
            header.mask.apply(&mut got);
            prop_assert_eq!(got, payload);
        }

        #[test]
        fn what_a_client_writes_is_what_a_server_reads(length in 0..70_000usize, key: [u8; 4]) {
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut bytes = b"before".to_vec();
            write_masked(&mut bytes, Opcode::Text, &payload, key);
            prop_assert_eq!(&bytes[6..], &masked(true, 1, &payload, key));
        }

        #[test]
        fn what_a_server_writes_is_what_a_client_reads(length in 0..70_000usize) {
            let mut bytes = Vec::new();
            write(&mut bytes, Opcode::Text, &vec![b'x'; length]);
            let (header, used) = Header::parse_unmasked(&bytes).unwrap().unwrap();
            prop_assert_eq!((header.fin, header.opcode, header.length), (true, Opcode::Text, length as u64));
            prop_assert_eq!(used + length, bytes.len());
            for cut in 0..used {
                prop_assert_eq!(Header::parse_unmasked(&bytes[..cut]), Ok(None));
            }
        }

        #[test]
        fn a_mask_taken_off_in_pieces_is_the_same_mask(
            payload: Vec<u8>, key: [u8; 4], cut in 0..64usize,
        ) {
            let (mut whole, mut pieces) = (payload.clone(), payload);
            Mask(key).apply(&mut whole);
            let cut = cut.min(pieces.len());
            Mask(key).apply(&mut pieces[..cut]);
            Mask(key).behind(cut).apply(&mut pieces[cut..]);
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Header::parse(&bytes, true);
            let _ = Header::parse_unmasked(&bytes);
        }

        #[test]
        fn a_mask_comes_off_on_the_way_as_it_does_in_place(
            payload in prop::collection::vec(any::<u8>(), 0..600),
            before: Vec<u8>,
            key: [u8; 4],
        ) {
            let (mut appended, mut in_place) = (before.clone(), payload.clone());
            Mask(key).append(&payload, &mut appended);
            Mask(key).apply(&mut in_place);
            prop_assert_eq!(&in_place, &payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect::<Vec<_>>());
            prop_assert_eq!(appended, [before, in_place].concat());
        }
    }
}
