//! The rules that forbid a node, whatever it would score. A node is passed over for the first one that it breaks.

use serde::Serialize;

use super::{Node, PlacementPolicy, Wants};

/// A rule that forbids a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rule {
    /// The node takes no capsules of this zone.
    Zone,
    /// The node takes no capsules of this governance tier.
    Tier,
    /// Another kind of processor is needed.
    Arch,
    /// A GPU is needed.
    Gpu,
    /// A label is missing, such as the one that says where data has to stay.
    Label,
    /// Another tenant is there.
    Tenant,
    /// A call would not have the memory it may take.
    Memory,
}

/// A node that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejected {
    pub(crate) node: String,
    pub(crate) rule: Rule,
    pub(crate) why: String,
}

/// The first rule that forbids the node, if one does.
pub(super) fn broken(node: &Node, wants: &Wants<'_>, policy: &PlacementPolicy) -> Option<Rejected> {
    const RULES: [(Rule, Check); 7] = [
        (Rule::Zone, zone),
        (Rule::Tier, tier),
        (Rule::Arch, arch),
        (Rule::Gpu, gpu),
        (Rule::Label, label),
        (Rule::Tenant, tenant),
        (Rule::Memory, memory),
    ];
    RULES.into_iter().find_map(|(rule, check)| {
        let why = check(node, wants, policy)?;
        Some(Rejected {
            node: node.id.clone(),
            rule,
            why,
        })
    })
}

/// Says why the node is forbidden, if it is.
type Check = fn(&Node, &Wants<'_>, &PlacementPolicy) -> Option<String>;

fn zone(node: &Node, wants: &Wants<'_>, _: &PlacementPolicy) -> Option<String> {
    (!node.zones.contains(&wants.zone)).then(|| format!("it takes no capsules of zone \"{}\"", wants.zone.as_str()))
}

fn tier(node: &Node, wants: &Wants<'_>, _: &PlacementPolicy) -> Option<String> {
    let name = || serde_json::to_string(&wants.tier).unwrap_or_default();
    (!node.tiers.contains(&wants.tier)).then(|| format!("it takes no capsules of governance tier {}", name()))
}

fn arch(node: &Node, wants: &Wants<'_>, _: &PlacementPolicy) -> Option<String> {
    let asked = wants.ask.arch?;
    (node.arch != Some(asked)).then(|| format!("it is not {}", asked.as_str()))
}

fn gpu(node: &Node, wants: &Wants<'_>, _: &PlacementPolicy) -> Option<String> {
    (wants.ask.gpu && !node.gpu).then(|| "it has no GPU".into())
}

fn label(node: &Node, wants: &Wants<'_>, _: &PlacementPolicy) -> Option<String> {
    let missing = wants.ask.labels.iter().find(|label| !node.labels.contains(*label))?;
    Some(format!("it has no label {missing}"))
}

fn tenant(node: &Node, wants: &Wants<'_>, policy: &PlacementPolicy) -> Option<String> {
    let own = wants.tenant.filter(|_| policy.isolate_tenants)?;
    // Who is there is nobody else's business: the other tenant is not named.
    let other = node.tenants.iter().any(|tenant| tenant != own);
    other.then(|| "another tenant's capsules are active there".into())
}

fn memory(node: &Node, wants: &Wants<'_>, _: &PlacementPolicy) -> Option<String> {
    let free = node.memory_free_bytes();
    (wants.memory_bytes > free).then(|| {
        format!(
            "a call may take {} bytes of memory, and {free} are free",
            wants.memory_bytes
        )
    })
}
