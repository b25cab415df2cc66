//! Everything that can go wrong between a URN and its bytes.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of stores, sources and downloads.
    pub enum RegistryError ("REG") {
        /// No such capability, version or component.
        "0001" NotFound { what: String, origin: String } => NotFound,
            "{origin} holds no {what}.",
            "Check the name with `kinetic list`, or publish it with `kinetic publish`.";
        /// A version is there already with other content.
        "0002" VersionTaken { urn: String, version: String } => Conflict,
            "{urn} has a version {version} already, with other content; a published version never changes.",
            "Bump the version in manifest.json and publish again.";
        /// Larger than a bound.
        "0003" TooLarge { what: String, size_bytes: u64, bytes_max: u64 } => TooLarge,
            "{what} has {size_bytes} bytes; at most {bytes_max} are accepted.",
            "Make it smaller, or let the operator raise the bound.";
        /// The descriptor contradicts itself or does not parse.
        "0004" BadDescriptor { why: String } => Invalid,
            "the descriptor is malformed: {why}.",
            "Build the capsule again with `kinetic build` and publish it anew.";
        /// Fewer bytes than the descriptor says.
        "0005" Truncated { origin: String, expected_bytes: u64, found_bytes: u64 } => Integrity,
            "{origin} delivered {found_bytes} of {expected_bytes} bytes and stopped.",
            "Try again; if it stays so, the registry's copy is damaged and must be published anew.";
        /// More bytes than the descriptor says.
        "0006" LongerThanPromised { origin: String, expected_bytes: u64 } => Integrity,
            "{origin} delivers more than the {expected_bytes} bytes its descriptor promises; the download was stopped.",
            "Do not use this registry before its operator has found out why.";
        /// Other bytes than the descriptor says.
        "0007" DigestMismatch { origin: String, expected: String, found: String } => Integrity,
            "{origin} delivered {found} where its descriptor promises {expected}.",
            "Try again; if it stays so, the registry's copy is damaged or was tampered with.";
        /// The bytes come too slowly.
        "0008" Stalled { origin: String, bytes_min: u64, window_ms: u64 } => Timeout,
            "{origin} delivered less than {bytes_min} bytes in {window_ms} ms; the download was stopped.",
            "Try again when the network or the registry is faster.";
        /// No room.
        "0009" StoreFull { path: String } => Internal,
            "the disk under {path} is full; nothing was stored.",
            "Free some space and publish again.";
        /// The store's folder does not work.
        "0010" StoreFailed { path: String, why: String } => Internal,
            "the store cannot use {path}: {why}.",
            "Check that the folder exists and that this user may read and write it.";
        /// A file of the store is not what it was when it was stored.
        "0011" StoreDamaged { path: String, why: String } => Integrity,
            "the store's file {path} is damaged: {why}.",
            "Publish the capsule again; if that is refused, remove the file first.";
        /// The registry's address cannot be used.
        "0012" BadBaseUrl { text: String, why: String } => Invalid,
            "\"{text}\" is not the address of a registry: {why}.",
            "Write http:// or https:// and the host, without user, query or fragment.";
        /// The token cannot be sent.
        "0013" BadToken { } => Invalid,
            "the bearer token holds characters that a header cannot carry.",
            "Copy the token again, without line breaks.";
        /// The HTTP client could not be made.
        "0014" ClientFailed { why: String } => Internal,
            "the HTTP client could not be made: {why}.",
            "For https, check that the machine has its CA certificates installed.";
        /// The registry cannot be reached, or the connection broke.
        "0015" Unreachable { origin: String, why: String } => Unavailable,
            "{origin} cannot be reached: {why}.",
            "Check the registry's address and that it runs.";
        /// The registry did not answer in time.
        "0016" SourceTimeout { origin: String } => Timeout,
            "{origin} did not answer in time.",
            "Try again; if it stays so, check the registry and the network.";
        /// The registry points elsewhere.
        "0017" Redirected { origin: String, location: String } => Security,
            "{origin} redirects to {location}, and redirects are not followed.",
            "If you trust that place, configure it as the registry.";
        /// The answer is not that of a registry.
        "0018" NotAnAnswer { origin: String, why: String } => Unavailable,
            "{origin} did not answer like a registry: {why}.",
            "Check that the address is a registry's.";
        /// The answer is about something else than was asked.
        "0019" OtherThanAsked { origin: String, asked: String, found: String } => Integrity,
            "{origin} was asked for {asked} and answered with {found}.",
            "Do not use this registry before its operator has found out why.";
        /// The registry wants to know who asks.
        "0020" SourceUnauthenticated { origin: String, code: String, detail: String } => Unauthenticated,
            "{origin} wants a bearer token it knows: {detail} ({code}).",
            "Configure the registry's token.";
        /// The registry says no.
        "0021" SourceForbids { origin: String, code: String, detail: String } => Security,
            "{origin} refuses: {detail} ({code}).",
            "Ask the registry's operator for the right, or sign with a key that is trusted there.";
        /// The registry holds something that is in the way.
        "0022" SourceConflict { origin: String, code: String, detail: String } => Conflict,
            "{origin} refuses: {detail} ({code}).",
            "Bump the version in manifest.json and publish again.";
        /// The registry does not accept the request.
        "0023" SourceRefuses { origin: String, status: u16, code: String, detail: String } => Conformance,
            "{origin} refuses with {status}: {detail} ({code}).",
            "Repair what the registry names and try again.";
        /// The registry itself failed.
        "0024" SourceFailed { origin: String, status: u16, code: String, detail: String } => Unavailable,
            "{origin} failed with {status}: {detail} ({code}).",
            "Try again later; if it stays so, tell the registry's operator.";
    }
}

/// A bounded copy of text from outside, without control characters: it may end up on a terminal.
pub(crate) fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
