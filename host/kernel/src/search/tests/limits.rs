//! Nothing grows without a bound.

use super::super::{
    DOCUMENTS_MAX, FIELD_WORDS_MAX, GUESSES_MAX, QUERY_BYTES_MAX, QUERY_WORDS_MAX, RESULTS_MAX, VOCABULARY_WORDS_MAX,
    WORD_CHARS_MAX,
};
use super::*;
use crate::KernelError;

fn refused(text: &str, limit: Option<usize>) -> bool {
    matches!(Query::parse(text, limit), Err(KernelError::BadSearch { .. }))
}

#[test]
fn a_query_has_words_and_not_too_many_of_them() {
    for empty in ["", " \t\n", "!?-…", "\u{0}\u{1b}["] {
        assert!(refused(empty, None), "{empty:?}");
    }
    assert!(refused(&"é".repeat(QUERY_BYTES_MAX / 2 + 1), None));
    assert!(!refused(&"é".repeat(QUERY_BYTES_MAX / 2), None));
    let many = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    assert!(!refused(&many(QUERY_WORDS_MAX), None) && refused(&many(QUERY_WORDS_MAX + 1), None));
    assert!(!refused(&"same ".repeat(100), None), "a word counts once");
    assert!(refused("x", Some(0)) && refused("x", Some(RESULTS_MAX + 1)) && !refused("x", Some(RESULTS_MAX)));
}

#[test]
fn the_fix_of_a_refused_query_names_the_limits_that_hold() {
    use kinetic_model::Coded as _;
    let fix = Query::parse("", None).unwrap_err().fix();
    for number in [QUERY_WORDS_MAX, QUERY_BYTES_MAX, RESULTS_MAX] {
        assert!(fix.contains(&number.to_string()), "{fix}");
    }
}

#[test]
fn one_capsule_too_many_is_refused_and_those_that_are_there_may_change() {
    let numbered = |n: usize| document(&format!("n{n}"), "one of many");
    let mut index = index((0..DOCUMENTS_MAX).map(numbered));
    let full = index.put(numbered(DOCUMENTS_MAX));
    assert!(matches!(
        full,
        Err(KernelError::SearchFull {
            count_max: DOCUMENTS_MAX,
            ..
        })
    ));
    index.put(document("n7", "now about pelicans")).unwrap();
    assert_eq!(names(&search(&index, "pelicans")), ["n7"]);
    index.remove(&urn("n8"));
    index.put(numbered(DOCUMENTS_MAX)).unwrap();
    assert_eq!(search(&index, "many").hits.len(), 10);
}

#[test]
fn one_word_too_many_is_refused_and_the_index_is_as_it_was() {
    let mut index = Index::default();
    let words = |of: usize| {
        (0..FIELD_WORDS_MAX)
            .map(|n| format!("x{of}y{n}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let last = (0..DOCUMENTS_MAX).find(|n| index.put(document(&format!("n{n}"), &words(*n))).is_err());
    let last = last.unwrap();
    assert!(last >= VOCABULARY_WORDS_MAX / (FIELD_WORDS_MAX + 10), "{last}");
    assert_eq!((index.len(), index.vocabulary.id(&format!("x{last}y0"))), (last, None));
}

#[test]
fn of_an_endless_text_and_an_endless_word_the_beginning_counts() {
    let text = format!("first {} last", "middle ".repeat(FIELD_WORDS_MAX));
    let long = "ab".repeat(WORD_CHARS_MAX);
    let index = index([document("text", &text), document("word", &long)]);
    assert_eq!(names(&search(&index, "first")), ["text"]);
    assert!(
        search(&index, "last")
            .hits
            .iter()
            .all(|hit| hit.why.iter().all(|why| why.spelled_like.is_some()))
    );
    assert_eq!(
        names(&search(&index, &long)),
        ["word"],
        "the query's word is cut the same way"
    );
    assert!(search(&index, "first").hits[0].description.chars().count() <= 301);
}

#[test]
fn only_the_first_unknown_words_are_looked_for_by_their_spelling() {
    let index = examples();
    let before: Vec<_> = (0..GUESSES_MAX).map(|n| format!("zzqj{n}")).collect();
    let before = before.join(" ");
    assert!(search(&index, &format!("{before} redcat")).hits.is_empty());
    assert_eq!(names(&search(&index, &format!("redcat {before}"))), ["redact"]);
}
