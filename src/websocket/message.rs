//! Messages out of frames (RFC 6455 §5.4, §5.6, §8.1).
//!
//! A message that comes in one frame and in one read is handed out from where it lies; nothing is kept. Text is
//! unmasked there, for it must be looked at; other bytes keep their mask until they are copied. Only an unfinished
//! message owns memory, and no more than has come of it.

use super::close::{self, Code, Violation};
use super::deflate::Deflate;
use super::frame::{self, Header, Mask, Opcode};

/// What a client has said.
#[derive(Clone, Copy, Debug)]
pub enum Said<'b> {
    /// A whole text message, which is UTF-8.
    Text(&'b str),
    /// A whole binary message.
    Binary(Payload<'b>),
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'b [u8]),
    /// A pong.
    Pong,
    /// A Close frame, with its code if it gave one.
    Close(Option<Code>),
}

/// The content of a binary message: nobody here looks at it, so its mask comes off on the way to where it is copied.
#[derive(Clone, Copy)]
pub struct Payload<'b> {
    bytes: &'b [u8],
    mask: Mask,
}

impl Payload<'_> {
    /// How many bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends it, without the mask.
    #[inline(always)]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        self.mask.append(self.bytes, out);
    }

    /// It, without the mask.
    #[inline(always)]
    pub fn plain(self) -> Vec<u8> {
        self.mask.taken_off(self.bytes)
    }
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plain().fmt(f)
    }
}

/// Reads messages; owns nothing between two of them.
#[derive(Debug, Default)]
pub struct Reader {
    unfinished: Option<Box<Unfinished>>,
}

/// A message of which some fragments, or a part of one, have come.
#[derive(Debug)]
struct Unfinished {
    is_text: bool,
    bytes: Vec<u8>,
    compressed: bool,
    /// How many of the bytes are known to be whole characters of UTF-8; compressed ones cannot be.
    checked: usize,
    /// The frame that is under way: its mask, and how much is still to come.
    frame: Option<Rest>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    mask: Mask,
    remaining: u64,
    fin: bool,
}

const NOT_UTF8: Violation =
    Violation { code: Code::INVALID_PAYLOAD, reason: "A text message is UTF-8 (RFC 6455 §8.1)." };

impl Reader {
    /// Reads a message as nearly all come: it lies at the start of `bytes` from its first to its last byte, in one
    /// frame, and is not compressed. Returns how many bytes that took, and what was said; `None` if anything else
    /// is there, which is for [`Reader::next`].
    #[inline(always)]
    pub fn whole<'b>(
        &self,
        bytes: &'b mut [u8],
        max_message: usize,
    ) -> Result<Option<(usize, Said<'b>)>, Violation> {
        let Some((used, is_text, mask, payload)) = frame::whole_message(bytes) else { return Ok(None) };
        if self.unfinished.is_some() || payload.len() > max_message {
            return Ok(None);
        }
        if is_text {
            return Ok(Some((used, Said::Text(unmasked_text(mask, payload)?))));
        }
        Ok(Some((used, Said::Binary(Payload { bytes: payload, mask }))))
    }

    /// Reads on from the start of `bytes`, whatever is there: how many were used, and what was said, if something
    /// was. Nothing used and nothing said means that more bytes are needed. (What [`Reader::whole`] reads is read here
    /// too, but not where it lies.)
    ///
    /// A message may be of `max_message` bytes; past it the violation is 1009, as soon as a head
    /// announces it. Text that is not UTF-8 is 1007 as soon as it shows. With `deflate` a message may be
    /// compressed; it may then be of so many bytes before and after. What does not lie in `bytes` as it is
    /// said, because it came in pieces or compressed, is put into `room`.
    pub fn next<'b>(
        &mut self,
        bytes: &'b mut [u8],
        max_message: usize,
        mut deflate: Option<&mut Deflate>,
        room: &'b mut Vec<u8>,
    ) -> Result<(usize, Option<Said<'b>>), Violation> {
        if self.unfinished.is_some() {
            return self.go_on(bytes, max_message, deflate, room);
        }
        let Some((header, start)) = Header::parse(bytes, deflate.is_some())? else { return Ok((0, None)) };
        if header.opcode.is_control() {
            return take_control(header.opcode, header.mask, header.length, start, bytes);
        }
        if header.opcode == Opcode::Continuation {
            return Err(Violation::protocol("There is no message to continue (RFC 6455 §5.4)."));
        }
        if header.length > max_message as u64 {
            return Err(Violation::too_big());
        }
        let end = start as u64 + header.length;
        if let Some(deflate) = deflate.as_deref_mut()
            && header.compressed
            && header.fin
            && end <= bytes.len() as u64
        {
            let end = end as usize;
            let payload = &mut bytes[start..end];
            header.mask.apply(payload);
            *room = deflate.inflate(payload, max_message)?;
            return Ok((end, Some(said(header.opcode == Opcode::Text, room)?)));
        }
        self.unfinished = Some(Box::new(Unfinished::new(&header)));
        let (used, said) = self.go_on(&mut bytes[start..], max_message, deflate, room)?;
        Ok((start + used, said))
    }

    /// Reads on in a message of which a part has come.
    fn go_on<'b>(
        &mut self,
        bytes: &'b mut [u8],
        max_message: usize,
        deflate: Option<&mut Deflate>,
        room: &'b mut Vec<u8>,
    ) -> Result<(usize, Option<Said<'b>>), Violation> {
        let mut start = 0;
        if let Some(message) = self.unfinished.as_mut().filter(|message| message.frame.is_none()) {
            let Some((header, after)) = Header::parse(bytes, deflate.is_some())? else {
                return Ok((0, None));
            };
            if header.opcode.is_control() {
                return take_control(header.opcode, header.mask, header.length, after, bytes);
            }
            if header.opcode != Opcode::Continuation {
                return Err(Violation::protocol(
                    "A message began before the last one ended (RFC 6455 §5.4).",
                ));
            }
            if header.length > (max_message - message.bytes.len()) as u64 {
                return Err(Violation::too_big());
            }
            message.frame = Some(Rest::of(&header));
            start = after;
        }
        let (used, message) = self.take_payload(&mut bytes[start..])?;
        let Some(message) = message else { return Ok((start + used, None)) };
        *room = match deflate {
            Some(deflate) if message.compressed => deflate.inflate(&message.bytes, max_message)?,
            _ => message.bytes,
        };
        Ok((start + used, Some(said(message.is_text, room)?)))
    }

    /// Takes payload of the frame that is under way, and returns the message if that made it whole.
    fn take_payload(&mut self, bytes: &mut [u8]) -> Result<(usize, Option<Unfinished>), Violation> {
        let Some(message) = &mut self.unfinished else {
            return Ok((0, None));
        };
        let Some(rest) = &mut message.frame else {
            return Ok((0, None));
        };
        let used = bytes.len().min(usize::try_from(rest.remaining).unwrap_or(usize::MAX));
        let payload = &mut bytes[..used];
        rest.mask.apply(payload);
        rest.mask = rest.mask.behind(used);
        rest.remaining -= used as u64;
        message.bytes.extend_from_slice(payload);
        let (frame_ended, fin) = (rest.remaining == 0, rest.fin);
        if message.is_text && !message.compressed {
            message.check_text()?;
        }
        if !frame_ended {
            return Ok((used, None));
        }
        message.frame = None;
        if !fin {
            return Ok((used, None));
        }
        Ok((used, self.unfinished.take().map(|message| *message)))
    }
}

impl Rest {
    /// All of a frame but its head.
    fn of(header: &Header) -> Rest {
        Rest { mask: header.mask, remaining: header.length, fin: header.fin }
    }
}

impl Unfinished {
    fn new(header: &Header) -> Unfinished {
        let (is_text, compressed) = (header.opcode == Opcode::Text, header.compressed);
        Unfinished { is_text, bytes: Vec::new(), compressed, checked: 0, frame: Some(Rest::of(header)) }
    }

    /// Checks what has come since the last time. A character that is only begun is left for the next
    /// time; one that can become nothing valid is refused now.
    fn check_text(&mut self) -> Result<(), Violation> {
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

/// Takes a control frame whose payload begins at `start`.
#[cold]
fn take_control<'b>(
    opcode: Opcode,
    mask: Mask,
    length: u64,
    start: usize,
    bytes: &'b mut [u8],
) -> Result<(usize, Option<Said<'b>>), Violation> {
    // OK because a control frame has at most 125 bytes.
    let end = start + length as usize;
    let Some(payload) = bytes.get_mut(start..end) else {
        return Ok((0, None));
    };
    mask.apply(payload);
    let said = match opcode {
        Opcode::Close => Said::Close(close::parse(payload)?),
        Opcode::Ping => Said::Ping(payload),
        _ => Said::Pong,
    };
    Ok((end, Some(said)))
}

/// A whole message of either kind, without a mask; text that is not UTF-8 is 1007 (RFC 6455 §8.1).
#[inline(always)]
pub fn said(is_text: bool, bytes: &[u8]) -> Result<Said<'_>, Violation> {
    if !is_text {
        return Ok(Said::Binary(Payload { bytes, mask: Mask::default() }));
    }
    text(bytes).map(Said::Text)
}

/// A whole text message, whose mask comes off where it lies.
#[inline(never)]
fn unmasked_text(mask: Mask, payload: &mut [u8]) -> Result<&str, Violation> {
    mask.apply(payload);
    text(payload)
}

#[inline(always)]
fn text(bytes: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![u8::from(fin) << 7 | opcode];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        let key = [7, 77, 177, 249];
        let mut masked = payload.to_vec();
        Mask(key).apply(&mut masked);
        [bytes, key.to_vec(), masked].concat()
    }

    /// Reads the pieces as a connection would: what was not used is kept and goes before the next.
    fn read(pieces: impl Iterator<Item = Vec<u8>>, max: usize) -> Result<Vec<String>, Code> {
        let (mut reader, mut kept, mut heard) = (Reader::default(), Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(&piece);
            let mut at = 0;
            loop {
                let mut room = Vec::new();
                let rest = &mut kept[at..];
                let (used, said) = match reader.whole(rest, max) {
                    Ok(None) => reader.next(rest, max, None, &mut room),
                    whole => whole.map(|whole| whole.map_or((0, None), |(used, said)| (used, Some(said)))),
                }
                .map_err(|violation| violation.code)?;
                heard.extend(said.map(|said| format!("{said:?}")));
                at += used;
                if used == 0 {
                    break;
                }
            }
            kept.drain(..at);
        }
        Ok(heard)
    }

    fn whole(frames: &[Vec<u8>]) -> Result<Vec<String>, Code> {
        read(std::iter::once(frames.concat()), 1000)
    }

    #[test]
    fn fragments_make_a_message_and_pings_may_stand_between() {
        let frames =
            [frame(false, 1, b"h"), frame(true, 9, b"?"), frame(false, 0, b""), frame(true, 0, b"i")];
        assert_eq!(whole(&frames).unwrap(), ["Ping([63])", "Text(\"hi\")"]);
    }

    #[test]
    fn fragments_out_of_order_are_a_violation() {
        assert_eq!(whole(&[frame(true, 0, b"")]), Err(Code::PROTOCOL_ERROR));
        assert_eq!(whole(&[frame(false, 1, b""), frame(true, 1, b"")]), Err(Code::PROTOCOL_ERROR));
    }

    #[test]
    fn text_is_checked_across_fragments_and_as_soon_as_it_shows() {
        let euro = "€".as_bytes();
        let split = [frame(false, 1, &euro[..1]), frame(false, 0, &euro[1..2]), frame(true, 0, &euro[2..])];
        assert_eq!(whole(&split).unwrap(), ["Text(\"€\")"]);
        assert_eq!(whole(&[frame(true, 1, &euro[..2])]), Err(Code::INVALID_PAYLOAD));
        let cut_short = [frame(false, 1, &euro[..2]), frame(true, 0, b"")];
        assert_eq!(whole(&cut_short), Err(Code::INVALID_PAYLOAD));
        // A surrogate is refused at its second byte, though the frame goes on.
        let mut long = frame(true, 1, &[b"\xed\xa0".as_slice(), &[b'x'; 90]].concat());
        long.truncate(8);
        assert_eq!(read(std::iter::once(long), 1000), Err(Code::INVALID_PAYLOAD));
    }

    #[test]
    fn a_message_that_is_too_big_is_refused_by_its_head() {
        let head = frame(true, 2, &[0; 200])[..8].to_vec();
        assert_eq!(read(std::iter::once(head), 199), Err(Code::TOO_BIG));
        assert_eq!(whole(&[frame(false, 2, &[0; 999]), frame(true, 0, &[0; 2])]), Err(Code::TOO_BIG));
        assert!(whole(&[frame(false, 2, &[0; 999]), frame(true, 0, &[0; 1])]).is_ok());
    }

    proptest! {
        #[test]
        fn messages_read_the_same_whole_and_in_pieces(
            messages in prop::collection::vec((".{0,200}", 1..=2u8), 1..6),
            cut in 1..400usize,
            piece in 1..50usize,
        ) {
            let frames: Vec<Vec<u8>> = messages.iter().flat_map(|(text, opcode)| {
                let parts: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
                if parts.is_empty() {
                    return vec![frame(true, *opcode, b"")];
                }
                let last = parts.len() - 1;
                parts.iter().enumerate()
                    .map(|(at, part)| frame(at == last, if at == 0 { *opcode } else { 0 }, part)).collect::<Vec<_>>()
            }).collect();
            let expected: Vec<String> = messages.iter().map(|(text, opcode)| match opcode {
                1 => format!("Text({text:?})"),
                _ => format!("Binary({:?})", text.as_bytes()),
            }).collect();
            prop_assert_eq!(whole(&frames), Ok(expected.clone()));
            let bytes = frames.concat();
            prop_assert_eq!(read(bytes.chunks(piece).map(<[u8]>::to_vec), 1000), Ok(expected));
        }

        #[test]
        fn a_whole_message_is_what_would_come_of_it_in_pieces(
            payload in prop_oneof![".{0,60}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..300)],
            opcode in 1..=2u8,
            max in 0..300usize,
            behind: Vec<u8>,
        ) {
            let frame = frame(true, opcode, &payload);
            let mut bytes = [frame.as_slice(), &behind].concat();
            let heard = |read: Result<(usize, Option<Said>), Violation>| {
                read.map(|(used, said)| (used, said.map(|said| format!("{said:?}"))))
            };
            let mut room = Vec::new();
            let in_pieces = heard(Reader::default().next(&mut bytes.clone(), max, None, &mut room));
            match Reader::default().whole(&mut bytes, max) {
                Ok(None) => prop_assert_eq!(in_pieces, Err(Violation::too_big())),
                Ok(Some((used, said))) => prop_assert_eq!(in_pieces, heard(Ok((used, Some(said))))),
                Err(violation) => prop_assert_eq!(in_pieces, Err(violation)),
            }
            for cut in 0..frame.len() {
                prop_assert!(Reader::default().whole(&mut frame[..cut].to_vec(), 300).is_ok_and(|it| it.is_none()));
            }
        }

        #[test]
        fn nothing_else_is_a_whole_message(
            first in prop_oneof![Just(0x81), Just(0x82), any::<u8>()],
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [&[first], rest.as_slice()].concat();
            let is_so = Reader::default().whole(&mut bytes.clone(), 1000).is_ok_and(|it| it.is_none());
            let parsed = Header::parse(&bytes, true);
            let ought = !matches!(parsed, Ok(Some((header, start))) if header.fin
                && !header.compressed
                && matches!(header.opcode, Opcode::Text | Opcode::Binary)
                && header.length <= (bytes.len() - start) as u64);
            prop_assert_eq!(is_so, ought);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, piece in 1..9usize) {
            let _ = read(bytes.chunks(piece).map(<[u8]>::to_vec), 100);
        }
    }
}
