//! `kinetic suspend` and `kinetic resume`: keeping calls away from a capsule for a while.

use std::process::ExitCode;

use clap::Args;
use kinetic_model::Urn;
use serde_json::{Value, json};

use super::Context;

/// Let no call of a capsule in until it is resumed
///
/// Calls under way end; new ones are answered 503 with the reason. It holds across restarts of
/// the host.
///
///     kinetic suspend urn:acme:actionspace:solver:word_count:v1 --reason "wrong prices"
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Suspend {
    /// The capsule
    urn: Urn,
    /// Why; callers get to read it
    #[arg(long)]
    reason: String,
}

/// Let calls of a suspended capsule in again
///
///     kinetic resume urn:acme:actionspace:solver:word_count:v1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Resume {
    /// The capsule
    urn: Urn,
}

impl Suspend {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        ask(context, &self.urn, "suspend", &json!({ "reason": self.reason }))
    }
}

impl Resume {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        ask(context, &self.urn, "resume", &json!({}))
    }
}

fn ask(context: &Context, urn: &Urn, what: &str, body: &Value) -> anyhow::Result<ExitCode> {
    let client = context.running_host()?;
    let process = super::block_on(client.post(&["capsules", urn.as_str(), what], body))?;
    context.print(&process, || {
        let text = |name: &str| process.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{urn} {} is {} now", text("version"), text("state"))
    });
    Ok(ExitCode::SUCCESS)
}
