//! The limit on open files.

use super::{Call, told};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the soft RLIMIT_NOFILE to the hard one and returns it: how many fds this process may
/// have (getrlimit(2)).
pub fn raise_fd_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    told(Call::Getrlimit, 0)?;
    if soft == hard {
        return Ok(hard);
    }
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    told(Call::Getrlimit, if raised.is_ok() { 0 } else { -1 }).map_or(Ok(soft), |_| Ok(hard))
}

/// How many fds this process may have at present (getrlimit(2)); 0 if the kernel will not say.
pub fn fd_limit() -> u64 {
    let _ = told(Call::Getrlimit, 0);
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}
