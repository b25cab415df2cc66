//! `kinetic outbox`: what waits for registries, what was delivered lately, what is not tried any more and why.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use crate::render;

/// List what waits in the host's outbox for registries, and what could not be delivered
///
/// `kinetic publish PATH --to REGISTRY --via-host` puts a capsule there, and `kinetic crystallize`
/// a topology, whose URN is permanent when it is delivered. The host delivers it as
/// soon as the registry takes it, across restarts, once as the registry sees it. What the registry
/// refuses for good, or does not take within outbox.give_up_after_ms, is dead: it is kept, with
/// the reason, until somebody has it tried again, publishes it again, or drops it. Asks the running
/// host: with --data alone, the one that serves that folder.
///
///     kinetic outbox
///     kinetic outbox show 5f1c0a6d2b7e4c9083d1f6a25e7b9c40
///     kinetic outbox retry 5f1c0a6d2b7e4c9083d1f6a25e7b9c40
///     kinetic outbox drop 5f1c0a6d2b7e4c9083d1f6a25e7b9c40 --reason "published by hand"
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Outbox {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// List all of it; what the command does by itself
    List,
    /// Show one entry
    Show {
        /// The entry's id, as the list shows it
        id: String,
    },
    /// Try an entry at once; a dead one is tried again from now on
    Retry {
        /// The entry's id, as the list shows it
        id: String,
    },
    /// Take an entry out, with its bytes; it is not delivered any more
    Drop {
        /// The entry's id, as the list shows it
        id: String,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
    },
}

impl Outbox {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let asking = async {
            match &self.what {
                None | Some(What::List) => client.get(&["outbox"], &[]).await,
                Some(What::Show { id }) => client.get(&["outbox", id], &[]).await,
                Some(What::Retry { id }) => client.post(&["outbox", id, "retry"], &json!({})).await,
                Some(What::Drop { id, reason }) => client.delete(&["outbox", id], &[("reason", reason.clone())]).await,
            }
        };
        let document = super::block_on(asking)?;
        context.print(&document, || match &self.what {
            None | Some(What::List) => listed(&document),
            Some(What::Show { .. } | What::Retry { .. }) => entry(&document),
            Some(What::Drop { id, .. }) => format!("{id} is dropped\n{}", entry(&document)),
        });
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(document: &Value) -> String {
    let entries = document.get("entries").and_then(Value::as_array);
    let entries: Vec<_> = entries.into_iter().flatten().map(entry).collect();
    if entries.is_empty() {
        "the outbox is empty".to_string()
    } else {
        entries.join("\n\n")
    }
}

/// An entry for people: what and where to, how it stands, and what went wrong the last time.
fn entry(entry: &Value) -> String {
    let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let number = |path: &str| entry.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let is_promotion = text("/payload/kind") == "promotion";
    let mut lines = vec![
        format!(
            "{}{} {} for {}: {}",
            if is_promotion { "topology " } else { "" },
            text("/payload/urn"),
            text("/payload/version"),
            text("/registry"),
            text("/state")
        ),
        format!(
            "  {}, {}, failed {} times",
            text("/id"),
            render::bytes(number("/bytes")),
            number("/attempts")
        ),
    ];
    if is_promotion {
        lines.push(format!(
            "  document {}, event {}",
            text("/payload/digest"),
            text("/payload/event_cid")
        ));
    }
    match (text("/code"), text("/reason")) {
        ("", "") => {}
        ("", reason) => lines.push(format!("  {reason}")),
        (code, reason) => lines.push(format!("  {code}: {reason}")),
    }
    if let Some(next_ms) = entry.pointer("/next_try_ms").and_then(Value::as_u64) {
        lines.push(format!("  next try in {next_ms} ms"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_where_it_goes_how_it_stands_and_why() {
        let waits = json!({
            "id": "ab", "registry": "acme", "bytes": 3, "attempts": 2, "state": "waiting", "next_try_ms": 7,
            "payload": { "kind": "capsule", "urn": "urn:a", "version": "1.0.0" },
            "code": "KIN-REG-0015", "reason": "it is away.",
        });
        let lines: Vec<String> = entry(&waits).lines().map(String::from).collect();
        assert_eq!(lines[0], "urn:a 1.0.0 for acme: waiting");
        assert!(lines[1].starts_with("  ab, ") && lines[1].ends_with("failed 2 times"));
        assert_eq!(lines[2..], ["  KIN-REG-0015: it is away.", "  next try in 7 ms"]);
        assert_eq!(listed(&json!({ "entries": [] })), "the outbox is empty");
        let promoted = json!({
            "id": "ab", "registry": "acme", "bytes": 3, "attempts": 0, "state": "delivered",
            "payload": { "kind": "promotion", "urn": "urn:a", "version": "1.0.0", "digest": "sha256:d", "event_cid": "sha256:e" },
            "reason": "the registry took it",
        });
        let lines: Vec<String> = entry(&promoted).lines().map(String::from).collect();
        assert_eq!(lines[0], "topology urn:a 1.0.0 for acme: delivered");
        assert_eq!(
            lines[2..],
            ["  document sha256:d, event sha256:e", "  the registry took it"]
        );
    }
}
