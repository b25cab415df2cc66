//! What a quiet tenant notices of a hostile one: its latency alone, and beside callers who try everything at once.

use std::time::Duration;

use kinetic_testkit::host::Host;
use kinetic_testkit::tenants::{Attackers, echo_for, percentile, publish_in};

/// For each measurement.
const TIME: Duration = Duration::from_secs(20);
const ATTACKERS: usize = 32;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("\n## zones: a quiet tenant beside {ATTACKERS} hostile callers");
    measure("in the host's process, default quotas", "session", &[]);
    measure("each tenant in a process of its own, default quotas", "tenant", &[]);
    measure(
        "in the host's process, the hostile tenant runs one call at a time",
        "session",
        &[("KINETIC_TENANTS__HOSTILE__CALLS_RUNNING_MAX", "1")],
    );
}

fn measure(what: &str, zone: &str, settings: &[(&str, &str)]) {
    let host = Host::start_with(settings);
    publish_in(&host, zone);
    let alone = echo_for(&host, TIME);
    let attackers = Attackers::start(&host, ATTACKERS);
    let beside = echo_for(&host, TIME);
    let calls = attackers.stop();
    println!("\n{what}; {calls} hostile calls");
    for (when, took) in [("alone", &alone), ("beside", &beside)] {
        let ms = |percent| percentile(took, percent).as_secs_f64() * 1e3;
        println!(
            "{when}: {} calls, none failed; p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
            took.len(),
            ms(50),
            ms(99),
            ms(100)
        );
    }
    let times = percentile(&beside, 99).as_secs_f64() / percentile(&alone, 99).as_secs_f64();
    println!("p99 beside is {times:.2} times that alone");
}
