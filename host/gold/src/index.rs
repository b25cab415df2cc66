//! Knows which part holds which workflows and capsules, so that a refresh reads no other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::GoldError;
use crate::capabilities::{Call, EXECUTION};
use crate::error::{compute, io};
use crate::scan::{Opened, Scan, Slice};
use crate::sources::{Part, Sources};

/// The columns that tell a call and what it was.
const CALL: &[&str] = &["kind", "data"];

/// Names by number, in the order they were first seen; none is one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Option<String>>", into = "Vec<Option<String>>")]
pub(crate) struct Names {
    names: Vec<Option<String>>,
    numbers: PlHashMap<String, usize>,
    none: Option<usize>,
}

impl Names {
    fn number(&mut self, name: Option<&str>) -> usize {
        let known = match name {
            Some(name) => self.numbers.get(name).copied(),
            None => self.none,
        };
        known.unwrap_or_else(|| self.add(name.map(str::to_owned)))
    }

    fn add(&mut self, name: Option<String>) -> usize {
        let number = self.names.len();
        match name.clone() {
            Some(name) => drop(self.numbers.insert(name, number)),
            None => self.none = Some(number),
        }
        self.names.push(name);
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
        let mut known = Self::default();
        for name in names {
            known.add(name);
        }
        known
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
            let opened = scan.open(part)?;
            let (mut workflows, mut capsules) = (Counts::default(), Counts::default());
            for slice in opened.slices(&["workflow_id", "kind"]) {
                scan.count(&slice, 0);
                workflows.add(&mut self.workflows, &opened.read(&slice, &["workflow_id"])?)?;
                for piece in pieces_of_calls(&opened, &slice)? {
                    for call in calls(&opened, &piece)? {
                        capsules.count(self.capsules.number(call.capsule.as_deref()));
                    }
                }
            }
            let (workflows, capsules) = (workflows.rows(), capsules.rows());
            touched.add(&workflows, &capsules);
            self.silver.push(indexed(part, workflows, capsules)?);
        }
        for part in sources.shed.iter().skip(self.shed.len()) {
            let opened = scan.open(part)?;
            let mut workflows = Counts::default();
            for slice in opened.slices(&["workflow_id"]) {
                scan.count(&slice, 0);
                workflows.add(&mut self.workflows, &opened.read(&slice, &["workflow_id"])?)?;
            }
            let workflows = workflows.rows();
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

/// The pieces of a slice that hold its calls; none where there is no call, so that no data is read for nothing.
pub(crate) fn pieces_of_calls(part: &Opened<'_>, slice: &Slice) -> Result<Vec<Slice>, GoldError> {
    let frame = part.read(slice, &["kind"])?;
    let kinds = frame.column("kind").and_then(|kinds| kinds.str());
    let kinds = kinds.map_err(compute("look for calls"))?;
    let mut calls = (0..).zip(kinds.iter()).filter(|(_, kind)| *kind == Some(EXECUTION));
    let Some((first, _)) = calls.next() else {
        return Ok(Vec::new());
    };
    let last = calls.last().map_or(first, |(last, _)| last);
    Ok(part.cut(&slice.between(first, last), CALL).collect())
}

/// Reads the calls that such a piece records.
pub(crate) fn calls(part: &Opened<'_>, piece: &Slice) -> Result<Vec<Call>, GoldError> {
    let frame = part.read(piece, CALL)?;
    let read = || -> PolarsResult<Vec<Call>> {
        let [kinds, data] = [frame.column("kind")?.str()?, frame.column("data")?.str()?];
        let calls = kinds
            .iter()
            .zip(data.iter())
            .filter(|(kind, _)| *kind == Some(EXECUTION));
        Ok(calls.map(|(_, data)| Call::read(data.unwrap_or_default())).collect())
    };
    read().map_err(compute("read calls"))
}

/// How many rows each number has.
#[derive(Default)]
struct Counts(HashMap<usize, u64>);

impl Counts {
    fn count(&mut self, number: usize) {
        *self.0.entry(number).or_default() += 1;
    }

    /// Counts rows by workflow.
    fn add(&mut self, names: &mut Names, frame: &DataFrame) -> Result<(), GoldError> {
        let workflows = frame.column("workflow_id").and_then(|workflows| workflows.str());
        let mut last: Option<(Option<&str>, usize)> = None;
        for workflow in workflows.map_err(compute("count rows by workflow"))?.iter() {
            // Rows of a workflow mostly follow each other.
            let number = match last {
                Some((name, number)) if name == workflow => number,
                _ => names.number(workflow),
            };
            last = Some((workflow, number));
            self.count(number);
        }
        Ok(())
    }

    fn rows(self) -> Rows {
        let mut rows: Rows = self.0.into_iter().collect();
        rows.sort_unstable();
        rows
    }
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
