//! `kinetic docs-reference`: writes the reference pages that `make docs` keeps under docs/reference.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Context;
use crate::error;

/// Write the reference pages into a folder
#[derive(Args)]
pub struct DocsReference {
    /// Where
    folder: PathBuf,
}

impl DocsReference {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        std::fs::create_dir_all(&self.folder).map_err(error::file(&self.folder))?;
        let mut written = Vec::new();
        for (name, text) in crate::reference::pages(super::command())? {
            let path = self.folder.join(name);
            std::fs::write(&path, text).map_err(error::file(&path))?;
            written.push(path.display().to_string());
        }
        context.print(&json!({ "written": written }), || written.join("\n"));
        Ok(ExitCode::SUCCESS)
    }
}
