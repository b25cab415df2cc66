//! Events that bear a token: their times within their streams, and their order across a workflow.

use std::collections::{HashMap, HashSet};

use polars::prelude::*;

use crate::drift::drift;
use crate::groups::{EventGroup, none_last};

/// An event with a token that is not empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenEvent<'a> {
    pub(crate) workflow: Option<&'a str>,
    stream: &'a str,
    /// The place of its workflow and stream among all in their order: compared faster than they are.
    stream_rank: usize,
    sequence: Option<u64>,
    node: Option<&'a str>,
    received_unix_ns: i64,
    token: &'a str,
}

impl<'a> TokenEvent<'a> {
    fn stream_key(&self) -> ((bool, Option<&'a str>), &'a str) {
        (none_last(self.workflow), self.stream)
    }
}

/// Picks the events that bear a token.
pub(crate) fn with_token(rows: LazyFrame) -> PolarsResult<DataFrame> {
    let columns = [
        "workflow_id",
        "stream",
        "sequence",
        "node_cid",
        "received_unix_ns",
        "token",
    ];
    rows.filter(col("token").neq(lit("")))
        .select(columns.map(col))
        .collect()
}

/// The rows of [`with_token`] in order, by workflow, stream and sequence.
pub(crate) fn token_events(frame: &DataFrame) -> PolarsResult<Vec<TokenEvent<'_>>> {
    let text = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.str()?.iter()) };
    let sequences = frame.column("sequence")?.u64()?.iter();
    let times = frame.column("received_unix_ns")?.i64()?.into_no_null_iter();
    let names = text("workflow_id")?.zip(text("stream")?).zip(text("node_cid")?);
    let rows = names.zip(text("token")?).zip(sequences.zip(times));
    let events = rows.map(
        |((((workflow, stream), node), token), (sequence, received_unix_ns))| TokenEvent {
            workflow,
            stream: stream.unwrap_or_default(),
            stream_rank: 0,
            sequence,
            node,
            received_unix_ns,
            token: token.unwrap_or_default(),
        },
    );
    let mut events: Vec<TokenEvent<'_>> = events.collect();
    rank(&mut events);
    // The node tells apart what two nodes of a stream gave the same number; the rest is for rows silver has none of.
    events.sort_unstable_by(|a, b| {
        let first = (a.stream_rank, a.sequence).cmp(&(b.stream_rank, b.sequence));
        first.then_with(|| (a.node, a.received_unix_ns, a.token).cmp(&(b.node, b.received_unix_ns, b.token)))
    });
    Ok(events)
}

fn rank(events: &mut [TokenEvent<'_>]) {
    let streams: HashSet<_> = events.iter().map(TokenEvent::stream_key).collect();
    let mut streams: Vec<_> = streams.into_iter().collect();
    streams.sort_unstable();
    let ranks: HashMap<_, usize> = streams.into_iter().zip(0..).collect();
    for event in events {
        event.stream_rank = ranks.get(&event.stream_key()).copied().unwrap_or_default();
    }
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

/// Measures a workflow's tokens, which are in the order of [`token_events`].
pub(crate) fn figures(tokens: &[TokenEvent<'_>], groups: &[EventGroup<'_>]) -> TokenFigures {
    let mut starts: HashMap<&str, i64> = HashMap::new();
    for group in groups {
        let start = starts.entry(group.stream).or_insert(group.first_unix_ns);
        *start = group.first_unix_ns.min(*start);
    }
    let mut figures = TokenFigures::default();
    for stream in tokens.chunk_by(|a, b| a.stream_rank == b.stream_rank) {
        let first = stream.first();
        if let Some((first, start)) = first.and_then(|first| Some((first, starts.get(first.stream)?))) {
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
    let mut by_time: Vec<(i64, &str)> = tokens
        .iter()
        .map(|token| (token.received_unix_ns, token.token))
        .collect();
    // A stable sort: what came at the same time stays in the order of streams and sequences.
    by_time.sort_by_key(|(received_unix_ns, _)| *received_unix_ns);
    let by_time: Vec<&str> = by_time.into_iter().map(|(_, token)| token).collect();
    figures.drift = drift(&by_time);
    figures
}

/// The time between two moments in nanoseconds; negative when the second is the earlier one.
#[allow(clippy::cast_precision_loss)] // Exact up to 104 days.
pub(crate) fn milliseconds(from_ns: i64, to_ns: i64) -> f64 {
    (i128::from(to_ns) - i128::from(from_ns)) as f64 / 1e6
}
