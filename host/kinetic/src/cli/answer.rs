//! A call's answer on the way to the user: one shape, whether it came over HTTP or from this process.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinetic_engine::{Answer, EngineError, Outcome, Output};
use kinetic_model::{Fault, Usage};
use serde_json::{Value, json};

use super::{Context, EXIT_FUNCTION_ERROR};
use crate::error::{self, Refused};
use crate::render;
use crate::terminal::{self, note};

/// A call that ran to its end, or was stopped.
pub enum Answered {
    /// The function returned; the document is what the HTTP route answers.
    Done {
        /// `{success, output, logs, telemetry, ...}`
        document: Value,
        /// The result, when it is bytes: they are not decoded from the document again.
        bytes: Option<Vec<u8>>,
    },
    /// The host stopped it; the document is the problem, with what it used and logged.
    Stopped(Value),
}

impl Answered {
    /// The answer of a call made in this process.
    pub fn from_outcome(outcome: Outcome) -> Self {
        let logs = json!({
            "stdout": outcome.logs.stdout,
            "stderr": outcome.logs.stderr,
            "dropped_bytes": outcome.logs.dropped_bytes,
        });
        let telemetry = telemetry(&outcome.usage);
        let (success, output) = match outcome.result {
            Ok(Answer::Ok(output)) => (true, output),
            Ok(Answer::Err(output)) => (false, output),
            Err(error) => return Self::Stopped(stopped(&error, logs, telemetry)),
        };
        let (output, bytes) = match output {
            Output::Json(value) => (value, None),
            Output::Bytes(bytes) => (BASE64.encode(&bytes).into(), Some(bytes)),
        };
        let document = json!({ "success": success, "output": output, "logs": logs, "telemetry": telemetry });
        Self::Done { document, bytes }
    }
}

fn stopped(error: &EngineError, logs: Value, telemetry: Value) -> Value {
    let mut problem = error::problem(&Fault::from(error));
    if let Some(members) = problem.as_object_mut() {
        members.insert("logs".into(), logs);
        members.insert("telemetry".into(), telemetry);
    }
    problem
}

/// What a call used, under the names the HTTP route answers with.
fn telemetry(usage: &Usage) -> Value {
    json!({
        "latency_ns": usage.wall_time_ns,
        "wall_time_ns": usage.wall_time_ns,
        "peak_memory_bytes": usage.memory_peak_bytes,
        "fuel": usage.fuel,
        "instantiation_fuel": usage.instantiation_fuel,
        "guest_time_ns": usage.guest_time_ns,
        "input_bytes": usage.input_bytes,
        "output_bytes": usage.output_bytes,
        "log_bytes": usage.log_bytes,
        "handles": usage.handles,
        "host_call_bytes": usage.host_call_bytes,
    })
}

/// Shows the answer: the result on standard output or in a file; logs and what the call used on standard error.
///
/// # Errors
/// When the call was stopped, or the result cannot be written.
pub fn show(context: &Context, answered: Answered, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (document, bytes) = match answered {
        Answered::Done { document, bytes } => (document, bytes),
        Answered::Stopped(problem) => {
            if !context.json() {
                explain(&problem);
            }
            return Err(Refused(problem).into());
        }
    };
    match out {
        None => context.print(&document, || {
            render::result(document.get("output").unwrap_or(&Value::Null))
        }),
        Some(path) => write(context, &document, bytes, path)?,
    }
    if !context.json() {
        explain(&document);
    }
    let success = document.get("success").and_then(Value::as_bool).unwrap_or(false);
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FUNCTION_ERROR)
    })
}

/// Writes the result where the user wants it; the rest of the answer is then the document.
fn write(context: &Context, document: &Value, bytes: Option<Vec<u8>>, path: &Path) -> anyhow::Result<()> {
    let result = plain(document.get("output").unwrap_or(&Value::Null), bytes);
    if path == Path::new("-") {
        // Nothing else may stand on standard output then.
        return Ok(terminal::raw(&result)?);
    }
    std::fs::write(path, &result).map_err(error::file(path))?;
    if context.json() {
        let mut document = document.clone();
        if let Some(members) = document.as_object_mut() {
            members.remove("output");
            members.insert("out".into(), path.display().to_string().into());
        }
        context.print(&document, String::new);
    }
    Ok(())
}

/// A result as a file holds it.
fn plain(output: &Value, bytes: Option<Vec<u8>>) -> Vec<u8> {
    match (bytes, output) {
        (Some(bytes), _) => bytes,
        (None, Value::String(text)) => text.clone().into_bytes(),
        (None, value) => render::pretty(value).into_bytes(),
    }
}

/// What stands beside the result: the guest's logs and what the call used.
fn explain(document: &Value) {
    for name in ["stdout", "stderr"] {
        let text = document
            .pointer(&format!("/logs/{name}"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        for line in text.lines() {
            note(&format!("{name}: {line}"));
        }
    }
    let dropped = document
        .pointer("/logs/dropped_bytes")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    if dropped > 0 {
        note(&format!(
            "{} more bytes of logs were over the limit and dropped",
            render::grouped(dropped)
        ));
    }
    if document.get("success").and_then(Value::as_bool) == Some(false) {
        note("the function returned this as its error");
    }
    if let Some(telemetry) = document.get("telemetry") {
        note(render::usage(telemetry).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_engine::{Extensions, Logs};

    fn outcome(result: Result<Answer, EngineError>) -> Answered {
        let usage = Usage {
            fuel: 7,
            ..Usage::default()
        };
        Answered::from_outcome(Outcome {
            result,
            usage,
            logs: Logs::default(),
            tape: Vec::new(),
            extensions: Extensions::default(),
        })
    }

    #[test]
    fn bytes_are_kept_beside_their_base64() {
        let Answered::Done { document, bytes } = outcome(Ok(Answer::Ok(Output::Bytes(b"ab".to_vec())))) else {
            panic!("stopped")
        };
        assert_eq!(
            (document["output"].as_str(), bytes),
            (Some("YWI="), Some(b"ab".to_vec()))
        );
    }

    #[test]
    fn a_functions_own_error_is_an_answer_and_a_limit_is_a_problem_that_says_what_was_used() {
        let Answered::Done { document, .. } = outcome(Ok(Answer::Err(Output::Json("no".into())))) else {
            panic!("stopped")
        };
        assert_eq!(document["success"], false);
        let Answered::Stopped(problem) = outcome(Err(EngineError::OutOfFuel { fuel_max: 7 })) else {
            panic!("done")
        };
        assert_eq!(
            (problem["code"].as_str(), problem["telemetry"]["fuel"].as_u64()),
            (Some("KIN-ENG-0014"), Some(7))
        );
    }
}
