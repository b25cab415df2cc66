//! `kinetic publish`: sign a built capsule and hand it to the running host.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kinetic_identity::SigningKey;
use kinetic_kernel::Manifest;
use kinetic_registry::{HttpOptions, HttpSource};
use serde_json::json;

use super::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::project::Project;
use crate::signing;

/// How long the host may take: it compiles before it answers.
const PUBLISH_TIMEOUT: Duration = Duration::from_mins(2);

/// Sign a built capsule and publish it to the running host
///
/// The host verifies, compiles and probes it before it answers; then it is active. It believes
/// only keys that its trust root lists for the namespace.
///
/// With --dev, and a host on this machine, one command does it all: the namespace gets a key in
/// the data folder of that host, and its trust root lists it. That needs nothing but the right
/// to write that folder, which is the right to decide what the host trusts anyway; over the
/// network nobody can. A namespace that trusts somebody else's key is left alone. Later
/// publications of the namespace need no --dev.
///
///     kinetic publish word-count --dev
///     kinetic publish --key acme.pem --to https://kinetic.example.com --token-file token
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Publish {
    /// The project's folder, built before with `kinetic build`
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Make a key for the namespace and have the host on this machine trust it, if the namespace has none
    #[arg(long)]
    dev: bool,
    /// The private key to sign with [default: keys/NAMESPACE.pem in the data folder]
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    key: Option<PathBuf>,
}

impl Publish {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let built = Project::open(&self.path)?.built()?;
        let manifest = Manifest::parse(&built.manifest)?;
        let url = context.host_url(&context.load(None)?.config);
        let options = HttpOptions {
            token: context.token()?,
            total_timeout: PUBLISH_TIMEOUT,
            read_timeout: PUBLISH_TIMEOUT,
            ..HttpOptions::default()
        };
        let registry = HttpSource::new(&url, &options)?;
        let key = self.signing_key(context, &url, manifest.id.namespace())?;
        let info = signing::build_info(&built.info);
        let receipt = signing::sign(&built.manifest, &manifest, &built.component, &info, &key)?;
        let published =
            super::block_on(async { Ok(registry.publish(&built.manifest, &receipt, &built.component).await?) })?;
        let urn = &published.urn;
        let signer = key.public().id();
        let document = json!({
            "urn": urn, "version": published.version, "digest": published.digest, "signer": signer, "host": url,
        });
        context.print(&document, || {
            let version = &published.version;
            format!("{urn} {version} is active on {url}, signed by key {signer}.\nSee it: kinetic inspect {urn}")
        });
        Ok(ExitCode::SUCCESS)
    }

    fn signing_key(&self, context: &Context, url: &str, namespace: &str) -> anyhow::Result<SigningKey> {
        if let Some(path) = &self.key {
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
