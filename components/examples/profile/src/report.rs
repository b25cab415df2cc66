//! Reads rows into columns and says what is in them.

use std::collections::HashMap;

use serde_json::Value;

use crate::column::{Column, Described};
use crate::csv::{Rows, delimiter_of};
use crate::value::Cell;

/// The most columns: each keeps up to a thousand values.
const COLUMNS_MAX: usize = 500;
/// Malformed lines that are told.
const MALFORMED_MAX: usize = 10;
/// How deep JSON objects are opened into columns.
const OBJECT_DEPTH: usize = 1;

/// How the data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma separated values and their kin.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// How to read; what is none is found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The format.
    pub format: Option<Format>,
    /// The character between CSV fields.
    pub delimiter: Option<char>,
    /// Whether the first CSV row holds names.
    pub header: Option<bool>,
}

/// Why nothing was described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no row.
    NoData,
    /// More columns than this many.
    TooManyColumns(u32),
    /// Not a delimiter.
    BadDelimiter(char),
}

/// What the data holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The format it was read as.
    pub format: Format,
    /// Rows read.
    pub rows: u64,
    /// Rows left out.
    pub malformed: u64,
    /// The first of their lines.
    pub malformed_lines: Vec<u64>,
    /// The columns.
    pub columns: Vec<Described>,
}

#[derive(Default)]
struct Table {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    rows: u64,
    malformed: u64,
    malformed_lines: Vec<u64>,
}

impl Table {
    fn column(&mut self, name: &str) -> Result<usize, Refusal> {
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        let place = self.columns.len();
        if place == COLUMNS_MAX {
            return Err(Refusal::TooManyColumns(u32::try_from(COLUMNS_MAX).unwrap_or(u32::MAX)));
        }
        self.columns.push(Column::new(name.to_string()));
        self.places.insert(name.to_string(), place);
        Ok(place)
    }

    fn add(&mut self, place: usize, cell: Cell<'_>) {
        if let Some(column) = self.columns.get_mut(place) {
            column.add(cell);
        }
    }

    fn skip(&mut self, line: u64) {
        self.malformed += 1;
        if self.malformed_lines.len() < MALFORMED_MAX {
            self.malformed_lines.push(line);
        }
    }

    fn report(self, format: Format) -> Result<Report, Refusal> {
        if self.rows == 0 && self.malformed == 0 && self.columns.is_empty() {
            return Err(Refusal::NoData);
        }
        let rows = self.rows;
        Ok(Report {
            format,
            rows,
            malformed: self.malformed,
            malformed_lines: self.malformed_lines,
            columns: self.columns.into_iter().map(|column| column.described(rows)).collect(),
        })
    }
}

/// Describes data.
///
/// # Errors
/// When there is nothing to describe or the options make no sense.
pub fn describe(data: &str, options: &Options) -> Result<Report, Refusal> {
    let data = data.strip_prefix('\u{feff}').unwrap_or(data);
    let looks_like_json = data.trim_start().starts_with('{');
    match options.format.unwrap_or(if looks_like_json { Format::JsonLines } else { Format::Csv }) {
        Format::Csv => describe_csv(data, options),
        Format::JsonLines => describe_json(data),
    }
}

fn describe_csv(data: &str, options: &Options) -> Result<Report, Refusal> {
    let delimiter = options.delimiter.unwrap_or_else(|| delimiter_of(data));
    if !delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r' | '\0') {
        return Err(Refusal::BadDelimiter(delimiter));
    }
    let mut table = Table::default();
    let mut width = None;
    for row in Rows::new(data, delimiter) {
        let Some(fields) = row.fields else {
            table.skip(row.line);
            continue;
        };
        let Some(width) = width else {
            let named = |field: &String| matches!(Cell::of_field(field), Cell::Text(_));
            let header = options.header.unwrap_or_else(|| fields.iter().all(named));
            width = Some(fields.len());
            for (place, field) in fields.iter().enumerate() {
                let plain = if header && !field.trim().is_empty() { field.trim().to_string() } else { format!("column-{}", place + 1) };
                // Two columns of one name are two columns.
                let taken = table.places.contains_key(&plain);
                table.column(&if taken { format!("{plain} ({})", place + 1) } else { plain })?;
            }
            if !header {
                add_fields(&mut table, &fields);
            }
            continue;
        };
        if fields.len() == width {
            add_fields(&mut table, &fields);
        } else {
            table.skip(row.line);
        }
    }
    table.report(Format::Csv)
}

fn add_fields(table: &mut Table, fields: &[String]) {
    table.rows += 1;
    for (place, field) in fields.iter().enumerate() {
        table.add(place, Cell::of_field(field));
    }
}

fn describe_json(data: &str) -> Result<Report, Refusal> {
    let mut table = Table::default();
    for (line, text) in (1..).zip(data.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(members)) => {
                table.rows += 1;
                add_members(&mut table, "", members, 0)?;
            }
            _ => table.skip(line),
        }
    }
    table.report(Format::JsonLines)
}

fn add_members(table: &mut Table, within: &str, members: serde_json::Map<String, Value>, depth: usize) -> Result<(), Refusal> {
    for (name, value) in members {
        let name = if within.is_empty() { name } else { format!("{within}.{name}") };
        match value {
            Value::Object(inner) if depth < OBJECT_DEPTH => add_members(table, &name, inner, depth + 1)?,
            value => {
                let place = table.column(&name)?;
                let written = match &value {
                    Value::Null | Value::String(_) => String::new(),
                    other => other.to_string(),
                };
                let cell = match &value {
                    Value::Null => Cell::Null,
                    Value::Bool(_) => Cell::Boolean(&written),
                    Value::Number(_) => Cell::number(&written).unwrap_or(Cell::Text(&written)),
                    Value::String(text) => Cell::of_text(text),
                    Value::Array(_) => Cell::Array(&written),
                    Value::Object(_) => Cell::Text(&written),
                };
                table.add(place, cell);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColumnType;
    use proptest::prelude::*;

    fn column<'r>(report: &'r Report, name: &str) -> &'r Described {
        report.columns.iter().find(|column| column.name == name).unwrap()
    }

    #[test]
    fn csv_columns_have_types_ranges_and_means() {
        let data = "id,price,when,who,ok\n1,2.5,2026-11-21,ann,true\n2,,2026-11-20,bob,false\n3,7.5,2026-11-22,ann,true\n";
        let report = describe(data, &Options::default()).unwrap();
        assert_eq!((report.format, report.rows, report.malformed), (Format::Csv, 3, 0));
        let types: Vec<_> = report.columns.iter().map(|column| column.column_type).collect();
        assert_eq!(
            types,
            [ColumnType::Integer, ColumnType::Float, ColumnType::Timestamp, ColumnType::Text, ColumnType::Boolean]
        );
        let price = column(&report, "price");
        assert_eq!((price.count, price.nulls, price.mean, price.standard_deviation), (2, 1, Some(5.0), Some(2.5)));
        assert_eq!((price.min.as_deref(), price.max.as_deref()), (Some("2.5"), Some("7.5")));
        assert_eq!(column(&report, "who").top[0], ("ann".to_string(), 2));
        assert_eq!(column(&report, "when").min.as_deref(), Some("2026-11-20"));
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let report = describe("n\n9\n10\n-3\n", &Options::default()).unwrap();
        let n = column(&report, "n");
        assert_eq!((n.min.as_deref(), n.max.as_deref()), (Some("-3"), Some("10")));
    }

    #[test]
    fn a_table_without_a_header_gets_numbered_columns() {
        let report = describe("1,a\n2,b\n", &Options::default()).unwrap();
        assert_eq!(report.rows, 2);
        assert_eq!(report.columns[0].name, "column-1");
    }

    #[test]
    fn rows_that_do_not_fit_are_counted_and_their_lines_told() {
        let report = describe("a,b\n1,2\n3\n4,5,6\n7,8\n", &Options::default()).unwrap();
        assert_eq!((report.rows, report.malformed, report.malformed_lines), (2, 2, vec![3, 4]));
        let report = describe("{\"a\":1}\nnot json\n[1]\n{\"a\":2}\n", &Options::default()).unwrap();
        assert_eq!((report.rows, report.malformed, report.malformed_lines), (2, 2, vec![2, 3]));
    }

    #[test]
    fn json_objects_open_one_level_and_text_that_looks_like_a_number_stays_text() {
        let data = "{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"e\":\"5\",\"f\":[1]}\n{\"a\":{\"b\":null},\"e\":\"x\"}\n";
        let report = describe(data, &Options::default()).unwrap();
        let names: Vec<_> = report.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a.b", "a.c", "e", "f"]);
        assert_eq!((column(&report, "a.b").nulls, column(&report, "f").nulls), (1, 1));
        assert_eq!(column(&report, "e").column_type, ColumnType::Text);
        assert_eq!(column(&report, "f").column_type, ColumnType::Array);
    }

    #[test]
    fn real_telemetry_is_described() {
        let report = describe(include_str!("../../../../tests/data/llm-stream.jsonl"), &Options::default()).unwrap();
        assert_eq!((report.rows, report.malformed), (8_372, 0));
        assert_eq!(column(&report, "workflow_id").distinct, 7);
        assert_eq!(column(&report, "intent_id").distinct, 90);
        assert_eq!(column(&report, "node_cid").distinct, 3);
        assert_eq!(column(&report, "sequence").column_type, ColumnType::Integer);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(describe("", &Options::default()), Err(Refusal::NoData));
        assert_eq!(describe(" \n", &Options { format: Some(Format::JsonLines), ..Options::default() }), Err(Refusal::NoData));
        let quote = Options { delimiter: Some('"'), ..Options::default() };
        assert_eq!(describe("a", &quote), Err(Refusal::BadDelimiter('"')));
        let wide = vec!["a"; 501].join(",");
        assert_eq!(describe(&wide, &Options::default()), Err(Refusal::TooManyColumns(500)));
    }

    proptest! {
        #[test]
        fn any_text_is_described_or_refused_and_counts_add_up(text in "([a-z0-9,;\"\n{}:. -]|\\PC){0,200}") {
            if let Ok(report) = describe(&text, &Options::default()) {
                for column in &report.columns {
                    prop_assert_eq!(column.count + column.nulls, report.rows);
                    prop_assert!(column.distinct <= column.count);
                }
            }
        }

        #[test]
        fn what_is_quoted_is_read_back(rows in proptest::collection::vec(proptest::collection::vec("[a-z,\"\n ]{1,8}", 3), 1..10)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines: Vec<_> = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",")).collect();
            let read: Vec<_> = Rows::new(&lines.join("\n"), ',').map(|row| row.fields.unwrap()).collect();
            prop_assert_eq!(read, rows);
        }
    }
}
