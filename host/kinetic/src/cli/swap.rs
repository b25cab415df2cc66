//! `kinetic swap` and `kinetic rollback`: another version in the place of the active one, while calls flow.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kinetic_model::Urn;
use semver::Version;
use serde_json::{Value, json};

use super::Context;
use super::signed::{Signed, Signer};
use crate::client::Client;
use crate::error::CliError;
use crate::render;

/// The word for the highest version there is.
const NEWEST: &str = "newest";
/// How a digest begins.
const DIGEST: &str = "sha256:";

/// Put another version in the place of a capsule's active one, while calls flow
///
/// The new version is fetched, verified, compiled, started, compared, and tried with recorded
/// calls before anything of the old one is touched; then calls go to it, and state is handed
/// over. While it is on probation the old one stands by, and comes back by itself if the new one
/// fails. --to names a version or a digest that the host's store or its registries have, or what
/// `kinetic build` made: a project's folder, or component.wasm in it. That is signed and put
/// into the host's store first, as `kinetic publish` does, and with --plan stays there.
///
///     kinetic swap urn:acme:actionspace:solver:word_count:v1 --to 1.2.0
///     kinetic swap urn:acme:actionspace:solver:word_count:v1 --to ./word-count --plan
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Swap {
    /// The capsule
    urn: Urn,
    /// What takes its place: a version, a digest, newest, or a built capsule
    #[arg(long, value_name = "VERSION|DIGEST|FILE|newest")]
    to: OsString,
    /// Only say what would happen
    #[arg(long)]
    plan: bool,
    /// Go on although the new version answers recorded calls otherwise
    #[arg(long)]
    accept_differences: bool,
    /// Go on although the state cannot be handed over; what the old version holds is lost
    #[arg(long)]
    discard_state: bool,
    /// The private key to sign a built capsule with [default: keys/NAMESPACE.pem in the data folder]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Go back to the version that was active before
///
/// At once while that one stands by, else by a swap; the state goes back with it.
///
///     kinetic rollback urn:acme:actionspace:solver:word_count:v1
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Rollback {
    /// The capsule
    urn: Urn,
    /// Go on although the state cannot be handed back; what the active version holds is lost
    #[arg(long)]
    discard_state: bool,
}

impl Swap {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let to = match word(&self.to) {
            Some(word) => word.to_string(),
            None => self.stage(context, &client)?,
        };
        let body = json!({
            "to": to,
            "accept_differences": self.accept_differences,
            "discard_state": self.discard_state,
            "plan": self.plan,
        });
        let document = super::block_on(client.change_version(self.urn.as_str(), "swap", &body))?;
        context.print(&document, || {
            if self.plan {
                planned(&document)
            } else {
                swapped(&document)
            }
        });
        Ok(ExitCode::SUCCESS)
    }

    /// Puts a built capsule into the host's store; gives its version.
    fn stage(&self, context: &Context, client: &Client) -> anyhow::Result<String> {
        let path = Path::new(&self.to);
        if !path.exists() {
            let why = format!(
                "--to {}: it is no version like 1.2.0, no digest, not newest, and no such file is there",
                path.display()
            );
            return Err(CliError::BadArgument { why }.into());
        }
        let signer = Signer {
            key: self.key.as_deref(),
            dev: false,
        };
        let signed = Signed::new(context, client.url(), path, &signer)?;
        let built = &signed.manifest.id;
        if *built != self.urn {
            let why = format!("{} is {built}, not {}", path.display(), self.urn);
            return Err(CliError::BadArgument { why }.into());
        }
        Ok(super::block_on(signed.stage(context, client.url()))?
            .version
            .to_string())
    }
}

impl Rollback {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let body = json!({ "discard_state": self.discard_state });
        let document = super::block_on(client.change_version(self.urn.as_str(), "rollback", &body))?;
        context.print(&document, || swapped(&document));
        Ok(ExitCode::SUCCESS)
    }
}

/// What the host understands by itself; anything else is a path.
fn word(to: &OsStr) -> Option<&str> {
    to.to_str()
        .filter(|to| *to == NEWEST || to.starts_with(DIGEST) || Version::parse(to).is_ok())
}

/// `urn: 1.0.0 (generation 1) -> 1.1.0 (generation 2)`.
fn heading(document: &Value) -> String {
    let side = |name: &str| {
        let of = |member: &str| document.pointer(&format!("/{name}/{member}"));
        let version = of("version").and_then(Value::as_str).unwrap_or_default();
        let generation = of("generation").and_then(Value::as_u64).unwrap_or_default();
        format!("{version} (generation {generation})")
    };
    let urn = document.get("urn").and_then(Value::as_str).unwrap_or_default();
    format!("{urn}: {} -> {}\n", side("from"), side("to"))
}

fn swapped(document: &Value) -> String {
    let number = |path: &str| document.pointer(path).and_then(Value::as_u64);
    let micros = |us: u64| render::duration(us.saturating_mul(1_000));
    let steps = document.get("steps").and_then(Value::as_array).into_iter().flatten();
    let row = |step: &Value| {
        let name = step.get("step").and_then(Value::as_str).unwrap_or_default();
        let took = step.get("took_us").and_then(Value::as_u64).unwrap_or_default();
        vec![format!("  {name}"), micros(took)]
    };
    let mut text = heading(document) + &render::table(&steps.map(row).collect::<Vec<_>>());
    // Writing to a String cannot fail.
    let _ = match number("/pause_us").unwrap_or_default() {
        0 => writeln!(text, "no call waited"),
        us => writeln!(text, "calls waited for at most {}", micros(us)),
    };
    if let Some(bytes) = number("/state_bytes") {
        let _ = writeln!(text, "{} of state handed over", render::bytes(bytes));
    }
    if let Some(calls) = number("/shadow/calls").filter(|calls| *calls > 0) {
        let differences = number("/shadow/differences").unwrap_or_default();
        let _ = writeln!(text, "{calls} recorded calls made again, {differences} ended otherwise");
    }
    if let Some(ms) = number("/probation_ms").filter(|ms| *ms > 0) {
        let time = render::duration(ms.saturating_mul(1_000_000));
        let _ = writeln!(text, "on probation for {time}: the version before stands by");
    }
    text
}

fn planned(document: &Value) -> String {
    let mut text = heading(document);
    let steps = document.get("steps").and_then(Value::as_array).into_iter().flatten();
    for (number, step) in steps.filter_map(Value::as_str).enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}. {step}", number + 1);
    }
    let calls = document.get("calls").and_then(Value::as_u64).unwrap_or_default();
    let _ = writeln!(text, "calls under way: {calls}");
    let dependents = document
        .get("dependents")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names: Vec<_> = dependents.filter_map(Value::as_str).collect();
    if !names.is_empty() {
        let _ = writeln!(text, "dependents: {}", names.join(", "));
    }
    if let Some(first) = document.pointer("/shadow/first").and_then(Value::as_str) {
        let _ = writeln!(text, "first difference: {first}");
    }
    text + "nothing was changed\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_digests_and_newest_are_words_and_the_rest_are_paths() {
        for to in ["1.2.0", "1.2.0-rc.1", "newest", "sha256:00"] {
            assert_eq!(word(OsStr::new(to)), Some(to));
        }
        for to in ["./1.2.0", "word-count", "1.2", "latest", ""] {
            assert_eq!(word(OsStr::new(to)), None, "{to}");
        }
    }

    #[test]
    fn a_swap_says_what_went_and_came_how_long_it_took_and_what_waits() {
        let document = json!({
            "urn": "urn:a",
            "from": { "version": "1.0.0", "generation": 1 }, "to": { "version": "1.1.0", "generation": 2 },
            "steps": [{ "step": "prepare", "took_us": 12_300 }, { "step": "flip", "took_us": 900 }],
            "shadow": { "calls": 32, "differences": 0 }, "state_bytes": 2_048, "pause_us": 1_500, "probation_ms": 60_000,
        });
        assert_eq!(
            swapped(&document),
            "urn:a: 1.0.0 (generation 1) -> 1.1.0 (generation 2)\n  prepare  12.3 ms\n  flip     900.0 us\n\
             calls waited for at most 1.5 ms\n2.0 KiB of state handed over\n32 recorded calls made again, 0 ended otherwise\n\
             on probation for 60.0 s: the version before stands by\n"
        );
    }

    #[test]
    fn a_plan_counts_its_steps_and_says_that_nothing_was_changed() {
        let document = json!({
            "urn": "urn:a",
            "from": { "version": "1.0.0", "generation": 1 }, "to": { "version": "1.1.0", "generation": 2 },
            "steps": ["one", "two"], "shadow": { "calls": 0, "differences": 0 }, "calls": 3, "dependents": ["urn:b"],
        });
        assert_eq!(
            planned(&document),
            "urn:a: 1.0.0 (generation 1) -> 1.1.0 (generation 2)\n  1. one\n  2. two\ncalls under way: 3\ndependents: urn:b\n\
             nothing was changed\n"
        );
    }
}
