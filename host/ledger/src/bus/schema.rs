//! Schemas of topics: JSON Schemas by the digest of their text, and which of them may follow another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use jsonschema::canonical::{CanonicalSchema, Containment};
use jsonschema::{PatternOptions, Validator};
use kinetic_model::Digest;
use serde_json::Value;

use super::config::Compatibility;
use super::envelope::Envelope;
use super::syntax;
use crate::LedgerError;

/// The longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: u64 = 256 << 10;
/// The most schemas of a host.
pub const SCHEMAS_MAX: usize = 10_000;

/// How deep a schema may be nested: a checker walks it by recursion.
const DEPTH_MAX: usize = 64;
/// How long making or comparing schemas may take: comparing is exponential in the worst case.
const WORK_WITHIN: Duration = Duration::from_secs(10);
const REGEX_BYTES_MAX: usize = 1 << 20;
const WHY_CHARS_MAX: usize = 300;

/// A registered schema.
pub(super) struct Schema {
    pub(super) digest: Digest,
    pub(super) text: Bytes,
    /// What checks data, made when it is first needed; or why this version of the host cannot use the schema, which
    /// then refuses all data.
    validator: OnceLock<Result<Validator, String>>,
}

impl Schema {
    pub(super) fn new(text: Bytes) -> Self {
        Self {
            digest: Digest::of(&text),
            text,
            validator: OnceLock::new(),
        }
    }

    fn validator(&self) -> Result<&Validator, &String> {
        self.validator.get_or_init(|| compile(&self.text)).as_ref()
    }

    /// Whether it can be used at all. The first time takes a while.
    pub(super) fn usable(&self) -> Result<(), LedgerError> {
        let failed = |why: &String| LedgerError::InvalidSchema { why: why.clone() };
        self.validator().map(|_| ()).map_err(failed)
    }

    /// Whether an event's data is what the schema describes.
    pub(super) fn check(&self, topic: &str, envelope: &Envelope) -> Result<(), LedgerError> {
        self.refusal(envelope).map_or(Ok(()), |why| {
            Err(LedgerError::EventRefused {
                topic: topic.into(),
                why,
            })
        })
    }

    fn refusal(&self, envelope: &Envelope) -> Option<String> {
        let validator = match self.validator() {
            Ok(validator) => validator,
            Err(why) => return Some(why.clone()),
        };
        if !syntax::is_json(envelope.content_type()) {
            return Some("its content type is not JSON".into());
        }
        let Some(data) = envelope.data() else {
            return Some("it has none".into());
        };
        let value: Value = match serde_json::from_slice(data) {
            Ok(value) => value,
            Err(error) => return Some(format!("it is not JSON: {error}")),
        };
        let error = validator.validate(&value).err()?;
        let at = error.instance_path().to_string();
        let at = if at.is_empty() {
            String::new()
        } else {
            format!("at {at}: ")
        };
        Some(shortened(&format!("{at}{error}")))
    }

    fn canonical(&self) -> Result<CanonicalSchema, String> {
        let value = parse(&self.text)?;
        let canonical = jsonschema::canonical::options()
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(patterns())
            .canonicalize(&value);
        canonical.map_err(|error| shortened(&error.to_string()))
    }

    /// Whether this schema may be followed by that one: what cannot be proven is refused.
    pub(super) fn followed_by(&self, next: &Self, mode: Compatibility) -> Result<(), String> {
        if mode == Compatibility::None || self.digest == next.digest {
            return Ok(());
        }
        let (old, new) = (self.canonical()?, next.canonical()?);
        if matches!(mode, Compatibility::Backward | Compatibility::Full) {
            covers(&new, &old, "the present one accepts data that the new one refuses")?;
        }
        if matches!(mode, Compatibility::Forward | Compatibility::Full) {
            covers(&old, &new, "the new one accepts data that the present one refuses")?;
        }
        Ok(())
    }
}

/// Whether the wider schema accepts all that the narrower one does.
fn covers(wider: &CanonicalSchema, narrower: &CanonicalSchema, otherwise: &str) -> Result<(), String> {
    match wider.covers(narrower) {
        Ok(Containment::Yes) => Ok(()),
        Ok(Containment::No) => Err(otherwise.into()),
        Ok(Containment::Unknown) => Err(format!("it could not be proven that not {otherwise}")),
        Err(error) => Err(shortened(&format!("the two cannot be compared: {error}"))),
    }
}

fn compile(text: &[u8]) -> Result<Validator, String> {
    let value = parse(text)?;
    let built = jsonschema::options()
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(patterns())
        .build(&value);
    built.map_err(|error| shortened(&error.to_string()))
}

/// An engine whose time is linear in the text.
fn patterns() -> PatternOptions<jsonschema::Regex> {
    PatternOptions::regex()
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
}

fn parse(text: &[u8]) -> Result<Value, String> {
    if text.len() as u64 > SCHEMA_BYTES_MAX {
        return Err(format!("it takes {} bytes, more than {SCHEMA_BYTES_MAX}", text.len()));
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if depth(&value) > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX}"));
    }
    Ok(value)
}

/// How deep a value is nested. The JSON reader has bounded it already, so recursion is safe.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn shortened(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

/// Does work on schemas where nobody waits for it, and no longer than is reasonable.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let invalid = |why: &str| LedgerError::InvalidSchema { why: why.into() };
    let task = tokio::task::spawn_blocking(|| catch_unwind(AssertUnwindSafe(work)));
    match tokio::time::timeout(WORK_WITHIN, task).await {
        Ok(Ok(Ok(done))) => done,
        Ok(_) => Err(invalid("the checker of schemas failed on it")),
        Err(_) => Err(invalid("it takes too long to work with")),
    }
}
