//! `kinetic replay`: makes recorded calls again and shows the first that ends otherwise.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use kinetic_kernel::{Kernel, Replayed};
use kinetic_ledger::{Reader, Record, SystemDisk};
use kinetic_model::{CapsuleRef, Fault, Urn};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Context, EXIT_FAILED};
use crate::boot;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::CliError;

/// Records read ahead of the one being replayed.
const AHEAD_MAX: usize = 64;

/// Make recorded calls again and compare their outputs
///
/// Takes the calls of one capsule out of the ledger, from record N on, and makes each again
/// from its recorded input, time and randomness, its host calls answered from the record: no
/// network is touched. Stops at the first call that ends otherwise; the exit status is then 3.
/// Calls of D0 and D1 capsules can be replayed; others are counted as skipped.
///
///     kinetic replay --capsule urn:kinetic:actionspace:solver:redact:v1 --from 0
///     kinetic replay --capsule urn:acme:actionspace:solver:tool:v1 --against urn:acme:actionspace:solver:tool:v1@2.0.0
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Replay {
    /// The capsule whose calls are replayed
    #[arg(long, value_name = "URN")]
    capsule: Urn,
    /// The first record looked at
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// The record at which to stop; it is not looked at [default: the log's end]
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Replay with this capsule instead of the recorded component: would a new version answer the same?
    #[arg(long, value_name = "URN[@PIN]")]
    against: Option<CapsuleRef>,
}

/// What was counted.
#[derive(Default)]
struct Count {
    same: u64,
    skipped: u64,
    skipped_why: Option<String>,
    diverged: Option<Value>,
}

impl Replay {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load(None)?.config;
        let data = DataDir::existing(&context.data()?)?;
        let count = super::block_on(self.replay(&config, &data))?;
        let mut document = json!({
            "capsule": self.capsule,
            "replayed": count.same + u64::from(count.diverged.is_some()),
            "same": count.same,
            "skipped": count.skipped,
            "skipped_because": count.skipped_why,
        });
        let text = |document: &Value| {
            let skipped = count
                .skipped_why
                .as_ref()
                .map_or_else(String::new, |why| format!(", {} skipped ({why})", count.skipped));
            let diverged = document.get("diverged").map_or_else(String::new, |diverged| {
                format!("\nfirst to end otherwise:\n{}", crate::render::pretty(diverged))
            });
            format!("{} calls ended the same{skipped}{diverged}", count.same)
        };
        let Some(diverged) = &count.diverged else {
            context.print(&document, || text(&document));
            return Ok(ExitCode::SUCCESS);
        };
        let seq = diverged.get("seq").and_then(Value::as_u64).unwrap_or_default();
        if let Some(members) = document.as_object_mut() {
            members.insert("diverged".into(), diverged.clone());
        }
        let shown = text(&document);
        context.print_refused(document, &(&CliError::ReplayDiverged { seq }).into(), || shown);
        Ok(ExitCode::from(EXIT_FAILED))
    }

    async fn replay(&self, config: &Config, data: &DataDir) -> anyhow::Result<Count> {
        let kernel = boot::looking_kernel(config, data).await?;
        let instead = match &self.against {
            Some(what) => Some(kernel.activate(what).await?),
            None => None,
        };
        let reader = Reader::open(Arc::new(SystemDisk), &data.ledger(), self.from)?;
        let (sender, mut records) = mpsc::channel::<Record>(AHEAD_MAX);
        let to = self.to.unwrap_or(u64::MAX);
        // Reading is file work; the calls are async.
        let reading = tokio::task::spawn_blocking(move || {
            reader.each(|record| Ok::<_, Fault>(record.seq < to && sender.blocking_send(record).is_ok()))
        });
        let mut count = Count::default();
        while let Some(record) = records.recv().await {
            one(&kernel, &record, &self.capsule, instead.as_ref(), &mut count).await?;
            if count.diverged.is_some() {
                return Ok(count);
            }
        }
        reading.await??;
        Ok(count)
    }
}

async fn one(
    kernel: &Kernel,
    record: &Record,
    urn: &Urn,
    instead: Option<&Arc<kinetic_kernel::Capsule>>,
    count: &mut Count,
) -> anyhow::Result<()> {
    match kernel.replay(record, urn, instead).await? {
        Replayed::Other => {}
        Replayed::Same => count.same += 1,
        Replayed::Skipped(why) => {
            count.skipped += 1;
            count.skipped_why.get_or_insert(why);
        }
        Replayed::Diverged { then, now, why } => {
            count.diverged = Some(json!({ "seq": record.seq, "then": then, "now": now, "why": why }));
        }
    }
    Ok(())
}
