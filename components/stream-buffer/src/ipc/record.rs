//! Whether a record batch's description fits its schema and its body.

use arrow_ipc::{Buffer, FieldNode, RecordBatch};
use arrow_schema::Schema;

use crate::layout::Layout;

/// The most rows of one record batch.
const ROWS_MAX: usize = 1 << 24;

/// Checks all that reading takes for granted: as many nodes and buffers as the columns need, every buffer inside the body
/// and large enough. The contents of offsets, text and null masks are left to the reading.
pub(super) fn check(batch: &RecordBatch<'_>, schema: &Schema, body_bytes: usize) -> Result<(), String> {
    if batch.compression().is_some() {
        return Err("it is compressed; write it plain".to_owned());
    }
    if batch.variadicBufferCounts().is_some_and(|counts| !counts.is_empty()) {
        return Err("it has views, which no column here has".to_owned());
    }
    let rows = usize::try_from(batch.length()).ok().filter(|rows| *rows <= ROWS_MAX);
    let rows = rows.ok_or_else(|| format!("it says it has {} rows; {ROWS_MAX} are the most", batch.length()))?;
    let nodes = batch.nodes().ok_or("it has no nodes")?;
    let mut buffers = batch.buffers().ok_or("it has no buffers")?.iter();
    if nodes.len() != schema.fields().len() {
        return Err(format!(
            "it has {} nodes for {} columns",
            nodes.len(),
            schema.fields().len()
        ));
    }
    for (field, node) in schema.fields().iter().zip(nodes) {
        let layout = Layout::of(field.data_type()).ok_or("a column's type is not taken")?;
        column(layout, node, rows, |need| within(buffers.next(), &need, body_bytes))
            .map_err(|error| format!("column {:?}: {error}", field.name()))?;
    }
    if buffers.next().is_some() {
        return Err("it has more buffers than its columns need".to_owned());
    }
    Ok(())
}

/// Asks for the column's buffers one after the other, by what each must be.
fn column(
    layout: Layout,
    node: &FieldNode,
    rows: usize,
    mut buffer: impl FnMut(Need) -> Result<(), String>,
) -> Result<(), String> {
    let nulls = usize::try_from(node.null_count()).ok().filter(|nulls| *nulls <= rows);
    let nulls = nulls.ok_or_else(|| format!("it says it has {} nulls in {rows} rows", node.null_count()))?;
    if usize::try_from(node.length()) != Ok(rows) {
        return Err(format!("it says it has {} values in {rows} rows", node.length()));
    }
    if layout == Layout::Nowhere {
        return Ok(());
    }
    buffer(Need::bytes(if nulls > 0 { rows.div_ceil(8) } else { 0 }))?;
    let offsets = |width: usize| Need {
        // Without rows even the first offset may be left out.
        least_bytes: if rows > 0 { (rows + 1) * width } else { 0 },
        multiple_of: width,
    };
    match layout {
        Layout::Nowhere => Ok(()),
        Layout::Bits => buffer(Need::bytes(rows.div_ceil(8))),
        Layout::Fixed(width) => buffer(Need::bytes(rows.saturating_mul(width))),
        Layout::Offsets32 => buffer(offsets(size_of::<i32>())).and_then(|()| buffer(Need::bytes(0))),
        Layout::Offsets64 => buffer(offsets(size_of::<i64>())).and_then(|()| buffer(Need::bytes(0))),
    }
}

/// What a buffer must be.
struct Need {
    /// At least so long.
    least_bytes: usize,
    /// Of a length that is a multiple of this: offsets are read as numbers to the buffer's end.
    multiple_of: usize,
}

impl Need {
    fn bytes(least_bytes: usize) -> Self {
        Self {
            least_bytes,
            multiple_of: 1,
        }
    }
}

fn within(buffer: Option<&Buffer>, need: &Need, body_bytes: usize) -> Result<(), String> {
    let buffer = buffer.ok_or("a buffer is missing")?;
    let range = usize::try_from(buffer.offset())
        .ok()
        .zip(usize::try_from(buffer.length()).ok());
    let range = range.filter(|(offset, length)| offset.checked_add(*length).is_some_and(|end| end <= body_bytes));
    let (_, length) = range.ok_or_else(|| {
        format!(
            "a buffer of {} bytes at {} reaches out of a body of {body_bytes}",
            buffer.length(),
            buffer.offset()
        )
    })?;
    if length < need.least_bytes || length % need.multiple_of != 0 {
        return Err(format!(
            "a buffer has {length} bytes; it needs {} at least, and a multiple of {}",
            need.least_bytes, need.multiple_of
        ));
    }
    Ok(())
}
