//! Describes CSV or JSON lines column by column: types, missing values, ranges, means, distinct counts, frequent values.

mod column;
mod csv;
mod distinct;
mod frequent;
mod json;
mod report;
mod timestamp;
mod value;

pub use column::{ColumnType, Described};
pub use report::{Error, Format, Options, Report, describe};

/// The component's side: the generated names and ours.
// wit-bindgen's output calls the canonical ABI through raw pointers, and its names carry no docs of their own.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "wit" });

    struct Capability;

    impl Guest for Capability {
        fn describe(data: String, options: Options) -> Result<Report, Error> {
            let options = crate::Options {
                format: options.format.map(|format| match format {
                    Format::Csv => crate::Format::Csv,
                    Format::JsonLines => crate::Format::JsonLines,
                }),
                delimiter: options.delimiter,
                header: options.header,
            };
            match crate::describe(&data, options) {
                Ok(report) => Ok(Report {
                    format: match report.format {
                        crate::Format::Csv => Format::Csv,
                        crate::Format::JsonLines => Format::JsonLines,
                    },
                    rows: report.rows,
                    malformed: report.malformed,
                    malformed_lines: report.malformed_lines,
                    columns: report.columns.into_iter().map(Column::from).collect(),
                }),
                Err(crate::Error::NoData) => Err(Error::NoData),
                Err(crate::Error::TooManyColumns(most)) => Err(Error::TooManyColumns(most)),
                Err(crate::Error::BadDelimiter(char)) => Err(Error::BadDelimiter(char)),
            }
        }
    }

    impl From<crate::Described> for Column {
        fn from(column: crate::Described) -> Self {
            Self {
                name: column.name,
                type_: match column.column_type {
                    crate::ColumnType::Empty => ColumnType::Empty,
                    crate::ColumnType::Boolean => ColumnType::Boolean,
                    crate::ColumnType::Integer => ColumnType::Integer,
                    crate::ColumnType::Float => ColumnType::Float,
                    crate::ColumnType::Timestamp => ColumnType::Timestamp,
                    crate::ColumnType::Text => ColumnType::Text,
                    crate::ColumnType::Object => ColumnType::Object,
                    crate::ColumnType::Array => ColumnType::Array,
                    crate::ColumnType::Mixed => ColumnType::Mixed,
                },
                count: column.count,
                nulls: column.nulls,
                min: column.min,
                max: column.max,
                mean: column.mean,
                standard_deviation: column.standard_deviation,
                distinct: column.distinct,
                top: column
                    .top
                    .into_iter()
                    .map(|(value, count)| Frequent { value, count })
                    .collect(),
            }
        }
    }

    export!(Capability);
}
