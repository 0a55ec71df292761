//! RFC 6455 as values: the opening handshake, frames, messages and the closing handshake.
//!
//! The rules of this folder:
//!
//! - Bytes in, values out; nothing here knows HTTP, a socket, a clock or a channel.
//! - A peer that breaks the protocol is a [`close::Code`] and a sentence, never a panic.

pub mod close;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod message;
