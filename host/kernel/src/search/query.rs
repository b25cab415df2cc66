//! What somebody looks for, checked before anything is looked at.

use super::words::words;
use super::{QUERY_BYTES_MAX, QUERY_WORDS_MAX, RESULTS_DEFAULT, RESULTS_MAX};
use crate::KernelError;

/// Words to look for, each once, and how many results are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(super) words: Vec<String>,
    pub(super) results_max: usize,
}

impl Query {
    /// Reads a query: words in any order, separated by anything that is neither letter nor digit.
    ///
    /// # Errors
    /// [`KernelError::BadSearch`] when there is no word in it, or when it is beyond one of the limits of this module.
    pub fn parse(text: &str, results_max: Option<usize>) -> Result<Self, KernelError> {
        let bad = |why: String| Err(KernelError::BadSearch { why });
        if text.len() > QUERY_BYTES_MAX {
            return bad(format!("it has {} bytes", text.len()));
        }
        let results_max = results_max.unwrap_or(RESULTS_DEFAULT);
        if !(1..=RESULTS_MAX).contains(&results_max) {
            return bad(format!("it asks for {results_max} results"));
        }
        let mut distinct: Vec<String> = Vec::new();
        for word in words(text) {
            if !distinct.contains(&word) {
                distinct.push(word);
            }
        }
        match distinct.len() {
            0 => bad("there is no word in it".into()),
            1..=QUERY_WORDS_MAX => Ok(Self {
                words: distinct,
                results_max,
            }),
            more => bad(format!("it has {more} different words")),
        }
    }
}
