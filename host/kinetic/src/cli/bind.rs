//! `kinetic bind`: who provides what a capsule requires.

use std::process::ExitCode;

use clap::Args;
use kinetic_model::Urn;
use serde_json::{Value, json};

use super::Context;

/// Let another capsule provide an interface to one that requires it
///
/// Its next call goes there; nothing is restarted, and it holds across restarts of the host.
/// Without --to it shows who provides what.
///
///     kinetic bind urn:acme:actionspace:solver:report:v1
///     kinetic bind urn:acme:actionspace:solver:report:v1 --interface acme:db/query --to urn:acme:actionspace:solver:fastdb:v1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Bind {
    /// The capsule that requires
    urn: Urn,
    /// What it requires, with or without its version
    #[arg(long, requires = "to")]
    interface: Option<String>,
    /// The capsule that shall provide it
    #[arg(long, value_name = "URN", requires = "interface")]
    to: Option<Urn>,
}

impl Bind {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let process = match (&self.interface, &self.to) {
            (Some(interface), Some(provider)) => {
                let body = json!({ "interface": interface, "provider": provider });
                super::block_on(client.put(&["capsules", self.urn.as_str(), "bind"], &body))?
            }
            _ => super::block_on(client.get(&["capsules", self.urn.as_str()], &[]))?,
        };
        context.print(&process, || {
            let uses = process.get("uses").and_then(Value::as_array);
            let lines: Vec<_> = uses.into_iter().flatten().map(line).collect();
            if lines.is_empty() {
                return format!("{} requires nothing of others", self.urn);
            }
            lines.join("\n")
        });
        Ok(ExitCode::SUCCESS)
    }
}

fn line(used: &Value) -> String {
    let text = |name: &str| used.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{} is provided by {}", text("interface"), text("provider"))
}
