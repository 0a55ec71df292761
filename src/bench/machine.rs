//! Where a bench ran, and whether the machine had other things to do.

use crate::sys::{self, Moment};
use serde_json::{Value, json};

/// What a figure depends on besides the program.
#[derive(Clone, Debug)]
pub struct Machine {
    kernel: String,
    processor: String,
    processors: usize,
    memory: Option<u64>,
    version: &'static str,
    optimised: bool,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let unknown = || "unknown".to_owned();
        Machine {
            kernel: sys::kernel_release().unwrap_or_else(unknown),
            processor: sys::cpu_model().unwrap_or_else(unknown),
            processors: sys::cpus(),
            memory: sys::memory_bytes(),
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        let memory =
            self.memory.map_or(String::new(), |bytes| format!(", {:.1} GiB", bytes as f64 / 2f64.powi(30)));
        let Machine { kernel, processor, processors, version, .. } = self;
        let build = if self.optimised { "release" } else { "debug" };
        format!(
            "Linux {kernel} {}, {processors} × {processor}{memory}; doorbell {version}, {build} build",
            std::env::consts::ARCH
        )
    }

    /// As an object.
    pub fn json(&self) -> Value {
        json!({
            "kernel": self.kernel, "architecture": std::env::consts::ARCH, "processor": self.processor,
            "processors": self.processors, "memory_bytes": self.memory, "version": self.version,
            "optimised": self.optimised,
        })
    }
}

/// What the machine did while a bench ran.
pub struct Load {
    start: Moment,
    machine: Option<f64>,
    family: Option<f64>,
}

/// How much of the machine others had.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    /// CPU seconds of everybody but us and our children, and time that the hypervisor gave to others.
    seconds: f64,
    /// Seconds by the clock.
    elapsed: f64,
}

impl Load {
    /// Looks at the machine before.
    pub fn begin() -> Load {
        Load { start: sys::moment(), machine: sys::machine_cpu_seconds(), family: sys::family_cpu_seconds() }
    }

    /// And after, when the children were waited for.
    pub fn end(self) -> Others {
        let since = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
        let machine = since(self.machine, sys::machine_cpu_seconds());
        let family = since(self.family, sys::family_cpu_seconds());
        let others = machine.zip(family).map_or(0.0, |(machine, family)| machine - family);
        Others { seconds: others.max(0.0), elapsed: self.start.elapsed().as_secs_f64() }
    }
}

impl Others {
    /// What to say of it, if others had more than a tenth of a processor (and more than the ticks in which
    /// the kernel counts can tell).
    pub fn warning(&self) -> Option<String> {
        let share = self.seconds / self.elapsed.max(1e-9);
        (share > 0.1 && self.seconds > 0.1).then(|| {
            format!(
                "the machine was busy: others had {:.0} % of a processor meanwhile; times may be too long",
                share * 100.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_told_of() {
        let busy = Others { seconds: 2.0, elapsed: 4.0 };
        assert!(busy.warning().unwrap().contains("others had 50 % of a processor"));
        assert_eq!(Others { seconds: 0.3, elapsed: 4.0 }.warning(), None, "too little of it");
        assert_eq!(Others { seconds: 0.02, elapsed: 0.05 }.warning(), None, "too short to tell");
    }

    #[test]
    fn the_machine_is_known() {
        let line = Machine::here().line();
        assert!(line.starts_with("Linux ") && !line.contains("Linux unknown"), "{line}");
    }
}
