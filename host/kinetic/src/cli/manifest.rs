//! `kinetic manifest`: the schema of manifest.json, and a check against it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use kinetic_kernel::Policy;
use serde_json::json;

use super::Context;
use crate::{boot, error, render};

/// Print the JSON Schema of manifest.json, or check a manifest
///
/// Editors complete and check manifests with the schema. `check` also applies the rules a
/// schema cannot say, and shows the limits the capsule would get under this configuration.
///
///     kinetic manifest schema > manifest.schema.json
///     kinetic manifest check word-count/manifest.json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Manifest {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the schema
    Schema,
    /// Check one manifest
    Check {
        /// The file
        #[arg(default_value = "manifest.json")]
        file: PathBuf,
    },
}

impl Manifest {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Schema => {
                let schema = kinetic_kernel::Manifest::schema();
                context.print(&schema, || render::pretty(&schema));
            }
            What::Check { file } => {
                let text = std::fs::read_to_string(&file).map_err(error::file(&file))?;
                let manifest = kinetic_kernel::Manifest::parse(&text)?;
                let policy: Policy = boot::policy(&context.load(None)?.config)?;
                policy.check_claims(&manifest)?;
                let (limits, lowered) = policy.limits(&manifest);
                let document = json!({
                    "urn": manifest.id, "version": manifest.version, "limits": limits, "lowered": lowered,
                });
                context.print(&document, || {
                    let mut lines = vec![format!("{} {} is well formed", manifest.id, manifest.version)];
                    lines.push(render::limits(&limits));
                    if !lowered.is_empty() {
                        lines.push(format!("lowered to the ceiling of its zone: {}", lowered.join(", ")));
                    }
                    lines.join("\n")
                });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
