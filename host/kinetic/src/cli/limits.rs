//! `kinetic limits`: what the calls of a capsule may use, and lowering it while they come.

use std::process::ExitCode;

use clap::Args;
use kinetic_model::{LIMIT_DOCS, Urn};
use serde_json::{Map, Value};

use super::Context;
use crate::error::CliError;
use crate::render;

/// Show the limits of a capsule, or set them below those of its manifest
///
/// What is set holds from the next call on, without a restart, and across restarts. Limits that
/// --set does not name are what the manifest gets again; they can be lowered, never raised.
///
///     kinetic limits urn:acme:actionspace:solver:word_count:v1
///     kinetic limits urn:acme:actionspace:solver:word_count:v1 --set memory_bytes=16777216 --set wall_time_ms=1000
///     kinetic limits urn:acme:actionspace:solver:word_count:v1 --reset
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Limits {
    /// The capsule
    urn: Urn,
    /// A limit under its name in manifests, and its value
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Give every limit back what the manifest gets
    #[arg(long, conflicts_with = "set")]
    reset: bool,
}

impl Limits {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let limits = asked(&self.set)?;
        let client = context.running_host()?;
        let urn = self.urn.as_str();
        let process = super::block_on(async {
            if limits.is_empty() && !self.reset {
                client.get(&["capsules", urn], &[]).await
            } else {
                client.put(&["capsules", urn, "limits"], &Value::Object(limits)).await
            }
        })?;
        context.print(&process, || {
            let limits = process.get("limits").and_then(Value::as_object).into_iter().flatten();
            let row = |(name, value): (&String, &Value)| {
                vec![format!("  {name}"), render::grouped(value.as_u64().unwrap_or_default())]
            };
            let rows: Vec<_> = limits.map(row).collect();
            let version = process.get("version").and_then(Value::as_str).unwrap_or_default();
            format!("{urn} {version}\n{}", render::table(&rows))
        });
        Ok(ExitCode::SUCCESS)
    }
}

fn asked(set: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut limits = Map::new();
    for text in set {
        let wrong = |why: String| CliError::BadArgument {
            why: format!("--set {text}: {why}"),
        };
        let pair = text.split_once('=');
        let (name, value) = pair.ok_or_else(|| wrong("it is written NAME=VALUE".into()))?;
        if !LIMIT_DOCS.iter().any(|limit| limit.name == name) {
            let names: Vec<_> = LIMIT_DOCS.iter().map(|limit| limit.name).collect();
            return Err(wrong(format!("no such limit; there are {}", names.join(", "))));
        }
        let value: u64 = value.parse().map_err(|_| wrong("the value is a whole number".into()))?;
        if limits.insert(name.to_string(), value.into()).is_some() {
            return Err(wrong("it is set twice".into()));
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_once_each_and_are_whole_numbers() {
        let asked = |set: &[&str]| asked(&set.iter().map(ToString::to_string).collect::<Vec<_>>());
        let limits = asked(&["fuel=5", "memory_bytes=65536"]).unwrap();
        assert_eq!(
            Value::Object(limits),
            serde_json::json!({ "fuel": 5, "memory_bytes": 65_536 })
        );
        for bad in [
            &["fuel"][..],
            &["memory_mb=1"],
            &["fuel=x"],
            &["fuel=-1"],
            &["fuel=1", "fuel=2"],
        ] {
            assert!(asked(bad).is_err(), "{bad:?}");
        }
    }
}
