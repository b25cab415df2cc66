//! Events that bear a token: their times within their streams, and their order across a workflow.

use std::collections::HashMap;

use crate::drift::drift;
use crate::groups::{EventGroup, none_last};
use crate::interner::{Number, Ranks};

/// An event with a token that is not empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenEvent {
    pub(crate) workflow: Option<Number>,
    pub(crate) stream: Number,
    pub(crate) node: Option<Number>,
    pub(crate) token: Number,
    pub(crate) sequence: u64,
    pub(crate) received_unix_ns: i64,
}

/// Puts their numbers in order, and then the events, by workflow, stream and sequence.
pub(crate) fn sort(events: &mut [TokenEvent], ranks: &Ranks) {
    for event in &mut *events {
        event.workflow.iter_mut().for_each(|workflow| ranks.put(workflow));
        event.node.iter_mut().for_each(|node| ranks.put(node));
        ranks.put(&mut event.stream);
        ranks.put(&mut event.token);
    }
    // The node tells apart what two nodes of a stream gave the same number; the rest is for rows silver has none of.
    events.sort_unstable_by_key(|event| {
        let first = (none_last(event.workflow), event.stream, event.sequence);
        (first, event.node, event.received_unix_ns, event.token)
    });
}

/// What the tokens of a workflow say.
#[derive(Debug, Default)]
pub(crate) struct TokenFigures {
    /// From a stream's first event to its first token, in milliseconds, of each stream that has one.
    pub(crate) first_token_ms: Vec<f64>,
    /// Between tokens that follow each other in a stream, in milliseconds.
    pub(crate) inter_token_ms: Vec<f64>,
    /// See [`drift`].
    pub(crate) drift: Option<f64>,
}

/// Measures a workflow's tokens, which are in the order of [`sort`] and afterwards in another one.
pub(crate) fn figures(tokens: &mut [TokenEvent], groups: &[EventGroup]) -> TokenFigures {
    let mut starts: HashMap<Number, i64> = HashMap::new();
    for EventGroup { key, sums } in groups {
        let start = starts.entry(key.stream).or_insert(sums.first_unix_ns);
        *start = sums.first_unix_ns.min(*start);
    }
    let mut figures = TokenFigures::default();
    for stream in tokens.chunk_by(|a, b| a.stream == b.stream) {
        let first = stream.first();
        if let Some((first, start)) = first.and_then(|first| Some((first, starts.get(&first.stream)?))) {
            figures
                .first_token_ms
                .push(milliseconds(*start, first.received_unix_ns));
        }
        let times = stream.iter().map(|token| token.received_unix_ns);
        let pairs = times.clone().zip(times.skip(1));
        figures
            .inter_token_ms
            .extend(pairs.map(|(from, to)| milliseconds(from, to)));
    }
    // What came at the same time stays in the order of streams and sequences.
    tokens.sort_unstable_by_key(|token| {
        let stream = (token.stream, token.sequence);
        (token.received_unix_ns, stream, token.node, token.token)
    });
    figures.drift = drift(tokens.iter().map(|token| token.token));
    figures
}

/// The time between two moments in nanoseconds; negative when the second is the earlier one.
#[allow(clippy::cast_precision_loss)] // Exact up to 104 days.
pub(crate) fn milliseconds(from_ns: i64, to_ns: i64) -> f64 {
    (i128::from(to_ns) - i128::from(from_ns)) as f64 / 1e6
}
