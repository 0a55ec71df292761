//! Chance for the conversations: seeded once, so that a test can have the same twice.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha1::{Digest, Sha1};

/// A sequence that nobody can guess who does not know the seed: SHA-1 over seed and counter.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    counter: u64,
}

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Random {
        Random { seed, counter: 0 }
    }

    fn next(&mut self) -> [u8; 20] {
        self.counter += 1;
        let digest =
            Sha1::new().chain_update(self.seed.to_ne_bytes()).chain_update(self.counter.to_ne_bytes());
        digest.finalize().into()
    }

    /// A name for a browser: 22 characters of `A-Za-z0-9_-`.
    pub fn browser_id(&mut self) -> String {
        URL_SAFE_NO_PAD.encode(&self.next()[..16])
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bytes = self.next();
        u64::from_ne_bytes(bytes[..8].try_into().expect("OK because 8 of 20 bytes are 8")) % bound
    }
}
