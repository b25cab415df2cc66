//! What an author does: a manifest, a key, a signed receipt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey};
use kinetic_model::Digest;
use serde_json::{Value, json};

/// A manifest of the test namespace `tests`.
pub fn manifest(name: &str, version: &str) -> Value {
    json!({
        "id": format!("urn:tests:actionspace:solver:{name}:v{}", version.split('.').next().unwrap()),
        "version": version,
        "type": "logic",
        "description": "A guest of the tests.",
        "capabilities": { "provides": [format!("tests:{name}@{version}")] },
        "governance": { "tier": "local", "trust_zone": "session", "determinism": "D0_bit_exact" },
    })
}

/// A signed receipt for exactly this manifest and component.
pub fn receipt(manifest: &str, component: &[u8], key: &SigningKey) -> Value {
    let parsed: Value = serde_json::from_str(manifest).unwrap();
    let subject = BuildSubject {
        urn: parsed["id"].as_str().unwrap().parse().unwrap(),
        version: parsed["version"].as_str().unwrap().parse().unwrap(),
        component: Digest::of(component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest.as_bytes()),
    };
    Receipt::sign(&subject, &BuildInfo::default(), key).unwrap().to_value()
}

/// The body of a publish request.
pub fn publication(manifest: &Value, component: &[u8], key: &SigningKey) -> Value {
    let manifest = manifest.to_string();
    let receipt = receipt(&manifest, component, key);
    json!({ "manifest": manifest, "receipt": receipt, "component": BASE64.encode(component) })
}
