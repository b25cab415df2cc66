//! What an operator sets on a capsule that is active: suspended or not, limits below its manifest's, who provides what it
//! requires.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use kinetic_kernel::{Actor, KernelError, Process};
use kinetic_model::{CapsuleRef, LIMIT_DOCS, Limits, LimitsAsk, Urn};
use serde::Deserialize;

use super::{path_urn, process};
use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{bad, read, read_or_default};
use crate::problem::Problem;

/// The longest reason, in bytes: callers get to read it.
const REASON_BYTES_MAX: usize = 1_024;

/// What suspending is asked with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suspend {
    reason: String,
}

/// What resuming is asked with: nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {}

/// `POST /api/v1/capsules/{urn}/suspend` with `{reason}`: lets no call in until it is resumed.
pub(crate) async fn suspend(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Process>, Problem> {
    let urn = path_urn(urn)?;
    let Suspend { reason } = read(&app, request).await?;
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(bad("reason", format!("it must have 1 to {REASON_BYTES_MAX} bytes")).into());
    }
    app.calls.kernel.suspend(&urn, reason, Actor::Operator).await?;
    now(&app, urn)
}

/// `POST /api/v1/capsules/{urn}/resume`: lets calls in again.
pub(crate) async fn resume(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Process>, Problem> {
    let urn = path_urn(urn)?;
    let Resume {} = read_or_default(&app, request).await?;
    app.calls.kernel.resume(&urn, Actor::Operator).await?;
    now(&app, urn)
}

/// `PUT /api/v1/capsules/{urn}/limits` with limits by name: sets these below the manifest's, and every other one back to it.
pub(crate) async fn limits(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Process>, Problem> {
    let urn = path_urn(urn)?;
    let word: LimitsAsk = read(&app, request).await?;
    let kernel = &app.calls.kernel;
    let capsule = kernel
        .resolve(&CapsuleRef::from(urn.clone()))
        .ok_or_else(|| KernelError::NotActive { what: urn.to_string() })?;
    let (most, _) = kernel.policy().limits(&capsule.manifest);
    check(&word, &most)?;
    kernel.limit(&urn, word, Actor::Operator).await?;
    now(&app, urn)
}

/// Refuses what would not be obeyed: nobody must believe in a limit that is not there.
fn check(word: &LimitsAsk, most: &Limits) -> Result<(), GatewayError> {
    let number = |limits: &serde_json::Value, name: &str| limits.get(name).and_then(serde_json::Value::as_u64);
    let (asked, most) = (
        serde_json::to_value(word).unwrap_or_default(),
        serde_json::to_value(most).unwrap_or_default(),
    );
    for limit in LIMIT_DOCS {
        let most = number(&most, limit.name).unwrap_or_default();
        match number(&asked, limit.name) {
            Some(0) => return Err(bad(limit.name, "it must be at least 1")),
            Some(asked) if asked > most => {
                return Err(bad(
                    limit.name,
                    format!("it can only be lowered, and {most} is what the manifest gets"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a binding is asked with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    interface: String,
    provider: Urn,
}

/// `PUT /api/v1/capsules/{urn}/bind` with `{interface, provider}`: lets another capsule provide an interface to this one.
pub(crate) async fn bind(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Process>, Problem> {
    let urn = path_urn(urn)?;
    let Bind { interface, provider } = read(&app, request).await?;
    app.calls
        .kernel
        .bind(&urn, &interface, &provider, Actor::Operator)
        .await?;
    now(&app, urn)
}

/// How it stands after what was done.
fn now(app: &Shared, urn: Urn) -> Result<Json<Process>, Problem> {
    Ok(Json(process(app, &CapsuleRef::from(urn))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lowered_and_never_raised_or_switched_off() {
        let most = Limits::default();
        let word = |memory_bytes: u64| LimitsAsk {
            memory_bytes: Some(memory_bytes),
            ..LimitsAsk::default()
        };
        assert_eq!(check(&LimitsAsk::default(), &most), Ok(()));
        assert_eq!(check(&word(most.memory_bytes), &most), Ok(()));
        for bad in [0, most.memory_bytes + 1] {
            let Err(GatewayError::BadRequest { path, .. }) = check(&word(bad), &most) else {
                panic!("{bad} is accepted")
            };
            assert_eq!(path, "memory_bytes");
        }
    }
}
