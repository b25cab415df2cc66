//! What a token costs, and how many rows are held at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::GoldError;

/// What a million tokens of a model cost, in whatever currency the operator counts in; 0 by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// A million prompt tokens that were not in the model's cache.
    pub prompt_per_million: f64,
    /// A million prompt tokens that were in the model's cache; as much as other prompt tokens when it is not given.
    pub cached_per_million: Option<f64>,
    /// A million completion tokens.
    pub completion_per_million: f64,
}

/// Prices of the models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// For models that have no price of their own, and for usage of which no model is known; 0 by default.
    pub default: Price,
    /// By the model's name as events spell it.
    pub models: BTreeMap<String, Price>,
}

impl Prices {
    /// The price of a model.
    pub(crate) fn of(&self, model: Option<&str>) -> Price {
        model
            .and_then(|model| self.models.get(model))
            .copied()
            .unwrap_or(self.default)
    }
}

/// How gold is computed.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldSettings {
    /// What tokens cost; other prices make other tables, so everything is computed anew.
    pub prices: Prices,
    /// How many rows are held in memory at once, a slice of a part and what was gathered before; 2,000,000 by default.
    /// A row that bears a token or a duration takes 32 and 16 bytes, and one that has its stream, intent, node and model
    /// to itself 128 more and the names: about 80 MB by default, and some hundreds where no two rows are alike. A single
    /// workflow, or a single capsule, that is larger is held alone and whole. Fewer rows make more passes over the parts.
    pub rows_at_once_max: u64,
}

impl Default for GoldSettings {
    fn default() -> Self {
        Self {
            prices: Prices::default(),
            rows_at_once_max: 2_000_000,
        }
    }
}

impl GoldSettings {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), GoldError> {
        let invalid = |setting: String, why: &str| {
            Err(GoldError::InvalidSetting {
                setting,
                why: why.to_owned(),
            })
        };
        if self.rows_at_once_max == 0 {
            return invalid("rows_at_once_max".into(), "at least one row is held at once");
        }
        let models = self.prices.models.iter().map(|(model, price)| (model.as_str(), price));
        for (model, price) in models.chain([("default", &self.prices.default)]) {
            let cached = price.cached_per_million.unwrap_or_default();
            let prices = [price.prompt_per_million, cached, price.completion_per_million];
            if prices.iter().any(|price| !price.is_finite() || *price < 0.0) {
                return invalid(format!("the price of {model}"), "a price is a number from 0");
            }
        }
        Ok(())
    }
}
