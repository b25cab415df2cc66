//! NATS JetStream that syncs each message, published to by its own Python client.

use std::process::Command;

use kinetic_testkit::guests::root;
use serde_json::Value;

/// Acknowledged messages a second with 256 in flight; none when it does not run here.
pub fn measure() -> Option<f64> {
    let python = std::env::var("NATS_PYTHON").unwrap_or_else(|_| "python3".into());
    let folder = crate::folder();
    let output = Command::new(python)
        .arg(root().join("tests/peers/nats_jetstream.py"))
        .arg(folder.path())
        .output()
        .expect("python runs");
    if !output.status.success() {
        println!("NATS did not run: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let mut synced = None;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        println!("{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        if line["case"] == "sync_interval always" {
            synced = line["per_second"].as_f64();
        }
    }
    synced
}
