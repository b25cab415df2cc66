//! Any component is a capability: JSON in, WIT values through the guest, JSON out.

use std::time::Duration;

use bytes::Bytes;
use kinetic_engine::{Answer, EngineError, Input, Output};
use kinetic_model::Limits;
use kinetic_testkit::engine::{call, error_value, load, refusal, value};
use kinetic_testkit::guests;
use serde_json::{Map, Value, json};

fn everything() -> Value {
    json!({
        "a-bool": true, "a-u8": 255, "a-u16": 65_535, "a-u32": 4_294_967_295_u32, "a-u64": "18446744073709551615",
        "an-s8": -128, "an-s16": -32_768, "an-s32": -2_147_483_648, "an-s64": "-9223372036854775808",
        "an-f32": 0.5, "an-f64": -1.0e300, "a-char": "ü", "a-string": "naïve \u{0} 😀", "bytes": "AAEC/w==",
        "numbers": [1, 2, 3], "maybe": null, "perhaps": { "some": null }, "outcome": { "err": 7 }, "bare": { "ok": null },
        "pair": ["p", 1], "shape": { "polygon": [{ "x": 1, "y": -2, "label": "a" }, { "x": 0, "y": 0, "label": null }] },
        "colour": "dark-green", "rights": ["read", "run-it"],
    })
}

#[tokio::test]
async fn every_wit_type_goes_in_and_comes_back_unchanged() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    let back = value(call(&guest, "everything-back", json!({ "value": everything() })).await);
    assert_eq!(back, everything());
}

#[tokio::test]
async fn other_ways_to_write_a_value_mean_the_same() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    let mut given = everything();
    for (name, written) in [
        ("a-u64", json!(5)),
        ("bytes", json!([0, 1, 2])),
        ("perhaps", json!(null)),
        ("maybe", json!(9)),
        ("shape", json!("empty")),
        ("an-f32", json!("NaN")),
        ("an-f64", json!("-Infinity")),
        ("bare", json!({ "err": null })),
        ("rights", json!([])),
    ] {
        given[name] = written;
    }
    let back = value(call(&guest, "everything-back", json!({ "value": given })).await);
    assert_eq!(
        (&back["a-u64"], &back["bytes"], &back["perhaps"]),
        (&json!(5), &json!("AAEC"), &json!(null))
    );
    assert_eq!(
        (&back["maybe"], &back["shape"], &back["an-f32"]),
        (&json!(9), &json!("empty"), &json!("NaN"))
    );
    assert_eq!((&back["an-f64"], &back["rights"]), (&json!("-Infinity"), &json!([])));
}

#[tokio::test]
async fn a_left_out_optional_field_is_none() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    let mut given = everything();
    given.as_object_mut().unwrap().remove("maybe");
    assert_eq!(
        value(call(&guest, "everything-back", json!({ "value": given })).await)["maybe"],
        json!(null)
    );
}

#[tokio::test]
async fn a_wrong_value_is_named_by_its_path() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    for (name, wrong) in [
        ("a-bool", json!(1)),
        ("a-u8", json!(256)),
        ("a-u32", json!(-1)),
        ("a-u32", json!(1.5)),
        ("a-u64", json!("18446744073709551616")),
        ("a-u64", json!("x")),
        ("an-s8", json!(128)),
        ("an-f64", json!("wide")),
        ("a-char", json!("ab")),
        ("a-string", json!(null)),
        ("bytes", json!("not base64!")),
        ("bytes", json!([256])),
        ("numbers", json!({ "0": 1 })),
        ("outcome", json!({ "ok": "a", "err": 1 })),
        ("pair", json!(["p"])),
        ("shape", json!("square")),
        ("shape", json!({ "circle": "x" })),
        ("colour", json!("blue")),
        ("rights", json!(["fly"])),
        ("no-such-field", json!(1)),
    ] {
        let mut given = everything();
        given[name] = wrong.clone();
        match refusal(call(&guest, "everything-back", json!({ "value": given })).await) {
            EngineError::BadArgument { path, .. } => assert!(path.contains(name), "{path} for {name} {wrong}"),
            other => panic!("{name} {wrong}: {other}"),
        }
    }
}

#[tokio::test]
async fn functions_are_found_by_name_also_inside_interfaces() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    assert!(guest.interface().unsupported.is_empty());
    let area = value(call(&guest, "area", json!({ "radius": 1.0 })).await);
    assert!((area.as_f64().unwrap() - std::f64::consts::PI).abs() < 1e-9);
    assert!(
        matches!(refusal(call(&guest, "volume", json!({})).await), EngineError::NoSuchFunction { known, .. } if known.contains("area"))
    );
    assert!(matches!(
        guest.call(None, Input::Json(Map::new())).await.result,
        Err(EngineError::FunctionNeeded { .. })
    ));
    assert_eq!(value(call(&guest, "nothing", json!({})).await), json!(null));
}

#[tokio::test]
async fn a_results_error_is_an_answer_not_a_failure() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    assert_eq!(value(call(&guest, "even", json!({ "number": 4 })).await), json!(4));
    assert_eq!(
        error_value(call(&guest, "even", json!({ "number": 5 })).await),
        json!("5 is odd")
    );
}

#[tokio::test]
async fn every_call_has_a_sandbox_of_its_own() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(value(call(&guest, "count-calls", json!({})).await), json!(1));
    }
}

#[tokio::test]
async fn ten_mebibytes_pass_as_bytes_and_not_one_by_one() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    let bytes = Bytes::from(vec![9_u8; 10 << 20]);
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let input = Input::Bytes {
            bytes: bytes.clone(),
            rest: Map::new(),
        };
        let outcome = guest.call(Some("bytes-back"), input).await;
        best = best.min(Duration::from_nanos(outcome.usage.wall_time_ns));
        assert_eq!(
            (outcome.usage.input_bytes, outcome.usage.output_bytes),
            (10 << 20, 10 << 20)
        );
        assert!(matches!(outcome.result, Ok(Answer::Ok(Output::Bytes(back))) if back == bytes));
    }
    // Value by value each takes most of a second; the bound only tells the two ways apart. What else the machine does only
    // adds to the best one.
    assert!(best < Duration::from_millis(500), "{best:?}");
}

#[tokio::test]
async fn a_file_feeds_the_one_parameter_that_takes_it() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    let feed = |bytes: &'static [u8]| Input::Bytes {
        bytes: Bytes::from_static(bytes),
        rest: Map::new(),
    };
    assert_eq!(
        value(guest.call(Some("text-back"), feed("ü".as_bytes())).await),
        json!("ü")
    );
    assert!(matches!(
        refusal(guest.call(Some("text-back"), feed(b"ab\xff")).await),
        EngineError::NotUtf8 { at_byte: 2 }
    ));
    assert!(matches!(
        refusal(guest.call(Some("even"), feed(b"4")).await),
        EngineError::NoBytesParameter { .. }
    ));
    let rest = json!({ "number": 3 }).as_object().unwrap().clone();
    let both = guest
        .call(
            Some("bytes-and-number"),
            Input::Bytes {
                bytes: Bytes::from_static(b"abc"),
                rest,
            },
        )
        .await;
    assert_eq!(value(both), json!(["YWJj", 3]));
}

#[tokio::test]
async fn the_schema_describes_what_the_function_takes() {
    let guest = load(&guests::rust("values"), Limits::default()).await.unwrap();
    let function = guest.function(Some("everything-back")).unwrap();
    let schema = function.input_schema();
    assert_eq!(
        (&schema["type"], &schema["additionalProperties"]),
        (&json!("object"), &json!(false)),
        "{schema:#}"
    );
    assert_eq!(schema["required"], json!(["value"]));
    let text = schema.to_string();
    for word in ["dark-green", "run-it", "contentEncoding", "polygon", "a-u64"] {
        assert!(text.contains(word), "{word} is missing in {schema:#}");
    }
    assert_eq!(
        guest.function(Some("even")).unwrap().signature(),
        "even: func(number: u64) -> result<u64, string>"
    );
}
