//! What people type, and what they should get.

use super::*;

#[test]
fn a_word_of_a_name_a_function_or_a_sentence_finds_its_capsule_first() {
    let index = examples();
    for (query, first) in [
        ("redact", "redact"),
        ("scrub", "redact"),
        ("payment cards", "redact"),
        ("split text into pieces", "chunk"),
        ("csv", "profile"),
        ("describe table", "profile"),
        ("d0 bit exact", "profile"),
        ("codec", "thumbnail"),
        ("urn:acme:actionspace:solver:chunk:v1", "chunk"),
    ] {
        assert_eq!(names(&search(&index, query)).first(), Some(&first), "{query}");
    }
}

#[test]
fn a_misspelled_word_finds_what_was_meant_and_says_so() {
    let index = examples();
    for (query, first, meant) in [
        ("redcat", "redact", "redact"),
        ("redacting", "redact", "redact"),
        ("adresses", "redact", "addresses"),
        ("emial paymnet", "redact", "payment"),
        ("markdwon", "chunk", "markdown"),
        ("retreival", "chunk", "retrieval"),
        ("thumbnial", "thumbnail", "thumbnail"),
        ("colum", "profile", "column"),
    ] {
        let found = search(&index, query);
        assert_eq!(names(&found).first(), Some(&first), "{query}: {found:#?}");
        let likes = found.hits[0].why.iter().filter_map(|why| why.spelled_like.as_deref());
        assert!(
            likes.clone().any(|like| like == meant),
            "{query}: {:?}",
            likes.collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_looks_like_nothing_finds_nothing_and_is_named() {
    let found = search(&examples(), "zebra xylophone csv");
    assert_eq!(found.unknown, ["zebra", "xylophone"]);
    assert_eq!(names(&found), ["profile"]);
    let nothing = search(&examples(), "quetzalcoatl");
    assert_eq!((nothing.found, nothing.hits.len()), (0, 0));
}

#[test]
fn the_points_of_all_reasons_add_up_to_the_score() {
    for query in ["redact text", "redcat json tokens", "text"] {
        let found = search(&examples(), query);
        assert!(!found.hits.is_empty());
        for hit in found.hits {
            assert_eq!(hit.why.iter().map(|why| why.points).sum::<u64>(), hit.score, "{query}");
            assert!(hit.why.is_sorted_by(|one, next| one.points >= next.points), "{query}");
        }
    }
}

#[test]
fn a_name_counts_more_than_a_sentence_and_a_guess_less_than_the_word_itself() {
    let index = index([
        document("resize", "Makes pictures smaller."),
        document("shrink", "Can resize, too."),
    ]);
    let found = search(&index, "resize");
    assert_eq!(names(&found), ["resize", "shrink"]);
    let guessed = search(&index, "resizes");
    assert_eq!(names(&guessed), ["resize", "shrink"]);
    assert!(guessed.hits[0].score < found.hits[0].score);
}

#[test]
fn capsules_of_the_same_score_stand_in_the_order_of_their_urns() {
    let same = |name: &str| document(name, "The very same.");
    let index = index([same("b"), same("d"), same("a"), same("c")]);
    assert_eq!(names(&search(&index, "same")), ["a", "b", "c", "d"]);
    let two = index.search(&Query::parse("same", Some(2)).unwrap());
    assert_eq!((names(&two), two.found), (vec!["a", "b"], 4));
}

#[test]
fn letters_of_any_script_and_case_are_words() {
    let index = index([
        document("greek", "Ελληνικά ΚΕΊΜΕΝΑ."),
        document("german", "Größe prüfen"),
        document("chinese", "压缩 图片"),
    ]);
    for (query, first) in [
        ("ΕΛΛΗΝΙΚΆ", "greek"),
        ("GRÖSSE größe", "german"),
        ("图片", "chinese"),
        ("prufen", "german"),
    ] {
        assert_eq!(names(&search(&index, query)).first(), Some(&first), "{query}");
    }
}

#[test]
fn a_new_version_takes_the_place_of_the_one_before() {
    let mut index = index([document("tool", "Counts apples.")]);
    let newer = Document::new(urn("tool"), "1.1.0".parse().unwrap(), "Counts pears.");
    index.put(newer).unwrap();
    assert_eq!(index.len(), 1);
    assert!(search(&index, "apples").hits.is_empty());
    assert_eq!(search(&index, "pears").hits[0].version.to_string(), "1.1.0");
    assert!(index.remove(&urn("tool")) && !index.remove(&urn("tool")));
    assert!(index.is_empty() && search(&index, "pears").hits.is_empty());
}
