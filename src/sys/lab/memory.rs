//! Memory as the kernel accounts for it, from /proc (proc(5)).

use super::file::read_file;
use super::page_size;

/// The memory of the machine in bytes.
pub fn memory_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

/// Objects of one kind in the kernel's own memory (`/proc/slabinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slab {
    /// Which kind; kinds of one size may share a cache, which then has the name of one of them.
    pub name: String,
    /// How many are in use, give or take those that a processor keeps at hand.
    pub active: u64,
    /// Bytes of each.
    pub bytes: u64,
}

/// Each kind of object; `None` for who may not read it: only root may.
pub fn slabs() -> Option<Vec<Slab>> {
    // Two lines of heading; then name, active objects, all objects, size.
    let text = read_file("/proc/slabinfo").ok()?;
    let slab = |line: &str| -> Option<Slab> {
        let mut fields = line.split_whitespace();
        let name = fields.next()?.to_owned();
        let active = fields.next()?.parse().ok()?;
        Some(Slab { name, active, bytes: fields.nth(1)?.parse().ok()? })
    };
    text.lines().skip(2).map(slab).collect()
}

/// Bytes of all such objects together, of the whole machine (`Slab` in `/proc/meminfo`).
pub fn slab_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "Slab:")
}

/// Bytes that TCP has set aside for what is in sockets' buffers, of the whole machine (`/proc/net/sockstat`,
/// in pages).
pub fn tcp_buffer_bytes() -> Option<u64> {
    let text = read_file("/proc/net/sockstat").ok()?;
    let line = text.lines().find(|line| line.starts_with("TCP:"))?;
    let (_, pages) = line.split_once(" mem ")?;
    Some(pages.trim().parse::<u64>().ok()? * page_size()?)
}

/// Resident memory of a process that is no file's: its heap and stack, in bytes.
pub fn anonymous_bytes(pid: u32) -> Option<u64> {
    kibibytes(&format!("/proc/{pid}/status"), "RssAnon:")
}

/// The same with what it shares with others of its kind (RssShmem): where a server that could have several worker
/// processes keeps what they have in common.
pub fn own_bytes(pid: u32) -> Option<u64> {
    Some(anonymous_bytes(pid)? + kibibytes(&format!("/proc/{pid}/status"), "RssShmem:")?)
}

/// A line such as `Slab:   179448 kB`, in bytes.
fn kibibytes(path: &str, name: &str) -> Option<u64> {
    let text = read_file(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much_there_is() {
        assert!(slab_bytes() > Some(0));
        assert!(tcp_buffer_bytes().is_some());
        assert!(anonymous_bytes(std::process::id()) > Some(0));
        assert_eq!(anonymous_bytes(0), None);
        assert!(own_bytes(std::process::id()) > Some(0));
        if let Some(slabs) = slabs() {
            let dentries = slabs.iter().find(|slab| slab.name == "dentry").unwrap();
            assert!(dentries.bytes >= 64 && dentries.active > 0, "{dentries:?}");
        }
    }
}
