//! What this machine is, for the head of the report.

use std::fs;

/// The processor's name; its architecture where the kernel does not tell one.
#[must_use]
pub fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = |label: &str| {
        let line = told.lines().find(|line| line.starts_with(label))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    name("model name").or_else(|| name("Model")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The machine's memory in bytes; 0 where the kernel does not tell.
#[must_use]
pub fn memory_bytes() -> u64 {
    let told = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The kernel's name and release.
#[must_use]
pub fn kernel() -> String {
    let uname = rustix::system::uname();
    format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())
}
