//! What a link found for one call, and what changes before the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kinetic_engine::Input;
use kinetic_identity::SigningKey;
use kinetic_kernel::{Actor, Execution, SwapSettings};
use kinetic_model::{CapsuleRef, LimitsAsk};
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use crate::injection::{
    DEPENDENT, SOURCE, adder, adder_manifest, manifest, pair_under, source, source_manifest, sum, swap_source, urn,
};
use crate::kit::World;

const MIDDLE: &str = "urn:acme:actionspace:solver:middle:v1";
const TOP: &str = "urn:acme:actionspace:solver:top:v1";

/// A new version is on its own at once, so that a call of it goes straight.
fn without_probation() -> SwapSettings {
    SwapSettings {
        probation_ms: 0,
        ..SwapSettings::default()
    }
}

/// Imports the source, and provides `acme:numbers/middle@1.0.0`: 100 more than its number.
fn middle() -> Vec<u8> {
    let text = r#"(component
        (import "acme:numbers/source@1.0.0" (instance $source (export "number" (func (result u64)))))
        (core func $number (canon lower (func $source "number")))
        (core module $m
            (import "source" "number" (func $number (result i64)))
            (func (export "sum") (result i64) (i64.add (call $number) (i64.const 100))))
        (core instance $i (instantiate $m (with "source" (instance (export "number" (func $number))))))
        (func $sum (result u64) (canon lift (core func $i "sum")))
        (instance $middle (export "sum" (func $sum)))
        (export "acme:numbers/middle@1.0.0" (instance $middle)))"#;
    wat::parse_str(text).unwrap()
}

/// Imports that, and gives 1000 more.
fn top() -> Vec<u8> {
    let text = r#"(component
        (import "acme:numbers/middle@1.0.0" (instance $middle (export "sum" (func (result u64)))))
        (core func $sum (canon lower (func $middle "sum")))
        (core module $m
            (import "middle" "sum" (func $sum (result i64)))
            (func (export "top") (result i64) (i64.add (call $sum) (i64.const 1000))))
        (core instance $i (instantiate $m (with "middle" (instance (export "sum" (func $sum))))))
        (func (export "top") (result u64) (canon lift (core func $i "top"))))"#;
    wat::parse_str(text).unwrap()
}

/// The source, but for its number it counts for ever.
fn endless() -> Vec<u8> {
    let text = r#"(component
        (core module $m
            (func (export "number") (result i64) (loop (br 0)) (i64.const 0))
            (func (export "half") (param i32) (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $number (result u64) (canon lift (core func $i "number")))
        (func $half (param "whole" u8) (result u8) (canon lift (core func $i "half")))
        (instance $source
            (export "number" (func $number)) (export "half" (func $half)) (export "fail" (func $number)))
        (export "acme:numbers/source@1.0.0" (instance $source)))"#;
    wat::parse_str(text).unwrap()
}

/// The adder over that, one of the two with so much wall time.
async fn endless_pair(limited: &str, wall_time_ms: u64) -> World {
    let world = World::start(without_probation());
    let below = source_manifest(SOURCE, "1.0.0");
    world.publish_as(&below, endless()).await.unwrap();
    world.publish_as(&adder_manifest(), adder()).await.unwrap();
    let word = LimitsAsk {
        wall_time_ms: Some(wall_time_ms),
        ..LimitsAsk::default()
    };
    world.kernel.limit(&urn(limited), word, Actor::Operator).await.unwrap();
    world
}

/// Three capsules, each using the next; `audit` is the level of the two that are used.
async fn chain(audit: &str) -> World {
    let world = World::start(without_probation());
    let mut below = source_manifest(SOURCE, "1.0.0");
    below["governance"]["audit_level"] = audit.into();
    world.publish_as(&below, source("1.0.0", 1)).await.unwrap();
    let mut between = manifest(
        MIDDLE,
        "1.0.0",
        &["acme:numbers/middle@1.0.0"],
        &["acme:numbers/source@1.0.0"],
    );
    between["governance"]["audit_level"] = audit.into();
    world.publish_as(&between, middle()).await.unwrap();
    let above = manifest(TOP, "1.0.0", &["acme:top@1.0.0"], &["acme:numbers/middle@1.0.0"]);
    world.publish_as(&above, top()).await.unwrap();
    world
}

async fn execute(world: &World, what: &str) -> Execution {
    let what = CapsuleRef::from(urn(what));
    let input = Input::Json(Map::new());
    world.kernel.execute(&what, None, input).await.unwrap()
}

/// The notes that the receipt of a call has of those it made.
async fn notes(world: &World, receipt_id: &str) -> Vec<Value> {
    let receipt = world.receipt(receipt_id).await;
    receipt["predicate"]["calls"]["first"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_suspended_between_two_calls_refuses_until_it_is_resumed() {
    let world = pair_under(without_probation()).await;
    assert_eq!(sum(&world).await, Ok(1_001));
    let source = urn(SOURCE);
    world.kernel.suspend(&source, "a word", Actor::Operator).await.unwrap();
    let refused = sum(&world).await.unwrap_err();
    assert!(
        refused.contains("PeerFailed") && refused.contains("KIN-KER-0022"),
        "{refused}"
    );
    world.kernel.resume(&source, Actor::Operator).await.unwrap();
    assert_eq!(sum(&world).await, Ok(1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_key_is_not_trusted_any_more_answers_no_further_call() {
    let mut world = World::start(without_probation());
    let lasting = SigningKey::generate().unwrap();
    world.trust(&[&world.key, &lasting]);
    world
        .publish_as(&source_manifest(SOURCE, "1.0.0"), source("1.0.0", 1))
        .await
        .unwrap();
    world.key = lasting;
    world.publish_as(&adder_manifest(), adder()).await.unwrap();
    assert_eq!(sum(&world).await, Ok(1_001));
    world.trust(&[&world.key]);
    assert_eq!(world.kernel.check_trust().await.unwrap(), [urn(SOURCE)]);
    let refused = sum(&world).await.unwrap_err();
    assert!(refused.contains("PeerFailed"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_and_a_rollback_of_the_provider_reach_the_next_call() {
    let world = pair_under(without_probation()).await;
    assert_eq!(sum(&world).await, Ok(1_001));
    swap_source(&world, "1.1.0", 2).await;
    assert_eq!(sum(&world).await, Ok(1_002));
    assert_eq!(sum(&world).await, Ok(1_002));
    let back = world.kernel.rollback(urn(SOURCE), Actor::Operator, false).await;
    assert_eq!(back.unwrap().to.version.to_string(), "1.0.0");
    assert_eq!(sum(&world).await, Ok(1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_set_between_two_calls_hold_for_the_next_one() {
    let world = pair_under(without_probation()).await;
    let (dependent, source) = (urn(DEPENDENT), urn(SOURCE));
    assert_eq!(world.call_of(&dependent, Some("halved")).await, Ok(42));
    let nothing = LimitsAsk {
        input_bytes: Some(0),
        ..LimitsAsk::default()
    };
    world.kernel.limit(&source, nothing, Actor::Operator).await.unwrap();
    let failed = world.call_of(&dependent, Some("halved")).await.unwrap_err();
    assert!(failed.contains("KIN-ENG-0013"), "{failed}");
    world
        .kernel
        .limit(&source, LimitsAsk::default(), Actor::Operator)
        .await
        .unwrap();
    assert_eq!(world.call_of(&dependent, Some("halved")).await, Ok(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_another_capsule_is_counted_as_any_call() {
    let world = pair_under(without_probation()).await;
    for _ in 0..3 {
        assert_eq!(sum(&world).await, Ok(1_001));
    }
    let all = world.kernel.processes();
    let source = all.iter().find(|process| process.urn.as_str() == SOURCE).unwrap();
    assert_eq!((source.counts.calls, source.counts.failures), (3, 0));
    assert_eq!(source.calls_running, 0);
    world.call_of(&urn(DEPENDENT), Some("failing")).await.unwrap_err();
    let all = world.kernel.processes();
    let source = all.iter().find(|process| process.urn.as_str() == SOURCE).unwrap();
    assert_eq!((source.counts.calls, source.counts.failures), (4, 1));
    let zones = world.kernel.zones().status();
    assert!(zones.iter().all(|zone| zone.calls_nested == 0), "{zones:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_flow_while_the_provider_is_swapped_reach_one_version_or_the_next_and_never_an_earlier_one() {
    let world = Arc::new(pair_under(without_probation()).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (world, stop) = (world.clone(), stop.clone());
        callers.spawn(async move {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let got = sum(&world).await.unwrap();
                assert!(got >= last, "{got} after {last}");
                last = got;
            }
        });
    }
    for number in 2..6 {
        swap_source(&world, &format!("1.{}.0", number - 1), number).await;
        assert_eq!(sum(&world).await, Ok(1_000 + number));
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_the_calls_of_its_call_and_not_those_below_them() {
    let world = chain("standard").await;
    for _ in 0..2 {
        let execution = execute(&world, TOP).await;
        let told = notes(&world, &execution.receipt_id.unwrap()).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["capsule"]["urn"], MIDDLE);
        assert_eq!(told[0]["verdict"]["status"], "ok");
        assert!(told[0].get("receipt_id").is_none(), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_record_of_its_own_says_the_same_there_as_in_the_record_of_its_caller() {
    let world = chain("elevated").await;
    let execution = execute(&world, TOP).await;
    let told = notes(&world, &execution.receipt_id.unwrap()).await;
    let own_id = told[0]["receipt_id"].as_str().unwrap();
    let own = world.receipt(own_id).await;
    for member in ["function", "input_hash", "output_hash", "fuel", "verdict"] {
        assert_eq!(own["predicate"][member], told[0][member], "{member}");
    }
    let below = notes(&world, own_id).await;
    assert_eq!(below[0]["capsule"]["urn"], SOURCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_less_time_than_its_caller_is_ended_by_its_own_limit() {
    let world = endless_pair(SOURCE, 50).await;
    let failed = sum(&world).await.unwrap_err();
    assert!(
        failed.contains("PeerFailed") && failed.contains("KIN-ENG-0017"),
        "{failed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_less_time_than_its_provider_ends_with_it() {
    let world = endless_pair(DEPENDENT, 50).await;
    let failed = sum(&world).await.unwrap_err();
    assert!(
        failed.contains("WallTimeout") && !failed.contains("PeerFailed"),
        "{failed}"
    );
    let zones = world.kernel.zones().status();
    assert!(zones.iter().all(|zone| zone.calls_nested == 0), "{zones:?}");
    assert!(
        world
            .kernel
            .processes()
            .iter()
            .all(|process| process.calls_running == 0)
    );
}
