//! Adds up silver rows by workflow, stream, intent, node and model: what most columns of gold are made of.

use polars::prelude::*;

/// What a sum of 64-bit numbers is split at, so that its halves never overflow.
const HALF: i64 = 1 << 32;

/// The rows of silver that have these five in common.
#[derive(Clone, Debug)]
pub(crate) struct EventGroup<'a> {
    pub(crate) workflow: Option<&'a str>,
    pub(crate) stream: &'a str,
    pub(crate) intent: Option<&'a str>,
    pub(crate) node: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) events: u64,
    pub(crate) errors: u64,
    /// Events that have a duration.
    pub(crate) durations: u64,
    pub(crate) first_unix_ns: i64,
    pub(crate) last_unix_ns: i64,
    pub(crate) prompt_tokens: i128,
    pub(crate) completion_tokens: i128,
    pub(crate) cached_tokens: i128,
}

/// Adds up rows; the frame is in no order.
pub(crate) fn grouped(rows: LazyFrame) -> PolarsResult<DataFrame> {
    let mut sums = vec![
        len().alias("events"),
        col("error").count().alias("errors"),
        col("duration_ms").count().alias("durations"),
        col("received_unix_ns").min().alias("first_unix_ns"),
        col("received_unix_ns").max().alias("last_unix_ns"),
    ];
    for tokens in ["prompt_tokens", "completion_tokens", "cached_tokens"] {
        let low = || col(tokens) % lit(HALF);
        let high = (col(tokens) - low()) / lit(HALF);
        sums.push(high.sum().alias(format!("{tokens}_high")));
        sums.push(low().sum().alias(format!("{tokens}_low")));
    }
    let keys = ["workflow_id", "stream", "intent_id", "node_cid", "model"].map(col);
    rows.group_by(keys).agg(sums).collect()
}

/// The rows of [`grouped`], by workflow, intent and node, those without one at the end.
pub(crate) fn event_groups(frame: &DataFrame) -> PolarsResult<Vec<EventGroup<'_>>> {
    let count = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.u32()?.into_no_null_iter()) };
    let number = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.i64()?.into_no_null_iter()) };
    let text = |name: &str| -> PolarsResult<_> { Ok(frame.column(name)?.str()?.iter()) };
    let sum = |name: &str| -> PolarsResult<_> {
        let high = number(&format!("{name}_high"))?;
        let low = number(&format!("{name}_low"))?;
        Ok(high
            .zip(low)
            .map(|(high, low)| i128::from(high) * i128::from(HALF) + i128::from(low)))
    };
    let (mut workflows, mut streams) = (text("workflow_id")?, text("stream")?);
    let (mut intents, mut nodes, mut models) = (text("intent_id")?, text("node_cid")?, text("model")?);
    let (mut events, mut errors, mut durations) = (count("events")?, count("errors")?, count("durations")?);
    let (mut firsts, mut lasts) = (number("first_unix_ns")?, number("last_unix_ns")?);
    let (mut prompts, mut completions) = (sum("prompt_tokens")?, sum("completion_tokens")?);
    let mut cached = sum("cached_tokens")?;
    let mut next = || {
        Some(EventGroup {
            workflow: workflows.next()?,
            stream: streams.next()?.unwrap_or_default(),
            intent: intents.next()?,
            node: nodes.next()?,
            model: models.next()?,
            events: events.next()?.into(),
            errors: errors.next()?.into(),
            durations: durations.next()?.into(),
            first_unix_ns: firsts.next()?,
            last_unix_ns: lasts.next()?,
            prompt_tokens: prompts.next()?,
            completion_tokens: completions.next()?,
            cached_tokens: cached.next()?,
        })
    };
    let mut groups: Vec<EventGroup<'_>> = std::iter::from_fn(&mut next).collect();
    groups.sort_unstable_by_key(|group| {
        let order = (
            none_last(group.workflow),
            none_last(group.intent),
            none_last(group.node),
        );
        (order, group.stream, none_last(group.model))
    });
    Ok(groups)
}

/// A key by which those without come after all that have one.
pub(crate) fn none_last<T>(value: Option<T>) -> (bool, Option<T>) {
    (value.is_none(), value)
}
