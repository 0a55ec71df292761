//! The system calls that only what stands around the server needs: clients, crowds, comparisons, exhibits.
//!
//! The rules are those of the folder above, but for one: nothing here is ever narrated.

mod affinity;
mod alarm;
mod child;
mod client;
mod cpu;
mod descriptors;
mod dial;
mod file;
mod fork;
mod machine;
mod memory;
mod shared_port;
mod soft_limit;
mod standard;
mod wide_select;

pub use affinity::{Pinned, allowed_cpus, pin_process};
pub use alarm::Alarm;
pub use child::Child;
pub use client::{connect, connect_result, shrink_receive_buffer};
pub use cpu::{process_cpu, thread_cpu};
pub use descriptors::{dup, dup_from, error_name, pipe, seek_to_end, socketpair, unread};
pub use dial::{dial, reset_on_close, set_nonblocking};
pub use file::{create_file, read_file, write_all};
pub use fork::{Forked, fork};
pub use machine::{
    cpu_model, cpus, family_cpu_seconds, kernel_release, machine_cpu_seconds, stderr_is_a_terminal,
};
pub use memory::{Slab, anonymous_bytes, memory_bytes, own_bytes, slab_bytes, slabs, tcp_buffer_bytes};
pub use shared_port::{listen_together, set_nodelay};
pub use soft_limit::SoftLimit;
pub use standard::{PIPE_BUF, stderr_text, stderr_width, stdin_fd, stdout_fd};
pub use wide_select::{WideSet, pselect6};

// What the files beside this one stand on.
use super::companion::die_with;
use super::process::{own_cpu_seconds, page_size, read_whole, ticks_per_second};
use super::{Call, Fd, POLLIN, PollFd, poll, read, write};
use std::io;

/// Counts a finished call, and turns its −1 into the error that errno holds.
fn told(call: Call, result: isize) -> io::Result<usize> {
    super::told!(call, result, |_, _| {})
}

/// setsockopt(2). `T` is what the option's page in section 7 names.
fn set_option<T>(fd: &Fd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads at most `length` bytes from the pointer on, all of them `value`'s.
    let result =
        unsafe { libc::setsockopt(fd.number(), level, option, std::ptr::from_ref(value).cast(), length) };
    told(Call::Setsockopt, result as isize).map(drop)
}
