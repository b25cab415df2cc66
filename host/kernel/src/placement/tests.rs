//! Single stories of placement.

use kinetic_model::{Digest, GovernanceTier, TrustZone};

use super::rules::Rule;
use super::*;

const GIB: u64 = 1 << 30;

pub(super) fn node(id: &str) -> Node {
    let settings = NodeSettings::default();
    Node {
        id: id.into(),
        arch: Some(Architecture::X86_64),
        labels: settings.labels,
        zones: settings.zones,
        tiers: settings.tiers,
        gpu: false,
        memory_bytes: 8 * GIB,
        memory_used_bytes: 0,
        calls_running: 0,
        calls_running_max: 100,
        tenants: std::collections::BTreeSet::new(),
        warm: std::collections::BTreeSet::new(),
    }
}

pub(super) fn wants(ask: &PlacementAsk) -> Wants<'_> {
    Wants {
        digest: Digest::of(b"a component"),
        zone: TrustZone::Tenant,
        tier: GovernanceTier::Local,
        tenant: Some("acme"),
        memory_bytes: GIB,
        ask,
    }
}

fn chosen(nodes: &[Node], wants: &Wants<'_>) -> Result<String, NoPlace> {
    let snapshot: Snapshot = nodes.iter().cloned().collect();
    place(&snapshot, wants, &PlacementPolicy::default()).map(|plan| plan.node)
}

/// The rule that keeps a capsule from the only node there is.
fn refused_by(node: Node, wants: &Wants<'_>, policy: &PlacementPolicy) -> Rule {
    let refused = place(&[node].into_iter().collect(), wants, policy).unwrap_err();
    assert_eq!(refused.considered, 1);
    assert!(refused.why().contains(&refused.rejected[0].why), "{}", refused.why());
    refused.rejected[0].rule
}

#[test]
fn each_rule_alone_forbids_a_node() {
    let policy = PlacementPolicy::default();
    let anything = PlacementAsk::default();
    let plain = wants(&anything);
    let mut zone = node("a");
    zone.zones.retain(|zone| *zone != TrustZone::Tenant);
    assert_eq!(refused_by(zone, &plain, &policy), Rule::Zone);
    let mut tier = node("a");
    tier.tiers = vec![GovernanceTier::Core];
    assert_eq!(refused_by(tier, &plain, &policy), Rule::Tier);
    let mut full = node("a");
    full.memory_used_bytes = 7 * GIB + 1;
    assert_eq!(refused_by(full, &plain, &policy), Rule::Memory);
    let ask = |change: fn(&mut PlacementAsk)| {
        let mut ask = PlacementAsk::default();
        change(&mut ask);
        refused_by(node("a"), &wants(&ask), &PlacementPolicy::default())
    };
    assert_eq!(ask(|ask| ask.gpu = true), Rule::Gpu);
    assert_eq!(ask(|ask| ask.arch = Some(Architecture::Aarch64)), Rule::Arch);
    assert_eq!(ask(|ask| ask.labels = vec!["region=eu".into()]), Rule::Label);
}

#[test]
fn two_tenants_share_a_node_unless_the_policy_forbids_it_and_the_hosts_own_capsules_always_may() {
    let mut other = node("a");
    other.tenants.insert("umbrella".into());
    let apart = PlacementPolicy {
        isolate_tenants: true,
        ..PlacementPolicy::default()
    };
    let anything = PlacementAsk::default();
    let plain = wants(&anything);
    assert!(chosen(&[other.clone()], &plain).is_ok());
    assert_eq!(refused_by(other.clone(), &plain, &apart), Rule::Tenant);
    let own = Wants { tenant: None, ..plain };
    assert!(place(&[other.clone()].into_iter().collect(), &own, &apart).is_ok());
    other.tenants = ["acme".to_string()].into_iter().collect();
    assert!(place(&[other].into_iter().collect(), &plain, &apart).is_ok());
}

#[test]
fn the_emptier_the_nearer_and_the_warmer_node_wins() {
    let anything = PlacementAsk::default();
    let plain = wants(&anything);
    let mut fuller = node("a");
    fuller.memory_used_bytes = 4 * GIB;
    assert_eq!(chosen(&[fuller, node("b")], &plain).unwrap(), "b");
    let mut busier = node("a");
    busier.calls_running = 50;
    assert_eq!(chosen(&[busier, node("b")], &plain).unwrap(), "b");
    let mut warm = node("b");
    warm.warm.insert(plain.digest);
    assert_eq!(chosen(&[node("a"), warm, node("c")], &plain).unwrap(), "b");
    let near = PlacementAsk {
        near: vec!["rack=7".into()],
        ..PlacementAsk::default()
    };
    let mut there = node("b");
    there.labels.insert("rack=7".into());
    assert_eq!(chosen(&[node("a"), there, node("c")], &wants(&near)).unwrap(), "b");
}

#[test]
fn equal_nodes_are_chosen_by_the_capsule_so_that_capsules_spread() {
    let nodes = [node("a"), node("b"), node("c"), node("d")];
    let anything = PlacementAsk::default();
    let chosen: std::collections::BTreeSet<String> = (0_u8..64)
        .map(|number| {
            let wants = Wants {
                digest: Digest::of(&[number]),
                ..wants(&anything)
            };
            chosen(&nodes, &wants).unwrap()
        })
        .collect();
    assert_eq!(chosen.len(), nodes.len());
}

#[test]
fn a_refusal_names_a_bounded_number_of_nodes_and_counts_the_others() {
    let none = place(
        &Snapshot::default(),
        &wants(&PlacementAsk::default()),
        &PlacementPolicy::default(),
    )
    .unwrap_err();
    assert_eq!(none.why(), "there is no node");
    let ask = PlacementAsk {
        gpu: true,
        ..PlacementAsk::default()
    };
    let many: Vec<Node> = (0..20).map(|number| node(&format!("n{number:02}"))).collect();
    let refused = chosen(&many, &wants(&ask)).unwrap_err();
    assert_eq!((refused.considered, refused.rejected.len()), (20, REJECTED_MAX));
    assert!(refused.why().ends_with("and 12 more nodes"), "{}", refused.why());
}

#[test]
fn a_label_is_short_and_plain() {
    assert!(
        ["eu", "region=eu", "a/b.c_d-9"]
            .iter()
            .all(|label| label_fault(label).is_none())
    );
    assert!(
        ["", "EU", "a b", &"x".repeat(65)]
            .iter()
            .all(|label| label_fault(label).is_some())
    );
}
