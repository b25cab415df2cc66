//! Branches of the state: overlays that are written to, compared with their parent, merged into it or discarded.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use kinetic_ledger::state::{Branch, BranchId, Difference, MergePolicy, StateView, Version};
use kinetic_ledger::{Commit, Ledger};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{below, branch_id, owner, owner_text, text_or_base64};
use super::commit;
use crate::app::Shared;
use crate::ask::{Ask, read};
use crate::error::tame;
use crate::ledger::{apart, ledger_of};
use crate::problem::Problem;

/// A branch to be created.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    owner: String,
    name: String,
    parent: Option<String>,
    parent_owner: Option<String>,
    at: Option<u64>,
}

/// How a branch is to be merged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    #[serde(default)]
    policy: MergePolicy,
}

fn branch_json(branch: &Branch, all: &[std::sync::Arc<Branch>]) -> Value {
    let parent = all.iter().find(|parent| parent.id == branch.parent);
    json!({
        "owner": owner_text(&branch.owner),
        "name": branch.name,
        "parent": parent.map_or("main", |parent| &parent.name),
        "parent_owner": parent.map(|parent| owner_text(&parent.owner)),
        "base": branch.base,
        "created": branch.created,
    })
}

/// `GET /api/v1/state-branches`: all branches.
pub(crate) async fn list(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &["at"])?;
    let ledger = ledger_of(&app)?;
    let all = ledger.state().branches(ask.at(&ledger)?);
    let branches: Vec<Value> = all.iter().map(|branch| branch_json(branch, &all)).collect();
    Ok(Json(json!({ "branches": branches })))
}

/// `POST /api/v1/state-branches`: creates one.
pub(crate) async fn create(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    Ask::of(request.uri(), &[])?;
    let asked: Create = read(&app, request).await?;
    let ledger = ledger_of(&app)?;
    let of = owner("owner", &asked.owner)?;
    let parent_owner = asked
        .parent_owner
        .as_deref()
        .map(|of| owner("parent_owner", of))
        .transpose()?;
    let base = below(asked.at, &ledger)?;
    let parent_owner = parent_owner.as_ref().unwrap_or(&of);
    // The parent may be younger than what of it is shown, so it is looked up among the branches of now.
    let parent = branch_id(&ledger, parent_owner, asked.parent.as_deref(), ledger.visible())?;
    let change = Commit {
        controls: vec![StateView::create_branch(of.clone(), asked.name.as_str(), parent, base)],
        ..Commit::default()
    };
    let seq = ledger.commit(change).await?.seq;
    let created = json!({ "owner": owner_text(&of), "name": asked.name, "base": base, "seq": seq });
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// The branch that the path names.
fn named(ask: &Ask, ledger: &Ledger) -> Result<BranchId, Problem> {
    let (of, name) = ask.branch_of_path()?;
    Ok(ledger.state().branch(&of, &tame(&name), ledger.visible())?.id)
}

/// `DELETE /api/v1/state-branches/{owner}/{name}`: discards one.
pub(crate) async fn discard(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let ledger = ledger_of(&app)?;
    let change = Commit {
        controls: vec![StateView::discard_branch(named(&ask, &ledger)?)],
        ..Commit::default()
    };
    let committed = ledger.commit(change).await?;
    Ok(Json(json!({ "seq": committed.seq })))
}

/// `GET /api/v1/state-branches/{owner}/{name}/diff`: the keys it left otherwise than it found them.
pub(crate) async fn diff(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &["after-owner", "after", "limit", "at"])?;
    let (limit, after) = (ask.page()?, ask.after()?);
    let (of, name) = ask.branch_of_path()?;
    let diff = apart(ledger_of(&app)?, move |ledger| {
        let at = ask.at(ledger)?;
        let branch = branch_id(ledger, &of, Some(&name), at)?;
        let diff = ledger.state().diff(branch, at, limit, after.as_ref())?;
        let next = diff
            .next
            .map(|key| json!({ "owner": owner_text(&key.owner), "key": text_or_base64(&key.key) }));
        let differences: Vec<Value> = diff.differences.iter().map(difference_json).collect();
        Ok(json!({ "at": at, "differences": differences, "next": next }))
    });
    Ok(Json(diff.await?))
}

fn difference_json(difference: &Difference) -> Value {
    let side = |side: &Option<Version>| {
        side.as_ref()
            .map(|version| json!({ "value": text_or_base64(&version.value), "seq": version.seq }))
    };
    json!({
        "owner": owner_text(&difference.key.owner),
        "key": text_or_base64(&difference.key.key),
        "base": side(&difference.base),
        "ours": side(&difference.ours),
        "theirs": side(&difference.theirs),
        "conflicts": difference.conflicts(),
    })
}

/// `POST /api/v1/state-branches/{owner}/{name}/merge`: brings its changes into its parent, in one record.
pub(crate) async fn merge(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let Merge { policy } = read(&app, request).await?;
    let ledger = ledger_of(&app)?;
    let parts = apart(ledger.clone(), move |ledger| {
        let branch = named(&ask, ledger)?;
        Ok(ledger.state().merge(branch, policy, || ledger.visible())?)
    });
    let parts = parts.await?;
    let written = parts.1.len();
    // Nothing to bring over makes no record.
    let seq = if written == 0 {
        None
    } else {
        Some(commit(&ledger, parts).await?.seq)
    };
    Ok(Json(json!({ "seq": seq, "written": written })))
}
