//! The limit on open files.

use super::{Call, heard};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the soft RLIMIT_NOFILE to the hard one and returns it: how many fds this process may
/// have (getrlimit(2)).
pub fn raise_fd_limit() -> io::Result<u64> {
    let (soft, hard) = limits()?;
    if soft == hard {
        return Ok(hard);
    }
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let raised = heard(Call::Prlimit64, raised, 0, |telling, _| {
        telling.with(0).with("RLIMIT_NOFILE").with(words(hard, hard)).with("NULL");
    });
    raised.map_or(Ok(soft), |()| Ok(hard))
}

/// How many fds this process may have at present (getrlimit(2)); 0 if the kernel will not say.
pub fn fd_limit() -> u64 {
    limits().map_or(0, |(soft, _)| soft)
}

/// The soft and the hard limit (prlimit64 is what getrlimit(3) of glibc calls).
fn limits() -> io::Result<(u64, u64)> {
    let limits = getrlimit(Resource::RLIMIT_NOFILE);
    let (soft, hard) = limits.unwrap_or_default();
    heard(Call::Prlimit64, limits, 0, |telling, _| {
        telling.with(0).with("RLIMIT_NOFILE").with("NULL").with(words(soft, hard));
    })
}

fn words(soft: u64, hard: u64) -> String {
    let number = |limit: u64| match limit {
        libc::RLIM_INFINITY => "RLIM64_INFINITY".to_owned(),
        limit if limit.is_multiple_of(1024) => format!("{}*1024", limit / 1024),
        limit => limit.to_string(),
    };
    format!("{{rlim_cur={}, rlim_max={}}}", number(soft), number(hard))
}
