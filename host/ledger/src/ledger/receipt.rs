//! What the ledger proves: a record's receipt, that it is in the log, and that the log of before is a beginning of this one.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use kinetic_identity::{PublicKey, sign_statement};
use serde_json::{Value, json};

use super::{COVER_WITHIN, Ledger};
use crate::LedgerError;
use crate::merkle::{Checkpoint, Hash, consistency, inclusion};

const COVER_POLL: Duration = Duration::from_millis(1);

/// A receipt and what proves that it is in the log.
#[derive(Clone, Debug)]
pub struct ReceiptProof {
    /// Its name.
    pub id: String,
    /// The record's number: the leaf's index.
    pub seq: u64,
    /// When it was written, in nanoseconds since 1970; an annotation that no hash covers.
    pub unix_ns: u64,
    /// The in-toto statement, exactly as it was hashed.
    pub statement: Bytes,
    /// The DSSE envelope over it, signed by the host when it was asked for.
    pub envelope: Value,
    /// The leaf's data (104 bytes): index, and SHA-256 of receipt, call and parts.
    pub leaf_data: [u8; 104],
    /// The leaf's hash.
    pub leaf: Hash,
    /// The audit path to the root that the checkpoint signs, nearest sibling first.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Checkpoint,
    /// The key that signed both.
    pub key: PublicKey,
}

impl ReceiptProof {
    /// The proof as JSON, hashes in hexadecimal.
    pub fn to_json(&self) -> Value {
        json!({
            "receipt_id": self.id,
            "written_at_unix_ns": self.unix_ns.to_string(),
            "envelope": self.envelope,
            "proof": {
                "leaf_index": self.seq,
                "leaf_data": hex(&self.leaf_data),
                "leaf_hash": hex(&self.leaf),
                "tree_size": self.checkpoint.size,
                "audit_path": self.path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
                "root_hash": hex(&self.checkpoint.root),
                "checkpoint": self.checkpoint.note,
                "key": self.key.to_string(),
            },
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// The name of a record's receipt.
pub(crate) fn receipt_id(seq: u64, leaf: &Hash) -> String {
    let mut id = String::with_capacity(40);
    // Writing to a String cannot fail.
    let _ = write!(id, "{seq}-");
    push_hex(&mut id, leaf.get(..8).unwrap_or_default());
    id
}

impl Ledger {
    /// The newest checkpoint; none in a ledger that has no records.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.0.log.shared.tree.lock().last.clone()
    }

    /// The key that signs checkpoints.
    pub fn key(&self) -> PublicKey {
        self.0.log.shared.tree.lock().signer.public()
    }

    /// The proof that the log of `old` records is a beginning of the one that the newest checkpoint signs.
    ///
    /// # Errors
    /// `NotYet` when `old` is larger than that; `Io`.
    pub fn consistency(&self, old: u64) -> Result<(Checkpoint, Vec<Hash>), LedgerError> {
        let tree = self.0.log.shared.tree.lock();
        let newest = tree.last.clone().filter(|last| old <= last.size);
        let checkpoint = newest.ok_or_else(|| LedgerError::NotYet {
            seq: old,
            next: tree.last.as_ref().map_or(0, |last| last.size),
        })?;
        let path = consistency(&tree.files, old, checkpoint.size)?;
        Ok((checkpoint, path))
    }

    /// A receipt by its name, with the proof that it is in the log.
    ///
    /// # Errors
    /// `NoReceipt`; `BelowHorizon`; `Damaged`; `Failed`.
    pub async fn receipt(&self, id: &str) -> Result<ReceiptProof, LedgerError> {
        let unknown = || LedgerError::NoReceipt {
            id: id.chars().take(60).collect(),
        };
        let seq: u64 = id
            .split_once('-')
            .and_then(|(seq, _)| seq.parse().ok())
            .ok_or_else(unknown)?;
        if seq >= self.records() {
            return Err(unknown());
        }
        let record = self.read(seq, 1)?.pop().ok_or_else(unknown)?;
        let leaf = record.leaf()?;
        let leaf_hash = leaf.hash(seq);
        let statement = record
            .receipt()?
            .filter(|_| receipt_id(seq, &leaf_hash) == id)
            .ok_or_else(unknown)?;
        self.cover(seq).await?;
        let tree = self.0.log.shared.tree.lock();
        let checkpoint = tree.last.clone().ok_or_else(unknown)?;
        let path = inclusion(&tree.files, seq, checkpoint.size)?;
        Ok(ReceiptProof {
            id: id.into(),
            seq,
            unix_ns: record.unix_ns,
            envelope: sign_statement(&statement, tree.signer.key()),
            statement,
            leaf_data: leaf.data(seq),
            leaf: leaf_hash,
            path,
            checkpoint,
            key: tree.signer.public(),
        })
    }

    /// Waits until a checkpoint covers the record, signing one when the record is on disk.
    async fn cover(&self, seq: u64) -> Result<(), LedgerError> {
        let covered = async {
            loop {
                self.check()?;
                if self.0.log.shared.covered(seq)? {
                    return Ok(());
                }
                tokio::time::sleep(COVER_POLL).await;
            }
        };
        tokio::time::timeout(COVER_WITHIN, covered).await.unwrap_or_else(|_| {
            Err(LedgerError::NotYet {
                seq,
                next: self.synced(),
            })
        })
    }
}
