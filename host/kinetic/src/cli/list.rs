//! `kinetic list`: what can be called.

use std::process::ExitCode;

use clap::Args;
use kinetic_kernel::Capsule;
use serde_json::{Value, json};

use super::{Context, Place};
use crate::{boot, render};

/// List the active capabilities: URN, version, functions
///
/// Asks the running host. With --data and without --host: what a host on that data folder would
/// serve, this process verifying it just the same.
///
///     kinetic list
///     kinetic list --data ./data --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

impl List {
    pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
        let document = super::block_on(async {
            match context.place()? {
                Place::Host(client) => client.list().await,
                Place::Here(config, data) => {
                    let kernel = boot::looking_kernel(&config, &data).await?;
                    kernel.activate_all().await;
                    let capsules: Value = kernel.list().iter().map(|capsule| entry(capsule)).collect();
                    Ok(json!({ "capabilities": capsules }))
                }
            }
        })?;
        context.print(&document, || {
            let listed = document
                .get("capabilities")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let rows: Vec<_> = listed.iter().map(row).collect();
            if rows.is_empty() {
                "no capability is active".to_string()
            } else {
                render::table(&rows)
            }
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// One capsule of the list, with the members the HTTP route gives it that a list of this process can know.
fn entry(capsule: &Capsule) -> Value {
    json!({
        "urn": capsule.manifest.id,
        "version": capsule.manifest.version,
        "description": capsule.manifest.description,
        "digest": capsule.digest,
        "functions": capsule.capability.interface().functions.iter().map(|f| json!({ "name": f.name })).collect::<Value>(),
    })
}

fn row(capsule: &Value) -> Vec<String> {
    let text = |name: &str| {
        capsule
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_string()
    };
    let functions = capsule.get("functions").and_then(Value::as_array).into_iter().flatten();
    let name = |function: &Value| {
        function
            .as_str()
            .or_else(|| function.get("name")?.as_str())
            .map(ToString::to_string)
    };
    let names: Vec<_> = functions.filter_map(name).collect();
    vec![text("urn"), text("version"), names.join(", "), text("description")]
}
