//! What can go wrong between an event and a table.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of the medallion. Up to 0019 they are the files', from 0020 the events', from 0030 those of watching.
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
        /// Too many watch.
        "0030" TooManySubscribers { subscribers_max: usize } => Busy,
            "{subscribers_max} already watch the telemetry.",
            "Close streams that nobody reads, and try again.";
        /// A text that names no event.
        "0031" BadEventId { text: String } => Invalid,
            "\"{text}\" is not the id of an event.",
            "Ids are written offset-row, such as 12-0, as the stream gives them; leave it out to begin with the next event.";
        /// An event to go on behind that was never there.
        "0032" NotYet { id: String, next_offset: u64 } => NotFound,
            "there is no event {id}: the next batch has the offset {next_offset}.",
            "The id is of another host, or of data that was restored: begin with from=oldest, or with the next event.";
        /// Events that are no longer there.
        "0033" Removed { offset: u64, oldest: u64 } => NotFound,
            "the events of the offset {offset} were removed by retention: the oldest ones kept have {oldest}.",
            "Begin with from=oldest, or with the next event; raise the ledger's retention before the history is needed.";
        /// A batch that should be there.
        "0034" NoBatch { offset: u64 } => Integrity,
            "the events of the offset {offset} are missing, though later ones are there.",
            "Run `kinetic verify`; begin behind this offset to go on without them.";
        /// A filter that cannot be used.
        "0035" BadFilter { what: String, why: String } => Invalid,
            "the filter cannot be used: {what}: {why}.",
            "Topics are names such as telemetry.events.v1, with * for one segment and > at the end for all that follow; priorities are DEBUG, INFO, METRIC, WARNING and CRITICAL, or 0 to 4.";
        /// A pace that cannot be kept.
        "0036" BadPace { hz: String } => Invalid,
            "{hz} ticks a second cannot be kept.",
            "Choose 0.1 to 100.";
        /// The log takes no records, or does not have what is asked.
        "0040" NotRecorded { why: String } => Unavailable,
            "telemetry cannot be recorded: {why}",
            "See what the ledger says; events that were not acknowledged are to be sent again.";
        /// No room within the time a push waits.
        "0041" Overloaded { taken: u64, left: u64, wait_ms: u64 } => Busy,
            "the tables do not keep up: of this push the first {taken} events were taken, and for {left} there was no room within {wait_ms} ms.",
            "Send those again later, or send less; raise telemetry.buffer_events and telemetry.buffer_bytes for longer bursts.";
        /// A subsystem failed too often.
        "0042" Quarantined { subsystem: String, why: String } => Busy,
            "the {subsystem} failed too often and is not started again by itself. The last failure: {why}",
            "Put another version in its place: kinetic rollback URN, or kinetic swap URN --to VERSION. Nothing that was acknowledged is lost.";
        /// A component answers against its contract.
        "0043" BadAnswer { subsystem: String, why: String } => Conformance,
            "the {subsystem} answers against its contract: {why}.",
            "Put another version in its place: kinetic rollback URN, or kinetic swap URN --to VERSION.";
        /// More streams than the buffer keeps numbers of.
        "0044" TooManyStreams { most: u64 } => Busy,
            "there are more streams than the {most} the stream buffer keeps numbers of.",
            "Use fewer workflow and intent ids at once, or raise telemetry.streams_max.";
        /// Nothing is taken any more.
        "0045" Closed {} => Busy,
            "telemetry is not taken: the host is stopping.",
            "Send the events again when it is up.";
        /// Another component cannot take the place.
        "0046" SwapRefused { subsystem: String, why: String } => Conformance,
            "the component cannot take the place of the {subsystem}, which goes on: {why}",
            "Correct the component; it must export the same WIT world and take over the state.";
        /// No such subsystem.
        "0047" NoSubsystem { name: String } => NotFound,
            "there is no subsystem {name}.",
            "Subsystems are stream-buffer and silver-gate.";
        /// Files that go further than the log.
        "0048" AheadOfLog { folder: String, end_offset: u64, head: u64 } => Integrity,
            "the table {folder} goes up to offset {end_offset}, but the log of this host ends at {head}: they do not belong together.",
            "Restore the ledger that the tables were made from, or move the folders bronze and silver away.";
        /// Gold could not be made.
        "0049" Gold { why: String } => Internal,
            "gold cannot be brought up to silver: {why}",
            "Bronze and silver are complete. Correct what is named; then kinetic gold makes it again.";
        /// The tables wait for something else first.
        "0050" TablesWait { why: String } => Busy,
            "the tables cannot be made anew now, they wait: {why}",
            "Correct what they wait for, and try again.";
        /// A batch that the stream buffer cannot hold at all.
        "0051" BatchTooLarge { size_bytes: u64, size_bytes_max: u64 } => TooLarge,
            "an event takes {size_bytes} bytes, more than the {size_bytes_max} of the whole stream buffer.",
            "Send smaller events, or raise telemetry.buffer_bytes.";
        /// A component is to be replaced in a pipeline that is not open.
        "0052" NotUp {} => Busy,
            "telemetry is not up yet.",
            "Try again in a moment; if it stays so, the host's log says why it does not start.";
    }
}

impl MedallionError {
    /// The same for a push of which so many events more were taken before.
    pub(crate) fn after(self, before: u64) -> Self {
        match self {
            Self::Overloaded { taken, left, wait_ms } => Self::Overloaded {
                taken: taken + before,
                left,
                wait_ms,
            },
            other => other,
        }
    }

    /// The same for a push of which so much was taken.
    pub(crate) fn for_push(&self, taken: u64, left: u64) -> Self {
        match self {
            Self::Overloaded { wait_ms, .. } => Self::Overloaded {
                taken,
                left,
                wait_ms: *wait_ms,
            },
            other => other.clone(),
        }
    }
}
