//! `kinetic registry yank`: a version at a registry that is a server is not to be used any more, or may be again.

use std::process::ExitCode;

use clap::Args;
use kinetic_model::CapsuleRef;
use kinetic_registry::Yanked;
use serde_json::json;

use super::Context;
use super::registry_index::versioned;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::registries;

/// Say at a registry that a version is not to be used any more
///
/// Nobody gets it then who does not pin it, and the registry's signed index says why. It stays
/// where it is: who pins it, or has it in a lock file, still gets it. The registry is one that
/// `kinetic registry serve` serves; the token is the one that `kinetic publish --to` uses, and
/// needs the right to yank. Where no server decides, at a dir: or oci: registry, it is
/// `kinetic registry index` with --yank that does this.
///
///     kinetic registry yank urn:acme:actionspace:solver:word_count:v1@1.2.0 --registry acme --reason "it forgets words"
///     kinetic registry yank urn:acme:actionspace:solver:word_count:v1@1.2.0 --registry acme --undo
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Yank {
    /// The version: URN@1.2.0
    #[arg(value_name = "URN@VERSION")]
    what: CapsuleRef,
    /// The registry it is yanked at
    #[arg(long, value_name = "NAME")]
    registry: String,
    /// Why; whoever asks for the version reads it
    #[arg(long, required_unless_present = "undo", conflicts_with = "undo")]
    reason: Option<String>,
    /// Let the version be used again
    #[arg(long)]
    undo: bool,
}

impl Yank {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let (urn, version) = versioned(self.what)?;
        let data = DataDir::existing(&context.data()?)?;
        let registry = registries::of(&data, &context.load(None)?.config)?.named(&self.registry, urn.namespace())?;
        let server = registry.server()?.ok_or_else(|| CliError::NobodyYanks {
            registry: registry.label(),
            name: registry.name.clone(),
            namespace: urn.namespace().to_string(),
        })?;
        let reason = self.reason.as_deref();
        let yanked = super::block_on(async { Ok(server.yank(&urn, &version, reason).await?) })?;
        let document = json!({
            "urn": yanked.urn, "version": yanked.version, "digest": yanked.digest, "yanked": yanked.yanked,
            "index_version": yanked.index_version, "registry": registry.name, "place": registry.place,
        });
        context.print(&document, || shown(&registry.label(), &yanked));
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(registry: &str, yanked: &Yanked) -> String {
    let Yanked { urn, version, .. } = yanked;
    let what = match &yanked.yanked {
        Some(reason) => format!("{urn} {version} is yanked in {registry}: {reason}"),
        None => format!("{urn} {version} may be used again from {registry}"),
    };
    let (namespace, index_version) = (urn.namespace(), yanked.index_version);
    format!("{what}\nVersion {index_version} of its index of {namespace} says so.")
}
