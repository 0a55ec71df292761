//! What is put around what is said, for those who follow.

use super::Turn;
use crate::buffer::Encoded;
use crate::http::response::write_chunk;
use crate::websocket::deflate::Deflate;
use crate::websocket::frame::{self, Opcode};
use crate::websocket::message::Payload;

/// What is put around what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing.
    Plain,
    /// A chunk around all of it (RFC 9112 §7.1).
    Chunk,
    /// A WebSocket frame around each message.
    Frames,
    /// The same, compressed with a window of so many bits (RFC 7692).
    Deflated(u8),
}

impl Framing {
    /// Appends one message, or all there is to say, with what goes around it. (Only frames tell text
    /// from other bytes.)
    pub(super) fn write(self, out: &mut Encoded, opcode: Opcode, words: &[u8], deflate: &mut Deflate) {
        out.payload += self.append(&mut out.bytes, opcode, words, deflate);
    }

    /// Says it to this client alone.
    #[inline]
    pub(super) fn say(self, turn: &mut Turn<'_>, opcode: Opcode, words: &[u8]) {
        turn.out.payload += self.append(&mut turn.out.own, opcode, words, &mut turn.hub.deflate);
    }

    /// Says what came in a binary message to who sent it.
    #[inline(always)]
    pub(super) fn echo(self, turn: &mut Turn<'_>, payload: Payload<'_>) {
        if self == Framing::Frames {
            frame::write_header(&mut turn.out.own, Opcode::Binary, payload.len());
            payload.append_to(&mut turn.out.own);
            turn.out.payload += payload.len();
            return;
        }
        self.say(turn, Opcode::Binary, &payload.plain());
    }

    /// Appends it, and returns how many of the bytes are payload.
    #[inline(always)]
    fn append(self, out: &mut Vec<u8>, opcode: Opcode, words: &[u8], deflate: &mut Deflate) -> usize {
        match self {
            Framing::Plain => out.extend_from_slice(words),
            Framing::Chunk => write_chunk(out, words),
            Framing::Frames => frame::write(out, opcode, words),
            Framing::Deflated(bits) => return deflate.write_message(out, opcode, words, bits),
        }
        words.len()
    }
}
