//! The steps of random histories.

use proptest::prelude::*;

use super::oracle::{KEYS, Ranged};
use super::*;

/// Numbers in steps are taken modulo what there is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit {
        branch: u8,
        writes: Vec<(u8, Option<u8>)>,
    },
    Stage {
        branch: u8,
        writes: Vec<(u8, Option<u8>)>,
    },
    Advance {
        synced_behind: u8,
    },
    Begin {
        slot: u8,
        branch: u8,
    },
    TxGet {
        slot: u8,
        key: u8,
    },
    TxScan {
        slot: u8,
        range: Ranged,
        limit: u8,
        after: Option<u8>,
    },
    TxWrite {
        slot: u8,
        key: u8,
        value: Option<u8>,
    },
    TxCommit {
        slot: u8,
    },
    TxDrop {
        slot: u8,
    },
    Get {
        branch: u8,
        key: u8,
        at: u8,
    },
    Scan {
        branch: u8,
        range: Ranged,
        at: u8,
        limit: u8,
        after: Option<u8>,
    },
    History {
        branch: u8,
        key: u8,
        before: u8,
        limit: u8,
    },
    Diff {
        branch: u8,
        at: u8,
    },
    Create {
        parent: u8,
        base: u8,
    },
    Discard {
        branch: u8,
    },
    Merge {
        branch: u8,
        policy: MergePolicy,
    },
    Retain {
        horizon: u8,
    },
    Sweep {
        budget: u8,
    },
    Flush,
    Reopen(End),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let writes = || prop::collection::vec((0..KEYS * 3, prop::option::weighted(0.75, any::<u8>())), 1..5);
    let ranged = || {
        prop_oneof![
            Just(Ranged::Everything),
            any::<u8>().prop_map(Ranged::Prefix),
            (any::<u8>(), any::<u8>()).prop_map(|(from, end)| Ranged::Between(from, end)),
        ]
    };
    let after = || prop::option::weighted(0.3, any::<u8>());
    let any = any::<u8>;
    let policy = prop_oneof![
        Just(MergePolicy::FailOnConflict),
        Just(MergePolicy::Ours),
        Just(MergePolicy::Theirs)
    ];
    let end = prop_oneof![3 => Just(End::Close), 3 => Just(End::Kill), 1 => Just(End::Delete)];
    prop_oneof![
        12 => (any(), writes()).prop_map(|(branch, writes)| Step::Commit { branch, writes }),
        5 => (any(), writes()).prop_map(|(branch, writes)| Step::Stage { branch, writes }),
        4 => (0..4_u8).prop_map(|synced_behind| Step::Advance { synced_behind }),
        5 => (any(), any()).prop_map(|(slot, branch)| Step::Begin { slot, branch }),
        7 => (any(), any()).prop_map(|(slot, key)| Step::TxGet { slot, key }),
        5 => (any(), ranged(), 1..10_u8, after())
            .prop_map(|(slot, range, limit, after)| Step::TxScan { slot, range, limit, after }),
        9 => (any(), any(), prop::option::weighted(0.75, any())).prop_map(|(slot, key, value)| Step::TxWrite { slot, key, value }),
        6 => any().prop_map(|slot| Step::TxCommit { slot }),
        1 => any().prop_map(|slot| Step::TxDrop { slot }),
        6 => (any(), any(), any()).prop_map(|(branch, key, at)| Step::Get { branch, key, at }),
        6 => (any(), ranged(), any(), 1..10_u8, after())
            .prop_map(|(branch, range, at, limit, after)| Step::Scan { branch, range, at, limit, after }),
        4 => (any(), any(), any(), 1..6_u8).prop_map(|(branch, key, before, limit)| Step::History { branch, key, before, limit }),
        2 => (any(), any()).prop_map(|(branch, at)| Step::Diff { branch, at }),
        4 => (any(), any()).prop_map(|(parent, base)| Step::Create { parent, base }),
        2 => any().prop_map(|branch| Step::Discard { branch }),
        3 => (any(), policy).prop_map(|(branch, policy)| Step::Merge { branch, policy }),
        2 => any().prop_map(|horizon| Step::Retain { horizon }),
        4 => (1..40_u8).prop_map(|budget| Step::Sweep { budget }),
        1 => Just(Step::Flush),
        2 => end.prop_map(Step::Reopen),
    ]
}
