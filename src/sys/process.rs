//! What the kernel says of this process, from /proc/self (proc(5)).

use super::{Call, Fd, read, told};
use std::fs::{self, File};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::MetadataExt;

/// How many fds are open. Since Linux 6.2 the size of `/proc/self/fd` is their number; before
/// that it was 0, and they are counted one by one.
pub fn open_fds() -> Option<u64> {
    let _ = told(Call::Stat, 0);
    let size = fs::metadata("/proc/self/fd").ok()?.size();
    if size > 0 {
        return Some(size);
    }
    // The listing holds the fd of the listing itself.
    fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1))
}

/// Resident memory in bytes: the second figure of `/proc/self/statm`, in pages.
pub fn resident_bytes() -> Option<u64> {
    let statm = read_whole("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: no pointers are involved.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

/// CPU time used so far, in user mode and in the kernel, in seconds (`/proc/self/stat`, fields 14
/// and 15, in clock ticks).
pub fn cpu_seconds() -> Option<f64> {
    let stat = read_whole("/proc/self/stat")?;
    // Field 2 is the program's name in brackets and may hold anything; field 3 follows it.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // SAFETY: no pointers are involved.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some((user + system) / per_second as f64)
}

/// A small file of /proc: openat(2), read(2), close(2).
fn read_whole(path: &str) -> Option<String> {
    let file = File::open(path);
    let _ = told(Call::Openat, 0);
    let fd = Fd::new(file.ok()?.into_raw_fd() as usize);
    let mut buffer = [0; 2048];
    let count = read(&fd, &mut buffer).ok()?;
    String::from_utf8(buffer[..count].to_vec()).ok()
}
