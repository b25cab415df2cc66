//! `kinetic verify`: whether anything in a ledger was changed, dropped or reordered; with a URN, everything that can be
//! checked about a capsule.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use kinetic_identity::PublicKey;
use kinetic_ledger::{SystemDisk, Verified, verify};
use kinetic_model::CapsuleRef;
use serde_json::json;

use super::{Context, EXIT_FAILED, verify_capsule};
use crate::boot;
use crate::data_dir::DataDir;
use crate::error::{self, CliError};

/// Prove that nothing in a ledger was changed, dropped or reordered; with a URN, check a capsule
///
/// Reads every record of the data folder's ledger: checksum, place, hash chain, Merkle tree and
/// the signed checkpoints. What is wrong is named by record, file and byte, and the exit status
/// is 3. It needs no host, and does not disturb one that runs.
///
/// The key that signed the checkpoints lies beside the ledger. Who fears that the whole folder
/// was made anew names the key with --key, and a checkpoint that was kept elsewhere (the member
/// "checkpoint" of GET /api/v1/ledger) with --checkpoint.
///
///     kinetic verify --data ./data
///     kinetic verify --data ./data --key ed25519:... --checkpoint yesterday.txt
///
/// With a URN everything is checked that decides whether a host would take that capsule, and each
/// step is told: where it comes from, the signed index of its namespace, its digest, who signed
/// it and how many must, its manifest, the lock file, policies, the quarantine, and whether a bill
/// of materials lies beside it. It is fetched from a registry unless the local store has it, and
/// neither compiled nor stored.
///
///     kinetic verify urn:acme:actionspace:solver:word_count:v1
///     kinetic verify urn:acme:actionspace:solver:word_count:v1@1.2.0 --from acme
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Verify {
    /// A capability, pinned to a version or to its bytes if you like [default: the ledger]
    #[arg(value_name = "URN", conflicts_with_all = ["key", "checkpoint"])]
    what: Option<CapsuleRef>,
    /// The registry to ask, and not the local store [default: all, behind the local store]
    #[arg(long, value_name = "REGISTRY", requires = "what")]
    from: Option<String>,
    /// The public key that must have signed the checkpoints [default: the one beside the ledger]
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,
    /// A checkpoint that was kept elsewhere; the ledger must go on from it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if let Some(what) = &self.what {
            return verify_capsule::run(context, what, self.from.as_deref());
        }
        let data = DataDir::existing(&context.data()?)?;
        let key = match self.key {
            Some(key) => key,
            None => {
                let path = data.ledger_public_key();
                let text = std::fs::read_to_string(&path).map_err(error::file(&path))?;
                text.trim().parse()?
            }
        };
        let witness = self
            .checkpoint
            .map(|path| std::fs::read_to_string(&path).map_err(error::file(&path)));
        let witness: Option<String> = witness.transpose()?;
        let started = Instant::now();
        let origin = boot::ledger_origin(&key);
        let verified = verify(&SystemDisk, &data.ledger(), &origin, &key, witness.as_deref())?;
        let seconds = started.elapsed().as_secs_f64();
        let mut document = json!(verified);
        if let Some(members) = document.as_object_mut() {
            members.insert("ok".into(), verified.findings.is_empty().into());
            members.insert("key".into(), key.to_string().into());
            members.insert("seconds".into(), seconds.into());
        }
        if verified.findings.is_empty() {
            context.print(&document, || describe(&verified, seconds));
            return Ok(ExitCode::SUCCESS);
        }
        let fault = (&CliError::LedgerChanged {
            findings: verified.findings.len(),
        })
            .into();
        context.print_refused(document, &fault, || describe(&verified, seconds));
        Ok(ExitCode::from(EXIT_FAILED))
    }
}

fn describe(verified: &Verified, seconds: f64) -> String {
    let mut lines = vec![format!(
        "{} records, {} bytes, read in {seconds:.2} s; {} checkpoints fit, the newest covers {}",
        verified.records, verified.bytes, verified.checkpoints, verified.covered
    )];
    if verified.first > 0 {
        lines.push(format!(
            "records below {} were removed by this host's retention, which it signed",
            verified.first
        ));
    }
    if let Some(byte) = verified.half_written {
        lines.push(format!(
            "the last record is half written (byte {byte} of the last segment): a crash left it, nobody was told it was there"
        ));
    }
    for finding in &verified.findings {
        lines.push(format!(
            "record {}: {} ({}, byte {})",
            finding.seq, finding.what, finding.file, finding.byte
        ));
    }
    if verified.findings.is_empty() {
        lines.push("nothing was changed, dropped or reordered".into());
    }
    lines.join("\n")
}
