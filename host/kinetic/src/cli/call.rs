//! `kinetic call`: one function of one capability, on the running host or in this process.

use std::process::ExitCode;

use clap::Args;
use kinetic_model::CapsuleRef;
use serde_json::Value;

use super::answer::{self, Answered};
use super::input::InputArgs;
use super::{Context, Place};
use crate::boot;
use crate::data_dir::DataDir;

/// Call a function of a capability and show what it answered and what it used
///
/// Talks to the running host. With --data and without --host it needs none: the capsule is
/// loaded from that data folder into this process, verified and limited just the same.
///
/// The result goes to standard output; logs, and what the call used, to standard error.
///
///     kinetic call urn:kinetic:actionspace:solver:redact:v1 --arg text="mail me: ann@example.com"
///     kinetic call urn:kinetic:actionspace:solver:redact:v1 --file tests/data/llm-stream.jsonl
///     kinetic call urn:kinetic:actionspace:solver:chunk:v1@1.0.0 --function chunk --args '{"text": "# A\nb"}'
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Call {
    /// The capability, pinned to a version or to its bytes if you like: URN, URN@1.4.2 or URN@sha256:...
    urn: CapsuleRef,
    #[command(flatten)]
    input: InputArgs,
}

impl Call {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let answered = super::block_on(async {
            match context.place()? {
                Place::Host(client) => self.remote(&client).await,
                Place::Here(config, data) => self.here(&config, &data).await,
            }
        })?;
        answer::show(context, answered, self.input.out.as_deref())
    }

    async fn here(&self, config: &crate::config::Config, data: &DataDir) -> anyhow::Result<Answered> {
        let claim = data.lock()?;
        let kernel = boot::kernel(config, data, &claim).await?;
        let capsule = kernel.activate(&self.urn).await?;
        let function = capsule.capability.function(self.input.function.as_deref())?;
        let input = self.input.read(&function.input_schema())?;
        let execution = kernel.execute(&self.urn, Some(&function.name), input).await?;
        Ok(Answered::from_outcome(execution.outcome))
    }

    async fn remote(&self, client: &crate::client::Client) -> anyhow::Result<Answered> {
        let what = self.urn.to_string();
        let schema = if self.input.needs_schema() {
            input_schema(&client.inspect(&what).await?, self.input.function.as_deref())
        } else {
            Value::Null
        };
        let input = self.input.read(&schema)?;
        client
            .call(
                &what,
                self.input.function.as_deref(),
                input,
                &schema,
                self.input.out.is_some(),
            )
            .await
    }
}

/// The schema of the named function's arguments, or of the only function's.
fn input_schema(capsule: &Value, function: Option<&str>) -> Value {
    let functions = capsule
        .get("functions")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let named = |candidate: &&Value| candidate.get("name").and_then(Value::as_str) == function;
    let found = match (function, functions) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(_), all) => all.iter().find(named),
    };
    found
        .and_then(|function| function.get("inputSchema"))
        .cloned()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_schema_is_the_named_functions_or_the_only_ones() {
        let two = json!({ "functions": [{ "name": "a", "inputSchema": 1 }, { "name": "b", "inputSchema": 2 }] });
        assert_eq!(input_schema(&two, Some("b")), 2);
        assert_eq!(input_schema(&two, None), Value::Null);
        assert_eq!(
            input_schema(&json!({ "functions": [{ "name": "a", "inputSchema": 1 }] }), None),
            1
        );
    }
}
