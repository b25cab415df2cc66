//! Brings the tables up to what silver and shed hold, reading no more than what changed takes.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::error::compute;
use crate::index::{self, Index};
use crate::metrics::{self, Shed};
use crate::progress::{Digests, Progress};
use crate::scan::{self, Scan};
use crate::settings::GoldSettings;
use crate::sources::{Part, Sources};
use crate::tables::{CAPABILITIES, METRICS, MetricsRow, Tables, USAGE_GRAPH, UsageRow, tables};
use crate::{GoldError, capabilities, write};

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
        let mut scan = Scan::default();
        let touched = index.add(sources, &mut scan)?;

        let names = index.workflow_names(&touched.workflows);
        tables
            .metrics
            .retain(|row| !names.contains(&row.workflow_id.as_deref()));
        tables
            .usage_graph
            .retain(|row| !names.contains(&row.workflow_id.as_deref()));
        for batch in index.workflow_batches(&touched.workflows, self.settings.rows_at_once_max) {
            let (metrics, usage) = self.measured(&batch, &index, sources, &mut scan)?;
            tables.metrics.extend(metrics);
            tables.usage_graph.extend(usage);
        }
        let names = index.capsule_names(&touched.capsules);
        tables
            .capabilities
            .retain(|row| !names.contains(&row.capsule.as_deref()));
        for batch in index.capsule_batches(&touched.capsules, self.settings.rows_at_once_max) {
            let names = index.capsule_names(&batch);
            let mut calls = Vec::new();
            for part in index.calls_of(&batch, sources) {
                let read = index::calls(&mut scan, part)?.into_iter();
                calls.extend(read.filter(|call| names.contains(&call.capsule.as_deref())));
            }
            tables.capabilities.extend(capabilities::measure(calls));
        }

        in_order(&mut tables);
        let refreshed = Refreshed {
            workflows: touched.workflows.len(),
            rows_read: scan.rows_read,
            end_offset: index.end_offset(),
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
        let mut silver = scan::empty(metrics::COLUMNS)?;
        for part in index.silver_of(workflows, sources) {
            let rows = scan.workflows(part, metrics::COLUMNS, &names)?;
            silver.vstack_mut_owned(rows).map_err(compute("put parts together"))?;
        }
        let shed = shed(&names, index.shed_of(workflows, sources), scan)?;
        metrics::measure(&names, silver, &shed, &self.settings.prices)
    }
}

/// Adds up what was shed of some workflows.
fn shed(names: &HashSet<Option<&str>>, parts: Vec<&Part>, scan: &mut Scan) -> Result<Shed, GoldError> {
    let mut shed = Shed::new();
    for part in parts {
        let rows = scan.workflows(part, &["workflow_id", "events"], names)?;
        metrics::add_shed(&mut shed, &rows).map_err(compute("add up what was shed"))?;
    }
    Ok(shed)
}

/// The order of the tables; no two rows are equal in it.
fn in_order(tables: &mut Tables) {
    tables.metrics.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    tables.usage_graph.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    tables.capabilities.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
}
