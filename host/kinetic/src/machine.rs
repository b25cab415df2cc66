//! What the machine has, or the container this process runs in.

use std::path::Path;

/// All memory of the machine, or of the container where that is less, in bytes; none where the system does not say.
pub fn memory_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = kilobytes(&info, "MemTotal:")?;
    Some(container("memory.max").map_or(machine, |most| most.min(machine)))
}

/// A number that the container's own bounds have; none when there are none: without a bound the file says "max".
pub fn container(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok()?;
    text.trim().parse().ok()
}

/// A value of /proc/meminfo, in bytes.
pub fn kilobytes(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1_024)
}
