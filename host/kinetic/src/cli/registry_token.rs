//! `kinetic registry token`: who may publish to a registry of one's own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kinetic_registry_server::{Namespaces, NewToken, Quota, Right, add_token};
use serde_json::json;

use super::Context;

/// Make a token for a registry of one's own
///
/// The token is printed once and kept nowhere: the file holds its SHA-256, what it may do, and
/// how much. A registry reads the file anew at each request, so a token that is taken out of it
/// counts no more.
///
/// What may publish or yank does so in the namespaces that are named, and nowhere else; reading is
/// of everything there is.
///
///     kinetic registry token ci --right publish --namespace acme --file tokens.json
///     kinetic registry token reader --right read --file tokens.json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Token {
    /// What to call it: lower-case letters, digits, hyphens and underscores
    name: String,
    /// What it may do; may be given several times
    #[arg(long = "right", value_name = "read|publish|yank", required = true)]
    rights: Vec<Right>,
    /// A namespace it may publish and yank in; may be given several times [default: none]
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Let it publish and yank in every namespace, also in those to come
    #[arg(long, conflicts_with = "namespaces")]
    all_namespaces: bool,
    /// The file of tokens; it is made when it is missing
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// How much it may publish, components and manifests together, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Quota::default().bytes_max)]
    bytes_max: u64,
    /// How many versions it may publish
    #[arg(long, value_name = "COUNT", default_value_t = Quota::default().versions_max)]
    versions_max: u64,
    /// How often it may publish in any minute
    #[arg(long, value_name = "COUNT", default_value_t = Quota::default().publications_per_minute_max)]
    publications_per_minute_max: u32,
}

impl Token {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let new = NewToken {
            name: self.name,
            rights: self.rights,
            namespaces: if self.all_namespaces {
                Namespaces::All
            } else {
                Namespaces::Only(self.namespaces)
            },
            quota: Quota {
                bytes_max: self.bytes_max,
                versions_max: self.versions_max,
                publications_per_minute_max: self.publications_per_minute_max,
            },
        };
        let NewToken {
            name,
            rights,
            namespaces,
            ..
        } = new.clone();
        let token = add_token(&self.file, new)?;
        let document = json!({
            "name": name, "rights": rights, "namespaces": namespaces, "file": self.file, "token": token,
        });
        context.print(&document, || token.clone());
        Ok(ExitCode::SUCCESS)
    }
}
