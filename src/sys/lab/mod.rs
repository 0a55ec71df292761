//! The system calls that only what stands around the server needs: clients, crowds, comparisons, exhibits.
//!
//! The rules are those of the folder above, but for one: nothing here is ever narrated.

mod child;
mod dial;
mod file;
mod machine;
mod wide_select;

pub use child::Child;
pub use dial::{dial, reset_on_close};
pub use file::{create_file, write_all};
pub use machine::{
    cpu_model, cpus, family_cpu_seconds, kernel_release, machine_cpu_seconds, memory_bytes,
    stderr_is_a_terminal,
};
pub use wide_select::{WideSet, pselect6};

// What the files beside this one stand on.
use super::{Call, Fd, POLLIN, PollFd, poll, read, write};
use std::io;

/// Counts a finished call, and turns its −1 into the error that errno holds.
fn told(call: Call, result: isize) -> io::Result<usize> {
    super::told(call, result, |_, _| {})
}
