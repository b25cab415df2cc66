//! The versioned state for people: keys and their values as of any record, their history, conditional writes.
//!
//! Everything is read as of a number, what the records below it left; without one, as of now. Branches are in
//! `branches`, what changes in `changes`, how a request is read in `ask`.

mod ask;
pub(crate) mod branches;
pub(crate) mod changes;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use kinetic_ledger::state::{BranchId, Key, KeyRange, Owner, Reads, VALUE_BYTES_MAX, Version, Write};
use kinetic_ledger::{Commit, Committed, Ledger, LedgerError};
use serde_json::{Map, Value, json};

use self::ask::{Expected, owner_text, read_value, text_or_base64};
use crate::app::Shared;
use crate::ask::Ask;
use crate::execute::{media_type, wants_octets};
use crate::ledger::{apart, ledger_of};
use crate::problem::Problem;
use crate::{GatewayError, body, json_guard};

const OCTETS: &str = "application/octet-stream";
/// The record that wrote the value, beside a bare value.
const SEQ: HeaderName = HeaderName::from_static("x-kinetic-seq");
/// The largest value as base64, its braces and quotes around it.
const JSON_VALUE_BYTES_MAX: u64 = VALUE_BYTES_MAX.div_ceil(3) * 4 + 64;

async fn commit(ledger: &Ledger, (reads, writes): (Reads, Vec<Write>)) -> Result<Committed, Problem> {
    let commit = Commit {
        reads,
        writes,
        ..Commit::default()
    };
    Ok(ledger.commit(commit).await?)
}

/// `GET /api/v1/state`: the keys of all owners.
pub(crate) async fn everything(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let names = ["after-owner", "after", "limit", "at", "branch", "branch-owner"];
    let ask = Ask::of(request.uri(), &names)?;
    let after = ask.after()?;
    scan(
        &app,
        ask,
        KeyRange::everything(),
        Owner::Host,
        after,
        |key| json!({ "owner": owner_text(&key.owner), "key": text_or_base64(&key.key) }),
    )
    .await
}

/// `GET /api/v1/state/{owner}`: the keys of an owner.
pub(crate) async fn list(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let names = ["prefix", "after", "limit", "at", "branch", "branch-owner"];
    let ask = Ask::of(request.uri(), &names)?;
    let owner = ask.owner()?;
    let range = KeyRange::prefix(&owner, ask.key_bytes("prefix")?.unwrap_or_default());
    let after = ask.key_bytes("after")?.map(|after| Key::new(owner.clone(), after));
    scan(&app, ask, range, owner, after, |key| text_or_base64(&key.key)).await
}

/// A page of a range. `next` is as `name_of` writes it: what `after` is to be for the next one.
async fn scan(
    app: &Shared,
    ask: Ask,
    range: KeyRange,
    branch_owner: Owner,
    after: Option<Key>,
    name_of: impl Fn(&Key) -> Value + Send + 'static,
) -> Result<Json<Value>, Problem> {
    let limit = ask.page()?;
    let page = apart(ledger_of(app)?, move |ledger| {
        let at = ask.at(ledger)?;
        let branch = ask.branch(ledger, &branch_owner, at)?;
        let page = ledger.state().scan(branch, &range, at, limit, after.as_ref())?;
        let entries: Vec<Value> = page
            .entries
            .iter()
            .map(|(key, version)| entry(name_of(key), version))
            .collect();
        Ok(json!({ "at": at, "entries": entries, "next": page.next.as_ref().map(name_of) }))
    });
    Ok(Json(page.await?))
}

/// A version under the name of its key: `{key, value, seq}`, with the owner where the name has one.
fn entry(name: Value, version: &Version) -> Value {
    let mut members = match name {
        Value::Object(members) if members.contains_key("owner") => members,
        key => Map::from_iter([("key".to_string(), key)]),
    };
    members.insert("value".into(), text_or_base64(&version.value));
    members.insert("seq".into(), version.seq.into());
    Value::Object(members)
}

/// `GET /api/v1/state/{owner}/{key}`: what a key holds.
pub(crate) async fn get(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let ask = Ask::of(request.uri(), &["at", "branch", "branch-owner"])?;
    let raw = wants_octets(request.headers());
    let key = ask.key()?;
    let found = apart(ledger_of(&app)?, move |ledger| {
        let at = ask.at(ledger)?;
        let branch = ask.branch(ledger, &key.owner, at)?;
        let version = ledger.state().get(branch, &key, at)?;
        let missing = || GatewayError::NoStateKey {
            key: key.to_string(),
            at,
        };
        let version = version.ok_or_else(missing)?;
        Ok((key, version))
    });
    let (key, version) = found.await?;
    if !raw {
        return Ok(Json(entry(text_or_base64(&key.key), &version)).into_response());
    }
    let mut response = Response::new(version.value.into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(OCTETS));
    response.headers_mut().insert(SEQ, version.seq.into());
    Ok(response)
}

/// `PUT /api/v1/state/{owner}/{key}`: sets a key.
pub(crate) async fn put(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &["if-seq", "branch", "branch-owner"])?;
    let raw = media_type(request.headers(), OCTETS).is_ok();
    let value = if raw {
        body::read(request, &app.config, VALUE_BYTES_MAX).await?
    } else {
        media_type(request.headers(), "application/json")?;
        let bytes_max = app.config.body_bytes_max.max(JSON_VALUE_BYTES_MAX);
        let bytes = body::read(request, &app.config, bytes_max).await?;
        read_value(json_guard::parse(&bytes, app.config.json_depth_max)?)?
    };
    write(&app, ask, Some(value)).await
}

/// `DELETE /api/v1/state/{owner}/{key}`: deletes a key, whether it exists or not.
pub(crate) async fn delete(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &["if-seq", "branch", "branch-owner"])?;
    write(&app, ask, None).await
}

async fn write(app: &Shared, ask: Ask, value: Option<Bytes>) -> Result<Json<Value>, Problem> {
    let key = ask.key()?;
    let expected = ask.expected()?;
    let ledger = ledger_of(app)?;
    let parts = apart(ledger.clone(), move |ledger| {
        let branch = ask.branch(ledger, &key.owner, ledger.visible())?;
        conditional(ledger, branch, key, expected, value)
    });
    let committed = commit(&ledger, parts.await?).await?;
    Ok(Json(json!({ "seq": committed.seq })))
}

/// A write of one key, and what it depends on: nothing, or that the key is still as expected.
fn conditional(
    ledger: &Ledger,
    branch: BranchId,
    key: Key,
    expected: Option<Expected>,
    value: Option<Bytes>,
) -> Result<(Reads, Vec<Write>), Problem> {
    let mut transaction = ledger.begin(branch)?;
    if let Some(expected) = expected {
        // Read in the transaction too, so that a write until the commit is a conflict.
        transaction.get(&key)?;
        let version = ledger.state().get(branch, &key, transaction.snapshot())?;
        expected.check(&key, version.as_ref())?;
    }
    match value {
        Some(value) => transaction.put(key, value)?,
        None => transaction.delete(key)?,
    }
    Ok(transaction.into_commit_parts()?)
}

/// `GET /api/v1/state/{owner}/{key}/history`: the writes of a key, newest first.
pub(crate) async fn history(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &["before", "limit", "branch", "branch-owner"])?;
    let key = ask.key()?;
    let limit = ask.page()?;
    let history = apart(ledger_of(&app)?, move |ledger| {
        let before = ask.below(ledger, "before")?;
        let branch = ask.branch(ledger, &key.owner, before)?;
        let history = ledger.state().history(branch, &key, before, limit)?;
        let known = ledger.state().branches(before);
        // A branch that one reads through may be discarded already; then only its number is left.
        let name = |id: BranchId| match known.iter().find(|branch| branch.id == id) {
            _ if id == BranchId::MAIN => "main".to_string(),
            Some(branch) => branch.name.clone(),
            None => format!("#{}", id.0),
        };
        let revision = |revision: &kinetic_ledger::state::Revision| {
            let value = revision.value.as_deref().map(text_or_base64);
            json!({ "seq": revision.seq, "branch": name(revision.branch), "deleted": value.is_none(), "value": value })
        };
        let revisions: Vec<Value> = history.revisions.iter().map(revision).collect();
        let next = history
            .revisions
            .last()
            .filter(|_| history.more)
            .map(|oldest| oldest.seq);
        Ok(json!({ "revisions": revisions, "next": next }))
    });
    Ok(Json(history.await?))
}

/// `GET /api/v1/ledger/records/{seq}`: what a record is, in brief, and its receipt's statement if it has one.
pub(crate) async fn record(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let seq = ask.record_number()?;
    let record = apart(ledger_of(&app)?, move |ledger| {
        let visible = ledger.visible();
        if seq >= visible {
            return Err(LedgerError::NotYet { seq, next: visible }.into());
        }
        let record = ledger.read(seq, 1)?.pop();
        let record = record.ok_or(LedgerError::NotYet { seq, next: visible })?;
        let parts = record.parts()?;
        let statement: Option<Value> = record
            .receipt()?
            .and_then(|receipt| serde_json::from_slice(&receipt).ok());
        let part = |pointer: &str| statement.as_ref().and_then(|statement| statement.pointer(pointer));
        Ok(json!({
            "seq": seq,
            "written_at_unix_ns": record.unix_ns.to_string(),
            "event": part("/predicate/event"),
            "subject": part("/subject/0/name"),
            "function": part("/predicate/function"),
            "writes": parts.writes.len(),
            "changes": parts.controls.len(),
            "statement": statement,
        }))
    });
    Ok(Json(record.await?))
}
