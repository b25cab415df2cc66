//! What a manifest's triggers must keep to: by themselves, and with the functions of the component.

use kinetic_engine::{Function, Interface, WitType};
use kinetic_ledger::bus::{GROUP_NAME_BYTES_MAX, HOST_PREFIX, check_topic_name, topic_matches};
use kinetic_model::ImportGrant;

use super::{Trigger, When};
use crate::{KernelError, Manifest};

/// The most triggers of one capsule.
const TRIGGERS_MAX: usize = 16;
/// The interface by whose grant a topic calls a capsule.
const EVENTS: &str = "kinetic:events/bus";

/// The first trigger that cannot stand: its path in the manifest, and why.
pub(crate) fn fault(manifest: &Manifest) -> Option<(String, String)> {
    let triggers = &manifest.triggers;
    if triggers.len() > TRIGGERS_MAX {
        let why = format!("it has {} entries, at most {TRIGGERS_MAX} are read", triggers.len());
        return Some(("triggers".into(), why));
    }
    triggers.iter().enumerate().find_map(|(index, trigger)| {
        let before = triggers.get(..index).unwrap_or_default();
        let why = twice(trigger, before).or_else(|| match &trigger.when {
            When::Topic(topic) => topic_fault(topic, manifest),
            When::EveryMs(_) | When::Cron(_) => None,
        })?;
        Some((format!("triggers[{index}]"), why))
    })
}

/// A topic has one position for the capsule, so it calls one function; the same time twice is a slip.
fn twice(trigger: &Trigger, before: &[Trigger]) -> Option<String> {
    let same = before.iter().any(|other| match (&other.when, &trigger.when) {
        (When::Topic(a), When::Topic(b)) => a == b,
        _ => other == trigger,
    });
    same.then(|| format!("\"{}\" stands there twice", trigger.when))
}

fn topic_fault(topic: &str, manifest: &Manifest) -> Option<String> {
    if topic.starts_with(HOST_PREFIX) {
        return Some(format!("topics that begin with {HOST_PREFIX} are the host's own"));
    }
    if let Err(error) = check_topic_name(topic) {
        return Some(error.to_string());
    }
    if manifest.id.as_str().len() > GROUP_NAME_BYTES_MAX {
        return Some(format!(
            "the id names the group that consumes, which has at most {GROUP_NAME_BYTES_MAX} bytes"
        ));
    }
    (!granted(topic, &manifest.imports)).then(|| {
        format!(
            "{topic} is not granted: add {{ \"interface\": \"{EVENTS}\", \"subscribe\": [\"{topic}\"] }} under \"imports\""
        )
    })
}

/// The grant by which the capsule could subscribe itself.
fn granted(topic: &str, imports: &[ImportGrant]) -> bool {
    let grants = imports.iter().filter(|grant| grant.interface == EVENTS);
    let mut patterns = grants.flat_map(|grant| &grant.subscribe);
    patterns.any(|pattern| topic_matches(pattern, topic))
}

/// Whether every trigger can call its function.
///
/// # Errors
/// `TriggerMisfit`.
pub(crate) fn misfit(manifest: &Manifest, interface: &Interface) -> Result<(), KernelError> {
    for trigger in &manifest.triggers {
        let why = match interface.function(&trigger.function) {
            None => Some(format!("there is no such function, only {}", interface.names())),
            Some(function) => unfit(&trigger.when, function),
        };
        if let Some(why) = why {
            return Err(KernelError::TriggerMisfit {
                trigger: trigger.when.to_string(),
                function: trigger.function.clone(),
                why,
            });
        }
    }
    Ok(())
}

fn unfit(when: &When, function: &Function) -> Option<String> {
    // An event's data can be an object with a member for each parameter.
    if matches!(when, When::Topic(_)) {
        return None;
    }
    let needed = |(_, ty): &&(String, WitType)| !matches!(ty, WitType::Option(_));
    let (name, _) = function.params.iter().find(needed)?;
    Some(format!("it needs the argument {name}, and the clock gives none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::SMALL;

    const GRANT: &str = r#""imports": [{ "interface": "kinetic:events/bus", "subscribe": ["orders.*.v1"] }], "#;

    fn with(grant: &str, triggers: &str) -> Result<Manifest, KernelError> {
        Manifest::parse(&SMALL.replacen('{', &format!(r#"{{ {grant} "triggers": [{triggers}], "#), 1))
    }

    fn refused(grant: &str, triggers: &str) -> (String, String) {
        match with(grant, triggers) {
            Err(KernelError::ManifestRule { path, why }) => (path, why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_topic_that_is_granted_and_times_are_accepted() {
        let triggers = r#"{ "topic": "orders.placed.v1", "function": "f" }, { "every_ms": 100, "function": "f" },
            { "cron": "0 0 * * *", "function": "g" }"#;
        assert_eq!(with(GRANT, triggers).unwrap().triggers.len(), 3);
        assert!(with("", r#"{ "every_ms": 100, "function": "f" }"#).is_ok());
    }

    #[test]
    fn a_topic_that_is_not_granted_is_refused_with_the_line_to_add() {
        let topic = r#"{ "topic": "bills.sent.v1", "function": "f" }"#;
        for grant in ["", GRANT] {
            let (path, why) = refused(grant, topic);
            assert!(
                path == "triggers[0]" && why.contains(r#""subscribe": ["bills.sent.v1"]"#),
                "{why}"
            );
        }
        let elsewhere = GRANT.replace("events/bus", "state/store");
        refused(&elsewhere, r#"{ "topic": "orders.placed.v1", "function": "f" }"#);
    }

    #[test]
    fn the_hosts_own_topics_names_that_are_none_and_repetitions_are_refused() {
        let all = GRANT.replace("orders.*.v1", ">");
        for (triggers, word) in [
            (
                r#"{ "topic": "kinetic.lifecycle.v1", "function": "f" }"#,
                "the host's own",
            ),
            (r#"{ "topic": "orders", "function": "f" }"#, "orders"),
            (r#"{ "topic": "orders.*.v1", "function": "f" }"#, "orders"),
            (
                r#"{ "topic": "orders.placed.v1", "function": "f" }, { "topic": "orders.placed.v1", "function": "g" }"#,
                "twice",
            ),
            (
                r#"{ "every_ms": 100, "function": "f" }, { "every_ms": 100, "function": "f" }"#,
                "twice",
            ),
        ] {
            let (path, why) = refused(&all, triggers);
            assert!(path.starts_with("triggers[") && why.contains(word), "{path}: {why}");
        }
        let many: Vec<String> = (0..17)
            .map(|n| format!(r#"{{ "every_ms": {}, "function": "f" }}"#, 100 + n))
            .collect();
        assert_eq!(refused("", &many.join(",")).0, "triggers");
    }
}
