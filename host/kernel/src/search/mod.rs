//! Finds capsules by words: an index over what their manifests and functions say, in memory and without I/O.
//!
//! Two ways of looking, one number. A word that stands in a text counts by BM25, per field of the manifest and with the
//! field's weight (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009). A word that
//! stands nowhere is compared with every word that does, as vectors of their character trigrams, and the nearest count in
//! its place, the less the farther away they are. Everything is computed in integers, so the order of the results is the
//! same on every machine; capsules of the same score stand in the order of their URNs.

mod document;
mod field;
mod index;
mod look;
mod query;
mod score;
mod spelling;
#[cfg(test)]
mod tests;
mod vocabulary;
mod words;

pub use document::Document;
pub use field::Field;
pub use index::Index;
pub use look::{Ranked, Ranking, Why};
pub use query::Query;

/// The most capsules an index holds, whatever their versions.
pub const DOCUMENTS_MAX: usize = 16_384;
/// The most different words an index knows.
pub const VOCABULARY_WORDS_MAX: usize = 131_072;
/// The words of a field that count; what comes after them is not looked at.
pub const FIELD_WORDS_MAX: usize = 256;
/// The longest word, in characters; of a longer one its beginning counts.
pub const WORD_CHARS_MAX: usize = 64;
/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 1_024;
/// The most different words of a query.
pub const QUERY_WORDS_MAX: usize = 16;
/// The results of a query that names no limit.
pub const RESULTS_DEFAULT: usize = 10;
/// The most results of a query.
pub const RESULTS_MAX: usize = 100;
/// The words of a query that are looked for by their spelling; each of them is compared with the whole vocabulary.
pub const GUESSES_MAX: usize = 4;
