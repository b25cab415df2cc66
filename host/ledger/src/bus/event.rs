//! Events: as they are published, as they stand in the log, and how far a group has consumed them.

use std::sync::Arc;

use bytes::Bytes;

use super::envelope::{Envelope, invalid, within};
use crate::LedgerError;
use crate::wire::{Wire, bytes_bytes, malformed, option_bytes, put_bytes, put_option, put_u64, u64_bytes};

/// The longest key of an event, in bytes.
pub const KEY_BYTES_MAX: u64 = 1024;
/// What an event costs in memory beside its bytes.
const OVERHEAD_BYTES: u64 = 256;

/// The number of a topic, on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u32);

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The topic's name.
    pub topic: Arc<str>,
    /// What decides its partition, 1 to 1024 bytes; events with the same key keep their order.
    pub key: Option<Bytes>,
    /// Attributes and data.
    pub envelope: Envelope,
}

/// Where an event stands in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The partition, from 0.
    pub partition: u16,
    /// Its number there, from 0, without gaps.
    pub offset: u64,
}

/// An event that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The topic's number.
    pub topic: TopicId,
    /// The partition, from 0.
    pub partition: u16,
    /// Its number in the partition, from 0, without gaps.
    pub offset: u64,
    /// What decided its partition.
    pub key: Option<Bytes>,
    /// Attributes and data.
    pub envelope: Envelope,
}

/// A group's position in a partition, as part of a commit: what was consumed and what came of it happen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: u16,
    /// The first offset this commit consumed: the group must stand there, so nothing is consumed twice or passed over.
    pub from: u64,
    /// The offset after the last one it consumed.
    pub next: u64,
    /// The epoch of the subscription that consumed; a newer one fences it.
    pub epoch: u64,
}

impl NewEvent {
    /// An event without a key.
    pub fn new(topic: impl Into<Arc<str>>, envelope: Envelope) -> Self {
        Self {
            topic: topic.into(),
            key: None,
            envelope,
        }
    }

    /// The same event with a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), LedgerError> {
        match &self.key {
            Some(key) if key.is_empty() => Err(invalid("its key is empty")),
            Some(key) => within("the event's key", key.len() as u64, KEY_BYTES_MAX),
            None => Ok(()),
        }
    }

    /// What it costs in memory, in bytes, roughly.
    pub(crate) fn weight(&self) -> u64 {
        weight(self.key.as_ref(), &self.envelope)
    }
}

impl Event {
    /// Where it stands in its topic.
    pub const fn position(&self) -> Position {
        Position {
            partition: self.partition,
            offset: self.offset,
        }
    }

    /// What it costs in memory, in bytes, roughly: what credit is counted in.
    pub fn weight(&self) -> u64 {
        weight(self.key.as_ref(), &self.envelope)
    }

    /// The same in bytes of its own, so that it does not keep a whole record in memory.
    pub(super) fn detached(&self) -> Self {
        Self {
            key: self.key.as_deref().map(Bytes::copy_from_slice),
            envelope: self.envelope.detached(),
            ..*self
        }
    }

    /// Appends the encoded form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.topic.0));
        put_u64(out, u64::from(self.partition));
        put_u64(out, self.offset);
        put_option(out, self.key.as_deref());
        out.extend_from_slice(self.envelope.as_bytes());
    }

    /// How long the encoded form is.
    pub(crate) fn encoded_bytes(&self) -> usize {
        u64_bytes(u64::from(self.topic.0))
            + u64_bytes(u64::from(self.partition))
            + u64_bytes(self.offset)
            + option_bytes(self.key.as_deref())
            + self.envelope.as_bytes().len()
    }

    /// Reads an encoded event, sharing the bytes.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(bytes);
        Ok(Self {
            topic: TopicId(wire.u32()?),
            partition: partition(&mut wire)?,
            offset: wire.u64()?,
            key: wire.option()?.map(|key| bytes.slice_ref(key)),
            envelope: Envelope::decode(&bytes.slice_ref(wire.remaining()))?,
        })
    }
}

impl OffsetCommit {
    /// Appends the encoded form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.group.as_bytes());
        put_u64(out, u64::from(self.topic.0));
        put_u64(out, u64::from(self.partition));
        put_u64(out, self.from);
        put_u64(out, self.next);
        put_u64(out, self.epoch);
    }

    /// How long the encoded form is.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let numbers = [
            u64::from(self.topic.0),
            u64::from(self.partition),
            self.from,
            self.next,
            self.epoch,
        ];
        bytes_bytes(self.group.as_bytes()) + numbers.into_iter().map(u64_bytes).sum::<usize>()
    }

    /// Reads what `encode` wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(bytes);
        let decoded = Self {
            group: wire.text()?.into(),
            topic: TopicId(wire.u32()?),
            partition: partition(&mut wire)?,
            from: wire.u64()?,
            next: wire.u64()?,
            epoch: wire.u64()?,
        };
        wire.end()?;
        Ok(decoded)
    }
}

pub(super) fn partition(wire: &mut Wire<'_>) -> Result<u16, LedgerError> {
    u16::try_from(wire.u64()?).map_err(|_| malformed("a partition's number is too large"))
}

fn weight(key: Option<&Bytes>, envelope: &Envelope) -> u64 {
    let key = key.map_or(0, Bytes::len);
    OVERHEAD_BYTES + (key + envelope.as_bytes().len()) as u64
}
