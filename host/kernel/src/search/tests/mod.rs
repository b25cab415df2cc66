//! What is found, in which order, and why; the laws that hold for any index; the limits.

mod finding;
mod laws;
mod limits;
mod oracle;

use kinetic_model::Urn;

use super::{Document, Field, Index, Query, Ranking};

fn urn(name: &str) -> Urn {
    format!("urn:acme:actionspace:solver:{name}:v1").parse().unwrap()
}

fn document(name: &str, description: &str) -> Document {
    Document::new(urn(name), "1.0.0".parse().unwrap(), description)
}

fn index(documents: impl IntoIterator<Item = Document>) -> Index {
    let mut index = Index::default();
    for document in documents {
        index.put(document).unwrap();
    }
    index
}

fn search(index: &Index, query: &str) -> Ranking {
    index.search(&Query::parse(query, None).unwrap())
}

fn names(ranking: &Ranking) -> Vec<&str> {
    ranking.hits.iter().map(|hit| hit.urn.name()).collect()
}

/// The examples every host carries, as their manifests have them, and one that is not about text at all.
fn examples() -> Index {
    index([
        document(
            "redact",
            "Finds e-mail addresses, payment cards, IBANs, cloud keys, private keys and bearer tokens in text or JSON and \
             puts marks in their place.",
        )
        .titled("Redact")
        .with(Field::Function, "scrub")
        .with(Field::FunctionText, "Puts a mark in the place of each secret of the text."),
        document(
            "chunk",
            "Cuts Markdown or plain text into overlapping pieces that respect headings, paragraphs and sentences, for retrieval.",
        )
        .titled("Chunk")
        .with(Field::Function, "split")
        .with(Field::Zone, "session"),
        document(
            "profile",
            "Describes CSV or JSON lines column by column: types, missing values, ranges, means, distinct counts.",
        )
        .titled("Profile")
        .with(Field::Function, "describe-table")
        .with(Field::Determinism, "D0_bit_exact"),
        document("thumbnail", "Makes small pictures of large ones.").with(Field::Requires, "acme:pixels/codec@1.0.0"),
    ])
}
