//! Parts as silver and shed have them, written for a test.

mod example;
mod hostile;
mod laws;
mod numbers;
mod repair;
mod slices;
mod speed;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use polars::prelude::*;
use polars_io::prelude::*;

use crate::{CAPABILITIES, Gold, GoldSettings, METRICS, Part, Price, Prices, Sources, USAGE_GRAPH};

/// A row of silver.
#[derive(Clone, Debug, Default)]
pub(super) struct Event {
    pub workflow: Option<&'static str>,
    pub intent: Option<&'static str>,
    pub node: Option<&'static str>,
    pub sequence: u64,
    pub token: Option<&'static str>,
    pub received_unix_ns: i64,
    pub kind: &'static str,
    pub model: Option<&'static str>,
    pub usage: [Option<i64>; 3],
    pub error: Option<&'static str>,
    pub duration_ms: Option<f64>,
    pub data: String,
}

impl Event {
    fn stream(&self) -> String {
        match (self.workflow, self.intent) {
            (None, None) => "telemetry.events.v1".to_owned(),
            (workflow, intent) => format!("{}/{}", workflow.unwrap_or_default(), intent.unwrap_or_default()),
        }
    }
}

/// A row of shed.
pub(super) type Shed = (Option<&'static str>, u64);

/// A data folder.
pub(super) struct Data {
    pub folder: tempfile::TempDir,
    pub sources: Sources,
}

impl Data {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["silver", "shed"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            sources: Sources::default(),
        }
    }

    pub(super) fn of(events: &[Event]) -> Self {
        let mut data = Self::new();
        data.silver(events);
        data
    }

    pub(super) fn silver(&mut self, events: &[Event]) {
        let part = self.part("silver", &self.sources.silver, events.len());
        write(&part.path, silver_frame(events));
        self.sources.silver.push(part);
    }

    /// A part of these row groups, of which one at a time is held, in pages of about so many bytes.
    pub(super) fn silver_of(&mut self, row_groups: impl IntoIterator<Item = Vec<Event>>, page_bytes: usize) {
        // Its name says less than it holds, which nobody reads.
        let part = self.part("silver", &self.sources.silver, 1);
        let schema = silver_frame(&[]).schema().clone();
        let writer = ParquetWriter::new(File::create(&part.path).unwrap());
        let mut writer = writer.with_data_page_size(Some(page_bytes)).batched(&schema).unwrap();
        for events in row_groups {
            writer.write_batch(&silver_frame(&events)).unwrap();
        }
        writer.finish().unwrap();
        self.sources.silver.push(part);
    }

    pub(super) fn shed(&mut self, rows: &[Shed]) {
        let part = self.part("shed", &self.sources.shed, rows.len());
        let column = |name: &str, values: Vec<u64>| Column::new(name.into(), values);
        let columns = vec![
            Column::new("stream".into(), vec!["s"; rows.len()]),
            Column::new("workflow_id".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>()),
            column("events", rows.iter().map(|row| row.1).collect()),
            column("data_bytes", vec![1; rows.len()]),
        ];
        write(&part.path, DataFrame::new(rows.len(), columns).unwrap());
        self.sources.shed.push(part);
    }

    fn part(&self, table: &str, parts: &[Part], rows: usize) -> Part {
        let first_offset = parts.last().map_or(0, |part| part.end_offset);
        let end_offset = first_offset + rows.max(1) as u64;
        let name = format!("part-{first_offset:020}-{end_offset:020}.parquet");
        Part {
            path: self.folder.path().join(table).join(name),
            first_offset,
            end_offset,
        }
    }

    pub(super) fn gold_folder(&self) -> PathBuf {
        self.folder.path().join("gold")
    }

    pub(super) fn gold(&self) -> Gold {
        Gold::open(self.gold_folder(), settings()).unwrap()
    }
}

pub(super) fn settings() -> GoldSettings {
    let price = |prompt, cached, completion| Price {
        prompt_per_million: prompt,
        cached_per_million: cached,
        completion_per_million: completion,
    };
    GoldSettings {
        prices: Prices {
            default: price(0.1, None, 0.3),
            models: [("m".to_owned(), price(2.0, Some(1.0), 10.0))].into(),
        },
        ..GoldSettings::default()
    }
}

/// The bytes of the tables.
pub(super) fn bytes(folder: &Path) -> [Vec<u8>; 3] {
    [METRICS, USAGE_GRAPH, CAPABILITIES].map(|name| fs::read(folder.join(name)).unwrap())
}

pub(super) fn silver_frame(events: &[Event]) -> DataFrame {
    fn text<'a>(name: &str, events: &'a [Event], of: impl Fn(&'a Event) -> Option<&'a str>) -> Column {
        Column::new(name.into(), events.iter().map(of).collect::<Vec<_>>())
    }
    let usage = |name: &str, at: usize| {
        let values: Vec<_> = events.iter().map(|event| event.usage[at]).collect();
        Column::new(name.into(), values)
    };
    let streams: Vec<_> = events.iter().map(Event::stream).collect();
    let columns = vec![
        Column::new("stream".into(), streams),
        Column::new(
            "sequence".into(),
            events.iter().map(|event| event.sequence).collect::<Vec<_>>(),
        ),
        text("token", events, |event| event.token),
        Column::new(
            "received_unix_ns".into(),
            events.iter().map(|event| event.received_unix_ns).collect::<Vec<_>>(),
        ),
        text("topic", events, |_| Some("telemetry.events.v1")),
        text("workflow_id", events, |event| event.workflow),
        text("intent_id", events, |event| event.intent),
        text("node_cid", events, |event| event.node),
        text("kind", events, |event| Some(event.kind)),
        text("model", events, |event| event.model),
        usage("prompt_tokens", 0),
        usage("completion_tokens", 1),
        usage("cached_tokens", 2),
        text("error", events, |event| event.error),
        Column::new(
            "duration_ms".into(),
            events.iter().map(|event| event.duration_ms).collect::<Vec<_>>(),
        ),
        text("data", events, |event| Some(&event.data)),
    ];
    DataFrame::new(events.len(), columns).unwrap()
}

pub(super) fn write(path: &Path, mut frame: DataFrame) {
    let writer = ParquetWriter::new(File::create(path).unwrap());
    writer.with_row_group_size(Some(65_536)).finish(&mut frame).unwrap();
}
