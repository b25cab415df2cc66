//! Ids of the 0.80 line, for reading old data: SHA-256 over text that tells less apart than today's names do.
//!
//! The text is the namespace in hex and the keys between bars, each trimmed and in lower case, null as nothing at all.
//! Version and variant do not replace bits but whole digits.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use crate::column::{Column, Value};
use crate::error::Error;
use crate::id::Id;

/// The most text that is hashed for one batch, in bytes. Views may show one text many times, so the batch's own size does
/// not bound it.
const HASHED_BYTES_MAX: usize = 1 << 30;
/// The namespace as that line wrote it.
const NAMESPACE: &str = "91e8f5f83e28592aab235295dcf92dd7";

/// The old ids of the first `rows` rows.
pub(crate) fn ids(keys: &[Column<'_>], rows: usize) -> Result<Vec<Id>, Error> {
    let mut columns: Vec<_> = keys.iter().map(|key| key.values(rows)).collect();
    let mut ids = Vec::with_capacity(rows);
    let mut text = Vec::new();
    let mut hashed_bytes = 0;
    for _ in 0..rows {
        text.clear();
        text.extend(NAMESPACE.as_bytes());
        for (index, values) in columns.iter_mut().enumerate() {
            if index > 0 {
                text.push(b'|');
            }
            write(values.next().unwrap_or(Value::Null), &mut text)?;
        }
        hashed_bytes += text.len();
        if hashed_bytes > HASHED_BYTES_MAX {
            return Err(Error::BadBatch(format!(
                "the keys of one batch take more than {HASHED_BYTES_MAX} bytes; make smaller batches"
            )));
        }
        ids.push(id(Sha256::digest(&text).into()));
    }
    Ok(ids)
}

fn write(value: Value<'_>, into: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Value::Null => Ok(()),
        Value::Boolean(value) => write!(into, "{value}"),
        Value::Signed(value) => write!(into, "{value}"),
        Value::Unsigned(value) => write!(into, "{value}"),
        Value::Text(text) => write!(into, "{}", text.trim().to_lowercase()),
    }
    .map_err(|error| Error::Other(error.to_string()))
}

fn id(digest: [u8; 32]) -> Id {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let [first, second, third, fourth] = words;
    Id([
        first,
        (second & 0xffff_0fff) | 0x0000_5000,
        (third & 0x0fff_ffff) | 0x8000_0000,
        fourth,
    ])
}
