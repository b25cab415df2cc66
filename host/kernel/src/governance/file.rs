//! Reads policies: each has an id of its own, and fits the schema before it decides anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::statements::statements;
use crate::KernelError;

/// The largest file of policies, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most policies, the host's own included.
const POLICIES_MAX: usize = 1_000;
/// The ids that begin so are the host's own.
const OWN_PREFIX: &str = "kinetic.";

/// The operator's file.
pub(super) fn read(path: &Path) -> Result<String, KernelError> {
    let place = path.display().to_string();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    read.map_err(|e| fault(&place, None, e.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(fault(&place, None, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Policies of several texts, on their way into one set.
#[derive(Default)]
pub(super) struct Collected {
    policies: PolicySet,
    /// By id: text and line.
    places: BTreeMap<String, (String, usize)>,
}

impl Collected {
    /// Adds the policies of a text; `own` are the host's.
    pub(super) fn add(&mut self, place: &str, text: &str, own: bool) -> Result<(), KernelError> {
        for statement in statements(text) {
            let bad = |why: String| fault(place, Some(statement.line), why);
            if self.places.len() == POLICIES_MAX {
                return Err(bad(format!("there are more than {POLICIES_MAX} policies")));
            }
            let policy = Policy::parse(None, statement.text).map_err(|e| bad(first_line(&e)))?;
            let id = policy.annotation("id").unwrap_or_default().to_string();
            if id.is_empty() {
                return Err(bad("the policy has no @id(\"...\"), by which refusals name it".into()));
            }
            if !own && id.starts_with(OWN_PREFIX) {
                return Err(bad(format!(
                    "@id(\"{id}\") begins with \"{OWN_PREFIX}\", as the host's own policies do"
                )));
            }
            let placed = (place.to_string(), statement.line);
            if let Some((other, line)) = self.places.insert(id.clone(), placed) {
                return Err(bad(format!(
                    "@id(\"{id}\") is taken by the policy of {other}, line {line}"
                )));
            }
            let policy = policy.new_id(PolicyId::new(&id));
            self.policies.add(policy).map_err(|e| bad(first_line(&e)))?;
        }
        Ok(())
    }

    /// The set, once every policy fits the schema. What Cedar only warns of, a policy that can never apply or letters
    /// that look like others, is refused as well: it does not do what its author thinks.
    pub(super) fn checked(self, schema: &Schema) -> Result<PolicySet, KernelError> {
        let result = Validator::new(schema.clone()).validate(&self.policies, ValidationMode::Strict);
        let errors = result
            .validation_errors()
            .map(|e| (e.policy_id().to_string(), first_line(e)));
        let warnings = result
            .validation_warnings()
            .map(|w| (w.policy_id().to_string(), first_line(w)));
        // Sorted, for the validator tells them in no order.
        let faults: BTreeSet<(String, String)> = errors.chain(warnings).collect();
        let placed = faults.into_iter().map(|(id, why)| (self.places.get(&id), why));
        match placed.min() {
            Some((Some((place, line)), why)) => Err(fault(place, Some(*line), why)),
            Some((None, why)) => Err(fault("the policies", None, why)),
            None => Ok(self.policies),
        }
    }
}

fn first_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_string()
}

fn fault(place: &str, line: Option<usize>, why: String) -> KernelError {
    KernelError::PolicyFile {
        place: line.map_or_else(|| place.to_string(), |line| format!("{place}, line {line}")),
        why,
    }
}
