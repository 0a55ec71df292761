//! The opening handshake: proof that the server has read the request (RFC 6455 §4.2.2).

use super::deflate::Agreement;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What a client offers in its opening handshake.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// `Connection` names `upgrade`.
    pub connection_upgrade: bool,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a str>,
}

/// What is wrong with an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `Connection` does not name `upgrade`.
    Connection,
    /// The version is missing or not 13.
    Version,
    /// The key is missing or not 16 bytes in base64.
    Key,
}

/// What an opening handshake is answered with.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    /// The proof that it was read.
    pub accept: Accept,
    /// How messages are compressed, if they are.
    pub deflate: Option<Agreement>,
}

/// The value of `Sec-WebSocket-Accept`: 28 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept([u8; 28]);

impl Accept {
    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("OK because base64 is ASCII")
    }
}

/// Checks an offer and answers it.
pub fn check(offer: &Offer<'_>) -> Result<Accept, Refusal> {
    if !offer.connection_upgrade {
        return Err(Refusal::Connection);
    }
    if offer.version != Some("13") {
        return Err(Refusal::Version);
    }
    let key = offer.key.ok_or(Refusal::Key)?;
    match STANDARD.decode(key) {
        Ok(nonce) if nonce.len() == 16 => Ok(accept(key)),
        _ => Err(Refusal::Key),
    }
}

/// base64(SHA-1(key + GUID)): nothing secret, but nobody computes it by accident, so a server that
/// does has understood (RFC 6455 §1.3).
fn accept(key: &str) -> Accept {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut characters = [0; 28];
    STANDARD.encode_slice(digest, &mut characters).expect("OK because 20 bytes are 28 characters");
    Accept(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer<'static> =
        Offer { connection_upgrade: true, version: Some("13"), key: Some("dGhlIHNhbXBsZSBub25jZQ==") };

    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        assert_eq!(check(&OFFER).unwrap().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(check(&Offer { connection_upgrade: false, ..OFFER }), Err(Refusal::Connection));
        for version in [None, Some("8"), Some("13, 8"), Some("")] {
            assert_eq!(check(&Offer { version, ..OFFER }), Err(Refusal::Version));
        }
        for key in
            [None, Some(""), Some("AAAA"), Some("dGhlIHNhbXBsZSBub25jZQ"), Some("!GhlIHNhbXBsZSBub25jZQ==")]
        {
            assert_eq!(check(&Offer { key, ..OFFER }), Err(Refusal::Key));
        }
    }
}
