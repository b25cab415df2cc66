//! `kinetic state branch` and `kinetic state diff`: branches of the state.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Context;
use super::state::{array, cell, number};
use crate::client::Client;
use crate::render;

#[derive(Subcommand)]
pub(super) enum Branching {
    /// List all branches
    ///
    ///     kinetic state branch list
    #[command(verbatim_doc_comment)]
    List,
    /// Create a branch that shows its parent until it is written to
    ///
    ///     kinetic state branch create host try-out
    ///     kinetic state branch create host what-if --at 12
    #[command(verbatim_doc_comment)]
    Create {
        /// Whose branch: host, a URN, or type:CLASS:NAME
        owner: String,
        /// Its name: letters, digits, or any of -_./
        name: String,
        /// The branch it lies over [default: main]
        #[arg(long, value_name = "NAME")]
        parent: Option<String>,
        /// Whose branch the parent is [default: OWNER]
        #[arg(long, value_name = "OWNER", requires = "parent")]
        parent_owner: Option<String>,
        /// Show what the parent held below this record [default: now]
        #[arg(long, value_name = "N")]
        at: Option<u64>,
    },
    /// Discard a branch and what was written to it
    ///
    ///     kinetic state branch discard host try-out
    #[command(verbatim_doc_comment)]
    Discard {
        /// Whose branch
        owner: String,
        /// Its name
        name: String,
    },
    /// Bring a branch's changes into its parent, in one record; the branch stays
    ///
    ///     kinetic state branch merge host try-out --policy theirs
    #[command(verbatim_doc_comment)]
    Merge {
        /// Whose branch
        owner: String,
        /// Its name
        name: String,
        /// Whose value wins where the parent changed the key too
        #[arg(long, value_enum, default_value_t)]
        policy: Policy,
    },
}

/// Whose value a merge takes for a key that both sides changed.
#[derive(Clone, Copy, Default, ValueEnum)]
pub(super) enum Policy {
    /// Nobody's: the merge is refused
    #[default]
    FailOnConflict,
    /// The branch's
    Ours,
    /// The parent's
    Theirs,
}

impl Policy {
    const fn name(self) -> &'static str {
        match self {
            Self::FailOnConflict => "fail_on_conflict",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

const ROUTE: &str = "state-branches";

impl Branching {
    pub(super) async fn run(self, context: &Context, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let document = client.get(&[ROUTE], &[]).await?;
                context.print(&document, || list(&document));
            }
            Self::Create {
                owner,
                name,
                parent,
                parent_owner,
                at,
            } => {
                let body = json!({
                    "owner": owner, "name": name, "parent": parent, "parent_owner": parent_owner, "at": at,
                });
                let document = client.post(&[ROUTE], &body).await?;
                context.print(&document, || {
                    format!("{name} shows its parent below record {}", number(&document, "base"))
                });
            }
            Self::Discard { owner, name } => {
                let document = client.delete(&[ROUTE, &owner, &name], &[]).await?;
                context.print(&document, || {
                    format!("{name} is discarded, by record {}", number(&document, "seq"))
                });
            }
            Self::Merge { owner, name, policy } => {
                let body = json!({ "policy": policy.name() });
                let document = client.post(&[ROUTE, &owner, &name, "merge"], &body).await?;
                context.print(&document, || match document.get("seq").and_then(Value::as_u64) {
                    Some(seq) => format!("{} keys written, by record {seq}", number(&document, "written")),
                    None => "nothing to write".into(),
                });
            }
        }
        Ok(())
    }
}

fn list(document: &Value) -> String {
    let row = |branch: &Value| {
        let text = |name: &str| branch.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        vec![
            text("owner"),
            text("name"),
            format!("over {} below record {}", text("parent"), number(branch, "base")),
        ]
    };
    let rows: Vec<_> = array(document, "branches").iter().map(row).collect();
    if rows.is_empty() {
        "no branch but main".into()
    } else {
        render::table(&rows)
    }
}

/// `kinetic state diff`.
pub(super) async fn diff(
    context: &Context,
    client: &Client,
    owner: &str,
    branch: &str,
    limit: u64,
) -> anyhow::Result<()> {
    let document = client
        .get(&[ROUTE, owner, branch, "diff"], &[("limit", limit.to_string())])
        .await?;
    context.print(&document, || {
        let side = |difference: &Value, name: &str| cell(difference.pointer(&format!("/{name}/value")));
        let row = |difference: &Value| {
            let conflicts = difference.get("conflicts").and_then(Value::as_bool).unwrap_or_default();
            vec![
                difference
                    .get("owner")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_string(),
                cell(difference.get("key")),
                format!("{} -> {}", side(difference, "base"), side(difference, "ours")),
                if conflicts {
                    format!("conflicts with {}", side(difference, "theirs"))
                } else {
                    String::new()
                },
            ]
        };
        let rows: Vec<_> = array(&document, "differences").iter().map(row).collect();
        let more = document.get("next").is_some_and(|next| !next.is_null());
        match (rows.is_empty(), more) {
            (true, false) => "nothing changed".to_string(),
            (_, false) => render::table(&rows),
            (_, true) => render::table(&rows) + "there are more: raise --limit",
        }
    });
    Ok(())
}
