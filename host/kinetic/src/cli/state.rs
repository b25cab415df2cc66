//! `kinetic state`: keys and values of the host's versioned state, now and as of any record.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Context;
use super::state_branch::{self, Branching};
use super::state_watch::Watching;
use crate::client::Client;
use crate::error::{self, CliError};
use crate::{render, terminal};

/// The largest value, in bytes; one byte more is read of a file, so that the host refuses it.
const VALUE_BYTES_MAX: u64 = kinetic_ledger::state::VALUE_BYTES_MAX;

/// Read and write the versioned state, look at its history, work on branches
///
/// Keys belong to an owner: a capsule by its URN, all capsules of a type as type:solver:redact,
/// or host. Each write is a record of the ledger, and every version stays until retention takes
/// it: `as-of N` shows what the records below N left. A branch shows its parent until it is
/// written to, and is merged in one record or discarded.
///
///     kinetic state put host greeting hello
///     kinetic state get host greeting
///     kinetic state history host greeting
///     kinetic state watch host
///     kinetic state as-of 12 host greeting
///     kinetic state branch create host try-out
///     kinetic state put host greeting hi --branch try-out
///     kinetic state diff host try-out
///     kinetic state branch merge host try-out --policy ours
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct State {
    #[command(subcommand)]
    what: What,
}

/// Which branch, for what works on one.
#[derive(Args)]
pub(super) struct On {
    /// The branch [default: main]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Whose branch it is [default: OWNER]
    #[arg(long, value_name = "OWNER", requires = "branch")]
    branch_owner: Option<String>,
}

impl On {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let given = [("branch", &self.branch), ("branch-owner", &self.branch_owner)];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect()
    }
}

#[derive(Subcommand)]
enum What {
    /// Show what a key holds, byte for byte
    ///
    /// Exit status 3 when it does not exist. --output json also has the record that wrote it.
    ///
    ///     kinetic state get host greeting
    #[command(verbatim_doc_comment)]
    Get {
        /// Whose key: host, a URN, or type:CLASS:NAME
        owner: String,
        /// The key
        key: String,
        #[command(flatten)]
        on: On,
    },
    /// Set a key
    ///
    /// With --if-seq only if the record of that number wrote what the key holds now; `none`
    /// means that it must not exist. Otherwise the write is refused and nothing changes.
    ///
    ///     kinetic state put host greeting hello
    ///     kinetic state put host logo --file logo.png --if-seq 41
    #[command(verbatim_doc_comment)]
    Put {
        /// Whose key: host, a URN, or type:CLASS:NAME
        owner: String,
        /// The key
        key: String,
        /// The value
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        value: Option<String>,
        /// A file that holds the value; - reads standard input
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// Only if that record wrote what is there; none: only if nothing is
        #[arg(long, value_name = "SEQ|none")]
        if_seq: Option<String>,
        #[command(flatten)]
        on: On,
    },
    /// Delete a key; its history stays
    ///
    ///     kinetic state delete host greeting
    #[command(verbatim_doc_comment)]
    Delete {
        /// Whose key: host, a URN, or type:CLASS:NAME
        owner: String,
        /// The key
        key: String,
        /// Only if that record wrote what is there
        #[arg(long, value_name = "SEQ|none")]
        if_seq: Option<String>,
        #[command(flatten)]
        on: On,
    },
    /// List an owner's keys with their values, in order
    ///
    ///     kinetic state list host --prefix settings/
    #[command(verbatim_doc_comment)]
    List {
        /// Whose keys: host, a URN, or type:CLASS:NAME
        owner: String,
        /// What the keys begin with
        #[arg(long)]
        prefix: Option<String>,
        /// Show the keys behind this one
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
        #[command(flatten)]
        on: On,
    },
    /// Show the writes of a key, newest first
    ///
    ///     kinetic state history host greeting --limit 10
    #[command(verbatim_doc_comment)]
    History {
        /// Whose key: host, a URN, or type:CLASS:NAME
        owner: String,
        /// The key
        key: String,
        /// Show the writes of records below this number
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
        #[command(flatten)]
        on: On,
    },
    /// Show what a key held as of the records below N
    ///
    ///     kinetic state as-of 12 host greeting
    #[command(verbatim_doc_comment)]
    AsOf {
        /// Records below this number count
        #[arg(value_name = "N")]
        seq: u64,
        /// Whose key: host, a URN, or type:CLASS:NAME
        owner: String,
        /// The key
        key: String,
        #[command(flatten)]
        on: On,
    },
    /// Show what changes, as it changes
    ///
    /// One line for each write: its record, key and value; with --output json one JSON object a
    /// line. When the host goes away, the command waits for it and goes on where it was. A branch
    /// has its own writes, not its parent's.
    ///
    ///     kinetic state watch host settings/
    ///     kinetic state watch host --from 12 --count 10 --output json
    #[command(verbatim_doc_comment)]
    Watch(Watching),
    /// Create, list, merge and discard branches
    ///
    ///     kinetic state branch create host try-out
    #[command(verbatim_doc_comment)]
    Branch {
        #[command(subcommand)]
        what: Branching,
    },
    /// Show what a branch changed, and what conflicts with its parent
    ///
    ///     kinetic state diff host try-out
    #[command(verbatim_doc_comment)]
    Diff {
        /// Whose branch
        owner: String,
        /// The branch
        branch: String,
        /// How many keys at most
        #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
}

impl State {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.client(&context.load(None)?.config)?;
        super::block_on(self.what.run(context, &client))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    async fn run(self, context: &Context, client: &Client) -> anyhow::Result<()> {
        match self {
            Self::Get { owner, key, on } => show(context, client, [&owner, &key], on.query()).await,
            Self::AsOf { seq, owner, key, on } => {
                let mut query = on.query();
                query.push(("at", seq.to_string()));
                show(context, client, [&owner, &key], query).await
            }
            Self::Put {
                owner,
                key,
                value,
                file,
                if_seq,
                on,
            } => {
                let value = match file {
                    Some(path) => read(&path)?,
                    None => value.unwrap_or_default().into_bytes(),
                };
                let mut query = on.query();
                query.extend(if_seq.map(|seq| ("if-seq", seq)));
                let document = client.put_state(&["state", &owner, &key], &query, value).await?;
                context.print(&document, || format!("record {}", number(&document, "seq")));
                Ok(())
            }
            Self::Delete { owner, key, if_seq, on } => {
                let mut query = on.query();
                query.extend(if_seq.map(|seq| ("if-seq", seq)));
                let document = client.delete(&["state", &owner, &key], &query).await?;
                context.print(&document, || format!("record {}", number(&document, "seq")));
                Ok(())
            }
            Self::List {
                owner,
                prefix,
                after,
                limit,
                on,
            } => {
                let mut query = on.query();
                query.push(("limit", limit.to_string()));
                query.extend(prefix.map(|prefix| ("prefix", prefix)));
                query.extend(after.map(|after| ("after", after)));
                let document = client.get(&["state", &owner], &query).await?;
                context.print(&document, || entries(&document));
                Ok(())
            }
            Self::History {
                owner,
                key,
                before,
                limit,
                on,
            } => {
                let mut query = on.query();
                query.push(("limit", limit.to_string()));
                query.extend(before.map(|before| ("before", before.to_string())));
                let document = client.get(&["state", &owner, &key, "history"], &query).await?;
                context.print(&document, || revisions(&document));
                Ok(())
            }
            Self::Watch(watching) => watching.run(context, client).await,
            Self::Branch { what } => what.run(context, client).await,
            Self::Diff { owner, branch, limit } => state_branch::diff(context, client, &owner, &branch, limit).await,
        }
    }
}

/// One value: its bytes for people and pipes, with its record for programs.
async fn show(
    context: &Context,
    client: &Client,
    [owner, key]: [&str; 2],
    query: Vec<(&'static str, String)>,
) -> anyhow::Result<()> {
    let segments = ["state", owner, key];
    if context.json() {
        let document = client.get(&segments, &query).await?;
        context.print(&document, String::new);
        return Ok(());
    }
    let value = client.state_bytes(&segments, &query).await?;
    Ok(terminal::raw(&value)?)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut value = Vec::new();
    let bytes_max = VALUE_BYTES_MAX + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(bytes_max).read_to_end(&mut value)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut value))
    };
    read.map_err(error::file(path))?;
    Ok(value)
}

pub(super) fn number(document: &Value, name: &str) -> String {
    document
        .get(name)
        .and_then(Value::as_u64)
        .map(|number| number.to_string())
        .unwrap_or_default()
}

/// Characters of a key or value shown in a table.
const SHOWN_CHARS_MAX: usize = 80;

/// A key or value in one cell: one line, cut; bytes that are no text by their size.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => {
            let line = text.escape_debug().to_string();
            match line.char_indices().nth(SHOWN_CHARS_MAX) {
                Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
                None => line,
            }
        }
        Some(Value::Object(members)) => {
            let base64 = members.get("base64").and_then(Value::as_str).unwrap_or_default();
            let shown: String = base64.chars().take(SHOWN_CHARS_MAX).collect();
            format!("base64:{shown}")
        }
        _ => "-".into(),
    }
}

pub(super) fn array<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Keys with their records and values, and where to go on.
pub(super) fn entries(document: &Value) -> String {
    let row = |entry: &Value| {
        let owner = entry.get("owner").and_then(Value::as_str).map(ToString::to_string);
        let rest = [cell(entry.get("key")), number(entry, "seq"), cell(entry.get("value"))];
        owner.into_iter().chain(rest).collect()
    };
    let rows: Vec<Vec<String>> = array(document, "entries").iter().map(row).collect();
    let more = match document.get("next").filter(|next| !next.is_null()) {
        None => String::new(),
        Some(next) => format!("there are more, behind {}", cell(next.get("key").or(Some(next)))),
    };
    match (rows.is_empty(), more.is_empty()) {
        (true, true) => "no keys".into(),
        _ => render::table(&rows) + &more,
    }
}

fn revisions(document: &Value) -> String {
    let row = |revision: &Value| {
        let deleted = revision.get("deleted").and_then(Value::as_bool).unwrap_or_default();
        let value = if deleted {
            "(deleted)".into()
        } else {
            cell(revision.get("value"))
        };
        vec![
            number(revision, "seq"),
            revision
                .get("branch")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into(),
            value,
        ]
    };
    let rows: Vec<Vec<String>> = array(document, "revisions").iter().map(row).collect();
    if rows.is_empty() {
        "never written".into()
    } else {
        render::table(&rows)
    }
}
