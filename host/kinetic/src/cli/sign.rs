//! `kinetic sign`: one more signature under a built capsule, for namespaces in which several people have to sign.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kinetic_identity::{IdentityError, framed_digest};
use kinetic_kernel::Manifest;
use kinetic_model::Digest;
use serde_json::json;

use super::Context;
use super::signed::signers;
use crate::error;
use crate::project::Built;
use crate::signing;

/// What the digest that signers compare is of.
const PACKAGE: &str = "kinetic/capsule/v1";

/// Sign a built capsule; several people may, one after the other
///
/// The first one signs what `kinetic build` made and leaves receipt.json beside it; whoever signs
/// after them adds a signature to that file, which goes from one to the next with the capsule's
/// folder. `kinetic publish` sends it as it is. A new build removes it.
///
/// Before anything is signed it is checked that the receipt is about the component and manifest
/// that lie here. The digest that is printed is over both: with --expect nothing else is signed
/// than what somebody else named.
///
///     kinetic sign word-count --key ann.pem
///     kinetic sign word-count --key ben.pem --expect sha256:9f86d081884c7d65...
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Sign {
    /// The project's folder, or component.wasm in it, built before with `kinetic build`
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// The private key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Sign only if component and manifest have this digest together
    #[arg(long, value_name = "DIGEST")]
    expect: Option<Digest>,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let built = Built::at(&self.path)?;
        let manifest = Manifest::parse(&built.manifest)?;
        let files = [
            ("component.wasm", built.component.as_slice()),
            ("manifest.json", built.manifest.as_bytes()),
        ];
        // Two files of two names always have a digest.
        let package = framed_digest(PACKAGE, &files).unwrap_or(Digest::EMPTY);
        if let Some(expected) = self.expect.filter(|expected| *expected != package) {
            let error = IdentityError::SubjectMismatch {
                field: "digest of component and manifest".into(),
                expected: expected.to_string(),
                found: package.to_string(),
            };
            return Err(error.into());
        }
        let key = signing::existing_key(&self.key, manifest.id.namespace())?;
        let receipt = signing::receipt_of(&built, &manifest, Some(&key))?;
        std::fs::write(&built.receipt_file, receipt.to_json()).map_err(error::file(&built.receipt_file))?;
        let signers = signers(&receipt);
        let document = json!({
            "urn": manifest.id, "version": manifest.version, "digest": package,
            "receipt": built.receipt_file, "signer": key.public().id(), "signers": signers,
        });
        context.print(&document, || {
            format!(
                "{} {} is signed by {signers}\ncomponent and manifest: {package}\n{}",
                manifest.id,
                manifest.version,
                built.receipt_file.display()
            )
        });
        Ok(ExitCode::SUCCESS)
    }
}
