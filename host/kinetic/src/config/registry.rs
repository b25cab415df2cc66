//! Settings of what registries are asked, and of what is kept of what they delivered.

use std::time::Duration;

use kinetic_registry::Patience;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest an index may be believed unasked, in seconds: a day.
const INDEX_MAX_AGE_S_MAX: u64 = 86_400;
/// The longest a registry may be waited for, in milliseconds: as long as the longest call.
const WAIT_MS_MAX: u64 = 300_000;

/// How registries are asked, and what is kept of what they delivered, so that it runs again when none can be reached; which
/// ones there are is said with `kinetic registry add`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// How long the signed index of a namespace counts before its registry is asked for it again, in seconds, at most 86400.
    /// A registry that offers a version which the index does not list is asked again at once. 0: at every question.
    pub index_max_age_s: u64,
    /// The longest a registry may take to say what it has, over all it is asked for that, in milliseconds, at most 300000.
    /// One that is not connected to in five seconds, or silent for ten, is given up before.
    pub answer_timeout_ms: u64,
    /// A component that is downloaded must go on, in each span of so many milliseconds, at most 300000...
    pub download_window_ms: u64,
    /// ...by so many bytes at least; else the download is ended.
    pub download_window_bytes_min: u64,
    /// Components in memory, in bytes, at most; 0: none.
    pub cache_memory_bytes_max: u64,
    /// Components on the disk and what registries said of them, in bytes, at most, in the data folder; 0: none.
    pub cache_disk_bytes_max: u64,
}

impl Default for Registry {
    fn default() -> Self {
        let Patience {
            answer,
            window,
            window_bytes_min,
        } = Patience::default();
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            index_max_age_s: 60,
            answer_timeout_ms: ms(answer),
            download_window_ms: ms(window),
            download_window_bytes_min: window_bytes_min,
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

    /// How long registries are waited for.
    pub const fn patience(&self) -> Patience {
        Patience {
            answer: Duration::from_millis(self.answer_timeout_ms),
            window: Duration::from_millis(self.download_window_ms),
            window_bytes_min: self.download_window_bytes_min,
        }
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        let ranges = [
            ("index_max_age_s", self.index_max_age_s, 0, INDEX_MAX_AGE_S_MAX),
            ("answer_timeout_ms", self.answer_timeout_ms, 1, WAIT_MS_MAX),
            ("download_window_ms", self.download_window_ms, 1, WAIT_MS_MAX),
            // Without any, one that sends nothing would be waited for without end.
            ("download_window_bytes_min", self.download_window_bytes_min, 1, u64::MAX),
        ];
        let wrong = ranges
            .into_iter()
            .find(|(_, value, least, most)| !(*least..=*most).contains(value));
        wrong.map(|(name, _, least, most)| {
            let why = if most == u64::MAX {
                format!("it must be at least {least}")
            } else {
                format!("it must be {least} to {most}")
            };
            (format!("registry.{name}"), why)
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

    #[test]
    fn registries_are_waited_for_as_long_as_is_said_and_never_without_end() {
        assert_eq!(Registry::default().patience(), Patience::default());
        type Change = fn(&mut Registry);
        let fault = |change: Change| {
            let mut registry = Registry::default();
            change(&mut registry);
            registry.fault().map(|(name, _)| name)
        };
        let wrong: [(Change, &str); 5] = [
            (|r| r.answer_timeout_ms = 0, "answer_timeout_ms"),
            (|r| r.answer_timeout_ms = 300_001, "answer_timeout_ms"),
            (|r| r.download_window_ms = 0, "download_window_ms"),
            (|r| r.download_window_ms = 300_001, "download_window_ms"),
            (|r| r.download_window_bytes_min = 0, "download_window_bytes_min"),
        ];
        for (change, name) in wrong {
            assert_eq!(fault(change), Some(format!("registry.{name}")));
        }
    }
}
