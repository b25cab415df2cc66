//! `kinetic quarantine`: what a host refused, why, what to do about it, and the signed word that lets it be tried again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_identity::{countersign_statement, sign_statement};
use kinetic_kernel::{KernelError, Quarantined, override_statement};
use kinetic_model::{Digest, Fault};
use serde_json::{Value, json};

use super::signed::Signer;
use super::{Context, Place};
use crate::boot;
use crate::error::CliError;

/// List the capsules a host refused or took out of service, each with reason and fix
///
/// A refused capsule is kept out by the digest of its bytes. One that was refused for its key,
/// its manifest's claims or its imports is judged again at the next try; one whose bytes are at
/// fault, or that failed in service, needs new bytes, or an override signed with a key that the
/// host trusts for its namespace. Asks the running host, or with --data and without --host reads
/// what was written down in that data folder.
///
///     kinetic quarantine
///     kinetic quarantine show sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
///     kinetic quarantine release sha256:2cf2... --reason "the registry it needs is back"
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Quarantine {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// List all of it; what the command does by itself
    List,
    /// Show one entry
    ///
    ///     kinetic quarantine show sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
    #[command(verbatim_doc_comment)]
    Show {
        /// SHA-256 of the component, as the list shows it
        digest: Digest,
    },
    /// Let the same bytes be tried again, by an override that is signed and recorded
    ///
    /// They are judged anew when they are next asked for, and quarantined again when they fail
    /// again. Needs a running host: with --data alone, the one that serves that folder.
    ///
    ///     kinetic quarantine release sha256:2cf2... --reason "the registry it needs is back"
    #[command(verbatim_doc_comment)]
    Release {
        /// SHA-256 of the component, as the list shows it
        digest: Digest,
        /// Why they deserve another chance; it is recorded
        #[arg(long)]
        reason: String,
        /// The private key to sign with; again for each further one, where the namespace needs several [default:
        /// keys/NAMESPACE.pem in the data folder]
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
    },
}

impl Quarantine {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.what {
            None | Some(What::List) => list(context),
            Some(What::Show { digest }) => show(context, &digest),
            Some(What::Release { digest, reason, key }) => release(context, &digest, &reason, &key),
        }
    }
}

fn list(context: &Context) -> anyhow::Result<ExitCode> {
    let document = match context.place()? {
        Place::Host(client) => super::block_on(client.get(&["quarantine"], &[]))?,
        Place::Here(config, data) => json!({ "quarantined": boot::trial_kernel(&config, &data)?.quarantined() }),
    };
    context.print(&document, || {
        let listed = document.get("quarantined").and_then(Value::as_array);
        let reports: Vec<_> = listed.into_iter().flatten().map(report).collect();
        if reports.is_empty() {
            "nothing was refused".to_string()
        } else {
            reports.join("\n\n")
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, digest: &Digest) -> anyhow::Result<ExitCode> {
    let name = digest.to_string();
    let document = match context.place()? {
        Place::Host(client) => super::block_on(client.get(&["quarantine", &name], &[]))?,
        Place::Here(config, data) => {
            let mut all = boot::trial_kernel(&config, &data)?.quarantined().into_iter();
            let entry = all.find(|entry| entry.digest == *digest);
            let entry = entry.ok_or_else(|| Fault::from(KernelError::NotQuarantined { digest: name }))?;
            serde_json::to_value(entry)?
        }
    };
    context.print(&document, || {
        let step = document.get("step").and_then(Value::as_str).unwrap_or_default();
        format!("{}\n  it failed at the step {step}", report(&document))
    });
    Ok(ExitCode::SUCCESS)
}

fn release(context: &Context, digest: &Digest, reason: &str, keys: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let client = context.running_host()?;
    let name = digest.to_string();
    let entry: Quarantined = {
        let entry = super::block_on(client.get(&["quarantine", &name], &[]))?;
        serde_json::from_value(entry).map_err(|e| CliError::BadAnswer {
            url: client.url().to_string(),
            why: e.to_string(),
        })?
    };
    // The namespace that signed it, or was to: nobody else's word counts.
    let namespace = entry.urn.split(':').nth(1).unwrap_or_default();
    let signed_by = |key: Option<&Path>| Signer { key, dev: false }.key(context, client.url(), namespace);
    let (first, others) = match keys.split_first() {
        Some((first, others)) => (signed_by(Some(first.as_path()))?, others),
        None => (signed_by(None)?, keys),
    };
    let mut envelope = sign_statement(&override_statement(&entry, reason), &first);
    let mut signers = vec![first.public().id().to_string()];
    for path in others {
        let key = signed_by(Some(path.as_path()))?;
        countersign_statement(&mut envelope, &key)?;
        signers.push(key.public().id().to_string());
    }
    let released = super::block_on(client.post(&["quarantine", &name, "release"], &envelope))?;
    context.print(&released, || {
        format!(
            "{} {}  {digest}\n  is out of quarantine and is judged anew when it is next asked for; signed by {}",
            entry.urn,
            entry.version,
            signers.join("+")
        )
    });
    Ok(ExitCode::SUCCESS)
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
