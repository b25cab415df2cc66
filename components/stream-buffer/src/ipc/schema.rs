//! Which schemas are taken: flat ones, of columns whose values lie in one or two plain buffers.

use arrow_ipc::{DateUnit, Endianness, Field, KeyValue, Precision, Schema, TimeUnit, Type};

/// The most columns.
const COLUMNS_MAX: usize = 256;
/// The most text in names, time zones and metadata, in bytes. A flatbuffer may point to one text many times, so its own
/// length is no bound.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// The most entries of metadata, of the schema and of all fields.
const METADATA_ENTRIES_MAX: usize = 1_024;

/// Checks all that the conversion of a schema takes for granted.
pub(super) fn check(schema: &Schema<'_>) -> Result<(), String> {
    if schema.endianness() != Endianness::Little {
        return Err("the schema is not little-endian".to_owned());
    }
    let fields = schema.fields().ok_or("the schema has no columns")?;
    if fields.len() > COLUMNS_MAX {
        return Err(format!(
            "there are {} columns; {COLUMNS_MAX} are the most",
            fields.len()
        ));
    }
    let mut text = Text::default();
    text.count(schema.custom_metadata().into_iter().flatten())?;
    for field in fields {
        let name = field.name().unwrap_or_default();
        let zone = field.type_as_timestamp().and_then(|timestamp| timestamp.timezone());
        text.add(name.len() + zone.map_or(0, str::len))?;
        text.count(field.custom_metadata().into_iter().flatten())?;
        if !is_taken(&field) {
            return Err(format!(
                "column {name:?} is of a type that is not taken; those are numbers, booleans, times, decimals, and text \
                 and bytes with offsets or of a fixed size, without dictionaries"
            ));
        }
    }
    Ok(())
}

/// Text and entries met so far.
#[derive(Default)]
struct Text {
    size_bytes: usize,
    entries: usize,
}

impl Text {
    fn add(&mut self, size_bytes: usize) -> Result<(), String> {
        self.size_bytes += size_bytes;
        if self.size_bytes > TEXT_BYTES_MAX {
            return Err(format!(
                "the schema has more than {TEXT_BYTES_MAX} bytes of names and metadata"
            ));
        }
        Ok(())
    }

    fn count<'a>(&mut self, entries: impl Iterator<Item = KeyValue<'a>>) -> Result<(), String> {
        for entry in entries {
            self.entries += 1;
            if self.entries > METADATA_ENTRIES_MAX {
                return Err(format!(
                    "the schema has more than {METADATA_ENTRIES_MAX} entries of metadata"
                ));
            }
            self.add(entry.key().map_or(0, str::len) + entry.value().map_or(0, str::len))?;
        }
        Ok(())
    }
}

fn is_taken(field: &Field<'_>) -> bool {
    if field.dictionary().is_some() {
        return false;
    }
    match field.type_type() {
        Type::Null | Type::Bool | Type::Utf8 | Type::LargeUtf8 | Type::Binary | Type::LargeBinary => true,
        Type::Int => field
            .type_as_int()
            .is_some_and(|int| matches!(int.bitWidth(), 8 | 16 | 32 | 64)),
        Type::FloatingPoint => field.type_as_floating_point().is_some_and(|float| {
            matches!(
                float.precision(),
                Precision::HALF | Precision::SINGLE | Precision::DOUBLE
            )
        }),
        Type::FixedSizeBinary => field
            .type_as_fixed_size_binary()
            .is_some_and(|binary| binary.byteWidth() > 0),
        Type::Date => field
            .type_as_date()
            .is_some_and(|date| matches!(date.unit(), DateUnit::DAY | DateUnit::MILLISECOND)),
        Type::Time => field.type_as_time().is_some_and(|time| {
            matches!(
                (time.bitWidth(), time.unit()),
                (32, TimeUnit::SECOND | TimeUnit::MILLISECOND) | (64, TimeUnit::MICROSECOND | TimeUnit::NANOSECOND)
            )
        }),
        Type::Timestamp => field
            .type_as_timestamp()
            .is_some_and(|timestamp| is_unit(timestamp.unit())),
        Type::Duration => field
            .type_as_duration()
            .is_some_and(|duration| is_unit(duration.unit())),
        Type::Decimal => field.type_as_decimal().is_some_and(|decimal| {
            let digits_max = match decimal.bitWidth() {
                32 => 9,
                64 => 18,
                128 => 38,
                256 => 76,
                _ => 0,
            };
            (1..=digits_max).contains(&decimal.precision()) && i8::try_from(decimal.scale()).is_ok()
        }),
        _ => false,
    }
}

fn is_unit(unit: TimeUnit) -> bool {
    matches!(
        unit,
        TimeUnit::SECOND | TimeUnit::MILLISECOND | TimeUnit::MICROSECOND | TimeUnit::NANOSECOND
    )
}
