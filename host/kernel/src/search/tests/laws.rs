//! What holds whatever is put in, in whatever order.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

const WORDS: [&str; 20] = [
    "redact", "redacts", "text", "texts", "table", "tables", "chunk", "chunks", "markdown", "column", "columns",
    "größe", "图片", "a", "in", "json", "d0", "bit", "session", "tenant",
];
const FIELDS: [Field; 6] = [
    Field::Title,
    Field::Function,
    Field::Provides,
    Field::FunctionText,
    Field::Requires,
    Field::Zone,
];

fn text() -> impl Strategy<Value = String> {
    vec(select(WORDS.to_vec()), 0..8).prop_map(|words| words.join(" "))
}

fn documents() -> impl Strategy<Value = Vec<Document>> {
    let names: Vec<usize> = (0..12).collect();
    let one = (text(), vec((select(FIELDS.to_vec()), text()), 0..4));
    (subsequence(names, 0..12), vec(one, 12)).prop_map(|(names, texts)| {
        let of = |(name, (description, more)): (usize, (String, Vec<(Field, String)>))| {
            let begun = document(&format!("n{name}"), &description);
            more.into_iter()
                .fold(begun, |document, (field, text)| document.with(field, text))
        };
        names.into_iter().zip(texts).map(of).collect()
    })
}

/// Words that are there, words that look like them, and words that do not.
fn query() -> impl Strategy<Value = String> {
    let misspelled = select(WORDS.to_vec()).prop_map(|word| {
        let mut letters: Vec<char> = word.chars().collect();
        let middle = letters.len() / 2;
        letters.swap(middle, middle.saturating_sub(1));
        letters.into_iter().collect::<String>()
    });
    let known = select(WORDS.to_vec()).prop_map(String::from);
    vec(prop_oneof![known, misspelled, "[a-z0-9]{1,8}"], 1..8).prop_map(|words| words.join(" "))
}

fn all(index: &Index, query: &str) -> Ranking {
    index.search(&Query::parse(query, Some(100)).unwrap())
}

proptest! {
    #[test]
    fn an_index_finds_what_counting_everything_anew_finds(documents in documents(), query in query()) {
        let found = all(&index(documents.clone()), &query);
        let scores: Vec<_> = found.hits.iter().map(|hit| (hit.urn.clone(), hit.score)).collect();
        prop_assert_eq!(scores, oracle::search(&documents, &query));
    }

    #[test]
    fn the_order_of_putting_does_not_matter(
        (documents, shuffled) in documents().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        query in query(),
    ) {
        prop_assert_eq!(all(&index(documents), &query), all(&index(shuffled), &query));
    }

    #[test]
    fn taking_out_undoes_putting_in(kept in documents(), others in documents(), query in query()) {
        let mut changed = index(kept.iter().chain(&others).cloned());
        for other in &others {
            prop_assert!(changed.remove(&other.urn));
        }
        let mut undone = index(kept.clone());
        for other in &others {
            undone.remove(&other.urn);
        }
        prop_assert_eq!(all(&changed, &query), all(&undone, &query));
        prop_assert_eq!(changed.len(), undone.len());
        prop_assert_eq!(changed.vocabulary.len(), undone.vocabulary.len());
    }

    #[test]
    fn putting_again_takes_the_place_of_what_was_there(first in documents(), second in documents(), query in query()) {
        let mut replaced = first.clone();
        replaced.retain(|document| second.iter().all(|other| other.urn != document.urn));
        replaced.extend(second.clone());
        let changed = index(first.into_iter().chain(second));
        prop_assert_eq!(all(&changed, &query), all(&index(replaced), &query));
    }

    #[test]
    fn any_text_can_be_put_in_and_asked_for(description in any::<String>(), query in any::<String>()) {
        let index = index([document("any", &description)]);
        if let Ok(query) = Query::parse(&query, None) {
            let found = index.search(&query);
            prop_assert!(found.hits.len() <= 1);
            prop_assert_eq!(found.found, found.hits.len());
        }
        if let Ok(query) = Query::parse(&description, None) {
            prop_assert_eq!(index.search(&query).unknown.len(), 0, "every word of a text is known");
        }
    }
}
