//! `kinetic time-travel`: what the state was before a record, and what that record is.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::state::{entries, number};
use crate::client::Client;
use crate::error::Refused;

/// The code of a record that is not written yet.
const NOT_YET: &str = "KIN-LED-0006";

/// Show what the state was as of the records below N, and what record N is
///
/// All keys with their values and the records that wrote them, of one owner or of all, as the
/// records below N left them; and of record N itself, if it is written already: when, and what
/// happened. Record numbers are those of receipts: 12-9f86d081884c7d65 is record 12.
///
///     kinetic time-travel 12
///     kinetic time-travel 12 urn:acme:actionspace:solver:tool:v1 --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct TimeTravel {
    /// Records below this number count
    #[arg(value_name = "N")]
    seq: u64,
    /// Only the keys of this owner: host, a URN, or type:CLASS:NAME
    owner: Option<String>,
    /// How many keys at most
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
}

impl TimeTravel {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.client(&context.load(None)?.config)?;
        let document = super::block_on(async {
            let query = [("at", self.seq.to_string()), ("limit", self.limit.to_string())];
            let mut segments = vec!["state"];
            segments.extend(self.owner.as_deref());
            let mut document = client.get(&segments, &query).await?;
            let record = record(&client, self.seq).await?;
            if let Some(members) = document.as_object_mut() {
                members.insert("record".into(), record);
            }
            Ok(document)
        })?;
        context.print(&document, || {
            let record = document.get("record").filter(|record| !record.is_null());
            format!(
                "the state below record {}\n{}\n\n{}",
                self.seq,
                entries(&document).trim_end(),
                record.map_or_else(|| format!("record {} is not written yet", self.seq), describe)
            )
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// The record; nothing when it is not written yet, as the state of now is asked for by the next record's number.
async fn record(client: &Client, seq: u64) -> anyhow::Result<Value> {
    match client.record(seq).await {
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(Refused(problem)) if problem.get("code") == Some(&json!(NOT_YET)) => Ok(Value::Null),
            _ => Err(error),
        },
        found => found,
    }
}

/// A record in words.
fn describe(record: &Value) -> String {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let what = [text("event"), text("subject"), text("function")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let what = if what.is_empty() {
        "a write without a receipt"
    } else {
        &what
    };
    format!(
        "record {}: {what}\nwritten {} ns after 1970 began, {} keys written, {} definitions changed",
        number(record, "seq"),
        text("written_at_unix_ns").unwrap_or_default(),
        number(record, "writes"),
        number(record, "changes"),
    )
}
