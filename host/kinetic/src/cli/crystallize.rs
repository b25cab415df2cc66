//! `kinetic crystallize`: has the running host sign a topology and deliver it to a registry for a permanent URN.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kinetic_identity::{TOPOLOGY_BYTES_MAX, TOPOLOGY_DEPTH_MAX, strict_json};
use kinetic_model::Urn;
use semver::Version;
use serde_json::{Map, Value, json};

use super::Context;
use crate::error::{self, CliError};

/// The largest file read, in bytes: written with spaces a document is larger than in the spelling that counts.
const FILE_BYTES_MAX: u64 = 8 * TOPOLOGY_BYTES_MAX as u64;

/// Give a topology that was made from recorded calls a permanent URN
///
/// The topology is any JSON object. The running host looks the calls up in its ledger, measures
/// the document against their records (one that is larger condenses nothing, and is refused),
/// signs it with the key of the URN's namespace, and puts it into its outbox: it is on the disk
/// when the command returns, and delivered as soon as the registry takes it. What has a URN and
/// a version never changes; the same again is the same. Asks the running host: with --data
/// alone, the one that serves that folder.
///
///     kinetic crystallize plan.json --urn urn:acme:actionspace:node:plan:v1 --version 1.0.0 \
///         --event 12-9f86d081884c7d65 --event 15-2c26b46b68ffc68f --to acme
///     kinetic outbox
///     kinetic promotion show urn:acme:actionspace:node:plan:v1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Crystallize {
    /// The file with the topology document
    #[arg(value_name = "TOPOLOGY")]
    topology: PathBuf,
    /// The permanent URN
    #[arg(long)]
    urn: Urn,
    /// Its version; the major is the one the URN ends in
    #[arg(long)]
    version: Version,
    /// A call it was made from, by the receipt_id of its answer; may be given more often
    #[arg(long = "event", value_name = "ID", required = true)]
    events: Vec<String>,
    /// The registry that is to give it its URN
    #[arg(long = "to", value_name = "REGISTRY")]
    to: String,
    /// The workflow or thread it came from
    #[arg(long, value_name = "ID")]
    workflow: Option<String>,
}

impl Crystallize {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let topology = document(&self.topology)?;
        let client = context.running_host()?;
        let body = json!({
            "urn": self.urn,
            "version": self.version,
            "topology": topology,
            "events": self.events,
            "workflow_id": self.workflow,
            "registry": self.to,
        });
        let entry = super::block_on(async { client.post(&["crystallizations"], &body).await })?;
        context.print(&entry, || {
            let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
            format!(
                "{} {} ({}) is {} in the outbox for {}.\nSee how it stands: kinetic outbox show {}",
                self.urn,
                self.version,
                text("/payload/digest"),
                text("/state"),
                self.to,
                text("/id")
            )
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// The object in a file.
fn document(path: &Path) -> Result<Map<String, Value>, CliError> {
    let bad = |why: String| CliError::BadTopology {
        path: path.display().to_string(),
        why,
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(error::file(path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let parsed = strict_json::parse(&bytes, TOPOLOGY_DEPTH_MAX);
    match parsed.map_err(|error| bad(error.to_string().trim_end_matches('.').into()))? {
        Value::Object(members) => Ok(members),
        _ => Err(bad("it is not a JSON object".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_object_and_nothing_is_named_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, "{\n \"nodes\": [1] }\n").unwrap();
        assert_eq!(Value::Object(document(&path).unwrap()), json!({ "nodes": [1] }));
        for text in ["", "[]", "7", r#"{"a":1,"a":2}"#, "{} {}"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(document(&path), Err(CliError::BadTopology { .. })), "{text}");
        }
        let missing = document(&folder.path().join("none.json"));
        assert!(matches!(missing, Err(CliError::File { .. })));
    }
}
