//! The bus as a view of the log: checks what a commit would publish and consume, takes it, and wakes who waits for it.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};

use super::control::changes;
use super::event::{Event, NewEvent, OffsetCommit, TopicId};
use super::group::Group;
use super::registry::{Registry, put_seat};
use super::runs::{Records, Run, Runs};
use super::subscribe::gone;
use super::tail::{TailLimits, Tails};
use super::topic::{Store, Topic};
use crate::index::{Batch, Index};
use crate::{Commit, Control, Durability, LedgerError, Parts};

/// Takes what the bus itself has to commit: topics, epochs, attempts, dead letters, counts of what was shed.
#[async_trait]
pub trait Committer: Send + Sync {
    /// Commits, and gives the record's number when it is acknowledged.
    ///
    /// # Errors
    /// As a commit's.
    async fn commit(&self, commit: Commit) -> Result<u64, LedgerError>;
}

/// The bus. To be shared; subscriptions keep it alive.
pub struct BusView {
    pub(super) index: Arc<Index>,
    pub(super) registry: RwLock<Registry>,
    pub(super) tails: Tails,
    /// Records below this number are visible.
    visible: AtomicU64,
    /// Topics that have events in a record that is not visible yet.
    arrivals: Mutex<VecDeque<(u64, Arc<Topic>)>>,
    links: OnceLock<Links>,
    closed: AtomicBool,
    /// Held by who changes topics or schemas.
    pub(super) defining: tokio::sync::Mutex<()>,
}

/// A group, and the topic it is of.
type Seated = (Arc<Topic>, Arc<Group>);

/// What a check found, for staging the same commit.
#[derive(Default)]
pub(crate) struct Checked {
    /// The commit's events, with their offsets.
    pub(crate) events: Vec<Arc<Event>>,
    /// What its positions are of, in the same order.
    seats: Vec<Seated>,
}

/// The ledger the bus belongs to; it owns the bus, so these are weak.
struct Links {
    records: Weak<dyn Records>,
    committer: Weak<dyn Committer>,
}

impl std::fmt::Debug for BusView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topics = self.registry.read().topics().len();
        f.debug_struct("BusView")
            .field("topics", &topics)
            .finish_non_exhaustive()
    }
}

impl BusView {
    /// Reads the definitions out of the index. What the log has beyond the index is to be replayed then.
    pub(crate) fn open(index: Arc<Index>) -> Result<Self, LedgerError> {
        Self::with_tails(index, TailLimits::default())
    }

    pub(super) fn with_tails(index: Arc<Index>, tails: TailLimits) -> Result<Self, LedgerError> {
        Ok(Self {
            registry: RwLock::new(Registry::load(&index)?),
            index,
            tails: Tails::new(tails),
            visible: AtomicU64::new(0),
            arrivals: Mutex::default(),
            links: OnceLock::new(),
            closed: AtomicBool::new(false),
            defining: tokio::sync::Mutex::default(),
        })
    }

    /// Tells the bus its ledger, once, before it is used.
    pub(crate) fn attach(&self, records: Weak<dyn Records>, committer: Weak<dyn Committer>) {
        // A second time changes nothing.
        let _ = self.links.set(Links { records, committer });
    }

    pub(super) fn records(&self) -> Result<Arc<dyn Records>, LedgerError> {
        self.links
            .get()
            .and_then(|links| links.records.upgrade())
            .ok_or(LedgerError::Closed {})
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<u64, LedgerError> {
        let committer = self.links.get().and_then(|links| links.committer.upgrade());
        committer.ok_or(LedgerError::Closed {})?.commit(commit).await
    }

    pub(super) async fn commit_control(&self, control: Control, durability: Durability) -> Result<u64, LedgerError> {
        let commit = Commit {
            durability: Some(durability),
            controls: vec![control],
            ..Commit::default()
        };
        self.commit(commit).await
    }

    pub(super) fn topic(&self, name: &str) -> Result<Arc<Topic>, LedgerError> {
        self.registry.read().named(name).map(Arc::clone)
    }

    pub(super) fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    pub(super) fn check_open(&self) -> Result<(), LedgerError> {
        if self.closed.load(Ordering::Acquire) {
            Err(LedgerError::Closed {})
        } else {
            Ok(())
        }
    }

    /// Whether a commit may become the next record; gives its events their partitions and offsets. To be called, then
    /// `stage`, while no other commit is staged. Schemas and backpressure are [`BusView::admit`]'s, before.
    pub(crate) fn check(&self, commit: &Commit) -> Result<Checked, LedgerError> {
        if commit.events.is_empty() && commit.offsets.is_empty() && commit.controls.is_empty() {
            return Ok(Checked::default());
        }
        let registry = self.registry.read();
        let mut changes = changes(&commit.controls);
        if let Some(change) = changes.next() {
            registry.check(&change?)?;
        }
        if changes.next().is_some() {
            return Err(LedgerError::InvalidBusChange {
                why: "a commit makes one change at most".into(),
            });
        }
        Ok(Checked {
            seats: check_offsets(&registry, &commit.offsets)?,
            events: place(&registry, &commit.events)?,
        })
    }

    /// Takes a commit that was checked as the record `seq`. In order of the log.
    pub(crate) fn stage(
        &self,
        seq: u64,
        checked: &Checked,
        offsets: &[OffsetCommit],
        controls: &[Control],
    ) -> Result<(), LedgerError> {
        let Checked { events, seats } = checked;
        if events.is_empty() && offsets.is_empty() && controls.is_empty() {
            return Ok(());
        }
        self.apply(seq, events, offsets.iter().zip(seats), controls)?;
        let registry = self.registry.read();
        let mut arrived: Option<TopicId> = None;
        for event in events {
            let topic = registry.numbered(event.topic)?;
            self.tails.push(topic.log()?, seq, Arc::clone(event));
            if arrived != Some(topic.id) {
                self.arrivals.lock().push_back((seq, Arc::clone(topic)));
                arrived = Some(topic.id);
            }
        }
        Ok(())
    }

    /// Takes a record from the log, after opening, before anything is visible. In order of the log.
    pub(crate) fn replay(&self, seq: u64, parts: &Parts) -> Result<(), LedgerError> {
        let Parts {
            events,
            offsets,
            controls,
            ..
        } = parts;
        if events.is_empty() && offsets.is_empty() && controls.is_empty() {
            return Ok(());
        }
        let seats: Vec<_> = {
            let registry = self.registry.read();
            let seat = |offset: &OffsetCommit| {
                let topic = registry.numbered(offset.topic)?;
                Ok((Arc::clone(topic), topic.known_group(&offset.group)?))
            };
            offsets.iter().map(seat).collect::<Result<_, LedgerError>>()?
        };
        self.apply(seq, events, offsets.iter().zip(&seats), controls)?;
        let registry = self.registry.read();
        for event in events {
            let topic = registry.numbered(event.topic)?;
            topic.partition(event.partition)?.set_head(event.offset + 1);
        }
        Ok(())
    }

    fn apply<'a>(
        &self,
        seq: u64,
        events: &[impl Borrow<Event>],
        offsets: impl Iterator<Item = (&'a OffsetCommit, &'a Seated)>,
        controls: &[Control],
    ) -> Result<(), LedgerError> {
        let mut definitions = Vec::new();
        for change in changes(controls) {
            definitions.extend(self.registry.write().apply(change?)?);
        }
        self.index.queue(seq, |batch| {
            batch.extend(definitions);
            for (offset, (topic, group)) in offsets {
                group.with_seat(offset.partition, |seat| {
                    seat.advance(offset.next);
                    put_seat(batch, topic.id, offset.partition, &group.name, seat);
                });
                topic.room.notify_waiters();
            }
            put_runs(batch, seq, events);
        });
        Ok(())
    }

    /// The records below `visible` can be read: wakes who waits for what is in them. To be called after each advance,
    /// and once after replaying.
    pub(crate) fn advance(&self, visible: u64) {
        self.visible.fetch_max(visible, Ordering::AcqRel);
        let mut arrivals = self.arrivals.lock();
        let mut woken: Option<Arc<Topic>> = None;
        while let Some((_, topic)) = arrivals.pop_front_if(|(seq, _)| *seq < visible) {
            if woken.as_ref().is_none_or(|woken| woken.id != topic.id) {
                topic.arrived.notify_waiters();
                woken = Some(topic);
            }
        }
    }

    /// Events of a topic in the log from an offset on, at most about so many and so many bytes; at least one if one can be
    /// read there. For who keeps its own position; others subscribe.
    ///
    /// # Errors
    /// `NoTopic`, `NotInLog`; `OffsetGone` for what retention removed; `Damaged`, `Io`.
    pub fn read_events(
        &self,
        topic: &str,
        partition: u16,
        offset: u64,
        room: (usize, u64),
    ) -> Result<Vec<Arc<Event>>, LedgerError> {
        let topic = self.topic(topic)?;
        topic.log()?;
        if offset < topic.partition(partition)?.first() {
            return Err(gone(&topic, partition, offset)?);
        }
        let records = self.records()?;
        self.runs(&topic, partition)
            .read(&*records, offset, self.visible(), room)
    }

    /// After what a commit of these events is acknowledged, when it does not say so itself: the strictest of their
    /// topics.
    pub(crate) fn durability(&self, events: &[NewEvent]) -> Durability {
        let registry = self.registry.read();
        let known = events.iter().filter_map(|event| registry.named(&event.topic).ok());
        known
            .map(|topic| topic.config().effective_durability())
            .max()
            .unwrap_or_default()
    }

    /// The oldest record that a group has still to consume events of: retention must leave it and all after it. Who
    /// reads without a group holds back nothing.
    pub(crate) fn pinned(&self) -> Result<Option<u64>, LedgerError> {
        let registry = self.registry.read();
        let mut oldest = None;
        for (topic, group) in registry.seats() {
            let seats = group.seats.lock().clone();
            for (partition, seat) in seats {
                if seat.next >= topic.partition(partition)?.head() {
                    continue;
                }
                let run = self.runs(topic, partition).at(seat.next)?;
                oldest = run
                    .map(|run| oldest.map_or(run.seq, |oldest: u64| oldest.min(run.seq)))
                    .or(oldest);
            }
        }
        Ok(oldest)
    }

    /// Records below the horizon are gone, so that their events cannot be read. To be called after opening too.
    pub(crate) fn retain(&self, horizon: u64) -> Result<(), LedgerError> {
        let topics = self.registry.read().topics().to_vec();
        for topic in topics {
            let Store::Log(partitions) = &topic.store else { continue };
            for (number, partition) in (0_u16..).zip(partitions.iter()) {
                if partition.head() > 0 {
                    partition.set_first(self.runs(&topic, number).retain(horizon)?);
                }
            }
        }
        Ok(())
    }

    pub(super) fn runs(&self, topic: &Topic, partition: u16) -> Runs<'_> {
        Runs {
            index: &self.index,
            topic: topic.id,
            partition,
        }
    }

    /// Ends all subscriptions and waiting publishers, with `Closed`.
    pub(super) fn end(&self) {
        self.closed.store(true, Ordering::Release);
        for topic in self.registry.read().topics() {
            topic.wake_all();
        }
    }
}

/// Whether groups stand where a commit continues, and its subscriptions are not fenced. Gives what the positions are of.
fn check_offsets(registry: &Registry, offsets: &[OffsetCommit]) -> Result<Vec<Seated>, LedgerError> {
    let mut seen = BTreeSet::new();
    let mut seats = Vec::with_capacity(offsets.len());
    for offset in offsets {
        let topic = registry.numbered(offset.topic)?;
        let bad = |why: &str| Err(topic.bad_offset(offset.partition, offset.next, why));
        if offsets.len() > 1 && !seen.insert((offset.topic, offset.partition, &offset.group)) {
            return bad("a commit has one position of a group in a partition");
        }
        let (group, seat) = topic.check_epoch(&offset.group, offset.partition, offset.epoch)?;
        if offset.from != seat.next {
            return Err(LedgerError::OffsetMoved {
                group: offset.group.clone(),
                topic: topic.name.as_ref().into(),
                partition: offset.partition,
                from: offset.from,
                committed: seat.next,
            });
        }
        if offset.next <= offset.from {
            return bad("it consumes nothing");
        }
        if offset.next > topic.partition(offset.partition)?.head() {
            return bad("it lies beyond the last event");
        }
        seats.push((Arc::clone(topic), group));
    }
    Ok(seats)
}

/// Gives events their partitions and offsets.
fn place(registry: &Registry, events: &[NewEvent]) -> Result<Vec<Arc<Event>>, LedgerError> {
    let mut heads: BTreeMap<(TopicId, u16), u64> = BTreeMap::new();
    let mut placed = Vec::with_capacity(events.len());
    for event in events {
        event.check()?;
        let topic = registry.named(&event.topic)?;
        let partitions = topic.log()?;
        let count = u16::try_from(partitions.len()).unwrap_or(u16::MAX);
        let partition = topic.spread.partition(event.key.as_deref(), count);
        let mut offset = topic.partition(partition)?.head();
        if events.len() > 1 {
            let head = heads.entry((topic.id, partition)).or_insert(offset);
            offset = *head;
            *head += 1;
        }
        placed.push(Arc::new(Event {
            topic: topic.id,
            partition,
            offset,
            key: event.key.clone(),
            envelope: event.envelope.clone(),
        }));
    }
    Ok(placed)
}

/// Puts into the index where the events of a record lie.
fn put_runs(batch: &mut Batch, seq: u64, events: &[impl Borrow<Event>]) {
    let run = |event: &Event, index: u32| Run {
        first: event.offset,
        count: 1,
        seq,
        index,
    };
    if let [event] = events {
        let event = event.borrow();
        return run(event, 0).put(batch, event.topic, event.partition);
    }
    let mut runs: BTreeMap<(TopicId, u16), Run> = BTreeMap::new();
    for (index, event) in (0_u32..).zip(events) {
        let event = event.borrow();
        runs.entry((event.topic, event.partition))
            .and_modify(|run| run.count += 1)
            .or_insert_with(|| run(event, index));
    }
    for ((topic, partition), run) in runs {
        run.put(batch, topic, partition);
    }
}
