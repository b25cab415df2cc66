//! The events of a topic as a stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use kinetic_ledger::bus::{BusView, Subscribe, Subscription};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::read::by_partition;
use crate::app::Shared;
use crate::problem::Problem;
use crate::waiting::{Ended, Frames, Source, respond};

/// Events written at once, and about how much they take in memory, in bytes.
const BATCH_EVENTS: usize = 64;
const BATCH_BYTES: u64 = 256 << 10;

/// What somebody listens to.
struct Events {
    subscription: Subscription,
    /// How many dropped events the reader was told of.
    missed: u64,
}

/// Begins a stream.
pub(super) async fn begin(
    app: &Shared,
    place: OwnedSemaphorePermit,
    bus: &Arc<BusView>,
    subscribe: Subscribe,
) -> Result<Response, Problem> {
    let subscription = bus.subscribe(subscribe).await?;
    let positions = subscription.positions();
    let heads = bus.topic_stats(subscription.topic())?.heads;
    let head = |partition: u16| heads.get(usize::from(partition)).copied().unwrap_or_default();
    let heads: BTreeMap<u16, u64> = positions.iter().map(|at| (at.partition, head(at.partition))).collect();
    let start = json!({ "next": by_partition(&positions), "heads": heads });
    let events = Events {
        subscription,
        missed: 0,
    };
    Ok(respond(app, place, Frames::start("", &start), events))
}

impl Source for Events {
    async fn next(&mut self, wait: Duration) -> Result<Frames, Ended> {
        let events = self.subscription.next(BATCH_EVENTS, BATCH_BYTES, wait).await?;
        let mut frames = Frames::default();
        let missed = self.subscription.missed();
        if missed > self.missed {
            frames.push_named("missed", &json!({ "missed": missed - self.missed }));
            self.missed = missed;
        }
        for event in &events {
            frames.push("", &format!("{}/{}", event.partition, event.offset), event.to_json());
        }
        Ok(frames)
    }
}
