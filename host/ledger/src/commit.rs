//! A commit: what becomes one record of the log, all of it or nothing. And its encoding, which is what the hash covers.

use bytes::Bytes;
use kinetic_model::Digest;

use crate::wire::{Wire, malformed, put_option};
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
}

/// A record's parts as read back from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What a replay needs.
    pub call: Option<Bytes>,
}

impl Commit {
    /// A commit of one receipt.
    pub fn of_receipt(receipt: impl Into<Bytes>) -> Self {
        Self {
            receipt: Some(receipt.into()),
            ..Self::default()
        }
    }

    /// Whether views show something of it, beyond its receipt.
    #[expect(clippy::unused_self, reason = "receipts and calls are in no view")]
    pub(crate) const fn shows_in_views(&self) -> bool {
        false
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
        if !sections.parts.is_empty() {
            return Err(malformed("it holds a part of a kind this version does not know"));
        }
        Ok(Self {
            call: sections.call.map(|call| body.slice_ref(call)),
        })
    }
}
