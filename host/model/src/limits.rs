//! The limits of one call: defaults, ceilings, and what a call used of them. One table feeds all three and the docs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One row of the limits table.
#[derive(Clone, Copy, Debug)]
pub struct LimitDoc {
    /// The name in manifests, configuration and answers; the unit comes last.
    pub name: &'static str,
    /// What a capsule gets when its manifest does not ask.
    pub default: u64,
    /// The most a manifest may ask for, unless the operator lowers it.
    pub ceiling: u64,
    /// What it bounds.
    pub doc: &'static str,
}

macro_rules! limits {
    ($( $(#[doc = $doc:literal])* $name:ident = $default:literal, ceiling $ceiling:literal; )*) => {
        /// The limits one call runs under. Every field is enforced; none can be switched off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $( $(#[doc = $doc])* pub $name: u64, )*
        }

        /// What a manifest asks for; a missing field means the default.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct LimitsAsk {
            $( $(#[doc = $doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $name: Option<u64>, )*
        }

        /// The limits table: name, default, ceiling, meaning.
        pub const LIMIT_DOCS: &[LimitDoc] = &[
            $( LimitDoc { name: stringify!($name), default: $default, ceiling: $ceiling, doc: concat!($($doc, " "),*) }, )*
        ];

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        impl Limits {
            /// The built-in ceilings.
            pub const CEILING: Self = Self { $( $name: $ceiling, )* };

            /// What a capsule gets: what it asks for or the default, never above `ceiling`.
            pub fn effective(ask: &LimitsAsk, ceiling: &Self) -> Self {
                let default = Self::default();
                Self { $( $name: ask.$name.unwrap_or(default.$name).min(ceiling.$name), )* }
            }

            /// These limits with what is asked in their place, never above them.
            #[must_use]
            pub fn lowered_to(&self, ask: &LimitsAsk) -> Self {
                Self { $( $name: ask.$name.map_or(self.$name, |asked| asked.min(self.$name)), )* }
            }

            /// The names of what was asked above `ceiling` and so was lowered.
            pub fn lowered(ask: &LimitsAsk, ceiling: &Self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $( if ask.$name.is_some_and(|asked| asked > ceiling.$name) { names.push(stringify!($name)); } )*
                names
            }

            /// The smaller of two, field by field.
            #[must_use]
            pub fn min(&self, other: &Self) -> Self {
                Self { $( $name: self.$name.min(other.$name), )* }
            }
        }
    };
}

limits! {
    /// Instructions of the call, in wasmtime fuel units (about one per wasm instruction). Instantiation has its own budget.
    fuel = 20_000_000_000, ceiling 1_000_000_000_000;
    /// Linear memories and tables together, in bytes (a table element counts 16).
    memory_bytes = 67_108_864, ceiling 1_073_741_824;
    /// Time the guest itself runs, in milliseconds; the clock stands still while the host works for it or others run.
    guest_time_ms = 5_000, ceiling 60_000;
    /// Time from start to answer, in milliseconds, waiting in host calls included.
    wall_time_ms = 30_000, ceiling 300_000;
    /// Arguments, in bytes.
    input_bytes = 10_485_760, ceiling 67_108_864;
    /// Results, in bytes, measured in the guest's memory before anything is copied or decoded.
    output_bytes = 10_485_760, ceiling 67_108_864;
    /// Standard output and standard error kept, in bytes; more is counted and dropped.
    log_bytes = 65_536, ceiling 1_048_576;
    /// Resource handles (streams, requests, pollables) alive at once.
    handles = 1_024, ceiling 100_000;
    /// What the guest may pass to host functions, in bytes: each single call, all streams together, and what is recorded of host calls for a replay.
    host_call_bytes = 16_777_216, ceiling 134_217_728;
}

/// What one call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Fuel of the call itself.
    pub fuel: u64,
    /// Fuel of making the instance.
    pub instantiation_fuel: u64,
    /// The largest sum of memories and tables, in bytes.
    pub memory_peak_bytes: u64,
    /// Time the guest ran, in nanoseconds.
    pub guest_time_ns: u64,
    /// Time from start to answer, in nanoseconds.
    pub wall_time_ns: u64,
    /// Bytes of the arguments.
    pub input_bytes: u64,
    /// Bytes of the results.
    pub output_bytes: u64,
    /// Bytes written to standard output and standard error, dropped ones included.
    pub log_bytes: u64,
    /// Resource handles still open when the call ended.
    pub handles: u64,
    /// Bytes passed to host streams.
    pub host_call_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_asks_for_nothing_gets_the_defaults() {
        assert_eq!(
            Limits::effective(&LimitsAsk::default(), &Limits::CEILING),
            Limits::default()
        );
    }

    #[test]
    fn asking_above_the_ceiling_gives_the_ceiling_and_names_the_limit() {
        let ask = LimitsAsk {
            fuel: Some(u64::MAX),
            memory_bytes: Some(1),
            ..LimitsAsk::default()
        };
        let limits = Limits::effective(&ask, &Limits::CEILING);
        assert_eq!((limits.fuel, limits.memory_bytes), (Limits::CEILING.fuel, 1));
        assert_eq!(Limits::lowered(&ask, &Limits::CEILING), ["fuel"]);
    }

    #[test]
    fn a_lowered_ceiling_also_lowers_the_default() {
        let ceiling = Limits {
            wall_time_ms: 10,
            ..Limits::CEILING
        };
        assert_eq!(Limits::effective(&LimitsAsk::default(), &ceiling).wall_time_ms, 10);
    }

    #[test]
    fn no_default_is_above_its_ceiling_and_an_unknown_limit_is_refused() {
        assert!(
            LIMIT_DOCS
                .iter()
                .all(|doc| doc.default <= doc.ceiling && doc.default > 0)
        );
        assert!(serde_json::from_str::<LimitsAsk>(r#"{"memory_mb": 1}"#).is_err());
    }
}
