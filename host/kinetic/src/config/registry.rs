//! Settings of what registries are asked, and of what is kept of what they delivered.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest an index may be believed unasked, in seconds: a day.
const INDEX_MAX_AGE_S_MAX: u64 = 86_400;

/// How registries are asked, and what is kept of what they delivered, so that it runs again when none can be reached; which
/// ones there are is said with `kinetic registry add`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// How long the signed index of a namespace counts before its registry is asked for it again, in seconds, at most 86400.
    /// A registry that offers a version which the index does not list is asked again at once. 0: at every question.
    pub index_max_age_s: u64,
    /// Components in memory, in bytes, at most; 0: none.
    pub cache_memory_bytes_max: u64,
    /// Components on the disk and what registries said of them, in bytes, at most, in the data folder; 0: none.
    pub cache_disk_bytes_max: u64,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            index_max_age_s: 60,
            cache_memory_bytes_max: 67_108_864,
            cache_disk_bytes_max: 1_073_741_824,
        }
    }
}

impl Registry {
    /// How long an index counts unasked.
    pub const fn index_max_age(&self) -> Duration {
        Duration::from_secs(self.index_max_age_s)
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        (self.index_max_age_s > INDEX_MAX_AGE_S_MAX).then(|| {
            let why = format!("{INDEX_MAX_AGE_S_MAX} is the most");
            ("registry.index_max_age_s".to_string(), why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_asked_for_each_time_or_at_least_once_a_day() {
        let fault = |index_max_age_s| {
            Registry {
                index_max_age_s,
                ..Registry::default()
            }
            .fault()
        };
        assert_eq!(Registry::default().fault(), None);
        assert_eq!(fault(0), None);
        assert_eq!(fault(86_401).unwrap().0, "registry.index_max_age_s");
    }
}
