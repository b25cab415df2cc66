//! `kinetic events`: the lives of capsules on a host, transition by transition, swap by swap, and the host's own starts.

use std::process::ExitCode;

use clap::Args;
use kinetic_kernel::LIFECYCLE_TOPIC;
use serde_json::Value;

use super::Context;
use super::tail::Tail;

/// Show every transition, swap step, delivery from the outbox and start of the host, as recorded
///
/// One line for each: place, time, capsule, what happened, why and by whom; with --output json
/// the events as they are. They are the topic kinetic.lifecycle.v1. Asks the running host: with
/// --data alone, the one that serves that folder.
///
///     kinetic events
///     kinetic events --follow
///     kinetic events --from 1200 --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Events {
    /// Go on with what comes, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Where to begin: earliest, latest, or an offset [default: earliest; latest with --follow]
    #[arg(long, value_name = "earliest|latest|N")]
    from: Option<String>,
}

impl Events {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.running_host()?;
        Tail::of(LIFECYCLE_TOPIC.to_string(), self.from, self.follow).show(context, &client, line)
    }
}

/// An event for people, behind its place.
fn line(event: &Value, _topic: &str) -> String {
    let data = event.get("data").unwrap_or(&Value::Null);
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let time = event.get("time").and_then(Value::as_str).unwrap_or_default();
    let named = |what: &str| match (text(&format!("/{what}/urn")), text(&format!("/{what}/version"))) {
        // The host itself.
        ("", "") => None,
        (urn, version) => Some(format!("{urn} {version}")),
    };
    let mut capsule = named("capsule").or_else(|| named("promotion")).unwrap_or_default();
    if let Some(generation) = data
        .pointer("/capsule/generation")
        .and_then(Value::as_u64)
        .filter(|g| *g > 0)
    {
        capsule = format!("{capsule} g{generation}");
    }
    let what = match (text("/event"), text("/from"), text("/to"), text("/step")) {
        ("lifecycle", "", to, _) => to.to_string(),
        ("lifecycle", from, to, _) => format!("{from} -> {to}"),
        ("swap", _, _, step) => format!("swap: {step}"),
        ("outbox", _, _, step) => format!("outbox: {step}, {}", text("/registry")),
        ("watched", ..) => format!("{} refused", text("/entry")),
        ("boot", ..) => {
            let start = data.get("generation").and_then(Value::as_u64).unwrap_or_default();
            format!("start {start}: {}", text("/phase"))
        }
        (other, ..) => other.to_string(),
    };
    let who = match (text("/cause"), text("/actor")) {
        ("", "") => String::new(),
        ("", actor) => format!("by {actor}"),
        (cause, actor) => format!("{cause} by {actor}"),
    };
    let parts = [time.to_string(), capsule, what, who, detail(data)];
    let parts = parts.iter().filter(|part| !part.is_empty());
    parts.fold(String::new(), |line, part| format!("{line}  {part}"))
}

/// What more there is to say: words as they are, a failure as code and message, anything else as JSON.
fn detail(data: &Value) -> String {
    let more = ["reason", "detail", "limits"]
        .into_iter()
        .filter_map(|name| data.get(name));
    let Some(more) = more.into_iter().find(|more| !more.is_null()) else {
        return String::new();
    };
    let text = |name: &str| more.get(name).and_then(Value::as_str);
    if let Some(node) = more.pointer("/placement/node").and_then(Value::as_str) {
        let pinned = more.get("pinned").is_some();
        return format!("on node {node}{}", if pinned { ", pinned" } else { "" });
    }
    if let Some(entry) = text("entry") {
        return format!("in {entry}");
    }
    if let Some(took_ms) = more.get("took_ms") {
        return phase(more, took_ms);
    }
    if let Some(source) = text("source") {
        return format!("from {source}");
    }
    match (more, text("code"), text("message")) {
        (Value::String(words), ..) => words.clone(),
        (_, Some(code), Some(message)) => format!("{code}: {message}"),
        (more, ..) => more.to_string(),
    }
}

/// What a phase of the host's start found, and how long it took.
fn phase(found: &Value, took_ms: &Value) -> String {
    let count = |name: &str| found.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (known, wanted, active, failed) = (count("known"), count("wanted"), count("active"), count("failed"));
    let reasons = found.get("reasons").and_then(Value::as_array).into_iter().flatten();
    let text = |reason: &Value, name: &str| reason.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
    let reasons: Vec<_> = reasons
        .map(|reason| format!("; {}: {}", text(reason, "what"), text(reason, "why")))
        .collect();
    let reasons = reasons.concat();
    format!("{took_ms} ms, {known} known, {wanted} wanted, {active} active, {failed} failed{reasons}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_transition_says_from_where_to_where_why_and_by_whom() {
        let event = json!({ "time": "T", "data": {
            "event": "lifecycle", "capsule": { "urn": "urn:a", "version": "1.1.0", "generation": 2 },
            "from": "active", "to": "quarantined", "cause": "rolled-back", "actor": "host",
            "reason": { "code": "KIN-KER-0021", "message": "it failed." },
        } });
        let expected = "  T  urn:a 1.1.0 g2  active -> quarantined  rolled-back by host  KIN-KER-0021: it failed.";
        assert_eq!(line(&event, ""), expected);
        let event = json!({ "data": {
            "event": "lifecycle", "capsule": { "urn": "urn:a", "version": "1.1.0", "generation": 0 },
            "from": null, "to": "discovered", "cause": "found", "actor": "publisher", "reason": { "source": "its publisher" },
        } });
        assert_eq!(
            line(&event, ""),
            "  urn:a 1.1.0  discovered  found by publisher  from its publisher"
        );
    }

    #[test]
    fn what_lay_in_a_watched_folder_names_its_entry() {
        let capsule = json!({ "urn": "urn:a", "version": "1.1.0", "generation": 0 });
        let event = json!({ "data": {
            "event": "lifecycle", "capsule": capsule, "from": null, "to": "discovered", "cause": "watched",
            "actor": "publisher", "reason": { "entry": "capsules/a" },
        } });
        assert_eq!(
            line(&event, ""),
            "  urn:a 1.1.0  discovered  watched by publisher  in capsules/a"
        );
        let event = json!({ "data": {
            "event": "watched", "capsule": capsule, "entry": "capsules/a", "cause": "watched", "actor": "publisher",
            "reason": { "code": "KIN-X", "message": "no." },
        } });
        assert_eq!(
            line(&event, ""),
            "  urn:a 1.1.0  capsules/a refused  watched by publisher  KIN-X: no."
        );
    }

    #[test]
    fn a_delivery_from_the_outbox_names_its_registry_and_why_it_failed() {
        let event = json!({ "data": {
            "event": "outbox", "step": "retrying", "entry": "ab", "registry": "acme", "attempts": 1, "actor": "host",
            "capsule": { "urn": "urn:a", "version": "1.1.0" },
            "reason": { "code": "KIN-X", "message": "no." },
        } });
        assert_eq!(
            line(&event, ""),
            "  urn:a 1.1.0  outbox: retrying, acme  by host  KIN-X: no."
        );
        let event = json!({ "data": {
            "event": "outbox", "step": "delivered", "entry": "ab", "registry": "acme", "attempts": 0, "actor": "host",
            "promotion": { "urn": "urn:t", "version": "1.0.0" }, "reason": "the registry took it",
        } });
        assert_eq!(
            line(&event, ""),
            "  urn:t 1.0.0  outbox: delivered, acme  by host  the registry took it"
        );
    }

    #[test]
    fn a_phase_of_the_start_says_how_long_it_took_and_what_failed() {
        let event = json!({ "time": "T", "data": {
            "event": "boot", "phase": "capsules_reconciled", "generation": 3,
            "detail": { "took_ms": 12, "known": 9, "wanted": 4, "active": 3, "failed": 1,
                "reasons": [{ "what": "urn:a", "code": "KIN-KER-0008", "why": "it is quarantined." }] },
        } });
        let expected = "  T  start 3: capsules_reconciled  12 ms, 9 known, 4 wanted, 3 active, 1 failed; urn:a: it is quarantined.";
        assert_eq!(line(&event, ""), expected);
    }

    #[test]
    fn a_step_of_a_swap_and_new_limits_say_what_they_hold() {
        let capsule = json!({ "urn": "urn:a", "version": "1.1.0", "generation": 0 });
        let event =
            json!({ "data": { "event": "swap", "step": "shadow", "capsule": capsule, "detail": { "calls": 3 } } });
        assert_eq!(line(&event, ""), "  urn:a 1.1.0  swap: shadow  {\"calls\":3}");
        let event =
            json!({ "data": { "event": "limits", "capsule": capsule, "actor": "operator", "limits": { "fuel": 1 } } });
        assert_eq!(line(&event, ""), "  urn:a 1.1.0  limits  by operator  {\"fuel\":1}");
    }
}
