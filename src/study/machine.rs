//! What this machine is, for the head of the report, and which of its processors server and tool keep to.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processor's name; its architecture where the kernel does not tell one.
pub(super) fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = |label: &str| {
        let line = told.lines().find(|line| line.starts_with(label))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    name("model name").or_else(|| name("Model")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The machine's memory in bytes; 0 where the kernel does not tell.
pub(super) fn memory_bytes() -> u64 {
    let told = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The kernel's name and release.
pub(super) fn kernel() -> String {
    let uname = rustix::system::uname();
    format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())
}

/// Which processors server and tool keep to, so that neither takes the other's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    server: CpuSet,
    tool: CpuSet,
}

impl Placement {
    /// The server on the first processor that this process may use and the tool on the last; `None` if there is one only,
    /// or the system does not say.
    pub(super) fn of_this_machine() -> Option<Self> {
        let allowed = sched_getaffinity(None).ok()?;
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let (&[first, ..], &[.., last]) = (cpus.as_slice(), cpus.as_slice()) else { return None };
        let one = |cpu| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        };
        (first != last).then(|| Self { server: one(first), tool: one(last) })
    }

    /// Moves this process to the server's processor, where a child of it begins.
    pub(super) fn move_to_servers(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.server)?)
    }

    /// Moves this process to the tool's processor.
    pub(super) fn move_to_tools(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.tool)?)
    }
}

/// Processors that this process may use.
pub(super) fn allowed_cpus() -> usize {
    sched_getaffinity(None).map_or(1, |allowed| allowed.count() as usize)
}
