//! What `kinetic doctor` looks at in the machine itself: processor, memory, address space, disk.

use std::path::Path;
use std::process::Command;

use super::Check;
use crate::config::Config;
use crate::{machine, render};

/// Less free memory than this is worth a warning, in bytes.
const MEMORY_BYTES_LOW: u64 = 512 << 20;
/// Less free disk than this is worth a warning, in bytes.
const DISK_BYTES_LOW: u64 = 1 << 30;
/// Address space one sandbox of the pool reserves beyond its memory: guard regions and the compiler's assumptions.
const SANDBOX_BYTES: u64 = 8 << 30;

/// Every check of this file.
pub fn all(config: &Config) -> Vec<Check> {
    vec![processor(), memory(), address_space(config), disk(&config.host.data)]
}

fn processor() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let arch = std::env::consts::ARCH;
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtual_machine = info.split_whitespace().any(|flag| flag == "hypervisor");
    let place = if virtual_machine {
        "in a virtual machine"
    } else {
        "on hardware or a machine that hides it"
    };
    let detail = format!("{arch}, {cores} cores for this process, {place}");
    if matches!(arch, "x86_64" | "aarch64") {
        Check::fine("processor", detail)
    } else {
        Check::warning("processor", detail, "Kinetic is tested on x86_64 and aarch64.")
    }
}

fn memory() -> Check {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some(mut free) = machine::kilobytes(&info, "MemAvailable:") else {
        return Check::fine("memory", "this system does not say");
    };
    // A container may have less than the machine.
    if let (Some(most), Some(used)) = (machine::container("memory.max"), machine::container("memory.current")) {
        free = free.min(most.saturating_sub(used));
    }
    let detail = format!("{} free", render::bytes(free));
    if free < MEMORY_BYTES_LOW {
        Check::warning(
            "memory",
            detail,
            "Lower engine.pool_instances and limits.ceiling.memory_bytes, or give it more.",
        )
    } else {
        Check::fine("memory", detail)
    }
}

/// The pool reserves address space it never touches; a bound on it means memory is taken anew for each call.
fn address_space(config: &Config) -> Check {
    let name = "address space";
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    let bound = soft.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let wanted = u64::from(config.engine.pool_instances).saturating_mul(SANDBOX_BYTES);
    if let Some(bound) = bound.filter(|bound| *bound < wanted) {
        let detail = format!(
            "bounded at {}; a pool of {} wants about {}",
            render::bytes(bound),
            config.engine.pool_instances,
            render::bytes(wanted)
        );
        return Check::warning(
            name,
            detail,
            "Raise it with `ulimit -v unlimited`, or lower engine.pool_instances.",
        );
    }
    let overcommit = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    if overcommit.trim() == "2" {
        let fix = "Set vm.overcommit_memory to 0 or 1, or lower engine.pool_instances.";
        return Check::warning(
            name,
            "the system reserves memory for every mapping (vm.overcommit_memory = 2)",
            fix,
        );
    }
    Check::fine(name, "unbounded")
}

fn disk(data: &Path) -> Check {
    let name = "disk";
    // The nearest folder that is there decides which disk it will be.
    let there = data
        .ancestors()
        .find(|path| path.exists())
        .filter(|path| !path.as_os_str().is_empty());
    let folder = there.unwrap_or(Path::new("."));
    let asked = Command::new("df").arg("-Pk").arg(folder).output();
    let free = asked
        .ok()
        .and_then(|answer| available(&String::from_utf8_lossy(&answer.stdout)));
    match free {
        None => Check::warning(
            name,
            "df does not say how much is free",
            "Make sure that there is room for the data folder.",
        ),
        Some(free) if free < DISK_BYTES_LOW => {
            let detail = format!("{} free where {} lies", render::bytes(free), data.display());
            Check::warning(name, detail, "Make room: store and code cache grow with every version.")
        }
        Some(free) => Check::fine(
            name,
            format!("{} free where {} lies", render::bytes(free), data.display()),
        ),
    }
}

/// The fourth column of the last line that `df -Pk` prints, in bytes.
fn available(text: &str) -> Option<u64> {
    text.lines()
        .last()?
        .split_whitespace()
        .nth(3)?
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::kilobytes;

    #[test]
    fn what_the_system_prints_is_read() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 40 60 40% /\n";
        assert_eq!((available(df), available("")), (Some(61_440), None));
        assert_eq!(
            kilobytes("MemTotal: 2 kB\nMemAvailable:   3 kB\n", "MemAvailable:"),
            Some(3_072)
        );
    }
}
