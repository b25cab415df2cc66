//! Python programs that do the same work; each prints one line of JSON for each case.

use std::process::Command;

use kinetic_testkit::guests::root;
use serde_json::Value;

/// Runs a peer; nothing when there is no Python for it.
pub fn run(program: &str, arguments: &[&str]) -> Vec<Value> {
    let Ok(python) = std::env::var("TELEMETRY_PYTHON") else {
        println!("no peer: TELEMETRY_PYTHON names no Python (make bench installs it)");
        return Vec::new();
    };
    let output = Command::new(python)
        .arg(root().join("tests/peers").join(program))
        .args(arguments)
        .env("POLARS_MAX_THREADS", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            println!("{line}");
            serde_json::from_str(line).unwrap()
        })
        .collect()
}
