//! `kinetic ps`: how the capsules of a running host stand.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Context;
use crate::render;

/// Show how every capsule stands: state, generation, calls, limits against what was used
///
/// One line for each capsule that is active, suspended or pinned, and below them what lies in
/// watched folders (kernel.watch) or registries (kernel.watch_registries) and was not taken, with
/// why, and what was yanked there and is active here. Errors are calls the capsule itself failed.
///
/// With --wide also: zone, tenant, calls that run now and dependents; memory, the most a call held, and fuel, what a call takes on average, each
/// of its limit; the tier, how repeatable results are; triggers, what makes the host call it by
/// itself, each with how that went the last time; whether calls run in the host's process or in
/// a worker of their own. Asks the running host: with --data alone, the one that serves that
/// folder.
///
///     kinetic ps
///     kinetic ps --wide
///     kinetic ps --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Ps {
    /// Show every column
    #[arg(long)]
    wide: bool,
}

impl Ps {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        let document = super::block_on(client.get(&["capsules"], &[]))?;
        context.print(&document, || {
            let listed = document.get("capsules").and_then(Value::as_array);
            let rows: Vec<_> = listed.into_iter().flatten().map(row).collect();
            let table = if rows.is_empty() {
                "no capsule is active".to_string()
            } else {
                let heading = HEADING.map(String::from).to_vec();
                let all = [vec![heading], rows].concat().into_iter();
                render::table(&all.map(|row| shown(row, self.wide)).collect::<Vec<_>>())
            };
            let table = table.trim_end().to_string();
            [vec![table], not_taken(&document)].concat().join("\n")
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// The columns of a row that are shown.
fn shown(row: Vec<String>, wide: bool) -> Vec<String> {
    let columns = row.into_iter().zip(HEADING);
    let columns = columns.filter(|(_, name)| wide || NARROW.contains(name));
    columns.map(|(cell, _)| cell).collect()
}

/// What lies in watched folders and was not taken, a line each.
fn not_taken(document: &Value) -> Vec<String> {
    let line = |watched: &Value| {
        let text = |name: &str| watched.get(name).and_then(Value::as_str);
        let (entry, state) = (text("entry")?, text("state")?);
        let (code, message) = (text("code")?, text("message")?);
        Some(format!("{entry}: {state}, {code}: {message}"))
    };
    let all = document.get("watched").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(line).collect()
}

/// What is shown of why a trigger's last call failed.
const WHY_CHARS_MAX: usize = 60;

const HEADING: [&str; 17] = [
    "URN",
    "VERSION",
    "STATE",
    "GEN",
    "ZONE",
    "TENANT",
    "TIER",
    "RUNS IN",
    "CALLS",
    "ERRORS",
    "P99",
    "RUNNING",
    "DEPENDENTS",
    "MEMORY",
    "FUEL",
    "TRIGGERS",
    "REASON",
];

/// Those that are shown when nobody asks for all: what one looks for first, in 120 columns where URNs are not longer than
/// those of the host's own parts.
const NARROW: [&str; 8] = ["URN", "VERSION", "STATE", "GEN", "CALLS", "ERRORS", "P99", "REASON"];

fn row(process: &Value) -> Vec<String> {
    let at = |path: &str| process.pointer(path);
    let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default().to_string();
    let number = |path: &str| at(path).and_then(Value::as_u64).unwrap_or_default();
    let pinned = at("/pinned").and_then(Value::as_bool) == Some(true);
    let calls = number("/counts/calls");
    let fuel = number("/counts/fuel").checked_div(calls).unwrap_or_default();
    let used = |of: fn(u64) -> String, used: u64, limit: &str| match calls {
        0 => format!("- of {}", of(number(limit))),
        _ => format!("{} of {}", of(used), of(number(limit))),
    };
    vec![
        text("/urn"),
        text("/version"),
        text("/state") + if pinned { ", pinned" } else { "" },
        number("/generation").to_string(),
        text("/zone"),
        text("/tenant"),
        tier(&text("/determinism")),
        text("/runs_in"),
        render::grouped(calls),
        render::grouped(number("/counts/failures")),
        if calls == 0 {
            "-".into()
        } else {
            render::duration(number("/counts/p99_ns"))
        },
        number("/calls_running").to_string(),
        at("/dependents")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
            .to_string(),
        used(
            render::bytes,
            number("/counts/memory_peak_bytes"),
            "/limits/memory_bytes",
        ),
        used(render::count, fuel, "/limits/fuel"),
        triggers(process),
        why(&text("/reason"), &text("/stands_by")),
    ]
}

/// What makes the host call it by itself, and how that went the last time.
fn triggers(process: &Value) -> String {
    let shown = |trigger: &Value| {
        let text = |path: &str| trigger.pointer(path).and_then(Value::as_str);
        let when = text("/when").unwrap_or_default();
        match (text("/last/result"), text("/last/why")) {
            (None, _) => when.to_string(),
            (Some(result), None) => format!("{when}: {result}"),
            (Some(result), Some(why)) => {
                let short: String = why.chars().take(WHY_CHARS_MAX).collect();
                let more = if short.len() < why.len() { "…" } else { "" };
                format!("{when}: {result}, {short}{more}")
            }
        }
    };
    let all = process.get("triggers").and_then(Value::as_array);
    let shown: Vec<String> = all.into_iter().flatten().map(shown).collect();
    shown.join("; ")
}

/// The short name of a tier: D0 of `D0_bit_exact`.
fn tier(determinism: &str) -> String {
    determinism.split('_').next().unwrap_or_default().to_string()
}

fn why(reason: &str, stands_by: &str) -> String {
    match (reason, stands_by) {
        ("", "") => String::new(),
        ("", former) => format!("on probation, {former} stands by"),
        (reason, _) => reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_shows_what_was_used_against_the_limits() {
        let process = json!({
            "urn": "urn:a", "version": "1.1.0", "state": "active", "generation": 3, "pinned": false, "zone": "tenant", "tenant": "acme",
            "determinism": "D1_numerically_stable", "runs_in": "worker", "dependents": ["urn:b"], "calls_running": 2, "stands_by": "1.0.0",
            "limits": { "memory_bytes": 67_108_864, "fuel": 20_000_000_000_u64 },
            "triggers": [
                { "when": "topic orders.placed.v1", "function": "handle", "last": { "result": "ok", "at_unix_ms": 1 } },
                { "when": "every 60 s", "function": "tick", "last": { "result": "failed", "why": "no", "at_unix_ms": 1 } },
                { "when": "cron 0 0 * * *", "function": "sweep" },
            ],
            "counts": { "calls": 4, "failures": 1, "fuel": 8_000, "memory_peak_bytes": 1_572_864, "p50_ns": 1, "p99_ns": 1_500_000 },
        });
        let row = row(&process);
        assert_eq!(row.len(), HEADING.len());
        assert_eq!(
            row[3..],
            [
                "3",
                "tenant",
                "acme",
                "D1",
                "worker",
                "4",
                "1",
                "1.5 ms",
                "2",
                "1",
                "1.5 MiB of 64.0 MiB",
                "2.0 k of 20.0 G",
                "topic orders.placed.v1: ok; every 60 s: failed, no; cron 0 0 * * *",
                "on probation, 1.0.0 stands by",
            ]
        );
    }

    #[test]
    fn only_some_columns_are_shown_unless_all_are_asked_for() {
        let heading = || HEADING.map(String::from).to_vec();
        assert_eq!(shown(heading(), false), NARROW);
        assert_eq!(shown(heading(), true), HEADING);
        let counts = json!({ "calls": 123_456, "failures": 1_234, "p99_ns": 150_500_000_u64 });
        let process = json!({
            "urn": "urn:kinetic:actionspace:substrate:stream_buffer:v1", "version": "1.0.0", "state": "suspended",
            "generation": 12, "counts": counts,
        });
        let table = render::table(&[shown(heading(), false), shown(row(&process), false)]);
        let longest = table.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(120), "{table}");
    }

    #[test]
    fn what_was_not_taken_from_a_watched_folder_is_named_with_why() {
        let document = json!({ "watched": [
            { "entry": "capsules/a", "state": "taken", "urn": "urn:a", "at_unix_ms": 1 },
            { "entry": "capsules/b", "state": "refused", "code": "KIN-X-1", "message": "no.", "at_unix_ms": 1 },
        ] });
        assert_eq!(not_taken(&document), ["capsules/b: refused, KIN-X-1: no."]);
    }

    #[test]
    fn what_was_never_called_used_nothing() {
        let row = row(
            &json!({ "state": "suspended", "pinned": true, "reason": "repairs", "limits": { "memory_bytes": 1_024 } }),
        );
        assert_eq!(
            (row[2].as_str(), row[10].as_str(), row[13].as_str()),
            ("suspended, pinned", "-", "- of 1.0 KiB")
        );
        assert_eq!(row.last().map(String::as_str), Some("repairs"));
    }
}
