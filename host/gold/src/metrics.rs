//! One row per workflow: its spend, its times, its errors, what was shed of it, and how its tokens drift.

use std::collections::{BTreeMap, HashMap, HashSet};

use polars::prelude::*;

use crate::GoldError;
use crate::error::compute;
use crate::graph;
use crate::groups::{self, EventGroup};
use crate::percentiles::Percentiles;
use crate::settings::Prices;
use crate::tables::{MetricsRow, UsageRow};
use crate::tokens::{self, TokenEvent};

/// The columns of silver that are read for it.
pub(crate) const COLUMNS: &[&str] = &[
    "stream",
    "sequence",
    "token",
    "received_unix_ns",
    "workflow_id",
    "intent_id",
    "node_cid",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "error",
    "duration_ms",
];

/// How many events the forget gate dropped, by workflow.
pub(crate) type Shed = HashMap<Option<String>, u64>;

/// Adds the rows of a part of shed.
pub(crate) fn add_shed(shed: &mut Shed, rows: &DataFrame) -> PolarsResult<()> {
    let workflows = rows.column("workflow_id")?.str()?.iter();
    for (workflow, events) in workflows.zip(rows.column("events")?.u64()?.into_no_null_iter()) {
        let sum = shed.entry(workflow.map(str::to_owned)).or_default();
        *sum = sum.saturating_add(events);
    }
    Ok(())
}

/// The rows of some workflows, given all their silver and all that was shed of them.
pub(crate) fn measure(
    workflows: &HashSet<Option<&str>>,
    silver: DataFrame,
    shed: &Shed,
    prices: &Prices,
) -> Result<(Vec<MetricsRow>, Vec<UsageRow>), GoldError> {
    let silver = silver.lazy();
    let failed = || compute("add up silver by workflow");
    let grouped = groups::grouped(silver.clone()).map_err(failed())?;
    let tokens = tokens::with_token(silver.clone()).map_err(failed())?;
    let timed = silver.filter(col("duration_ms").is_not_null());
    let timed = timed
        .select(["workflow_id", "duration_ms"].map(col))
        .collect()
        .map_err(failed())?;

    let groups = groups::event_groups(&grouped).map_err(failed())?;
    let groups = by_workflow(&groups, |group| group.workflow);
    let tokens = tokens::token_events(&tokens).map_err(failed())?;
    let tokens = by_workflow(&tokens, |token| token.workflow);
    let mut durations = durations(&timed).map_err(failed())?;

    let mut metrics = Vec::with_capacity(workflows.len());
    let mut usage = Vec::new();
    for workflow in workflows {
        let groups = groups.get(workflow).copied().unwrap_or_default();
        let measured = Measured {
            workflow: *workflow,
            groups,
            tokens: tokens.get(workflow).copied().unwrap_or_default(),
            durations_ms: durations.remove(workflow).unwrap_or_default(),
            shed: shed.get(&workflow.map(str::to_owned)).copied().unwrap_or_default(),
        };
        metrics.push(measured.row(prices));
        usage.extend(graph::usage(*workflow, groups));
    }
    Ok((metrics, usage))
}

/// Rows that are sorted by workflow, by workflow.
fn by_workflow<'a, 'b, T>(rows: &'b [T], of: impl Fn(&T) -> Option<&'a str>) -> HashMap<Option<&'a str>, &'b [T]> {
    let same = |a: &T, b: &T| of(a) == of(b);
    let runs = rows.chunk_by(same);
    runs.filter_map(|run| Some((of(run.first()?), run))).collect()
}

fn durations(timed: &DataFrame) -> PolarsResult<HashMap<Option<&str>, Vec<f64>>> {
    let workflows = timed.column("workflow_id")?.str()?.iter();
    let milliseconds = timed.column("duration_ms")?.f64()?.into_no_null_iter();
    let mut durations: HashMap<Option<&str>, Vec<f64>> = HashMap::new();
    for (workflow, milliseconds) in workflows.zip(milliseconds) {
        durations.entry(workflow).or_default().push(milliseconds);
    }
    Ok(durations)
}

/// All there is of one workflow.
struct Measured<'a> {
    workflow: Option<&'a str>,
    groups: &'a [EventGroup<'a>],
    tokens: &'a [TokenEvent<'a>],
    durations_ms: Vec<f64>,
    shed: u64,
}

impl Measured<'_> {
    fn row(mut self, prices: &Prices) -> MetricsRow {
        let events = self.total(|group| group.events);
        let errors = self.total(|group| group.errors);
        let spans: Vec<f64> = self.spans_ms().collect();
        self.durations_ms.extend(spans);
        let latency = Percentiles::of(std::mem::take(&mut self.durations_ms));
        let figures = tokens::figures(self.tokens, self.groups);
        let first_token = Percentiles::of(figures.first_token_ms);
        let inter_token = Percentiles::of(figures.inter_token_ms);
        MetricsRow {
            workflow_id: self.workflow.map(str::to_owned),
            events,
            unique_nodes: self.distinct(|group| group.node),
            intents: self.distinct(|group| group.intent),
            prompt_tokens: self.tokens(|group| group.prompt_tokens),
            completion_tokens: self.tokens(|group| group.completion_tokens),
            cached_tokens: self.tokens(|group| group.cached_tokens),
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
            first_unix_ns: self.groups.iter().map(|group| group.first_unix_ns).min(),
            last_unix_ns: self.groups.iter().map(|group| group.last_unix_ns).max(),
        }
    }

    fn total(&self, count: impl Fn(&EventGroup<'_>) -> u64) -> u64 {
        self.groups.iter().map(count).sum()
    }

    fn tokens(&self, tokens: impl Fn(&EventGroup<'_>) -> i128) -> i64 {
        clamped(self.groups.iter().map(tokens).sum())
    }

    fn distinct<'b>(&'b self, name: impl Fn(&EventGroup<'b>) -> Option<&'b str>) -> u64 {
        let names: HashSet<&str> = self.groups.iter().filter_map(name).collect();
        names.len() as u64
    }

    /// How long each intent took at each node that says no duration of its own.
    fn spans_ms(&self) -> impl Iterator<Item = f64> {
        let visits = self.groups.chunk_by(|a, b| (a.intent, a.node) == (b.intent, b.node));
        visits.filter_map(|visit| {
            let events: u64 = visit.iter().map(|group| group.events).sum();
            let says_none = visit.iter().all(|group| group.durations == 0);
            let first_unix_ns = visit.iter().map(|group| group.first_unix_ns).min()?;
            let last_unix_ns = visit.iter().map(|group| group.last_unix_ns).max()?;
            (says_none && events >= 2).then(|| tokens::milliseconds(first_unix_ns, last_unix_ns))
        })
    }

    /// Whole tokens are added up first and priced then, in the order of the models' names: the same to the last bit.
    fn cost(&self, prices: &Prices) -> f64 {
        let mut spent: BTreeMap<_, [i128; 3]> = BTreeMap::new();
        for group in self.groups {
            let [prompt, cached, completion] = spent.entry(groups::none_last(group.model)).or_default();
            *prompt += group.prompt_tokens;
            *cached += group.cached_tokens;
            *completion += group.completion_tokens;
        }
        let costs = spent.into_iter().map(|((_, model), [prompt, cached, completion])| {
            let price = prices.of(model);
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
