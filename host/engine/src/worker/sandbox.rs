//! What a worker process takes from itself before it runs a stranger's code: memory, files, threads, system calls.
//!
//! What the kernel does not grant is named, not passed over: the host warns, and `kinetic doctor` shows it.

use std::fs;
use std::path::Path;

use rlimit::Resource;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use seccompiler::TargetArch;
use serde_json::{Value, json};

/// Descriptors a worker may have: its socket, the runtime's, and one for each memory image of a loaded component.
const FILES_MAX: u64 = 16_384;
/// Descriptors that came with the process by mistake and can be closed off; a filter has room for so many.
const FOREIGN_MAX: usize = 16;
/// `EPERM`: what a system call beyond the list is answered.
const NOT_PERMITTED: u32 = 1;
/// `PAGEMAP_SCAN`, by which wasmtime finds the pages a call has touched.
const PAGEMAP_SCAN: u64 = 0xC060_6610;

/// System calls that take no descriptor, or whose descriptor was checked when it was made.
const PLAIN: [&str; 32] = [
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "epoll_ctl",
    "epoll_pwait",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "madvise",
    "membarrier",
    "memfd_create",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "shutdown",
    "sigaltstack",
    "uname",
];
/// System calls of x86 that newer processors have other names for.
const PLAIN_ON_X86: [&str; 2] = ["epoll_wait", "poll"];
/// System calls that do something with a descriptor, and which argument it is.
const ON_DESCRIPTORS: [(&str, u8); 11] = [
    ("fcntl", 0),
    ("fstat", 0),
    ("ftruncate", 0),
    ("ioctl", 0),
    ("mmap", 4),
    ("read", 0),
    ("readv", 0),
    ("recvfrom", 0),
    ("sendto", 0),
    ("write", 0),
    ("writev", 0),
];

/// Descriptors beyond the first three. Asked before this process opens any, these are what it was started with.
pub(crate) fn inherited() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let is_the_folder = |path: &Path| fs::read_link(path).is_ok_and(|target| target.ends_with("fd"));
    entries
        .flatten()
        .filter(|entry| !is_the_folder(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect()
}

/// Confines this process for good; call it when all threads are there and all files are open. `foreign` are descriptors
/// that no call may use. Gives what could not be had.
pub(crate) fn confine(memory_bytes_max: u64, foreign: &[u32]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut note = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            missing.push(format!("{what}: {why}"));
        }
    };
    note("core files off", lower(Resource::CORE, 0));
    note("few files", lower(Resource::NOFILE, FILES_MAX));
    // Not 0: the memory images of components are files that have no name.
    note("small files", lower(Resource::FSIZE, memory_bytes_max));
    note("no processes", lower(Resource::NPROC, 0));
    // What is mapped by now is the engine's own. Guests may have as much again as they are promised: a slot that is used
    // again holds what its last call had until then, and arguments and results lie beside them.
    note(
        "bounded memory",
        data_bytes().and_then(|own| lower(Resource::DATA, own.saturating_add(memory_bytes_max.saturating_mul(2)))),
    );
    // No other process of this user may look into this one.
    note(
        "closed to debuggers",
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| e.to_string()),
    );
    note("few system calls", filter(foreign));
    missing
}

/// DATA, not AS: the pool of sandboxes reserves address space it never touches.
fn data_bytes() -> Result<u64, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes.saturating_mul(1_024))
        .ok_or_else(|| "this system does not say how much is mapped".into())
}

fn lower(resource: Resource, most: u64) -> Result<(), String> {
    let lowered = || {
        let (_, hard) = resource.get()?;
        let most = most.min(hard);
        resource.set(most, most)
    };
    lowered().map_err(|e: std::io::Error| e.to_string())
}

/// Lets through what running guests takes, in every thread of the process; everything else is answered "not permitted".
fn filter(foreign: &[u32]) -> Result<(), String> {
    let arch = std::env::consts::ARCH;
    let program = policy(arch, foreign, std::process::id())?;
    let arch = TargetArch::try_from(arch).map_err(|e| e.to_string())?;
    let program = serde_json::to_vec(&program).map_err(|e| e.to_string())?;
    let filters = seccompiler::compile_from_json(program.as_slice(), arch).map_err(|e| e.to_string())?;
    let filter = filters.get("worker").ok_or("the filter is empty")?;
    seccompiler::apply_filter_all_threads(filter).map_err(|e| e.to_string())
}

/// The filter in the words of the seccompiler's JSON form.
fn policy(arch: &str, foreign: &[u32], own_id: u32) -> Result<Value, String> {
    if foreign.len() > FOREIGN_MAX {
        return Err(format!(
            "the process was started with {} descriptors of somebody else, and {FOREIGN_MAX} can be closed off",
            foreign.len()
        ));
    }
    let condition =
        |index: u8, op: &str, value: u64| json!({ "index": index, "type": "dword", "op": op, "val": value });
    let x86 = PLAIN_ON_X86.iter().filter(|_| arch == "x86_64");
    let mut rules: Vec<Value> = PLAIN.iter().chain(x86).map(|name| json!({ "syscall": name })).collect();
    for (name, descriptor) in ON_DESCRIPTORS {
        let own = foreign
            .iter()
            .map(|foreign| condition(descriptor, "ne", u64::from(*foreign)));
        let scan = (name == "ioctl").then(|| condition(1, "eq", PAGEMAP_SCAN));
        let conditions: Vec<Value> = own.chain(scan).collect();
        rules.push(if conditions.is_empty() {
            json!({ "syscall": name })
        } else {
            json!({ "syscall": name, "args": conditions })
        });
    }
    // A process that aborts signals itself, and nobody else.
    rules.push(json!({ "syscall": "tgkill", "args": [condition(0, "eq", own_id.into())] }));
    Ok(json!({ "worker": {
        "mismatch_action": { "errno": NOT_PERMITTED },
        "match_action": "allow",
        "filter": rules,
    } }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Says to the test's own program, started again, that it is to confine itself and try what it may not do.
    const CONFINED: &str = "KINETIC_TEST_CONFINED";

    #[test]
    fn the_policy_compiles_for_every_processor_we_serve() {
        for arch in ["x86_64", "aarch64"] {
            for foreign in [vec![], (3..19).collect::<Vec<u32>>()] {
                let policy = serde_json::to_vec(&policy(arch, &foreign, 7).unwrap()).unwrap();
                let compiled = seccompiler::compile_from_json(policy.as_slice(), TargetArch::try_from(arch).unwrap());
                assert!(compiled.is_ok(), "{arch}: {compiled:?}");
            }
        }
        assert!(policy("x86_64", &(3..20).collect::<Vec<u32>>(), 7).is_err());
    }

    /// One test of two lives: the first starts the second, which confines itself and reports by its exit status.
    #[test]
    fn a_confined_process_computes_allocates_and_sleeps_but_opens_starts_and_reads_nothing() {
        if std::env::var_os(CONFINED).is_some() {
            confined();
        }
        let program = std::env::current_exe().unwrap();
        let status = Command::new(program)
            .args(["a_confined_process", "--test-threads=1", "--nocapture"])
            .env(CONFINED, "1")
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(42), "{status}");
    }

    fn confined() -> ! {
        use std::io::Read as _;
        let mut foreign = fs::File::open("/proc/self/status").unwrap();
        let mut own = fs::File::open("/proc/self/status").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&foreign);
        assert!(inherited().contains(&u32::try_from(number).unwrap()));
        // It runs when the process confines itself: what a thread does to begin is not what this is about.
        let both = std::sync::Arc::new(std::sync::Barrier::new(2));
        let begun = both.clone();
        let beside = std::thread::spawn(move || {
            begun.wait();
            std::thread::sleep(std::time::Duration::from_millis(50));
        });
        both.wait();
        let missing = confine(64 << 20, &[u32::try_from(number).unwrap()]);
        let is_missing = |what: &str| missing.iter().any(|line| line.starts_with(what));
        let mut byte = [0];
        let checks = [
            !is_missing("few system calls") && !is_missing("bounded memory"),
            own.read(&mut byte).is_ok(),
            foreign.read(&mut byte).is_err(),
            beside.join().is_ok(),
            vec![1_u8; 8 << 20].iter().all(|byte| *byte == 1),
            Vec::<u8>::new().try_reserve_exact(1 << 30).is_err(),
            fs::File::open("/etc/passwd").is_err(),
            fs::write(std::env::temp_dir().join("kinetic-confined"), "x").is_err(),
            Command::new("/bin/true").status().is_err(),
            std::net::TcpListener::bind("127.0.0.1:0").is_err(),
            std::os::unix::net::UnixStream::pair().is_err(),
            std::thread::Builder::new().spawn(|| ()).is_err(),
        ];
        let failed = checks.iter().position(|passed| !passed);
        std::process::exit(failed.map_or(42, |at| 100 + i32::try_from(at).unwrap_or(0)));
    }
}
