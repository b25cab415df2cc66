//! Gold as the pipeline asks for it: the aggregates, with the prices of the configuration.

use std::path::Path;

use kinetic_gold::{Gold, GoldSettings, Part, Price, Prices, Sources};
use kinetic_medallion::files;
use kinetic_model::Fault;
use serde_json::Value;

use crate::config::{Telemetry, price_of};

/// The tables of gold, open for writing.
pub struct Aggregates(Gold);

impl Aggregates {
    /// Opens them.
    ///
    /// # Errors
    /// Settings that cannot work; a folder that cannot be used.
    pub fn open(config: &Telemetry, folder: &Path) -> Result<Self, Fault> {
        let settings = GoldSettings {
            prices: prices(config),
            ..GoldSettings::default()
        };
        Ok(Self(Gold::open(folder, settings).map_err(|error| Fault::from(&error))?))
    }
}

impl kinetic_medallion::pipeline::Gold for Aggregates {
    fn refresh(&mut self, silver: &[files::Part], shed: &[files::Part]) -> Result<(), Fault> {
        let refreshed = self.0.refresh(&sources(silver, shed));
        refreshed.map(drop).map_err(|error| Fault::from(&error))
    }

    fn rebuild(&mut self, silver: &[files::Part], shed: &[files::Part]) -> Result<(), Fault> {
        let rebuilt = self.0.rebuild(&sources(silver, shed));
        rebuilt.map(drop).map_err(|error| Fault::from(&error))
    }
}

/// The tables as JSON: `metrics`, `usage_graph`, `capabilities`, each an array of rows.
///
/// # Errors
/// Tables that cannot be read.
pub fn tables(folder: &Path) -> Result<Value, Fault> {
    let tables = kinetic_gold::tables(folder).map_err(|error| Fault::from(&error))?;
    Ok(serde_json::to_value(tables).unwrap_or_default())
}

fn prices(config: &Telemetry) -> Prices {
    let mut prices = Prices::default();
    for text in &config.prices {
        // The configuration was checked.
        let Some((model, [prompt, completion], cached)) = price_of(text) else {
            continue;
        };
        let price = Price {
            prompt_per_million: prompt,
            cached_per_million: cached,
            completion_per_million: completion,
        };
        if model == "*" {
            prices.default = price;
        } else {
            prices.models.insert(model.into(), price);
        }
    }
    prices
}

fn sources(silver: &[files::Part], shed: &[files::Part]) -> Sources {
    let part = |part: &files::Part| Part {
        path: part.path.clone(),
        first_offset: part.first_offset,
        end_offset: part.end_offset,
    };
    Sources {
        silver: silver.iter().map(part).collect(),
        shed: shed.iter().map(part).collect(),
    }
}
