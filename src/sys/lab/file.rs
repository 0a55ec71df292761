//! Whole files: what /proc says, and what is to be kept.

use super::{Call, Fd, read, told, write};
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::path::Path;

/// Opens a file to be written from its beginning, and makes it if it is not there.
pub fn create_file(path: &Path) -> io::Result<Fd> {
    adopt(File::create(path))
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

/// A whole file: openat(2), read(2) until the end, close(2).
pub fn read_file(path: &str) -> io::Result<String> {
    let fd = adopt(File::open(path))?;
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match read(&fd, &mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            count => text.extend_from_slice(&piece[..count]),
        }
    }
}

fn adopt(opened: io::Result<File>) -> io::Result<Fd> {
    let _ = told(Call::Openat, 0);
    opened.map(|file| Fd::new(file.into_raw_fd() as usize))
}
