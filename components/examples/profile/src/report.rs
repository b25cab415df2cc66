//! Reads rows into columns and says what is in them.

use std::collections::{BTreeMap, BTreeSet};

use crate::column::{Column, Described};
use crate::csv::{Row, Rows, delimiter_of};
use crate::json::{NoRow, members};
use crate::value::Cell;

/// The most columns: each keeps up to a thousand values.
const COLUMNS_MAX: u16 = 500;
/// Malformed lines that are told.
const MALFORMED_MAX: usize = 10;

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
pub enum Error {
    /// There is no row.
    NoData,
    /// More columns than this many.
    TooManyColumns(u32),
    /// Not a delimiter.
    BadDelimiter(char),
}

const TOO_MANY_COLUMNS: Error = Error::TooManyColumns(COLUMNS_MAX as u32);

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
    rows: u64,
    malformed: u64,
    malformed_lines: Vec<u64>,
}

impl Table {
    /// Adds a row; each of its cells goes into the column at its place.
    fn add<'t>(&mut self, cells: impl Iterator<Item = (usize, Cell<'t>)>) {
        self.rows += 1;
        for (place, cell) in cells {
            if let Some(column) = self.columns.get_mut(place) {
                column.add(cell);
            }
        }
    }

    fn skip(&mut self, line: u64) {
        self.malformed += 1;
        if self.malformed_lines.len() < MALFORMED_MAX {
            self.malformed_lines.push(line);
        }
    }

    fn report(self, format: Format) -> Result<Report, Error> {
        if self.rows == 0 && self.malformed == 0 && self.columns.is_empty() {
            return Err(Error::NoData);
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
/// When there is nothing to describe, it is too wide, or the options make no sense.
pub fn describe(data: &str, options: Options) -> Result<Report, Error> {
    let data = data.strip_prefix('\u{feff}').unwrap_or(data);
    let looks_like_json = data.trim_start().starts_with('{');
    match options.format.unwrap_or(if looks_like_json {
        Format::JsonLines
    } else {
        Format::Csv
    }) {
        Format::Csv => describe_csv(data, options),
        Format::JsonLines => describe_json(data),
    }
}

fn describe_csv(data: &str, options: Options) -> Result<Report, Error> {
    let delimiter = options.delimiter.unwrap_or_else(|| delimiter_of(data));
    let byte = u8::try_from(delimiter).ok().filter(u8::is_ascii);
    let byte = byte
        .filter(|byte| !b"\"\n\r\0".contains(byte))
        .ok_or(Error::BadDelimiter(delimiter))?;
    let mut table = Table::default();
    for row in Rows::new(data, byte, usize::from(COLUMNS_MAX)) {
        if !row.closed {
            table.skip(row.line);
        } else if table.columns.is_empty() {
            if row.width > usize::from(COLUMNS_MAX) {
                return Err(TOO_MANY_COLUMNS);
            }
            let header = options.header.unwrap_or_else(|| looks_like_header(&row));
            table.columns = names(&row, header).iter().map(|name| Column::new(name)).collect();
            if !header {
                table.add(cells(&row));
            }
        } else if row.width == table.columns.len() {
            table.add(cells(&row));
        } else {
            table.skip(row.line);
        }
    }
    table.report(Format::Csv)
}

fn cells<'r>(row: &'r Row<'_>) -> impl Iterator<Item = (usize, Cell<'r>)> {
    row.fields.iter().map(|field| Cell::of_field(field)).enumerate()
}

/// Names are text, and each is there once; one may be missing, as over an index.
fn looks_like_header(row: &Row<'_>) -> bool {
    let mut different = BTreeSet::new();
    let texts = cells(row).filter(|(_, cell)| matches!(cell, Cell::Text(_))).count();
    let empty = cells(row).filter(|(_, cell)| *cell == Cell::Null).count();
    texts > 0
        && empty <= 1
        && texts + empty == row.width
        && row.fields.iter().all(|field| different.insert(field.trim()))
}

/// One name for each column; where the header gives none, or one a second time, a number helps.
fn names(row: &Row<'_>, header: bool) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let fields = row.fields.iter().map(|field| if header { field.trim() } else { "" });
    let named = (1..).zip(fields).map(|(number, field)| {
        let plain = if field.is_empty() {
            format!("column-{number}")
        } else {
            field.to_string()
        };
        let numbered = (number..).map(|number| format!("{plain} ({number})"));
        let mut free = std::iter::once(plain.clone())
            .chain(numbered)
            .filter(|name| !taken.contains(name));
        let name = free.next().unwrap_or_default();
        taken.insert(name.clone());
        name
    });
    named.collect()
}

fn describe_json(data: &str) -> Result<Report, Error> {
    let mut table = Table::default();
    let mut places = BTreeMap::new();
    for (line, text) in (1..).zip(data.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let members = match members(text, usize::from(COLUMNS_MAX)) {
            Ok(members) => members,
            Err(NoRow::TooWide) => return Err(TOO_MANY_COLUMNS),
            Err(NoRow::Malformed) => {
                table.skip(line);
                continue;
            }
        };
        for member in &members {
            if !places.contains_key(&member.name) {
                places.insert(member.name.clone(), table.columns.len());
                table.columns.push(Column::new(&member.name));
            }
        }
        if table.columns.len() > usize::from(COLUMNS_MAX) {
            return Err(TOO_MANY_COLUMNS);
        }
        table.add(
            members
                .iter()
                .filter_map(|member| Some((*places.get(&member.name)?, member.cell()))),
        );
    }
    table.report(Format::JsonLines)
}

#[cfg(test)]
mod tests;
