//! Each limit has a default, is tripped here, and its consumed value is in the answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{EngineError, Input};
use kinetic_model::{Coded as _, Limits};
use kinetic_testkit::engine::{call, load, refusal, value};
use kinetic_testkit::guests;
use serde_json::{Map, json};

#[tokio::test]
async fn fuel_is_counted_and_ends_the_call_exactly_there() {
    let guest = load(
        &guests::rust("hostile"),
        Limits {
            fuel: 1_000_000,
            ..Limits::default()
        },
    )
    .await
    .unwrap();
    let little = call(&guest, "works", json!({ "rounds": 1000 })).await;
    assert!((1_000..100_000).contains(&little.usage.fuel), "{:?}", little.usage);
    assert!(little.usage.instantiation_fuel > 0, "{:?}", little.usage);
    let same = call(&guest, "works", json!({ "rounds": 1000 })).await;
    assert_eq!(same.usage.fuel, little.usage.fuel, "fuel is deterministic");
    let much = call(&guest, "works", json!({ "rounds": 10_000_000 })).await;
    assert_eq!(much.usage.fuel, 1_000_000);
    assert!(matches!(refusal(much), EngineError::OutOfFuel { fuel_max: 1_000_000 }));
}

#[tokio::test]
async fn memory_is_bounded_and_its_peak_reported() {
    let limits = Limits {
        memory_bytes: 16 << 20,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let outcome = call(&guest, "allocates", json!({})).await;
    assert!(
        (8 << 20..=16 << 20).contains(&outcome.usage.memory_peak_bytes),
        "{:?}",
        outcome.usage
    );
    assert!(matches!(refusal(outcome), EngineError::OutOfMemory { .. }));
}

#[tokio::test]
async fn guest_time_is_bounded_and_reported() {
    let limits = Limits {
        guest_time_ms: 30,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let outcome = call(&guest, "spins", json!({})).await;
    assert!(outcome.usage.guest_time_ns >= 30_000_000, "{:?}", outcome.usage);
    assert!(matches!(
        refusal(outcome),
        EngineError::GuestTimeout { guest_time_ms_max: 30 }
    ));
}

#[tokio::test]
async fn guest_time_stands_still_while_the_host_works() {
    let limits = Limits {
        guest_time_ms: 1_000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let outcome = call(&guest, "sleeps", json!({ "ms": 1_500 })).await;
    assert!(outcome.usage.guest_time_ns < 1_000_000_000, "{:?}", outcome.usage);
    assert!(outcome.usage.wall_time_ns >= 1_500_000_000, "{:?}", outcome.usage);
    value(outcome);
}

#[tokio::test]
async fn wall_time_ends_a_guest_that_is_parked_in_a_host_call() {
    let limits = Limits {
        wall_time_ms: 1_000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let started = Instant::now();
    let outcome = call(&guest, "sleeps", json!({ "ms": 60_000 })).await;
    assert!(started.elapsed() < Duration::from_secs(50));
    assert!(outcome.usage.wall_time_ns >= 1_000_000_000);
    assert!(matches!(
        refusal(outcome),
        EngineError::WallTimeout {
            wall_time_ms_max: 1_000
        }
    ));
}

#[tokio::test]
async fn input_is_bounded_before_the_guest_sees_it() {
    let limits = Limits {
        input_bytes: 1000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let fits = call(&guest, "behaves", json!({ "text": "x".repeat(1000) })).await;
    assert_eq!(fits.usage.input_bytes, 1000);
    value(fits);
    let outcome = call(&guest, "behaves", json!({ "text": "x".repeat(1001) })).await;
    assert_eq!(outcome.usage.fuel, 0, "nothing ran");
    assert!(matches!(
        refusal(outcome),
        EngineError::InputTooLarge { bytes_max: 1000, .. }
    ));
    let input = Input::Bytes {
        bytes: Bytes::from(vec![b'x'; 1001]),
        rest: Map::new(),
    };
    assert!(matches!(
        refusal(guest.call(Some("behaves"), input).await),
        EngineError::InputTooLarge { .. }
    ));
}

#[tokio::test]
async fn output_is_bounded_for_bytes_text_and_rows() {
    let limits = Limits {
        output_bytes: 100_000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let fits = call(&guest, "returns-bytes", json!({ "count": 90_000 })).await;
    assert_eq!(fits.usage.output_bytes, 90_000);
    value(fits);
    for function in ["returns-bytes", "returns-text", "returns-rows"] {
        let outcome = call(&guest, function, json!({ "count": 200_000 })).await;
        assert!(
            matches!(refusal(outcome), EngineError::OutputTooLarge { bytes_max: 100_000 }),
            "{function}"
        );
    }
}

#[tokio::test]
async fn logs_beyond_the_limit_are_counted_and_dropped() {
    let limits = Limits {
        log_bytes: 1000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let outcome = call(&guest, "floods-the-log", json!({ "count": 100_000 })).await;
    assert_eq!(
        (
            outcome.logs.stdout.len(),
            outcome.logs.dropped_bytes,
            outcome.usage.log_bytes
        ),
        (1000, 99_000, 100_000)
    );
    value(outcome);
}

#[tokio::test]
async fn handles_are_bounded_and_the_open_ones_reported() {
    let limits = Limits {
        handles: 100,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let few = call(&guest, "keeps-handles", json!({ "count": 10 })).await;
    // Each is a pollable and the timer it stands on.
    assert_eq!(few.usage.handles, 20);
    value(few);
    let outcome = call(&guest, "keeps-handles", json!({ "count": 1000 })).await;
    assert!(matches!(
        refusal(outcome),
        EngineError::TooManyHandles { handles_max: 100 }
    ));
}

#[tokio::test]
async fn bytes_to_host_functions_are_bounded_over_the_whole_call() {
    let limits = Limits {
        host_call_bytes: 50_000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let few = call(&guest, "floods-the-log", json!({ "count": 10_000 })).await;
    assert_eq!(few.usage.host_call_bytes, 10_000);
    value(few);
    let outcome = call(&guest, "floods-the-log", json!({ "count": 1_000_000 })).await;
    assert!(matches!(
        refusal(outcome),
        EngineError::HostCallTooLarge { bytes_max: 50_000 }
    ));
}

#[tokio::test]
async fn the_engines_ceiling_holds_whatever_was_asked() {
    let asked = Limits {
        memory_bytes: u64::MAX,
        fuel: u64::MAX,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), asked).await.unwrap();
    assert_eq!(guest.limits().memory_bytes, Limits::CEILING.memory_bytes);
    assert_eq!(guest.limits().fuel, Limits::CEILING.fuel);
}

#[tokio::test]
async fn the_seven_ways_to_fail_are_seven_different_errors() {
    let limits = Limits {
        fuel: 500_000_000,
        memory_bytes: 16 << 20,
        guest_time_ms: 60_000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), limits).await.unwrap();
    let slow = load(
        &guests::rust("hostile"),
        Limits {
            guest_time_ms: 20,
            ..Limits::default()
        },
    )
    .await
    .unwrap();
    let trap = guests::text(
        r#"(component
            (core module $m (func (export "f") (drop (i32.div_u (i32.const 1) (i32.const 0)))))
            (core instance $i (instantiate $m))
            (func (export "divides-by-zero") (canon lift (core func $i "f"))))"#,
    );
    let traps = load(&trap, limits).await.unwrap();
    let failures = [
        call(&guest, "panics", json!({ "message": "on purpose" })).await,
        call(&traps, "divides-by-zero", json!({})).await,
        call(&guest, "recurses", json!({ "depth": 10_000_000 })).await,
        call(&guest, "allocates", json!({})).await,
        call(&guest, "works", json!({ "rounds": 1_000_000_000 })).await,
        call(&slow, "spins", json!({})).await,
        call(&guest, "returns-bytes", json!({ "count": 10_485_761 })).await,
    ];
    let mut codes: Vec<_> = failures.into_iter().map(|outcome| refusal(outcome).code()).collect();
    let names = codes.clone();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 7, "{names:?}");
    assert_eq!(
        value(call(&guest, "behaves", json!({ "text": "fine" })).await),
        json!("fine")
    );
}
