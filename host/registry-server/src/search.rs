//! Finds capsules by words: counts in whole numbers, so that every server gives the same order.

use kinetic_model::{Digest, Urn};
use semver::Version;
use serde::Serialize;

use crate::manifest::Manifest;

/// Words of a question that are looked at; more are left out.
const WORDS_MAX: usize = 16;
/// The different words of a field that are kept, as of a host's search: what a capsule takes in memory is bounded.
const FIELD_WORDS_MAX: usize = 256;
/// The longest word, in characters; of a longer one its beginning counts.
const WORD_CHARS_MAX: usize = 64;
/// Scores of hosts are in these, and people see both beside each other.
const THOUSANDTHS: u32 = 1_000;
/// A word that begins as one of the question counts this much less than the word itself.
const WHOLE_WORD: u32 = 4;

/// A capsule as it is searched: each field with what a word in it counts, and its words.
#[derive(Clone, Debug)]
pub(crate) struct Words(Vec<(&'static str, u32, Vec<String>)>);

/// A capsule that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hit {
    pub(crate) urn: Urn,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
    /// How well it fits, in thousandths as of a host; it means something only beside others of one answer.
    pub(crate) score: u32,
    pub(crate) why: Vec<Reason>,
}

/// A word of the question, and the field it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    pub(crate) field: &'static str,
    pub(crate) word: String,
}

impl Words {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let functions = manifest.functions.keys().map(String::as_str);
        let texts = manifest
            .functions
            .values()
            .flat_map(|function| [&function.title, &function.description]);
        let texts = texts.filter_map(Option::as_deref);
        let title = manifest.title.iter().map(String::as_str);
        let fields = [
            ("name", 8, words([manifest.id.name()])),
            ("title", 4, words(title)),
            ("functions", 4, words(functions)),
            ("namespace", 2, words([manifest.id.namespace()])),
            ("description", 2, words([manifest.description.as_str()])),
            ("function descriptions", 1, words(texts)),
        ];
        Self(fields.into())
    }

    /// How well it fits the words of a question, and why; nothing of it unless every word is somewhere in it.
    pub(crate) fn score(&self, question: &[String]) -> Option<(u32, Vec<Reason>)> {
        let (mut score, mut why) = (0_u32, Vec::new());
        for asked in question {
            let before = why.len();
            for &(field, weight, ref words) in &self.0 {
                let is = words.iter().any(|word| word == asked);
                if is || words.iter().any(|word| word.starts_with(asked.as_str())) {
                    score = score.saturating_add(if is { weight * WHOLE_WORD } else { weight });
                    why.push(Reason {
                        field,
                        word: asked.clone(),
                    });
                }
            }
            if why.len() == before {
                return None;
            }
        }
        Some((score.saturating_mul(THOUSANDTHS), why))
    }
}

/// The words of a question: lower case, each once.
pub(crate) fn question(text: &str) -> Vec<String> {
    let mut asked = words([text]);
    asked.truncate(WORDS_MAX);
    asked
}

/// The best first; those that fit as well in the order of their URNs.
pub(crate) fn ranked(mut hits: Vec<Hit>, limit: usize) -> Vec<Hit> {
    hits.sort_by(|a, b| (b.score, &a.urn).cmp(&(a.score, &b.urn)));
    hits.truncate(limit);
    hits
}

fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let words = texts
        .into_iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect::<String>().to_lowercase());
    words
        .filter(|word| seen.insert(word.clone()))
        .take(FIELD_WORDS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capsule(name: &str, description: &str) -> Words {
        let text = serde_json::json!({
            "id": format!("urn:acme:actionspace:solver:{name}:v1"), "version": "1.0.0", "description": description,
            "functions": { "count-words": { "description": "Counts." } },
        });
        Words::of(&Manifest::parse(&text.to_string()).unwrap())
    }

    #[test]
    fn a_name_counts_more_than_a_description_and_a_whole_word_more_than_its_beginning() {
        let score = |words: &Words, asked: &str| words.score(&question(asked)).map(|(score, _)| score);
        let (named, described) = (capsule("redact", "Hides names."), capsule("mask", "Can redact names."));
        assert!(score(&named, "redact") > score(&described, "redact"));
        assert!(score(&named, "redact") > score(&named, "reda"));
        assert_eq!(score(&named, "weather"), None);
        assert_eq!(score(&named, "redact weather"), None, "every word must be somewhere");
        let (_, why) = named.score(&question("Words")).unwrap();
        let expected = Reason {
            field: "functions",
            word: "words".into(),
        };
        assert_eq!(why, [expected]);
    }

    #[test]
    fn a_question_is_words_each_once_and_bounded() {
        assert_eq!(question("Redact, redact  PII-data!"), ["redact", "pii", "data"]);
        let many: Vec<String> = (0..100).map(|n| format!("w{n}")).collect();
        assert_eq!(question(&many.join(" ")).len(), WORDS_MAX);
        assert!(question("  --- ").is_empty());
        assert_eq!(question(&"x".repeat(100)), ["x".repeat(WORD_CHARS_MAX)]);
        let long: Vec<_> = (0..1_000).map(|n| format!("w{n}")).collect();
        let Words(fields) = capsule("redact", &long.join(" "));
        assert!(fields.iter().all(|(_, _, words)| words.len() <= FIELD_WORDS_MAX));
    }
}
