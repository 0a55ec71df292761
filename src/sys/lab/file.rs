//! Whole files: what /proc says, and what is to be kept.

use super::{Call, Fd, read_whole, told, write};
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::path::Path;

/// Opens a file to be written from its beginning, and makes it if it is not there.
pub fn create_file(path: &Path) -> io::Result<Fd> {
    let created = File::create(path);
    let _ = told(Call::Openat, 0);
    created.map(|file| Fd::new(file.into_raw_fd() as usize))
}

/// write(2), until all of it is written.
pub fn write_all(fd: &Fd, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = write(fd, rest)?;
        rest = &rest[count..];
    }
    Ok(())
}

/// A whole file, as text.
pub fn read_file(path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_whole(path)?).into_owned())
}
