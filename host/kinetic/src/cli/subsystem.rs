//! `kinetic subsystem`: the runtime's own parts that another component can take the place of.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Place};
use crate::{error, render, telemetry};

/// Put another component in the place of the stream buffer or the silver gate
///
/// A component of the same WIT world (wit/kinetic-stream, wit/kinetic-silver) takes over while
/// events flow: the stream buffer's state is handed over, and when the component cannot take it
/// the old one goes on. The choice holds after a restart too; `reset` goes back to the host's own.
///
///     kinetic subsystem list
///     kinetic subsystem swap stream-buffer ./mine.wasm
///     kinetic subsystem reset stream-buffer
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Subsystem {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show the subsystems and how they are
    ///
    ///     kinetic subsystem list
    #[command(verbatim_doc_comment)]
    List,
    /// Put a component in a subsystem's place
    ///
    ///     kinetic subsystem swap stream-buffer ./mine.wasm
    #[command(verbatim_doc_comment)]
    Swap {
        /// stream-buffer or silver-gate
        name: String,
        /// The component
        file: PathBuf,
    },
    /// Go back to the host's own component
    ///
    ///     kinetic subsystem reset stream-buffer
    #[command(verbatim_doc_comment)]
    Reset {
        /// stream-buffer or silver-gate
        name: String,
    },
}

impl Subsystem {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.what {
            What::List => list(context),
            What::Swap { name, file } => {
                let bytes = std::fs::read(&file).map_err(error::file(&file))?;
                put(context, &name, Some(bytes.into()))
            }
            What::Reset { name } => put(context, &name, None),
        }
    }
}

fn put(context: &Context, name: &str, component: Option<Bytes>) -> anyhow::Result<ExitCode> {
    let document = super::block_on(async {
        match (context.place()?, component) {
            (Place::Host(client), Some(bytes)) => client.put_subsystem(name, bytes).await,
            (Place::Host(client), None) => client.delete(&["subsystems", name], &[]).await,
            (Place::Here(config, data), component) => {
                telemetry::alone(&config, &data, async |running| {
                    let telemetry = running.telemetry();
                    let digest = telemetry.operator.swap(&telemetry.pipeline, name, component).await?;
                    Ok(json!({ "subsystem": name, "digest": digest }))
                })
                .await
            }
        }
    })?;
    context.print(&document, || {
        let digest = document.get("digest").and_then(Value::as_str).unwrap_or_default();
        format!("{name} is {digest} now")
    });
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> anyhow::Result<ExitCode> {
    let status = super::block_on(async {
        match context.place()? {
            Place::Host(client) => client.get(&["telemetry"], &[]).await,
            Place::Here(config, data) => {
                telemetry::alone(&config, &data, async |running| {
                    Ok(serde_json::to_value(running.pipeline().status().await?)?)
                })
                .await
            }
        }
    })?;
    context.print(&status, || {
        let row = |name: &str, place: &str| {
            let of = |member: &str| status.pointer(&format!("{place}/{member}"));
            let text = |member: &str| of(member).and_then(Value::as_str).unwrap_or_default().to_string();
            let failures = of("failures").and_then(Value::as_u64).unwrap_or_default();
            vec![
                name.to_string(),
                text("state"),
                render::grouped(failures),
                text("digest"),
                text("last_failure"),
            ]
        };
        let heading = ["subsystem", "state", "failures", "digest", ""]
            .map(String::from)
            .to_vec();
        render::table(&[
            heading,
            row("stream-buffer", "/buffer/component"),
            row("silver-gate", "/storage/gate"),
        ])
    });
    Ok(ExitCode::SUCCESS)
}
