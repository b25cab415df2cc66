//! `kinetic errors`: what each code means and what to do.

use std::process::ExitCode;

use clap::Args;
use kinetic_model::CodeInfo;
use serde_json::{Value, json};

use super::Context;
use crate::error::{AREAS, CliError};
use crate::render;

/// Explain an error code, or list them all
///
///     kinetic errors KIN-ENG-0016
///     kinetic errors
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Errors {
    /// The code to explain, like KIN-ENG-0016
    code: Option<String>,
}

impl Errors {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let all = || AREAS.iter().flat_map(|(_, table)| *table);
        match self.code {
            Some(code) => {
                let same = |info: &&CodeInfo| info.code.eq_ignore_ascii_case(&code);
                let info = all().find(same).ok_or(CliError::UnknownCode { code: code.clone() })?;
                context.print(&document(info), || {
                    let (kind, status) = (info.kind.title(), info.kind.status());
                    format!(
                        "{} {} ({kind}, HTTP {status})\n  {}\n  {}",
                        info.code, info.name, info.message, info.fix
                    )
                });
            }
            None => {
                context.print(&json!({ "errors": all().map(document).collect::<Value>() }), || {
                    let row = |info: &CodeInfo| vec![info.code.to_string(), info.message.to_string()];
                    render::table(&all().map(row).collect::<Vec<_>>())
                });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn document(info: &CodeInfo) -> Value {
    json!({
        "code": info.code,
        "name": info.name,
        "title": info.kind.title(),
        "status": info.kind.status(),
        "detail": info.message,
        "fix": info.fix,
    })
}
