//! `kinetic new`: an author's first project.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::Context;
use crate::error::{self, CliError};
use crate::project::Names;

/// Make a new capability project in Rust
///
/// It compiles, has a test that runs it in the real engine, and needs nothing but crates.io.
///
///     kinetic new word-count && cd word-count
///     kinetic build && cargo test
///     kinetic publish --dev
///     kinetic call urn:acme:actionspace:solver:word_count:v1 --arg text="to be or not to be" --arg top=2
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct New {
    /// Its name, and the folder's: lower-case words joined by hyphens
    name: String,
    /// Whose it is: the second part of its URN
    #[arg(long, default_value = "acme")]
    namespace: String,
    /// What it is: the fourth part of its URN
    #[arg(long, default_value = "solver",
          value_parser = PossibleValuesParser::new(["oracle", "solver", "effector", "substrate", "sensory", "node"]))]
    class: String,
}

impl New {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let names = Names::new(&self.name, &self.namespace, &self.class)?;
        let root = Path::new(&self.name);
        if root.exists() {
            return Err(CliError::Exists { path: self.name }.into());
        }
        let files = names.files()?;
        for (inside, text) in &files {
            let path = root.join(inside);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(error::file(folder))?;
            }
            std::fs::write(&path, text).map_err(error::file(&path))?;
        }
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        context.print(&json!({ "path": self.name, "urn": names.urn, "files": paths }), || {
            let (name, urn) = (&self.name, &names.urn);
            format!(
                "{name}/ is a capability called {urn}.\n\
                 Its code is in src/lib.rs, its functions in wit/world.wit. Next:\n\n  \
                 cd {name}\n  kinetic build\n  cargo test\n  kinetic publish --dev\n  \
                 kinetic call {urn} --arg text=\"to be or not to be\" --arg top=2"
            )
        });
        Ok(ExitCode::SUCCESS)
    }
}
