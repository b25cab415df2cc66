//! What a process took so far.

/// Processor ticks a second, as Linux counts for everybody.
const TICKS: f64 = 100.0;

/// Processor seconds of a whole process, also of its threads that ended.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    named(&stat).unwrap().1
}

/// The name and the processor seconds, in user and kernel, that a `stat` of a process or thread tells.
pub fn named(stat: &str) -> Option<(&str, f64)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    Some((name, ticks / TICKS))
}
