//! Why the buffer did not do what was asked.

/// Why a call was refused. Nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not what they should be; the text says where.
    BadBatch(String),
    /// The batch alone is larger than the buffer.
    TooLarge {
        /// The events of the batch, in bytes.
        size_bytes: u64,
        /// The most the buffer holds, in bytes.
        size_bytes_max: u64,
    },
    /// There are more streams than numbers are kept of; the most there can be.
    TooManyStreams(u64),
    /// More was acknowledged than was pulled; the text says how far it was pulled.
    NotPulled(String),
    /// Something else; the text says what was wrong and what to do.
    Other(String),
}

/// Why a step of the lifecycle failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// A setting has no meaning; the text names it and says what would be right.
    BadSetting(String),
    /// The snapshot's format is another; the newest that is read.
    UnknownFormat(u32),
    /// The snapshot's bytes do not hold together; the text says where.
    DamagedSnapshot(String),
    /// Something else; the text says what was wrong and what to do.
    Other(String),
}
