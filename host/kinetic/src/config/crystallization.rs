//! Settings of crystallization: topologies that the host signs so that a registry gives them a permanent URN.

use std::path::{Path, PathBuf};

use kinetic_kernel::CrystallizationKeys;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the host signs topologies with (`kinetic crystallize`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crystallization {
    /// The private key that signs them, for every namespace whose trust root lists it. Empty: that of the URN's namespace,
    /// keys/NAMESPACE.pem in the data folder. A relative path in a file counts from that file.
    pub key: PathBuf,
}

impl Crystallization {
    /// The settings as the kernel takes them; `folder` is the one of namespaces' keys.
    pub fn keys(&self, folder: &Path) -> CrystallizationKeys {
        CrystallizationKeys {
            key: (!self.key.as_os_str().is_empty()).then(|| self.key.clone()),
            folder: folder.to_path_buf(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_for_all_each_namespace_has_its_own() {
        let mut settings = Crystallization::default();
        assert_eq!(settings.keys(Path::new("keys")).key, None);
        settings.key = "all.pem".into();
        assert_eq!(settings.keys(Path::new("keys")).key, Some("all.pem".into()));
    }
}
