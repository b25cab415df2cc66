//! The components that the binary carries: example capsules, so that a fresh host has something to serve, and the
//! runtime's own subsystems.

/// One capsule as its author wrote and built it; the host signs it with its own key at first start.
pub struct Embedded {
    /// The text of its manifest.json.
    pub manifest: &'static str,
    /// The component, documentation included.
    pub component: &'static [u8],
}

/// All of them; the build script writes the list.
pub const EXAMPLES: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// A subsystem of the runtime, as a component that another one can take the place of.
pub struct Subsystem {
    /// Its name in commands and settings.
    pub name: &'static str,
    /// The component.
    pub component: &'static [u8],
}

impl Subsystem {
    /// Its URN: `urn:kinetic:actionspace:substrate:stream_buffer:v1`.
    pub fn urn(&self) -> String {
        format!("urn:kinetic:actionspace:substrate:{}:v1", self.name.replace('-', "_"))
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SUBSYSTEMS.iter().find(|subsystem| subsystem.name == name)
    }
}

/// All of them; the build script writes the list.
pub const SUBSYSTEMS: &[Subsystem] = include!(concat!(env!("OUT_DIR"), "/subsystems.rs"));

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
