//! What a tool answers: the result as structure and as text, or a failure with its stable code and what to do.

use kinetic_engine::Output;
use kinetic_model::Fault;
use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::{CapsuleView, LogsView, Telemetry};
use crate::calls::Done;
use crate::problem::Problem;

/// A call the guest brought to its end; its own error is a tool error with that value.
pub(crate) fn done(done: Done, structured: bool) -> CallToolResult {
    let mut meta = MetaObject::default();
    meta.insert("kinetic/telemetry".into(), value(&Telemetry(&done.usage)));
    meta.insert("kinetic/capsule".into(), value(&CapsuleView(&done.capsule)));
    if let Some(receipt_id) = &done.receipt_id {
        meta.insert("kinetic/receipt_id".into(), receipt_id.as_str().into());
    }
    if done.usage.log_bytes > 0 {
        meta.insert("kinetic/logs".into(), value(&LogsView(&done.logs)));
    }
    let output = match done.output {
        Output::Json(value) => value,
        bytes @ Output::Bytes(_) => bytes.into_json(),
    };
    let text = match &output {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let content = vec![ContentBlock::text(text)];
    let mut result = if done.success {
        CallToolResult::success(content)
    } else {
        CallToolResult::error(content)
    };
    // Structure is promised by an output schema; an error value may always have it, as clients check only successes.
    if output.is_object() && (structured || !done.success) {
        result.structured_content = Some(output);
    }
    result.meta = Some(meta);
    result
}

/// A call that did not run, or was stopped.
pub(crate) fn failed(problem: &Problem) -> CallToolResult {
    let fault = problem.fault();
    let mut result = CallToolResult::error(vec![ContentBlock::text(fault.to_string())]);
    result.structured_content = Some(problem.to_value());
    result
}

/// A request that no tool can answer.
pub(crate) fn refused(fault: impl Into<Fault>) -> ErrorData {
    let fault = fault.into();
    let data = json!({ "code": fault.code, "title": fault.kind.title(), "fix": fault.fix });
    ErrorData::invalid_params(fault.message, Some(data))
}

fn value(view: &impl Serialize) -> Value {
    // Text and numbers always serialise.
    serde_json::to_value(view).unwrap_or_default()
}
