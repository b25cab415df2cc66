//! Reads telemetry as it arrives, JSON in any of the shapes that occur, into record batches of one schema.
//!
//! An event is a JSON object: an envelope whose `data` is a text (an SSE data field, `[DONE]` too) or an object
//! (CloudEvents), or a chunk of an OpenAI-style stream, a JSON-RPC message or an execution's record itself. Each becomes
//! one row:
//!
//! | column | type | from |
//! |---|---|---|
//! | `stream` | utf8 | `{workflow_id}/{intent_id}`, empty for one that is missing: events of no workflow and no intent share the numbers of one stream, as they share the keys of their ids |
//! | `sequence` | uint64, null | `sequence`, a whole number from 0 to 2^63 - 1 |
//! | `priority` | uint8 | `priority`: `DEBUG` 0, `INFO` 1, `METRIC` 2, `WARNING` 3, `CRITICAL` 4 in any case, or 0 to 4; else errors are `WARNING`, frames with usage and `[DONE]` `METRIC`, all others `INFO` |
//! | `tier` | uint8, null | `tier` or `determinism`: `D0` 0, `D1` 1, `D2` 2, `NX` 3, their long names (`D0_bit_exact`), or 0 to 3 |
//! | `token` | utf8, null | the event's `token`, else `choices[0].delta.content` or `choices[0].text` |
//! | `received_unix_ns` | int64 | `received_unix_ns`, a whole number, else the reader's clock |
//! | `topic` | utf8 | `topic`, of the form `seg(.seg)+.vN`; `telemetry.events.v1` when there is none |
//! | `workflow_id`, `intent_id`, `node_cid` | utf8, null | the fields of that name; a number as it is written |
//! | `kind` | utf8 | `chat.chunk`, `chat.usage`, `text.chunk`, `text.usage`, `done`, `jsonrpc.request`, `jsonrpc.notification`, `jsonrpc.result`, `jsonrpc.error`, `execution` (it has a `receipt_id`), `other` |
//! | `model` | utf8, null | `model` |
//! | `finish_reason` | utf8, null | `choices[0].finish_reason` |
//! | `prompt_tokens`, `completion_tokens` | int64, null | the fields of that name in `usage` |
//! | `cached_tokens` | int64, null | `usage.prompt_tokens_details.cached_tokens` |
//! | `error` | utf8, null | `error.message`, an `error` that is a text, or the JSON of another one; at most [`ERROR_BYTES_MAX`] |
//! | `duration_ms` | float64, null | `duration_ms`, or `latency_ns` or `wall_time_ns` in milliseconds |
//! | `data` | utf8 | what arrived: the event's `data` when that is a text and the other columns say all the rest, else the event's JSON, byte for byte |
//!
//! What a frame inside `data` says is read from there: its kind, model, usage, error, tier and duration, and its ids and
//! sequence when the envelope names neither workflow nor intent. Topic, priority and time are the envelope's alone.
//! Fields of another type than this table's are as good as missing; `data` keeps them.
//!
//! What is no JSON object, or breaks a limit, becomes a row of the rejects:
//!
//! | column | type | what |
//! |---|---|---|
//! | `line` | uint64 | the line, from 1; in a JSON document the number of the element |
//! | `reason` | utf8 | why it was rejected, a sentence |
//! | `data` | utf8 | what arrived, at most [`REJECT_DATA_BYTES_MAX`]; bytes that are not UTF-8 become U+FFFD |
//!
//! Both schemas carry [`VERSION_KEY`] in their metadata.

mod document;
mod fields;
mod frame;
mod framer;
mod json;
mod lines;
mod names;
mod parse;
mod reader;
mod rejects;
mod rows;
mod schema;
#[cfg(test)]
pub(crate) mod tests;

pub use framer::Framing;
pub(crate) use names::is_topic;
pub use names::{DEFAULT_TOPIC, PRIORITY_MAX, priority, priority_name};
pub use reader::{Batch, Reader, ReaderSettings, Rejected, Totals};
pub use schema::{VERSION, VERSION_KEY, rejects_schema, schema};

/// The longest event, in bytes.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// How deep an event's objects and arrays may lie in each other.
pub const DEPTH_MAX: usize = 64;

/// The longest `workflow_id`, `intent_id` or `node_cid`, in bytes: whoever keeps numbers per stream holds them in memory.
pub const ID_BYTES_MAX: usize = 512;

/// The longest text in the column `error`, in bytes; the rest of it is in `data`.
pub const ERROR_BYTES_MAX: usize = 512;

/// How much of a rejected event is kept, in bytes.
pub const REJECT_DATA_BYTES_MAX: usize = 64 << 10;

/// How many rejected events [`Totals`] lists; all of them are counted, and all are rows of the rejects.
pub const REJECTS_LISTED_MAX: usize = 100;
