//! Everything that can go wrong between a URN and its bytes.

use kinetic_identity::IdentityError;
use kinetic_model::{Coded as _, coded_errors};

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
            "Write https:// (http:// on this machine) and the host, of a registry also oci://HOST or dir:PATH, without user, query or fragment.";
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
            "{origin} wants to know who asks: {detail} ({code}).",
            "A host takes the token from --token-file or KINETIC_TOKEN; for a registry log in with `docker login`, or name a variable with --token-env: `kinetic registry list` says whose are used.";
        /// The registry says no.
        "0021" SourceForbids { origin: String, code: String, detail: String, fix: String } => Security,
            "{origin} refuses: {detail} ({code}).",
            "The registry's own advice: {fix}";
        /// The registry holds something that is in the way.
        "0022" SourceConflict { origin: String, code: String, detail: String, fix: String } => Conflict,
            "{origin} refuses: {detail} ({code}).",
            "The registry's own advice: {fix}";
        /// The registry does not accept the request.
        "0023" SourceRefuses { origin: String, status: u16, code: String, detail: String, fix: String } => Conformance,
            "{origin} refuses with {status}: {detail} ({code}).",
            "The registry's own advice: {fix}";
        /// The registry itself failed.
        "0024" SourceFailed { origin: String, status: u16, code: String, detail: String } => Unavailable,
            "{origin} failed with {status}: {detail} ({code}).",
            "Try again later; if it stays so, tell the registry's operator.";
        /// A URN that OCI's grammar of names has no place for.
        "0025" NoOciName { urn: String, why: String } => Conformance,
            "{urn} cannot be kept in an OCI registry: {why}.",
            "Name it by words of letters and digits with one or two underscores between them, or use a registry of another kind.";
        /// A registry that has no list of what it holds.
        "0026" CannotList { origin: String } => Unavailable,
            "{origin} does not say which capsules it holds: OCI registries have no such list.",
            "Ask it for a URN.";
        /// A registry that cannot be one.
        "0027" BadRegistry { name: String, why: String } => Invalid,
            "the registry \"{name}\" cannot be used: {why}.",
            "`kinetic help registry` shows what can be said of one.";
        /// The file of registries cannot be used.
        "0028" BadRegistryFile { path: String, why: String } => Invalid,
            "{path} does not list registries: {why}.",
            "Mend it, or remove it and add the registries again with `kinetic registry add`.";
        /// A name that is given already.
        "0029" RegistryExists { name: String } => Conflict,
            "there is a registry \"{name}\" already.",
            "Choose another name, or `kinetic registry remove {name}` first.";
        /// A name that no registry has.
        "0030" NoSuchRegistry { name: String } => NotFound,
            "there is no registry \"{name}\" here.",
            "`kinetic registry list` shows those there are; `kinetic registry add` makes one known.";
        /// A namespace that belongs to others.
        "0031" NotForNamespace { name: String, namespace: String, why: String } => Security,
            "the registry \"{name}\" is not for namespace \"{namespace}\": {why}.",
            "Use the registry it is given to, or change who has it: `kinetic registry remove` and `add` with --namespace.";
        /// Two registries hold different things under one name.
        "0032" Shadowed { what: String, first: String, first_digest: Box<str>, second: String, second_digest: Box<str> } => Security,
            "{what} is {first_digest} in {first}, and {second_digest} in {second}; neither is used.",
            "Find out which is right; then give its namespace to that registry with --namespace, or pin the digest.";
        /// Credentials that should be there and are not.
        "0033" NoCredentials { origin: String, why: String } => Invalid,
            "there are no credentials for {origin}: {why}.",
            "Log in anew with `docker login`, or name a variable that holds them with --token-env.";
        /// A file of certificates that is none.
        "0034" BadCaFile { path: String, why: String } => Invalid,
            "{path} holds no certificates to trust: {why}.",
            "Name a file of certificates in PEM form with --ca.";
        /// The registry points to an address that it has no business with.
        "0035" LeadsInside { origin: String, location: String } => Security,
            "{origin} points to {location}, which is not https, or an address that it may not lead to.",
            "Do not use this registry before its operator has found out why.";
        /// What is there is no capsule.
        "0036" NotACapsule { origin: String, what: String, why: String } => Conformance,
            "what {origin} holds as {what} is no capsule: {why}.",
            "Push it with `kinetic publish`, under a version that is free.";
        /// The answer was encoded, which nobody asked for.
        "0050" Encoded { origin: String, encoding: String } => Security,
            "{origin} sends its answer encoded as \"{encoding}\"; nothing is decoded here, so that no answer grows.",
            "Have the registry, or the proxy before it, send components and JSON as they are.";
        /// A version that the signed index of its namespace does not list.
        "0060" NotInIndex { what: String, origin: String, version: u64 } => Security,
            "{origin} offers {what}, which version {version} of the index of its namespace does not list.",
            "Have the owner of the namespace list it (`kinetic registry index`), or use a version that is listed.";
        /// The owner of the namespace took it back.
        "0061" Yanked { what: String, origin: String, why: String } => Conflict,
            "{what} at {origin} was yanked by the owner of its namespace: {why}.",
            "Use another version; who needs this one all the same pins it: URN@VERSION.";
        /// What a registry holds is not what the signed index says of the version.
        "0062" NotAsIndexed { what: String, origin: String, part: String, listed: Box<str>, found: Box<str> } => Integrity,
            "the {part} of {what} at {origin} is {found}, and the index of its namespace lists {listed}.",
            "Do not use this registry before its operator has found out why.";
        /// A registry without an index of a namespace that has index keys.
        "0063" NoIndex { namespace: String, origin: String } => Security,
            "the root document of \"{namespace}\" names index keys, and {origin} has no index of it.",
            "Have the owner put one up with `kinetic registry index {namespace}`, or ask another registry.";
        /// A registry that hides what its index lists.
        "0064" IndexedMissing { what: String, origin: String, version: u64 } => Integrity,
            "{origin} does not hold {what}, the newest that version {version} of the index of its namespace lists.",
            "Ask another registry, publish it there again, or pin an older version.";
        /// An index that is not believed.
        "0065" IndexRefused { origin: String, code: String, error: Box<IdentityError>, fix: String } => Security,
            "what {origin} answers as its index is refused: {code}: {error}",
            "Its own advice: {fix}";
        /// What was last seen of an index cannot be read.
        "0066" IndexStateDamaged { path: String, why: String } => Integrity,
            "{path}, which remembers the index that was seen last, is damaged: {why}.",
            "Put it back from a copy. Removing it lets the next index pass as the first one, however old: do that only if you have compared it with its owner's.";
        /// A registry that takes no index.
        "0067" TakesNoIndex { origin: String } => Conflict,
            "{origin} takes no index: a registry behind HTTP signs its own.",
            "Put indexes up at registries of kind dir: and oci:.";
        /// A version to yank that is not listed.
        "0068" NotListed { what: String, namespace: String } => NotFound,
            "the index of \"{namespace}\" would not list {what}.",
            "Name a version that the registry holds; of an OCI registry name new URNs with --urn.";
        /// A permanent name that another topology has.
        "0070" PromotionTaken { what: String, origin: String, there: String, digest: String } => Conflict,
            "{what} is {there} in {origin} already, and not {digest}; what has a permanent name never changes.",
            "Crystallize it under the next version, or under another URN.";
        /// What is there is no promotion.
        "0071" BadPromotion { origin: String, what: String, why: String } => Conformance,
            "what {origin} holds as {what} is no promotion: {why}.",
            "Crystallize it under a version that is free; a damaged file in a folder can be removed first.";
    }
}

impl RegistryError {
    /// Whether nobody was reached: no answer of any kind came.
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::SourceTimeout { .. })
    }

    /// That an index, or the keys that count for it, are not believed, with the reason's own code and fix.
    pub(crate) fn index_refused(origin: &str, error: IdentityError) -> Self {
        Self::IndexRefused {
            origin: origin.to_string(),
            code: error.code().to_string(),
            fix: error.fix(),
            error: Box::new(error),
        }
    }
}

/// A bounded copy of text from outside, without control characters: it may end up on a terminal.
pub(crate) fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
