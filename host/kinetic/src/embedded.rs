//! The example capsules that the binary carries, so that a fresh host has something to serve.

/// One capsule as its author wrote and built it; the host signs it with its own key at first start.
pub struct Embedded {
    /// The text of its manifest.json.
    pub manifest: &'static str,
    /// The component, documentation included.
    pub component: &'static [u8],
}

/// All of them; the build script writes the list.
pub const EXAMPLES: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capsule_the_binary_carries_has_a_good_manifest_of_the_hosts_namespace() {
        for embedded in EXAMPLES {
            let manifest = kinetic_kernel::Manifest::parse(embedded.manifest).unwrap();
            assert_eq!(manifest.id.namespace(), "kinetic", "{}", manifest.id);
        }
        assert!(!EXAMPLES.is_empty());
    }
}
