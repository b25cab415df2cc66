//! The route that finds capsules: what it takes, what it answers.

use kinetic_kernel::search::{Field, QUERY_BYTES_MAX, QUERY_WORDS_MAX, RESULTS_DEFAULT, RESULTS_MAX};
use serde_json::{Value, json};

use super::paths::{JSON, Operation, content, ok, schema};
use super::schemas::{closed, count, list, object, text};

pub(super) fn paths() -> Value {
    let query = json!({
        "type": "string", "minLength": 1, "maxLength": QUERY_BYTES_MAX, "examples": ["redact e-mail addresses"],
        "description": format!("Words in any order, at most {QUERY_WORDS_MAX} different ones. Misspelled ones are found as well."),
    });
    let limit = json!({
        "type": ["integer", "null"], "minimum": 1, "maximum": RESULTS_MAX, "default": RESULTS_DEFAULT,
        "description": "How many results are wanted at most.",
    });
    let body = closed(json!({ "query": query, "limit": limit }), &["limit"]);
    let found = ok(
        "The best first; those of the same score by URN.",
        content(JSON, schema("Found")),
    );
    let search = Operation::new("searchCapsules", "discovery", "Find capsules by what they say about themselves", found)
        .described(
            "Looks at the active capsules, and at the newest version of those in the local store that are not. Every hit says which \
             word stands where, and what it adds to the score.",
        )
        .takes(content(JSON, body));
    json!({ "/api/v1/discovery/search": { "post": search.write() } })
}

/// The schemas of what it answers.
pub(super) fn schemas() -> Value {
    let hit = json!({
        "urn": schema("Urn"),
        "version": schema("Version"),
        "title": text("A short name for people."),
        "description": text("The beginning of what it says it does."),
        "active": { "type": "boolean", "description": "Whether this version is what the URN means now; if not, the first call makes it ready." },
        "score": count("The sum of all points, in thousandths; it compares results of one search."),
        "why": list("SearchReason"),
    });
    let reason = json!({
        "word": text("The word that was asked for."),
        "spelled_like": text("The word it was taken for, where it stands in no capsule itself."),
        "similarity_milli": count("How alike the two are, in thousandths."),
        "field": { "enum": Field::ALL, "description": "Where it stands." },
        "points": count("What it adds to the score, in thousandths."),
    });
    let found = json!({
        "hits": list("SearchHit"),
        "found": count("How many capsules have one of the words at least."),
        "searched": count("How many capsules were looked at."),
        "left_out": count("How many could not be: their manifest cannot be read, or the search is full."),
        "unknown": { "type": "array", "items": { "type": "string" }, "description": "Words that stand nowhere, and look like none that does." },
    });
    json!({
        "Found": object(found, &[]),
        "SearchHit": object(hit, &["title"]),
        "SearchReason": object(reason, &["spelled_like"]),
    })
}
