//! The build receipt: a signed statement of what was built, from what, by whom.
//!
//! A DSSE envelope around an in-toto Statement v1 whose predicate is SLSA provenance v1. Its subjects are the component
//! and its manifest; its external parameters are the URN, the version and the component's size. It may come as the bundle
//! that cosign makes of the same statement.

use kinetic_model::{Digest, Urn};
use serde_json::Value;

use crate::dsse::{Envelope, SIGNATURES_MAX};
use crate::error::shorten;
use crate::quorum::not_revoked;
use crate::statement::{self, Statement};
use crate::{
    DocumentKind, FolderDigest, IdentityError, Provenance, Signers, SigningKey, TrustRoot, bundle, strict_json,
};

/// The largest receipt read or made, in bytes of its JSON.
pub const RECEIPT_BYTES_MAX: usize = 65_536;
/// How deep envelope and statement may nest.
const DEPTH_MAX: usize = 32;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What a receipt is about; verifying compares every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSubject {
    /// The capability.
    pub urn: Urn,
    /// The manifest's version.
    pub version: semver::Version,
    /// SHA-256 of the component.
    pub component: Digest,
    /// Size of the component, in bytes.
    pub component_bytes: u64,
    /// SHA-256 of the exact text of manifest.json.
    pub manifest: Digest,
}

/// How it was built. Signed with the receipt; recorded, never a reason to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// Who built it, as a URI.
    pub builder_id: String,
    /// The builder's version.
    pub builder_version: String,
    /// The compiler and its version, as it prints it.
    pub toolchain: String,
    /// What it was built from.
    pub sources: Vec<SourceDigest>,
    /// The builder's own name for this run.
    pub invocation_id: Option<String>,
    /// When the build started (RFC 3339).
    pub started_on: Option<String>,
    /// When the build ended (RFC 3339).
    pub finished_on: Option<String>,
    /// The checkout it was built in, if it was one.
    pub checkout: Option<Checkout>,
    /// The digest over the whole capsule folder.
    pub folder: Option<FolderDigest>,
}

/// A git checkout, as it was when something was built in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Where the repository is, as a URI without credentials, if that is known.
    pub uri: Option<String>,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Whether something in it was changed since.
    pub dirty: bool,
}

/// One source of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDigest {
    /// Where it is from, as a URI or a path inside the capsule folder.
    pub uri: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// A receipt that parses; nothing in it is believed before [`Receipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt(Envelope);

/// Signs an in-toto statement that was made elsewhere: the DSSE envelope as JSON.
pub fn sign_statement(statement: &[u8], key: &SigningKey) -> Value {
    Envelope::sign(PAYLOAD_TYPE, statement.to_vec(), key).to_json()
}

/// Adds a key's signature to an in-toto statement that is signed already. `false`: it has signed already.
///
/// # Errors
/// As of [`Receipt::from_value`] and [`Receipt::add_signature`].
pub fn countersign_statement(envelope: &mut Value, key: &SigningKey) -> Result<bool, IdentityError> {
    let mut receipt = Receipt::from_value(envelope)?;
    let added = receipt.add_signature(key)?;
    *envelope = receipt.to_value();
    Ok(added)
}

/// Opens the envelope of an in-toto statement that enough of those trusted for a URN's namespace signed: its bytes and
/// the keys. What the statement says is for the caller to check; errors call it by its kind.
///
/// # Errors
/// As of [`Receipt::from_value`], but [`IdentityError::EnvelopeMalformed`] of what is none; and those of who signed, as of
/// [`Receipt::verify`].
pub fn open_statement(
    envelope: &Value,
    root: &TrustRoot,
    namespace: &str,
    document: DocumentKind,
) -> Result<(Vec<u8>, Signers), IdentityError> {
    let envelope = opened(envelope.to_string().as_bytes())?;
    known_payload(&envelope, document)?;
    let signers = root.signers(&envelope, namespace, document)?;
    Ok((envelope.payload, signers))
}

/// The envelope that is there, or that of the bundle that is there.
fn opened(bytes: &[u8]) -> Result<Envelope, IdentityError> {
    bounded(bytes.len())?;
    let document = strict_json::parse(bytes, DEPTH_MAX)?;
    if bundle::is_bundle(&document) {
        bundle::open(document)
    } else {
        Envelope::from_value(document, SIGNATURES_MAX)
    }
}

fn known_payload(envelope: &Envelope, document: DocumentKind) -> Result<(), IdentityError> {
    if envelope.payload_type == PAYLOAD_TYPE {
        return Ok(());
    }
    Err(IdentityError::UnknownPayloadType {
        document,
        found: shorten(&envelope.payload_type),
    })
}

impl Receipt {
    /// Makes and signs a receipt.
    ///
    /// # Errors
    /// [`IdentityError::ReceiptTooLarge`] when `build` lists too much, [`IdentityError::ReceiptMalformed`].
    pub fn sign(subject: &BuildSubject, build: &BuildInfo, key: &SigningKey) -> Result<Self, IdentityError> {
        let statement = Self::statement(subject, build)?;
        let receipt = Self(Envelope::sign(PAYLOAD_TYPE, statement, key));
        bounded(receipt.to_json().len())?;
        Ok(receipt)
    }

    /// The statement that is signed, for whoever signs it with another program; the same bytes for the same build.
    ///
    /// # Errors
    /// [`IdentityError::ReceiptMalformed`].
    pub fn statement(subject: &BuildSubject, build: &BuildInfo) -> Result<Vec<u8>, IdentityError> {
        serde_json::to_vec(&Statement::new(subject, build)).map_err(|e| malformed(&e))
    }

    /// Reads a DSSE envelope of at most [`RECEIPT_BYTES_MAX`] bytes with 1 to 16 signatures, or a Sigstore bundle with one in
    /// it: the second form of a receipt. What is read of a bundle is its envelope.
    ///
    /// # Errors
    /// [`IdentityError::ReceiptTooLarge`], [`IdentityError::ReceiptMalformed`], [`IdentityError::NoSignature`],
    /// [`IdentityError::TooManySignatures`], and those of [`strict_json::parse`]. Of a bundle
    /// [`IdentityError::BundleUnknown`], [`IdentityError::BundleOfBytes`], [`IdentityError::BundleKeyless`],
    /// [`IdentityError::BundleMalformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, IdentityError> {
        opened(bytes).map(Self).map_err(|error| match error {
            IdentityError::EnvelopeMalformed { why } => IdentityError::ReceiptMalformed { why },
            other => other,
        })
    }

    /// [`Receipt::from_json`] for an envelope that was read as part of another document.
    ///
    /// # Errors
    /// Those of [`Receipt::from_json`].
    pub fn from_value(value: &Value) -> Result<Self, IdentityError> {
        Self::from_json(value.to_string().as_bytes())
    }

    /// The envelope as compact JSON in UTF-8.
    pub fn to_json(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }

    /// The envelope as a JSON value, to put into another document.
    pub fn to_value(&self) -> Value {
        self.0.to_json()
    }

    /// Adds a key's signature, so that several people sign one build. `false`: it has signed already.
    ///
    /// Whoever signs has to know what: see [`Receipt::check_subject`].
    ///
    /// # Errors
    /// [`IdentityError::TooManySignatures`] beyond 16, [`IdentityError::ReceiptTooLarge`].
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<bool, IdentityError> {
        let mut envelope = self.0.clone();
        let added = envelope.add_signature(key, SIGNATURES_MAX)?;
        bounded(envelope.to_json().to_string().len())?;
        self.0 = envelope;
        Ok(added)
    }

    /// Takes over the signatures of another receipt of the very same statement. `false`: all of them are here.
    ///
    /// # Errors
    /// [`IdentityError::StatementDiffers`], [`IdentityError::TooManySignatures`] beyond 16,
    /// [`IdentityError::ReceiptTooLarge`].
    pub fn join(&mut self, other: Self) -> Result<bool, IdentityError> {
        let mut envelope = self.0.clone();
        if (&envelope.payload_type, &envelope.payload) != (&other.0.payload_type, &other.0.payload) {
            return Err(IdentityError::StatementDiffers {});
        }
        let joined = envelope.join(other.0, SIGNATURES_MAX)?;
        bounded(envelope.to_json().to_string().len())?;
        self.0 = envelope;
        Ok(joined)
    }

    /// The digest over the capsule folder that it names; one that was made by an older program names none. Whoever signed it.
    ///
    /// # Errors
    /// As of [`Receipt::check_subject`], but for a mismatch; a digest that is none.
    pub fn folder(&self) -> Result<Option<FolderDigest>, IdentityError> {
        self.parsed()?.folder()
    }

    /// What it says about how the capsule was built, when that is well formed. Whoever signed it.
    ///
    /// # Errors
    /// [`IdentityError::ProvenanceMalformed`], and as of [`Receipt::check_subject`], but for a mismatch.
    pub fn provenance(&self) -> Result<Provenance, IdentityError> {
        self.parsed()?.provenance()
    }

    /// The statement's exact bytes, which whoever signs it too has to sign. Nothing in them is believed.
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// The key ids that its signatures name. They prove nothing.
    pub fn named_keys(&self) -> impl Iterator<Item = &str> {
        self.0.signatures.iter().map(|signature| signature.key_id.as_str())
    }

    /// Checks that enough keys trusted for the URN's namespace signed exactly what is expected; gives the keys.
    ///
    /// A namespace with a root document needs as many distinct release keys of it as its threshold says, another one a
    /// single key that is listed for it. Duplicates and keys of nobody count for nothing. Fails closed. Signatures are
    /// checked before the payload is parsed.
    ///
    /// # Errors
    /// Who signed: [`IdentityError::NamespaceUntrusted`], [`IdentityError::WrongNamespace`],
    /// [`IdentityError::BadSignature`], [`IdentityError::SignerUntrusted`], [`IdentityError::TooFewSignatures`],
    /// [`IdentityError::RootExpired`], [`IdentityError::RootUnusable`]. What was signed: those of
    /// [`Receipt::check_subject`], [`IdentityError::DigestRevoked`].
    pub fn verify(&self, root: &TrustRoot, expect: &BuildSubject) -> Result<Signers, IdentityError> {
        known_payload(&self.0, DocumentKind::Receipt)?;
        let namespace = expect.urn.namespace();
        let signers = root.signers(&self.0, namespace, DocumentKind::Receipt)?;
        self.check_subject(expect)?;
        if let Some(document) = root.document(namespace) {
            not_revoked(document, &[expect.component, expect.manifest])?;
        }
        Ok(signers)
    }

    /// Checks what the receipt is about, whoever signed it: what somebody does who is about to sign it too.
    ///
    /// # Errors
    /// [`IdentityError::UnknownPayloadType`], [`IdentityError::UnknownStatementType`],
    /// [`IdentityError::UnknownPredicateType`], [`IdentityError::UnknownBuildType`],
    /// [`IdentityError::SubjectMismatch`], [`IdentityError::ReceiptMalformed`], and those of [`strict_json::parse`].
    pub fn check_subject(&self, expect: &BuildSubject) -> Result<(), IdentityError> {
        self.parsed()?.is_about(expect)
    }

    fn parsed(&self) -> Result<Statement, IdentityError> {
        known_payload(&self.0, DocumentKind::Receipt)?;
        let value = strict_json::parse(&self.0.payload, DEPTH_MAX)?;
        statement::known_types(&value)?;
        serde_json::from_value(value).map_err(|e| malformed(&e))
    }
}

fn bounded(size_bytes: usize) -> Result<(), IdentityError> {
    if size_bytes > RECEIPT_BYTES_MAX {
        return Err(IdentityError::ReceiptTooLarge {
            size_bytes,
            bytes_max: RECEIPT_BYTES_MAX,
        });
    }
    Ok(())
}

fn malformed(error: &serde_json::Error) -> IdentityError {
    IdentityError::ReceiptMalformed {
        why: shorten(&error.to_string()),
    }
}

#[cfg(test)]
mod tests;
