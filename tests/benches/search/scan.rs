//! The peer: textbook BM25 over texts that were taken apart beforehand, one after the other, in floating point.

use std::cmp::Ordering;
use std::collections::HashMap;

const K1: f64 = 1.2;
const B: f64 = 0.75;
const RESULTS: usize = 10;

/// How often each word stands in a text, and how many words the text has.
struct Text {
    counts: HashMap<String, u32>,
    words: usize,
}

pub struct Scan {
    texts: Vec<Text>,
    words_mean: f64,
}

impl Scan {
    pub fn new(texts: impl Iterator<Item = String>) -> Self {
        let apart = |text: String| {
            let mut counts = HashMap::new();
            let mut words = 0;
            for word in text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
            {
                *counts.entry(word.to_lowercase()).or_default() += 1;
                words += 1;
            }
            Text { counts, words }
        };
        let texts: Vec<Text> = texts.map(apart).collect();
        let words_mean = texts.iter().map(|text| text.words).sum::<usize>() as f64 / texts.len() as f64;
        Self { texts, words_mean }
    }

    /// The best texts, by number.
    pub fn search(&self, query: &str) -> Vec<(usize, f64)> {
        let mut scores: Vec<(usize, f64)> = (0..self.texts.len()).map(|number| (number, 0.0)).collect();
        for word in query.split_whitespace() {
            let having = self.texts.iter().filter(|text| text.counts.contains_key(word)).count() as f64;
            let rarity = (1.0 + (self.texts.len() as f64 - having + 0.5) / (having + 0.5)).ln();
            for (text, (_, score)) in self.texts.iter().zip(&mut scores) {
                if let Some(count) = text.counts.get(word) {
                    let count = f64::from(*count);
                    let longer = text.words as f64 / self.words_mean;
                    *score += rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * longer));
                }
            }
        }
        scores.retain(|(_, score)| *score > 0.0);
        scores.sort_by(|(_, one), (_, other)| other.partial_cmp(one).unwrap_or(Ordering::Equal));
        scores.truncate(RESULTS);
        scores
    }
}
