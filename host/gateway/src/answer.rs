//! What a call answers: written once, straight from the values, with nothing copied on the way.

use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kinetic_engine::{Logs, Output};
use kinetic_kernel::Capsule;
use kinetic_model::{SortedMap, Usage};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::Digest as _;

use crate::GatewayError;

/// Room for everything in an answer but the output and the logs, in bytes.
const ENVELOPE_BYTES: usize = 1_024;

/// What a call used, under the names the answer has.
pub(crate) struct Telemetry<'a>(pub(crate) &'a Usage);

impl Serialize for Telemetry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let usage = self.0;
        let members = [
            ("latency_ns", usage.wall_time_ns),
            ("peak_memory_bytes", usage.memory_peak_bytes),
            ("fuel", usage.fuel),
            ("instantiation_fuel", usage.instantiation_fuel),
            ("guest_time_ns", usage.guest_time_ns),
            ("wall_time_ns", usage.wall_time_ns),
            ("input_bytes", usage.input_bytes),
            ("output_bytes", usage.output_bytes),
            ("log_bytes", usage.log_bytes),
            ("handles", usage.handles),
            ("host_call_bytes", usage.host_call_bytes),
        ];
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in members {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// What a call logged.
pub(crate) struct LogsView<'a>(pub(crate) &'a Logs);

impl Serialize for LogsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("stdout", &self.0.stdout)?;
        map.serialize_entry("stderr", &self.0.stderr)?;
        map.serialize_entry("dropped_bytes", &self.0.dropped_bytes)?;
        map.end()
    }
}

/// Which capsule ran.
pub(crate) struct CapsuleView<'a>(pub(crate) &'a Capsule);

impl Serialize for CapsuleView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("urn", self.0.manifest.id.as_str())?;
        map.serialize_entry("version", &Shown(&self.0.manifest.version))?;
        map.serialize_entry("digest", &format_args!("sha256:{}", hex(self.0.digest.as_bytes())))?;
        map.serialize_entry("generation", &self.0.generation)?;
        map.end()
    }
}

/// Any text form, written without a string in between.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A function's result; bytes become base64 as they are written.
struct OutputView<'a>(&'a Output);

impl Serialize for OutputView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Output::Json(value) => value.serialize(serializer),
            Output::Bytes(bytes) => serializer.collect_str(&Base64Display::new(bytes, &BASE64)),
        }
    }
}

/// A call that ran to its end.
pub(crate) struct Answered<'a> {
    pub(crate) success: bool,
    pub(crate) output: &'a Output,
    pub(crate) logs: &'a Logs,
    pub(crate) usage: &'a Usage,
    /// SHA-256 of the intent, when there was one as JSON.
    pub(crate) intent_hash: Option<&'a str>,
    pub(crate) capsule: &'a Capsule,
    pub(crate) function: &'a str,
    pub(crate) request_id: &'a str,
    /// The name of the call's receipt, where calls are recorded.
    pub(crate) receipt_id: Option<&'a str>,
}

impl Serialize for Answered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("success", &self.success)?;
        map.serialize_entry("output", &OutputView(self.output))?;
        map.serialize_entry("logs", &LogsView(self.logs))?;
        map.serialize_entry("telemetry", &Telemetry(self.usage))?;
        if let Some(hash) = self.intent_hash {
            map.serialize_entry("intent_hash", hash)?;
        }
        map.serialize_entry("capsule", &CapsuleView(self.capsule))?;
        map.serialize_entry("function", self.function)?;
        map.serialize_entry("request_id", self.request_id)?;
        if let Some(receipt_id) = self.receipt_id {
            map.serialize_entry("receipt_id", receipt_id)?;
        }
        map.end()
    }
}

impl Answered<'_> {
    /// The answer as JSON.
    pub(crate) fn to_json(&self) -> Result<Bytes, GatewayError> {
        let output_bytes = match self.output {
            Output::Bytes(bytes) => bytes.len().div_ceil(3).saturating_mul(4),
            // The size in the guest; escapes may make it larger, and the buffer then grows.
            Output::Json(_) => usize::try_from(self.usage.output_bytes).unwrap_or_default(),
        };
        let room = output_bytes + self.logs.stdout.len() + self.logs.stderr.len() + ENVELOPE_BYTES;
        let mut json = Vec::with_capacity(room);
        serde_json::to_writer(&mut json, self).map_err(|e| GatewayError::AnswerFailed { why: e.to_string() })?;
        Ok(json.into())
    }
}

/// SHA-256 of a value as compact JSON in UTF-8 with sorted members, in hexadecimal digits.
pub(crate) fn intent_hash(intent: &serde_json::Map<String, Value>) -> Result<String, GatewayError> {
    let mut hash = Hashing(sha2::Sha256::new());
    serde_json::to_writer(&mut hash, &SortedMap(intent))
        .map_err(|e| GatewayError::AnswerFailed { why: e.to_string() })?;
    Ok(hex(&hash.0.finalize().into()).to_string())
}

/// 32 bytes as hexadecimal digits, on the stack: every answer has two of them.
fn hex(bytes: &[u8; 32]) -> Hex {
    let mut digits = [0; 64];
    // It only fails when the lengths do not fit, and they do.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    Hex(digits)
}

struct Hex([u8; 64]);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

struct Hashing(sha2::Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intents_hash_is_over_compact_json_with_sorted_members() {
        let Value::Object(intent) = serde_json::from_str(r#"{ "b": [1, {"z": null, "a": "é"}], "a": 1.5 }"#).unwrap()
        else {
            panic!("an object")
        };
        let canonical = r#"{"a":1.5,"b":[1,{"a":"é","z":null}]}"#;
        assert_eq!(
            intent_hash(&intent).unwrap(),
            kinetic_model::Digest::of(canonical.as_bytes()).hex()
        );
    }

    #[test]
    fn bytes_are_written_as_base64() {
        let output = Output::Bytes(b"any bytes\xff".to_vec());
        let json = serde_json::to_value(OutputView(&output)).unwrap();
        assert_eq!(json, output.into_json());
    }
}
