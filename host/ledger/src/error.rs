//! What can go wrong with the log and its views.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of the ledger. Up to 0029 they are the log's, from 0030 the bus's, from 0060 the state's.
    pub enum LedgerError ("LED") {
        /// The folder or a file of it cannot be used.
        "0001" Io { what: String, why: String } => Internal,
            "the ledger cannot {what}: {why}.",
            "Check that the data folder is on a working disk, writable for this user, and has room.";
        /// No room for the next record.
        "0002" DiskFull { bytes: u64 } => Unavailable,
            "the disk has no room for the ledger's next {bytes} bytes; nothing of this commit was written, reading goes on.",
            "Make room on the disk of the data folder; the next commit tries again.";
        /// The log stopped after a write or a sync failed.
        "0003" Failed { why: String } => Internal,
            "the ledger takes no more records, because writing failed: {why}.",
            "Look at the disk, then restart the host: it finds out which records are safe.";
        /// A record is not what was written.
        "0004" Damaged { seq: u64, file: String, byte: u64, why: String } => Integrity,
            "record {seq} ({file}, byte {byte}) is damaged: {why}.",
            "Restore the ledger's folder from a copy; `kinetic verify` lists all that is wrong.";
        /// The record was removed by retention.
        "0005" BelowHorizon { seq: u64, horizon: u64 } => NotFound,
            "record {seq} lies below the horizon {horizon}: retention removed it.",
            "Ask from {horizon} on, or raise ledger.retain_bytes before the history is needed.";
        /// The record does not exist yet.
        "0006" NotYet { seq: u64, next: u64 } => NotFound,
            "record {seq} is not written yet; the next one is {next}.",
            "Ask for a record below {next}.";
        /// One commit is too large.
        "0007" RecordTooLarge { bytes: u64, bytes_max: u64 } => TooLarge,
            "the commit takes {bytes} bytes, more than {bytes_max}.",
            "Split it, or store bulk data elsewhere and commit its digest.";
        /// Bytes in the log are not of the format.
        "0008" Malformed { why: String } => Integrity,
            "a record's content cannot be read: {why}.",
            "It was written by a newer version, or damaged: use the newest kinetic, then `kinetic verify`.";
        /// No receipt by that id.
        "0009" NoReceipt { id: String } => NotFound,
            "there is no receipt {id} here.",
            "Use the receipt_id of an execute's answer, on the host that answered it.";
        /// A checkpoint contradicts the log.
        "0010" CheckpointMismatch { size: u64, why: String } => Integrity,
            "the signed checkpoint over {size} records does not fit the log: {why}.",
            "Records below {size} were changed after signing: restore the folder from a copy and run `kinetic verify`.";
        /// The ledger is being closed.
        "0011" Closed { } => Busy,
            "the ledger is closing.",
            "Try again when the host is up.";
        /// Records that were acknowledged are gone.
        "0012" Missing { seq: u64, why: String } => Integrity,
            "record {seq} is missing: {why}.",
            "Restore the ledger's folder from a copy; `kinetic verify` lists all that is wrong.";
        /// A topic's name is not of the grammar.
        "0030" InvalidTopicName { name: String, why: String } => Invalid,
            "\"{name}\" is not the name of a topic: {why}.",
            "Write at least two segments and a version, such as telemetry.metrics.v1: lower-case letters, digits, _ and -.";
        /// A topic's settings contradict each other or a limit.
        "0031" InvalidTopicConfig { topic: String, why: String } => Invalid,
            "the settings of the topic {topic} cannot be used: {why}.",
            "Correct them and try again.";
        /// No topic by that name or number.
        "0032" NoTopic { topic: String } => NotFound,
            "there is no topic {topic}.",
            "Create it first: a topic is never made by publishing to it.";
        /// The name of a topic is taken.
        "0033" TopicExists { topic: String } => Conflict,
            "the topic {topic} exists already.",
            "Change its settings instead, or use the name with the next version.";
        /// A topic's setting that cannot change.
        "0034" TopicFixed { topic: String, why: String } => Conflict,
            "the topic {topic} cannot be changed so: {why}.",
            "Create a topic with the next version in its name, and move the publishers to it.";
        /// A schema that cannot be used.
        "0035" InvalidSchema { why: String } => Invalid,
            "the schema cannot be used: {why}.",
            "Write a JSON Schema (draft 2020-12 unless $schema says otherwise) that refers to nothing outside itself.";
        /// No schema by that digest.
        "0036" NoSchema { digest: String } => NotFound,
            "there is no schema {digest}.",
            "Register the schema first; its digest is the answer.";
        /// A schema that breaks the topic's compatibility.
        "0037" SchemaIncompatible { topic: String, mode: String, why: String } => Conflict,
            "the new schema of {topic} is not {mode} compatible with the present one: {why}.",
            "Change it so that it is (closed objects and optional properties help), or create a topic with the next version.";
        /// An event that the topic's schema refuses.
        "0038" EventRefused { topic: String, why: String } => Conformance,
            "the schema of {topic} refuses the event's data: {why}.",
            "Publish data of that schema, with a JSON content type.";
        /// An envelope or a key that is not of the form.
        "0039" InvalidEvent { why: String } => Invalid,
            "the event cannot be used: {why}.",
            "Write it as CloudEvents 1.0 says: id, source and type are required.";
        /// An event or what describes it is too large.
        "0040" EventTooLarge { what: String, bytes: u64, bytes_max: u64 } => TooLarge,
            "{what} takes {bytes} bytes, more than {bytes_max}.",
            "Store bulk data as a blob and publish its digest.";
        /// A commit with an event for a topic that is not in the log.
        "0041" NotInLog { topic: String } => Invalid,
            "the topic {topic} is kept in memory only, so no commit can hold its events.",
            "Publish to it apart from the commit, or use a topic with qos at_least_once or exactly_once.";
        /// Another subscription of the group took over.
        "0042" Fenced { group: String, topic: String, partition: u16, epoch: u64, current: u64 } => Conflict,
            "a newer subscription of the group {group} took over {topic}/{partition}: epoch {current} follows {epoch}.",
            "Stop this consumer, or subscribe again, which fences the other one.";
        /// The group's position is not where the commit continues.
        "0043" OffsetMoved { group: String, topic: String, partition: u16, from: u64, committed: u64 } => Conflict,
            "the commit continues {topic}/{partition} from offset {from}, but the group {group} is at {committed}.",
            "What lies below {committed} is done: drop this work, and go on from there.";
        /// An offset that does not exist or was not delivered.
        "0044" InvalidOffset { topic: String, partition: u16, offset: u64, why: String } => Invalid,
            "offset {offset} of {topic}/{partition} cannot be used: {why}.",
            "Use a partition of the topic, and an offset that was delivered.";
        /// A topic's consumers are too slow.
        "0045" Overloaded { topic: String, waited_ms: u64 } => Busy,
            "the topic {topic} holds back its publishers: the slowest consumer did not catch up within {waited_ms} ms.",
            "Try again later, see to the slow consumer, or choose another backpressure for the topic.";
        /// Events that retention removed.
        "0046" OffsetGone { topic: String, partition: u16, offset: u64, first: u64 } => NotFound,
            "offset {offset} of {topic}/{partition} lies below the horizon: the first one kept is {first}.",
            "Read from {first} on. Only groups hold back retention; readers without a group do not.";
        /// A subscription that cannot be.
        "0047" InvalidSubscription { topic: String, why: String } => Invalid,
            "the subscription to {topic} cannot be: {why}.",
            "Correct it and try again.";
        /// A change of the bus's definitions that cannot be applied.
        "0048" InvalidBusChange { why: String } => Conflict,
            "the change of the bus's definitions is refused: {why}.",
            "Read what is there now, and try again.";
        /// No group by that name.
        "0049" NoGroup { topic: String, group: String } => NotFound,
            "the topic {topic} has no group {group}.",
            "A group begins with its first subscription; it may have been forgotten.";
        /// More of something than there may be.
        "0050" TooMany { what: String, max: u64 } => TooLarge,
            "there would be more than {max} {what}.",
            "Use fewer, or remove some first.";
        /// A publication in memory to a topic that is in the log.
        "0051" InTheLog { topic: String } => Invalid,
            "the topic {topic} is in the log, so its events belong into a commit.",
            "Publish to it with a commit, or without saying where.";
        /// Something a transaction read was written since.
        "0060" Conflict { key: String, seq: u64 } => Conflict,
            "the transaction read {key}, which record {seq} wrote since.",
            "Begin again: read anew, then commit.";
        /// A transaction was open for too long to be validated.
        "0061" TransactionTooOld { snapshot: u64, oldest: u64 } => Conflict,
            "the transaction began at record {snapshot}; what was written is remembered only from {oldest} on.",
            "Begin again, and keep transactions that scan ranges short.";
        /// A transaction or a merge is too large.
        "0062" TransactionTooLarge { what: String, max: u64 } => TooLarge,
            "there are too many {what}, at most {max} go into one.",
            "Split it.";
        /// A key that cannot be stored.
        "0063" InvalidKey { why: String } => Invalid,
            "the key cannot be used: {why}.",
            "Use a shorter key that is not empty.";
        /// A value that is too large.
        "0064" ValueTooLarge { bytes: u64, bytes_max: u64 } => TooLarge,
            "the value takes {bytes} bytes, more than {bytes_max}.",
            "Store bulk data as a blob and its digest here.";
        /// No branch by that name or number.
        "0065" NoBranch { branch: String } => NotFound,
            "there is no branch {branch}.",
            "Create it first; it may have been discarded.";
        /// The name of a branch is taken.
        "0066" BranchExists { name: String } => Conflict,
            "the branch {name} exists already.",
            "Use another name, or discard that one first.";
        /// Other branches read through this one.
        "0067" BranchInUse { name: String, by: String } => Conflict,
            "the branch {name} is the parent of {by}.",
            "Merge or discard {by} first.";
        /// A definition that cannot be applied.
        "0068" InvalidDefinition { why: String } => Invalid,
            "the change of the state's definitions is refused: {why}.",
            "Correct it and try again.";
        /// Both sides of a merge wrote the same key.
        "0069" MergeConflict { key: String, conflicts: u64 } => Conflict,
            "the branch and its parent both changed {conflicts} key(s), the first is {key}.",
            "Look at the branch's diff, then merge with the policy `ours` or `theirs`, or write the keys on the branch to what they shall be.";
        /// A watcher did not keep up.
        "0070" WatchLagged { seq: u64 } => Busy,
            "the watcher was too slow: it has seen the changes of the records below {seq}.",
            "Go on: the following changes come from the log, none is lost.";
        /// The index cannot be used.
        "0071" Index { what: String, why: String } => Internal,
            "the ledger cannot {what}: {why}.",
            "Check the disk of the data folder. The folder of the index may be deleted while the host is down: it is rebuilt from the log.";
        /// The index takes entries more slowly than they come.
        "0072" IndexBehind { bytes: u64, why: String } => Busy,
            "the index has {bytes} bytes waiting to be stored: {why}.",
            "Try again in a moment; if it stays so, check the disk of the data folder.";
        /// Too many watch the state.
        "0073" TooManyWatchers { watchers_max: usize } => Busy,
            "{watchers_max} watchers of the state are open, no more are taken.",
            "Close some, or watch a wider range once.";
    }
}

/// Wraps an I/O error with what was being done.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> LedgerError {
    let what = what.into();
    move |error| LedgerError::Io {
        what,
        why: error.to_string(),
    }
}
