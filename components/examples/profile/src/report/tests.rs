//! Whole tables, from text to report.

use super::*;
use crate::ColumnType;
use proptest::prelude::*;

fn column<'r>(report: &'r Report, name: &str) -> &'r Described {
    report.columns.iter().find(|column| column.name == name).unwrap()
}

#[test]
fn csv_columns_have_types_ranges_and_means() {
    let data = "id,price,when,who,ok\n1,2.5,2026-11-21,ann,true\n2,,2026-11-20,bob,false\n3,7.5,2026-11-22,ann,true\n";
    let report = describe(data, Options::default()).unwrap();
    assert_eq!((report.format, report.rows, report.malformed), (Format::Csv, 3, 0));
    let types: Vec<_> = report.columns.iter().map(|column| column.column_type).collect();
    assert_eq!(
        types,
        [
            ColumnType::Integer,
            ColumnType::Float,
            ColumnType::Timestamp,
            ColumnType::Text,
            ColumnType::Boolean
        ]
    );
    let price = column(&report, "price");
    assert_eq!(
        (price.count, price.nulls, price.mean, price.standard_deviation),
        (2, 1, Some(5.0), Some(2.5))
    );
    assert_eq!((price.min.as_deref(), price.max.as_deref()), (Some("2.5"), Some("7.5")));
    assert_eq!(column(&report, "who").top[0], ("ann".to_string(), 2));
    assert_eq!(column(&report, "when").min.as_deref(), Some("2026-11-20"));
}

#[test]
fn numbers_are_ordered_as_numbers() {
    let report = describe("n\n9\n10\n-3\n", Options::default()).unwrap();
    let n = column(&report, "n");
    assert_eq!((n.min.as_deref(), n.max.as_deref()), (Some("-3"), Some("10")));
}

#[test]
fn a_table_without_a_header_gets_numbered_columns() {
    let report = describe("1,a\n2,b\n", Options::default()).unwrap();
    assert_eq!(report.rows, 2);
    assert_eq!(report.columns[0].name, "column-1");
}

#[test]
fn rows_that_do_not_fit_are_counted_and_their_lines_told() {
    let report = describe("a,b\n1,2\n3\n4,5,6\n7,8\n", Options::default()).unwrap();
    assert_eq!(
        (report.rows, report.malformed, report.malformed_lines),
        (2, 2, vec![3, 4])
    );
    let report = describe("{\"a\":1}\nnot json\n[1]\n{\"a\":2}\n", Options::default()).unwrap();
    assert_eq!(
        (report.rows, report.malformed, report.malformed_lines),
        (2, 2, vec![2, 3])
    );
}

#[test]
fn json_objects_open_one_level_and_text_that_looks_like_a_number_stays_text() {
    let data = "{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"e\":\"5\",\"f\":[1]}\n{\"a\":{\"b\":null},\"e\":\"x\"}\n";
    let report = describe(data, Options::default()).unwrap();
    let names: Vec<_> = report.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a.b", "a.c", "e", "f"]);
    assert_eq!((column(&report, "a.b").nulls, column(&report, "f").nulls), (1, 1));
    assert_eq!(column(&report, "e").column_type, ColumnType::Text);
    assert_eq!(column(&report, "f").column_type, ColumnType::Array);
    assert_eq!(column(&report, "a.c").column_type, ColumnType::Object);
}

#[test]
fn real_telemetry_is_described() {
    let report = describe(
        include_str!("../../../../../tests/data/llm-stream.jsonl"),
        Options::default(),
    )
    .unwrap();
    assert_eq!((report.rows, report.malformed), (8_372, 0));
    assert_eq!(column(&report, "workflow_id").distinct, 7);
    assert_eq!(column(&report, "intent_id").distinct, 90);
    assert_eq!(column(&report, "node_cid").distinct, 3);
    assert_eq!(column(&report, "sequence").column_type, ColumnType::Integer);
}

#[test]
fn a_header_is_told_from_a_row() {
    for (data, rows) in [
        ("name,city\nann,rome\n", 1),
        (",name\n0,ann\n", 1),
        ("ann,ann\nbob,eve\n", 2),
        ("ann,1\nbob,2\n", 2),
        ("when,2026-11-21\nx,y\n", 2),
        (",,x\n1,2,3\n", 2),
    ] {
        assert_eq!(describe(data, Options::default()).unwrap().rows, rows, "{data}");
    }
    let told = Options {
        header: Some(false),
        ..Options::default()
    };
    assert_eq!(describe("name,city\nann,rome\n", told).unwrap().rows, 2);
    let told = Options {
        header: Some(true),
        ..Options::default()
    };
    assert_eq!(describe("2019,2020\n1,2\n", told).unwrap().columns[0].name, "2019");
}

#[test]
fn columns_of_one_name_stay_apart() {
    let told = Options {
        header: Some(true),
        ..Options::default()
    };
    let report = describe("a,a (3),a,\n1,2,3,4\n", told).unwrap();
    let named: Vec<_> = report
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.max.as_deref().unwrap()))
        .collect();
    assert_eq!(named, [("a", "1"), ("a (3)", "2"), ("a (4)", "3"), ("column-4", "4")]);
}

#[test]
fn a_byte_order_mark_and_a_header_alone_are_no_trouble() {
    let report = describe("\u{feff}id,name\n", Options::default()).unwrap();
    assert_eq!((report.rows, report.columns[0].name.as_str()), (0, "id"));
    assert_eq!(report.columns[0].column_type, ColumnType::Empty);
}

#[test]
fn a_row_too_wide_is_malformed_in_csv_and_refused_in_json() {
    let data = format!("a,b\n1,2\n{}\n", ",".repeat(1_000_000));
    assert_eq!(describe(&data, Options::default()).unwrap().malformed_lines, [3]);
    let one = (0..501).fold(String::new(), |lines, n| lines + &format!("{{\"c{n}\":1}}\n"));
    assert_eq!(describe(&one, Options::default()), Err(Error::TooManyColumns(500)));
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(describe("", Options::default()), Err(Error::NoData));
    assert_eq!(
        describe(
            " \n",
            Options {
                format: Some(Format::JsonLines),
                ..Options::default()
            }
        ),
        Err(Error::NoData)
    );
    let quote = Options {
        delimiter: Some('"'),
        ..Options::default()
    };
    assert_eq!(describe("a", quote), Err(Error::BadDelimiter('"')));
    let beyond = Options {
        delimiter: Some('é'),
        ..Options::default()
    };
    assert_eq!(describe("a", beyond), Err(Error::BadDelimiter('é')));
    let wide = vec!["a"; 501].join(",");
    assert_eq!(describe(&wide, Options::default()), Err(Error::TooManyColumns(500)));
}

proptest! {
    #[test]
    fn any_text_is_described_or_refused_and_counts_add_up(text in "([a-z0-9,;\"\n{}:. -]|\\PC){0,200}") {
        for format in [None, Some(Format::Csv), Some(Format::JsonLines)] {
            let Ok(report) = describe(&text, Options { format, ..Options::default() }) else { continue };
            prop_assert!(report.malformed_lines.len() as u64 <= report.malformed);
            for column in &report.columns {
                prop_assert_eq!(column.count + column.nulls, report.rows);
                prop_assert!(column.distinct <= column.count);
                prop_assert_eq!(column.column_type == ColumnType::Empty, column.count == 0);
                prop_assert_eq!((column.min.is_some(), column.max.is_some()), (column.count > 0, column.count > 0));
            }
        }
    }

    #[test]
    fn a_table_is_described_the_same_from_csv_and_json_lines(
        rows in proptest::collection::vec((any::<i32>(), "[a-z]{1,5}", proptest::option::of(-1e3_f64..1e3)), 1..30),
    ) {
        let number = |number: &Option<f64>| number.map(|number| format!("{number:?}"));
        let csv = rows.iter().map(|(a, b, c)| format!("{a},{b},{}\n", number(c).unwrap_or_default()));
        let csv = format!("a,b,c\n{}", csv.collect::<String>());
        let null = || "null".to_string();
        let json = rows.iter().map(|(a, b, c)| {
            format!("{{\"a\":{a},\"b\":\"{b}\",\"c\":{}}}\n", number(c).unwrap_or_else(null))
        });
        let json: String = json.collect();
        // Words that mean something else in CSV.
        prop_assume!(rows.iter().all(|(_, b, _)| !matches!(b.as_str(), "true" | "false")));
        let csv = describe(&csv, Options::default()).unwrap();
        let json = describe(&json, Options::default()).unwrap();
        prop_assert_eq!((csv.rows, csv.columns), (json.rows, json.columns));
    }
}
