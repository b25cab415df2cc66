//! Calls that nobody asks for: by events, by the clock, through swaps, suspensions and restarts.

use std::time::Duration;

use kinetic_kernel::{Actor, Executors, LastResult, Process, SwapSettings};
use kinetic_ledger::bus::{Envelope, NewEvent, TopicConfig, TopicStats};
use serde_json::{Value, json};

use crate::kit::{URN, World, urn, version};

const TOPIC: &str = "orders.placed.v1";
/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a test waits for what must not come.
const QUIET: Duration = Duration::from_millis(300);

/// `take` gives the length of its text, and traps when that begins with an exclamation mark; `tick` takes nothing.
fn component() -> Vec<u8> {
    let text = r#"(component
        (core module $m
            (memory (export "memory") 1)
            (global $top (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (global.get $top))
                (global.set $top (i32.add (global.get $top) (local.get 3)))
                (local.get $at))
            (func (export "take") (param i32 i32) (result i32)
                (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
                (if (i32.eq (i32.load8_u (local.get 0)) (i32.const 33)) (then unreachable))
                (local.get 1))
            (func (export "tick") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func (export "take") (param "text" string) (result u32)
            (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (func (export "tick") (result u32) (canon lift (core func $i "tick"))))"#;
    wat::parse_str(text).unwrap()
}

fn manifest(minor: u64, triggers: Value) -> Value {
    json!({
        "id": URN,
        "version": version(minor).to_string(),
        "type": "logic",
        "description": "Is called.",
        "capabilities": { "provides": ["acme:called@1.0.0"] },
        "imports": [{ "interface": "kinetic:events/bus", "subscribe": ["orders.>"] }],
        "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "NX_experimental" },
        "triggers": triggers,
    })
}

fn on_topic() -> Value {
    json!([{ "topic": TOPIC, "function": "take" }])
}

/// A world with the topic and version 0, whose executors run.
async fn called(triggers: Value) -> (World, Executors) {
    let world = World::start(SwapSettings::default());
    let config = TopicConfig {
        max_deliveries: 2,
        ..TopicConfig::default()
    };
    let bus = world.kernel.ledger().unwrap().bus().clone();
    bus.create_topic(TOPIC, config).await.unwrap();
    world.publish_as(&manifest(0, triggers), component()).await.unwrap();
    let executors = world.kernel.start_executors();
    (world, executors)
}

async fn say(world: &World, texts: &[&str]) {
    let event = |text: &&str| {
        let envelope = Envelope::builder(format!("id-{text}"), "tests", "tests.said").data(text.as_bytes());
        NewEvent::new(TOPIC, envelope.build().unwrap())
    };
    let bus = world.kernel.ledger().unwrap().bus().clone();
    bus.publish(texts.iter().map(event).collect()).await.unwrap();
}

fn process(world: &World) -> Process {
    world
        .kernel
        .processes()
        .into_iter()
        .find(|process| !process.pinned)
        .unwrap()
}

fn topic(world: &World) -> TopicStats {
    world.kernel.ledger().unwrap().bus().topic_stats(TOPIC).unwrap()
}

/// How far the capsule's group has come.
fn committed(world: &World) -> u64 {
    let groups = topic(world).groups;
    let own = groups.iter().find(|group| group.name == URN);
    own.map_or(0, |group| group.partitions[0].committed)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The receipts that hold a text, as JSON, and how many positions stand in the record of each.
fn receipts(world: &World, text: &str) -> Vec<(Value, usize)> {
    let ledger = world.kernel.ledger().unwrap();
    let records = ledger.read(0, 10_000).unwrap();
    let with_text = records.iter().filter_map(|record| {
        let receipt = String::from_utf8(record.receipt().unwrap()?.to_vec()).unwrap();
        receipt.contains(text).then(|| {
            let offsets = record.parts().unwrap().offsets.len();
            (serde_json::from_str(&receipt).unwrap(), offsets)
        })
    });
    with_text.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_call_and_its_position_stands_in_the_record_of_that_call() {
    let (world, executors) = called(on_topic()).await;
    say(&world, &["one", "two", "three"]).await;
    until("three positions", || committed(&world) == 3).await;
    executors.stop(PATIENCE).await;
    assert_eq!(process(&world).counts.calls, 3);
    let receipts = receipts(&world, "called_by");
    assert_eq!(receipts.len(), 3);
    for (at, (receipt, offsets)) in receipts.iter().enumerate() {
        let event = &receipt["predicate"]["called_by"]["event"];
        assert_eq!(
            (&event["topic"], &event["offset"]),
            (&json!(TOPIC), &json!(at)),
            "{receipt:#}"
        );
        assert_eq!(*offsets, 1, "{receipt:#}");
    }
    let state = &process(&world).triggers[0];
    assert_eq!(
        (state.when.as_str(), state.function.as_str()),
        ("topic orders.placed.v1", "take")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_tried_again_then_becomes_a_dead_letter_and_the_next_one_follows() {
    let (world, executors) = called(on_topic()).await;
    say(&world, &["!bad", "good"]).await;
    until("both positions", || committed(&world) == 2).await;
    executors.stop(PATIENCE).await;
    let counts = process(&world).counts;
    assert_eq!((counts.calls, counts.failures), (3, 2));
    assert_eq!(topic(&world).dead_letters, 1);
    let failed = receipts(&world, "called_by");
    assert_eq!(
        failed.iter().map(|(_, offsets)| *offsets).collect::<Vec<_>>(),
        [0, 0, 1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_capsule_is_not_called_and_its_event_is_not_counted_as_tried() {
    let (world, executors) = called(on_topic()).await;
    world.kernel.suspend(&urn(), "repairs", Actor::Operator).await.unwrap();
    say(&world, &["one"]).await;
    until("a note that it waits", || {
        let last = process(&world).triggers[0].last.clone();
        last.is_some_and(|last| last.result == LastResult::Waiting && last.why.unwrap().contains("repairs"))
    })
    .await;
    tokio::time::sleep(QUIET).await;
    assert_eq!((process(&world).counts.calls, committed(&world)), (0, 0));
    world.kernel.resume(&urn(), Actor::Operator).await.unwrap();
    until("the position", || committed(&world) == 1).await;
    assert_eq!(topic(&world).dead_letters, 0);
    executors.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_to_the_version_that_is_active_and_to_none_that_does_not_want_them() {
    let (world, executors) = called(on_topic()).await;
    world.publish_as(&manifest(1, on_topic()), component()).await.unwrap();
    say(&world, &["one"]).await;
    until("the position", || committed(&world) == 1).await;
    // The record comes first, the count of calls after it.
    until("the call counted", || process(&world).counts.calls == 1).await;
    assert_eq!(process(&world).version, version(1));
    world.publish_as(&manifest(2, json!([])), component()).await.unwrap();
    until("nobody who listens", || topic(&world).subscribers == 0).await;
    say(&world, &["two"]).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!((process(&world).counts.calls, committed(&world)), (0, 1));
    world.publish_as(&manifest(3, on_topic()), component()).await.unwrap();
    until("the event that came meanwhile", || committed(&world) == 2).await;
    executors.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_it_goes_on_with_the_event_after_the_last_one() {
    let (world, executors) = called(on_topic()).await;
    say(&world, &["one", "two"]).await;
    until("both positions", || committed(&world) == 2).await;
    executors.stop(PATIENCE).await;
    say(&world, &["three"]).await;
    let world = world.restart().await;
    let executors = world.kernel.start_executors();
    until("the third", || committed(&world) == 3).await;
    executors.stop(PATIENCE).await;
    assert_eq!(process(&world).counts.calls, 1);
    assert_eq!(receipts(&world, "called_by").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_calls_again_and_again_and_each_record_names_its_own_tick() {
    let (world, executors) = called(json!([{ "every_ms": 100, "function": "tick" }])).await;
    until("three ticks", || process(&world).counts.calls >= 3).await;
    let last = process(&world).triggers[0].last.clone().unwrap();
    assert_eq!((last.result, last.why), (LastResult::Ok, None));
    assert!(last.receipt_id.is_some());
    executors.stop(PATIENCE).await;
    let calls = process(&world).counts.calls;
    tokio::time::sleep(QUIET).await;
    assert_eq!(process(&world).counts.calls, calls);
    let ticks: std::collections::BTreeSet<String> = receipts(&world, "called_by")
        .iter()
        .map(|(receipt, _)| receipt["predicate"]["called_by"]["clock"]["tick"].to_string())
        .collect();
    assert_eq!(ticks.len() as u64, calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_whose_function_is_not_there_or_needs_arguments_is_refused() {
    let world = World::start(SwapSettings::default());
    for function in ["nothing", "take"] {
        let asks = manifest(0, json!([{ "every_ms": 100, "function": function }]));
        let fault = world.publish_as(&asks, component()).await.unwrap_err();
        assert_eq!(fault.code, "KIN-KER-0033", "{fault}");
    }
    assert!(world.kernel.list().is_empty());
}
