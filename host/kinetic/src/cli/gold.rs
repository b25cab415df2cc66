//! `kinetic gold`: shows what telemetry adds up to.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Context, Place};
use crate::{render, telemetry};

/// Rows shown of a table.
const ROWS_MAX: usize = 40;

/// Show what telemetry adds up to: token spend, latency, drift, what was shed, who used what
///
/// The tables are brought up to all that was pushed before. They are files as well, for
/// notebooks: gold/metrics.parquet, gold/usage_graph.parquet and gold/capabilities.parquet in
/// the data folder. With --output json all columns and rows are shown.
///
///     kinetic gold
///     kinetic gold capabilities --output json
///     kinetic gold --data ./data
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Gold {
    /// Only this table
    #[arg(value_enum)]
    table: Option<Table>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// A row per workflow: tokens, cost, latency, errors, drift
    Metrics,
    /// What used what, how often
    #[value(name = "usage_graph")]
    UsageGraph,
    /// A row per function of a capsule: calls, errors, fuel, memory
    Capabilities,
}

/// The columns people look at first, with their headings.
type Columns = &'static [(&'static str, &'static str)];

impl Table {
    const ALL: [Self; 3] = [Self::Metrics, Self::UsageGraph, Self::Capabilities];

    const fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::UsageGraph => "usage_graph",
            Self::Capabilities => "capabilities",
        }
    }

    const fn columns(self) -> Columns {
        match self {
            Self::Metrics => &[
                ("workflow_id", "workflow"),
                ("events", "events"),
                ("prompt_tokens", "prompt"),
                ("completion_tokens", "completion"),
                ("cost", "cost"),
                ("latency_p50_ms", "p50 ms"),
                ("latency_p99_ms", "p99 ms"),
                ("inter_token_p50_ms", "token ms"),
                ("errors", "errors"),
                ("shed", "shed"),
                ("drift", "drift"),
            ],
            Self::UsageGraph => &[
                ("kind", "kind"),
                ("from_kind", "from"),
                ("from_id", ""),
                ("to_kind", "to"),
                ("to_id", ""),
                ("events", "events"),
                ("errors", "errors"),
            ],
            Self::Capabilities => &[
                ("capsule", "capsule"),
                ("version", "version"),
                ("function", "function"),
                ("calls", "calls"),
                ("errors", "errors"),
                ("fuel_p50", "fuel p50"),
                ("memory_peak_bytes_max", "peak bytes"),
            ],
        }
    }
}

impl Gold {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut document = super::block_on(async {
            match context.place()? {
                Place::Host(client) => client.get(&["telemetry", "gold"], &[]).await,
                Place::Here(config, data) => {
                    telemetry::alone(&config, &data, async |running| {
                        running.pipeline().flush().await?;
                        Ok(running.gold()?)
                    })
                    .await
                }
            }
        })?;
        let wanted = |table: &Table| self.table.is_none_or(|wanted| wanted == *table);
        if let Some(tables) = document.as_object_mut() {
            tables.retain(|name, _| Table::ALL.iter().any(|table| table.name() == name && wanted(table)));
        }
        context.print(&document, || {
            let tables = Table::ALL.iter().filter(|table| wanted(table));
            tables
                .map(|table| shown(*table, &document))
                .collect::<Vec<_>>()
                .join("\n")
        });
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(table: Table, document: &Value) -> String {
    let rows = document.get(table.name()).and_then(Value::as_array);
    let rows = rows.map(Vec::as_slice).unwrap_or_default();
    let columns = table.columns();
    let mut lines = vec![columns.iter().map(|(_, heading)| (*heading).to_string()).collect()];
    for row in rows.iter().take(ROWS_MAX) {
        lines.push(
            columns
                .iter()
                .map(|(name, _)| cell(row.get(*name).unwrap_or(&Value::Null)))
                .collect(),
        );
    }
    let more = match rows.len().saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!(
            "… {} more rows (--output json shows all)\n",
            render::grouped(more as u64)
        ),
    };
    format!("{}\n{}{more}", table.name(), render::table(&lines))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => render::grouped(whole),
            None => number
                .as_f64()
                .map_or_else(|| number.to_string(), |number| format!("{number:.3}")),
        },
        other => other.to_string(),
    }
}
