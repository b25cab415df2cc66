//! What used what: the steps an event names, and the edges between them.

use std::collections::BTreeMap;

use crate::groups::{EventGroup, Sums};
use crate::interner::Texts;
use crate::tables::UsageRow;

/// A step: its kind and its name.
type Step<'a> = (&'static str, &'a str);

/// Events and errors.
#[derive(Default)]
struct Counts {
    events: u64,
    errors: u64,
}

/// The nodes and edges of a workflow.
pub(crate) fn usage(workflow: Option<&str>, groups: &[EventGroup], texts: &Texts) -> Vec<UsageRow> {
    let mut nodes: BTreeMap<Step<'_>, Counts> = BTreeMap::new();
    let mut edges: BTreeMap<(Step<'_>, Step<'_>), Counts> = BTreeMap::new();
    for EventGroup { key, sums } in groups {
        let [intent, node, model] = [key.intent, key.node, key.model].map(|name| name.map(|name| texts.of(name)));
        let steps = [
            ("workflow", workflow),
            ("intent", intent),
            ("node", node),
            ("model", model),
        ];
        let mut before = None;
        for (kind, name) in steps {
            let Some(name) = name else { continue };
            let step = (kind, name);
            count(nodes.entry(step).or_default(), sums);
            if let Some(before) = before.replace(step) {
                count(edges.entry((before, step)).or_default(), sums);
            }
        }
    }
    let row = |from: Step<'_>, to: Option<Step<'_>>, counts: Counts| UsageRow {
        kind: if to.is_some() { "edge" } else { "node" }.to_owned(),
        workflow_id: workflow.map(str::to_owned),
        from_kind: from.0.to_owned(),
        from_id: from.1.to_owned(),
        to_kind: to.map(|to| to.0.to_owned()),
        to_id: to.map(|to| to.1.to_owned()),
        events: counts.events,
        errors: counts.errors,
    };
    let nodes = nodes.into_iter().map(|(step, counts)| row(step, None, counts));
    let edges = edges
        .into_iter()
        .map(|((from, to), counts)| row(from, Some(to), counts));
    nodes.chain(edges).collect()
}

fn count(counts: &mut Counts, sums: &Sums) {
    counts.events += sums.events;
    counts.errors += sums.errors;
}
