//! `kinetic quarantine`: what a host refused, why, and what to do about it.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Context, Place};
use crate::boot;

/// List the capsules a host refused, each with reason and fix
///
/// A refused capsule is kept out by the digest of its bytes. One that was refused for its key,
/// its manifest's claims or its imports is judged again at the next try; one whose bytes are at
/// fault needs new bytes. Asks the running host, or with --data and without --host reads what
/// was written down in that data folder.
///
///     kinetic quarantine
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Quarantine {}

impl Quarantine {
    pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
        let document = match context.place()? {
            Place::Host(client) => super::block_on(client.quarantine())?,
            Place::Here(config, data) => json!({ "quarantined": boot::trial_kernel(&config, &data)?.quarantined() }),
        };
        context.print(&document, || {
            let refused = document
                .get("quarantined")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let reports: Vec<_> = refused.iter().map(report).collect();
            if reports.is_empty() {
                "nothing was refused".to_string()
            } else {
                reports.join("\n\n")
            }
        });
        Ok(ExitCode::SUCCESS)
    }
}

fn report(entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let [urn, version, digest] = ["urn", "version", "digest"].map(text);
    format!(
        "{urn} {version}  {digest}\n  {}: {}\n  {}",
        text("code"),
        text("message"),
        text("fix")
    )
}
