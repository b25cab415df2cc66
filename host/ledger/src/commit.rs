//! A commit: what becomes one record of the log, all of it or nothing. And its encoding, which is what the hash covers.

use std::sync::Arc;

use bytes::Bytes;
use kinetic_model::Digest;

use crate::bus::{Event, NewEvent, OffsetCommit};
use crate::state::{Reads, Write};
use crate::wire::{Wire, malformed, put_bytes, put_option, put_u64};
use crate::{LedgerError, RECORD_BYTES_MAX};

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// At once; it is never in the log. For at-most-once topics only.
    Memory,
    /// After `write`: it survives a killed process. Synced within 10 ms, so a power cut may cost those.
    Written,
    /// After `fdatasync`: it survives a power cut.
    #[default]
    Synced,
}

/// What one record holds. Empty parts cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// When it is acknowledged; none means the strictest of: what the topics of its events say, `Synced` when it holds
    /// writes, offsets or controls, `Written` for a receipt.
    pub durability: Option<Durability>,
    /// A receipt: an in-toto statement as JSON. It is hashed apart, so a proof shows it without the rest.
    pub receipt: Option<Bytes>,
    /// What a replay needs: function, input, context and the tape of host calls, encoded by the kernel.
    pub call: Option<Bytes>,
    /// What the writes depend on; validated when the commit gets its place in the log, not stored.
    pub reads: Reads,
    /// State writes.
    pub writes: Vec<Write>,
    /// Events to topics that are in the log.
    pub events: Vec<NewEvent>,
    /// Positions of consumers: what this commit consumed, once.
    pub offsets: Vec<OffsetCommit>,
    /// Changes of the views' own definitions, such as topics and branches.
    pub controls: Vec<Control>,
}

/// A change of a view's definitions, as that view encodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Which view it is for.
    pub view: View,
    /// What it says.
    pub payload: Bytes,
}

/// The views of the log that have definitions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// Topics, schemas, groups of consumers, counts of what was shed.
    Bus,
    /// Branches.
    State,
}

/// A record's parts as read back from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// State writes.
    pub writes: Vec<Write>,
    /// Events with their partitions and offsets, in the order they were published.
    pub events: Vec<Event>,
    /// Positions of consumers.
    pub offsets: Vec<OffsetCommit>,
    /// Changes of the views' definitions.
    pub controls: Vec<Control>,
    /// What a replay needs.
    pub call: Option<Bytes>,
}

const WRITE: u8 = 1;
const EVENT: u8 = 2;
const OFFSET: u8 = 3;
const BUS_CONTROL: u8 = 4;
const STATE_CONTROL: u8 = 5;

impl Commit {
    /// A commit of one receipt.
    pub fn of_receipt(receipt: impl Into<Bytes>) -> Self {
        Self {
            receipt: Some(receipt.into()),
            ..Self::default()
        }
    }

    /// Whether views show something of it, beyond its receipt.
    pub(crate) const fn shows_in_views(&self) -> bool {
        !(self.writes.is_empty() && self.events.is_empty() && self.offsets.is_empty() && self.controls.is_empty())
    }

    /// What it is acknowledged after; `topics` is the strictest durability of its events' topics.
    pub(crate) fn effective_durability(&self, topics: Durability) -> Durability {
        let strict = !(self.writes.is_empty() && self.offsets.is_empty() && self.controls.is_empty());
        let default = if strict { Durability::Synced } else { topics };
        self.durability.unwrap_or(default).max(Durability::Written)
    }
}

/// The parts of a commit that do not depend on its place, encoded before the log's lock is taken.
pub(crate) struct Encoded {
    /// What comes before the events, and what comes behind.
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Encoded {
    pub(crate) fn of(commit: &Commit) -> Self {
        let writes: usize = commit
            .writes
            .iter()
            .map(|write| write.encoded_bytes() + PART_BYTES)
            .sum();
        let offsets: usize = commit
            .offsets
            .iter()
            .map(|offset| offset.encoded_bytes() + PART_BYTES)
            .sum();
        let (mut before, mut behind) = (Vec::with_capacity(writes), Vec::with_capacity(offsets));
        for control in &commit.controls {
            before.push(match control.view {
                View::Bus => BUS_CONTROL,
                View::State => STATE_CONTROL,
            });
            put_bytes(&mut before, &control.payload);
        }
        for write in &commit.writes {
            part(&mut before, WRITE, write.encoded_bytes(), |out| write.encode(out));
        }
        for offset in &commit.offsets {
            part(&mut behind, OFFSET, offset.encoded_bytes(), |out| offset.encode(out));
        }
        Self { before, behind }
    }

    /// Appends the body of the commit's record: receipt, call, parts. `events` are the commit's, with their offsets.
    /// Gives the digest of the parts.
    pub(crate) fn append(
        &self,
        commit: &Commit,
        events: &[Arc<Event>],
        body: &mut Vec<u8>,
    ) -> Result<Digest, LedgerError> {
        let start = body.len();
        put_option(body, commit.receipt.as_deref());
        put_option(body, commit.call.as_deref());
        let parts = body.len();
        body.extend_from_slice(&self.before);
        for event in events {
            part(body, EVENT, event.encoded_bytes(), |out| event.encode(out));
        }
        body.extend_from_slice(&self.behind);
        let bytes = (body.len() - start) as u64;
        if bytes > RECORD_BYTES_MAX {
            return Err(LedgerError::RecordTooLarge {
                bytes,
                bytes_max: RECORD_BYTES_MAX,
            });
        }
        Ok(match body.get(parts..) {
            None | Some([]) => Digest::EMPTY,
            Some(parts) => Digest::of(parts),
        })
    }
}

/// What a part needs beside its payload at most: its kind and the payload's length.
const PART_BYTES: usize = 11;

fn part(out: &mut Vec<u8>, tag: u8, bytes: usize, encode: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    put_u64(out, bytes as u64);
    let start = out.len();
    encode(out);
    debug_assert_eq!(out.len() - start, bytes, "the length in front of a part of kind {tag}");
}

/// A body's three sections, which a leaf hashes apart: a proof about a receipt shows nothing of the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sections<'a> {
    pub(crate) receipt: Option<&'a [u8]>,
    pub(crate) call: Option<&'a [u8]>,
    pub(crate) parts: &'a [u8],
}

impl<'a> Sections<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(body);
        Ok(Self {
            receipt: wire.option()?,
            call: wire.option()?,
            parts: wire.remaining(),
        })
    }
}

impl Parts {
    /// Reads the parts of a body. The buffer is shared, not copied.
    pub(crate) fn decode(body: &Bytes) -> Result<Self, LedgerError> {
        let sections = Sections::of(body)?;
        let mut wire = Wire::new(sections.parts);
        let mut parts = Self {
            call: sections.call.map(|call| body.slice_ref(call)),
            ..Self::default()
        };
        while !wire.is_empty() {
            let tag = wire.u8()?;
            let payload = body.slice_ref(wire.bytes()?);
            match tag {
                WRITE => parts.writes.push(Write::decode(&payload)?),
                EVENT => parts.events.push(Event::decode(&payload)?),
                OFFSET => parts.offsets.push(OffsetCommit::decode(&payload)?),
                BUS_CONTROL => parts.controls.push(Control {
                    view: View::Bus,
                    payload,
                }),
                STATE_CONTROL => parts.controls.push(Control {
                    view: View::State,
                    payload,
                }),
                _ => return Err(malformed("it holds a part of a kind this version does not know")),
            }
        }
        Ok(parts)
    }
}
