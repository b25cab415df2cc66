//! One row per workflow: its spend, its times, its errors, what was shed of it, and how its tokens drift.

use std::collections::{BTreeMap, HashMap, HashSet};

use polars::prelude::*;

use crate::gather::{Duration, Gathered};
use crate::graph;
use crate::groups::{self, EventGroup, GroupKey, Sums};
use crate::interner::{Number, Texts};
use crate::percentiles::Percentiles;
use crate::settings::Prices;
use crate::tables::{MetricsRow, UsageRow};
use crate::tokens::{self, TokenEvent};

/// How many events the forget gate dropped, by workflow.
pub(crate) type Shed = HashMap<Option<String>, u64>;

/// Adds the rows of shed that are of these workflows.
pub(crate) fn add_shed(shed: &mut Shed, rows: &DataFrame, names: &HashSet<Option<&str>>) -> PolarsResult<()> {
    let workflows = rows.column("workflow_id")?.str()?.iter();
    let rows = workflows.zip(rows.column("events")?.u64()?.into_no_null_iter());
    for (workflow, events) in rows.filter(|(workflow, _)| names.contains(workflow)) {
        let sum = shed.entry(workflow.map(str::to_owned)).or_default();
        *sum = sum.saturating_add(events);
    }
    Ok(())
}

/// The rows of some workflows, given all their silver and all that was shed of them.
pub(crate) fn measure(mut silver: Gathered<'_>, shed: &Shed, prices: &Prices) -> (Vec<MetricsRow>, Vec<UsageRow>) {
    let texts = &silver.texts;
    let groups = silver.groups.chunk_by(|a, b| a.key.workflow == b.key.workflow);
    let groups = by_workflow(groups, |group| group.key.workflow);
    let tokens = silver.tokens.chunk_by_mut(|a, b| a.workflow == b.workflow);
    let mut tokens: HashMap<_, _> = tokens
        .filter_map(|tokens| Some((tokens.first()?.workflow, tokens)))
        .collect();
    let durations = silver.durations.chunk_by(|a, b| a.workflow == b.workflow);
    let durations = by_workflow(durations, |duration| duration.workflow);

    let mut metrics = Vec::with_capacity(silver.workflows.len());
    let mut usage = Vec::new();
    for (name, number) in &silver.workflows {
        let groups = groups.get(number).copied().unwrap_or_default();
        let durations = durations.get(number).copied().unwrap_or_default();
        let measured = Measured {
            workflow: *name,
            groups,
            texts,
            durations,
            shed: shed.get(&name.map(str::to_owned)).copied().unwrap_or_default(),
        };
        metrics.push(measured.row(tokens.remove(number).unwrap_or_default(), prices));
        usage.extend(graph::usage(*name, groups, texts));
    }
    (metrics, usage)
}

/// Runs of rows of a workflow, by workflow.
fn by_workflow<'a, T>(
    runs: impl Iterator<Item = &'a [T]>,
    of: impl Fn(&T) -> Option<Number>,
) -> HashMap<Option<Number>, &'a [T]> {
    runs.filter_map(|run| Some((of(run.first()?), run))).collect()
}

/// All there is of one workflow.
struct Measured<'a> {
    workflow: Option<&'a str>,
    groups: &'a [EventGroup],
    texts: &'a Texts,
    durations: &'a [Duration],
    shed: u64,
}

impl Measured<'_> {
    fn row(&self, tokens: &mut [TokenEvent], prices: &Prices) -> MetricsRow {
        let events = self.total(|sums| sums.events);
        let errors = self.total(|sums| sums.errors);
        let durations = self.durations.iter().map(|duration| duration.milliseconds);
        let latency = Percentiles::of(durations.chain(self.spans_ms()).collect());
        let figures = tokens::figures(tokens, self.groups);
        let first_token = Percentiles::of(figures.first_token_ms);
        let inter_token = Percentiles::of(figures.inter_token_ms);
        MetricsRow {
            workflow_id: self.workflow.map(str::to_owned),
            events,
            unique_nodes: self.distinct(|key| key.node),
            intents: self.distinct(|key| key.intent),
            prompt_tokens: self.tokens(|[prompt, _, _]| prompt),
            completion_tokens: self.tokens(|[_, completion, _]| completion),
            cached_tokens: self.tokens(|[_, _, cached]| cached),
            cost: self.cost(prices),
            latency_p50_ms: latency.at(50),
            latency_p95_ms: latency.at(95),
            latency_p99_ms: latency.at(99),
            first_token_p50_ms: first_token.at(50),
            inter_token_p50_ms: inter_token.at(50),
            inter_token_p95_ms: inter_token.at(95),
            inter_token_p99_ms: inter_token.at(99),
            errors,
            error_rate: ratio(errors, events),
            shed: self.shed,
            shed_rate: ratio(self.shed, self.shed.saturating_add(events)),
            drift: figures.drift,
            first_unix_ns: self.groups.iter().map(|group| group.sums.first_unix_ns).min(),
            last_unix_ns: self.groups.iter().map(|group| group.sums.last_unix_ns).max(),
        }
    }

    fn total(&self, count: impl Fn(&Sums) -> u64) -> u64 {
        self.groups.iter().map(|group| count(&group.sums)).sum()
    }

    fn tokens(&self, tokens: impl Fn([i128; 3]) -> i128) -> i64 {
        clamped(self.groups.iter().map(|group| tokens(group.sums.usage)).sum())
    }

    fn distinct(&self, name: impl Fn(&GroupKey) -> Option<Number>) -> u64 {
        let names: HashSet<Number> = self.groups.iter().filter_map(|group| name(&group.key)).collect();
        names.len() as u64
    }

    /// How long each intent took at each node that says no duration of its own.
    fn spans_ms(&self) -> impl Iterator<Item = f64> {
        let visits = self
            .groups
            .chunk_by(|a, b| (a.key.intent, a.key.node) == (b.key.intent, b.key.node));
        visits.filter_map(|visit| {
            let events: u64 = visit.iter().map(|group| group.sums.events).sum();
            let says_none = visit.iter().all(|group| group.sums.durations == 0);
            let first_unix_ns = visit.iter().map(|group| group.sums.first_unix_ns).min()?;
            let last_unix_ns = visit.iter().map(|group| group.sums.last_unix_ns).max()?;
            (says_none && events >= 2).then(|| tokens::milliseconds(first_unix_ns, last_unix_ns))
        })
    }

    /// Whole tokens are added up first and priced then, in the order of the models' names: the same to the last bit.
    fn cost(&self, prices: &Prices) -> f64 {
        let mut spent: BTreeMap<_, [i128; 3]> = BTreeMap::new();
        for group in self.groups {
            let spent = spent.entry(groups::none_last(group.key.model)).or_default();
            for (sum, tokens) in spent.iter_mut().zip(group.sums.usage) {
                *sum += tokens;
            }
        }
        let costs = spent.into_iter().map(|((_, model), [prompt, completion, cached])| {
            let price = prices.of(model.map(|model| self.texts.of(model)));
            // Cached tokens are among the prompt tokens.
            let fresh = millions((prompt - cached).max(0)) * price.prompt_per_million;
            let cached = millions(cached) * price.cached_per_million.unwrap_or(price.prompt_per_million);
            fresh + cached + millions(completion) * price.completion_per_million
        });
        // An empty sum of floats is -0.
        costs.fold(0.0, |sum, cost| sum + cost)
    }
}

#[allow(clippy::cast_precision_loss)] // Exact up to 2^53 tokens.
fn millions(tokens: i128) -> f64 {
    tokens as f64 / 1e6
}

#[allow(clippy::cast_precision_loss)] // Exact up to 2^53 events.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A sum in the column's type; who claims more tokens than that has the largest number there is.
fn clamped(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}
