//! What is held of the silver rows of some workflows: sums, and a small row of each token and of each duration.

use std::collections::HashSet;

use kinetic_model::Digest;
use polars::prelude::*;

use crate::GoldError;
use crate::error::compute;
use crate::groups::{EventGroup, GroupKey, Groups, Sums, none_last};
use crate::interner::{Interner, Number, Texts};
use crate::scan::{Opened, Scan};
use crate::tokens::{self, TokenEvent};

/// The columns of silver that are read of rows of the workflows.
const COLUMNS: &[&str] = &[
    "stream",
    "sequence",
    "token",
    "received_unix_ns",
    "intent_id",
    "node_cid",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "error",
    "duration_ms",
];
/// The column that is read of all rows.
const WORKFLOW: &str = "workflow_id";
/// A longer token, in bytes, is held as its digest, which tells it from others as well.
const TOKEN_BYTES_MAX: usize = 64;

/// The workflows, by name, and what is held of their rows so far.
#[derive(Debug)]
pub(crate) struct Gather<'a> {
    workflows: PlHashMap<Option<&'a str>, Option<Number>>,
    interner: Interner,
    rows: u64,
    groups: Groups,
    tokens: Vec<TokenEvent>,
    durations: Vec<Duration>,
}

/// An event's duration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duration {
    pub(crate) workflow: Option<Number>,
    pub(crate) milliseconds: f64,
}

/// All rows of some workflows. Numbers are in the order of their texts.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    pub(crate) texts: Texts,
    pub(crate) workflows: PlHashMap<Option<&'a str>, Option<Number>>,
    /// By workflow, intent and node.
    pub(crate) groups: Vec<EventGroup>,
    /// In the order of [`tokens::sort`].
    pub(crate) tokens: Vec<TokenEvent>,
    /// By workflow.
    pub(crate) durations: Vec<Duration>,
}

impl<'a> Gather<'a> {
    /// Nothing yet of these workflows.
    pub(crate) fn of(names: &HashSet<Option<&'a str>>) -> Result<Self, GoldError> {
        let mut interner = Interner::default();
        let mut number = |name: Option<&'a str>| Ok((name, name.map(|name| interner.number(name)).transpose()?));
        let workflows: PolarsResult<_> = names.iter().copied().map(&mut number).collect();
        Ok(Self {
            workflows: workflows.map_err(compute("number the workflows"))?,
            interner,
            rows: 0,
            groups: Groups::default(),
            tokens: Vec::new(),
            durations: Vec::new(),
        })
    }

    /// Adds their rows of a part.
    pub(crate) fn add(&mut self, part: &Opened<'_>, scan: &mut Scan) -> Result<(), GoldError> {
        for slice in part.slices(&[COLUMNS, &[WORKFLOW]].concat()) {
            scan.count(&slice, self.rows);
            let names = part.read(&slice, &[WORKFLOW])?;
            let (picked, workflows) = self.pick(&names).map_err(compute("pick rows by workflow"))?;
            if workflows.is_empty() {
                continue;
            }
            let rows = part.read(&slice, COLUMNS)?;
            let rows = if picked.all() { Ok(rows) } else { rows.filter(&picked) };
            let added = rows.and_then(|rows| self.add_rows(&rows, &workflows));
            added.map_err(compute("add up silver by workflow"))?;
        }
        Ok(())
    }

    /// Which rows are of the workflows, and of which.
    fn pick(&self, names: &DataFrame) -> PolarsResult<(BooleanChunked, Vec<Option<Number>>)> {
        let mut workflows = Vec::new();
        let names = names.column(WORKFLOW)?.str()?.iter();
        let picked = names.map(|name| {
            let workflow = self.workflows.get(&name);
            workflows.extend(workflow);
            workflow.is_some()
        });
        Ok((picked.collect(), workflows))
    }

    fn add_rows(&mut self, rows: &DataFrame, workflows: &[Option<Number>]) -> PolarsResult<()> {
        let mut names = |column| -> PolarsResult<_> { Ok(self.interner.numbers(rows.column(column)?)?.into_iter()) };
        // The stream is never null.
        let mut streams = names("stream")?.flatten();
        let (mut intents, mut nodes, mut models) = (names("intent_id")?, names("node_cid")?, names("model")?);
        let counts =
            |column| -> PolarsResult<_> { Ok(rows.column(column)?.i64()?.iter().map(Option::unwrap_or_default)) };
        let (mut prompts, mut completions) = (counts("prompt_tokens")?, counts("completion_tokens")?);
        let (mut cached, mut times) = (counts("cached_tokens")?, counts("received_unix_ns")?);
        let mut sequences = rows.column("sequence")?.u64()?.iter().map(Option::unwrap_or_default);
        let mut tokens = rows.column("token")?.str()?.iter();
        let mut errors = rows.column("error")?.str()?.iter();
        let mut durations = rows.column("duration_ms")?.f64()?.iter();

        let mut next = || {
            let row = (streams.next()?, intents.next()?, nodes.next()?, models.next()?);
            let usage = [prompts.next()?, completions.next()?, cached.next()?];
            let event = (sequences.next()?, times.next()?, tokens.next()?);
            Some((row, usage, event, errors.next()?, durations.next()?))
        };
        for workflow in workflows.iter().copied() {
            let Some(((stream, intent, node, model), usage, (sequence, received_unix_ns, token), error, duration)) =
                next()
            else {
                polars_bail!(ComputeError: "a column ends early");
            };
            let key = GroupKey {
                workflow,
                stream,
                intent,
                node,
                model,
            };
            let sums = Sums {
                events: 1,
                errors: error.is_some().into(),
                durations: duration.is_some().into(),
                first_unix_ns: received_unix_ns,
                last_unix_ns: received_unix_ns,
                usage: usage.map(i128::from),
            };
            self.groups.add(key, sums);
            self.durations
                .extend(duration.map(|milliseconds| Duration { workflow, milliseconds }));
            if let Some(token) = token.filter(|token| !token.is_empty()) {
                let token = if token.len() > TOKEN_BYTES_MAX {
                    self.interner.number(&Digest::of(token.as_bytes()).to_string())
                } else {
                    self.interner.number(token)
                };
                self.tokens.push(TokenEvent {
                    workflow,
                    stream,
                    node,
                    token: token?,
                    sequence,
                    received_unix_ns,
                });
            }
        }
        self.rows += workflows.len() as u64;
        Ok(())
    }

    /// All of it, in order.
    pub(crate) fn sorted(self) -> Gathered<'a> {
        let Self {
            mut workflows,
            interner,
            groups,
            mut tokens,
            mut durations,
            ..
        } = self;
        let (texts, ranks) = interner.sorted();
        workflows.values_mut().flatten().for_each(|number| ranks.put(number));
        let groups = groups.sorted(&ranks);
        tokens::sort(&mut tokens, &ranks);
        for workflow in durations.iter_mut().filter_map(|duration| duration.workflow.as_mut()) {
            ranks.put(workflow);
        }
        durations.sort_unstable_by_key(|duration| none_last(duration.workflow));
        Gathered {
            texts,
            workflows,
            groups,
            tokens,
            durations,
        }
    }
}
