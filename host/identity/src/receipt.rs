//! The build receipt: a signed statement of what was built, from what, by whom.
//!
//! A DSSE envelope around an in-toto Statement v1 whose predicate is SLSA provenance v1. Its subjects are the component
//! and its manifest; its external parameters are the URN, the version and the component's size.

use std::collections::BTreeMap;

use kinetic_model::{Digest, Urn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dsse::{Envelope, SIGNATURES_MAX};
use crate::error::shorten;
use crate::quorum::not_revoked;
use crate::{IdentityError, Role, Signers, SigningKey, TrustRoot, strict_json};

/// The largest receipt read or made, in bytes of its JSON.
pub const RECEIPT_BYTES_MAX: usize = 65_536;
/// How deep envelope and statement may nest.
const DEPTH_MAX: usize = 32;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// Names the meaning of `externalParameters` below.
const BUILD_TYPE: &str = "urn:kinetic:buildtype:component:v1";

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
/// the keys. What the statement says is for the caller to check.
///
/// # Errors
/// As of [`Receipt::from_value`], and those of who signed, as of [`Receipt::verify`].
pub fn open_statement(
    envelope: &Value,
    root: &TrustRoot,
    namespace: &str,
) -> Result<(Vec<u8>, Signers), IdentityError> {
    let receipt = Receipt::from_value(envelope)?;
    receipt.known_payload()?;
    let signers = root.signers(&receipt.0, namespace, Role::Release)?;
    Ok((receipt.0.payload, signers))
}

impl Receipt {
    /// Makes and signs a receipt.
    ///
    /// # Errors
    /// [`IdentityError::ReceiptTooLarge`] when `build` lists too much, [`IdentityError::ReceiptMalformed`].
    pub fn sign(subject: &BuildSubject, build: &BuildInfo, key: &SigningKey) -> Result<Self, IdentityError> {
        let statement = serde_json::to_vec(&Statement::new(subject, build)).map_err(|e| malformed(&e))?;
        let receipt = Self(Envelope::sign(PAYLOAD_TYPE, statement, key));
        bounded(receipt.to_json().len())?;
        Ok(receipt)
    }

    /// Reads a DSSE envelope of at most [`RECEIPT_BYTES_MAX`] bytes with 1 to 16 signatures.
    ///
    /// # Errors
    /// [`IdentityError::ReceiptTooLarge`], [`IdentityError::ReceiptMalformed`], [`IdentityError::NoSignature`],
    /// [`IdentityError::TooManySignatures`], and those of [`strict_json::parse`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, IdentityError> {
        bounded(bytes.len())?;
        Envelope::from_json(bytes, DEPTH_MAX, SIGNATURES_MAX).map(Self)
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
        self.known_payload()?;
        let namespace = expect.urn.namespace();
        let signers = root.signers(&self.0, namespace, Role::Release)?;
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
        self.known_payload()?;
        let value = strict_json::parse(&self.0.payload, DEPTH_MAX)?;
        known_types(&value)?;
        let statement: Statement = serde_json::from_value(value).map_err(|e| malformed(&e))?;
        statement.is_about(expect)
    }

    fn known_payload(&self) -> Result<(), IdentityError> {
        if self.0.payload_type == PAYLOAD_TYPE {
            return Ok(());
        }
        Err(IdentityError::UnknownPayloadType {
            found: shorten(&self.0.payload_type),
        })
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

/// The three types come first: the rest of a statement means something only under types we know.
fn known_types(statement: &Value) -> Result<(), IdentityError> {
    let found = |pointer: &str| shorten(statement.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let (statement_type, predicate_type) = (found("/_type"), found("/predicateType"));
    if statement_type != STATEMENT_TYPE {
        return Err(IdentityError::UnknownStatementType { found: statement_type });
    }
    if predicate_type != PREDICATE_TYPE {
        return Err(IdentityError::UnknownPredicateType { found: predicate_type });
    }
    let build_type = found("/predicate/buildDefinition/buildType");
    if build_type != BUILD_TYPE {
        return Err(IdentityError::UnknownBuildType { found: build_type });
    }
    Ok(())
}

/// in-toto Statement v1. Unknown members are ignored, as in-toto and SLSA demand, except where they could change what
/// the statement is about: subjects and external parameters are closed.
#[derive(Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    type_: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Provenance,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provenance {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: ExternalParameters,
    #[serde(default)]
    internal_parameters: BTreeMap<String, Value>,
    #[serde(default)]
    resolved_dependencies: Vec<Value>,
}

/// SLSA: a verifier must refuse external parameters it does not know.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalParameters {
    urn: String,
    version: String,
    component_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct RunDetails {
    builder: Builder,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Serialize, Deserialize)]
struct Builder {
    id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_on: Option<String>,
}

impl Statement {
    fn new(subject: &BuildSubject, build: &BuildInfo) -> Self {
        let dependency = |s: &SourceDigest| serde_json::json!({ "uri": s.uri, "digest": { "sha256": s.digest.hex() } });
        Self {
            type_: STATEMENT_TYPE.into(),
            subject: expected_subjects(subject)
                .map(|(name, digest)| Subject {
                    name,
                    digest: [("sha256".into(), digest.hex())].into(),
                })
                .into(),
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Provenance {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE.into(),
                    external_parameters: ExternalParameters {
                        urn: subject.urn.to_string(),
                        version: subject.version.to_string(),
                        component_bytes: subject.component_bytes,
                    },
                    internal_parameters: [("toolchain".into(), build.toolchain.as_str().into())].into(),
                    resolved_dependencies: build.sources.iter().map(dependency).collect(),
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: build.builder_id.clone(),
                        version: [("kinetic".into(), build.builder_version.clone())].into(),
                    },
                    metadata: Metadata {
                        invocation_id: build.invocation_id.clone(),
                        started_on: build.started_on.clone(),
                        finished_on: build.finished_on.clone(),
                    },
                },
            },
        }
    }

    fn is_about(&self, expect: &BuildSubject) -> Result<(), IdentityError> {
        let given = &self.predicate.build_definition.external_parameters;
        same("urn", expect.urn.as_str(), &given.urn)?;
        same("version", &expect.version.to_string(), &given.version)?;
        same(
            "component_bytes",
            &expect.component_bytes.to_string(),
            &given.component_bytes.to_string(),
        )?;
        same("number of subjects", "2", &self.subject.len().to_string())?;
        for (name, digest) in expected_subjects(expect) {
            let file = name.rsplit('/').next().unwrap_or_default().to_string();
            let found = self.subject.iter().find(|subject| subject.name == name);
            let Some(found) = found else {
                let names: Vec<_> = self.subject.iter().map(|subject| subject.name.as_str()).collect();
                return Err(mismatch(&format!("subject {file}"), &name, &names.join(", ")));
            };
            let sha256 = found.digest.get("sha256").map(String::as_str).unwrap_or_default();
            same(&format!("digest of {file}"), &digest.hex(), sha256)?;
            same(
                &format!("number of digests of {file}"),
                "1",
                &found.digest.len().to_string(),
            )?;
        }
        Ok(())
    }
}

fn expected_subjects(of: &BuildSubject) -> [(String, Digest); 2] {
    let at = format!("{}@{}", of.urn, of.version);
    [
        (format!("{at}/component.wasm"), of.component),
        (format!("{at}/manifest.json"), of.manifest),
    ]
}

fn same(field: &str, expected: &str, found: &str) -> Result<(), IdentityError> {
    if expected == found {
        Ok(())
    } else {
        Err(mismatch(field, expected, found))
    }
}

fn mismatch(field: &str, expected: &str, found: &str) -> IdentityError {
    let (expected, found) = (expected.chars().take(300).collect(), found.chars().take(300).collect());
    IdentityError::SubjectMismatch {
        field: field.into(),
        expected,
        found,
    }
}

#[cfg(test)]
mod tests;
