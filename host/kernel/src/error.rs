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
        /// A step that a capsule's life does not have.
        "0012" NoSuchTransition { what: String, from: String, to: String } => Conflict,
            "{what} is {from}, and cannot become {to}.",
            "Look with `kinetic ps` how it stands; somebody may have been faster.";
        /// Nothing answers the URN.
        "0013" NotActive { what: String } => NotFound,
            "{what} is not active on this host.",
            "Publish it, or call it once so that it is fetched; `kinetic ps` shows what is active.";
        /// The version is active already.
        "0014" SwapToItself { what: String, version: String } => Conflict,
            "{what} {version} is active already.",
            "Name another version; `kinetic list` and the registry show which there are.";
        /// A version takes something away.
        "0015" InterfaceBroken { what: String, version: String, why: String } => Conformance,
            "{what} {version} does not offer what the active version offers: {why}.",
            "Keep every function as it is, or publish it under the next major, as another URN.";
        /// A version answers recorded calls otherwise.
        "0016" ShadowDiffers { what: String, version: String, differences: u64, calls: u64, first: String } => Conformance,
            "{what} {version} answers {differences} of {calls} recorded calls otherwise; the first: {first}.",
            "If that is meant, swap with --accept-differences; else correct the version.";
        /// Calls did not end in time.
        "0017" DrainTimeout { what: String, calls: u64, drain_ms: u64 } => Busy,
            "{calls} calls of {what} did not end within {drain_ms} ms; it goes on as before.",
            "Try again when it is less busy, or raise kernel.drain_ms.";
        /// State would be lost.
        "0018" StateLost { what: String, why: String } => Conflict,
            "the state of {what} cannot be handed over: {why}.",
            "Export kinetic:capsule/lifecycle from both versions, or swap with --discard-state to begin without it.";
        /// A version cannot read the state.
        "0019" StateRefused { what: String, version: String, why: String } => Conformance,
            "{what} {version} did not take the state over: {why}.",
            "Make the version read the state of the one before it; --discard-state begins without it.";
        /// There is nothing to go back to.
        "0020" NoFormer { what: String } => Conflict,
            "{what} had no version before the active one.",
            "Name a version with `kinetic swap --to`.";
        /// It failed when it was tried.
        "0021" ProbationFailed { what: String, version: String, why: String } => Conformance,
            "{what} {version} failed on probation and the version before is back: {why}.",
            "Correct it and publish another version; `kinetic quarantine release` gives the same bytes another chance.";
        /// Somebody suspended it.
        "0022" Suspended { what: String, why: String } => Busy,
            "{what} is suspended: {why}.",
            "Wait, or let calls in again with `kinetic resume`.";
        /// The swap did not come to its end.
        "0023" SwapStopped { why: String } => Internal,
            "the swap stopped: {why}.",
            "Look with `kinetic ps` which version is active, then try again.";
        /// It failed too often.
        "0024" TooManyStrikes { what: String, strikes: u32, why: String } => Conformance,
            "{what} failed {strikes} times in a row and is quarantined; the last time: {why}.",
            "Publish a corrected version; `kinetic quarantine release` gives the same bytes another chance.";
        /// The key is not trusted any more.
        "0025" Revoked { what: String, key: String } => Security,
            "{what} was signed with {key}, which is not trusted any more.",
            "Publish it again with a key that is, or trust the key again with `kinetic keys trust`.";
        /// Nothing of that digest is quarantined.
        "0026" NotQuarantined { digest: String } => NotFound,
            "nothing with digest {digest} is quarantined.",
            "`kinetic quarantine list` shows what is.";
        /// An override without a good signature.
        "0027" OverrideRefused { digest: String, why: String } => Security,
            "the override for {digest} does not hold: {why}.",
            "Sign it with a key that this host trusts for the capsule's namespace: `kinetic quarantine release`.";
        /// A version took over meanwhile, several times.
        "0028" Moving { what: String } => Busy,
            "{what} was being replaced all the time the call waited.",
            "Call again.";
    }
}
