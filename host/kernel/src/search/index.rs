//! The index itself: what is in it, put and taken out one capsule at a time.

use std::collections::{BTreeMap, BTreeSet};

use kinetic_model::Urn;
use semver::Version;

use super::field::FIELDS;
use super::score::FieldSize;
use super::vocabulary::{Posting, Vocabulary, WordId};
use super::words::words;
use super::{DOCUMENTS_MAX, Document, FIELD_WORDS_MAX, Field, VOCABULARY_WORDS_MAX};
use crate::KernelError;

/// What is kept of a description, in characters: it is shown, not read.
const SHOWN_CHARS_MAX: usize = 300;

/// A capsule in the index.
pub(super) struct Stored {
    pub(super) urn: Urn,
    pub(super) version: Version,
    pub(super) title: Option<String>,
    pub(super) description: String,
    /// How many words each field has.
    lengths: [u16; FIELDS],
    /// The words of all fields, each once.
    words: BTreeSet<WordId>,
}

/// An index over capsules, one document for each URN.
#[derive(Default)]
pub struct Index {
    pub(super) vocabulary: Vocabulary,
    slots: BTreeMap<Urn, u32>,
    documents: Vec<Option<Stored>>,
    free: Vec<u32>,
    sizes: [FieldSize; FIELDS],
}

/// A document's words: how often each stands in which field, and how many words each field has.
#[derive(Default)]
struct Counted {
    counts: BTreeMap<(String, Field), u16>,
    lengths: [u16; FIELDS],
}

impl Counted {
    fn of(document: &Document) -> Self {
        let mut counted = Self::default();
        for (field, text) in &document.texts {
            let Some(length) = counted.lengths.get_mut(field.place()) else {
                continue;
            };
            let room = FIELD_WORDS_MAX.saturating_sub(usize::from(*length));
            for word in words(text).take(room) {
                *length += 1;
                *counted.counts.entry((word, *field)).or_default() += 1;
            }
        }
        counted
    }
}

impl Index {
    /// How many capsules are in it.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Puts a capsule in, in the place of what was there under its URN.
    ///
    /// # Errors
    /// [`KernelError::SearchFull`] when it would hold more than [`DOCUMENTS_MAX`] capsules or know more than
    /// [`VOCABULARY_WORDS_MAX`] words; it is then as it was.
    pub fn put(&mut self, document: Document) -> Result<(), KernelError> {
        let full = |what: &str, count_max: usize| KernelError::SearchFull {
            what: what.into(),
            count_max,
        };
        let counted = Counted::of(&document);
        if self.len() >= DOCUMENTS_MAX && !self.slots.contains_key(&document.urn) {
            return Err(full("capsules", DOCUMENTS_MAX));
        }
        let words: BTreeSet<&str> = counted.counts.keys().map(|(word, _)| word.as_str()).collect();
        let new = words.iter().filter(|word| self.vocabulary.id(word).is_none()).count();
        if self.vocabulary.len() + new > VOCABULARY_WORDS_MAX {
            return Err(full("words", VOCABULARY_WORDS_MAX));
        }
        self.remove(&document.urn);
        self.insert(document, counted);
        Ok(())
    }

    fn insert(&mut self, document: Document, counted: Counted) {
        // The limit on documents is far below what fits.
        let next = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        let slot = self.free.pop().unwrap_or(next);
        let mut words = BTreeSet::new();
        for ((word, field), count) in &counted.counts {
            let posting = Posting {
                document: slot,
                field: *field,
                count: *count,
                words: counted.lengths.get(field.place()).copied().unwrap_or_default(),
            };
            words.insert(self.vocabulary.add(word, posting));
        }
        for (size, length) in self.sizes.iter_mut().zip(counted.lengths) {
            size.words += u64::from(length);
            size.documents += u64::from(length > 0);
        }
        let Document {
            urn,
            version,
            title,
            description,
            ..
        } = document;
        self.slots.insert(urn.clone(), slot);
        let stored = Some(Stored {
            urn,
            version,
            title: title.as_deref().map(shown),
            description: shown(&description),
            lengths: counted.lengths,
            words,
        });
        match self.documents.get_mut(slot as usize) {
            Some(place) => *place = stored,
            None => self.documents.push(stored),
        }
    }

    /// Takes out what is there under a URN; says whether anything was.
    pub fn remove(&mut self, urn: &Urn) -> bool {
        let Some(slot) = self.slots.remove(urn) else {
            return false;
        };
        let Some(stored) = self.documents.get_mut(slot as usize).and_then(Option::take) else {
            return false;
        };
        for word in stored.words {
            self.vocabulary.take(word, slot);
        }
        for (size, length) in self.sizes.iter_mut().zip(stored.lengths) {
            size.words -= u64::from(length);
            size.documents -= u64::from(length > 0);
        }
        self.free.push(slot);
        true
    }

    /// How many slots documents have, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.documents.len()
    }

    pub(super) fn stored(&self, slot: u32) -> Option<&Stored> {
        self.documents.get(slot as usize)?.as_ref()
    }

    pub(super) fn size(&self, field: Field) -> FieldSize {
        self.sizes.get(field.place()).copied().unwrap_or_default()
    }
}

/// As much of a text as is shown.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_string(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
