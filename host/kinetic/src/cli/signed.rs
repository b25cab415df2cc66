//! A built capsule, signed, on its way to a host: what `publish` and `swap` share.

use std::path::Path;
use std::time::Duration;

use kinetic_identity::{KeyId, SigningKey};
use kinetic_kernel::Manifest;
use kinetic_registry::{HttpOptions, HttpSource, Published};
use serde_json::Value;

use super::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::project::Built;
use crate::signing;

/// How long the host may take: it compiles before it answers.
const PUBLISH_TIMEOUT: Duration = Duration::from_mins(2);

/// A capsule and who signed it.
pub(super) struct Signed {
    /// Its manifest.
    pub(super) manifest: Manifest,
    /// The key that signed it.
    pub(super) signer: KeyId,
    built: Built,
    receipt: Value,
    registry: HttpSource,
}

impl Signed {
    /// Reads what was built at that path and signs it for the host at that URL.
    ///
    /// # Errors
    /// Nothing built there, no key, or a capsule that cannot be signed.
    pub(super) fn new(context: &Context, url: &str, path: &Path, signer: &Signer<'_>) -> anyhow::Result<Self> {
        let built = Built::at(path)?;
        let manifest = Manifest::parse(&built.manifest)?;
        let options = HttpOptions {
            token: context.token()?,
            total_timeout: PUBLISH_TIMEOUT,
            read_timeout: PUBLISH_TIMEOUT,
            ..HttpOptions::default()
        };
        let registry = HttpSource::new(url, &options)?;
        let key = signer.key(context, url, manifest.id.namespace())?;
        let info = signing::build_info(&built.info);
        let receipt = signing::sign(&built.manifest, &manifest, &built.component, &info, &key)?;
        Ok(Self {
            manifest,
            signer: key.public().id(),
            built,
            receipt,
            registry,
        })
    }

    /// Publishes it: it is active then.
    ///
    /// # Errors
    /// What the host says.
    pub(super) async fn publish(&self) -> anyhow::Result<Published> {
        let Built {
            manifest, component, ..
        } = &self.built;
        Ok(self.registry.publish(manifest, &self.receipt, component).await?)
    }

    /// Puts it into the host's store, where a swap finds it.
    ///
    /// # Errors
    /// What the host says.
    pub(super) async fn stage(&self) -> anyhow::Result<Published> {
        let Built {
            manifest, component, ..
        } = &self.built;
        Ok(self.registry.stage(manifest, &self.receipt, component).await?)
    }
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
