//! A call whose arguments and result are values of any type: the way of all that is not on the fast path.

use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{Func, Instance, Val};

use crate::capability::{Answer, Export, Output};
use crate::interface::WitType;
use crate::state::CallState;
use crate::values_out::{json, json_payload};

/// Calls an export and reads its result as JSON.
pub(crate) async fn call(
    store: &mut Store<CallState>,
    instance: &Instance,
    export: &Export,
    vals: &[Val],
    output_bytes: &mut u64,
) -> wasmtime::Result<Answer> {
    let func: Func = instance
        .get_func(&mut *store, export.index()?)
        .ok_or_else(|| wasmtime::format_err!("the export is gone"))?;
    let mut results = [Val::Bool(false)];
    let results = if export.function.result.is_some() {
        &mut results[..]
    } else {
        &mut []
    };
    func.call_async(&mut *store, vals, results).await?;
    let not_its_type = || wasmtime::format_err!("the result is not of its type");
    let val = results.first_mut().map(|val| std::mem::replace(val, Val::Bool(false)));
    let answer = match (&export.function.result, val) {
        (None, _) => Some(Answer::Ok(Output::Json(Value::Null))),
        (Some(WitType::Result { ok, .. }), Some(Val::Result(Ok(val)))) => {
            json_payload(ok.as_deref(), val, output_bytes).map(|value| Answer::Ok(Output::Json(value)))
        }
        (Some(WitType::Result { err, .. }), Some(Val::Result(Err(val)))) => {
            json_payload(err.as_deref(), val, output_bytes).map(|value| Answer::Err(Output::Json(value)))
        }
        (Some(ty), Some(val)) => json(ty, val, output_bytes).map(|value| Answer::Ok(Output::Json(value))),
        (Some(_), None) => None,
    };
    answer.ok_or_else(not_its_type)
}
