//! Versions of the host's own parts: the stream buffer and the silver gate.

use kinetic_identity::SigningKey;
use serde_json::{Value, json};

use crate::guests::{self, root};
use crate::host::{Host, Reply};
use crate::swappable::{Author, labelled};

/// The URN of the stream buffer.
pub const STREAM_BUFFER: &str = "urn:kinetic:actionspace:substrate:stream_buffer:v1";
/// The URN of the silver gate.
pub const SILVER_GATE: &str = "urn:kinetic:actionspace:substrate:silver_gate:v1";

/// Somebody who signs for the host's own namespace.
pub fn author(host: &Host) -> Author {
    let author = Author {
        key: SigningKey::generate().unwrap(),
    };
    author.trust(host, &["trust", "kinetic", &author.key.public().to_string()]);
    author
}

/// The manifest of a version of the stream buffer (`stream-buffer`) or the silver gate (`silver-gate`).
pub fn manifest(part: &str, version: &str) -> Value {
    let path = root().join("components").join(part).join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    manifest["version"] = json!(version);
    manifest
}

/// A component that does the same as the host's own, under other bytes.
pub fn good(part: &str, number: u64) -> Vec<u8> {
    labelled(&guests::subsystem(&part.replace('-', "_")), number)
}

/// Puts a version into the host's store, where a swap finds it.
pub fn stage(host: &Host, author: &Author, part: &str, version: &str, component: &[u8]) {
    let staged = author.send(host, "?activate=false", &manifest(part, version), component);
    assert_eq!(staged.status, 201, "{}", staged.text());
}

/// Asks for a swap.
pub fn swap(host: &Host, urn: &str, version: &str) -> Reply {
    host.post(&format!("/api/v1/capsules/{urn}/swap"), &json!({ "to": version }))
}
