//! Turns what went wrong below into what a user can act on.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::MedallionError;

/// Wraps an I/O error with what was being done.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> MedallionError {
    let what = what.into();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => MedallionError::DiskFull { what },
        _ => MedallionError::Io {
            what,
            why: error.to_string(),
        },
    }
}

pub(super) fn encoding<E: Display>(error: E) -> MedallionError {
    MedallionError::Encoding {
        what: "encode rows as Parquet".into(),
        why: error.to_string(),
    }
}

pub(super) fn damaged<E: Display>(file: &Path) -> impl FnOnce(E) -> MedallionError {
    let file = file.display().to_string();
    move |error| MedallionError::Damaged {
        file,
        why: error.to_string(),
    }
}
