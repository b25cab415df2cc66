//! A commit: what becomes one record of the log, all of it or nothing. And its encoding, which is what the hash covers.

use bytes::Bytes;
use kinetic_model::Digest;

use crate::state::{Reads, Write};
use crate::wire::{Wire, malformed, put_bytes, put_option};
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
    /// When it is acknowledged; none means `Synced` when views show something of it, `Written` when it holds a receipt
    /// only.
    pub durability: Option<Durability>,
    /// A receipt: an in-toto statement as JSON. It is hashed apart, so a proof shows it without the rest.
    pub receipt: Option<Bytes>,
    /// What a replay needs: function, input, context and the tape of host calls, encoded by the kernel.
    pub call: Option<Bytes>,
    /// What the writes depend on; validated when the commit gets its place in the log, not stored.
    pub reads: Reads,
    /// State writes.
    pub writes: Vec<Write>,
    /// Changes of the views' own definitions, such as branches.
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
    /// Branches.
    State,
}

/// A record's parts as read back from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// State writes.
    pub writes: Vec<Write>,
    /// Changes of the views' definitions.
    pub controls: Vec<Control>,
    /// What a replay needs.
    pub call: Option<Bytes>,
}

const WRITE: u8 = 1;
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
        !(self.writes.is_empty() && self.controls.is_empty())
    }

    /// What it is acknowledged after.
    pub fn effective_durability(&self) -> Durability {
        let default = if self.shows_in_views() {
            Durability::Synced
        } else {
            Durability::Written
        };
        self.durability.unwrap_or(default).max(Durability::Written)
    }
}

/// Appends the body of a record: receipt, call, parts. Gives the digest of the parts.
pub(crate) fn encode(commit: &Commit, body: &mut Vec<u8>) -> Result<Digest, LedgerError> {
    let start = body.len();
    put_option(body, commit.receipt.as_deref());
    put_option(body, commit.call.as_deref());
    let parts = body.len();
    for control in &commit.controls {
        let View::State = control.view;
        body.push(STATE_CONTROL);
        put_bytes(body, &control.payload);
    }
    let mut scratch = Vec::new();
    for write in &commit.writes {
        scratch.clear();
        write.encode(&mut scratch);
        body.push(WRITE);
        put_bytes(body, &scratch);
    }
    let bytes = (body.len() - start) as u64;
    if bytes > RECORD_BYTES_MAX {
        return Err(LedgerError::RecordTooLarge {
            bytes,
            bytes_max: RECORD_BYTES_MAX,
        });
    }
    Ok(Digest::of(body.get(parts..).unwrap_or_default()))
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
