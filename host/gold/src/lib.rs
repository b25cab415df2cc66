//! Gold: what silver's events and the forget gate's losses say, in three tables that a notebook opens.
//!
//! [`Gold::refresh`] writes them as Parquet (zstd) into a folder, and [`tables()`] reads them back. A table's bytes depend
//! on the rows of silver and shed and on the prices alone: not on how the rows were cut into parts, nor on how many
//! refreshes it took, nor on when they came. Each file is complete under its name or as it was before.
//!
//! A refresh reads the parts that are new, and computes what they touch (workflows, capsules) from all its rows, so that
//! events that come late or out of order land where they belong; the other rows are taken over. `.progress.json`, written
//! last, says how far that is and which part holds what; when it does not fit the tables, all is computed anew.
//!
//! Parts are read in slices of at most 65,536 rows of a row group, so what is held does not follow their size: it is at
//! most [`GoldSettings::rows_at_once_max`] rows, and the tables themselves.
//!
//! # `metrics.parquet`: a row per workflow
//!
//! Sorted by `workflow_id`; all events that name no workflow are the last row.
//!
//! | column | type | unit | what |
//! |---|---|---|---|
//! | `workflow_id` | utf8, null | | |
//! | `events` | uint64 | events | rows of silver |
//! | `unique_nodes` | uint64 | nodes | different `node_cid` |
//! | `intents` | uint64 | intents | different `intent_id` |
//! | `prompt_tokens`, `completion_tokens`, `cached_tokens` | int64 | tokens | sums of silver's columns of that name; cached ones are among the prompt tokens |
//! | `cost` | float64 | the prices' currency | per model: `(prompt - cached)`, at least 0, `cached` and `completion`, each at its price; added up in the order of the models' names |
//! | `latency_p50_ms`, `_p95_ms`, `_p99_ms` | float64, null | ms | samples are each event's `duration_ms`, and of each (intent, node) with two events or more none of which has a `duration_ms`, the time from its first to its last event; no intent and no node count as one of their own |
//! | `first_token_p50_ms` | float64, null | ms | of each stream with a token: from its first event received to its token of the lowest sequence |
//! | `inter_token_p50_ms`, `_p95_ms`, `_p99_ms` | float64, null | ms | between tokens that follow each other by `sequence` in their stream; negative where they were received the other way round |
//! | `errors` | uint64 | events | `error` is not null |
//! | `error_rate` | float64, null | 0 to 1 | `errors / events` |
//! | `shed` | uint64 | events | dropped by the forget gate; a workflow of which all was dropped has a row, too |
//! | `shed_rate` | float64, null | 0 to 1 | `shed / (shed + events)` |
//! | `drift` | float64, null | 0 to 1 | Jensen-Shannon divergence, base 2, of the shares of the tokens in the earlier half (the smaller one of an odd number) and in the later half, ordered by (`received_unix_ns`, `stream`, `sequence`); null with fewer than 2 tokens |
//! | `first_unix_ns`, `last_unix_ns` | int64, null | ns since 1970 | `received_unix_ns` of the first and the last event received |
//!
//! A token is a `token` that is neither null nor empty. A percentile is by nearest rank: the smallest sample that at least
//! so many percent of the samples do not exceed; null without samples.
//!
//! # `usage_graph.parquet`: the nodes and edges of what used what
//!
//! An event names up to four steps: its workflow, intent, node and model. Each step is a node, and each that follows
//! another one is an edge: workflow → intent → node → model, where those an event does not name are passed over. Nodes and
//! edges are counted per workflow; add them up over `workflow_id` for the graph of all. Sorted by `workflow_id` (null
//! last), `kind`, `from_kind`, `from_id`, `to_kind`, `to_id`.
//!
//! | column | type | unit | what |
//! |---|---|---|---|
//! | `kind` | utf8 | | `edge` or `node` |
//! | `workflow_id` | utf8, null | | the workflow it was seen in |
//! | `from_kind` | utf8 | | `workflow`, `intent`, `node` or `model` |
//! | `from_id` | utf8 | | `workflow_id`, `intent_id`, `node_cid` or `model` |
//! | `to_kind`, `to_id` | utf8, null | | likewise; null of a node |
//! | `events` | uint64 | events | that name the node, or both ends of the edge next to each other |
//! | `errors` | uint64 | events | those of them with an `error` |
//!
//! # `capabilities.parquet`: a row per function of a capsule
//!
//! Made of events of the kind `execution`, whose `data` is the record of a call as JSON, or an envelope with the record
//! in its `data`. What a record does not say, or not as text or a whole number from 0, is in no sum and no percentile;
//! data that is no record is a call of the row without names. Sorted by `capsule`, `version`, `function`, null last.
//!
//! | column | type | unit | what |
//! |---|---|---|---|
//! | `capsule`, `version`, `function` | utf8, null | | of at most [`NAME_BYTES_MAX`] bytes; null when longer |
//! | `calls` | uint64 | calls | |
//! | `errors` | uint64 | calls | whose `outcome` is another than `ok` |
//! | `fuel_total` | uint64 | fuel | sum, at most 2^64 - 1 |
//! | `fuel_p50` | uint64, null | fuel | |
//! | `memory_peak_bytes_max` | uint64, null | bytes | the largest `peak_memory_bytes` |
//! | `wall_p50_ms`, `wall_p95_ms`, `wall_p99_ms` | float64, null | ms | of `wall_time_ns` |
//! | `input_bytes`, `output_bytes` | uint64 | bytes | sums, at most 2^64 - 1 |

mod capabilities;
mod drift;
mod error;
mod gather;
mod gold;
mod graph;
mod groups;
mod index;
mod interner;
mod metrics;
mod percentiles;
mod progress;
mod scan;
mod settings;
mod sources;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

pub use capabilities::NAME_BYTES_MAX;
pub use error::GoldError;
pub use gold::{Gold, Refreshed};
pub use settings::{GoldSettings, Price, Prices};
pub use sources::{Part, Sources};
pub use tables::{CAPABILITIES, CapabilityRow, METRICS, MetricsRow, Tables, USAGE_GRAPH, UsageRow, tables};
