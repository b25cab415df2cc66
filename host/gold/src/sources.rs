//! What gold is computed from: the parts of silver, and of what the forget gate dropped.

use std::path::PathBuf;

use crate::GoldError;

/// A Parquet file of a table, with the offsets of its source it came of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where the file lies.
    pub path: PathBuf,
    /// The first offset it holds.
    pub first_offset: u64,
    /// The offset behind the last one it holds.
    pub end_offset: u64,
}

/// All parts there are, in the order of their offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Silver events. Read are the columns `stream` (utf8), `sequence` (uint64), `token` (utf8, null),
    /// `received_unix_ns` (int64), `workflow_id`, `intent_id`, `node_cid` (utf8, null), `kind` (utf8), `model` (utf8,
    /// null), `prompt_tokens`, `completion_tokens`, `cached_tokens` (int64, null), `error` (utf8, null), `duration_ms`
    /// (float64, null) and `data` (utf8); others may be there.
    pub silver: Vec<Part>,
    /// What the forget gate dropped. Read are the columns `workflow_id` (utf8, null) and `events` (uint64).
    pub shed: Vec<Part>,
}

impl Sources {
    /// Refuses parts that are out of order or overlap.
    pub(crate) fn check(&self) -> Result<(), GoldError> {
        for parts in [&self.silver, &self.shed] {
            let mut end_offset = 0;
            for part in parts {
                if part.first_offset < end_offset || part.end_offset < part.first_offset {
                    return Err(GoldError::Order {
                        file: part.path.display().to_string(),
                        first_offset: part.first_offset,
                        end_offset,
                    });
                }
                end_offset = part.end_offset;
            }
        }
        Ok(())
    }
}
