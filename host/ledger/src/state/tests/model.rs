//! Random histories against an oracle that knows nothing but the list of what was committed.

use proptest::prelude::*;

use super::oracle::{Oracle, OracleBranch, Ranged, some_key};
use super::steps::{Step, step};
use super::*;

/// How many transactions are open at once, at most.
const SLOTS: usize = 3;

struct Open {
    transaction: Transaction,
    branch: BranchId,
    writes: std::collections::BTreeMap<Key, Option<Bytes>>,
    /// Read for sure; read perhaps (a scan that stopped early).
    read: Vec<Key>,
    scanned: Vec<(Ranged, Option<Key>, Option<Key>)>,
}

struct Run {
    driver: Driver,
    oracle: Oracle,
    open: [Option<Open>; SLOTS],
    names: u32,
}

fn value(byte: u8) -> Bytes {
    Bytes::from(vec![byte; usize::from(byte % 5)])
}

impl Run {
    fn pick_live(&self, number: u8) -> BranchId {
        let live = self.oracle.live();
        live[usize::from(number) % live.len()]
    }

    /// Also one that was discarded, or does not exist.
    fn pick_any(&self, number: u8) -> BranchId {
        BranchId(u32::from(number) % (u32::try_from(self.oracle.branches.len()).unwrap() + 2))
    }

    fn pick_at(&self, number: u8) -> u64 {
        // More often what is near the end.
        let visible = self.driver.visible();
        if number.is_multiple_of(3) {
            visible
        } else {
            u64::from(number) % (visible + 1)
        }
    }

    fn readable(&self, branch: BranchId, at: u64) -> bool {
        if branch == BranchId::MAIN {
            return true;
        }
        let visible = self.driver.visible();
        self.oracle.branch(branch).is_some_and(|known| {
            known.created < at
                && known
                    .discarded
                    .is_none_or(|discarded| at <= discarded && visible <= discarded)
        })
    }

    fn compare<T: PartialEq + std::fmt::Debug>(
        &self,
        branch: BranchId,
        at: u64,
        result: Result<T, LedgerError>,
        expected: impl FnOnce() -> T,
    ) {
        match result {
            Ok(found) => {
                assert!(
                    at >= self.oracle.horizon && self.readable(branch, at),
                    "{branch:?} as of {at} can be read"
                );
                assert_eq!(found, expected());
            }
            Err(LedgerError::BelowHorizon { .. }) => assert!(at < self.oracle.horizon),
            Err(LedgerError::NoBranch { .. }) => {
                assert!(!self.readable(branch, at), "{branch:?} as of {at} is missing");
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn stage(&mut self, commit: Commit) -> Result<u64, LedgerError> {
        let written = commit.writes.clone();
        let seq = self.driver.stage(commit)?;
        assert_eq!(seq, self.oracle.records.len() as u64);
        self.oracle.records.push(written);
        Ok(seq)
    }

    fn stage_writes(&mut self, branch: u8, of: &[(u8, Option<u8>)]) {
        let branch = self.pick_live(branch);
        let write = |(key, byte): &(u8, Option<u8>)| Write {
            branch,
            key: some_key(*key),
            value: byte.map(value),
        };
        self.stage(writes(of.iter().map(write))).unwrap();
    }

    fn control(&mut self, control: Control) -> Result<u64, LedgerError> {
        let seq = self.stage(Commit {
            controls: vec![control],
            ..Commit::default()
        });
        if seq.is_ok() {
            self.driver.advance(0);
        }
        seq
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit { branch, writes } => {
                self.stage_writes(branch, &writes);
                self.driver.advance(0);
            }
            Step::Stage { branch, writes } => self.stage_writes(branch, &writes),
            Step::Advance { synced_behind } => self.driver.advance(u64::from(synced_behind)),
            Step::Get { branch, key, at } => {
                let (branch, key, at) = (self.pick_any(branch), some_key(key), self.pick_at(at));
                let found = self.driver.state.get(branch, &key, at);
                self.compare(branch, at, found, || self.oracle.get(branch, &key, at));
            }
            Step::Scan {
                branch,
                range,
                at,
                limit,
                after,
            } => self.scan(branch, &range, at, limit, after),
            Step::History {
                branch,
                key,
                before,
                limit,
            } => {
                let (branch, key, before) = (self.pick_any(branch), some_key(key), self.pick_at(before));
                let limit = usize::from(limit);
                let found = self.driver.state.history(branch, &key, before, limit);
                self.compare(branch, before, found, || {
                    let mut revisions = self.oracle.history(branch, &key, before);
                    let more = revisions.len() > limit;
                    revisions.truncate(limit);
                    History { revisions, more }
                });
            }
            Step::Diff { branch, at } => {
                let (branch, at) = (self.pick_any(branch), self.pick_at(at));
                if branch != BranchId::MAIN {
                    let found = self.driver.state.diff(branch, at, 1000, None);
                    let found = found.map(|diff| diff.differences);
                    self.compare(branch, at, found, || self.oracle.diff(branch, at));
                }
            }
            Step::Create { parent, base } => self.create(parent, base),
            Step::Discard { branch } => self.discard(branch),
            Step::Merge { branch, policy } => self.merge(branch, policy),
            Step::Retain { horizon } => {
                let horizon = self.pick_at(horizon);
                let result = self.control(StateView::retain(horizon));
                assert_eq!(result.is_ok(), horizon >= self.oracle.horizon);
                self.oracle.horizon = self.oracle.horizon.max(horizon);
            }
            Step::Sweep { budget } => drop(self.driver.state.sweep(usize::from(budget)).unwrap()),
            Step::Flush => {
                self.driver.advance(0);
                self.driver.index.flush().unwrap();
            }
            Step::Reopen(end) => {
                self.open = [const { None }; SLOTS];
                self.driver.reopen(end);
            }
            transactional => self.transactional(transactional),
        }
    }

    fn scan(&self, branch: u8, range: &Ranged, at: u8, limit: u8, after: Option<u8>) {
        let (branch, at, limit) = (self.pick_any(branch), self.pick_at(at), usize::from(limit));
        let first = after.map(some_key);
        let page = |after: Option<&Key>| self.driver.state.scan(branch, &range.range(), at, limit, after);
        let found = page(first.as_ref()).map(|mut found| {
            let mut entries = std::mem::take(&mut found.entries);
            assert!(entries.len() <= limit);
            while let Some(after) = found.next {
                found = page(Some(&after)).unwrap();
                entries.append(&mut found.entries);
            }
            entries
        });
        self.compare(branch, at, found, || {
            self.oracle.scan(branch, range, at, first.as_ref())
        });
    }

    fn create(&mut self, parent: u8, base: u8) {
        self.driver.advance(0);
        let (parent, base) = (self.pick_live(parent), self.pick_at(base));
        let depth = self.oracle.levels(parent, 0).len() - 1;
        self.names += 1;
        let name = format!("branch-{}", self.names);
        let result = self.control(StateView::create_branch(Owner::Host, &name, parent, base));
        match result {
            Ok(created) => {
                assert!(base >= self.oracle.horizon && depth < BRANCH_DEPTH_MAX);
                self.oracle.branches.push(OracleBranch {
                    parent: parent.0,
                    base,
                    created,
                    discarded: None,
                });
                let branch = self
                    .driver
                    .state
                    .branch(&Owner::Host, &name, self.driver.visible())
                    .unwrap();
                assert_eq!(branch.id.0 as usize, self.oracle.branches.len());
                assert!(self.driver.state.branch(&Owner::Host, &name, created).is_err());
            }
            Err(LedgerError::BelowHorizon { .. }) => assert!(base < self.oracle.horizon),
            Err(error) => assert!(depth >= BRANCH_DEPTH_MAX, "{error}"),
        }
    }

    fn discard(&mut self, branch: u8) {
        let branch = self.pick_live(branch);
        let children = self
            .oracle
            .branches
            .iter()
            .any(|child| child.parent == branch.0 && child.discarded.is_none());
        match self.control(StateView::discard_branch(branch)) {
            Ok(seq) => {
                assert!(!children && branch != BranchId::MAIN);
                self.oracle.branches[branch.0 as usize - 1].discarded = Some(seq);
            }
            Err(_) => assert!(children || branch == BranchId::MAIN),
        }
    }

    fn merge(&mut self, branch: u8, policy: MergePolicy) {
        let branch = self.pick_live(branch);
        if branch == BranchId::MAIN {
            return;
        }
        self.driver.advance(0);
        let at = self.driver.visible();
        let (mut expected, mut conflicts) = (Vec::new(), 0);
        for difference in self.oracle.diff(branch, at) {
            let value = |version: &Option<Version>| version.as_ref().map(|version| version.value.clone());
            if value(&difference.ours) == value(&difference.theirs) {
                continue;
            }
            let moved = difference.theirs != difference.base;
            conflicts += u64::from(moved);
            if !moved || policy == MergePolicy::Ours {
                let parent = BranchId(self.oracle.branch(branch).unwrap().parent);
                expected.push(Write {
                    branch: parent,
                    key: difference.key,
                    value: value(&difference.ours),
                });
            }
        }
        match self.driver.state.merge(branch, policy, || at) {
            Ok((reads, writes)) => {
                assert!(conflicts == 0 || policy != MergePolicy::FailOnConflict);
                assert_eq!(writes, expected);
                self.stage(Commit {
                    reads,
                    writes,
                    ..Commit::default()
                })
                .unwrap();
                self.driver.advance(0);
            }
            Err(LedgerError::MergeConflict { conflicts: counted, .. }) => {
                assert_eq!(policy, MergePolicy::FailOnConflict);
                assert_eq!(counted, conflicts);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn transactional(&mut self, step: Step) {
        let slot = match &step {
            Step::Begin { slot, .. }
            | Step::TxGet { slot, .. }
            | Step::TxScan { slot, .. }
            | Step::TxWrite { slot, .. }
            | Step::TxCommit { slot }
            | Step::TxDrop { slot } => usize::from(*slot) % SLOTS,
            _ => unreachable!(),
        };
        if let Step::Begin { branch, .. } = step {
            let branch = self.pick_live(branch);
            // The branch may not be visible yet.
            if let Ok(transaction) = self.driver.state.begin(branch, || self.driver.visible()) {
                assert_eq!(transaction.snapshot(), self.driver.visible());
                let (writes, read, scanned) = Default::default();
                self.open[slot] = Some(Open {
                    transaction,
                    branch,
                    writes,
                    read,
                    scanned,
                });
            }
            return;
        }
        let Some(mut open) = self.open[slot].take() else {
            return;
        };
        let at = open.transaction.snapshot();
        match step {
            Step::TxGet { key, .. } => {
                let key = some_key(key);
                let found = open.transaction.get(&key).unwrap();
                if let Some(own) = open.writes.get(&key) {
                    assert_eq!(found, *own);
                } else {
                    let expected = self.oracle.get(open.branch, &key, at);
                    assert_eq!(found, expected.map(|version| version.value));
                    open.read.push(key);
                }
            }
            Step::TxScan {
                range, limit, after, ..
            } => {
                let after = after.map(some_key);
                let limit = usize::from(limit);
                let page = open.transaction.scan(&range.range(), limit, after.as_ref()).unwrap();
                let stored = self.oracle.scan(open.branch, &range, at, after.as_ref());
                let mut expected: std::collections::BTreeMap<Key, Option<Bytes>> = stored
                    .into_iter()
                    .map(|(key, version)| (key, Some(version.value)))
                    .collect();
                let own = open
                    .writes
                    .iter()
                    .filter(|(key, _)| range.contains(key) && after.as_ref().is_none_or(|after| *key > after));
                expected.extend(own.map(|(key, value)| (key.clone(), value.clone())));
                let upto = page.next.as_ref();
                let expected: Vec<(Key, Bytes)> = expected
                    .into_iter()
                    .filter(|(key, _)| upto.is_none_or(|upto| key <= upto))
                    .filter_map(|(key, value)| value.map(|value| (key, value)))
                    .collect();
                assert!(page.entries.len() <= limit);
                assert_eq!(page.entries, expected);
                open.scanned.push((range, after, page.next));
            }
            Step::TxWrite { key, value: byte, .. } => {
                let key = some_key(key);
                match byte.map(value) {
                    Some(value) => open.transaction.put(key.clone(), value).unwrap(),
                    None => open.transaction.delete(key.clone()).unwrap(),
                }
                open.writes.insert(key, byte.map(value));
            }
            Step::TxCommit { .. } => {
                self.finish(open, at);
                return;
            }
            _ => return,
        }
        self.open[slot] = Some(open);
    }

    fn finish(&mut self, open: Open, at: u64) {
        let later = self.oracle.records.iter().skip(usize::try_from(at).unwrap()).flatten();
        let later: Vec<&Key> = later
            .filter(|write| write.branch == open.branch)
            .map(|write| &write.key)
            .collect();
        let touches = |key: &Key, with_rest: bool| {
            open.scanned.iter().any(|(range, after, upto)| {
                range.contains(key)
                    && after.as_ref().is_none_or(|after| key > after)
                    && (with_rest || upto.as_ref().is_none_or(|upto| key <= upto))
            })
        };
        let must_fail = later.iter().any(|key| open.read.contains(key) || touches(key, false));
        let may_fail = must_fail || later.iter().any(|key| touches(key, true));
        let gone = self
            .oracle
            .branch(open.branch)
            .is_some_and(|branch| branch.discarded.is_some())
            && !open.writes.is_empty();
        let expected = open.writes.iter().map(|(key, value)| Write {
            branch: open.branch,
            key: key.clone(),
            value: value.clone(),
        });
        let expected: Vec<Write> = expected.collect();
        let result = open.transaction.into_commit_parts().and_then(|(reads, writes)| {
            assert_eq!(writes, expected);
            self.stage(Commit {
                reads,
                writes,
                ..Commit::default()
            })
        });
        match result {
            Ok(_) => {
                assert!(!must_fail && !gone);
                self.driver.advance(0);
            }
            Err(LedgerError::Conflict { .. }) => assert!(may_fail),
            Err(LedgerError::NoBranch { .. }) => assert!(gone),
            Err(error) => panic!("{error}"),
        }
    }

    /// Everything, as of everything.
    fn check_all(&self) {
        let visible = self.driver.visible();
        for branch in self.oracle.live() {
            for at in self.oracle.horizon..=visible {
                let found = self.driver.state.scan(branch, &KeyRange::everything(), at, 1000, None);
                let found = found.map(|page| page.entries);
                self.compare(branch, at, found, || {
                    self.oracle.scan(branch, &Ranged::Everything, at, None)
                });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 5000, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_do_what_the_oracle_says(steps in prop::collection::vec(step(), 1..90)) {
        let mut run = Run {
            driver: Driver::new(),
            oracle: Oracle::default(),
            open: [const { None }; SLOTS],
            names: 0,
        };
        for step in steps {
            run.step(step);
        }
        run.driver.advance(0);
        run.check_all();
        run.open = [const { None }; SLOTS];
        run.driver.sweep();
        run.check_all();
        run.driver.reopen(End::Kill);
        run.check_all();
    }
}
