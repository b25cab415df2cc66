//! `kinetic events`: the lives of capsules on a host, transition by transition, swap by swap.

use std::process::ExitCode;

use clap::Args;
use kinetic_kernel::LIFECYCLE_TOPIC;
use serde_json::Value;

use super::Context;
use super::tail::Tail;

/// Show every transition and every step of a swap, as recorded
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
    let mut capsule = format!("{} {}", text("/capsule/urn"), text("/capsule/version"));
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
    match (more, text("code"), text("message")) {
        (Value::String(words), ..) => words.clone(),
        (_, Some(code), Some(message)) => format!("{code}: {message}"),
        (more, ..) => more.to_string(),
    }
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
            "from": null, "to": "discovered", "cause": "found", "actor": "publisher", "reason": null,
        } });
        assert_eq!(line(&event, ""), "  urn:a 1.1.0  discovered  found by publisher");
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
