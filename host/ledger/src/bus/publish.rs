//! Publishing: checks against schemas, holding publishers back, topics in memory, and counting what was shed.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::vec::IntoIter;

use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::config::{Backpressure, TopicConfig};
use super::control::Change;
use super::event::{NewEvent, TopicId};
use super::ring::{Ring, WhenFull};
use super::topic::{Store, Topic};
use super::view::BusView;
use crate::{Commit, Durability, LedgerError};

/// How long the slowest consumer of a topic with adaptive backpressure may make no progress.
const ADAPTIVE_PATIENCE: Duration = Duration::from_millis(250);
/// How often, at most, what a topic shed is recorded.
const SHED_RECORDED_EVERY: Duration = Duration::from_secs(1);

/// Events, and the topic they all go to.
type ForTopic = (Arc<Topic>, Vec<NewEvent>);

/// What became of published events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The record that holds those of topics in the log.
    pub seq: Option<u64>,
    /// How many were taken.
    pub accepted: u64,
    /// How many were dropped because a topic in memory was full: these, or older ones in their place.
    pub shed: u64,
}

impl BusView {
    /// Publishes: those to topics in the log in one commit, then those to topics in memory.
    ///
    /// # Errors
    /// As [`BusView::admit`]'s, a commit's and [`BusView::publish_memory`]'s.
    pub async fn publish(self: &Arc<Self>, events: Vec<NewEvent>) -> Result<Published, LedgerError> {
        let (memory, log) = self.by_store(events)?;
        let mut published = Published::default();
        if !log.is_empty() {
            self.admit(&log).await?;
            published.accepted = log.len() as u64;
            let commit = Commit {
                durability: Some(self.durability(&log)),
                events: log,
                ..Commit::default()
            };
            published.seq = Some(self.commit(commit).await?);
        }
        if !memory.is_empty() {
            let others = self.publish_memory(memory).await?;
            published.accepted += others.accepted;
            published.shed += others.shed;
        }
        Ok(published)
    }

    /// Events for topics in memory, and those for topics in the log.
    pub(crate) fn by_store(&self, events: Vec<NewEvent>) -> Result<(Vec<NewEvent>, Vec<NewEvent>), LedgerError> {
        let (mut memory, mut log) = (Vec::new(), Vec::new());
        let registry = self.registry.read();
        for event in events {
            match registry.named(&event.topic)?.store {
                Store::Memory(_) => memory.push(event),
                Store::Log(_) => log.push(event),
            }
        }
        Ok((memory, log))
    }

    /// Whether these events may be published: their form, and the schemas of critical topics.
    ///
    /// # Errors
    /// `NoTopic`, `InvalidEvent`, `EventTooLarge`, `EventRefused`.
    pub fn check_events(&self, events: &[NewEvent]) -> Result<(), LedgerError> {
        let checked = |event: &NewEvent| {
            let topic = self.topic(&event.topic)?;
            let config = topic.config();
            self.check_event(&topic, &config, event)
        };
        events.iter().try_for_each(checked)
    }

    /// What comes before a commit with these events: checks them against the schemas of critical topics, and waits
    /// where topics hold their publishers back. No lock may be held meanwhile.
    ///
    /// # Errors
    /// `NoTopic`, `NotInLog`, `InvalidEvent`, `EventTooLarge`, `EventRefused`, `Overloaded`, `Closed`.
    pub async fn admit(&self, events: &[NewEvent]) -> Result<(), LedgerError> {
        let mut holding: BTreeMap<TopicId, Arc<Topic>> = BTreeMap::new();
        for event in events {
            let topic = self.topic(&event.topic)?;
            topic.log()?;
            let config = topic.config();
            self.check_event(&topic, &config, event)?;
            if config.effective_backpressure() != Backpressure::Spill {
                holding.insert(topic.id, topic);
            }
        }
        for topic in holding.values() {
            self.hold(topic).await?;
        }
        Ok(())
    }

    /// Whether an event may be published to a topic.
    fn check_event(&self, topic: &Topic, config: &TopicConfig, event: &NewEvent) -> Result<(), LedgerError> {
        event.check()?;
        if !config.critical {
            return Ok(());
        }
        let digest = config.schema.unwrap_or_else(|| kinetic_model::Digest::of(b""));
        let schema = self.registry.read().schema(&digest).map(Arc::clone)?;
        schema.check(&topic.name, &event.envelope)
    }

    /// Waits while a topic in the log holds its publishers back.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    async fn hold(&self, topic: &Topic) -> Result<(), LedgerError> {
        let config = topic.config();
        let full = || {
            topic
                .pressure
                .update(&config, topic.level() as f64 / f64::from(config.buffer_events))
        };
        if !full() {
            return Ok(());
        }
        let mut patience = Patience::new(topic, &config);
        loop {
            let mut room = pin!(topic.room.notified());
            room.as_mut().enable();
            self.check_open()?;
            if !full() || patience.wait(topic, room).await? == Waited::GaveUp {
                return Ok(());
            }
        }
    }

    /// Publishes to topics in memory.
    ///
    /// # Errors
    /// `NoTopic`, `InTheLog`, `InvalidEvent`, `EventTooLarge`, `EventRefused`: nothing happened. `Overloaded`, `Closed`:
    /// the first ones of these events may have been taken.
    pub async fn publish_memory(self: &Arc<Self>, events: Vec<NewEvent>) -> Result<Published, LedgerError> {
        let mut published = Published::default();
        for (topic, events) in self.by_topic(events)? {
            let offered = self.offer(&topic, events).await?;
            published.accepted += offered.accepted;
            published.shed += offered.shed;
        }
        Ok(published)
    }

    /// Events by their topics, all checked.
    fn by_topic(&self, events: Vec<NewEvent>) -> Result<Vec<ForTopic>, LedgerError> {
        let same = |pair: &[NewEvent]| matches!(pair, [a, b] if Arc::ptr_eq(&a.topic, &b.topic) || a.topic == b.topic);
        let groups = if events.windows(2).all(same) {
            vec![events]
        } else {
            let mut groups: BTreeMap<Arc<str>, Vec<NewEvent>> = BTreeMap::new();
            for event in events {
                groups.entry(Arc::clone(&event.topic)).or_default().push(event);
            }
            groups.into_values().collect()
        };
        let mut found = Vec::with_capacity(groups.len());
        for events in groups {
            let Some(first) = events.first() else { continue };
            let topic = self.topic(&first.topic)?;
            ring(&topic)?;
            let config = topic.config();
            for event in &events {
                self.check_event(&topic, &config, event)?;
            }
            found.push((topic, events));
        }
        Ok(found)
    }

    /// Puts events into a topic in memory, waiting or dropping as its settings say.
    async fn offer(self: &Arc<Self>, topic: &Arc<Topic>, events: Vec<NewEvent>) -> Result<Published, LedgerError> {
        let config = topic.config();
        let mut when_full = match config.effective_backpressure() {
            Backpressure::Block | Backpressure::Adaptive | Backpressure::Spill => WhenFull::Keep,
            Backpressure::DropOldest => WhenFull::DropOldest,
            Backpressure::DropNewest => WhenFull::DropNewest,
        };
        let mut events = events.into_iter().peekable();
        let mut published = Published::default();
        self.check_open()?;
        self.offer_some(topic, &config, &mut events, when_full, &mut published)?;
        if events.peek().is_none() {
            return Ok(published);
        }
        let mut patience = Patience::new(topic, &config);
        loop {
            let mut room = pin!(topic.room.notified());
            room.as_mut().enable();
            self.check_open()?;
            let some = self.offer_some(topic, &config, &mut events, when_full, &mut published)?;
            if events.peek().is_none() {
                return Ok(published);
            }
            // Only an offer of which nothing is taken tells the consumers that somebody waits.
            if some {
                continue;
            }
            if patience.wait(topic, room).await? == Waited::GaveUp {
                when_full = WhenFull::DropOldest;
            }
        }
    }

    /// Offers events once. Tells whether some were taken.
    fn offer_some(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        config: &TopicConfig,
        events: &mut Peekable<IntoIter<NewEvent>>,
        when_full: WhenFull,
        published: &mut Published,
    ) -> Result<bool, LedgerError> {
        let offered = ring(topic)?.offer(topic, config, events, when_full);
        published.accepted += offered.accepted;
        published.shed += offered.shed;
        if offered.accepted > 0 {
            topic.arrived.notify_waiters();
        }
        if offered.shed > 0 {
            topic.shed.fetch_add(offered.shed, Ordering::AcqRel);
            if !topic.recording.swap(true, Ordering::AcqRel) {
                tokio::spawn(record_sheds(Arc::downgrade(self), Arc::clone(topic)));
            }
        }
        Ok(offered.accepted > 0)
    }

    /// Records what was shed and is not recorded yet, then ends all subscriptions and waiting publishers, with
    /// `Closed`.
    pub async fn close(&self) {
        let topics = self.registry.read().topics().to_vec();
        for topic in topics {
            if let Err(error) = self.record_shed(&topic).await {
                tracing::warn!(%error, topic = %topic.name, "what the topic shed last could not be recorded");
            }
        }
        self.end();
    }

    /// Records what a topic shed so far. Tells whether there was something to record.
    async fn record_shed(&self, topic: &Topic) -> Result<bool, LedgerError> {
        let total = topic.shed.load(Ordering::Acquire);
        if total == topic.shed_recorded.load(Ordering::Acquire) {
            return Ok(false);
        }
        let change = Change::Shed { topic: topic.id, total };
        self.commit_control(change.control(), Durability::Written).await?;
        Ok(true)
    }
}

/// Records what a topic sheds, again and again until it sheds no more.
async fn record_sheds(bus: Weak<BusView>, topic: Arc<Topic>) {
    loop {
        let Some(bus) = bus.upgrade() else { return };
        let recorded = bus.record_shed(&topic).await;
        drop(bus);
        if let Err(error) = &recorded {
            tracing::warn!(%error, topic = %topic.name, "what the topic shed could not be recorded");
        }
        if let Ok(false) = recorded {
            topic.recording.store(false, Ordering::Release);
            // Something may have been shed between looking and telling.
            let more = topic.shed.load(Ordering::Acquire) != topic.shed_recorded.load(Ordering::Acquire);
            if !more || topic.recording.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        tokio::time::sleep(SHED_RECORDED_EVERY).await;
    }
}

fn ring(topic: &Topic) -> Result<&Ring, LedgerError> {
    match &topic.store {
        Store::Memory(ring) => Ok(ring),
        Store::Log(_) => Err(LedgerError::InTheLog {
            topic: topic.name.as_ref().into(),
        }),
    }
}

/// How long a publisher goes on waiting.
struct Patience {
    begun: Instant,
    deadline: Instant,
    adaptive: bool,
    /// How far the slowest consumer is, and since when.
    slowest: (u64, Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// Something changed: look again.
    Changed,
    /// The slowest consumer does not get on.
    GaveUp,
}

impl Patience {
    fn new(topic: &Topic, config: &TopicConfig) -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            deadline: now + config.publish_timeout(),
            adaptive: config.effective_backpressure() == Backpressure::Adaptive,
            slowest: (topic.slowest().1, now),
        }
    }

    async fn wait(&mut self, topic: &Topic, room: Pin<&mut Notified<'_>>) -> Result<Waited, LedgerError> {
        if self.adaptive {
            return Ok(self.wait_for_progress(topic, room).await);
        }
        if tokio::time::timeout_at(self.deadline, room).await.is_ok() {
            return Ok(Waited::Changed);
        }
        Err(LedgerError::Overloaded {
            topic: topic.name.as_ref().into(),
            waited_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn wait_for_progress(&mut self, topic: &Topic, room: Pin<&mut Notified<'_>>) -> Waited {
        // Who found it stuck where it still is has waited for all others.
        if *topic.stuck_at.lock() == Some(self.slowest.0) {
            return Waited::GaveUp;
        }
        // Either way it is time to look at how far it is.
        let _ = tokio::time::timeout_at(self.deadline.min(self.slowest.1 + ADAPTIVE_PATIENCE), room).await;
        let (now, slowest) = (Instant::now(), topic.slowest().1);
        if slowest != self.slowest.0 {
            self.slowest = (slowest, now);
        }
        if now < self.deadline && now < self.slowest.1 + ADAPTIVE_PATIENCE {
            return Waited::Changed;
        }
        *topic.stuck_at.lock() = Some(slowest);
        Waited::GaveUp
    }
}
