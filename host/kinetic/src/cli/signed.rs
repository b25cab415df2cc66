//! A built capsule, signed, on its way to a host or a registry: what `publish` and `swap` share.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kinetic_identity::{Receipt, SigningKey};
use kinetic_kernel::Manifest;
use kinetic_model::{Coded as _, Digest};
use kinetic_registry::{Descriptor, HttpOptions, HttpSource, Published, RegistryError};
use serde_json::{Value, json};

use super::Context;
use crate::client::Client;
use crate::data_dir::DataDir;
use crate::error::{self, CliError, Refused};
use crate::project::Built;
use crate::signing;

/// How long the host may take: it compiles before it answers.
const PUBLISH_TIMEOUT: Duration = Duration::from_mins(2);

/// A capsule and who signed it.
pub(super) struct Signed {
    /// Its manifest.
    pub(super) manifest: Manifest,
    /// The ids of the keys that signed it, as the receipt names them, with plus signs between them.
    pub(super) signer: String,
    built: Built,
    receipt: Value,
}

impl Signed {
    /// Reads what was built at that path and signs it for the host at that URL.
    ///
    /// What others signed with `kinetic sign` goes with their signatures; then a key is added only if one is named.
    ///
    /// # Errors
    /// Nothing built there, no key, a capsule that cannot be signed, or signatures of something else.
    pub(super) fn new(context: &Context, url: &str, path: &Path, signer: &Signer<'_>) -> anyhow::Result<Self> {
        let built = Built::at(path)?;
        let manifest = Manifest::parse(&built.manifest)?;
        let named = signer.key.is_some() || signer.dev || built.receipt.is_none();
        let key = if named {
            Some(signer.key(context, url, manifest.id.namespace())?)
        } else {
            None
        };
        let receipt = signing::receipt_of(&built, &manifest, key.as_ref())?;
        Ok(Self {
            signer: signers(&receipt),
            receipt: receipt.to_value(),
            manifest,
            built,
        })
    }

    /// Publishes it to the host at that URL: it is active then.
    ///
    /// # Errors
    /// What the host says.
    pub(super) async fn publish(&self, context: &Context, url: &str) -> anyhow::Result<Published> {
        let Built {
            manifest, component, ..
        } = &self.built;
        let published = host(context, url)?.publish(manifest, &self.receipt, component).await;
        published.map_err(in_its_own_words)
    }

    /// Writes it into a folder, as hosts read it that watch folders. Each file is there whole or not at all, and the receipt,
    /// without which the others are not believed, is the last.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub(super) fn lay_into(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).map_err(error::file(folder))?;
        let receipt = self.receipt.to_string();
        let files = [
            ("component.wasm", self.built.component.as_slice()),
            ("manifest.json", self.built.manifest.as_bytes()),
            ("receipt.json", receipt.as_bytes()),
        ];
        for (name, bytes) in files {
            let path = folder.join(name);
            let beside = folder.join(format!(".{name}.new"));
            std::fs::write(&beside, bytes)
                .and_then(|()| std::fs::rename(&beside, &path))
                .map_err(error::file(&path))?;
        }
        Ok(())
    }

    /// Puts it into the store of the host at that URL, where a swap finds it.
    ///
    /// # Errors
    /// What the host says.
    pub(super) async fn stage(&self, context: &Context, url: &str) -> anyhow::Result<Published> {
        let Built {
            manifest, component, ..
        } = &self.built;
        let staged = host(context, url)?.stage(manifest, &self.receipt, component).await;
        staged.map_err(in_its_own_words)
    }

    /// Has the host deliver it to the registry of that name; gives the entry in its outbox.
    ///
    /// # Errors
    /// What the host says.
    pub(super) async fn post(&self, client: &Client, registry: &str) -> anyhow::Result<Value> {
        let body = json!({
            "manifest": self.built.manifest,
            "receipt": self.receipt,
            "component": STANDARD.encode(&self.built.component),
            "registry": registry,
        });
        client.post(&["outbox"], &body).await
    }

    /// What a registry says of it, its component, and what that was made from.
    pub(super) fn into_parts(self) -> (Descriptor, Bytes, Option<Bytes>) {
        let descriptor = Descriptor {
            urn: self.manifest.id,
            version: self.manifest.version,
            manifest: self.built.manifest,
            receipt: self.receipt,
            digest: Digest::of(&self.built.component),
            size_bytes: self.built.component.len() as u64,
        };
        (
            descriptor,
            self.built.component.into(),
            self.built.sbom.map(Bytes::from),
        )
    }
}

/// The host at that URL, as one that capsules are put into.
///
/// # Errors
/// An address or a token that cannot be used.
pub(super) fn host(context: &Context, url: &str) -> anyhow::Result<HttpSource> {
    let options = HttpOptions {
        token: context.token()?,
        total_timeout: PUBLISH_TIMEOUT,
        read_timeout: PUBLISH_TIMEOUT,
        ..HttpOptions::default()
    };
    Ok(HttpSource::new(url, &options)?)
}

/// What the host said, with its own code and fix, where it is a host of ours that refused; else the error as it is.
fn in_its_own_words(error: RegistryError) -> anyhow::Error {
    let title = error.kind().title();
    match error {
        RegistryError::SourceForbids { code, detail, fix, .. }
        | RegistryError::SourceConflict { code, detail, fix, .. }
        | RegistryError::SourceRefuses { code, detail, fix, .. }
            if code.starts_with("KIN-") =>
        {
            Refused(json!({ "code": code, "title": title, "detail": detail, "fix": fix })).into()
        }
        other => other.into(),
    }
}

/// The key ids that a receipt names.
pub(super) fn signers(receipt: &Receipt) -> String {
    receipt.named_keys().collect::<Vec<_>>().join("+")
}

/// Whose key signs.
#[derive(Clone, Copy)]
pub(super) struct Signer<'a> {
    /// The private key's file; without one that of the namespace in the data folder.
    pub(super) key: Option<&'a Path>,
    /// Whether that one is made, and trusted, where it is missing.
    pub(super) dev: bool,
}

impl Signer<'_> {
    /// The key for a namespace at the host of that URL.
    ///
    /// # Errors
    /// No key, or one that cannot be read or made.
    pub(super) fn key(&self, context: &Context, url: &str, namespace: &str) -> anyhow::Result<SigningKey> {
        if let Some(path) = self.key {
            return signing::existing_key(path, namespace);
        }
        let running = context.running_data()?;
        if self.dev {
            let data = running.ok_or_else(|| CliError::DevNeedsLocal { url: url.to_string() })?;
            return signing::own_key(&data, namespace, "made by kinetic publish --dev");
        }
        let data = match running {
            Some(data) => data,
            None => DataDir::existing(&context.data()?)?,
        };
        signing::existing_key(&data.key_file(namespace)?, namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_refuses_speaks_for_itself_and_nothing_contradicts_it() {
        let conflict = |code: &str| RegistryError::SourceConflict {
            origin: "http://127.0.0.1:1".into(),
            code: code.into(),
            detail: "nobody provides acme:db/query@1.0.0.".into(),
            fix: "Publish a capsule that provides it.".into(),
        };
        let said = in_its_own_words(conflict("KIN-KER-0039")).to_string();
        assert_eq!(
            said,
            "KIN-KER-0039: nobody provides acme:db/query@1.0.0. Publish a capsule that provides it."
        );
        let other = in_its_own_words(conflict("no code"));
        assert_eq!(error::fault(&other).code, "KIN-REG-0022");
        assert!(error::fault(&other).fix.contains("Publish a capsule"), "{other}");
    }
}
