//! Takes text apart into the words that count.

use super::WORD_CHARS_MAX;

/// Runs of letters and digits in lower case: `my_tool` and `my-tool` are two words, as people type them.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty());
    runs.map(|run| run.chars().flat_map(char::to_lowercase).take(WORD_CHARS_MAX).collect())
}
