//! Searching ten thousand made-up capsules, beside the plain way: BM25 over every word of every capsule, without an index.

#[path = "search/corpus.rs"]
mod corpus;
#[path = "search/scan.rs"]
mod scan;

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use kinetic_kernel::search::{Index, Query};

use corpus::Corpus;
use scan::Scan;

const CAPSULES: usize = 10_000;
/// Queries of each kind; the peer is asked fewer of them.
const QUERIES: usize = 2_000;
const QUERIES_OF_PEER: usize = 100;

fn search(criterion: &mut Criterion) {
    let corpus = Corpus::new(CAPSULES);
    let begun = Instant::now();
    let mut index = Index::default();
    for document in corpus.documents() {
        index.put(document).unwrap();
    }
    println!("{CAPSULES} capsules put in within {} ms", begun.elapsed().as_millis());
    let scan = Scan::new(corpus.texts());
    let kinds = [
        ("known words", corpus.queries(QUERIES, false)),
        ("two of three words misspelled", corpus.queries(QUERIES, true)),
    ];
    let mut group = criterion.benchmark_group("search, three words");
    for (kind, texts) in &kinds {
        let parsed: Vec<Query> = texts.iter().map(|text| Query::parse(text, None).unwrap()).collect();
        let hits: usize = parsed.iter().map(|query| index.search(query).hits.len()).sum();
        assert!(hits > QUERIES, "{kind}: most queries find something");
        percentiles(&format!("index, {kind}"), &parsed, |query| index.search(query).found);
        let mut queries = parsed.iter().cycle();
        group.bench_function(format!("index, {kind}"), |b| {
            b.iter(|| index.search(queries.next().unwrap()))
        });
    }
    let [(known, texts), _] = &kinds;
    percentiles(
        &format!("scan without an index, {known}"),
        texts.iter().take(QUERIES_OF_PEER),
        |text| scan.search(text).len(),
    );
    group.sample_size(10);
    let mut queries = texts.iter().cycle();
    group.bench_function(format!("scan without an index, {known}"), |b| {
        b.iter(|| scan.search(queries.next().unwrap()));
    });
    group.finish();
}

fn percentiles<T>(what: &str, queries: impl IntoIterator<Item = T>, search: impl Fn(T) -> usize) {
    let timed = |query| {
        let begun = Instant::now();
        black_box(search(query));
        begun.elapsed().as_secs_f64() * 1e3
    };
    let mut took_ms: Vec<f64> = queries.into_iter().map(timed).collect();
    took_ms.sort_by(f64::total_cmp);
    let at = |percent: usize| took_ms[(took_ms.len() * percent).div_ceil(100).max(1) - 1];
    println!(
        "{what}: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms",
        at(50),
        at(99),
        at(100)
    );
}

criterion_group!(benches, search);
criterion_main!(benches);
