//! The buffer's state as bytes, for a successor to go on from.
//!
//! Format version 1. Numbers are little-endian.
//!
//! | what | bytes |
//! |---|---|
//! | positions: acknowledged, pulled, end | 3 × 8 |
//! | step of the level (0 to 16); whether it follows (0, 1); the newest level it was told | 1, 1, 2 |
//! | events ever offered, kept, refused | 3 × 8 |
//! | by priority: events and bytes ever dropped | 5 × 2 × 8 |
//! | when a stream was met last, as streams count time | 8 |
//! | number of streams | 4 |
//! | each stream, by name: length of the name, name | 2, length |
//! | … whether a number was met (0, 1), the highest | 1, 8 |
//! | … the position behind its last event held, when it was met last | 8, 8 |
//! | … number of level changes, and each: from which number, level | 2, (8, 2) each |
//! | number of Arrow IPC streams with the events held | 4 |
//! | each: length, stream; each record batch is a piece as it was held | 8, length |
//! | SHA-1 of all before | 20 |

use arrow_array::{Array, RecordBatch};
use arrow_buffer::Buffer as Bytes;
use arrow_schema::SchemaRef;

use crate::buffer::{Buffer, PRIORITIES, Totals};
use crate::changes::{CHANGES_MAX, Changes};
use crate::digest::Sha1;
use crate::error::StateError;
use crate::events::{Events, STREAM_NAME_BYTES_MAX};
use crate::gate::Level;
use crate::ipc;
use crate::pressure::{Amount, Step};
use crate::queue::{Queue, copied};
use crate::streams::{Stream, Streams};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT_VERSION: u32 = 1;

const DIGEST_BYTES: usize = 20;

impl Buffer {
    /// The state, in format [`FORMAT_VERSION`].
    pub fn export_state(&self) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        let follows = u8::from(self.followed.is_some());
        let followed = self.followed.unwrap_or_default();
        numbers(
            &mut bytes,
            [self.queue.acknowledged(), self.queue.pulled(), self.queue.end()],
        );
        bytes.extend([self.step.get(), follows]);
        bytes.extend(followed.get().to_le_bytes());
        let Totals {
            offered,
            kept,
            refused,
            shed,
        } = self.totals;
        numbers(&mut bytes, [offered, kept, refused]);
        numbers(
            &mut bytes,
            shed.into_iter().flat_map(|class| [class.events, class.size_bytes]),
        );
        numbers(&mut bytes, [self.streams.clock()]);
        count(&mut bytes, self.streams.len())?;
        for stream in self.streams.iter() {
            write_stream(&mut bytes, stream)?;
        }
        self.write_events(&mut bytes)?;
        let digest = digest(&bytes);
        bytes.extend(digest);
        Ok(bytes)
    }

    fn write_events(&self, bytes: &mut Vec<u8>) -> Result<(), StateError> {
        let held: Vec<RecordBatch> = self.queue.iter().map(|held| held.batch.clone()).collect();
        let groups = held.chunk_by(|left, right| SchemaRef::ptr_eq(left.schema_ref(), right.schema_ref()));
        count(bytes, groups.clone().count())?;
        for group in groups {
            if let Some(first) = group.first() {
                let stream = ipc::write(first.schema_ref(), group).map_err(StateError::Other)?;
                numbers(bytes, [stream.len() as u64]);
                bytes.extend(stream);
            }
        }
        Ok(())
    }

    /// Takes over a predecessor's state; only before anything else was asked. More may come than the settings allow to
    /// hold: then nothing is taken until enough was acknowledged. On an error nothing has changed.
    pub fn import_state(&mut self, format_version: u32, bytes: &[u8]) -> Result<(), StateError> {
        if format_version != FORMAT_VERSION {
            return Err(StateError::UnknownFormat(FORMAT_VERSION));
        }
        if !self.is_fresh() {
            return Err(StateError::Other(
                "the buffer was used already; import into a new one, after start and before the first call".to_owned(),
            ));
        }
        let (body, expected) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or_else(|| damaged("it is shorter than its checksum"))?;
        if digest(body) != *expected {
            return Err(damaged("its checksum does not fit"));
        }
        let mut reader = Reader { rest: body };
        let mut imported = reader.buffer()?;
        if !reader.rest.is_empty() {
            return Err(damaged("bytes follow its end"));
        }
        imported.settings.clone_from(&self.settings);
        imported.step = imported.step.settled(imported.queue.amount(), &imported.settings);
        *self = imported;
        Ok(())
    }
}

fn write_stream(bytes: &mut Vec<u8>, stream: &Stream) -> Result<(), StateError> {
    let short = |length: usize| u16::try_from(length).map_err(|error| StateError::Other(error.to_string()));
    bytes.extend(short(stream.name.len())?.to_le_bytes());
    bytes.extend(&stream.name);
    bytes.push(u8::from(stream.last.is_some()));
    numbers(bytes, [stream.last.unwrap_or(0), stream.held_to, stream.used]);
    let changes = stream.changes.iter();
    bytes.extend(short(changes.len())?.to_le_bytes());
    for (from, level) in changes {
        numbers(bytes, [from]);
        bytes.extend(level.get().to_le_bytes());
    }
    Ok(())
}

fn numbers(bytes: &mut Vec<u8>, numbers: impl IntoIterator<Item = u64>) {
    bytes.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
}

fn count(bytes: &mut Vec<u8>, count: usize) -> Result<(), StateError> {
    let count = u32::try_from(count).map_err(|error| StateError::Other(error.to_string()))?;
    bytes.extend(count.to_le_bytes());
    Ok(())
}

fn digest(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha1::default();
    hash.update(bytes);
    hash.finish_bytes()
}

fn damaged(why: impl Into<String>) -> StateError {
    StateError::DamagedSnapshot(why.into())
}

/// What is left of a snapshot. Each function reads one thing and checks it.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn buffer(&mut self) -> Result<Buffer, StateError> {
        let (acknowledged, pulled, end) = (self.u64()?, self.u64()?, self.u64()?);
        let [step, follows] = self.bytes()?;
        let step = Step::new(step).ok_or_else(|| damaged(format!("a step of {step}")))?;
        let level = self.level()?;
        let followed = flag(follows)?.then_some(level);
        let totals = self.totals()?;
        let streams = self.streams()?;
        let mut queue = Queue::starting_at(acknowledged);
        for _ in 0..u32::from_le_bytes(self.bytes()?) {
            self.events(&mut queue)?;
        }
        if queue.end() != end || !queue.skip_to(pulled) {
            return Err(damaged(format!(
                "it holds events from {acknowledged} to {}, but says pulled up to {pulled} and held up to {end}",
                queue.end()
            )));
        }
        Ok(Buffer {
            streams,
            queue,
            step,
            followed,
            totals,
            ..Buffer::default()
        })
    }

    fn totals(&mut self) -> Result<Totals, StateError> {
        let (offered, kept, refused) = (self.u64()?, self.u64()?, self.u64()?);
        let mut shed = [Amount::default(); PRIORITIES];
        for class in &mut shed {
            *class = Amount {
                events: self.u64()?,
                size_bytes: self.u64()?,
            };
        }
        let parts = shed.iter().map(|class| class.events).chain([kept, refused]);
        if parts.map(u128::from).sum::<u128>() != u128::from(offered) {
            return Err(damaged("the events kept, dropped and refused are not those offered"));
        }
        Ok(Totals {
            offered,
            kept,
            refused,
            shed,
        })
    }

    fn streams(&mut self) -> Result<Streams, StateError> {
        let mut streams = Streams::default();
        streams.set_clock(self.u64()?);
        for _ in 0..u32::from_le_bytes(self.bytes()?) {
            let stream = self.stream()?;
            let name = String::from_utf8_lossy(&stream.name).into_owned();
            if stream.used > streams.clock() {
                return Err(damaged(format!("stream {name:?} was met in the future")));
            }
            if !streams.add(stream) {
                return Err(damaged(format!("stream {name:?} is there twice")));
            }
        }
        Ok(streams)
    }

    fn stream(&mut self) -> Result<Stream, StateError> {
        let length = usize::from(u16::from_le_bytes(self.bytes()?));
        if length > STREAM_NAME_BYTES_MAX {
            return Err(damaged(format!("a stream's name has {length} bytes")));
        }
        let name = str::from_utf8(self.take(length)?).map_err(|error| damaged(error.to_string()))?;
        let name: Box<[u8]> = name.as_bytes().into();
        let [has_last] = self.bytes()?;
        let last = self.u64()?;
        let last = flag(has_last)?.then_some(last);
        let (held_to, used) = (self.u64()?, self.u64()?);
        let count = usize::from(u16::from_le_bytes(self.bytes()?));
        if count > CHANGES_MAX {
            return Err(damaged(format!("a stream has {count} level changes")));
        }
        let mut changes = Changes::default();
        for _ in 0..count {
            let (from, level) = (self.u64()?, self.level()?);
            if changes.newest().is_some_and(|(newest, _)| newest >= from) {
                return Err(damaged("a stream's level changes are not in order"));
            }
            changes.set(from, level);
        }
        Ok(Stream {
            name,
            last,
            changes,
            held_to,
            used,
        })
    }

    fn events(&mut self, queue: &mut Queue) -> Result<(), StateError> {
        let length = usize::try_from(self.u64()?).map_err(|error| damaged(error.to_string()))?;
        let stream = ipc::read(Bytes::from_slice_ref(self.take(length)?)).map_err(damaged)?;
        let other = |error: crate::error::Error| StateError::Other(format!("{error:?}"));
        let schema = queue.schema(stream.schema).map_err(other)?;
        for batch in stream.batches {
            let events = Events::of(&batch).map_err(damaged)?;
            if events.sequences.null_count() > 0 {
                return Err(damaged("an event that is held has no number"));
            }
            let size_bytes = events.sizes.all();
            let batch = RecordBatch::try_new(SchemaRef::clone(&schema), batch.columns().to_vec())
                .and_then(|batch| copied(&batch))
                .map_err(|error| damaged(error.to_string()))?;
            if queue.end().checked_add(batch.num_rows() as u64).is_none() {
                return Err(damaged("positions end before the events held do"));
            }
            queue.push(batch, size_bytes);
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&[u8], StateError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| damaged("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn level(&mut self) -> Result<Level, StateError> {
        let level = u16::from_le_bytes(self.bytes()?);
        Level::new(level).ok_or_else(|| damaged(format!("a level of {level}")))
    }
}

fn flag(byte: u8) -> Result<bool, StateError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(damaged(format!("{byte} where 0 or 1 stands"))),
    }
}
