//! The soft limit on open files, for a while: setrlimit(2). It is this process's own; the shell keeps its own.

use super::{Call, told};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// The soft limit on open files (RLIMIT_NOFILE) is another one until this is dropped.
#[derive(Debug)]
pub struct SoftLimit {
    before: u64,
    hard: u64,
}

impl SoftLimit {
    /// No fd whose number is `count` or more can be opened; what is open stays open.
    pub fn at_most(count: u64) -> io::Result<SoftLimit> {
        SoftLimit::set(|soft| soft.min(count))
    }

    /// fds whose numbers are below `count` can be opened. EINVAL if the hard limit is lower than that.
    pub fn at_least(count: u64) -> io::Result<SoftLimit> {
        SoftLimit::set(|soft| soft.max(count))
    }

    fn set(choose: impl FnOnce(u64) -> u64) -> io::Result<SoftLimit> {
        let _ = told(Call::Prlimit64, 0);
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let _ = told(Call::Prlimit64, 0);
        setrlimit(Resource::RLIMIT_NOFILE, choose(before), hard)?;
        Ok(SoftLimit { before, hard })
    }
}

impl Drop for SoftLimit {
    fn drop(&mut self) {
        let _ = told(Call::Prlimit64, 0);
        // OK to ignore because what was allowed before, under the same hard limit, is allowed still.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.before, self.hard);
    }
}
