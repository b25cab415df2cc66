//! Whether a record batch's nodes and buffers are those its schema asks for, in number, place and size.
//!
//! Here lengths are compared; what the buffers say (offsets, texts, counts of nulls) Arrow's reader checks itself.

use arrow_ipc::{Buffer, FieldNode, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

use crate::error::Error;

/// The most values of one column, those inside lists as well. Thirty-two bytes of each stay addressable in 32 bits.
const VALUES_MAX: u64 = 1 << 26;

/// Checks a record batch's description against its schema and the length of its body. Where each column's nodes and
/// buffers begin.
pub(crate) fn check(
    batch: RecordBatch<'_>,
    schema: &Schema,
    body_bytes: usize,
    rows_max: u64,
) -> Result<Vec<Place>, Error> {
    if batch.compression().is_some() {
        return bad("is compressed; write it without compression");
    }
    let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else {
        return bad("has no description of its buffers");
    };
    let rows = match u64::try_from(batch.length()) {
        Ok(rows) if rows <= rows_max => rows,
        _ => return bad(&format!("has {} rows; at most {rows_max}", batch.length())),
    };
    let mut shape = Shape {
        nodes: nodes.iter(),
        buffers: buffers.iter(),
        views: batch.variadicBufferCounts().into_iter().flatten(),
        body_bytes: body_bytes as u64,
    };
    let mut places = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        places.push(Place {
            node: nodes.len() - shape.nodes.len(),
            buffer: buffers.len() - shape.buffers.len(),
        });
        if shape.column(field)? != rows {
            return bad("has columns of different lengths");
        }
    }
    if shape.nodes.next().is_some() || shape.buffers.next().is_some() || shape.views.next().is_some() {
        return bad("describes more columns than the schema has");
    }
    Ok(places)
}

/// The first node and the first buffer of a column, counted from zero.
pub(crate) struct Place {
    pub(crate) node: usize,
    pub(crate) buffer: usize,
}

fn bad<T>(text: &str) -> Result<T, Error> {
    Err(Error::BadBatch(format!("a record batch {text}")))
}

/// What is left of a batch's description.
struct Shape<N, B, V> {
    nodes: N,
    buffers: B,
    views: V,
    body_bytes: u64,
}

impl<'a, N, B, V> Shape<N, B, V>
where
    N: ExactSizeIterator<Item = &'a FieldNode>,
    B: ExactSizeIterator<Item = &'a Buffer>,
    V: Iterator<Item = i64>,
{
    /// Takes a column's nodes and buffers; its number of values.
    fn column(&mut self, field: &Field) -> Result<u64, Error> {
        let Some(node) = self.nodes.next() else {
            return bad("describes fewer columns than the schema has");
        };
        let values = match u64::try_from(node.length()) {
            Ok(values) if values <= VALUES_MAX => values,
            _ => {
                return bad(&format!(
                    "has a column of {} values; at most {VALUES_MAX}",
                    node.length()
                ));
            }
        };
        let nulls = match u64::try_from(node.null_count()) {
            Ok(nulls) if nulls <= values => nulls,
            _ => return bad("has a column with more nulls than values"),
        };
        let kind = field.data_type();
        if kind.is_null() {
            return Ok(values);
        }
        let validity_bytes = self.buffer()?;
        if nulls > 0 && validity_bytes < values.div_ceil(8) {
            return bad("has a column whose bitmap of nulls is too short");
        }
        match kind {
            DataType::Utf8 | DataType::Binary => {
                self.items(values, 1, 4)?;
                self.buffer()?;
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                self.items(values, 1, 8)?;
                self.buffer()?;
            }
            DataType::Utf8View | DataType::BinaryView => {
                self.items(values, 0, 16)?;
                let Some(count) = self.views.next() else {
                    return bad("does not count the buffers of its views");
                };
                // Below zero there are none, and more than there are ends with the buffers.
                for _ in 0..count {
                    self.buffer()?;
                }
            }
            DataType::List(child) => {
                self.items(values, 1, 4)?;
                self.column(child)?;
            }
            DataType::LargeList(child) => {
                self.items(values, 1, 8)?;
                self.column(child)?;
            }
            DataType::FixedSizeList(child, size) => {
                if u64::try_from(*size).ok().and_then(|size| values.checked_mul(size)) != Some(self.column(child)?) {
                    return bad("has a list of fixed size with another number of values");
                }
            }
            DataType::Struct(children) => {
                for child in children {
                    if self.column(child)? != values {
                        return bad("has a struct with fields of different lengths");
                    }
                }
            }
            DataType::Boolean => {
                if self.buffer()? < values.div_ceil(8) {
                    return bad("has a column whose buffer is too short");
                }
            }
            DataType::FixedSizeBinary(width) => self.items(values, 0, u64::try_from(*width).unwrap_or(1))?,
            _ => match kind.primitive_width() {
                Some(width) => self.items(values, 0, width as u64)?,
                None => return bad(&format!("has a column of {kind}, which cannot be taken here")),
            },
        }
        Ok(values)
    }

    /// Takes a buffer; its length in bytes.
    fn buffer(&mut self) -> Result<u64, Error> {
        let Some(buffer) = self.buffers.next() else {
            return bad("describes fewer buffers than the schema asks for");
        };
        let inside = |offset: u64, length: u64| offset.checked_add(length).is_some_and(|end| end <= self.body_bytes);
        match (u64::try_from(buffer.offset()), u64::try_from(buffer.length())) {
            (Ok(offset), Ok(length)) if inside(offset, length) => Ok(length),
            _ => bad("has a buffer that lies outside of its body"),
        }
    }

    /// Takes a buffer of items of one width. Without values the one item more that offsets have may be missing.
    fn items(&mut self, values: u64, more: u64, width: u64) -> Result<(), Error> {
        let bytes = self.buffer()?;
        let enough = values == 0 || (values + more).checked_mul(width).is_some_and(|least| least <= bytes);
        if !enough || width == 0 || !bytes.is_multiple_of(width) {
            return bad("has a column whose buffer is too short or no whole number of values");
        }
        Ok(())
    }
}
