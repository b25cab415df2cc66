//! Knows which part holds which workflows and capsules, so that a refresh reads no other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::GoldError;
use crate::capabilities::{Call, EXECUTION};
use crate::error::{compute, io};
use crate::scan::Scan;
use crate::sources::{Part, Sources};

/// Names by number, in the order they were first seen; none is one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Option<String>>", into = "Vec<Option<String>>")]
pub(crate) struct Names {
    names: Vec<Option<String>>,
    numbers: HashMap<Option<String>, usize>,
}

impl Names {
    fn number(&mut self, name: Option<&str>) -> usize {
        let name = name.map(str::to_owned);
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// The names of these numbers.
    fn of(&self, numbers: &BTreeSet<usize>) -> HashSet<Option<&str>> {
        let names = numbers.iter().filter_map(|number| self.names.get(*number));
        names.map(Option::as_deref).collect()
    }
}

impl From<Vec<Option<String>>> for Names {
    fn from(names: Vec<Option<String>>) -> Self {
        let numbers = names.iter().cloned().enumerate().map(|(number, name)| (name, number));
        let numbers = numbers.collect();
        Self { names, numbers }
    }
}

impl From<Names> for Vec<Option<String>> {
    fn from(names: Names) -> Self {
        names.names
    }
}

/// How many rows of each number a part holds, by number.
type Rows = Vec<(usize, u64)>;

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Indexed {
    first_offset: u64,
    end_offset: u64,
    /// A part that was made anew under its old name is most likely of another size.
    size_bytes: u64,
    workflows: Rows,
    capsules: Rows,
}

impl Indexed {
    fn is(&self, part: &Part) -> bool {
        (self.first_offset, self.end_offset) == (part.first_offset, part.end_offset)
            && fs::metadata(&part.path).is_ok_and(|file| file.len() == self.size_bytes)
    }
}

/// What all parts hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    workflows: Names,
    capsules: Names,
    silver: Vec<Indexed>,
    shed: Vec<Indexed>,
}

/// What parts hold that were not known before, by number.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) workflows: BTreeSet<usize>,
    pub(crate) capsules: BTreeSet<usize>,
}

impl Touched {
    fn add(&mut self, workflows: &[(usize, u64)], capsules: &[(usize, u64)]) {
        self.workflows.extend(workflows.iter().map(|(number, _)| *number));
        self.capsules.extend(capsules.iter().map(|(number, _)| *number));
    }
}

impl Index {
    /// Whether what is known is the beginning of these sources.
    pub(crate) fn begins(&self, sources: &Sources) -> bool {
        [(&self.silver, &sources.silver), (&self.shed, &sources.shed)]
            .into_iter()
            .all(|(known, parts)| {
                known.len() <= parts.len() && known.iter().zip(parts).all(|(known, part)| known.is(part))
            })
    }

    /// Whether these sources have no more parts than are known.
    pub(crate) fn is_all_of(&self, sources: &Sources) -> bool {
        self.silver.len() == sources.silver.len() && self.shed.len() == sources.shed.len()
    }

    /// Where silver ends.
    pub(crate) fn end_offset(&self) -> u64 {
        self.silver.last().map_or(0, |part| part.end_offset)
    }

    /// Reads the parts that are not known yet, and says what they hold.
    pub(crate) fn add(&mut self, sources: &Sources, scan: &mut Scan) -> Result<Touched, GoldError> {
        let mut touched = Touched::default();
        for part in sources.silver.iter().skip(self.silver.len()) {
            let frame = scan.part(part, &["workflow_id", "kind"])?;
            let workflows = count(&mut self.workflows, &frame)?;
            let capsules = if has_calls(&frame)? {
                let calls = calls(scan, part)?;
                rows(calls.iter().map(|call| self.capsules.number(call.capsule.as_deref())))
            } else {
                Rows::new()
            };
            touched.add(&workflows, &capsules);
            self.silver.push(indexed(part, workflows, capsules)?);
        }
        for part in sources.shed.iter().skip(self.shed.len()) {
            let frame = scan.part(part, &["workflow_id"])?;
            let workflows = count(&mut self.workflows, &frame)?;
            touched.add(&workflows, &[]);
            self.shed.push(indexed(part, workflows, Rows::new())?);
        }
        Ok(touched)
    }

    /// The workflows' names.
    pub(crate) fn workflow_names(&self, workflows: &BTreeSet<usize>) -> HashSet<Option<&str>> {
        self.workflows.of(workflows)
    }

    /// The capsules' names.
    pub(crate) fn capsule_names(&self, capsules: &BTreeSet<usize>) -> HashSet<Option<&str>> {
        self.capsules.of(capsules)
    }

    /// Cuts workflows into batches of at most so many rows of silver; a larger workflow is a batch of its own.
    pub(crate) fn workflow_batches(&self, workflows: &BTreeSet<usize>, rows_max: u64) -> Vec<BTreeSet<usize>> {
        batches(workflows, &self.silver, |part| &part.workflows, rows_max)
    }

    /// Cuts capsules into batches of at most so many calls; a larger capsule is a batch of its own.
    pub(crate) fn capsule_batches(&self, capsules: &BTreeSet<usize>, rows_max: u64) -> Vec<BTreeSet<usize>> {
        batches(capsules, &self.silver, |part| &part.capsules, rows_max)
    }

    /// The parts of silver that hold a row of these workflows.
    pub(crate) fn silver_of<'a>(&self, workflows: &BTreeSet<usize>, sources: &'a Sources) -> Vec<&'a Part> {
        holding(workflows, &self.silver, |part| &part.workflows, &sources.silver)
    }

    /// The parts of shed that hold a row of these workflows.
    pub(crate) fn shed_of<'a>(&self, workflows: &BTreeSet<usize>, sources: &'a Sources) -> Vec<&'a Part> {
        holding(workflows, &self.shed, |part| &part.workflows, &sources.shed)
    }

    /// The parts of silver that hold a call of these capsules.
    pub(crate) fn calls_of<'a>(&self, capsules: &BTreeSet<usize>, sources: &'a Sources) -> Vec<&'a Part> {
        holding(capsules, &self.silver, |part| &part.capsules, &sources.silver)
    }
}

/// Reads the calls a part records.
pub(crate) fn calls(scan: &mut Scan, part: &Part) -> Result<Vec<Call>, GoldError> {
    let frame = scan.part(part, &["kind", "data"])?;
    let read = || -> PolarsResult<Vec<Call>> {
        let rows = frame
            .column("kind")?
            .str()?
            .iter()
            .zip(frame.column("data")?.str()?.iter());
        let calls = rows.filter(|(kind, _)| *kind == Some(EXECUTION));
        Ok(calls.map(|(_, data)| Call::read(data.unwrap_or_default())).collect())
    };
    read().map_err(compute("read calls"))
}

fn has_calls(frame: &DataFrame) -> Result<bool, GoldError> {
    let kinds = frame.column("kind").and_then(|kinds| kinds.str());
    let mut kinds = kinds.map_err(compute("look for calls"))?.iter();
    Ok(kinds.any(|kind| kind == Some(EXECUTION)))
}

/// Counts a part's rows by workflow.
fn count(names: &mut Names, frame: &DataFrame) -> Result<Rows, GoldError> {
    let workflows = frame.column("workflow_id").and_then(|workflows| workflows.str());
    let mut last: Option<(Option<&str>, usize)> = None;
    let numbers = workflows
        .map_err(compute("count rows by workflow"))?
        .iter()
        .map(|workflow| {
            // Rows of a workflow mostly follow each other.
            let number = match last {
                Some((name, number)) if name == workflow => number,
                _ => names.number(workflow),
            };
            last = Some((workflow, number));
            number
        });
    Ok(rows(numbers))
}

fn rows(numbers: impl Iterator<Item = usize>) -> Rows {
    let mut rows: HashMap<usize, u64> = HashMap::new();
    for number in numbers {
        *rows.entry(number).or_default() += 1;
    }
    let mut rows: Rows = rows.into_iter().collect();
    rows.sort_unstable();
    rows
}

fn indexed(part: &Part, workflows: Rows, capsules: Rows) -> Result<Indexed, GoldError> {
    let file = fs::metadata(&part.path).map_err(io(format!("read {}", part.path.display())))?;
    Ok(Indexed {
        first_offset: part.first_offset,
        end_offset: part.end_offset,
        size_bytes: file.len(),
        workflows,
        capsules,
    })
}

fn batches(
    wanted: &BTreeSet<usize>,
    parts: &[Indexed],
    of: impl Fn(&Indexed) -> &Rows,
    rows_max: u64,
) -> Vec<BTreeSet<usize>> {
    let mut sizes: BTreeMap<usize, u64> = wanted.iter().map(|number| (*number, 0)).collect();
    for (number, rows) in parts.iter().flat_map(of) {
        if let Some(size) = sizes.get_mut(number) {
            *size += rows;
        }
    }
    let mut batches: Vec<BTreeSet<usize>> = Vec::new();
    let mut room = 0;
    for (number, rows) in sizes {
        match batches.last_mut() {
            Some(batch) if rows <= room => {
                batch.insert(number);
                room -= rows;
            }
            _ => {
                batches.push(BTreeSet::from([number]));
                room = rows_max.saturating_sub(rows);
            }
        }
    }
    batches
}

fn holding<'a>(
    wanted: &BTreeSet<usize>,
    known: &[Indexed],
    of: impl Fn(&Indexed) -> &Rows,
    parts: &'a [Part],
) -> Vec<&'a Part> {
    let holds = |known: &Indexed| of(known).iter().any(|(number, _)| wanted.contains(number));
    let parts = known.iter().zip(parts);
    parts.filter(|(known, _)| holds(known)).map(|(_, part)| part).collect()
}
