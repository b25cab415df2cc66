//! Capsules that use others: who provides, who takes its place, what a record says, what is refused.

use std::time::{Duration, Instant};

use kinetic_kernel::{Actor, SwapAsk, SwapSettings, SwapTo};
use kinetic_model::{Pin, Urn};
use serde_json::{Value, json};

use crate::kit::World;

pub const SOURCE: &str = "urn:acme:actionspace:solver:source:v1";
const OTHER_SOURCE: &str = "urn:acme:actionspace:solver:othersource:v1";
// Before its provider in the order of URNs, in which a host starts them.
pub const DEPENDENT: &str = "urn:acme:actionspace:solver:adder:v1";
const PINNING: &str = "urn:acme:actionspace:solver:pinning:v1";
/// Behind all others in the order of URNs.
const LAST_DEPENDENT: &str = "urn:acme:actionspace:solver:zadder:v1";
/// How long is waited for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn urn(text: &str) -> Urn {
    text.parse().unwrap()
}

pub fn manifest(urn: &str, version: &str, provides: &[&str], requires: &[&str]) -> Value {
    json!({
        "id": urn,
        "version": version,
        "type": "logic",
        "description": "Gives a number.",
        "capabilities": { "provides": provides, "requires": requires },
        "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "D2_soft_deterministic" },
    })
}

/// Provides `acme:numbers/source@VERSION`: a number through a static type, half of one through values, and a trap.
pub fn source(version: &str, number: u64) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m
                (func (export "number") (result i64) (i64.const {number}))
                (func (export "half") (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 2)))
                (func (export "fail") (result i64) unreachable))
            (core instance $i (instantiate $m))
            (func $number (result u64) (canon lift (core func $i "number")))
            (func $half (param "whole" u8) (result u8) (canon lift (core func $i "half")))
            (func $fail (result u64) (canon lift (core func $i "fail")))
            (instance $source
                (export "number" (func $number)) (export "half" (func $half)) (export "fail" (func $fail)))
            (export "acme:numbers/source@{version}" (instance $source)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Imports it, and gives 1000 more than what it was given.
pub fn adder() -> Vec<u8> {
    let text = r#"(component
        (import "acme:numbers/source@1.0.0" (instance $source
            (export "number" (func (result u64)))
            (export "half" (func (param "whole" u8) (result u8)))
            (export "fail" (func (result u64)))))
        (core func $number (canon lower (func $source "number")))
        (core func $half (canon lower (func $source "half")))
        (core func $fail (canon lower (func $source "fail")))
        (core module $m
            (import "source" "number" (func $number (result i64)))
            (import "source" "half" (func $half (param i32) (result i32)))
            (import "source" "fail" (func $fail (result i64)))
            (func (export "sum") (result i64) (i64.add (call $number) (i64.const 1000)))
            (func (export "halved") (result i64) (i64.extend_i32_u (call $half (i32.const 84))))
            (func (export "failing") (result i64) (call $fail)))
        (core instance $i (instantiate $m (with "source" (instance
            (export "number" (func $number)) (export "half" (func $half)) (export "fail" (func $fail))))))
        (func (export "sum") (result u64) (canon lift (core func $i "sum")))
        (func (export "halved") (result u64) (canon lift (core func $i "halved")))
        (func (export "failing") (result u64) (canon lift (core func $i "failing"))))"#;
    wat::parse_str(text).unwrap()
}

pub fn source_manifest(urn: &str, version: &str) -> Value {
    manifest(urn, version, &["acme:numbers/source@1.0.0"], &[])
}

pub fn adder_manifest() -> Value {
    manifest(
        DEPENDENT,
        "1.0.0",
        &["acme:adder@1.0.0"],
        &["acme:numbers/source@1.0.0"],
    )
}

async fn pair() -> World {
    pair_under(SwapSettings::default()).await
}

pub async fn pair_under(settings: SwapSettings) -> World {
    let world = World::start(settings);
    world
        .publish_as(&source_manifest(SOURCE, "1.0.0"), source("1.0.0", 1))
        .await
        .unwrap();
    world.publish_as(&adder_manifest(), adder()).await.unwrap();
    world
}

pub async fn swap_source(world: &World, version: &str, number: u64) {
    world
        .stage_as(&source_manifest(SOURCE, version), source("1.0.0", number))
        .await
        .unwrap();
    let ask = SwapAsk {
        urn: urn(SOURCE),
        to: SwapTo::Version(version.parse().unwrap()),
        actor: Actor::Operator,
        accept_differences: false,
        discard_state: false,
    };
    world.kernel.swap(ask).await.unwrap();
}

pub async fn sum(world: &World) -> Result<u64, String> {
    world.call_of(&urn(DEPENDENT), Some("sum")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capsule_reaches_who_provides_what_it_requires_and_a_swap_changes_who_that_is() {
    let world = pair().await;
    assert_eq!(sum(&world).await, Ok(1_001));
    assert_eq!(world.call_of(&urn(DEPENDENT), Some("halved")).await, Ok(42));
    swap_source(&world, "1.1.0", 2).await;
    assert_eq!(sum(&world).await, Ok(1_002));
    let all = world.kernel.processes();
    let of = |name: &str| all.iter().find(|process| process.urn.as_str() == name).unwrap();
    assert_eq!(of(SOURCE).dependents, [urn(DEPENDENT)]);
    assert_eq!(of(DEPENDENT).uses[0].provider, SOURCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capsule_that_pins_what_it_uses_goes_on_with_it() {
    let world = World::start(SwapSettings::default());
    let provider = source_manifest(SOURCE, "1.0.0");
    world.publish_as(&provider, source("1.0.0", 1)).await.unwrap();
    let mut pinning = adder_manifest();
    pinning["capabilities"]["when_replaced"] = "pin".into();
    world.publish_as(&pinning, adder()).await.unwrap();
    swap_source(&world, "1.1.0", 2).await;
    assert_eq!(sum(&world).await, Ok(1_001));
    assert_eq!(world.call_of(&urn(SOURCE), Some("number")).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_provides_is_explained_and_no_fault_of_the_capsule() {
    let world = World::start(SwapSettings::default());
    let fault = world.publish_as(&adder_manifest(), adder()).await.unwrap_err();
    assert!(fault.message.contains("acme:numbers/source@1.0.0"), "{fault}");
    assert!(world.kernel.quarantined().is_empty());
    let provider = source_manifest(SOURCE, "1.0.0");
    world.publish_as(&provider, source("1.0.0", 1)).await.unwrap();
    world.publish_as(&adder_manifest(), adder()).await.unwrap();
    assert_eq!(sum(&world).await, Ok(1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_waits_in_the_store_is_made_active_for_who_requires_it() {
    let world = World::start(SwapSettings::default());
    let provider = source_manifest(SOURCE, "1.0.0");
    world.stage_as(&provider, source("1.0.0", 7)).await.unwrap();
    assert!(world.kernel.list().is_empty());
    world.publish_as(&adder_manifest(), adder()).await.unwrap();
    assert_eq!(sum(&world).await, Ok(1_007));
    assert_eq!(world.kernel.list().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_chooses_who_provides_and_a_restart_keeps_the_choice() {
    let world = pair().await;
    let other = source_manifest(OTHER_SOURCE, "1.0.0");
    world.publish_as(&other, source("1.0.0", 9)).await.unwrap();
    assert_eq!(sum(&world).await, Ok(1_001));
    let bind = |interface: &'static str| {
        let kernel = world.kernel.clone();
        async move {
            let (dependent, provider) = (urn(DEPENDENT), urn(OTHER_SOURCE));
            kernel.bind(&dependent, interface, &provider, Actor::Operator).await
        }
    };
    assert_eq!(bind("acme:numbers/sink").await.unwrap_err().code, "KIN-KER-0048");
    bind("acme:numbers/source").await.unwrap();
    assert_eq!(sum(&world).await, Ok(1_009));
    let world = world.restart().await;
    assert_eq!(sum(&world).await, Ok(1_009));
}

/// A world in which the source keeps an instance and one failure is its last, and in which these use it.
async fn with_a_source_that_fails_once(dependents: &[Value]) -> World {
    let world = World::start(SwapSettings {
        strikes_max: 1,
        ..SwapSettings::default()
    });
    let mut provider = source_manifest(SOURCE, "1.0.0");
    provider["instance"] = "resident".into();
    world.publish_as(&provider, source("1.0.0", 1)).await.unwrap();
    for dependent in dependents {
        world.publish_as(dependent, adder()).await.unwrap();
    }
    world
}

async fn publish_the_other_source(world: &World) {
    let other = source_manifest(OTHER_SOURCE, "1.0.0");
    world.publish_as(&other, source("1.0.0", 9)).await.unwrap();
}

/// The source fails, and is quarantined for it.
async fn lose_the_source(world: &World) {
    world.call_of(&urn(SOURCE), Some("fail")).await.unwrap_err();
    let gone = || {
        let all = world.kernel.processes();
        all.iter().all(|process| process.urn.as_str() != SOURCE)
    };
    wait_until("the quarantine", async || gone()).await;
}

async fn wait_until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn provider_of(world: &World, dependent: &str) -> String {
    let all = world.kernel.processes();
    let process = all.iter().find(|process| process.urn.as_str() == dependent).unwrap();
    process.uses[0].provider.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_provider_is_quarantined_another_one_takes_its_place_and_the_record_says_why() {
    let world = with_a_source_that_fails_once(&[adder_manifest()]).await;
    publish_the_other_source(&world).await;
    assert_eq!(sum(&world).await, Ok(1_001));
    lose_the_source(&world).await;
    wait_until("the other source", async || sum(&world).await == Ok(1_009)).await;
    let bound = world.events("bind").await;
    assert_eq!(bound.len(), 1, "{bound:#?}");
    assert_eq!(
        (&bound[0]["cause"], &bound[0]["actor"], &bound[0]["provider"]["urn"]),
        (&json!("strikes"), &json!("host"), &json!(OTHER_SOURCE))
    );
    assert!(bound[0]["reason"].as_str().unwrap().contains(SOURCE), "{bound:#?}");
    let world = world.restart().await;
    assert_eq!(sum(&world).await, Ok(1_009));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_waits_in_the_store_takes_the_place_of_one_that_is_gone() {
    let world = with_a_source_that_fails_once(&[adder_manifest()]).await;
    let other = source_manifest(OTHER_SOURCE, "1.0.0");
    world.stage_as(&other, source("1.0.0", 9)).await.unwrap();
    lose_the_source(&world).await;
    wait_until("the other source", async || sum(&world).await == Ok(1_009)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_bound_or_a_capsule_pins_is_never_replaced_by_itself() {
    let named = |urn: &str, when_replaced: &str| {
        let mut manifest = adder_manifest();
        manifest["id"] = urn.into();
        manifest["capabilities"]["when_replaced"] = when_replaced.into();
        manifest
    };
    let all = [adder_manifest(), named(PINNING, "pin"), named(LAST_DEPENDENT, "rebind")];
    let world = with_a_source_that_fails_once(&all).await;
    publish_the_other_source(&world).await;
    let (chosen, source) = (urn(DEPENDENT), urn(SOURCE));
    let bind = world
        .kernel
        .bind(&chosen, "acme:numbers/source", &source, Actor::Operator);
    bind.await.unwrap();
    lose_the_source(&world).await;
    // Dependents are looked at in the order of their URNs: when the last one has another provider, the others were seen.
    wait_until("the last dependent", async || {
        world.call_of(&urn(LAST_DEPENDENT), Some("sum")).await == Ok(1_009)
    })
    .await;
    for left in [DEPENDENT, PINNING] {
        assert!(provider_of(&world, left).starts_with(SOURCE), "{left}");
        let failed = world.call_of(&urn(left), Some("sum")).await.unwrap_err();
        assert!(failed.contains(SOURCE), "it says who is missing: {failed}");
    }
    let by_host = world.events("bind").await;
    let by_host = by_host.iter().filter(|event| event["actor"] == "host").count();
    assert_eq!(by_host, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_else_provides_it_nothing_changes_and_calls_say_who_is_missing() {
    let world = with_a_source_that_fails_once(&[adder_manifest()]).await;
    lose_the_source(&world).await;
    let failed = sum(&world).await.unwrap_err();
    assert!(failed.contains("PeerFailed") && failed.contains(SOURCE), "{failed}");
    assert_eq!(provider_of(&world, DEPENDENT), SOURCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn capsules_that_would_use_each_other_are_refused() {
    let world = World::start(SwapSettings::default());
    let circle = ["acme:numbers/source@1.0.0"];
    let itself = manifest(SOURCE, "1.0.0", &circle, &circle);
    let fault = world.publish_as(&itself, source("1.0.0", 1)).await.unwrap_err();
    assert!(fault.message.contains(circle[0]), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_traps_fails_the_call_and_is_named() {
    let world = pair().await;
    let failed = world.call_of(&urn(DEPENDENT), Some("failing")).await.unwrap_err();
    assert!(failed.contains("PeerFailed") && failed.contains(SOURCE), "{failed}");
    assert_eq!(sum(&world).await, Ok(1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_a_call_tells_the_calls_of_others_it_made() {
    let world = pair().await;
    let what = kinetic_model::CapsuleRef {
        urn: urn(DEPENDENT),
        pin: Pin::Active,
    };
    let input = kinetic_engine::Input::Json(serde_json::Map::new());
    let execution = world.kernel.execute(&what, Some("sum"), input).await.unwrap();
    let receipt = world.receipt(&execution.receipt_id.unwrap()).await;
    let calls = &receipt["predicate"]["calls"];
    assert_eq!(calls["count"], 1, "{receipt}");
    assert_eq!(calls["first"][0]["capsule"]["urn"], SOURCE);
    assert_eq!(calls["first"][0]["verdict"]["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_that_each_need_two_sandboxes_all_end() {
    let world = std::sync::Arc::new(pair().await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let world = world.clone();
        calls.spawn(async move { sum(&world).await });
    }
    while let Some(answer) = calls.join_next().await {
        assert_eq!(answer.unwrap(), Ok(1_001));
    }
}
