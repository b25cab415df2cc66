//! `kinetic sign`: one more signature under a built capsule, for namespaces in which several people have to sign.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kinetic_identity::{FolderDigest, IdentityError, RECEIPT_BYTES_MAX, Receipt};
use kinetic_kernel::Manifest;
use kinetic_model::Digest;
use serde_json::json;

use super::Context;
use super::signed::signers;
use crate::error::{self, CliError};
use crate::project::Built;
use crate::signing;

/// Sign a built capsule; several people may, one after the other
///
/// The first one signs what `kinetic build` made and leaves receipt.json beside it; whoever signs
/// after them adds a signature to that file, which goes from one to the next with the capsule's
/// folder. `kinetic publish` sends it as it is. A new build removes it.
///
/// Before anything is signed it is checked that the receipt is about the component, the manifest
/// and the folder that lie here. With --expect nothing else is signed than what somebody else
/// named: the digest over component and manifest, or the one over the whole folder (policy.yaml,
/// spec/, tests/ and wit/ as well), which the receipt names.
///
///     kinetic sign word-count --key ann.pem
///     kinetic sign word-count --key ben.pem --expect sha256:9f86d081884c7d65...
///
/// With --statement nothing is signed: what has to be is printed, for cosign. With --bundle what
/// cosign made of it is put beside the other signatures.
///
///     kinetic sign word-count --statement > statement.json
///     cosign attest-blob --key cosign.key --statement statement.json --bundle cosign.json
///     kinetic sign word-count --bundle cosign.json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Sign {
    /// The project's folder, or component.wasm in it, built before with `kinetic build`
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// The private key to sign with
    #[arg(long, value_name = "FILE", required_unless_present_any = ["statement", "bundle"])]
    key: Option<PathBuf>,
    /// Sign only if component and manifest have this digest together, or the whole folder has
    #[arg(long, value_name = "DIGEST", conflicts_with = "statement")]
    expect: Option<Digest>,
    /// Print the in-toto statement that is to be signed, and sign nothing
    #[arg(long, conflicts_with_all = ["key", "bundle"])]
    statement: bool,
    /// Add the signature in this Sigstore bundle, as `cosign attest-blob` made it of that statement
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    bundle: Option<PathBuf>,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let built = Built::at(&self.path)?;
        let manifest = Manifest::parse(&built.manifest)?;
        if self.statement {
            return statement(&built, &manifest);
        }
        let package = FolderDigest::of_two(built.manifest.as_bytes(), &built.component).digest;
        let others = |expected: &Digest| *expected != package && *expected != built.folder.digest;
        if let Some(expected) = self.expect.filter(others) {
            let error = IdentityError::SubjectMismatch {
                field: "digest of component and manifest".into(),
                expected: expected.to_string(),
                found: package.to_string(),
            };
            return Err(error.into());
        }
        let (receipt, signer) = match (&self.bundle, &self.key) {
            (Some(bundle), _) => attached(&built, &manifest, bundle)?,
            (None, Some(path)) => {
                let key = signing::existing_key(path, manifest.id.namespace())?;
                let receipt = signing::receipt_of(&built, &manifest, Some(&key))?;
                (receipt, key.public().id().to_string())
            }
            (None, None) => {
                let why = "kinetic sign needs --key, --bundle or --statement".into();
                return Err(CliError::BadArgument { why }.into());
            }
        };
        std::fs::write(&built.receipt_file, receipt.to_json()).map_err(error::file(&built.receipt_file))?;
        let signers = signers(&receipt);
        let folder = receipt.folder()?;
        let document = json!({
            "urn": manifest.id, "version": manifest.version, "digest": package,
            "folder": folder.map(|folder| folder.digest), "files": folder.map(|folder| folder.files),
            "receipt": built.receipt_file, "signer": signer, "signers": signers,
        });
        context.print(&document, || {
            let folder = folder
                .map(|folder| format!("capsule folder: {folder}\n"))
                .unwrap_or_default();
            format!(
                "{} {} is signed by {signers}\ncomponent and manifest: {package}\n{folder}{}",
                manifest.id,
                manifest.version,
                built.receipt_file.display()
            )
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the statement byte for byte, as it has to be signed: that of the receipt that lies there, so that the signatures
/// can stand together, else a new one.
fn statement(built: &Built, manifest: &Manifest) -> anyhow::Result<ExitCode> {
    let statement = match &built.receipt {
        Some(receipt) => {
            let subject = signing::subject(&built.manifest, manifest, &built.component);
            signing::check(receipt, built, &subject)?;
            receipt.payload().to_vec()
        }
        None => signing::statement_of(built, manifest)?,
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&statement)
        .and_then(|()| out.flush())
        .map_err(error::file(Path::new("-")))?;
    Ok(ExitCode::SUCCESS)
}

/// The receipt with the signature that a bundle holds, and the key that the bundle names.
fn attached(built: &Built, manifest: &Manifest, file: &Path) -> anyhow::Result<(Receipt, String)> {
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(error::file(file))?;
    // One more than is allowed, so that it is refused as too large.
    opened
        .take(RECEIPT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(error::file(file))?;
    let bundle = Receipt::from_json(&bytes)?;
    let subject = signing::subject(&built.manifest, manifest, &built.component);
    signing::check(&bundle, built, &subject)?;
    let signer = signers(&bundle);
    let receipt = match built.receipt.clone() {
        Some(mut receipt) => {
            signing::check(&receipt, built, &subject)?;
            receipt.join(bundle)?;
            receipt
        }
        None => bundle,
    };
    Ok((receipt, signer))
}
