//! One column: what was seen in it so far, and what that says.

use crate::distinct::{Distinct, shortened};
use crate::value::Cell;

/// The most frequent values that are told.
const TOP_MAX: usize = 5;

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Nothing.
    Empty,
    /// true and false.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Float,
    /// Dates and times.
    Timestamp,
    /// Text.
    Text,
    /// JSON arrays.
    Array,
    /// Several types.
    Mixed,
}

/// One column, described.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub column_type: ColumnType,
    /// Rows with a value.
    pub count: u64,
    /// Rows without.
    pub nulls: u64,
    /// The smallest value.
    pub min: Option<String>,
    /// The largest value.
    pub max: Option<String>,
    /// The mean of the numbers.
    pub mean: Option<f64>,
    /// Their population standard deviation.
    pub standard_deviation: Option<f64>,
    /// Different values.
    pub distinct: u64,
    /// The most frequent ones.
    pub top: Vec<(String, u64)>,
}

/// A range by number and one by text; which one is told depends on what the column turns out to be.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    column_type: ColumnType,
    count: u64,
    numbers: u64,
    mean: f64,
    squares: f64,
    by_number: Option<((f64, String), (f64, String))>,
    by_text: Option<(String, String)>,
    distinct: Distinct,
}

impl Column {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            column_type: ColumnType::Empty,
            count: 0,
            numbers: 0,
            mean: 0.0,
            squares: 0.0,
            by_number: None,
            by_text: None,
            distinct: Distinct::default(),
        }
    }

    pub(crate) fn add(&mut self, cell: Cell<'_>) {
        let (column_type, text) = match cell {
            Cell::Null => return,
            Cell::Boolean(text) => (ColumnType::Boolean, text),
            Cell::Integer(text, number) => {
                self.add_number(text, number);
                (ColumnType::Integer, text)
            }
            Cell::Float(text, number) => {
                self.add_number(text, number);
                (ColumnType::Float, text)
            }
            Cell::Timestamp(text) => (ColumnType::Timestamp, text),
            Cell::Text(text) => (ColumnType::Text, text),
            Cell::Array(text) => (ColumnType::Array, text),
        };
        self.count += 1;
        self.column_type = match (self.column_type, column_type) {
            (ColumnType::Empty, new) => new,
            (old, new) if old == new => new,
            (ColumnType::Integer, ColumnType::Float) | (ColumnType::Float, ColumnType::Integer) => ColumnType::Float,
            (ColumnType::Text, ColumnType::Timestamp) | (ColumnType::Timestamp, ColumnType::Text) => ColumnType::Text,
            _ => ColumnType::Mixed,
        };
        self.distinct.add(text);
        match &mut self.by_text {
            None => self.by_text = Some((shortened(text), shortened(text))),
            Some((min, _)) if text < min.as_str() => *min = shortened(text),
            Some((_, max)) if text > max.as_str() => *max = shortened(text),
            Some(_) => {}
        }
    }

    /// Welford's running mean and sum of squares: no cancellation however large the numbers are.
    #[allow(clippy::cast_precision_loss)]
    fn add_number(&mut self, text: &str, number: f64) {
        self.numbers += 1;
        let before = number - self.mean;
        self.mean += before / self.numbers as f64;
        self.squares += before * (number - self.mean);
        match &mut self.by_number {
            None => self.by_number = Some(((number, shortened(text)), (number, shortened(text)))),
            Some((min, _)) if number < min.0 => *min = (number, shortened(text)),
            Some((_, max)) if number > max.0 => *max = (number, shortened(text)),
            Some(_) => {}
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn described(self, rows: u64) -> Described {
        let numeric = matches!(self.column_type, ColumnType::Integer | ColumnType::Float);
        let range = if numeric { self.by_number.map(|(min, max)| (min.1, max.1)) } else { self.by_text };
        let (min, max) = range.unzip();
        Described {
            name: self.name,
            column_type: self.column_type,
            count: self.count,
            nulls: rows.saturating_sub(self.count),
            min,
            max,
            mean: numeric.then_some(self.mean),
            standard_deviation: numeric.then(|| (self.squares / self.numbers as f64).sqrt()),
            distinct: self.distinct.count(),
            top: self.distinct.top(TOP_MAX),
        }
    }
}
