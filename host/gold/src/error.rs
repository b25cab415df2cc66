//! What can go wrong between silver and a table of gold.

use std::fmt::Display;
use std::io;
use std::path::Path;

use kinetic_model::coded_errors;
use polars::prelude::PolarsError;

coded_errors! {
    /// Errors of the gold tables.
    pub enum GoldError ("GLD") {
        /// The folder or a file of it cannot be used.
        "0001" Io { what: String, why: String } => Internal,
            "the gold tables cannot {what}: {why}.",
            "Check that the data folder is on a working disk and writable for this user.";
        /// No room for a table.
        "0002" DiskFull { what: String } => Unavailable,
            "the disk is full: the gold tables cannot {what}. The tables are as they were before.",
            "Make room on the disk of the data folder and refresh again.";
        /// A file that is to be read is not what it should be.
        "0003" Damaged { file: String, why: String } => Integrity,
            "{file} cannot be read: {why}.",
            "A file of gold is made again by `kinetic rebuild`; a part of silver or of shed is to be restored from a copy, or rebuilt from bronze.";
        /// Gold was never computed here.
        "0004" NoTables { folder: String } => NotFound,
            "there are no gold tables in {folder}.",
            "Ingest some events first, or compute the tables with `kinetic rebuild`.";
        /// The parts handed over do not follow each other.
        "0005" Order { file: String, first_offset: u64, end_offset: u64 } => Integrity,
            "the part {file} begins at offset {first_offset}, before the one in front of it ends at {end_offset}, or ends before it begins.",
            "One of the two does not belong there: move it away, or rebuild the table it is of.";
        /// A setting that cannot work.
        "0006" InvalidSetting { setting: String, why: String } => Invalid,
            "{setting} cannot be used: {why}.",
            "Correct the setting and start again.";
        /// A query failed although its input could be read.
        "0007" Compute { what: String, why: String } => Internal,
            "the gold tables cannot {what}: {why}.",
            "This is a fault of kinetic: report it with the version and the sentence above.";
    }
}

/// Wraps an I/O error with what was being done.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> GoldError {
    let what = what.into();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => GoldError::DiskFull { what },
        _ => GoldError::Io {
            what,
            why: error.to_string(),
        },
    }
}

/// Says which file is damaged.
pub(crate) fn damaged<E: Display>(file: &Path) -> impl FnOnce(E) -> GoldError {
    let file = file.display().to_string();
    move |error| GoldError::Damaged {
        file,
        why: error.to_string(),
    }
}

/// Says what was being computed.
pub(crate) fn compute(what: &str) -> impl FnOnce(PolarsError) -> GoldError {
    move |error| GoldError::Compute {
        what: what.to_owned(),
        why: error.to_string(),
    }
}
