//! What strangers push never stops a refresh, and what is no part is told.

use kinetic_model::Coded;
use polars::prelude::*;

use super::{Data, Event, silver_frame, write};
use crate::{Gold, GoldSettings, Price, tables};

fn call(sequence: u64, data: &str) -> Event {
    Event {
        sequence,
        kind: "execution",
        data: data.to_owned(),
        ..Event::default()
    }
}

#[test]
fn a_record_that_is_none_is_a_call_of_which_nothing_is_known() {
    let deep = "[".repeat(100_000);
    let long = format!(r#"{{"receipt_id":1,"capsule":"{}"}}"#, "c".repeat(2000));
    let records = [
        "",
        "no json",
        "[]",
        "null",
        r#""receipt_id""#,
        &deep,
        &long,
        r#"{"receipt_id":"r","capsule":7,"version":{},"function":[],"outcome":null,"fuel":-1,"wall_time_ns":1e300,
            "peak_memory_bytes":"9","input_bytes":0.5,"output_bytes":true}"#,
        r#"{"data":"{broken"}"#,
        "{}\u{0}",
    ];
    let events: Vec<_> = (0..)
        .zip(records)
        .map(|(sequence, data)| call(sequence, data))
        .collect();
    let data = Data::of(&events);
    data.gold().refresh(&data.sources).unwrap();
    let capabilities = tables(&data.gold_folder()).unwrap().capabilities;
    assert_eq!(capabilities.len(), 1);
    let row = &capabilities[0];
    assert_eq!((&row.capsule, &row.version, &row.function), (&None, &None, &None));
    assert_eq!(
        (row.calls, row.errors, row.fuel_total, row.fuel_p50),
        (records.len() as u64, 0, 0, None)
    );
}

#[test]
fn a_record_in_an_envelope_is_found_as_an_object_and_as_text() {
    let record = r#"{"receipt_id":"r","capsule":"urn:c","fuel":3}"#;
    let text = serde_json::to_string(record).unwrap();
    let envelopes = [
        record.to_owned(),
        format!(r#"{{"data":{record}}}"#),
        format!(r#"{{"data":{text}}}"#),
    ];
    let events: Vec<_> = (0..)
        .zip(&envelopes)
        .map(|(sequence, data)| call(sequence, data))
        .collect();
    let data = Data::of(&events);
    data.gold().refresh(&data.sources).unwrap();
    let capabilities = tables(&data.gold_folder()).unwrap().capabilities;
    assert_eq!(capabilities.len(), 1);
    assert_eq!((capabilities[0].calls, capabilities[0].fuel_total), (3, 9));
}

#[test]
fn sums_of_the_largest_numbers_stay_the_largest_number() {
    let usage = |sequence, tokens| Event {
        sequence,
        workflow: Some("w"),
        model: Some("m"),
        usage: [Some(tokens), Some(-tokens), Some(1)],
        received_unix_ns: if sequence == 0 { i64::MIN } else { i64::MAX },
        ..call(
            sequence,
            r#"{"receipt_id":1,"fuel":18446744073709551615,"wall_time_ns":18446744073709551615}"#,
        )
    };
    let data = Data::of(&[usage(0, i64::MAX), usage(1, i64::MAX), usage(2, -7)]);
    data.gold().refresh(&data.sources).unwrap();
    let tables = tables(&data.gold_folder()).unwrap();
    let row = &tables.metrics[0];
    assert_eq!(
        (row.prompt_tokens, row.completion_tokens, row.cached_tokens),
        (i64::MAX, i64::MIN, 3)
    );
    assert!(row.latency_p50_ms.unwrap() > 1.8e13);
    assert_eq!(tables.capabilities[0].fuel_total, u64::MAX);
}

#[test]
fn negative_tokens_are_added_up_as_they_are() {
    let usage = |sequence, tokens| Event {
        sequence,
        workflow: Some("w"),
        usage: [Some(tokens), None, None],
        ..Event::default()
    };
    let data = Data::of(&[usage(0, -1), usage(1, -(1 << 40)), usage(2, 5)]);
    data.gold().refresh(&data.sources).unwrap();
    assert_eq!(
        tables(&data.gold_folder()).unwrap().metrics[0].prompt_tokens,
        4 - (1 << 40)
    );
}

#[test]
fn a_part_of_another_shape_is_named() {
    let events = [call(0, "")];
    let without = |name: &str| silver_frame(&events).drop(name).unwrap();
    let mut retyped = silver_frame(&events);
    retyped.with_column(Column::new("sequence".into(), ["0"])).unwrap();
    let mut nulls = silver_frame(&events);
    nulls
        .with_column(Column::new("received_unix_ns".into(), [None::<i64>]))
        .unwrap();
    for frame in [without("workflow_id"), without("token"), retyped, nulls] {
        let data = Data::of(&events);
        write(&data.sources.silver[0].path, frame);
        let error = data.gold().refresh(&data.sources).unwrap_err();
        assert_eq!(error.code(), "KIN-GLD-0003", "{error}");
        assert!(error.to_string().contains("part-"), "{error}");
    }
    let data = Data::of(&events);
    std::fs::write(&data.sources.silver[0].path, "PAR1 or not").unwrap();
    assert_eq!(data.gold().refresh(&data.sources).unwrap_err().code(), "KIN-GLD-0003");
}

#[test]
fn parts_out_of_order_and_prices_that_are_none_are_refused() {
    let mut data = Data::of(&[call(0, "")]);
    data.silver(&[call(1, "")]);
    data.sources.silver.reverse();
    assert_eq!(data.gold().refresh(&data.sources).unwrap_err().code(), "KIN-GLD-0005");
    for price in [-1.0, f64::NAN, f64::INFINITY] {
        let mut settings = GoldSettings::default();
        let price = Price {
            completion_per_million: price,
            ..Price::default()
        };
        settings.prices.models.insert("m".into(), price);
        assert_eq!(
            Gold::open(data.gold_folder(), settings).unwrap_err().code(),
            "KIN-GLD-0006"
        );
    }
}

#[test]
fn tables_that_were_never_computed_are_told_apart_from_empty_ones() {
    let data = Data::new();
    assert_eq!(tables(&data.gold_folder()).unwrap_err().code(), "KIN-GLD-0004");
    data.gold().refresh(&data.sources).unwrap();
    let tables = tables(&data.gold_folder()).unwrap();
    assert!(tables.metrics.is_empty() && tables.usage_graph.is_empty() && tables.capabilities.is_empty());
}
