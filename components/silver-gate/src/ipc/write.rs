//! A stream made of record batches as they came and of columns that are added to them.
//!
//! Arrow's writer would copy each column twice and want the ids as an array first. Here a batch that is kept whole goes from
//! stream to stream in one copy, its description as it was, and the ids are written where they stay.

use arrow_array::RecordBatch;
use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::writer::{CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions, write_message};
use arrow_ipc::{
    Buffer, FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder, root_as_message,
};
use arrow_schema::Schema;

use crate::error::{Error, other};
use crate::id::{Id, TEXT_BYTES};
use crate::ipc::read::Batch;

/// Where buffers begin, in bytes, as Arrow recommends. The batches that come are aligned to no more than that.
const ALIGNMENT_BYTES: usize = 64;
/// The length of an id's text, as offsets count.
const TEXT_BYTES_I32: i32 = 36;
/// What a stream ends with: the marker, and no message.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A column to add: utf8, without nulls.
pub(crate) enum Added<'a> {
    /// Ids in their text form.
    Ids(&'a [Id]),
    /// Any text.
    Texts(&'a [String]),
}

/// A stream that is being written.
pub(crate) struct Stream {
    bytes: Vec<u8>,
    options: IpcWriteOptions,
}

impl Stream {
    /// A stream of batches of this schema, for which memory is set aside: getting it in steps would copy what is written.
    pub(crate) fn new(schema: &Schema, likely_bytes: usize) -> Result<Self, Error> {
        let options = IpcWriteOptions::try_new(ALIGNMENT_BYTES, false, MetadataVersion::V5).map_err(other)?;
        let mut bytes = Vec::with_capacity(likely_bytes);
        let mut dictionaries = DictionaryTracker::new(true);
        let message =
            IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &options);
        write_message(&mut bytes, message, &options).map_err(other)?;
        Ok(Self { bytes, options })
    }

    /// Adds a batch as it came, with these columns behind its own.
    pub(crate) fn push_whole(&mut self, batch: &Batch, added: &[Added<'_>]) -> Result<(), Error> {
        match batch.frame.message()?.header_as_record_batch() {
            Some(description) => self.push(description, &batch.frame.body, added),
            None => Err(Error::Other("a record batch has lost its description".into())),
        }
    }

    /// Adds rows, with these columns behind their own.
    pub(crate) fn push_rows(&mut self, rows: &RecordBatch, added: &[Added<'_>]) -> Result<(), Error> {
        let mut dictionaries = DictionaryTracker::new(true);
        let (_, encoded) = IpcDataGenerator::default()
            .encode(
                rows,
                &mut dictionaries,
                &self.options,
                &mut CompressionContext::default(),
            )
            .map_err(other)?;
        match root_as_message(&encoded.ipc_message).map(|message| message.header_as_record_batch()) {
            Ok(Some(description)) => self.push(description, &encoded.arrow_data, added),
            _ => Err(Error::Other(
                "a record batch that was just written cannot be read".into(),
            )),
        }
    }

    fn push(&mut self, description: arrow_ipc::RecordBatch<'_>, body: &[u8], added: &[Added<'_>]) -> Result<(), Error> {
        let rows = description.length();
        let mut nodes: Vec<FieldNode> = description.nodes().into_iter().flatten().copied().collect();
        let mut buffers: Vec<Buffer> = description.buffers().into_iter().flatten().copied().collect();
        let mut body_bytes = aligned(body.len());
        for column in added {
            nodes.push(FieldNode::new(rows, 0));
            for bytes in [0, column.offsets_bytes(), column.text_bytes()] {
                buffers.push(Buffer::new(signed(body_bytes)?, signed(bytes)?));
                body_bytes += aligned(bytes);
            }
        }
        let metadata = metadata(&description, &nodes, &buffers, signed(body_bytes)?);
        let prefix_bytes = 2 * size_of::<u32>();
        let metadata_bytes = aligned(prefix_bytes + metadata.len()) - prefix_bytes;
        self.bytes
            .reserve(prefix_bytes + metadata_bytes + body_bytes + END.len());
        self.bytes.extend(u32::MAX.to_le_bytes());
        self.bytes.extend(to_i32(metadata_bytes)?.to_le_bytes());
        self.bytes.extend(metadata);
        self.pad();
        self.bytes.extend(body);
        self.pad();
        for column in added {
            column.write_offsets(&mut self.bytes)?;
            self.pad();
            column.write_text(&mut self.bytes);
            self.pad();
        }
        Ok(())
    }

    /// Every message begins aligned, so the place in the stream tells what is missing.
    fn pad(&mut self) {
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }

    /// The stream's bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend(END);
        self.bytes
    }
}

/// The metadata of a batch: the description's, with these nodes and buffers.
fn metadata(
    description: &arrow_ipc::RecordBatch<'_>,
    nodes: &[FieldNode],
    buffers: &[Buffer],
    body_bytes: i64,
) -> Vec<u8> {
    // The builder is another crate's; an encoder of schemas lends one.
    let mut builder = IpcSchemaEncoder::new().schema_to_fb(&Schema::empty());
    builder.reset();
    let views: Vec<i64> = description.variadicBufferCounts().into_iter().flatten().collect();
    let (nodes, buffers) = (builder.create_vector(nodes), builder.create_vector(buffers));
    let views = (!views.is_empty()).then(|| builder.create_vector(&views));
    let mut batch = RecordBatchBuilder::new(&mut builder);
    batch.add_length(description.length());
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    if let Some(views) = views {
        batch.add_variadicBufferCounts(views);
    }
    let header = batch.finish().as_union_value();
    let mut message = MessageBuilder::new(&mut builder);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(MessageHeader::RecordBatch);
    message.add_header(header);
    message.add_bodyLength(body_bytes);
    let message = message.finish();
    builder.finish(message, None);
    builder.finished_data().to_vec()
}

impl Added<'_> {
    fn rows(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    fn offsets_bytes(&self) -> usize {
        (self.rows() + 1) * size_of::<i32>()
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len() * TEXT_BYTES,
            Self::Texts(texts) => texts.iter().map(String::len).sum(),
        }
    }

    fn write_offsets(&self, into: &mut Vec<u8>) -> Result<(), Error> {
        // The last offset is the largest; where it fits all others do.
        to_i32(self.text_bytes())?;
        into.extend(0_i32.to_le_bytes());
        match self {
            Self::Ids(ids) => id_offsets(ids.len(), into),
            Self::Texts(texts) => {
                let mut end = 0;
                for text in *texts {
                    end += to_i32(text.len())?;
                    into.extend(end.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    fn write_text(&self, into: &mut Vec<u8>) {
        match self {
            Self::Ids(ids) => id_texts(ids, into),
            Self::Texts(texts) => texts.iter().for_each(|text| into.extend(text.as_bytes())),
        }
    }
}

/// The ends of so many ids' texts, one behind the other.
fn id_offsets(rows: usize, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + rows * size_of::<i32>(), 0);
    let mut end = 0;
    for place in into.get_mut(start..).unwrap_or_default().as_chunks_mut().0 {
        end += TEXT_BYTES_I32;
        *place = end.to_le_bytes();
    }
}

/// The ids' texts, one behind the other.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn id_texts(ids: &[Id], into: &mut Vec<u8>) {
    // So few at a time that what is made room for is still near when it is written.
    for ids in ids.chunks(256) {
        let start = into.len();
        into.resize(start + ids.len() * TEXT_BYTES, 0);
        let places = into.get_mut(start..).unwrap_or_default().as_chunks_mut().0;
        for (place, id) in places.iter_mut().zip(ids) {
            id.write(place);
        }
    }
}

fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT_BYTES)
}

fn too_much<T>(_: T) -> Error {
    Error::Other("what the batch becomes is too large for one stream; make smaller batches".into())
}

fn signed(bytes: usize) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(too_much)
}

fn to_i32(bytes: usize) -> Result<i32, Error> {
    i32::try_from(bytes).map_err(too_much)
}
