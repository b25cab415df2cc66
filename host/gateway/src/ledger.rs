//! What happened: receipts with their proofs, how far the log is, and that it only ever grew.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use kinetic_ledger::{Ledger, LedgerError};
use kinetic_model::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::GatewayError;
use crate::app::Shared;
use crate::error::tame;
use crate::problem::Problem;

/// The ledger of the host.
pub(crate) fn ledger_of(app: &Shared) -> Result<Ledger, Problem> {
    let ledger = app.calls.kernel.ledger().cloned();
    Ok(ledger.ok_or(LedgerError::Closed {})?)
}

/// Does what reads the disk where it holds up no other request.
pub(crate) async fn apart<T: Send + 'static>(
    ledger: Ledger,
    work: impl FnOnce(&Ledger) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(move || work(&ledger)).await;
    done.unwrap_or_else(|_| Err(GatewayError::HandlerPanicked {}.into()))
}

/// `GET /api/v1/receipts/{id}`: the receipt in its DSSE envelope, and the proof that it is in the log.
pub(crate) async fn receipt(
    State(app): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id.map_err(|e| GatewayError::BadRequest {
        path: "the path".into(),
        why: tame(&e.body_text()),
    })?;
    let proof = ledger_of(&app)?.receipt(&id).await?;
    Ok(Json(proof.to_json()))
}

/// `GET /api/v1/ledger`: how far the log is, and its newest signed checkpoint.
pub(crate) async fn status(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let ledger = ledger_of(&app)?;
    let checkpoint = ledger.checkpoint();
    Ok(Json(json!({
        "records": ledger.records(),
        "first": ledger.horizon(),
        "synced": ledger.synced(),
        "key": ledger.key(),
        "checkpoint": checkpoint.map(|checkpoint| checkpoint.note),
        "failure": ledger.check().err().map(|error| error.to_string()),
    })))
}

/// The tree that somebody saw before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    from: u64,
}

/// `GET /api/v1/ledger/consistency?from=N`: the proof that the log of N records is a beginning of the newest checkpoint's.
pub(crate) async fn consistency(
    State(app): State<Shared>,
    seen: Result<Query<Seen>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Seen { from }) = seen.map_err(|e| GatewayError::BadRequest {
        path: "the query".into(),
        why: tame(&e.body_text()),
    })?;
    let (checkpoint, path) = ledger_of(&app)?.consistency(from)?;
    let path: Vec<_> = path.into_iter().map(|hash| Digest::from_bytes(hash).hex()).collect();
    Ok(Json(json!({
        "from": from,
        "tree_size": checkpoint.size,
        "proof": path,
        "checkpoint": checkpoint.note,
    })))
}
