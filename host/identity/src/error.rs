//! Everything that can go wrong with keys, the trust root and receipts.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of keys, the trust root and receipts.
    pub enum IdentityError ("IDN") {
        /// A key file would be overwritten.
        "0001" KeyFileExists { path: String } => Conflict,
            "{path} exists already, and a key is never overwritten.",
            "Choose another path, or move the old key away first.";
        /// There is no key file.
        "0002" KeyFileMissing { path: String } => NotFound,
            "there is no signing key at {path}.",
            "Make one with `kinetic keys new`, or name the right file.";
        /// Others than the owner may read or change a file that must be private.
        "0003" FileTooOpen { path: String, mode: String } => Security,
            "{path} has mode {mode}: others than its owner can get at it.",
            "Run `chmod 600 {path}`; if others may have used it, make a new key.";
        /// The key file holds no Ed25519 key.
        "0004" KeyFileMalformed { path: String, why: String } => Invalid,
            "{path} is not an Ed25519 key in PKCS#8 PEM: {why}.",
            "Make one with `kinetic keys new` or `openssl genpkey -algorithm ed25519`.";
        /// The text is not a public key.
        "0005" BadPublicKey { text: String, why: String } => Invalid,
            "\"{text}\" is not a public key: {why}.",
            "Write ed25519: and the base64 of the 32 bytes, as `kinetic keys show` prints it.";
        /// The operating system gave no random bytes.
        "0006" NoRandomness { why: String } => Internal,
            "the operating system gave no random bytes: {why}.",
            "Check that the process may use getrandom; a key made without it would not be secret.";
        /// A file could not be read.
        "0007" FileUnreadable { path: String, why: String } => Internal,
            "{path} cannot be read: {why}.",
            "Check that the path is right and that this user may read it.";
        /// A file could not be written.
        "0008" FileUnwritable { path: String, why: String } => Internal,
            "{path} cannot be written: {why}. Nothing was changed.",
            "Check that the folder exists, has room, and that this user may write there.";
        /// The trust root does not parse.
        "0009" TrustRootMalformed { path: String, why: String } => Invalid,
            "the trust root {path} is malformed: {why}.",
            "Repair the file, or move it away and add the keys again with `kinetic keys trust`.";
        /// Not a URN namespace.
        "0010" BadNamespace { namespace: String } => Invalid,
            "\"{namespace}\" is not a URN namespace.",
            "Use lower-case letters, digits and underscores, as in the second part of a URN.";
        /// The key is not in the trust root.
        "0011" KeyNotTrusted { namespace: String, key_id: String } => NotFound,
            "namespace \"{namespace}\" lists no key {key_id}.",
            "See what it lists with `kinetic keys list`.";
        /// The trust root is full.
        "0012" TooManyKeys { namespace: String, keys_max: usize } => Conflict,
            "namespace \"{namespace}\" lists {keys_max} keys already, the most it may.",
            "Remove keys that are no longer used.";
        /// The document is not JSON.
        "0013" JsonMalformed { why: String } => Invalid,
            "the document is not JSON: {why}.",
            "Send one well-formed JSON document in UTF-8.";
        /// An object names a member twice.
        "0014" JsonDuplicateKey { key: String } => Invalid,
            "the document names \"{key}\" twice in one object, so readers could disagree about its meaning.",
            "Keep one of the two.";
        /// Nested too deeply.
        "0015" JsonTooDeep { depth_max: usize } => Invalid,
            "the document nests deeper than {depth_max} levels.",
            "Flatten it.";
        /// The receipt is larger than any honest one.
        "0016" ReceiptTooLarge { size_bytes: usize, bytes_max: usize } => TooLarge,
            "the receipt has {size_bytes} bytes; at most {bytes_max} are read.",
            "List fewer source digests, or sign the digest of a list.";
        /// The receipt's shape is wrong.
        "0017" ReceiptMalformed { why: String } => Invalid,
            "the receipt is malformed: {why}.",
            "Build and sign the capsule again with `kinetic build`.";
        /// The envelope carries something else than an in-toto statement.
        "0018" UnknownPayloadType { found: String } => Security,
            "the receipt's payloadType is \"{found}\", which this host does not know.",
            "Sign an in-toto statement: payloadType application/vnd.in-toto+json.";
        /// The statement is of another version.
        "0019" UnknownStatementType { found: String } => Security,
            "the receipt's _type is \"{found}\", which this host does not know.",
            "Use https://in-toto.io/Statement/v1.";
        /// The statement says something else than how the component was built.
        "0020" UnknownPredicateType { found: String } => Security,
            "the receipt's predicateType is \"{found}\", which says nothing about a build.",
            "Use https://slsa.dev/provenance/v1.";
        /// The build is described by rules this host does not know.
        "0021" UnknownBuildType { found: String } => Security,
            "the receipt's buildType is \"{found}\", whose parameters this host cannot check.",
            "Build and sign the capsule with `kinetic build`.";
        /// Nobody signed.
        "0022" NoSignature { } => Security,
            "the receipt carries no signature.",
            "Sign it with a key that the trust root lists for the URN's namespace.";
        /// More signatures than the host is willing to check.
        "0023" TooManySignatures { found: usize, signatures_max: usize } => Invalid,
            "the receipt carries {found} signatures; at most {signatures_max} are checked.",
            "Keep the signature of a key that the namespace lists.";
        /// The trust root lists nobody for the namespace.
        "0024" NamespaceUntrusted { namespace: String } => Security,
            "the trust root lists no key for namespace \"{namespace}\", so nobody may sign for it.",
            "If you trust its author, add the key with `kinetic keys trust {namespace} <public key>`.";
        /// The signature is good, but its key speaks for another namespace.
        "0025" WrongNamespace { namespace: String, key_id: String, theirs: String } => Security,
            "the receipt is signed by key {key_id}, which is trusted for namespace \"{theirs}\" and not for \"{namespace}\".",
            "Publish under a namespace of that key, or trust the key for \"{namespace}\" too.";
        /// A listed key's signature does not fit the payload.
        "0026" BadSignature { key_id: String } => Integrity,
            "the signature that names key {key_id} does not fit the receipt: one of the two was changed after signing.",
            "Fetch the receipt again from its author, or sign again.";
        /// No signature is by a key that the namespace lists.
        "0027" SignerUntrusted { namespace: String, key_ids: String } => Security,
            "the receipt's signatures (key {key_ids}) are by no key that namespace \"{namespace}\" lists.",
            "If you trust the signer, add its public key with `kinetic keys trust {namespace} <public key>`.";
        /// The receipt is about something else.
        "0028" SubjectMismatch { field: String, expected: String, found: String } => Integrity,
            "the receipt is about something else: its {field} is {found}, what is here has {expected}.",
            "Build again, so that receipt, manifest and component come from one build.";
        /// The text is not a key's short name.
        "0029" BadKeyId { text: String } => Invalid,
            "\"{text}\" is not a key id.",
            "Write the 16 hexadecimal digits that `kinetic keys list` prints.";
        /// A signed note cannot be made or does not hold.
        "0030" BadNote { why: String } => Integrity,
            "the signed note is refused: {why}.",
            "Get it again from the host that signed it, and name that host's key.";
    }
}

/// A bounded copy of text from outside, so that an error never carries a document.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}
