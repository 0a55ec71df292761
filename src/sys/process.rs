//! What the kernel says of this process, from /proc/self (proc(5)).

use super::narration::{octal, quoted};
use super::{Call, Fd, heard, read, told};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

/// getpid(2): the id of this process.
pub fn process_id() -> u32 {
    // SAFETY: no pointers are involved, and it cannot fail.
    let result = unsafe { libc::getpid() };
    told!(Call::Getpid, result as isize, |_, _| {}).unwrap_or(0) as u32
}

/// How many fds are open. Since Linux 6.2 the size of `/proc/self/fd` is their number; before
/// that it was 0, and they are counted one by one.
pub fn open_fds() -> Option<u64> {
    const FOLDER: &CStr = c"/proc/self/fd";
    match file_status(FOLDER, true).ok()?.st_size {
        0 => {
            let mut listing = OpenFds::begin().ok()?;
            let mut fds = Vec::new();
            while listing.next(&mut fds).ok()? {}
            Some(fds.len() as u64)
        }
        size => u64::try_from(size).ok(),
    }
}

/// newfstatat(2): what stat(2) of glibc calls; `follow` a link, or look at the link itself.
pub(super) fn file_status(path: &CStr, follow: bool) -> io::Result<libc::stat> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::zeroed();
    let (flag, flag_name) =
        if follow { (0, "0") } else { (libc::AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW") };
    // SAFETY: the path ends in NUL, and the kernel writes one stat, which is `status`.
    let result = unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), status.as_mut_ptr(), flag) };
    // SAFETY: all-zero bytes are a valid stat (integers only), and so is what the kernel wrote.
    let status = unsafe { status.assume_init() };
    told!(Call::Newfstatat, result as isize, |telling, _| {
        let kind = match status.st_mode & libc::S_IFMT {
            libc::S_IFDIR => "S_IFDIR",
            libc::S_IFSOCK => "S_IFSOCK",
            libc::S_IFREG => "S_IFREG",
            _ => "S_IF...",
        };
        let (mode, size) = (status.st_mode & 0o7777, status.st_size);
        telling.with("AT_FDCWD").path(&path.to_string_lossy());
        telling.with(format!("{{st_mode={kind}|{mode:04o}, st_size={size}, ...}}")).with(flag_name);
    })?;
    Ok(status)
}

/// Resident memory in bytes: the second figure of `/proc/self/statm`, in pages.
pub fn resident_bytes() -> Option<u64> {
    let statm = read_small("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size()?)
}

/// How many bytes a page of memory has.
pub(super) fn page_size() -> Option<u64> {
    // SAFETY: no pointers are involved.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(page).ok()
}

/// CPU time used so far, in user mode and in the kernel, in seconds (`/proc/self/stat`, fields 14
/// and 15, in clock ticks).
pub fn cpu_seconds() -> Option<f64> {
    own_cpu_seconds(2)
}

/// The sum of so many fields of `/proc/self/stat`, from 14 on, in seconds: what this process has used in user mode
/// and in the kernel, and then its children that were waited for, in both.
pub(super) fn own_cpu_seconds(fields: usize) -> Option<f64> {
    let stat = read_small("/proc/self/stat")?;
    // Field 2 is the program's name in brackets and may hold anything; field 3 follows it.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let times = after_name.split_whitespace().skip(11).take(fields);
    let ticks: f64 = times.map(|time| time.parse::<f64>().ok()).sum::<Option<f64>>()?;
    Some(ticks / ticks_per_second())
}

/// How many of its ticks the kernel counts in a second (sysconf(3)).
pub(super) fn ticks_per_second() -> f64 {
    // SAFETY: no pointers are involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks as f64
}

/// What an fd is, as the kernel names it: readlink(2) of `/proc/self/fd/N`, such as `/dev/null`,
/// `socket:[4711]` or `anon_inode:[eventpoll]`.
pub fn fd_target(fd: i32) -> io::Result<String> {
    let path = format!("/proc/self/fd/{fd}\0");
    let mut target = [0u8; 256];
    // SAFETY: the path ends in NUL, and the kernel writes at most `len` bytes, all of them `target`'s.
    let result = unsafe { libc::readlink(path.as_ptr().cast(), target.as_mut_ptr().cast(), target.len()) };
    let count = told!(Call::Readlink, result, |telling, count| {
        telling.path(path.trim_end_matches('\0')).with(quoted(&target[..count], octal)).with(target.len());
    })?;
    Ok(String::from_utf8_lossy(&target[..count]).into_owned())
}

/// What the kernel keeps for an fd: the whole of `/proc/self/fdinfo/N`. For an epoll instance that is its
/// interest list, a line for each fd, made in one go by the first read(2): some ten milliseconds for ten
/// thousand.
pub fn fd_info(fd: i32) -> io::Result<String> {
    String::from_utf8(read_whole(&format!("/proc/self/fdinfo/{fd}"))?).map_err(io::Error::other)
}

/// A whole file, however long: openat(2), read(2) until the end, close(2).
pub(super) fn read_whole(path: &str) -> io::Result<Vec<u8>> {
    let file = open_file(path)?;
    let (mut text, mut length) = (vec![0; 64 * 1024], 0);
    loop {
        let count = read(&file, &mut text[length..])?;
        length += count;
        if count == 0 {
            text.truncate(length);
            return Ok(text);
        }
        if length == text.len() {
            text.resize(length * 2, 0);
        }
    }
}

/// A listing of `/proc/self/fd` under way: as many entries at a time as one getdents64(2) returns.
#[derive(Debug)]
pub struct OpenFds {
    folder: Fd,
}

impl OpenFds {
    /// How many bytes of entries are fetched at a time: some 170 fds.
    const SLICE: usize = 4096;

    /// Opens the folder.
    pub fn begin() -> io::Result<OpenFds> {
        const FLAGS: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path ends in NUL and outlives the call.
        let result = unsafe { libc::openat(libc::AT_FDCWD, c"/proc/self/fd".as_ptr(), FLAGS) };
        let folder = told!(Call::Openat, result as isize, |telling, _| {
            telling.with("AT_FDCWD").path("/proc/self/fd").with("O_RDONLY|O_CLOEXEC|O_DIRECTORY");
        })?;
        Ok(OpenFds { folder: Fd::new(folder) })
    }

    /// Appends the next fds, less the listing's own; `false` when there are no more.
    pub fn next(&mut self, fds: &mut Vec<i32>) -> io::Result<bool> {
        let mut buffer = [0u64; OpenFds::SLICE / 8];
        let number = self.folder.number();
        let (pointer, length) = (buffer.as_mut_ptr(), OpenFds::SLICE);
        // SAFETY: the kernel writes at most `length` bytes, all of them `buffer`'s.
        let result = unsafe { libc::syscall(libc::SYS_getdents64, number, pointer, length) };
        // SAFETY: integers may be looked at as bytes; the slice is as long as `buffer`.
        let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) };
        let count = told!(Call::Getdents64, result as isize, |telling, count| {
            let entries = entries(&bytes[..count]).count();
            telling.with(number).with(format!("{pointer:p} /* {entries} entries */")).with(length);
        })?;
        let named = entries(&bytes[..count]).filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
        fds.extend(named.filter(|&fd: &i32| fd != number));
        Ok(count > 0)
    }
}

/// The names in what getdents64(2) returned: each entry says how long it is in bytes 16 and 17, and its
/// name begins at byte 19 and ends in NUL.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
        let (entry, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        entry.get(19..)?.split(|&byte| byte == 0).next()
    })
}

/// A small file of /proc: openat(2), read(2), close(2).
fn read_small(path: &str) -> Option<String> {
    let file = open_file(path).ok()?;
    let mut buffer = [0; 2048];
    let count = read(&file, &mut buffer).ok()?;
    String::from_utf8(buffer[..count].to_vec()).ok()
}

/// openat(2), to read.
pub fn open_file(path: &str) -> io::Result<Fd> {
    let file = File::open(path);
    let number = file.as_ref().map_or(0, |file| file.as_raw_fd() as usize);
    let file = heard(Call::Openat, file, number, |telling, _| {
        telling.with("AT_FDCWD").path(path).with("O_RDONLY|O_CLOEXEC");
    })?;
    Ok(Fd::new(file.into_raw_fd() as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_holds_every_open_fd_but_its_own() {
        let spare = open_file("/dev/null").unwrap();
        let mut listing = OpenFds::begin().unwrap();
        let mut fds = Vec::new();
        while listing.next(&mut fds).unwrap() {}
        assert!(fds.contains(&spare.number()), "{fds:?}");
        assert!(!fds.contains(&listing.folder.number()), "{fds:?}");
        assert_eq!(fd_target(spare.number()).unwrap(), "/dev/null");
        assert!(fd_target(-1).is_err());
    }
}
