//! What can go wrong on the way from a URN to an active capsule.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of manifests, admission and resolution.
    pub enum KernelError ("KER") {
        /// The manifest is not JSON of the schema.
        "0001" ManifestSyntax { path: String, why: String } => Conformance,
            "manifest.json at {path}: {why}.",
            "Correct it; `kinetic manifest schema` prints what is allowed.";
        /// The manifest contradicts itself.
        "0002" ManifestRule { path: String, why: String } => Conformance,
            "manifest.json at {path}: {why}.",
            "Correct the manifest and publish it again.";
        /// The manifest is not of the capsule it came with.
        "0003" ManifestMismatch { field: String, says: String, expected: String } => Integrity,
            "manifest.json says {field} is {says}, the registry said {expected}.",
            "The registry mixes up capsules or somebody tampered; publish again from the author's machine.";
        /// The manifest claims what the component lacks.
        "0004" ManifestLies { claim: String, has: String } => Conformance,
            "manifest.json claims {claim}, but the component has only: {has}.",
            "Make the manifest's provides and functions match what the component exports.";
        /// Nothing in it can be called.
        "0005" NothingToCall { why: String } => Conformance,
            "the component exports no function that can be called with values: {why}.",
            "Export at least one function over WIT value types.";
        /// The zone is reserved.
        "0006" ZoneReserved { urn: String, claim: String } => Security,
            "{urn} claims {claim}, which this host reserves for its own namespaces.",
            "Use trust_zone \"tenant\" and governance tier \"extension\" or lower.";
        /// Nothing by that name anywhere.
        "0007" NotFound { what: String, places: String } => NotFound,
            "no capsule {what} in {places}.",
            "Check the URN with `kinetic list`, or publish it first.";
        /// It failed before and its bytes have not changed.
        "0008" Quarantined { what: String, digest: String, code: String, why: String } => Security,
            "{what} ({digest}) is quarantined: {code} {why}",
            "Its bytes have not changed since, so it would fail again: publish a corrected version.";
        /// The digest asked for is not what the version has.
        "0009" PinMismatch { what: String, found: String } => Integrity,
            "{what} was asked for, but the registry has {found}.",
            "Pin the digest that `kinetic inspect` shows, or drop the pin.";
        /// The quarantine cannot be written.
        "0010" QuarantineFailed { why: String } => Internal,
            "a refused capsule could not be recorded: {why}.",
            "Check that the data folder is writable and has room.";
        /// A receipt in the log is not one of this host's.
        "0011" BadReceipt { seq: u64, why: String } => Integrity,
            "the receipt of record {seq} cannot be read: {why}.",
            "It was written by a newer version, or damaged: use the newest kinetic, then `kinetic verify`.";
    }
}
