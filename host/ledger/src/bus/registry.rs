//! The bus's definitions: topics, schemas and groups, how they change, and how they are kept in the index.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kinetic_model::Digest;

use super::config::{TopicConfig, check_name};
use super::control::Change;
use super::event::TopicId;
use super::group::{self, GROUPS_MAX, Group, Seat};
use super::runs::Runs;
use super::schema::{SCHEMAS_MAX, Schema};
use super::topic::{Store, Topic};
use crate::LedgerError;
use crate::index::{Batch, Index, Staged, Table};
use crate::wire::{Wire, malformed, put_bytes};

/// The most topics of a host.
pub const TOPICS_MAX: usize = 10_000;

const META_TOPIC: &[u8] = b"bus/topic/";
const META_SCHEMA: &[u8] = b"bus/schema/";
const META_SEAT: &[u8] = b"bus/seat/";
const META_SHED: &[u8] = b"bus/shed/";
/// How many entries are loaded at a time.
const LOADED: usize = 4_096;

/// See the module.
#[derive(Default)]
pub(super) struct Registry {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    /// By number: the numbers have no gaps.
    by_id: Vec<Arc<Topic>>,
    schemas: HashMap<Digest, Arc<Schema>>,
}

impl Registry {
    pub(super) fn topics(&self) -> &[Arc<Topic>] {
        &self.by_id
    }

    pub(super) fn next_id(&self) -> TopicId {
        TopicId(u32::try_from(self.by_id.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn named(&self, name: &str) -> Result<&Arc<Topic>, LedgerError> {
        self.by_name.get(name).ok_or_else(|| LedgerError::NoTopic {
            topic: name.chars().take(80).collect(),
        })
    }

    pub(super) fn numbered(&self, id: TopicId) -> Result<&Arc<Topic>, LedgerError> {
        self.by_id.get(id.0 as usize).ok_or_else(|| LedgerError::NoTopic {
            topic: format!("number {}", id.0),
        })
    }

    pub(super) fn schema(&self, digest: &Digest) -> Result<&Arc<Schema>, LedgerError> {
        self.schemas.get(digest).ok_or_else(|| LedgerError::NoSchema {
            digest: digest.to_string(),
        })
    }

    pub(super) fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    /// Puts a schema that is ready to be used in the place of the same one.
    pub(super) fn replace_schema(&mut self, schema: Arc<Schema>) {
        self.schemas.insert(schema.digest, schema);
    }

    /// Whether a topic by that name can begin.
    pub(super) fn check_new(&self, name: &str, config: &TopicConfig) -> Result<(), LedgerError> {
        check_name(name)?;
        config.check(name)?;
        config
            .schema
            .as_ref()
            .map_or(Ok(()), |digest| self.schema(digest).map(|_| ()))?;
        if self.by_name.contains_key(name) {
            return Err(LedgerError::TopicExists { topic: name.into() });
        }
        room("topics", self.by_id.len(), TOPICS_MAX)
    }

    /// Whether a topic's settings can be replaced, but for the compatibility of schemas.
    pub(super) fn check_config(&self, topic: &Topic, config: &TopicConfig) -> Result<(), LedgerError> {
        config.check(&topic.name)?;
        topic.config().check_successor(&topic.name, config)?;
        config
            .schema
            .as_ref()
            .map_or(Ok(()), |digest| self.schema(digest).map(|_| ()))
    }

    /// Whether a change can be applied now.
    pub(super) fn check(&self, change: &Change) -> Result<(), LedgerError> {
        let refuse = |why: &str| Err(LedgerError::InvalidBusChange { why: why.into() });
        match change {
            Change::TopicCreated { id, .. } if *id != self.next_id() => refuse("the topic's number is taken"),
            Change::TopicCreated { name, config, .. } => self.check_new(name, config),
            Change::TopicChanged { id, config } => self.check_config(self.numbered(*id)?, config),
            Change::SchemaRegistered { .. } => room("schemas", self.schemas.len(), SCHEMAS_MAX),
            Change::Joined {
                topic,
                group,
                epoch,
                starts,
            } => {
                let topic = self.numbered(*topic)?;
                group::check_name(&topic.name, group)?;
                let known = topic.group(group);
                if known.is_none() {
                    room("groups of a topic", topic.groups().len(), GROUPS_MAX)?;
                }
                if *epoch <= topic.epoch.load(Ordering::Acquire) {
                    return refuse("the topic has a newer subscription");
                }
                for (partition, start) in starts {
                    if *start > topic.partition(*partition)?.head() {
                        return Err(topic.bad_offset(*partition, *start, "it lies beyond the last event"));
                    }
                }
                Ok(())
            }
            Change::Delivered {
                topic,
                group,
                partition,
                epoch,
                ..
            } => self
                .numbered(*topic)?
                .check_epoch(group, *partition, *epoch)
                .map(|_| ()),
            Change::Shed { topic, .. } => self.numbered(*topic).map(|_| ()),
            Change::GroupForgotten { topic, group } => self.numbered(*topic)?.known_group(group).map(|_| ()),
        }
    }

    /// Applies a change, and gives what the index is to keep of it.
    pub(super) fn apply(&mut self, change: Change) -> Result<Vec<Staged>, LedgerError> {
        match change {
            Change::TopicCreated { id, name, config } => {
                let entry = keep_topic(id, &name, &config);
                self.insert(Topic::new(id, &name, config))?;
                Ok(vec![entry])
            }
            Change::TopicChanged { id, config } => {
                let topic = self.numbered(id)?;
                let entry = keep_topic(id, &topic.name, &config);
                topic.set_config(config);
                topic.wake_all();
                Ok(vec![entry])
            }
            Change::SchemaRegistered { text } => {
                let schema = Arc::new(Schema::new(text.clone()));
                let key = [META_SCHEMA, schema.digest.as_bytes()].concat();
                self.schemas.entry(schema.digest).or_insert(schema);
                Ok(vec![(Table::Meta, key, Some(text.to_vec()))])
            }
            Change::Joined {
                topic,
                group,
                epoch,
                starts,
            } => {
                let known = self.numbered(topic)?;
                known.epoch.fetch_max(epoch, Ordering::AcqRel);
                let group = known.make_group(&group);
                let mut seats = group.seats.lock();
                let mut entries = Vec::new();
                for (partition, start) in starts {
                    let seat = seats.entry(partition).or_insert(Seat {
                        next: start,
                        delivered: start,
                        ..Seat::default()
                    });
                    seat.epoch = epoch;
                    entries.push(keep_seat(topic, partition, &group.name, seat));
                }
                drop(seats);
                group.changed.notify_waiters();
                Ok(entries)
            }
            Change::Delivered {
                topic,
                group,
                partition,
                offset,
                count,
                ..
            } => {
                let group = self.numbered(topic)?.known_group(&group)?;
                let entry = group.with_seat(partition, |seat| {
                    if offset >= seat.next {
                        seat.attempts = Some((offset, count));
                    }
                    keep_seat(topic, partition, &group.name, seat)
                });
                Ok(vec![entry])
            }
            Change::Shed { topic, total } => {
                self.numbered(topic)?.recorded_shed(total);
                let key = [META_SHED, &topic.0.to_be_bytes()].concat();
                Ok(vec![(Table::Meta, key, Some(total.to_be_bytes().to_vec()))])
            }
            Change::GroupForgotten { topic, group } => {
                let Some(group) = self.numbered(topic)?.forget_group(&group) else {
                    return Ok(Vec::new());
                };
                let seats = std::mem::take(&mut *group.seats.lock());
                group.changed.notify_waiters();
                let gone = |partition: &u16| (Table::Meta, seat_key(topic, *partition, &group.name), None);
                Ok(seats.keys().map(gone).collect())
            }
        }
    }

    fn insert(&mut self, topic: Topic) -> Result<(), LedgerError> {
        if topic.id != self.next_id() {
            return Err(malformed("the numbers of topics have a gap"));
        }
        let topic = Arc::new(topic);
        self.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        self.by_id.push(topic);
        Ok(())
    }

    /// Reads the definitions out of the index.
    pub(super) fn load(index: &Index) -> Result<Self, LedgerError> {
        let mut registry = Self::default();
        load(index, META_SCHEMA, |_, value| {
            let schema = Arc::new(Schema::new(value.to_vec().into()));
            registry.schemas.insert(schema.digest, schema);
            Ok(())
        })?;
        load(index, META_TOPIC, |key, value| {
            let mut wire = Wire::new(value);
            let (name, config) = (wire.text()?, TopicConfig::decode(wire.bytes()?)?);
            let topic = Topic::new(TopicId(number(key)?), name, config);
            if let Store::Log(partitions) = &topic.store {
                for (partition, place) in (0_u16..).zip(partitions.iter()) {
                    let runs = Runs {
                        index,
                        topic: topic.id,
                        partition,
                    };
                    if let Some(last) = runs.last()? {
                        place.set_head(last.end());
                        place.set_first(runs.first()?.unwrap_or(last).first);
                    }
                }
            }
            registry.insert(topic)
        })?;
        load(index, META_SEAT, |key, value| {
            let (topic, rest) = key.split_at_checked(4).ok_or_else(damaged)?;
            let (partition, group) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
            let seat = Seat::decode(value)?;
            let topic = registry.numbered(TopicId(number(topic)?))?;
            topic.epoch.fetch_max(seat.epoch, Ordering::AcqRel);
            let group = topic.make_group(group::text(group)?);
            let seat = Seat {
                delivered: seat.next,
                ..seat
            };
            group.seats.lock().insert(u16::from_be_bytes(*partition), seat);
            Ok(())
        })?;
        load(index, META_SHED, |key, value| {
            let total = value.try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
            registry.numbered(TopicId(number(key)?))?.recorded_shed(total);
            Ok(())
        })?;
        Ok(registry)
    }

    /// The group of a seat that pins the log, for each that does.
    pub(super) fn seats(&self) -> impl Iterator<Item = (&Arc<Topic>, Arc<Group>)> {
        self.by_id
            .iter()
            .flat_map(|topic| topic.groups().into_iter().map(move |group| (topic, group)))
    }
}

/// Shows the entries that begin with a prefix, without it.
fn load(
    index: &Index,
    prefix: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let mut from = prefix.to_vec();
    loop {
        let found = index.range(Table::Meta, &from, &end, LOADED)?;
        for (key, value) in &found {
            take(key.strip_prefix(prefix).unwrap_or_default(), value)?;
        }
        let Some((last, _)) = found.into_iter().nth(LOADED - 1) else {
            return Ok(());
        };
        from = last;
        from.push(0);
    }
}

fn keep_topic(id: TopicId, name: &str, config: &TopicConfig) -> Staged {
    let mut value = Vec::new();
    put_bytes(&mut value, name.as_bytes());
    put_bytes(&mut value, &config.encode());
    (Table::Meta, [META_TOPIC, &id.0.to_be_bytes()].concat(), Some(value))
}

fn keep_seat(topic: TopicId, partition: u16, group: &str, seat: &Seat) -> Staged {
    let mut value = Vec::new();
    seat.encode(&mut value);
    (Table::Meta, seat_key(topic, partition, group), Some(value))
}

/// Puts a group's place into the index.
pub(super) fn put_seat(batch: &mut Batch, topic: TopicId, partition: u16, group: &str, seat: &Seat) {
    batch.put_with(
        Table::Meta,
        |key| put_seat_key(key, topic, partition, group),
        Some(|value: &mut Vec<u8>| seat.encode(value)),
    );
}

fn seat_key(topic: TopicId, partition: u16, group: &str) -> Vec<u8> {
    let mut key = Vec::new();
    put_seat_key(&mut key, topic, partition, group);
    key
}

fn put_seat_key(out: &mut Vec<u8>, topic: TopicId, partition: u16, group: &str) {
    out.extend_from_slice(META_SEAT);
    out.extend_from_slice(&topic.0.to_be_bytes());
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(group.as_bytes());
}

fn number(key: &[u8]) -> Result<u32, LedgerError> {
    key.try_into().map(u32::from_be_bytes).map_err(|_| damaged())
}

fn damaged() -> LedgerError {
    malformed("an entry of the bus's definitions is not of its form")
}

fn room(what: &str, count: usize, max: usize) -> Result<(), LedgerError> {
    if count < max {
        return Ok(());
    }
    Err(LedgerError::TooMany {
        what: what.into(),
        max: max as u64,
    })
}
