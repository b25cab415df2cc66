//! The same search without an index: everything counted anew, word by word, for each query.

use std::collections::{BTreeMap, BTreeSet};

use super::super::score::{FieldSize, frequency, points, rarity};
use super::super::spelling::Spelling;
use super::super::words::words;
use super::super::{FIELD_WORDS_MAX, GUESSES_MAX};
use super::*;

/// The words of one field of a document.
fn field_words(document: &Document, field: Field) -> Vec<String> {
    let texts = document.texts.iter().filter(|(of, _)| *of == field);
    texts.flat_map(|(_, text)| words(text)).take(FIELD_WORDS_MAX).collect()
}

fn has(document: &Document, word: &str) -> bool {
    Field::ALL
        .iter()
        .any(|field| field_words(document, *field).iter().any(|there| there == word))
}

/// The nearest three known words of at least 550 thousandths, for words of four letters or more.
fn nearest(known: &BTreeSet<String>, asked: &str) -> Vec<(String, u64)> {
    let (spelling, chars) = (Spelling::of(asked), asked.chars().count());
    let mut near: Vec<(String, u64)> = known
        .iter()
        .filter(|word| chars >= 4 && word.chars().count().abs_diff(chars) <= 3)
        .map(|word| (word.clone(), spelling.similarity_milli(&Spelling::of(word))))
        .filter(|(_, similarity)| *similarity >= 550)
        .collect();
    // The words are in the order of the alphabet already, and the sort is stable.
    near.sort_by_key(|(_, similarity)| std::cmp::Reverse(*similarity));
    near.truncate(3);
    near
}

/// URNs and scores, best first.
pub fn search(documents: &[Document], query: &str) -> Vec<(Urn, u64)> {
    let known: BTreeSet<String> = documents
        .iter()
        .flat_map(|document| Field::ALL.into_iter().flat_map(|field| field_words(document, field)))
        .collect();
    let size = |field: Field| FieldSize {
        words: documents
            .iter()
            .map(|document| field_words(document, field).len() as u64)
            .sum(),
        documents: documents
            .iter()
            .filter(|document| !field_words(document, field).is_empty())
            .count() as u64,
    };
    let sizes: BTreeMap<Field, FieldSize> = Field::ALL.into_iter().map(|field| (field, size(field))).collect();
    let (mut asked, mut seen, mut guesses) = (Vec::new(), BTreeSet::new(), 0);
    for word in words(query).filter(|word| seen.insert(word.clone())) {
        if known.contains(&word) {
            asked.push((word, 1_000));
        } else if guesses < GUESSES_MAX {
            guesses += 1;
            asked.extend(nearest(&known, &word));
        }
    }
    let mut scores: Vec<(Urn, u64)> = documents.iter().map(|document| (document.urn.clone(), 0)).collect();
    for (word, similarity) in &asked {
        let having = documents.iter().filter(|document| has(document, word)).count() as u64;
        for (document, (_, score)) in documents.iter().zip(&mut scores) {
            for field in Field::ALL {
                let there = field_words(document, field);
                let count = there.iter().filter(|other| *other == word).count() as u64;
                if count > 0 {
                    let often = frequency(count, there.len() as u64, sizes[&field]);
                    *score += points(
                        field.weight(),
                        rarity(documents.len() as u64, having),
                        often,
                        *similarity,
                    );
                }
            }
        }
    }
    scores.retain(|(_, score)| *score > 0);
    scores.sort_by(|(urn, score), (other, other_score)| other_score.cmp(score).then_with(|| urn.cmp(other)));
    scores
}
