//! The schemas of events and of rejected events.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// The key of the schema's version in its metadata.
pub const VERSION_KEY: &str = "kinetic.telemetry.version";

/// The version of both schemas.
pub const VERSION: &str = "1";

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    versioned([
        Field::new("stream", DataType::Utf8, false),
        Field::new("sequence", DataType::UInt64, true),
        Field::new("priority", DataType::UInt8, false),
        Field::new("tier", DataType::UInt8, true),
        Field::new("token", DataType::Utf8, true),
        Field::new("received_unix_ns", DataType::Int64, false),
        Field::new("topic", DataType::Utf8, false),
        Field::new("workflow_id", DataType::Utf8, true),
        Field::new("intent_id", DataType::Utf8, true),
        Field::new("node_cid", DataType::Utf8, true),
        Field::new("kind", DataType::Utf8, false),
        Field::new("model", DataType::Utf8, true),
        Field::new("finish_reason", DataType::Utf8, true),
        Field::new("prompt_tokens", DataType::Int64, true),
        Field::new("completion_tokens", DataType::Int64, true),
        Field::new("cached_tokens", DataType::Int64, true),
        Field::new("error", DataType::Utf8, true),
        Field::new("duration_ms", DataType::Float64, true),
        Field::new("data", DataType::Utf8, false),
    ])
});

static REJECTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    versioned([
        Field::new("line", DataType::UInt64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("data", DataType::Utf8, false),
    ])
});

fn versioned<const N: usize>(fields: [Field; N]) -> SchemaRef {
    let version = HashMap::from([(VERSION_KEY.to_owned(), VERSION.to_owned())]);
    Arc::new(Schema::new(Vec::from(fields)).with_metadata(version))
}

/// The schema of events: the first table of [the module](super).
pub fn schema() -> SchemaRef {
    Arc::clone(&EVENTS)
}

/// The schema of rejected events: the second table of [the module](super).
pub fn rejects_schema() -> SchemaRef {
    Arc::clone(&REJECTS)
}
