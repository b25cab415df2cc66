//! Builds the component and calls it in the engine that will serve it, inside the same limits.

use kinetic_sdk::{Component, json};

#[test]
fn the_most_frequent_word_comes_first() {
    let component = Component::build().unwrap();
    let answer = component.call("count-words", &json!({ "text": "To be or not to be, that is: be!", "top": 2 })).unwrap();
    assert_eq!(answer.output, json!([{ "word": "be", "times": 3 }, { "word": "to", "times": 2 }]));
    assert!(answer.usage["fuel"].as_u64().unwrap() < 10_000_000, "{}", answer.usage);
}

#[test]
fn asking_for_no_words_is_an_error_the_caller_sees() {
    let answer = Component::build().unwrap().call("count-words", &json!({ "text": "x", "top": 0 })).unwrap();
    assert!(!answer.success);
    assert_eq!(answer.output, json!("top must be at least 1"));
}
