//! What a hostile guest may try; after each the host lives and the next call is unaffected.

use std::time::{Duration, Instant};

use kinetic_engine::{Admit, Capability, EngineError, Outcome};
use kinetic_model::Limits;
use kinetic_testkit::engine::{call, engine, load, refusal, runtime, unnamed, value};
use kinetic_testkit::guests;
use serde_json::{Value, json};

const MEBIBYTE: u64 = 1 << 20;

/// Time enough on any machine, so that what a guest does ends it, and not how busy the machine is.
fn patient() -> Limits {
    Limits {
        memory_bytes: 32 * MEBIBYTE,
        guest_time_ms: 20_000,
        wall_time_ms: 60_000,
        ..Limits::default()
    }
}

/// For guests that only their time ends.
fn hurried() -> Limits {
    Limits {
        guest_time_ms: 300,
        ..patient()
    }
}

async fn hostile(limits: Limits) -> Capability {
    load(&guests::rust("hostile"), limits).await.unwrap()
}

async fn attack(function: &str, arguments: Value) -> Outcome {
    attack_under(patient(), function, arguments).await
}

/// Calls, then shows that the same capsule still answers.
async fn attack_under(limits: Limits, function: &str, arguments: Value) -> Outcome {
    let guest = hostile(limits).await;
    let outcome = call(&guest, function, arguments).await;
    assert_eq!(
        value(call(&guest, "behaves", json!({ "text": "next" })).await),
        json!("next")
    );
    outcome
}

#[tokio::test]
async fn a_guest_that_spins_dies_within_a_few_ticks_of_its_limit() {
    // The best of some: what else the machine does only adds to it.
    let mut best_ns = u64::MAX;
    for _ in 0..10 {
        let outcome = attack_under(hurried(), "spins", json!({})).await;
        best_ns = best_ns.min(outcome.usage.guest_time_ns);
        assert!(matches!(refusal(outcome), EngineError::GuestTimeout { .. }));
        if best_ns < 600_000_000 {
            break;
        }
    }
    assert!(best_ns < 600_000_000, "{best_ns}");
}

#[tokio::test]
async fn a_guest_that_spins_in_a_host_call_dies_too() {
    let outcome = attack_under(hurried(), "spins-in-a-host-call", json!({})).await;
    assert!(matches!(refusal(outcome), EngineError::GuestTimeout { .. }));
}

#[tokio::test]
async fn a_guest_that_allocates_for_ever_is_told_no_and_named() {
    assert!(matches!(
        refusal(attack("allocates", json!({})).await),
        EngineError::OutOfMemory { .. }
    ));
}

#[tokio::test]
async fn a_guest_that_recurses_overflows_its_own_stack_only() {
    assert!(matches!(
        refusal(attack("recurses", json!({ "depth": 100_000_000 })).await),
        EngineError::StackOverflow { .. }
    ));
}

#[tokio::test]
async fn a_guest_that_panics_says_why() {
    let outcome = attack("panics", json!({ "message": "the moon is full" })).await;
    let EngineError::Panicked { message } = refusal(outcome) else {
        panic!("not a panic")
    };
    assert!(message.contains("the moon is full"), "{message}");
}

#[tokio::test]
async fn a_guest_that_exits_does_not_take_the_host_along() {
    assert!(matches!(
        refusal(attack("exits", json!({ "status": 3 })).await),
        EngineError::Exited { .. }
    ));
}

#[tokio::test]
async fn twenty_megabytes_of_output_are_refused_before_they_are_copied() {
    let mut grown = u64::MAX;
    // The other cases of this process take memory meanwhile: one attempt beside which they do not is enough.
    for _ in 0..20 {
        let before = resident_bytes();
        for function in ["returns-bytes", "returns-text"] {
            assert!(matches!(
                refusal(attack(function, json!({ "count": 20_000_000 })).await),
                EngineError::OutputTooLarge { .. }
            ));
        }
        grown = resident_bytes().saturating_sub(before);
        if grown < 200 * MEBIBYTE {
            break;
        }
    }
    assert!(grown < 200 * MEBIBYTE, "{grown} bytes more than before");
}

#[tokio::test]
async fn a_flood_of_log_is_kept_to_its_limit() {
    let outcome = attack("floods-the-log", json!({ "count": 10_000_000 })).await;
    assert!(outcome.logs.stdout.len() <= 65_536);
    assert!(outcome.logs.dropped_bytes > 9_000_000);
}

#[tokio::test]
async fn two_memories_of_six_tenths_of_the_limit_fail() {
    let pages = 32 * 6 / 10 * 16;
    let two = format!(
        r#"(component
            (core module $m (memory {pages}))
            (core instance $a (instantiate $m))
            (core instance $b (instantiate $m))
            (core module $f (func (export "f")))
            (core instance $c (instantiate $f))
            (func (export "f") (canon lift (core func $c "f"))))"#
    );
    let limits = Limits {
        memory_bytes: 32 * MEBIBYTE,
        ..Limits::default()
    };
    let guest = load(&guests::text(&two), limits).await.unwrap();
    let outcome = call(&guest, "f", json!({})).await;
    assert!(matches!(refusal(outcome), EngineError::OutOfMemory { .. }));
    let one = two.replace("(core instance $b (instantiate $m))", "");
    let guest = load(&guests::text(&one), limits).await.unwrap();
    value(call(&guest, "f", json!({})).await);
}

#[tokio::test]
async fn a_guest_that_forges_a_handle_traps() {
    let forger = guests::text(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $pollable (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
            (alias export $poll "[method]pollable.block" (func $block))
            (core func $block_core (canon lower (func $block)))
            (core module $m
                (import "" "block" (func $block (param i32)))
                (func (export "f") (call $block (i32.const 1234))))
            (core instance $i (instantiate $m (with "" (instance (export "block" (func $block_core))))))
            (func (export "forges") (canon lift (core func $i "f"))))"#,
    );
    let guest = load(&forger, Limits::default()).await.unwrap();
    let EngineError::Trapped { why } = refusal(call(&guest, "forges", json!({})).await) else {
        panic!("no trap")
    };
    assert!(why.contains("handle"), "{why}");
}

#[tokio::test]
async fn an_import_that_was_not_granted_is_refused_and_all_are_named() {
    let asks = guests::text(
        r#"(component
            (import "wasi:sockets/network@0.2.0" (instance))
            (import "acme:secrets/read@1.0.0" (instance))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    );
    let Err(EngineError::MissingImports { imports }) = load(&asks, Limits::default()).await else {
        panic!("loaded")
    };
    assert!(
        imports.contains("wasi:sockets/network@0.2.0") && imports.contains("acme:secrets/read@1.0.0"),
        "{imports}"
    );
}

#[tokio::test]
async fn a_truncated_component_is_refused() {
    let bytes = guests::rust("hostile");
    for cut in [1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let refused = load(&bytes[..cut], Limits::default()).await.expect_err("loaded");
        // Eight bytes are a whole component that has nothing in it.
        let named = matches!(
            (cut, &refused),
            (8, EngineError::NothingToCall {}) | (_, EngineError::Invalid { .. })
        );
        assert!(named, "{cut}: {refused}");
    }
}

#[tokio::test]
async fn a_core_module_is_told_what_it_is() {
    let refused = load(&guests::text("(module (func (export \"f\")))"), Limits::default())
        .await
        .expect_err("loaded");
    assert!(matches!(refused, EngineError::NotAComponent {}), "{refused}");
}

#[tokio::test]
async fn a_hundred_megabytes_of_junk_are_refused_by_their_size_alone() {
    let junk = vec![0x5a; 100_000_000];
    // The best of some: what else the machine does only adds to it.
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        // The digest of a hundred megabytes takes longer than refusing them.
        let admit = Admit {
            capsule: &unnamed(b""),
            grants: &[],
            peers: &[],
            limits: &Limits::default(),
        };
        let refused = engine().load(&junk, admit).await.expect_err("loaded");
        assert!(matches!(refused, EngineError::ComponentTooLarge { .. }), "{refused}");
        best = best.min(started.elapsed());
    }
    assert!(best < Duration::from_secs(1), "{best:?}");
    let refused = load(&junk[..1_000_000], Limits::default()).await.expect_err("loaded");
    assert!(matches!(refused, EngineError::Invalid { .. }), "{refused}");
}

#[tokio::test]
async fn a_guest_sees_nothing_of_the_machine() {
    assert_eq!(value(attack("looks-around", json!({})).await), json!([]));
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_guest_along() {
    let guest = hostile(patient()).await;
    let before = engine().pool().instances;
    let calling = guest.clone();
    let task = tokio::spawn(async move { call(&calling, "sleeps", json!({ "ms": 50_000 })).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    task.abort();
    let _ = task.await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while engine().pool().instances > before && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        value(call(&guest, "behaves", json!({ "text": "still" })).await),
        json!("still")
    );
}

#[test]
fn a_spinning_guest_does_not_hold_up_the_others() {
    let runtime = runtime();
    runtime.block_on(async {
        let guest = load(
            &guests::rust("hostile"),
            Limits {
                fuel: Limits::CEILING.fuel,
                guest_time_ms: 20_000,
                wall_time_ms: 300_000,
                ..Limits::default()
            },
        )
        .await
        .unwrap();
        let spinners: Vec<_> = (0..4)
            .map(|_| {
                let guest = guest.clone();
                tokio::spawn(async move { call(&guest, "spins", json!({})).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        for _ in 0..20 {
            assert_eq!(
                value(call(&guest, "behaves", json!({ "text": "me too" })).await),
                json!("me too")
            );
        }
        assert!(
            spinners.iter().any(|spinner| !spinner.is_finished()),
            "the others waited until every spinner was dead"
        );
        for spinner in spinners {
            spinner.abort();
            let _ = spinner.await;
        }
    });
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
