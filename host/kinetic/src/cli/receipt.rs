//! `kinetic receipt`: one receipt with the proof that it is in the log.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::Value;

use super::Context;
use crate::render;

/// Show a receipt and the proof that it is in the host's log
///
/// Every answer of a call carries its receipt_id. The receipt says which capsule ran, on which
/// build, under which policy, with the digests of input and output; the proof ties it to the
/// host's signed checkpoint. --output json prints the DSSE envelope and the audit path.
///
///     kinetic receipt 12-9f86d081884c7d65
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Receipt {
    /// The receipt's name, as the answer of a call gives it
    #[arg(value_name = "ID")]
    id: String,
}

impl Receipt {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load(None)?.config;
        let document = super::block_on(async { context.client(&config)?.receipt(&self.id).await })?;
        context.print(&document, || {
            let statement = document
                .pointer("/envelope/payload")
                .and_then(Value::as_str)
                .and_then(|payload| BASE64.decode(payload).ok())
                .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let number = |path: &str| document.pointer(path).and_then(Value::as_u64).unwrap_or_default();
            format!(
                "{}\n\nrecord {} of {} that the host's checkpoint signs\n",
                render::pretty(&statement.unwrap_or_default()),
                number("/proof/leaf_index"),
                number("/proof/tree_size"),
            )
        });
        Ok(ExitCode::SUCCESS)
    }
}
