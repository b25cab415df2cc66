//! Calls by events: a consumer of a topic in a group named by the URN. The position goes into the record of the call, so
//! each event has its effect once; what fails too often becomes a dead letter by the bus' own count.

use std::sync::Arc;
use std::time::Duration;

use kinetic_ledger::LedgerError;
use kinetic_ledger::bus::{Event, Subscribe, Subscription};
use kinetic_model::Urn;

use super::backoff::Backoff;
use super::calling::{Verdict, call, of_data};
use super::stop::Stop;
use super::{CalledBy, LastResult, Origin, Trigger};
use crate::Kernel;
use crate::kernel::WeakKernel;

/// How long one look for the next event takes at most; after it the kernel may have ended.
const LOOK: Duration = Duration::from_secs(5);
/// How long an event in hand waits at most until its call is tried again: somebody may have resumed the capsule.
const HELD_MAX: Duration = Duration::from_secs(1);
/// What one event may weigh beyond which no second one is fetched. One is in hand at a time anyway.
const CREDIT_BYTES: u64 = 8 << 20;

/// One of the consumers of a trigger: of each so-manieth partition, one event at a time.
pub(super) struct Lane {
    pub(super) kernel: WeakKernel,
    pub(super) key: (Urn, Trigger),
    pub(super) topic: String,
    pub(super) number: u16,
    pub(super) lanes: u16,
    pub(super) stop: Stop,
    pub(super) backoff: Backoff,
}

impl Lane {
    /// Consumes until it is asked to stop, or the kernel ends. What is in its way is waited for.
    pub(super) async fn run(mut self) {
        while !self.stop.is_asked() {
            let Some(kernel) = self.kernel.upgrade() else { return };
            let begun = self.begin(&kernel).await;
            // While it waits for events the kernel may end.
            drop(kernel);
            let ended = match begun {
                Ok(Some(subscription)) => self.consume(&subscription).await,
                Ok(None) => return self.stop.asked().await,
                Err(error) => Err(error),
            };
            let Some(kernel) = self.kernel.upgrade() else { return };
            if let Err(error) = ended {
                let why = error.to_string();
                kernel.0.board.note(&self.key, LastResult::Waiting, Some(&why), None);
            }
            drop(kernel);
            let wait = self.backoff.next();
            self.stop.within(wait).await;
        }
    }

    /// Subscribes; none when the topic has no partition left for this lane.
    async fn begin(&self, kernel: &Kernel) -> Result<Option<Subscription>, LedgerError> {
        let ledger = kernel.ledger().ok_or(LedgerError::Closed {})?;
        let config = ledger.bus().topic_stats(&self.topic)?.config;
        let own = |partition: &u16| partition % self.lanes == self.number;
        let partitions: Vec<u16> = (0..config.partitions).filter(own).collect();
        if partitions.is_empty() {
            return Ok(None);
        }
        let ask = Subscribe::to(self.topic.as_str()).partitions(partitions);
        // Topics in memory keep no positions: what comes while nobody listens is missed.
        let ask = if config.in_memory() {
            ask
        } else {
            ask.group(self.key.0.as_str()).credit(1, CREDIT_BYTES)
        };
        ledger.bus().subscribe(ask).await.map(Some)
    }

    /// Calls with one event after the other; ends when it is asked to, or when it has to subscribe anew.
    async fn consume(&mut self, subscription: &Subscription) -> Result<(), LedgerError> {
        loop {
            let events = tokio::select! {
                () = self.stop.asked() => return Ok(()),
                events = subscription.next(1, CREDIT_BYTES, LOOK) => events?,
            };
            for event in events {
                if !self.deliver(subscription, &event).await? {
                    return Ok(());
                }
            }
            if self.kernel.upgrade().is_none() {
                return Ok(());
            }
        }
    }

    /// Calls with one event; `false` when it has to subscribe anew. An event whose call could not be made stays in hand:
    /// it is not its fault, so it is not counted.
    async fn deliver(&mut self, subscription: &Subscription, event: &Arc<Event>) -> Result<bool, LedgerError> {
        let grouped = subscription.group().is_some();
        loop {
            if self.stop.is_asked() {
                return Ok(false);
            }
            let consumed = if grouped {
                subscription.offsets(std::slice::from_ref(event))?
            } else {
                Vec::new()
            };
            let origin = Origin {
                called_by: Some(CalledBy::Event {
                    topic: self.topic.clone(),
                    partition: event.partition,
                    offset: event.offset,
                    id: event.envelope.id().to_string(),
                }),
                consumed,
            };
            let Some(kernel) = self.kernel.upgrade() else {
                return Ok(false);
            };
            let verdict = call(&kernel, &self.key, &origin, |function| {
                of_data(function, event.envelope.data())
            })
            .await;
            drop(kernel);
            match verdict {
                Verdict::Done => {
                    self.backoff.reset();
                    return Ok(true);
                }
                Verdict::Failed => {
                    // The bus counts how often it was delivered, and buries it in the end.
                    if grouped {
                        subscription.redeliver(event.position())?;
                    }
                    let wait = self.backoff.next();
                    return Ok(!self.stop.within(wait).await);
                }
                Verdict::Moved => return Ok(false),
                Verdict::Waiting => {
                    let wait = self.backoff.next().min(HELD_MAX);
                    self.stop.within(wait).await;
                }
            }
        }
    }
}
