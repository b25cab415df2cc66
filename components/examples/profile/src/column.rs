//! One column: what was seen in it so far, and what that says.

use std::cmp::Ordering;

use crate::distinct::{Distinct, hash};
use crate::frequent::{COUNTERS_MAX, Frequent, shortened};
use crate::timestamp::Instant;
use crate::value::{Cell, by_number};

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
    /// JSON objects below the level that is opened.
    Object,
    /// JSON arrays.
    Array,
    /// Several types.
    Mixed,
}

impl ColumnType {
    /// The type of a column that so far was of this one and now has a value of another.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Empty, other) => other,
            (old, other) if old == other => old,
            (Self::Integer | Self::Float, Self::Integer | Self::Float) => Self::Float,
            (Self::Text | Self::Timestamp, Self::Text | Self::Timestamp) => Self::Text,
            _ => Self::Mixed,
        }
    }
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

/// The smallest and the largest value by some order, with their texts.
#[derive(Clone, Debug)]
struct Range<K>(Option<[(K, String); 2]>);

impl<K: Copy> Range<K> {
    fn widen(&mut self, key: K, text: &str, order: impl Fn((K, &str), (K, &str)) -> Ordering) {
        let entry = || (key, shortened(text));
        match &mut self.0 {
            None => self.0 = Some([entry(), entry()]),
            Some([min, _]) if order((key, text), (min.0, &min.1)).is_lt() => *min = entry(),
            Some([_, max]) if order((key, text), (max.0, &max.1)).is_gt() => *max = entry(),
            Some(_) => {}
        }
    }

    fn texts(self) -> (Option<String>, Option<String>) {
        self.0.map(|[min, max]| (min.1, max.1)).unzip()
    }
}

/// Mean and spread in one pass (Welford, 1962): no cancellation however far the numbers are from zero.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, number: f64) {
        self.count += 1.0;
        let before = number - self.mean;
        self.mean += before / self.count;
        self.squares += before * (number - self.mean);
    }

    /// None when there is no number, or a sum went beyond what a float holds.
    fn mean(self) -> Option<f64> {
        Some(self.mean).filter(|mean| self.count > 0.0 && mean.is_finite())
    }

    fn standard_deviation(self) -> Option<f64> {
        Some((self.squares / self.count).sqrt()).filter(|deviation| deviation.is_finite())
    }
}

/// A column while rows come in. Which range is told depends on what it turns out to be, so each is kept.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: String,
    kind: ColumnType,
    count: u64,
    moments: Moments,
    by_number: Range<f64>,
    by_time: Range<Instant>,
    by_text: Range<()>,
    frequent: Frequent,
    distinct: Distinct,
}

impl Column {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: shortened(name),
            kind: ColumnType::Empty,
            count: 0,
            moments: Moments::default(),
            by_number: Range(None),
            by_time: Range(None),
            by_text: Range(None),
            frequent: Frequent::default(),
            distinct: Distinct::default(),
        }
    }

    pub(crate) fn add(&mut self, cell: Cell<'_>) {
        let (column_type, text) = match cell {
            Cell::Null => return,
            Cell::Boolean(text) => (ColumnType::Boolean, text),
            Cell::Integer(text, number) => (self.add_number(text, number, ColumnType::Integer), text),
            Cell::Float(text, number) => (self.add_number(text, number, ColumnType::Float), text),
            Cell::Timestamp(text, instant) => {
                self.by_time.widen(instant, text, |(a, _), (b, _)| a.cmp(&b));
                (ColumnType::Timestamp, text)
            }
            Cell::Text(text) => (ColumnType::Text, text),
            Cell::Object(text) => (ColumnType::Object, text),
            Cell::Array(text) => (ColumnType::Array, text),
        };
        self.count += 1;
        self.kind = self.kind.with(column_type);
        self.by_text.widen((), text, |((), a), ((), b)| a.cmp(b));
        let hash = hash(text);
        self.frequent.add(hash, text);
        self.distinct.add(hash);
    }

    fn add_number(&mut self, text: &str, number: f64, column_type: ColumnType) -> ColumnType {
        self.moments.add(number);
        self.by_number.widen(number, text, by_number);
        column_type
    }

    pub(crate) fn described(self, rows: u64) -> Described {
        let numeric = matches!(self.kind, ColumnType::Integer | ColumnType::Float);
        let (min, max) = match self.kind {
            ColumnType::Integer | ColumnType::Float => self.by_number.texts(),
            ColumnType::Timestamp => self.by_time.texts(),
            _ => self.by_text.texts(),
        };
        // What the estimate misses is kept inside what is certain.
        let least = (COUNTERS_MAX as u64 + 1).min(self.count);
        let distinct = self.frequent.different();
        Described {
            name: self.name,
            column_type: self.kind,
            count: self.count,
            nulls: rows.saturating_sub(self.count),
            min,
            max,
            mean: self.moments.mean().filter(|_| numeric),
            standard_deviation: self.moments.standard_deviation().filter(|_| numeric),
            distinct: distinct.unwrap_or_else(|| self.distinct.estimate().clamp(least, self.count)),
            top: self.frequent.top(TOP_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn described(fields: &[&str]) -> Described {
        let mut column = Column::new("c");
        for field in fields {
            column.add(Cell::of_field(field));
        }
        column.described(fields.len() as u64)
    }

    fn range(fields: &[&str]) -> (String, String) {
        let described = described(fields);
        (described.min.unwrap(), described.max.unwrap())
    }

    #[test]
    fn each_type_has_its_order() {
        assert_eq!(range(&["9", "10", "-3", "2.5"]), ("-3".into(), "10".into()));
        assert_eq!(
            range(&["1795230233571240537", "1795230233571240538"]).1,
            "1795230233571240538"
        );
        assert_eq!(
            range(&["2026-11-21T10:00+05:00", "2026-11-21T06:00Z"]),
            ("2026-11-21T10:00+05:00".into(), "2026-11-21T06:00Z".into())
        );
        assert_eq!(
            range(&["pear", "Apple", "2026-11-21"]),
            ("2026-11-21".into(), "pear".into())
        );
    }

    #[test]
    fn types_that_agree_join_and_others_are_mixed() {
        for (fields, column_type) in [
            (&["", " "][..], ColumnType::Empty),
            (&["1", "2.5"], ColumnType::Float),
            (&["2.5", "1"], ColumnType::Float),
            (&["2026-11-21", "soon"], ColumnType::Text),
            (&["1", "x"], ColumnType::Mixed),
            (&["true", "1"], ColumnType::Mixed),
            (&["1", "x", "2"], ColumnType::Mixed),
        ] {
            assert_eq!(described(fields).column_type, column_type, "{fields:?}");
        }
    }

    #[test]
    fn numbers_too_large_to_add_have_no_mean() {
        let described = described(&["1e308", "-1e308", "1e308"]);
        assert_eq!(
            (described.column_type, described.standard_deviation),
            (ColumnType::Float, None)
        );
        assert!(described.mean.is_none_or(f64::is_finite));
    }

    #[test]
    fn numbers_far_from_zero_keep_their_spread() {
        let described = described(&["1000000000000", "1000000000002"]);
        assert_eq!(
            (described.mean, described.standard_deviation),
            (Some(1_000_000_000_001.0), Some(1.0))
        );
    }

    #[test]
    fn long_values_are_kept_short() {
        let long = "x".repeat(1_000);
        let described = described(&[&long]);
        assert!(described.top[0].0.chars().count() == 81 && described.max.unwrap().ends_with('…'));
    }

    #[test]
    fn a_column_of_different_values_is_not_said_to_have_more_than_it_holds() {
        let fields: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
        assert_eq!(
            described(&fields.iter().map(String::as_str).collect::<Vec<_>>()).distinct,
            1_001
        );
    }

    proptest! {
        #[test]
        fn mean_and_deviation_are_those_of_the_textbook(numbers in proptest::collection::vec(-1e6_f64..1e6, 1..200)) {
            let fields: Vec<_> = numbers.iter().map(|number| format!("{number:?}")).collect();
            let described = described(&fields.iter().map(String::as_str).collect::<Vec<_>>());
            #[allow(clippy::cast_precision_loss)]
            let count = numbers.len() as f64;
            let mean = numbers.iter().sum::<f64>() / count;
            let deviation = (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
            prop_assert!((described.mean.unwrap() - mean).abs() < 1e-6);
            prop_assert!((described.standard_deviation.unwrap() - deviation).abs() < 1e-5);
        }

        #[test]
        fn the_order_of_rows_does_not_change_range_type_count_and_distinct(
            mut fields in proptest::collection::vec("[0-9]{1,3}|[a-c]|true|-?[0-9]\\.[0-9]|", 0..50),
        ) {
            let of = |fields: &[String]| {
                let described = described(&fields.iter().map(String::as_str).collect::<Vec<_>>());
                (described.column_type, described.count, described.nulls, described.distinct, described.top)
            };
            let forward = of(&fields);
            fields.reverse();
            prop_assert_eq!(forward, of(&fields));
        }
    }
}
