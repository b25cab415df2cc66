//! Settings of telemetry: how much waits, what is dropped under pressure, how files are cut, what tokens cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the stream buffer can be set to hold.
const BUFFER_EVENTS_MAX: u64 = 1 << 31;
const BUFFER_BYTES_MAX: u64 = 48 << 20;
const STREAMS_MAX: u64 = 10_000_000;
const SHED_TOKENS_MAX: usize = 4_096;

/// From a token stream to tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Take telemetry, and make tables of it and of this host's own calls: bronze, silver and gold in the data folder.
    pub enabled: bool,
    /// After what a push is answered: "written" survives a killed host, "synced" a power cut too.
    pub durability: Durable,
    /// Events that may wait for the tables; the stream buffer's fullness decides what is dropped.
    pub buffer_events: u64,
    /// The same in bytes, 48 MiB at most: what waits is handed over when another component takes the buffer's place.
    pub buffer_bytes: u64,
    /// Up to here nothing is dropped, in percent of what may wait.
    pub watermark_low: u8,
    /// From here on everything that may be dropped is, in percent.
    pub watermark_high: u8,
    /// The highest priority that may be dropped: "DEBUG", "INFO", "METRIC" or "WARNING". Critical events and those of D0 and
    /// D1 never are: they are not taken when there is no room.
    pub shed_priority_max: Priority,
    /// Only events with these tokens may be dropped; empty: any.
    pub shed_tokens: Vec<String>,
    /// What stands before the number in what the forget gate hashes: "none" or "stream".
    pub salt: Salt,
    /// Streams whose numbers are kept at once.
    pub streams_max: u64,
    /// How long a push waits for room, in milliseconds.
    pub push_wait_ms: u64,
    /// A file of bronze ends at about this size, in bytes...
    pub part_bytes: u64,
    /// ...or at this age, in milliseconds; silver and gold follow it.
    pub part_age_ms: u64,
    /// A component that failed so often within ten minutes is not started again by itself.
    pub strikes_max: u32,
    /// Add the ids of the 0.80 line to silver, as entity_uuid_legacy and event_uuid_legacy. When this changes silver is made
    /// anew from bronze at the start.
    pub legacy_ids: bool,
    /// Prices per million tokens, each "MODEL=PROMPT/COMPLETION" or "MODEL=PROMPT/COMPLETION/CACHED"; * is any other model.
    pub prices: Vec<String>,
}

/// After what a push is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durable {
    /// It survives a killed process; a power cut may cost the last 10 ms.
    #[default]
    Written,
    /// It survives a power cut.
    Synced,
}

/// The priorities that may be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Priority {
    /// 0
    Debug,
    /// 1
    #[default]
    Info,
    /// 2
    Metric,
    /// 3
    Warning,
}

/// What the forget gate hashes before the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Salt {
    /// Nothing: streams with the same tokens lose the same ones.
    #[default]
    None,
    /// The stream's name.
    Stream,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            enabled: true,
            durability: Durable::Written,
            buffer_events: 200_000,
            buffer_bytes: 33_554_432,
            watermark_low: 50,
            watermark_high: 90,
            shed_priority_max: Priority::Info,
            shed_tokens: Vec::new(),
            salt: Salt::None,
            streams_max: 100_000,
            push_wait_ms: 10_000,
            part_bytes: 134_217_728,
            part_age_ms: 60_000,
            strikes_max: 5,
            legacy_ids: false,
            prices: Vec::new(),
        }
    }
}

impl Telemetry {
    /// The settings as the stream buffer's component takes them.
    pub fn buffer_settings(&self) -> Vec<(&'static str, String)> {
        let priority = match self.shed_priority_max {
            Priority::Debug => "0",
            Priority::Info => "1",
            Priority::Metric => "2",
            Priority::Warning => "3",
        };
        let salt = match self.salt {
            Salt::None => "none",
            Salt::Stream => "stream",
        };
        vec![
            ("buffer-events", self.buffer_events.to_string()),
            ("buffer-bytes", self.buffer_bytes.to_string()),
            ("watermark-low", self.watermark_low.to_string()),
            ("watermark-high", self.watermark_high.to_string()),
            ("shed-priority-max", priority.to_string()),
            ("shed-tokens", self.shed_tokens.join(",")),
            ("salt", salt.to_string()),
            ("streams-max", self.streams_max.to_string()),
        ]
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        let at_least_one = [
            ("buffer_events", self.buffer_events),
            ("buffer_bytes", self.buffer_bytes),
            ("streams_max", self.streams_max),
            ("part_bytes", self.part_bytes),
            ("part_age_ms", self.part_age_ms),
            ("strikes_max", self.strikes_max.into()),
        ];
        let named = |name: &str| format!("telemetry.{name}");
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Some((named(name), "it must be at least 1".into()));
        }
        let at_most = [
            ("buffer_events", self.buffer_events, BUFFER_EVENTS_MAX),
            ("buffer_bytes", self.buffer_bytes, BUFFER_BYTES_MAX),
            ("streams_max", self.streams_max, STREAMS_MAX),
        ];
        if let Some((name, _, most)) = at_most.iter().find(|(_, value, most)| value > most) {
            return Some((named(name), format!("{most} is the most")));
        }
        if self.watermark_low >= self.watermark_high || self.watermark_high > 100 {
            let why = "it must be below telemetry.watermark_high, which is 100 at most".into();
            return Some((named("watermark_low"), why));
        }
        if self.shed_tokens.len() > SHED_TOKENS_MAX {
            return Some((named("shed_tokens"), format!("{SHED_TOKENS_MAX} are the most")));
        }
        if self
            .shed_tokens
            .iter()
            .any(|token| token.is_empty() || token.contains(','))
        {
            return Some((
                named("shed_tokens"),
                "a token is neither empty nor has it a comma".into(),
            ));
        }
        let wrong = self.prices.iter().find(|price| price_of(price).is_none())?;
        Some((
            named("prices"),
            format!("\"{wrong}\" is not MODEL=PROMPT/COMPLETION or MODEL=PROMPT/COMPLETION/CACHED"),
        ))
    }
}

/// The model of a price, and what a million tokens cost: of the prompt, of the answer, of cached ones.
pub fn price_of(text: &str) -> Option<(&str, [f64; 2], Option<f64>)> {
    let (model, prices) = text.rsplit_once('=')?;
    let prices: Vec<f64> = prices.split('/').map(str::parse).collect::<Result<_, _>>().ok()?;
    let good = prices.iter().all(|price| price.is_finite() && *price >= 0.0) && !model.is_empty();
    match *prices.as_slice() {
        [prompt, completion] if good => Some((model, [prompt, completion], None)),
        [prompt, completion, cached] if good => Some((model, [prompt, completion], Some(cached))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_names_its_model_and_two_or_three_numbers() {
        assert_eq!(price_of("gpt=2.5/10"), Some(("gpt", [2.5, 10.0], None)));
        assert_eq!(price_of("a=b=1/2/0.5"), Some(("a=b", [1.0, 2.0], Some(0.5))));
        for wrong in [
            "gpt",
            "gpt=1",
            "gpt=1/2/3/4",
            "=1/2",
            "gpt=-1/2",
            "gpt=NaN/2",
            "gpt=x/2",
        ] {
            assert_eq!(price_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_stand_is_named() {
        let fault = |change: fn(&mut Telemetry)| {
            let mut telemetry = Telemetry::default();
            change(&mut telemetry);
            telemetry.fault().map(|(name, _)| name)
        };
        assert_eq!(fault(|_| {}), None);
        assert_eq!(
            fault(|t| t.buffer_events = 0).as_deref(),
            Some("telemetry.buffer_events")
        );
        assert_eq!(
            fault(|t| t.watermark_low = 95).as_deref(),
            Some("telemetry.watermark_low")
        );
        assert_eq!(
            fault(|t| t.shed_tokens = vec!["a,b".into()]).as_deref(),
            Some("telemetry.shed_tokens")
        );
        assert_eq!(
            fault(|t| t.prices = vec!["x".into()]).as_deref(),
            Some("telemetry.prices")
        );
    }
}
