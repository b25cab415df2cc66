//! `kinetic pull`: a capsule from a registry into the store of the host on this machine.

use std::process::ExitCode;

use clap::Args;
use kinetic_kernel::Pulled;
use kinetic_model::CapsuleRef;
use serde_json::json;

use super::{Context, signed};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::{boot, client};

/// Fetch a capsule from a registry into the local store, verified
///
/// Size, digest, receipt and manifest are checked against the trust root before anything is
/// stored; nothing of it is compiled or run by this command. A host that serves the data folder
/// now admits it as it would any other, and keeps it beside the active version: `kinetic swap`
/// puts it in that one's place. What is stored needs no network any more.
///
///     kinetic pull urn:acme:actionspace:solver:word_count:v1
///     kinetic pull urn:acme:actionspace:solver:word_count:v1@1.2.0 --from acme
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Pull {
    /// The capability, pinned to a version or to its bytes if you like: URN, URN@1.4.2 or URN@sha256:...
    #[arg(value_name = "URN")]
    what: CapsuleRef,
    /// The registry to ask, and no other [default: all, in the order of `kinetic registry list`]
    #[arg(long, value_name = "REGISTRY")]
    from: Option<String>,
}

impl Pull {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load(None)?.config;
        let data = DataDir::open(&context.data()?)?;
        let (pulled, place) = super::block_on(self.pull(context, &config, &data))?;
        let Pulled {
            descriptor,
            signer,
            source,
            ..
        } = &pulled;
        let document = json!({
            "urn": descriptor.urn, "version": descriptor.version, "digest": descriptor.digest,
            "size_bytes": descriptor.size_bytes, "signer": signer, "source": source, "stored": place,
        });
        context.print(&document, || {
            let (urn, version, digest) = (&descriptor.urn, &descriptor.version, descriptor.digest);
            format!("{urn} {version} ({digest})\nfrom {source}, signed by key {signer}, is in {place}")
        });
        Ok(ExitCode::SUCCESS)
    }

    /// The capsule, and where it was put.
    async fn pull(&self, context: &Context, config: &Config, data: &DataDir) -> anyhow::Result<(Pulled, String)> {
        let kernel = boot::pulling_kernel(config, data)?;
        let pulled = kernel.pull(&self.what, self.from.as_deref()).await?;
        let Pulled {
            descriptor, component, ..
        } = &pulled;
        // A host reads its store when it starts, so one that runs has to put it there itself.
        let place = if let Some(address) = data.served_at() {
            let url = client::url_of(address);
            let host = signed::host(context, &url)?;
            host.stage(&descriptor.manifest, &descriptor.receipt, component).await?;
            format!("the store of {url}")
        } else {
            kernel.store().put(descriptor.clone(), component.clone()).await?;
            format!("the store of {}", data.root().display())
        };
        Ok((pulled, place))
    }
}
