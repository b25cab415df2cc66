//! Why a batch was not transformed.

use arrow_schema::ArrowError;

/// Why a batch was not transformed. Every text says what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not an Arrow IPC stream that can be taken.
    BadBatch(String),
    /// The table's description does not fit the batch or itself.
    BadTable(String),
    /// The batch is too large.
    TooLarge {
        /// Its size, in bytes.
        bytes: u64,
        /// The most there can be, in bytes.
        bytes_max: u64,
    },
    /// Something else.
    Other(String),
}

/// For what Arrow finds wrong with a batch it reads.
pub(crate) fn bad_batch(error: ArrowError) -> Error {
    Error::BadBatch(error.to_string())
}

/// For what Arrow cannot do with a batch it has read.
pub(crate) fn other(error: ArrowError) -> Error {
    Error::Other(error.to_string())
}
