//! The in-toto statement of a receipt: its parts as JSON, and what in it has to be as expected.

use std::collections::BTreeMap;

use kinetic_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::shorten;
use crate::in_toto::{self, STATEMENT_TYPE};
use crate::{BuildInfo, BuildSubject, Checkout, DocumentKind, FolderDigest, IdentityError, SourceDigest};

const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// Names the meaning of `externalParameters` below.
const BUILD_TYPE: &str = "urn:kinetic:buildtype:component:v1";
/// What a digest set of in-toto calls the framed digest: no algorithm for one file has that name.
const FOLDER_DIGEST: &str = "kineticFramedV1";

/// The three types come first: the rest of a statement means something only under types we know.
pub(crate) fn known_types(statement: &Value) -> Result<(), IdentityError> {
    in_toto::known_types(statement, DocumentKind::Receipt, PREDICATE_TYPE)?;
    let build_type = statement.pointer("/predicate/buildDefinition/buildType");
    let build_type = shorten(build_type.and_then(Value::as_str).unwrap_or_default());
    if build_type != BUILD_TYPE {
        return Err(IdentityError::UnknownBuildType { found: build_type });
    }
    Ok(())
}

/// in-toto Statement v1. Unknown members are ignored, as in-toto and SLSA demand, except where they could change what
/// the statement is about: subjects and external parameters are closed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Statement {
    #[serde(rename = "_type")]
    type_: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(crate) predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Predicate {
    pub(crate) build_definition: BuildDefinition,
    pub(crate) run_details: RunDetails,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildDefinition {
    build_type: String,
    pub(crate) external_parameters: ExternalParameters,
    #[serde(default)]
    internal_parameters: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) resolved_dependencies: Vec<Value>,
}

/// SLSA: a verifier must refuse external parameters it does not know.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalParameters {
    urn: String,
    version: String,
    component_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
}

/// Where what was built is from.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) uri: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RunDetails {
    pub(crate) builder: Builder,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    /// The capsule folder is one, as it is what the component was made in and what is handed on beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    byproducts: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Builder {
    pub(crate) id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_on: Option<String>,
}

impl Statement {
    pub(crate) fn new(subject: &BuildSubject, build: &BuildInfo) -> Self {
        let dependency = |s: &SourceDigest| json!({ "uri": s.uri, "digest": { "sha256": s.digest.hex() } });
        let checkout = build.checkout.as_ref();
        let source = checkout.and_then(|checkout| checkout.uri.clone());
        let mut internal_parameters = BTreeMap::from([("toolchain".to_string(), build.toolchain.as_str().into())]);
        internal_parameters.extend(checkout.map(|checkout| ("dirty".to_string(), checkout.dirty.into())));
        let folder = build.folder.iter().map(|folder| folder_described(subject, folder));
        Self {
            type_: STATEMENT_TYPE.into(),
            subject: expected_subjects(subject)
                .map(|(name, digest)| Subject {
                    name,
                    digest: [("sha256".into(), digest.hex())].into(),
                })
                .into(),
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE.into(),
                    external_parameters: ExternalParameters {
                        urn: subject.urn.to_string(),
                        version: subject.version.to_string(),
                        component_bytes: subject.component_bytes,
                        source: source.map(|uri| Source { uri }),
                    },
                    internal_parameters,
                    resolved_dependencies: checkout
                        .map(commit_described)
                        .into_iter()
                        .chain(build.sources.iter().map(dependency))
                        .collect(),
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
                    byproducts: folder.collect(),
                },
            },
        }
    }

    pub(crate) fn is_about(&self, expect: &BuildSubject) -> Result<(), IdentityError> {
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

    /// The digest over the capsule folder, if one is named; one that is half named is refused.
    pub(crate) fn folder(&self) -> Result<Option<FolderDigest>, IdentityError> {
        let ours = |value: &&Value| value.pointer(&format!("/digest/{FOLDER_DIGEST}")).is_some();
        let mut named = self.predicate.run_details.byproducts.iter().filter(ours);
        let Some(folder) = named.next() else { return Ok(None) };
        let digest = folder
            .pointer(&format!("/digest/{FOLDER_DIGEST}"))
            .and_then(Value::as_str);
        let digest = digest.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
        let files = folder.pointer("/annotations/files").and_then(Value::as_u64);
        match (
            digest,
            files.filter(|files| *files >= FolderDigest::ALWAYS),
            named.next(),
        ) {
            (Some(digest), Some(files), None) => Ok(Some(FolderDigest { digest, files })),
            _ => Err(IdentityError::ProvenanceMalformed {
                why: "it does not name one digest of the capsule folder and how many files are in it".into(),
            }),
        }
    }
}

fn folder_described(subject: &BuildSubject, folder: &FolderDigest) -> Value {
    json!({
        "name": format!("{}@{}/folder", subject.urn, subject.version),
        "digest": { FOLDER_DIGEST: folder.digest.hex() },
        "annotations": { "files": folder.files },
    })
}

fn commit_described(checkout: &Checkout) -> Value {
    let digest = json!({ "gitCommit": checkout.commit });
    match &checkout.uri {
        Some(uri) => json!({ "uri": uri, "digest": digest }),
        None => json!({ "name": "checkout", "digest": digest }),
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
