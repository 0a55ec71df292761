//! What the kernel says of the machine, from /proc (proc(5)).

use super::file::read_file;
use super::{Call, own_cpu_seconds, ticks_per_second, told};

/// The kernel's release, such as `6.1.0-18-amd64`.
pub fn kernel_release() -> Option<String> {
    read_file("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned())
}

/// What the first processor calls itself.
pub fn cpu_model() -> Option<String> {
    let text = read_file("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// On how many processors this process may run (sched_getaffinity(2)).
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// CPU time that the whole machine has spent on anything since it started, in seconds, and what the
/// hypervisor has kept from it (the first line of `/proc/stat`, without `idle` and `iowait`).
pub fn machine_cpu_seconds() -> Option<f64> {
    let text = read_file("/proc/stat").ok()?;
    let fields: Vec<f64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user time already.
    let &[user, nice, system, _, _, irq, softirq, steal, ..] = fields.as_slice() else { return None };
    Some((user + nice + system + irq + softirq + steal) / ticks_per_second())
}

/// CPU time of this process and of its children that were waited for, in seconds (`/proc/self/stat`,
/// fields 14 to 17).
pub fn family_cpu_seconds() -> Option<f64> {
    own_cpu_seconds(4)
}

/// Whether somebody watches standard error: isatty(3).
pub fn stderr_is_a_terminal() -> bool {
    use std::io::IsTerminal;
    let answer = std::io::stderr().is_terminal();
    let _ = told(Call::Ioctl, 0);
    answer
}
