//! `kinetic config`: the settings, their defaults, and who set what.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Context;
use crate::render;

/// Show the settings: all defaults with comments, or the effective ones and who set them
///
/// Settings come from kinetic.toml (or --config FILE), then from the environment
/// (KINETIC_HOST__LISTEN sets host.listen), then from flags; the later wins. Unknown names are
/// refused.
///
///     kinetic config default > kinetic.toml
///     kinetic config show
///     kinetic config check --config /etc/kinetic.toml
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print every setting with its meaning and default, ready to save as kinetic.toml
    Default,
    /// Print every setting as it is now, and whether a file, the environment or a flag set it
    Show,
    /// Say whether a host would start with these settings
    Check,
}

impl Config {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Default => {
                let text = crate::config::default_document()?;
                let document = serde_json::to_value(crate::config::Config::default())?;
                context.print(&document, || text);
            }
            What::Show => {
                let loaded = context.load(None)?;
                let settings = loaded.values.iter().map(|(key, (value, origin))| {
                    let value = serde_json::to_value(value).unwrap_or_default();
                    (key.clone(), json!({ "value": value, "from": origin.to_string() }))
                });
                let document = json!({ "settings": settings.collect::<serde_json::Map<_, _>>() });
                context.print(&document, || {
                    let row = |(key, (value, origin)): (&String, &(toml::Value, _))| {
                        vec![key.clone(), value.to_string(), format!("{origin}")]
                    };
                    render::table(&loaded.values.iter().map(row).collect::<Vec<_>>())
                });
            }
            What::Check => {
                let loaded = context.load(None)?;
                crate::config::may_listen(&loaded.config)?;
                // The providers read patterns of their own out of their settings.
                crate::boot::providers(&loaded.config, None)?;
                let set = loaded
                    .values
                    .values()
                    .filter(|(_, origin)| *origin != crate::config::Origin::Default)
                    .count();
                context.print(&json!({ "sound": true, "set": set }), || {
                    format!("every setting is known and fits; {set} are set by file, environment or flags")
                });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
