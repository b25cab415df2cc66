//! Everything that can go wrong with keys, the trust root and receipts.

use kinetic_model::coded_errors;

use crate::{DocumentKind, Role};

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
        "0018" UnknownPayloadType { document: DocumentKind, found: String } => Security,
            "the payloadType of the {document} is \"{found}\", which this host does not know.",
            "Sign an in-toto statement: payloadType application/vnd.in-toto+json.";
        /// The statement is of another version.
        "0019" UnknownStatementType { document: DocumentKind, found: String } => Security,
            "the _type of the {document} is \"{found}\", which this host does not know.",
            "Use https://in-toto.io/Statement/v1.";
        /// The statement says something else than its kind of document does.
        "0020" UnknownPredicateType { document: DocumentKind, found: String, known: String } => Security,
            "the predicateType of the {document} is \"{found}\", and not {known}.",
            "Use {known}.";
        /// The build is described by rules this host does not know.
        "0021" UnknownBuildType { found: String } => Security,
            "the receipt's buildType is \"{found}\", whose parameters this host cannot check.",
            "Build and sign the capsule with `kinetic build`.";
        /// Nobody signed.
        "0022" NoSignature { } => Security,
            "the envelope carries no signature.",
            "Sign it with a key that the trust root lists for the URN's namespace.";
        /// More signatures than the host is willing to check.
        "0023" TooManySignatures { found: usize, signatures_max: usize } => Invalid,
            "the envelope carries {found} signatures; at most {signatures_max} are checked.",
            "Keep the signature of a key that the namespace lists.";
        /// The trust root lists nobody for the namespace.
        "0024" NamespaceUntrusted { namespace: String } => Security,
            "the trust root lists no key for namespace \"{namespace}\", so nobody may sign for it.",
            "If you trust its author, add the key with `kinetic keys trust {namespace} <public key>`.";
        /// The signature is good, but its key speaks for another namespace.
        "0025" WrongNamespace { document: DocumentKind, namespace: String, key_id: String, theirs: String } => Security,
            "the {document} is signed by key {key_id}, which is trusted for namespace \"{theirs}\" and not for \"{namespace}\".",
            "Publish under a namespace of that key, or trust the key for \"{namespace}\" too.";
        /// A listed key's signature does not fit the payload.
        "0026" BadSignature { document: DocumentKind, key_id: String } => Integrity,
            "the signature that names key {key_id} does not fit the {document}: one of the two was changed after signing.",
            "Get the {document} again from whoever signed it, or have it signed again.";
        /// No signature is by a key that the namespace lists.
        "0027" SignerUntrusted { document: DocumentKind, namespace: String, key_ids: String } => Security,
            "the signatures of the {document} (key {key_ids}) are by no key that namespace \"{namespace}\" lists.",
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
        /// A root document that cannot stand.
        "0031" RootMalformed { why: String } => Invalid,
            "the root document is refused: {why}.",
            "Get it again from the owner of the namespace, or draft it anew with `kinetic trust root draft`.";
        /// Too few root keys signed a root document.
        "0032" RootUnsigned { namespace: String, version: u64, by: u64, found: usize, needed: usize } => Security,
            "version {version} of the root document of \"{namespace}\" has {found} of the {needed} signatures by root keys of version {by} that it needs.",
            "Have more of them sign it with `kinetic trust root sign`; a new version needs those of the version before and its own.";
        /// A root document that does not follow the trusted one.
        "0033" RootOutOfOrder { namespace: String, found: u64, trusted: u64 } => Conflict,
            "version {found} of the root document of \"{namespace}\" does not follow version {trusted}, which is trusted now.",
            "Apply the versions in between one after the other; an older one is never taken.";
        /// A root document that has expired.
        "0034" RootExpired { namespace: String, version: u64, expired: String } => Security,
            "version {version} of the root document of \"{namespace}\" expired at {expired}, so nothing is admitted by it; what runs goes on until the host stops.",
            "Get the next version from the owner of the namespace and apply it with `kinetic trust root update`; check this machine's clock.";
        /// Nobody said that a first root document is the right one.
        "0035" RootUnconfirmed { namespace: String, digest: String } => Security,
            "nobody confirmed that {digest} is the root document of \"{namespace}\"; nothing was pinned.",
            "Compare the digest with what the owner says on another way, then run it again with --digest {digest}.";
        /// Another root document is pinned.
        "0036" RootExists { namespace: String, version: u64 } => Conflict,
            "namespace \"{namespace}\" has a root document already, version {version}.",
            "Go on from it with `kinetic trust root update`; `kinetic trust root remove` forgets it.";
        /// No root document is pinned.
        "0037" RootMissing { namespace: String } => NotFound,
            "no root document is pinned for namespace \"{namespace}\".",
            "Pin its first one with `kinetic trust root add`.";
        /// A pinned root document and what is known of it do not fit each other.
        "0038" RootUnusable { namespace: String, why: String } => Integrity,
            "the pinned root document of \"{namespace}\" cannot be used: {why}.",
            "Put the newest file back, or forget it with `kinetic trust root remove {namespace}` and pin it anew.";
        /// Keys listed by themselves mean nothing beside a root document.
        "0039" RootDecides { namespace: String } => Conflict,
            "namespace \"{namespace}\" has a root document, which alone says whose keys count.",
            "Change it with the next version: `kinetic trust root update`.";
        /// Fewer of the right keys signed than must.
        "0040" TooFewSignatures { namespace: String, role: Role, found: usize, needed: usize } => Security,
            "{found} of the {needed} {role} keys of \"{namespace}\" that must sign have signed.",
            "Have more of them sign, each with a key of its own: `kinetic sign`, `kinetic trust root show {namespace}`.";
        /// The namespace's owner revoked it.
        "0041" DigestRevoked { namespace: String, digest: String, version: u64 } => Security,
            "version {version} of the root document of \"{namespace}\" revokes {digest}.",
            "Use another version of the capsule.";
        /// An index that cannot stand.
        "0042" IndexMalformed { why: String } => Invalid,
            "the index is refused: {why}.",
            "Ask another registry for the namespace, or have its owner sign the index anew.";
        /// An index older than one that was seen.
        "0043" IndexRolledBack { namespace: String, found: u64, seen: u64 } => Security,
            "the index of \"{namespace}\" is version {found}, and version {seen} was seen already.",
            "Ask another registry: this one answers with something old.";
        /// Two indexes with one version.
        "0044" IndexEquivocates { namespace: String, version: u64, found: String, seen: String } => Security,
            "version {version} of the index of \"{namespace}\" is {found}, and it was {seen} before.",
            "Tell the owner of the namespace: two different indexes were signed as one version.";
        /// An index that nobody renewed.
        "0045" IndexExpired { namespace: String, version: u64, expired: String } => Security,
            "version {version} of the index of \"{namespace}\" expired at {expired}.",
            "Ask another registry, or have the owner of the namespace sign the index anew; check this machine's clock.";
        /// An index that says otherwise about a version than the one before.
        "0046" IndexRewritten { namespace: String, what: String, why: String } => Integrity,
            "the index of \"{namespace}\" says otherwise about {what} than the one before: {why}.",
            "Tell the owner of the namespace: a version is yanked when it shall not be used, and never changed or left out.";
        /// Nothing to compare an index with.
        "0047" IndexUnlinked { namespace: String, seen: String } => Conflict,
            "the index of \"{namespace}\" cannot be compared with the one before, {seen}, which is not at hand.",
            "Put that one back, or forget what was seen of the namespace.";
        /// A lock file that does not parse.
        "0048" LockMalformed { why: String } => Invalid,
            "the lock file is refused: {why}.",
            "Write it anew with `kinetic lock`.";
        /// Something the lock file does not hold.
        "0049" NotLocked { what: String, why: String } => Security,
            "{what} is not what the lock file holds: {why}.",
            "Look why it changed; `kinetic lock` takes what is there now.";
        /// A Sigstore bundle of another version.
        "0050" BundleUnknown { found: String } => Security,
            "the bundle's mediaType is \"{found}\", which this host does not know.",
            "Use application/vnd.dev.sigstore.bundle.v0.3+json, as `cosign attest-blob --new-bundle-format` writes it.";
        /// A Sigstore bundle over bytes alone.
        "0051" BundleOfBytes { } => Security,
            "the bundle signs bytes alone, and so says nothing about name, version and manifest.",
            "Sign the statement that `kinetic sign --statement` prints: `cosign attest-blob --statement FILE --key KEY --bundle OUT`.";
        /// A Sigstore bundle that a certificate vouches for.
        "0052" BundleKeyless { } => Security,
            "the bundle names a certificate, and this host believes keys, not certificates and transparency logs.",
            "Sign with a key of your own (`cosign generate-key-pair`, then `cosign attest-blob --key cosign.key`), and have the namespace list it: `kinetic keys trust NAMESPACE --cosign-key cosign.pub`.";
        /// A Sigstore bundle whose shape is wrong.
        "0053" BundleMalformed { why: String } => Invalid,
            "the bundle is malformed: {why}.",
            "Make it again with `cosign attest-blob --statement FILE --key KEY --bundle OUT`.";
        /// Not a public key as cosign writes it, or one of another kind.
        "0054" BadCosignKey { why: String } => Invalid,
            "that is no public key of cosign that can be used: {why}.",
            "Name the cosign.pub that `cosign generate-key-pair` wrote.";
        /// The receipt's provenance is not what SLSA prescribes.
        "0055" ProvenanceMalformed { why: String } => Security,
            "the receipt's provenance cannot be used: {why}.",
            "Build and sign the capsule again with `kinetic build`, which says who built it from what.";
        /// The digest over the capsule folder is another one.
        "0056" FolderMismatch { attested: String, found: String } => Integrity,
            "the receipt names {attested} for the capsule folder, and what is here has {found}.",
            "Build again, so that receipt and files come from one build.";
        /// Signatures of two statements.
        "0057" StatementDiffers { } => Conflict,
            "the two sign different statements, though about one capsule, so their signatures cannot stand together.",
            "Sign the very statement that the others signed: `kinetic sign --statement` prints it.";
        /// A promotion that cannot stand.
        "0065" PromotionMalformed { why: String } => Invalid,
            "the promotion is refused: {why}.",
            "Correct what it names, and have a host make it again: `kinetic crystallize`.";
        /// A promotion or topology larger than any may be.
        "0066" PromotionTooLarge { what: String, size_bytes: usize, bytes_max: usize } => TooLarge,
            "{what} has {size_bytes} bytes; at most {bytes_max} are taken.",
            "Put large parts elsewhere, and name them by their digests.";
        /// A topology that is larger than what it was made from.
        "0067" NotCompressed { topology_bytes: u64, events_bytes: u64 } => Conformance,
            "the topology has {topology_bytes} bytes, and the events it was made from have {events_bytes}: it condenses nothing.",
            "Name all the events that it was made from, or leave out of the document what they say already.";
        /// What should be an envelope with signatures is none.
        "0068" EnvelopeMalformed { why: String } => Invalid,
            "the signed envelope is malformed: {why}.",
            "Get it again from whoever signed it.";
        /// A statement whose shape is wrong.
        "0069" StatementMalformed { document: DocumentKind, why: String } => Invalid,
            "the {document} is malformed: {why}.",
            "Have it made and signed again by the same version of Kinetic that reads it.";
    }
}

/// A bounded copy of text from outside, so that an error never carries a document.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

/// An error as a part of another one's sentence.
pub(crate) fn sentence(error: &IdentityError) -> String {
    error.to_string().trim_end_matches('.').to_string()
}
