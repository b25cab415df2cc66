//! A column's values as they stand in a name: canonical JSON (RFC 8785), a column at a time.
//!
//! Integers are written as decimal integers whatever their size. RFC 8785 knows only doubles, in which two neighbours
//! beyond 2^53 would be one; Python's `json.dumps` writes them the same way as we do.

use std::borrow::Cow;

use arrow_array::{Array as _, GenericStringArray, OffsetSizeTrait};

use crate::column::{Column, Value};
use crate::error::Error;
use crate::ipc::Texts;
use crate::scan::kinds;
use crate::table::Normalization;

/// The most that the tokens of one column of one batch can take, in bytes. Views may show one text many times, so the
/// batch's own size does not bound it.
pub const TOKENS_BYTES_MAX: usize = 512 << 20;

/// The tokens of a column.
pub(crate) struct Tokens<'a> {
    /// Where each begins and ends in `bytes`: one more than there are rows.
    pub(crate) offsets: Cow<'a, [i32]>,
    /// The tokens' bytes.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether each still wants quotes around it.
    pub(crate) quoted: bool,
}

impl<'a> Tokens<'a> {
    /// The tokens of plain text that needs no escape: the text itself.
    pub(crate) fn plain(texts: &'a Texts) -> Self {
        Self {
            offsets: Cow::Borrowed(&texts.offsets),
            bytes: Cow::Borrowed(&texts.values),
            quoted: true,
        }
    }

    /// The tokens of any column's first `rows` rows.
    pub(crate) fn of(column: Column<'a>, rows: usize, normalize: Normalization) -> Result<Self, Error> {
        let as_they_are = match column {
            Column::Text(array) if normalize == Normalization::None => {
                as_they_are(array, Cow::Borrowed(array.value_offsets()))
            }
            Column::LargeText(array) if normalize == Normalization::None => {
                narrow(array).and_then(|offsets| as_they_are(array, offsets))
            }
            _ => None,
        };
        match as_they_are {
            Some(tokens) => Ok(tokens),
            None => rendered(column, rows, normalize),
        }
    }
}

/// The column's own buffers, if its texts stand in JSON as they are.
fn as_they_are<'a, O: OffsetSizeTrait>(
    array: &'a GenericStringArray<O>,
    offsets: Cow<'a, [i32]>,
) -> Option<Tokens<'a>> {
    let (first, last) = (*offsets.first()?, *offsets.last()?);
    let used = array
        .value_data()
        .get(usize::try_from(first).ok()?..usize::try_from(last).ok()?)?;
    if array.null_count() > 0 || kinds(used).escapes {
        return None;
    }
    Some(Tokens {
        offsets,
        bytes: Cow::Borrowed(array.value_data()),
        quoted: true,
    })
}

fn narrow(array: &GenericStringArray<i64>) -> Option<Cow<'_, [i32]>> {
    let offsets = array.value_offsets().iter().map(|offset| i32::try_from(*offset).ok());
    offsets.collect::<Option<Vec<i32>>>().map(Cow::Owned)
}

/// Every value written out.
fn rendered(column: Column<'_>, rows: usize, normalize: Normalization) -> Result<Tokens<'_>, Error> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    let mut bytes = Vec::new();
    for value in column.values(rows) {
        write(value, normalize, &mut bytes);
        if bytes.len() > TOKENS_BYTES_MAX {
            return Err(Error::BadBatch(format!(
                "the values of one key column take more than {TOKENS_BYTES_MAX} bytes; make smaller batches"
            )));
        }
        // The limit is far below two to the 31st.
        offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    }
    Ok(Tokens {
        offsets: Cow::Owned(offsets),
        bytes: Cow::Owned(bytes),
        quoted: false,
    })
}

/// One value as canonical JSON.
fn write(value: Value<'_>, normalize: Normalization, into: &mut Vec<u8>) {
    match value {
        Value::Null => into.extend(b"null"),
        Value::Boolean(true) => into.extend(b"true"),
        Value::Boolean(false) => into.extend(b"false"),
        Value::Signed(number) => {
            if number < 0 {
                into.push(b'-');
            }
            decimal(number.unsigned_abs(), into);
        }
        Value::Unsigned(number) => decimal(number, into),
        Value::Text(text) => {
            into.push(b'"');
            match normalize {
                Normalization::None => escaped(text.as_bytes(), into),
                Normalization::Trim => escaped(text.trim().as_bytes(), into),
                Normalization::Fold => escaped(fold(text).as_bytes(), into),
            }
            into.push(b'"');
        }
    }
}

/// Trimmed and in lower case by the simple mapping: one character for one, whatever stands beside it.
fn fold(text: &str) -> String {
    // Of the full mapping's characters the first is the simple one; only U+0130 has two.
    text.trim()
        .chars()
        .filter_map(|letter| letter.to_lowercase().next())
        .collect()
}

/// A number's digits, without the detour through the formatting machinery.
fn decimal(mut number: u64, into: &mut Vec<u8>) {
    let start = into.len();
    loop {
        // A digit fits a byte.
        into.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        number /= 10;
        if number == 0 {
            break;
        }
    }
    into.get_mut(start..).unwrap_or_default().reverse();
}

/// A text with JSON's escapes, the shortest there are, as ECMAScript's `JSON.stringify` writes them.
fn escaped(text: &[u8], into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(place) = rest
        .iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        let (before, from) = rest.split_at_checked(place).unwrap_or_default();
        into.extend(before);
        let Some((byte, after)) = from.split_first() else { break };
        match byte {
            b'"' => into.extend(b"\\\""),
            b'\\' => into.extend(b"\\\\"),
            0x08 => into.extend(b"\\b"),
            0x09 => into.extend(b"\\t"),
            0x0a => into.extend(b"\\n"),
            0x0c => into.extend(b"\\f"),
            0x0d => into.extend(b"\\r"),
            control => {
                into.extend(b"\\u00");
                into.extend(hex(*control));
            }
        }
        rest = after;
    }
    into.extend(rest);
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })
}
