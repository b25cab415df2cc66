//! How far the tables have consumed the topic, as a group of the log: what they still need is not removed.

use kinetic_ledger::bus::{OffsetCommit, Start, Subscribe, Subscription, TopicId};
use kinetic_ledger::{Commit, Ledger};

use super::topic::{TOPIC, fault};
use crate::MedallionError;

/// The name of the group.
pub const GROUP: &str = "kinetic-medallion";

/// The group's one member.
pub(crate) struct Group {
    subscription: Subscription,
    topic: TopicId,
    next: u64,
}

impl Group {
    pub(crate) async fn join(ledger: &Ledger) -> Result<Self, MedallionError> {
        let ask = Subscribe::to(TOPIC).group(GROUP).start(Start::Earliest);
        let subscription = ledger.bus().subscribe(ask).await.map_err(fault)?;
        let stats = ledger.bus().topic_stats(TOPIC).map_err(fault)?;
        let place = stats.groups.iter().find(|group| group.name == GROUP);
        let next = place
            .and_then(|group| group.partitions.first())
            .map_or(0, |place| place.committed);
        Ok(Self {
            subscription,
            topic: stats.id,
            next,
        })
    }

    /// The first offset that is not consumed.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Records that all before this offset is in finished files. When that fails the log only keeps more than it must.
    pub(crate) async fn advance(&mut self, ledger: &Ledger, next: u64) {
        if next <= self.next {
            return;
        }
        let commit = Commit {
            offsets: vec![OffsetCommit {
                group: GROUP.into(),
                topic: self.topic,
                partition: 0,
                from: self.next,
                next,
                epoch: self.subscription.epoch(),
            }],
            ..Commit::default()
        };
        match ledger.commit(commit).await {
            Ok(_) => self.next = next,
            Err(error) => tracing::warn!("how far the tables are is not recorded: {error}"),
        }
    }
}
