//! Laws of placement over made-up nodes: order does not matter, rules hold, losers do not matter, nothing overflows.

use std::collections::BTreeSet;

use kinetic_model::{Digest, GovernanceTier, TrustZone};
use proptest::collection::vec;
use proptest::prelude::*;

use super::score::FULL;
use super::*;

const LABELS: [&str; 3] = ["region=eu", "rack=7", "disk=fast"];

fn labels() -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(LABELS.to_vec(), 0..=LABELS.len())
        .prop_map(|labels| labels.into_iter().map(String::from).collect())
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..10_000_u64, any::<u64>()]
}

fn arch() -> impl Strategy<Value = Option<Architecture>> {
    prop_oneof![
        Just(None),
        Just(Some(Architecture::X86_64)),
        Just(Some(Architecture::Aarch64))
    ]
}

fn node(id: usize) -> impl Strategy<Value = Node> {
    let zones = proptest::sample::subsequence(vec![TrustZone::Tenant, TrustZone::Session], 0..=2);
    let tiers = proptest::sample::subsequence(vec![GovernanceTier::Local, GovernanceTier::Core], 0..=2);
    let sizes = (size(), size(), size(), size());
    (
        arch(),
        labels(),
        zones,
        tiers,
        any::<bool>(),
        sizes,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            move |(arch, labels, zones, tiers, gpu, (memory, used, running, running_max), other, warm)| Node {
                id: format!("n{id}"),
                arch,
                labels: labels.into_iter().collect(),
                zones,
                tiers,
                gpu,
                memory_bytes: memory,
                memory_used_bytes: used,
                calls_running: running,
                calls_running_max: running_max,
                tenants: if other {
                    BTreeSet::from(["umbrella".to_string()])
                } else {
                    BTreeSet::new()
                },
                warm: if warm {
                    BTreeSet::from([Digest::of(b"a component")])
                } else {
                    BTreeSet::new()
                },
            },
        )
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    (0..12_usize).prop_flat_map(|count| (0..count).map(node).collect::<Vec<_>>())
}

fn ask() -> impl Strategy<Value = PlacementAsk> {
    (any::<bool>(), arch(), vec(0..3_usize, 0..2), labels()).prop_map(|(gpu, arch, needed, near)| PlacementAsk {
        gpu,
        arch,
        labels: needed.into_iter().map(|at| LABELS[at].to_string()).collect(),
        near,
    })
}

fn policy() -> impl Strategy<Value = PlacementPolicy> {
    (any::<bool>(), any::<[u16; 4]>()).prop_map(|(isolate_tenants, weights)| PlacementPolicy {
        isolate_tenants,
        weight_memory: weights[0],
        weight_load: weights[1],
        weight_locality: weights[2],
        weight_warm: weights[3],
    })
}

fn wants(ask: &PlacementAsk, memory_bytes: u64) -> Wants<'_> {
    Wants {
        memory_bytes,
        ..super::tests::wants(ask)
    }
}

/// The rules once more, in other words.
fn may(node: &Node, wants: &Wants<'_>, policy: &PlacementPolicy) -> bool {
    node.zones.contains(&wants.zone)
        && node.tiers.contains(&wants.tier)
        && (wants.ask.arch.is_none() || wants.ask.arch == node.arch)
        && (node.gpu || !wants.ask.gpu)
        && wants.ask.labels.iter().all(|label| node.labels.contains(label))
        && (!policy.isolate_tenants || node.tenants.iter().all(|tenant| Some(tenant.as_str()) == wants.tenant))
        && u128::from(node.memory_used_bytes) + u128::from(wants.memory_bytes)
            <= u128::from(node.memory_bytes.max(node.memory_used_bytes))
}

proptest! {
    #[test]
    fn the_order_of_the_nodes_does_not_matter(nodes in nodes(), ask in ask(), policy in policy(), memory in size()) {
        let wants = wants(&ask, memory);
        let forwards: Snapshot = nodes.iter().cloned().collect();
        let backwards: Snapshot = nodes.iter().rev().cloned().collect();
        prop_assert_eq!(place(&forwards, &wants, &policy), place(&backwards, &wants, &policy));
    }

    #[test]
    fn a_node_that_breaks_a_rule_is_never_chosen_and_one_that_breaks_none_is_found(
        nodes in nodes(), ask in ask(), policy in policy(), memory in size()
    ) {
        let wants = wants(&ask, memory);
        let fit: BTreeSet<&str> = nodes
            .iter()
            .filter(|node| may(node, &wants, &policy))
            .map(|node| node.id.as_str())
            .collect();
        match place(&nodes.iter().cloned().collect(), &wants, &policy) {
            Ok(plan) => {
                prop_assert!(fit.contains(plan.node.as_str()));
                prop_assert!(plan.scores.iter().all(|scored| fit.contains(scored.node.as_str())));
                prop_assert!(plan.rejected.iter().all(|rejected| !fit.contains(rejected.node.as_str())));
                prop_assert_eq!(plan.scores.len(), fit.len().min(SCORES_MAX));
            }
            Err(_) => prop_assert!(fit.is_empty()),
        }
    }

    #[test]
    fn without_any_losing_node_the_choice_and_its_score_are_the_same(
        nodes in nodes(), ask in ask(), policy in policy(), memory in size(), loser in any::<proptest::sample::Index>()
    ) {
        let wants = wants(&ask, memory);
        if let Ok(plan) = place(&nodes.iter().cloned().collect(), &wants, &policy) {
            let losers: Vec<&Node> = nodes.iter().filter(|node| node.id != plan.node).collect();
            if !losers.is_empty() {
                let gone = &loser.get(&losers).id;
                let others: Snapshot = nodes.iter().filter(|node| node.id != *gone).cloned().collect();
                let again = place(&others, &wants, &policy).unwrap();
                prop_assert_eq!(&again.node, &plan.node);
                prop_assert_eq!(&again.scores[0], &plan.scores[0]);
            }
        }
    }

    #[test]
    fn no_score_leaves_its_range_whatever_the_numbers(nodes in nodes(), ask in ask(), policy in policy(), memory in size()) {
        let wants = wants(&ask, memory);
        for node in &nodes {
            let scored = Scored::of(node, &wants, &policy);
            prop_assert!([scored.memory, scored.load, scored.locality, scored.warm].iter().all(|score| *score <= FULL));
            prop_assert!(scored.total <= 4 * u64::from(u16::MAX) * FULL);
        }
    }
}
