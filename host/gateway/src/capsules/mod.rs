//! The life of capsules over HTTP: how they stand, swapping and going back, suspending, limits, the quarantine.

pub(crate) mod operate;
pub(crate) mod quarantine;
pub(crate) mod swap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use kinetic_kernel::{KernelError, Process};
use kinetic_model::{CapsuleRef, Pin, Urn};
use serde_json::{Value, json};

use crate::GatewayError;
use crate::app::Shared;
use crate::ask::bad;
use crate::execute::path_capsule;
use crate::problem::Problem;

/// Where capsules are looked after.
pub(crate) const ROUTE: &str = "/api/v1/capsules/";

/// `GET /api/v1/capsules`: every capsule that is active, suspended or pinned, sorted by URN; and how what lies in watched
/// folders stands.
pub(crate) async fn list(State(app): State<Shared>) -> Json<Value> {
    let kernel = &app.calls.kernel;
    Json(json!({ "capsules": kernel.processes(), "watched": kernel.watched() }))
}

/// `GET /api/v1/capsules/{urn}`: how one stands; with a pin, how that version does.
pub(crate) async fn one(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
) -> Result<Json<Process>, Problem> {
    Ok(Json(process(&app, &path_capsule(urn)?)?))
}

/// How a capsule stands that is there; nothing is fetched for the answer.
fn process(app: &Shared, what: &CapsuleRef) -> Result<Process, KernelError> {
    let meant = |process: &Process| {
        process.urn == what.urn
            && match &what.pin {
                Pin::Active => !process.pinned,
                Pin::Version(version) => process.version == *version,
                Pin::Digest(digest) => process.digest == *digest,
            }
    };
    let found = app.calls.kernel.processes().into_iter().find(meant);
    found.ok_or_else(|| KernelError::NotActive { what: what.to_string() })
}

/// The URN of a path that is about all of its versions.
fn path_urn(urn: Result<Path<String>, PathRejection>) -> Result<Urn, GatewayError> {
    let what = path_capsule(urn)?;
    if what.pin == Pin::Active {
        return Ok(what.urn);
    }
    Err(bad(
        "the path",
        "it is about the URN, whatever its version: leave the pin out",
    ))
}
