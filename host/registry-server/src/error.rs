//! What can go wrong at a registry of one's own, besides what is wrong with a capsule or its receipt.

use kinetic_model::{ErrorKind, Fault, coded_errors};

coded_errors! {
    /// Errors of the registry's server.
    pub enum ServerError ("RGS") {
        /// Not the address of a store.
        "0001" BadStoreAddress { text: String, why: String } => Invalid,
            "\"{text}\" is not a store: {why}.",
            "Write dir:PATH or s3://BUCKET/PREFIX; of S3, AWS_ENDPOINT_URL, AWS_REGION and the credentials come from the environment.";
        /// The store does not work.
        "0002" StoreFailed { what: String, why: String } => Unavailable,
            "the store cannot {what}: {why}.",
            "Check that the store is there and that this server may read and write it; then try again.";
        /// What the store holds is not what was written.
        "0003" StoreDamaged { path: String, why: String } => Integrity,
            "{path} in the store is damaged: {why}.",
            "Put it back from a copy of the store; what depends on it is not served.";
        /// The file of tokens cannot be used.
        "0004" BadTokens { path: String, why: String } => Invalid,
            "{path} does not list tokens: {why}.",
            "Mend it; `kinetic registry token` writes entries that work.";
        /// Others may read who may publish.
        "0005" TokensOpen { path: String, mode: String } => Security,
            "{path} says who may publish, and its mode is {mode}.",
            "Close it with `chmod 600 {path}`.";
        /// There is a token of that name.
        "0006" TokenExists { name: String } => Conflict,
            "there is a token named \"{name}\" already.",
            "Choose another name, or take its entry out of the file first.";
        /// No token, or one that nobody has.
        "0007" BadToken { why: String } => Unauthenticated,
            "the request carries no token that counts here: {why}.",
            "Send Authorization: Bearer and a token of this registry; its operator makes them with `kinetic registry token`.";
        /// A token without that right.
        "0008" RightMissing { name: String, right: String } => Security,
            "the token \"{name}\" has no right to {right}.",
            "Ask the registry's operator for a token with that right.";
        /// A namespace that is not the token's.
        "0009" NamespaceMissing { name: String, namespace: String } => Security,
            "the token \"{name}\" is not for namespace \"{namespace}\".",
            "Ask the registry's operator for a token of that namespace.";
        /// A quota that is used up.
        "0010" QuotaUsedUp { name: String, what: String, max: u64 } => Security,
            "with this the token \"{name}\" would have more than its {max} {what}; nothing was stored.",
            "Ask the registry's operator for more; what was published stays.";
        /// Too many publications in a minute.
        "0011" TooOften { name: String, per_minute_max: u32 } => Busy,
            "the token \"{name}\" may publish {per_minute_max} times a minute.",
            "Try again in a minute.";
        /// A body that is too large.
        "0012" BodyTooLarge { bytes_max: u64 } => TooLarge,
            "the body is larger than {bytes_max} bytes.",
            "Send less, or let the operator raise --component-bytes-max.";
        /// The body came too slowly.
        "0013" BodyTimeout { timeout_ms: u64 } => Timeout,
            "the body did not arrive within {timeout_ms} ms.",
            "Send it faster, or in one piece.";
        /// The body broke off.
        "0014" BodyBroken { why: String } => Invalid,
            "the body could not be read: {why}.",
            "Send the request again.";
        /// The body is of a type that is not read.
        "0015" UnsupportedMedia { found: String } => Invalid,
            "the body is {found}; this route reads application/json.",
            "Set Content-Type to what the body is.";
        /// The request is not of the route's form.
        "0016" BadRequest { path: String, why: String } => Invalid,
            "{path}: {why}.",
            "See the routes of a registry in the operator guide.";
        /// The manifest cannot be one of a capsule.
        "0017" BadManifest { why: String } => Conformance,
            "the manifest is refused: {why}.",
            "Build the capsule again with `kinetic build`, and publish that.";
        /// No such route.
        "0018" NoRoute { path: String } => NotFound,
            "there is nothing at {path}.",
            "The operator guide lists the routes of a registry.";
        /// The route does not know the method.
        "0019" MethodNotAllowed { method: String, path: String } => Invalid,
            "{path} does not answer {method}.",
            "The Allow header names the methods it answers.";
        /// A range beyond the end.
        "0020" NoSuchRange { size_bytes: u64 } => Invalid,
            "the range lies beyond the {size_bytes} bytes there are.",
            "Ask for bytes from 0 on.";
        /// The request took too long.
        "0021" RequestTimeout { timeout_ms: u64 } => Timeout,
            "the request took longer than {timeout_ms} ms.",
            "Try again: what was published meanwhile stays, and is not published twice.";
        /// Too many at once.
        "0022" TooMany { what: String, max: usize } => Busy,
            "{max} {what} are being worked on already.",
            "Try again in a moment.";
        /// A handler panicked.
        "0023" HandlerPanicked { } => Internal,
            "the registry failed while answering; the request was given up and others are unaffected.",
            "This is a fault of the registry: report it with the request id and its log.";
        /// The address cannot be listened on.
        "0024" ListenFailed { listen: String, why: String } => Conflict,
            "nothing can listen on {listen}: {why}.",
            "Stop what listens there, or choose another address with --listen.";
        /// Listening beyond this machine in the clear.
        "0025" TlsNeeded { listen: String } => Security,
            "{listen} can be reached from other machines, and tokens would cross the network in the clear.",
            "Name --tls-cert and --tls-key, listen on 127.0.0.1, or say --behind-proxy when a proxy in front speaks TLS.";
        /// The certificate or its key cannot be used.
        "0026" BadTls { path: String, why: String } => Invalid,
            "{path} cannot be used for TLS: {why}.",
            "Name a chain of certificates and a private key, both in PEM form.";
        /// A namespace without an index.
        "0027" NoIndex { namespace: String } => NotFound,
            "there is no index of namespace \"{namespace}\": nothing was published in it.",
            "GET /api/v1/registry/index lists the namespaces there are.";
        /// Another server wins every time.
        "0028" IndexContended { namespace: String } => Busy,
            "other servers on this store keep changing the index of \"{namespace}\".",
            "Try again in a moment; the version itself is stored.";
        /// Not a setting that can stand.
        "0029" BadSetting { name: String, why: String } => Invalid,
            "{name} cannot stand: {why}.",
            "Correct it; `kinetic registry serve --help` explains each.";
        /// No such error code.
        "0030" UnknownCode { code: String } => NotFound,
            "no error has the code {code}.",
            "GET /errors lists them all.";
        /// Nothing is left of a URN but what was yanked.
        "0035" AllYanked { urn: String, version: String, why: String } => Conflict,
            "every version of {urn} here was yanked; the highest, {version}, because: {why}.",
            "Use another capsule, or wait for its next version; who needs this one all the same pins it, as {urn}@{version} or by its digest. A lock file does so.";
        /// A permanent name.
        "0036" NameOfPromotion { what: String } => Conflict,
            "{what} is the permanent name of a promotion here, and cannot be a capsule's as well.",
            "Publish the capsule under another version, or under another URN.";
        /// A token for nowhere.
        "0037" TokenForNothing { name: String } => Invalid,
            "the token \"{name}\" is to publish or yank, and it is not said in which namespaces.",
            "Name each with --namespace, or say --all-namespaces.";
        /// A token of which nobody said what it is for.
        "0038" NamespacesUnsaid { name: String } => Security,
            "the entry of the token \"{name}\" does not say which namespaces it is for, so it is for none.",
            "Have the registry's operator write \"namespaces\" into its entry in the file of tokens: a list of them, or \"all\".";
    }
}

/// The HTTP status of a code: its kind's, but where HTTP has a more telling one.
pub(crate) fn status(code: &str, kind: ErrorKind) -> u16 {
    match code {
        // The operator's to mend: whoever publishes is to try again, and not to give up.
        "KIN-RGS-0003" | "KIN-RGS-0004" | "KIN-RGS-0005" | "KIN-IDN-0003" | "KIN-IDN-0009" | "KIN-IDN-0038" => 500,
        "KIN-RGS-0011" => 429,
        "KIN-RGS-0013" => 408,
        "KIN-RGS-0015" => 415,
        "KIN-RGS-0019" => 405,
        "KIN-RGS-0020" => 416,
        _ => kind.status(),
    }
}

/// As [`status`], of a fault.
pub(crate) fn fault_status(fault: &Fault) -> u16 {
    status(fault.code, fault.kind)
}

/// How long whoever was refused for being one too many is to wait, in seconds.
pub(crate) fn retry_after_s(fault: &Fault) -> Option<&'static str> {
    match (fault.code, fault.kind) {
        ("KIN-RGS-0011", _) => Some("60"),
        (_, ErrorKind::Busy) => Some("1"),
        _ => None,
    }
}

/// Text from outside, made fit for a message: short, and without control characters.
pub(crate) fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
