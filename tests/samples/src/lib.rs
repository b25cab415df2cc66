//! Samples that the tests of several crates make the same way.

use kinetic_identity::{Promoting, Promotion, SigningKey, Topology};
use serde_json::{Value, json};

/// A promotion of a topology with that number in it.
pub fn promotion(urn: &str, version: &str, number: u64, key: &SigningKey) -> Promotion {
    let Value::Object(members) = json!({ "nodes": [number] }) else {
        panic!("no object")
    };
    let what = Promoting {
        urn: urn.parse().unwrap(),
        version: version.parse().unwrap(),
        topology: Topology::new(members).unwrap(),
        sources: ["7-0123456789abcdef".to_string()].into(),
        events_bytes: 1_000,
        newest_unix_ms: 1,
        host: key.public(),
        software: "tests".into(),
        workflow_id: None,
    };
    Promotion::sign(&what, key).unwrap()
}
