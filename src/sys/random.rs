//! Chance, from the kernel: getrandom(2).

use super::narration::{hexadecimal, quoted};
use super::{Call, told};
use std::io;

/// 64 bits that nobody can guess.
pub fn random_u64() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the kernel writes at most 8 bytes, all of them `bytes`'s. So few always come whole
    // (getrandom(2): up to 256 bytes are never cut short).
    let result = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    told!(Call::Getrandom, result, |telling, count| {
        telling.with(quoted(&bytes[..count], hexadecimal)).with(bytes.len()).with(0);
    })?;
    Ok(u64::from_ne_bytes(bytes))
}
