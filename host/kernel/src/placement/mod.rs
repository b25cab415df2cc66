//! Where a capsule runs: one pure function from what is known of the nodes, the capsule and the operator's policy to a
//! plan. The same question has the same answer on every machine, so a record of the plan can be checked later.

mod ask;
mod here;
#[cfg(test)]
mod laws;
mod node;
mod policy;
mod rules;
mod score;
#[cfg(test)]
mod tests;

use serde::Serialize;
use sha2::Digest as _;

pub(crate) use self::ask::Wants;
pub use self::ask::{Architecture, PlacementAsk, label_fault};
pub use self::node::NodeSettings;
pub(crate) use self::node::{Node, Snapshot};
pub use self::policy::PlacementPolicy;
pub(crate) use self::rules::Rejected;
pub(crate) use self::score::Scored;

/// The most nodes a plan names with their scores.
const SCORES_MAX: usize = 8;
/// The most nodes a plan names with why they were passed over.
const REJECTED_MAX: usize = 8;

/// A decision, as the record of the activation keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    /// The node it runs on.
    pub(crate) node: String,
    /// How many nodes were looked at.
    pub(crate) considered: usize,
    /// The best nodes and how they scored, the chosen one first; at most [`SCORES_MAX`].
    pub(crate) scores: Vec<Scored>,
    /// Nodes that were passed over and why, by id; at most [`REJECTED_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rejected: Vec<Rejected>,
}

/// No node may run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPlace {
    /// How many nodes were looked at.
    pub(crate) considered: usize,
    /// Why not, by id; at most [`REJECTED_MAX`].
    pub(crate) rejected: Vec<Rejected>,
}

impl NoPlace {
    /// The reasons as one sentence's part.
    pub(crate) fn why(&self) -> String {
        let named: Vec<String> = self
            .rejected
            .iter()
            .map(|rejected| format!("{}: {}", rejected.node, rejected.why))
            .collect();
        match self.considered.saturating_sub(named.len()) {
            _ if named.is_empty() => "there is no node".into(),
            0 => named.join("; "),
            more => format!("{}; and {more} more nodes", named.join("; ")),
        }
    }
}

/// Chooses the node of a capsule: of those that no rule forbids the one with the highest score; between equals the lowest
/// SHA-256 of capsule and node decides, so that capsules spread.
pub(crate) fn place(snapshot: &Snapshot, wants: &Wants<'_>, policy: &PlacementPolicy) -> Result<Plan, NoPlace> {
    let (mut fit, mut rejected) = (Vec::new(), Vec::new());
    for node in snapshot.nodes() {
        match rules::broken(node, wants, policy) {
            None => fit.push((Scored::of(node, wants, policy), tie_break(wants, node))),
            Some(broken) if rejected.len() < REJECTED_MAX => rejected.push(broken),
            Some(_) => {}
        }
    }
    let considered = snapshot.len();
    fit.sort_by(|(a, a_tie), (b, b_tie)| (b.total, a_tie, &a.node).cmp(&(a.total, b_tie, &b.node)));
    let Some((chosen, _)) = fit.first() else {
        return Err(NoPlace { considered, rejected });
    };
    Ok(Plan {
        node: chosen.node.clone(),
        considered,
        scores: fit.into_iter().take(SCORES_MAX).map(|(scored, _)| scored).collect(),
        rejected,
    })
}

fn tie_break(wants: &Wants<'_>, node: &Node) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    hasher.update(wants.digest.as_bytes());
    hasher.update(node.id.as_bytes());
    hasher.finalize().into()
}
