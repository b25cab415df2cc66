//! `kinetic rebuild`: makes tables anew from those below them.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Context, Place};
use crate::telemetry;

/// Make silver and gold anew from bronze
///
/// The files are the same ones again, byte for byte, unless the silver gate or the prices are
/// others now. Events wait in the stream buffer meanwhile.
///
///     kinetic rebuild --from bronze
///     kinetic rebuild --from bronze --data ./data
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Rebuild {
    /// The tables that are trusted
    #[arg(long, value_enum)]
    from: From,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    /// What arrived and was kept
    Bronze,
}

impl Rebuild {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let From::Bronze = self.from;
        let status = super::block_on(async {
            match context.place()? {
                Place::Host(client) => client.post(&["telemetry", "rebuild"], &json!({})).await,
                Place::Here(config, data) => {
                    telemetry::alone(&config, &data, async |running| {
                        running.pipeline().rebuild().await?;
                        Ok(serde_json::to_value(running.pipeline().status().await?)?)
                    })
                    .await
                }
            }
        })?;
        context.print(&status, || {
            let offset = status
                .pointer("/storage/durable_offset")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            format!("silver and gold are made anew from bronze, up to offset {offset}")
        });
        Ok(ExitCode::SUCCESS)
    }
}
