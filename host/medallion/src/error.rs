//! What can go wrong between an event and a table.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of the medallion. Up to 0019 they are the files', from 0020 the events'.
    pub enum MedallionError ("MED") {
        /// The folder or a file of it cannot be used.
        "0001" Io { what: String, why: String } => Internal,
            "the tables cannot {what}: {why}.",
            "Check that the data folder is on a working disk and writable for this user.";
        /// No room for the rows.
        "0002" DiskFull { what: String } => Unavailable,
            "the disk is full: the tables cannot {what}. Finished files are untouched; the rows of the unfinished one are to be written again.",
            "Make room on the disk of the data folder; writing goes on from the last finished file.";
        /// Rows between two files are missing.
        "0003" Gap { folder: String, end_offset: u64, first_offset: u64 } => Integrity,
            "the table {folder} has no file for the offsets {end_offset} to {first_offset}: a file is missing.",
            "Restore the missing file from a copy, or move this table's folder away and rebuild it from its source.";
        /// Two files hold the same rows.
        "0004" Overlap { folder: String, end_offset: u64, first_offset: u64 } => Integrity,
            "the table {folder} has a file that begins at offset {first_offset}, before the one in front of it ends at {end_offset}.",
            "One of the two does not belong there: move it away, or move the folder away and rebuild the table from its source.";
        /// A file with a name like a part's, which is none.
        "0005" BadName { file: String } => Integrity,
            "{file} is named like a part of a table, but its name does not say which offsets it holds.",
            "Move the file out of the table's folder.";
        /// A file's content is not what its name says.
        "0006" Damaged { file: String, why: String } => Integrity,
            "{file} cannot be read: {why}.",
            "Restore the file from a copy, or move this table's folder away and rebuild it from its source.";
        /// Someone else writes to the folder.
        "0007" InUse { folder: String } => Conflict,
            "another process writes to the table {folder}.",
            "Stop it, or send the events to it instead.";
        /// Rows that do not follow the last ones.
        "0008" NotNext { first_offset: u64, end_offset: u64, next_offset: u64 } => Conflict,
            "rows of the offsets {first_offset} to {end_offset} were offered, but the table goes on at {next_offset}.",
            "Read the source from {next_offset} on.";
        /// Rows of another schema.
        "0009" OtherSchema { what: String } => Conformance,
            "the rows do not have the table's schema: {what}.",
            "Write them to a table of their own, or rebuild this table with the new schema.";
        /// A setting that cannot work.
        "0010" InvalidSetting { setting: String, why: String } => Invalid,
            "{setting} cannot be used: {why}.",
            "Correct the setting and start again.";
        /// The rows could not be encoded.
        "0011" Encoding { what: String, why: String } => Internal,
            "cannot {what}: {why}.",
            "This is a fault of kinetic: report it with the event that caused it.";
    }
}
