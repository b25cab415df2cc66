//! A batch for those who watch: its text, made in parts when somebody wants them, by filter where several share one.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::{Columns, text};
use super::hub::Watched;
use super::numbered::Numbered;
use super::{EventId, Frames};
use crate::MedallionError;

/// Rows of a part: what is encoded at once, so that nobody waits for the text of a whole batch.
pub(super) const PART_ROWS: usize = 1024;

/// Where at least one row in so many is wanted, the text of all of them is made and shared.
const SPARSE: usize = 8;

/// About what a batch takes beside its values, in bytes: what holds ten columns and a text. So very many batches of one event
/// count for what they take.
const BATCH_BYTES: usize = 4 << 10;

/// A batch of events, and what was made of it so far.
#[derive(Debug)]
pub(super) struct LiveBatch {
    pub(super) offset: u64,
    rows: usize,
    columns: Columns,
    parts: Box<[Made]>,
    /// What the events take in memory, without any text.
    pub(super) bytes: u64,
}

/// What was made of some rows.
#[derive(Debug, Default)]
struct Made {
    everything: OnceLock<Arc<Part>>,
    codes: OnceLock<Codes>,
    /// By the number of the filter.
    filtered: Mutex<Numbered<Arc<OnceLock<Arc<Part>>>>>,
}

/// The frames of some rows, one after the other.
#[derive(Debug)]
pub(super) struct Part {
    text: Bytes,
    rows: Box<[u32]>,
    /// Where the frame of each of them ends.
    ends: Box<[usize]>,
}

/// Topics and workflows of some rows by number: a filter then looks once at each that occurs.
#[derive(Debug)]
struct Codes {
    topic: Coded,
    workflow: Coded,
}

#[derive(Debug, Default)]
struct Coded {
    /// The number of each row's text.
    of: Vec<usize>,
    /// A row with the text of each number.
    first: Vec<usize>,
}

/// Rows of a batch that nobody has looked at yet, none of them beyond one part.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) batch: Arc<LiveBatch>,
    pub(super) rows: Range<usize>,
}

impl LiveBatch {
    pub(super) fn new(offset: u64, events: &RecordBatch) -> Result<Self, MedallionError> {
        let rows = events.num_rows();
        if u32::try_from(rows).is_err() {
            return Err(MedallionError::OtherSchema {
                what: format!("a batch has {rows} rows"),
            });
        }
        let columns = Columns::of(events)?;
        Ok(Self {
            offset,
            rows,
            parts: (0..rows.div_ceil(PART_ROWS)).map(|_| Made::default()).collect(),
            bytes: (BATCH_BYTES + columns.bytes()) as u64,
            columns,
        })
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn id(&self, row: usize) -> EventId {
        // Batches have fewer rows than a u32 counts.
        EventId {
            offset: self.offset,
            row: u32::try_from(row).unwrap_or(u32::MAX),
        }
    }

    /// The last event; of a batch without any the place behind it.
    pub(super) fn last_id(&self) -> EventId {
        self.rows
            .checked_sub(1)
            .map_or(EventId::all_of(self.offset), |last| self.id(last))
    }

    /// The rows from one on to the end of its part; none behind the last.
    pub(super) fn piece(self: &Arc<Self>, from: usize) -> Option<Piece> {
        let end = (from / PART_ROWS)
            .saturating_add(1)
            .saturating_mul(PART_ROWS)
            .min(self.rows);
        (from < end).then(|| Piece {
            batch: Arc::clone(self),
            rows: from..end,
        })
    }

    fn encoded(&self, rows: Vec<usize>) -> Part {
        let size = rows.iter().map(|row| self.columns.frame_bytes(*row)).sum();
        let (mut out, mut ends) = (Vec::with_capacity(size), Vec::with_capacity(rows.len()));
        for row in &rows {
            self.columns.push_frame(self.id(*row), *row, &mut out);
            ends.push(out.len());
        }
        out.shrink_to_fit();
        Part {
            text: out.into(),
            rows: rows.iter().map(|row| self.id(*row).row).collect(),
            ends: ends.into(),
        }
    }
}

impl Piece {
    fn made(&self) -> Option<&Made> {
        self.batch.parts.get(self.rows.start / PART_ROWS)
    }

    /// All rows of the part.
    fn part_rows(&self) -> Range<usize> {
        let first = self.rows.start / PART_ROWS * PART_ROWS;
        first..self.rows.end
    }

    /// The frames of the wanted rows, if there are any, and how many bytes of text were newly made and kept for them.
    pub(super) fn frames(&self, watched: &Arc<Watched>) -> (Option<Frames>, u64) {
        let mut kept = 0;
        let Some(made) = self.made() else {
            return (None, kept);
        };
        let frames = |part: &Part| part.frames(&self.batch, self.rows.start);
        let frames = if watched.everything {
            frames(self.everything(made, &mut kept))
        } else {
            frames(&self.part(made, watched, &mut kept))
        };
        (frames, kept)
    }

    /// The part of the wanted rows, once for all who want the same.
    fn part(&self, made: &Made, watched: &Arc<Watched>, kept: &mut u64) -> Arc<Part> {
        if !watched.is_shared() {
            return self.filtered(made, watched, kept);
        }
        let cell = Arc::clone(made.filtered.lock().entry(watched.number).or_default());
        Arc::clone(cell.get_or_init(|| {
            let part = self.filtered(made, watched, kept);
            if !made
                .everything
                .get()
                .is_some_and(|everything| Arc::ptr_eq(everything, &part))
            {
                *kept += part.bytes();
            }
            part
        }))
    }

    fn everything<'m>(&self, made: &'m Made, kept: &mut u64) -> &'m Arc<Part> {
        made.everything.get_or_init(|| {
            let part = self.batch.encoded(self.part_rows().collect());
            *kept += part.bytes();
            Arc::new(part)
        })
    }

    /// Makes the part of the wanted rows: of the text of all rows where that is there or worth making.
    fn filtered(&self, made: &Made, watched: &Watched, kept: &mut u64) -> Arc<Part> {
        let (all, rows) = (self.part_rows(), self.matching(watched, self.part_rows()));
        if rows.len() == all.len() {
            return Arc::clone(self.everything(made, kept));
        }
        if rows.is_empty() || (made.everything.get().is_none() && rows.len() * SPARSE < all.len()) {
            return Arc::new(self.batch.encoded(rows));
        }
        Arc::new(self.everything(made, kept).only(&rows, all.start))
    }

    /// The wanted ones of these rows of the part.
    pub(super) fn matching(&self, watched: &Watched, rows: Range<usize>) -> Vec<usize> {
        let filter = &watched.filter;
        let Some(made) = self.made().filter(|_| !watched.everything) else {
            return rows.collect();
        };
        let (columns, first) = (&self.batch.columns, self.part_rows().start);
        let codes = made.codes.get_or_init(|| Codes {
            topic: Coded::of(self.part_rows(), |row| Some(columns.topic.value(row))),
            workflow: Coded::of(self.part_rows(), |row| text(&columns.workflow_id, row)),
        });
        let topics = codes.topic.which(|row| filter.takes_topic(columns.topic.value(row)));
        let workflows = codes
            .workflow
            .which(|row| filter.takes_workflow(text(&columns.workflow_id, row)));
        let wanted = |row: &usize| {
            let at = row.saturating_sub(first);
            filter.takes_priority(columns.priority.value(*row))
                && codes.topic.is_in(&topics, at)
                && codes.workflow.is_in(&workflows, at)
        };
        rows.filter(wanted).collect()
    }

    /// The stream of a row.
    pub(super) fn stream(&self, row: usize) -> &str {
        self.batch.columns.stream.value(row)
    }

    /// The frame of one row.
    pub(super) fn frame(&self, row: usize) -> Vec<u8> {
        let everything = self.made().and_then(|made| made.everything.get());
        let at = row.saturating_sub(self.part_rows().start);
        if let Some(text) = everything.and_then(|part| part.text.get(part.begin(at)..part.end(at))) {
            return text.to_vec();
        }
        let mut out = Vec::with_capacity(self.batch.columns.frame_bytes(row));
        self.batch.columns.push_frame(self.batch.id(row), row, &mut out);
        out
    }
}

impl Part {
    fn bytes(&self) -> u64 {
        (self.text.len() + self.ends.len() * size_of::<usize>() + self.rows.len() * size_of::<u32>()) as u64
    }

    fn begin(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.end(before))
    }

    fn end(&self, at: usize) -> usize {
        self.ends.get(at).copied().unwrap_or(self.text.len())
    }

    /// The frames from a row on.
    fn frames(&self, batch: &LiveBatch, from: usize) -> Option<Frames> {
        let from = batch.id(from).row;
        let at = self.rows.partition_point(|row| *row < from);
        let last = self.rows.last().filter(|_| at < self.rows.len())?;
        Some(Frames {
            bytes: self.text.slice(self.begin(at)..),
            events: (self.rows.len() - at) as u64,
            last: batch.id(*last as usize),
        })
    }

    /// Some of the rows of a part that has all of them, from row `first` on.
    fn only(&self, rows: &[usize], first: usize) -> Self {
        // Neighbours are copied together, and where there are only neighbours nothing is copied.
        let runs: Vec<Range<usize>> = rows
            .chunk_by(|a, b| a + 1 == *b)
            .filter_map(|run| {
                let (begin, end) = (run.first()?.checked_sub(first)?, run.last()?.checked_sub(first)?);
                Some(self.begin(begin)..self.end(end))
            })
            .collect();
        let text = match runs.as_slice() {
            [run] => self.text.slice(run.clone()),
            runs => {
                let mut text = Vec::with_capacity(runs.iter().map(Range::len).sum());
                for run in runs {
                    text.extend_from_slice(self.text.get(run.clone()).unwrap_or_default());
                }
                text.into()
            }
        };
        let mut end = 0;
        let ends = rows.iter().map(|row| {
            let at = row.saturating_sub(first);
            end += self.end(at) - self.begin(at);
            end
        });
        Self {
            ends: ends.collect(),
            rows: rows
                .iter()
                .filter_map(|row| self.rows.get(row.checked_sub(first)?).copied())
                .collect(),
            text,
        }
    }
}

impl Coded {
    fn of<'a>(rows: Range<usize>, text: impl Fn(usize) -> Option<&'a str>) -> Self {
        let (mut coded, mut numbers) = (Self::default(), HashMap::new());
        let mut last = None;
        for row in rows {
            let text = text(row);
            // Events of one source come together.
            let number = match last {
                Some((same, number)) if same == text => number,
                _ => *numbers.entry(text).or_insert_with(|| {
                    coded.first.push(row);
                    coded.first.len() - 1
                }),
            };
            last = Some((text, number));
            coded.of.push(number);
        }
        coded
    }

    /// Which of the texts are wanted; `wanted` is asked with a row that has it.
    fn which(&self, wanted: impl Fn(usize) -> bool) -> Vec<bool> {
        self.first.iter().map(|row| wanted(*row)).collect()
    }

    fn is_in(&self, wanted: &[bool], at: usize) -> bool {
        let number = self.of.get(at);
        number.and_then(|number| wanted.get(*number)).copied().unwrap_or(false)
    }
}
