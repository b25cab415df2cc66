//! Brings the tables up to what silver and shed hold, reading no more than what changed takes.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::capabilities::Calls;
use crate::error::compute;
use crate::gather::Gather;
use crate::index::{self, Index};
use crate::metrics::{self, Shed};
use crate::progress::{Digests, Progress};
use crate::scan::Scan;
use crate::settings::GoldSettings;
use crate::sources::{Part, Sources};
use crate::tables::{CAPABILITIES, METRICS, MetricsRow, Tables, USAGE_GRAPH, UsageRow, tables};
use crate::{GoldError, write};

/// The columns of shed.
const SHED: &[&str] = &["workflow_id", "events"];

/// The gold tables of a data folder. There must be one at a time of a folder.
#[derive(Debug)]
pub struct Gold {
    folder: PathBuf,
    settings: GoldSettings,
}

/// What a refresh did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refreshed {
    /// Workflows that were computed anew; events that name none count as one.
    pub workflows: usize,
    /// Rows read from parts; one that was read twice counts twice.
    pub rows_read: u64,
    /// The most rows that were held at once.
    pub rows_at_once: u64,
    /// The offset behind the last part of silver that the tables are made of.
    pub end_offset: u64,
    /// There was nothing new, so nothing was written.
    pub unchanged: bool,
}

impl Gold {
    /// The tables in this folder, which is made with the first of them.
    ///
    /// # Errors
    /// [`GoldError::InvalidSetting`].
    pub fn open(folder: impl Into<PathBuf>, settings: GoldSettings) -> Result<Self, GoldError> {
        settings.check()?;
        Ok(Self {
            folder: folder.into(),
            settings,
        })
    }

    /// Computes what parts that are new since the last time touch, from all rows there are of it, and takes over the
    /// rest. Where that cannot be, since a table is missing or another one than was written, since the prices or this
    /// program changed, or since the parts do not go on from the last time's, all is computed.
    ///
    /// # Errors
    /// Of a part that cannot be read and of a table that cannot be written; the next refresh makes up for it.
    pub fn refresh(&mut self, sources: &Sources) -> Result<Refreshed, GoldError> {
        sources.check()?;
        let progress = Progress::load(&self.folder, &self.settings.prices);
        let Some(progress) = progress.filter(|progress| progress.index.begins(sources)) else {
            return self.rebuild(sources);
        };
        if progress.index.is_all_of(sources) {
            return Ok(Refreshed {
                workflows: 0,
                rows_read: 0,
                rows_at_once: 0,
                end_offset: progress.index.end_offset(),
                unchanged: true,
            });
        }
        match tables(&self.folder) {
            Ok(tables) => self.go_on(sources, tables, progress.index, &progress.tables),
            Err(_) => self.rebuild(sources),
        }
    }

    /// Computes all of it, whatever there is.
    ///
    /// # Errors
    /// As [`Gold::refresh`].
    pub fn rebuild(&mut self, sources: &Sources) -> Result<Refreshed, GoldError> {
        sources.check()?;
        self.go_on(sources, Tables::default(), Index::default(), &Digests::new())
    }

    fn go_on(
        &mut self,
        sources: &Sources,
        mut tables: Tables,
        mut index: Index,
        there: &Digests,
    ) -> Result<Refreshed, GoldError> {
        let mut scan = Scan::new(self.settings.rows_at_once_max);
        let touched = index.add(sources, &mut scan)?;

        let names = index.workflow_names(&touched.workflows);
        tables
            .metrics
            .retain(|row| !names.contains(&row.workflow_id.as_deref()));
        tables
            .usage_graph
            .retain(|row| !names.contains(&row.workflow_id.as_deref()));
        for batch in index.workflow_batches(&touched.workflows, scan.gathered_rows_max) {
            let (metrics, usage) = self.measured(&batch, &index, sources, &mut scan)?;
            tables.metrics.extend(metrics);
            tables.usage_graph.extend(usage);
        }
        let names = index.capsule_names(&touched.capsules);
        tables
            .capabilities
            .retain(|row| !names.contains(&row.capsule.as_deref()));
        for batch in index.capsule_batches(&touched.capsules, scan.gathered_rows_max) {
            let names = index.capsule_names(&batch);
            let calls = calls(&names, index.calls_of(&batch, sources), &mut scan)?;
            tables.capabilities.extend(calls.measure());
        }

        in_order(&mut tables);
        let refreshed = Refreshed {
            workflows: touched.workflows.len(),
            rows_read: scan.rows_read,
            end_offset: index.end_offset(),
            rows_at_once: scan.rows_at_once,
            unchanged: false,
        };
        let tables = [
            (METRICS, write::parquet(&tables.metrics)?),
            (USAGE_GRAPH, write::parquet(&tables.usage_graph)?),
            (CAPABILITIES, write::parquet(&tables.capabilities)?),
        ];
        Progress::save(there, &self.folder, &self.settings.prices, index, tables)?;
        Ok(refreshed)
    }

    /// The rows of some workflows.
    fn measured(
        &self,
        workflows: &BTreeSet<usize>,
        index: &Index,
        sources: &Sources,
        scan: &mut Scan,
    ) -> Result<(Vec<MetricsRow>, Vec<UsageRow>), GoldError> {
        let names = index.workflow_names(workflows);
        let mut silver = Gather::of(&names)?;
        for part in index.silver_of(workflows, sources) {
            silver.add(&scan.open(part)?, scan)?;
        }
        let shed = shed(&names, index.shed_of(workflows, sources), scan)?;
        Ok(metrics::measure(silver.sorted(), &shed, &self.settings.prices))
    }
}

/// Adds up what was shed of some workflows.
fn shed(names: &HashSet<Option<&str>>, parts: Vec<&Part>, scan: &mut Scan) -> Result<Shed, GoldError> {
    let mut shed = Shed::new();
    for part in parts {
        let part = scan.open(part)?;
        for slice in part.slices(SHED) {
            scan.count(&slice, 0);
            let rows = part.read(&slice, SHED)?;
            metrics::add_shed(&mut shed, &rows, names).map_err(compute("add up what was shed"))?;
        }
    }
    Ok(shed)
}

/// Gathers the calls of some capsules.
fn calls(names: &HashSet<Option<&str>>, parts: Vec<&Part>, scan: &mut Scan) -> Result<Calls, GoldError> {
    let mut calls = Calls::default();
    for part in parts {
        let part = scan.open(part)?;
        for slice in part.slices(&["kind"]) {
            scan.count(&slice, calls.len());
            for piece in index::pieces_of_calls(&part, &slice)? {
                let read = index::calls(&part, &piece)?.into_iter();
                for call in read.filter(|call| names.contains(&call.capsule.as_deref())) {
                    calls.add(&call).map_err(compute("gather calls"))?;
                }
            }
        }
    }
    Ok(calls)
}

/// The order of the tables; no two rows are equal in it.
fn in_order(tables: &mut Tables) {
    tables.metrics.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    tables.usage_graph.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    tables.capabilities.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
}
