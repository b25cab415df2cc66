//! `kinetic lock`: what the URNs of a running host stand for, written down so that nothing else is admitted.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kinetic_identity::{LockEntry, LockFile, TrustRoot};
use kinetic_model::{Digest, Urn};
use semver::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::error::{self, CliError};
use crate::{boot, render};

/// Write down which bytes each capability stands for
///
/// Asks the running host, and writes URN, version, and the digests of component and manifest into
/// a lock file. A host that is started with `kinetic up --locked FILE`, or with the setting
/// kernel.lock, admits nothing else, whoever signed it; what the program carries for itself needs
/// no entry.
///
///     kinetic lock
///     kinetic lock urn:acme:actionspace:solver:my_tool:v1 --out acme.lock
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Lock {
    /// Capabilities to lock as they are now; other entries of the file stay [default: all that are active, and no other]
    #[arg(value_name = "URN")]
    urns: Vec<Urn>,
    /// The lock file
    #[arg(long, value_name = "FILE", default_value = "kinetic.lock")]
    out: PathBuf,
}

/// What the host says of an active capsule, as far as it matters here.
#[derive(Deserialize)]
struct Active {
    urn: Urn,
    version: Version,
    digest: Digest,
    manifest_digest: Digest,
}

impl Lock {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let found: Vec<Value> = super::block_on(async {
            let mut found = Vec::new();
            for urn in &self.urns {
                found.push(client.inspect(urn.as_str()).await?);
            }
            if self.urns.is_empty() {
                let listed = client.list().await?;
                found.extend(
                    listed
                        .get("capabilities")
                        .and_then(Value::as_array)
                        .cloned()
                        .unwrap_or_default(),
                );
            }
            Ok(found)
        })?;
        let mut lock = if self.urns.is_empty() || !self.out.exists() {
            LockFile::default()
        } else {
            boot::lock_file(&self.out)?
        };
        // Which root document was in force is known on the host's own machine.
        let root = match context.running_data()? {
            Some(data) => TrustRoot::load(&data.trust_file())?,
            None => TrustRoot::default(),
        };
        let mut rows = Vec::new();
        for document in found {
            let active: Active = serde_json::from_value(document).map_err(|e| CliError::BadAnswer {
                url: client.url().to_string(),
                why: e.to_string(),
            })?;
            rows.push(vec![
                active.urn.to_string(),
                active.version.to_string(),
                active.digest.to_string(),
            ]);
            let entry = LockEntry {
                component: active.digest,
                manifest: active.manifest_digest,
                root_version: root.document(active.urn.namespace()).map(|document| document.version),
                version: active.version,
            };
            lock.put(active.urn, entry)?;
        }
        std::fs::write(&self.out, lock.to_json()).map_err(error::file(&self.out))?;
        context.print(
            &json!({ "file": self.out, "locked": rows.len(), "entries": lock.entries().count() }),
            || format!("{}\n{}", render::table(&rows).trim_end(), self.out.display()),
        );
        Ok(ExitCode::SUCCESS)
    }
}
