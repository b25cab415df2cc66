//! The telemetry subsystems as components, under fuel and epochs, beside what a user would take instead.
//!
//! Arguments name the parts to run (`silver`, `gate`, `end-to-end`, `fan-out-memory`, `fan-out-http`); none means all. The peers
//! need a Python with `polars` and `polars-hash` (TELEMETRY_PYTHON names it); `make bench` installs them.

#[path = "telemetry/end_to_end.rs"]
mod end_to_end;
#[path = "telemetry/fan_out/mod.rs"]
mod fan_out;
#[path = "telemetry/gate.rs"]
mod gate;
#[path = "telemetry/peer.rs"]
mod peer;
#[path = "telemetry/process.rs"]
mod process;
#[path = "telemetry/silver.rs"]
mod silver;

use kinetic_engine::Capability;
use kinetic_model::Limits;
use kinetic_testkit::{engine, guests};
use rustix::time::{ClockId, clock_gettime};

/// Rows of one batch.
const BATCH_ROWS: u64 = 65_536;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo bench` passes a flag; `cargo test --benches` would run this, and must not.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let asked: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let parts: [(&str, fn()); 5] = [
        ("silver", silver::measure),
        ("gate", gate::measure),
        ("end-to-end", end_to_end::measure),
        ("fan-out-memory", fan_out::memory::measure),
        ("fan-out-http", fan_out::http::measure),
    ];
    for (name, part) in parts {
        if asked.is_empty() || asked.iter().any(|asked| *asked == name) {
            println!("\n## {name}");
            part();
        }
    }
}

/// A subsystem's component under the limits of a subsystem.
async fn load(name: &str) -> Capability {
    let limits = Limits {
        fuel: 1 << 40,
        memory_bytes: Limits::CEILING.memory_bytes,
        guest_time_ms: Limits::CEILING.guest_time_ms,
        wall_time_ms: Limits::CEILING.wall_time_ms,
        input_bytes: Limits::CEILING.input_bytes,
        output_bytes: Limits::CEILING.output_bytes,
        ..Limits::CEILING
    };
    engine::load(&guests::subsystem(name), limits).await.unwrap()
}

/// Processor time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
