//! One host call: answered from the tape, or done by the call's transaction and recorded.

use kinetic_engine::CallState;
use kinetic_ledger::Effects;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answers::Failure;
use crate::{Access, PerCall};

/// Answers from the tape, or does the work and records it. `request` is all that the guest asked.
pub(crate) fn turn<T: Serialize + DeserializeOwned, E: From<Failure>>(
    call: &mut CallState,
    interface: &str,
    function: &str,
    request: &impl Serialize,
    work: impl FnOnce(&Access, &mut Effects) -> Result<T, Failure>,
) -> wasmtime::Result<Result<T, E>> {
    if let Some(answer) = call.replayed::<Result<T, Failure>>(interface, function, request)? {
        return Ok(answer.map_err(E::from));
    }
    let access = call.extension::<PerCall>().0.map(|own| own.access.clone());
    let answer = match (access, call.extension::<Effects>().0) {
        (Some(access), Some(effects)) => work(&access, effects),
        _ => Err(Failure::no_ledger()),
    };
    call.taped(&answer)?;
    Ok(answer.map_err(E::from))
}
