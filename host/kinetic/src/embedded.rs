//! The components that the binary carries: example capsules, so that a fresh host has something to serve, and the
//! runtime's own parts.

use bytes::Bytes;
use kinetic_kernel::{KernelError, Manifest};
use kinetic_model::Digest;
use kinetic_registry::{Carried, Descriptor};
use serde_json::Value;

/// One capsule as its author wrote and built it.
pub struct Embedded {
    /// The text of its manifest.json.
    pub manifest: &'static str,
    /// The component, documentation included.
    pub component: &'static [u8],
}

/// The examples; the build script writes the list. The host signs them with its own key at first start.
pub const EXAMPLES: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The runtime's own parts, as components that others can take the place of; the build script writes the list.
pub const PARTS: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/parts.rs"));

/// The runtime's own parts, as the kernel takes them.
///
/// # Errors
/// A manifest that is not one, which the tests exclude.
pub fn carried() -> Result<Carried, KernelError> {
    let part = |part: &Embedded| -> Result<_, KernelError> {
        let manifest = Manifest::parse(part.manifest)?;
        let component = Bytes::from_static(part.component);
        let descriptor = Descriptor {
            urn: manifest.id,
            version: manifest.version,
            manifest: part.manifest.to_string(),
            // It came with the program, so nobody has to vouch for it.
            receipt: Value::Null,
            digest: Digest::of(&component),
            size_bytes: component.len() as u64,
        };
        Ok((descriptor, component))
    };
    let parts: Result<Vec<_>, KernelError> = PARTS.iter().map(part).collect();
    Ok(Carried::new(parts?))
}

#[cfg(test)]
mod tests {
    use kinetic_medallion::pipeline::{SILVER_GATE_URN, STREAM_BUFFER_URN};
    use kinetic_model::{InstanceMode, Limits, TrustZone};

    use super::*;

    #[test]
    fn every_capsule_the_binary_carries_has_a_good_manifest_of_the_hosts_namespace() {
        for embedded in EXAMPLES {
            let manifest = Manifest::parse(embedded.manifest).unwrap();
            assert_eq!(manifest.id.namespace(), "kinetic", "{}", manifest.id);
        }
        assert!(!EXAMPLES.is_empty());
    }

    #[test]
    fn the_parts_the_binary_carries_are_those_that_telemetry_has_seats_for_and_ask_for_what_a_part_needs() {
        let carried = carried().unwrap();
        for urn in [STREAM_BUFFER_URN, SILVER_GATE_URN] {
            let manifest = Manifest::parse(&carried.of(&urn.parse().unwrap()).unwrap().manifest).unwrap();
            assert_eq!(manifest.governance.trust_zone, TrustZone::System, "{urn}");
            assert_eq!(manifest.instance, InstanceMode::Resident, "{urn}");
            let limits = Limits::effective(&manifest.limits, &Limits::CEILING);
            assert_eq!(limits, Limits::CEILING, "{urn}: the operator's ceiling is the only one");
        }
        assert_eq!(PARTS.len(), 2);
    }
}
