//! Who waits for which record, and how far the views may show the log: in log order, each record after its own durability.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::Durability;

/// Records that views show, in log order, not yet acknowledged; and who waits for them.
#[derive(Default)]
pub(crate) struct Marks {
    queue: VecDeque<(u64, Durability)>,
    waiters: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Marks {
    /// A record got its place. Called in log order.
    pub(crate) fn expect(&mut self, seq: u64, durability: Durability) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.queue.push_back((seq, durability));
        self.waiters.push_back((seq, sender));
        receiver
    }

    /// Below which number everything is acknowledged, and who is to be told.
    pub(crate) fn advance(&mut self, written: u64, synced: u64) -> (u64, Vec<oneshot::Sender<()>>) {
        while let Some((seq, durability)) = self.queue.front() {
            let reached = match durability {
                Durability::Synced => synced,
                Durability::Memory | Durability::Written => written,
            };
            if *seq >= reached {
                break;
            }
            self.queue.pop_front();
        }
        // Records between two that views show hold receipts only: nothing of them is seen too early.
        let visible = self.queue.front().map_or(written, |(seq, _)| *seq);
        let ready = self.waiters.partition_point(|(seq, _)| *seq < visible);
        let told = self.waiters.drain(..ready).map(|(_, sender)| sender).collect();
        (visible, told)
    }

    /// Nobody will be told any more: dropping the senders wakes those who wait with an error.
    pub(crate) fn abandon(&mut self) {
        self.waiters.clear();
    }
}
