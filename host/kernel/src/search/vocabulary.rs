//! Every word the index knows: where it stands, and how it is spelled.

use std::collections::HashMap;
use std::sync::Arc;

use super::Field;
use super::spelling::Spelling;

/// Shorter words are not looked for by their spelling: too many words look like them.
const GUESSED_CHARS_MIN: usize = 4;
/// How much longer or shorter a word may be than the one it is taken for, in characters.
const GUESSED_CHARS_APART_MAX: usize = 3;
/// How much a word must look like the one it is taken for.
const SIMILAR_MILLI_MIN: u64 = 550;
/// The nearest words that count in the place of one that is not known.
const NEAREST_MAX: usize = 3;

/// A word's number; that of a word which is gone is given to another.
pub(super) type WordId = u32;

/// A word in a field of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    /// Which document.
    pub(super) document: u32,
    /// Which field of it.
    pub(super) field: Field,
    /// How often it stands there.
    pub(super) count: u16,
    /// How many words the field has.
    pub(super) words: u16,
}

impl Posting {
    fn place(&self) -> (u32, Field) {
        (self.document, self.field)
    }
}

/// A word that is known.
#[derive(Clone, Debug, Default)]
struct Word {
    text: Arc<str>,
    /// Sorted by document, then by field.
    postings: Vec<Posting>,
    /// How many documents have it.
    documents: u64,
}

/// All words.
#[derive(Default)]
pub(super) struct Vocabulary {
    ids: HashMap<Arc<str>, WordId>,
    words: Vec<Word>,
    /// Beside the words, not in them, because all of them are read one after the other; none where the word is gone.
    spellings: Vec<Option<Spelling>>,
    free: Vec<WordId>,
}

impl Vocabulary {
    /// How many words are known.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn id(&self, word: &str) -> Option<WordId> {
        self.ids.get(word).copied()
    }

    pub(super) fn text(&self, id: WordId) -> &str {
        self.word(id).map_or("", |word| &word.text)
    }

    /// Where a word stands, sorted by document, then by field.
    pub(super) fn postings(&self, id: WordId) -> &[Posting] {
        self.word(id).map_or(&[], |word| &word.postings)
    }

    /// Where a word stands in one document.
    pub(super) fn postings_in(&self, id: WordId, document: u32) -> &[Posting] {
        let all = self.postings(id);
        let from = all.partition_point(|posting| posting.document < document);
        let to = all.partition_point(|posting| posting.document <= document);
        all.get(from..to).unwrap_or_default()
    }

    /// How many documents have a word.
    pub(super) fn documents_with(&self, id: WordId) -> u64 {
        self.word(id).map_or(0, |word| word.documents)
    }

    /// Notes where a word stands, and learns it if it is new.
    pub(super) fn add(&mut self, word: &str, posting: Posting) -> WordId {
        let id = self.id(word).unwrap_or_else(|| self.learn(word));
        if let Some(word) = self.words.get_mut(id as usize) {
            let at = word.postings.partition_point(|there| there.place() < posting.place());
            let new = |beside: Option<&Posting>| beside.is_none_or(|there| there.document != posting.document);
            let before = at.checked_sub(1).and_then(|before| word.postings.get(before));
            if new(before) && new(word.postings.get(at)) {
                word.documents += 1;
            }
            word.postings.insert(at, posting);
        }
        id
    }

    /// Takes a word out of a document, from all of its fields, and forgets it if it stands nowhere else.
    pub(super) fn take(&mut self, id: WordId, document: u32) {
        let Some(word) = self.words.get_mut(id as usize) else {
            return;
        };
        let from = word.postings.partition_point(|posting| posting.document < document);
        let to = word.postings.partition_point(|posting| posting.document <= document);
        if from == to {
            return;
        }
        word.postings.drain(from..to);
        word.documents -= 1;
        if word.documents == 0 {
            let gone = std::mem::take(word);
            self.ids.remove(&gone.text);
            if let Some(spelling) = self.spellings.get_mut(id as usize) {
                *spelling = None;
            }
            self.free.push(id);
        }
    }

    /// The known words that look most like one that is not, and how much, in thousandths: the nearest first, those as near
    /// in the order of the alphabet.
    pub(super) fn nearest(&self, word: &str) -> Vec<(WordId, u64)> {
        let asked = Spelling::of(word);
        if asked.chars() < GUESSED_CHARS_MIN {
            return Vec::new();
        }
        let ids = 0_u32..;
        let mut found: Vec<(WordId, u64)> = ids
            .zip(&self.spellings)
            .filter_map(|(id, spelling)| {
                let spelling = spelling.as_ref()?;
                if spelling.chars().abs_diff(asked.chars()) > GUESSED_CHARS_APART_MAX {
                    return None;
                }
                let similarity = asked.similarity_milli(spelling);
                (similarity >= SIMILAR_MILLI_MIN).then_some((id, similarity))
            })
            .collect();
        found.sort_unstable_by(|(a, a_similarity), (b, b_similarity)| {
            b_similarity
                .cmp(a_similarity)
                .then_with(|| self.text(*a).cmp(self.text(*b)))
        });
        found.truncate(NEAREST_MAX);
        found
    }

    fn word(&self, id: WordId) -> Option<&Word> {
        self.words.get(id as usize)
    }

    fn learn(&mut self, text: &str) -> WordId {
        let text: Arc<str> = text.into();
        let (spelling, word) = (
            Some(Spelling::of(&text)),
            Word {
                text: text.clone(),
                ..Word::default()
            },
        );
        let id = match self.free.pop() {
            Some(id) => {
                if let (Some(place), Some(spelled)) =
                    (self.words.get_mut(id as usize), self.spellings.get_mut(id as usize))
                {
                    (*place, *spelled) = (word, spelling);
                }
                id
            }
            None => {
                // The limit on words is far below what fits.
                let id = WordId::try_from(self.words.len()).unwrap_or(WordId::MAX);
                self.words.push(word);
                self.spellings.push(spelling);
                id
            }
        };
        self.ids.insert(text, id);
        id
    }
}
