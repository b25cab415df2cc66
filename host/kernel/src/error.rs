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
            "{what} was signed with {key}, which is not trusted any more, or not enough.",
            "Publish it again with keys that are; `kinetic keys show` and `kinetic trust root show` list them.";
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
        /// Nothing that can be looked for.
        "0030" BadSearch { why: String } => Invalid,
            "the search cannot be made: {why}.",
            "Ask with 1 to 16 different words in at most 1024 bytes, for 1 to 100 results.";
        /// No room for another capsule in the search.
        "0031" SearchFull { what: String, count_max: usize } => Conflict,
            "the search holds {count_max} {what} and takes no more.",
            "What is left out can still be called by its URN; take capsules that nobody needs out of the store.";
        /// No node may run it.
        "0032" NoPlace { what: String, why: String } => Busy,
            "{what} was not activated, as no node may run it now: {why}.",
            "Change what its manifest asks for under placement, or the host's [node] and [placement]; memory comes back as calls end.";
        /// A trigger and its function do not fit.
        "0033" TriggerMisfit { trigger: String, function: String, why: String } => Conformance,
            "manifest.json has the trigger {trigger} call {function}, which cannot be: {why}.",
            "Name a function that takes what the trigger gives: an event's data for a topic, nothing for the clock.";
        /// Policies that cannot be read.
        "0037" PolicyFile { place: String, why: String } => Invalid,
            "{place}: {why}.",
            "Correct the file that kernel.policies names; \"Who may use whom\" in the operator guide shows what policies look like. Nothing starts without them.";
        /// A policy says no.
        "0038" PolicyRefused { what: String, doing: String, why: String } => Security,
            "{what} may not {doing}: {why}.",
            "Change the capsule, or have the operator change the file that kernel.policies names.";
        /// Nobody provides what a capsule requires.
        "0039" Unmet { what: String, why: String } => Conflict,
            "what {what} requires is not to be had: {why}.",
            "Publish a capsule that provides it, or change what stands against the one that does.";
        /// A capsule needs too much.
        "0040" TooEntangled { what: String, counted: String, max: usize } => Conformance,
            "there are too many {counted} behind {what}: {max} is the most.",
            "Let it require less, or put capsules together first with `kinetic compose`.";
        /// A composition that composes nothing.
        "0041" NothingPlugged { what: String, offers: String, asks: String } => Conformance,
            "nothing of {what} fits: it exports {offers}, and {asks} is asked for.",
            "Leave it out, or name a capsule that exports what the others import.";
        /// Capsules that do not go together.
        "0042" NotComposable { what: String, why: String } => Conflict,
            "{what} cannot be composed: {why}.",
            "Change one of the capsules, or let the host bind them when they are published.";
        /// The zones' pools do not fit into the pool of sandboxes.
        "0043" ZonesTooLarge { calls: u64, available: u32, sandboxes: u32, residents: u32 } => Invalid,
            "the zones may run {calls} calls at once, but of {sandboxes} sandboxes {residents} are kept for instances that stay and {available} are left.",
            "Lower zones.NAME.calls_running_max (0 leaves it to the host), or raise engine.pool_instances; 5 are the least.";
        /// Too many wait.
        "0044" QueueFull { zone: String, tenant: String, calls: u32 } => Busy,
            "{calls} calls already wait for a slot of zone \"{zone}\", and too many of them are of tenant {tenant}.",
            "Call less at once and try again in a moment; an operator sees with `kinetic zones` who has the slots.";
        /// No slot in time.
        "0045" WaitedTooLong { zone: String, tenant: String, wait_ms_max: u64, why: String } => Busy,
            "a call of tenant {tenant} waited {wait_ms_max} ms for a slot of zone \"{zone}\": {why}.",
            "Try again in a moment; an operator sees with `kinetic zones` who has the slots and what the quotas are.";
        /// It never fits into the tenant's quota.
        "0046" CallTooLarge { tenant: String, memory_bytes: u64, memory_bytes_max: u64 } => Budget,
            "the call may use {memory_bytes} bytes of memory, and all calls of tenant {tenant} together {memory_bytes_max}.",
            "Lower limits.memory_bytes in manifest.json or with `kinetic limits`, or raise the tenant's memory_bytes_max.";
        /// No room for calls that calls make.
        "0047" NestedFull { tenant: String, why: String } => Busy,
            "a call of tenant {tenant} may not make a call itself now: {why}.",
            "Try again in a moment, or raise the tenant's memory_bytes_max; calls within calls take no slots of the zones.";
        /// The capsule requires no such interface.
        "0048" NoSuchRequirement { what: String, interface: String, has: String } => NotFound,
            "{what} does not require {interface}; it requires {has}.",
            "Name one of those; `kinetic ps` shows who provides them.";
        /// A capsule cannot provide the interface to this one.
        "0049" BindRefused { what: String, interface: String, provider: String, why: String } => Conflict,
            "{provider} cannot provide {interface} to {what}: {why}.",
            "Name another provider; `kinetic search` finds who offers an interface.";
        /// The host's own part is not for that.
        "0050" PartOfHost { what: String } => Conflict,
            "{what} is a part of the host: only the host calls it, and it is neither suspended nor limited.",
            "Put another version in its place with `kinetic swap`; `kinetic ps` shows how it does.";
        /// There is no such part, or nobody uses it now.
        "0051" NotAPart { what: String } => Unavailable,
            "{what} is no part of this host, or one that is switched off or did not start.",
            "Look at the host's log; the parts of telemetry need telemetry.enabled = true.";
        /// A capsule that cannot be this part.
        "0052" PartUnfit { what: String, version: String, why: String } => Conformance,
            "{what} {version} cannot be this part of the host: {why}.",
            "Correct its manifest and what it exports; the operator guide says what a part needs.";
        /// A part that failed for good.
        "0053" PartFailed { what: String, version: String, why: String } => Conformance,
            "{what} {version} failed too often as a part of the host, and another version took its place: {why}.",
            "Correct it and publish another version; `kinetic quarantine release` gives the same bytes another chance.";
        /// A watched capsule folder that is not whole.
        "0057" WatchUnfit { entry: String, why: String } => Conformance,
            "{entry} in the watched folders was left alone: {why}.",
            "A capsule folder holds component.wasm, manifest.json and receipt.json of one version; `kinetic publish PATH --into FOLDER` writes them.";
        /// A watched folder that is not there, or too full.
        "0058" WatchLost { folder: String, why: String } => Unavailable,
            "the watched folder {folder} is not looked at whole: {why}.",
            "Check that it exists and that the host may read it, or take what is not needed out of it; it is looked for again.";
        /// The task that made a call ended without a result.
        "0063" CallLost { } => Internal,
            "the call ended without a result.",
            "Try again; if it stays so, tell the host's operator, whose log says more.";
        /// The outbox takes no more.
        "0064" OutboxFull { what: String, count: u64, count_max: u64 } => Busy,
            "the outbox would hold {count} {what}, and {count_max} are the most.",
            "Wait until more is delivered, drop what is dead (`kinetic outbox`), or raise outbox.{what}_max.";
        /// There is no such entry.
        "0065" NoOutboxEntry { id: String } => NotFound,
            "the outbox has no entry {id}.",
            "`kinetic outbox` lists those there are.";
        /// This host delivers nothing.
        "0066" NoOutbox { why: String } => Unavailable,
            "this host has no outbox: {why}.",
            "Ask a host that `kinetic up` started.";
        /// It is too late for that.
        "0067" OutboxDelivered { what: String, registry: String, done: String } => Conflict,
            "{what} was delivered to {registry}, and cannot be {done}.",
            "Nothing is left to do; `kinetic outbox` shows what waits.";
        /// The outbox cannot be read or written.
        "0068" OutboxFailed { why: String } => Internal,
            "the outbox does not work: {why}.",
            "It was written by a newer version, or damaged: use the newest kinetic, then `kinetic verify`.";
        /// It was tried for too long.
        "0069" OutboxGaveUp { what: String, registry: String, tried_ms: u64, why: String } => Timeout,
            "{what} was not delivered to {registry} in {tried_ms} ms; the last time: {why}",
            "Mend what stands in the way, then `kinetic outbox retry` it; or `kinetic outbox drop` it.";
        /// This host promotes nothing.
        "0074" NoCrystallization { why: String } => Unavailable,
            "this host cannot crystallize: {why}.",
            "Ask a host that `kinetic up` started.";
        /// An event that a topology cannot be made from.
        "0075" NotAnEpisode { id: String, why: String } => NotFound,
            "this host's ledger has no event {id} that a topology can be made from: {why}.",
            "Name calls by the receipt_id of their answers; `kinetic receipt` shows one.";
        /// What is asked for cannot be promoted.
        "0076" BadCrystallization { why: String } => Invalid,
            "the topology cannot be crystallized: {why}.",
            "`kinetic help crystallize` shows what is needed.";
        /// The receipt's provenance is missing or malformed, and it is required.
        "0085" ProvenanceMissing { what: String, why: String } => Security,
            "the receipt of {what} does not say well how it was built: {why}",
            "Build it with `kinetic build` and sign it again; or ask less of receipts with kernel.provenance.";
        /// The receipt names a builder that is not listed.
        "0086" BuilderForbidden { what: String, builder: String } => Security,
            "{what} was built by {builder}, which is not among the builders that this host takes.",
            "Have one of those build it; or list its id in kernel.builders.";
        /// The receipt names a source that is not listed, or none.
        "0087" SourceForbidden { what: String, source: String } => Security,
            "{what} was built from {source}, which is not among the sources that this host takes.",
            "Build it in a checkout of one of those; or list its repository, or what is above it, in kernel.sources.";
        /// The receipt names no digest over the capsule folder, and one is required.
        "0088" FolderUnattested { what: String } => Security,
            "the receipt of {what} names no digest over its whole capsule folder.",
            "Build and sign it again with a newer kinetic; or set kernel.provenance to \"required\".";
    }
}
