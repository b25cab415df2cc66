//! `kinetic run`: try a component file before it is published.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kinetic_engine::{Admit, Grantee};
use kinetic_kernel::Manifest;
use kinetic_model::{Digest, ImportGrant, Limits, LimitsAsk};

use super::Context;
use super::answer::{self, Answered};
use super::input::InputArgs;
use crate::{boot, error};

/// Run a component file directly: try before you publish
///
/// The file is your own, so no signature is needed; it runs in this process, in the same
/// sandbox, and never becomes active on any host. It gets the limits and imports that the
/// manifest.json beside it asks for, cut to what this configuration allows; without a manifest
/// the default limits and no imports beyond WASI's inert basics.
///
///     kinetic run target/capsule/component.wasm --arg text="to be or not to be" --arg top=2
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Run {
    /// The component
    component: PathBuf,
    /// Its manifest [default: manifest.json beside it, if there is one]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    input: InputArgs,
}

impl Run {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load(None)?.config;
        let answered = super::block_on(async {
            let bytes = std::fs::read(&self.component).map_err(error::file(&self.component))?;
            let engine = boot::author_engine(&config)?;
            let asked = asked(&self.component, Digest::of(&bytes), self.manifest.as_deref(), &config)?;
            let (capability, _) = engine.load(&bytes, asked.admit()).await?;
            let function = capability.function(self.input.function.as_deref())?;
            let input = self.input.read(&function.input_schema())?;
            let outcome = capability.call(Some(&function.name), input).await;
            Ok(Answered::from_outcome(outcome))
        })?;
        answer::show(context, answered, self.input.out.as_deref())
    }
}

/// What a component file is loaded with.
pub struct Asked {
    capsule: Grantee,
    grants: Vec<ImportGrant>,
    limits: Limits,
}

impl Asked {
    /// As the engine takes it.
    pub fn admit(&self) -> Admit<'_> {
        Admit {
            capsule: &self.capsule,
            grants: &self.grants,
            peers: &[],
            limits: &self.limits,
        }
    }
}

/// What a component file gets: what its manifest asks for within the policy, else the defaults.
///
/// # Errors
/// A manifest that cannot be read.
pub fn asked(
    component: &Path,
    digest: Digest,
    manifest: Option<&Path>,
    config: &crate::config::Config,
) -> anyhow::Result<Asked> {
    let beside = component.with_file_name("manifest.json");
    let Some(path) = manifest.or_else(|| beside.is_file().then_some(beside.as_path())) else {
        return Ok(Asked {
            capsule: Grantee::unnamed(digest)?,
            grants: Vec::new(),
            limits: Limits::effective(&LimitsAsk::default(), &config.limits.ceiling),
        });
    };
    let text = std::fs::read_to_string(path).map_err(error::file(path))?;
    let manifest = Manifest::parse(&text)?;
    let (limits, _) = boot::policy(config)?.limits(&manifest);
    Ok(Asked {
        capsule: manifest.grantee(digest),
        grants: manifest.imports,
        limits,
    })
}
