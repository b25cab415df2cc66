//! An in-toto Statement v1 about one thing, in which there is nothing that is not known: of promotions and releases.
//!
//! Receipts are statements too, but open ones, as SLSA has it; they share the types that come first.

use kinetic_model::{Digest, Sorted};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::shorten;
use crate::{DocumentKind, IdentityError, strict_json};

/// What each statement says it is.
pub(crate) const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What is said, and of what: a name, and the SHA-256 of what it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256 {
    sha256: String,
}

impl<P> Statement<P> {
    /// A statement of that type about what has that name and digest.
    pub fn new(name: String, digest: &Digest, predicate_type: &str, predicate: P) -> Self {
        Self {
            kind: STATEMENT_TYPE.into(),
            subject: [Subject {
                name,
                digest: Sha256 { sha256: digest.hex() },
            }],
            predicate_type: predicate_type.into(),
            predicate,
        }
    }

    /// What it is about, by its name.
    pub const fn name(&self) -> &str {
        let [subject] = &self.subject;
        subject.name.as_str()
    }

    /// What it is about, by its digest: hexadecimal digits, if it is one.
    pub const fn sha256(&self) -> &str {
        let [subject] = &self.subject;
        subject.digest.sha256.as_str()
    }

    /// What is said.
    pub const fn predicate(&self) -> &P {
        &self.predicate
    }

    /// What is said, taken out.
    pub fn into_predicate(self) -> P {
        self.predicate
    }
}

impl<P: Serialize> Statement<P> {
    /// Its one spelling: sorted members, no spaces.
    ///
    /// # Errors
    /// When what is said cannot be written as JSON.
    pub fn text(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_value(self).and_then(|value| serde_json::to_vec(&Sorted(&value)))
    }
}

impl<P: DeserializeOwned> Statement<P> {
    /// Reads a statement of that type, whatever its spelling; an error calls it by its kind. Who signed it is known by then.
    ///
    /// # Errors
    /// [`IdentityError::UnknownStatementType`], [`IdentityError::UnknownPredicateType`],
    /// [`IdentityError::StatementMalformed`], and those of [`strict_json::parse`].
    pub fn read(
        bytes: &[u8],
        document: DocumentKind,
        predicate_type: &str,
        depth_max: usize,
    ) -> Result<Self, IdentityError> {
        let value = strict_json::parse(bytes, depth_max)?;
        known_types(&value, document, predicate_type)?;
        serde_json::from_value(value).map_err(|error| IdentityError::StatementMalformed {
            document,
            why: shorten(&error.to_string()),
        })
    }
}

/// The types come first: the rest of a statement means something only under types we know.
pub(crate) fn known_types(
    statement: &Value,
    document: DocumentKind,
    predicate_type: &str,
) -> Result<(), IdentityError> {
    let found = |name: &str| shorten(statement.get(name).and_then(Value::as_str).unwrap_or_default());
    let (kind, predicate) = (found("_type"), found("predicateType"));
    if kind != STATEMENT_TYPE {
        return Err(IdentityError::UnknownStatementType { document, found: kind });
    }
    if predicate != predicate_type {
        return Err(IdentityError::UnknownPredicateType {
            document,
            found: predicate,
            known: predicate_type.into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TYPE: &str = "urn:kinetic:predicate:test:v1";

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said {
        why: String,
    }

    fn read(value: &Value) -> Result<Statement<Said>, IdentityError> {
        Statement::read(value.to_string().as_bytes(), DocumentKind::Release, TYPE, 8)
    }

    fn written() -> Value {
        let said = Said { why: "so".into() };
        let text = Statement::new("it".into(), &Digest::of(b"it"), TYPE, said).text();
        serde_json::from_slice(&text.unwrap()).unwrap()
    }

    #[test]
    fn a_statement_says_what_was_said_about_what_was_named() {
        let read = read(&written()).unwrap();
        assert_eq!((read.name(), read.sha256()), ("it", Digest::of(b"it").hex().as_str()));
        assert_eq!(read.into_predicate(), Said { why: "so".into() });
    }

    #[test]
    fn an_error_calls_it_what_it_is() {
        let changed = |path: &str, value: Value| {
            let mut statement = written();
            *statement.pointer_mut(path).unwrap() = value;
            read(&statement).unwrap_err()
        };
        let refused = changed("/_type", json!("other"));
        assert_eq!(
            refused.to_string(),
            "the _type of the release from quarantine is \"other\", which this host does not know."
        );
        let refused = changed("/predicateType", json!("other"));
        assert!(matches!(refused, IdentityError::UnknownPredicateType { .. }));
        for (path, value) in [
            ("/predicate", json!({ "why": "so", "more": 1 })),
            ("/subject", json!([])),
            ("/subject/0/digest", json!({ "sha1": "00" })),
        ] {
            let refused = changed(path, value);
            assert!(
                matches!(refused, IdentityError::StatementMalformed { .. }),
                "{path}: {refused}"
            );
        }
        let twice = written().to_string().replacen('{', r#"{"predicateType":"x","#, 1);
        let refused = Statement::<Said>::read(twice.as_bytes(), DocumentKind::Release, TYPE, 8);
        assert!(matches!(refused, Err(IdentityError::JsonDuplicateKey { .. })));
    }
}
