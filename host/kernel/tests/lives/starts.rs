//! Starts of a host: what becomes active, in which order, and what each phase leaves behind.

use std::time::{Duration, Instant};

use kinetic_identity::TrustRoot;
use kinetic_kernel::search::Query;
use kinetic_kernel::{Boot, Reconciled, SwapSettings};
use kinetic_model::Digest;
use kinetic_registry::Descriptor;
use serde_json::{Value, json};

use crate::injection::{DEPENDENT, SOURCE, adder, adder_manifest, source, source_manifest};
use crate::kit::{Kind, URN, World, urn, version};

async fn begin(world: &World) -> Boot {
    let start = world.kernel.boot(Duration::from_millis(7)).await.unwrap();
    start.scan_store().await.unwrap();
    start
}

async fn started(world: &World) -> Reconciled {
    let start = begin(world).await;
    start.parts_started(Instant::now(), false, None).await.unwrap();
    let reconciled = start.reconcile().await.unwrap();
    start.serving(&reconciled).await.unwrap();
    reconciled
}

/// What the receipts from a record on say, in their order.
fn said(world: &World, from: u64) -> Vec<Value> {
    let records = world.kernel.ledger().unwrap().read(from, 10_000).unwrap();
    let receipts = records.iter().filter_map(|record| record.receipt().unwrap());
    receipts
        .map(|receipt| serde_json::from_slice::<Value>(&receipt).unwrap()["predicate"].clone())
        .collect()
}

fn phases(world: &World) -> Vec<Value> {
    let mut all = said(world, 0);
    all.retain(|predicate| predicate["event"] == "boot");
    all
}

/// Known, wanted, active and failed.
fn counts(phase: &Value) -> [Value; 4] {
    ["known", "wanted", "active", "failed"].map(|name| phase["detail"][name].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_makes_active_what_was_providers_first_and_leaves_what_waits_where_it_is() {
    let world = World::start(SwapSettings::default());
    let provider = source_manifest(SOURCE, "1.0.0");
    world.publish_as(&provider, source("1.0.0", 1)).await.unwrap();
    world.publish_as(&adder_manifest(), adder()).await.unwrap();
    world.stage(0, Kind::Good).await.unwrap();

    let world = world.reopened().await;
    let from = world.kernel.ledger().unwrap().records();
    let reconciled = started(&world).await;
    assert_eq!((reconciled.wanted, reconciled.active), (2, 2), "{reconciled:?}");
    let mut activated = said(&world, from);
    activated.retain(|predicate| predicate["event"] == "lifecycle" && predicate["to"] == "active");
    let order: Vec<_> = activated.iter().map(|predicate| &predicate["capsule"]["urn"]).collect();
    assert_eq!(order, [&json!(SOURCE), &json!(DEPENDENT)]);
    let found = world.kernel.search(&Query::parse("number", None).unwrap());
    let waiting = found.hits.iter().find(|hit| hit.ranked.urn == urn());
    assert!(waiting.is_some_and(|hit| !hit.active), "{found:?}");

    let recorded = phases(&world);
    let names: Vec<_> = recorded.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "ledger_recovered",
            "store_scanned",
            "parts_started",
            "capsules_reconciled",
            "serving"
        ]
    );
    let all: Vec<_> = recorded.iter().map(counts).collect();
    let expected = [[3, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], [3, 2, 2, 0], [3, 2, 2, 0]];
    assert_eq!(all, expected.map(|counts| counts.map(|count| json!(count))));
    assert_eq!(recorded[0]["detail"]["took_ms"], json!(7));

    // A call is what it waited for; from then on it is wanted.
    assert_eq!(world.call().await, Ok(0));
    let active = world.kernel.list();
    let called = active.iter().find(|capsule| capsule.manifest.id == urn());
    assert_eq!(called.map(|capsule| capsule.generation), Some(1));
    drop(active);
    let world = world.reopened().await;
    let reconciled = started(&world).await;
    assert_eq!((reconciled.wanted, reconciled.active), (3, 3), "{reconciled:?}");
    assert_eq!(phases(&world).last().unwrap()["generation"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_cut_off_leaves_the_phases_that_were_and_the_next_one_counts_on() {
    let world = World::start(SwapSettings::default());
    world.publish(0, Kind::Good).await.unwrap();
    let world = world.reopened().await;
    drop(begin(&world).await);
    let world = world.reopened().await;
    started(&world).await;
    assert_eq!(world.call().await, Ok(0));
    let recorded = phases(&world);
    let told: Vec<_> = recorded
        .iter()
        .map(|phase| (phase["generation"].as_u64().unwrap(), phase["phase"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "ledger_recovered"),
            (1, "store_scanned"),
            (2, "ledger_recovered"),
            (2, "store_scanned"),
            (2, "parts_started"),
            (2, "capsules_reconciled"),
            (2, "serving"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_become_active_at_a_start_is_named_in_its_record() {
    let world = World::start(SwapSettings::default());
    world.publish(0, Kind::Good).await.unwrap();
    let world = world.reopened().await;
    TrustRoot::default().save(&world.folder().join("trust.json")).unwrap();
    let reconciled = started(&world).await;
    let [(what, fault)] = reconciled.failed.as_slice() else {
        panic!("{reconciled:?}")
    };
    assert_eq!(what.urn, urn());
    let recorded = phases(&world);
    let serving = recorded.last().unwrap();
    assert_eq!(counts(serving), [1, 1, 0, 1].map(|count| json!(count)));
    let reason = &serving["detail"]["reasons"][0];
    assert_eq!(
        (&reason["what"], &reason["code"], &reason["why"]),
        (&json!(URN), &json!(fault.code), &json!(fault.message))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_aside_for_a_swap_changes_nothing_about_the_version_that_is_wanted() {
    let world = World::start(SwapSettings::default());
    world.publish(0, Kind::Good).await.unwrap();
    world.stage(1, Kind::Good).await.unwrap();
    let world = world.reopened().await;
    assert_eq!(started(&world).await.active, 1);
    assert_eq!(world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_staged_waits_also_after_a_host_that_was_killed_as_soon_as_it_was_stored() {
    let world = World::start(SwapSettings::default());
    let (manifest, receipt, component) = world.publication(0, Kind::Good);
    // Nothing can be stored here: staging ends where the host would be killed a moment later.
    let in_the_way = world
        .folder()
        .join("store/capabilities/acme/solver/versioned/v1/1.0.0.json");
    std::fs::create_dir_all(&in_the_way).unwrap();
    assert!(world.stage(0, Kind::Good).await.is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    let descriptor = Descriptor {
        urn: urn(),
        version: version(0),
        digest: Digest::of(&component),
        size_bytes: component.len() as u64,
        manifest,
        receipt,
    };
    world.kernel.store().put(descriptor, component).await.unwrap();
    let world = world.reopened().await;
    assert!(world.kernel.activate_all().await.is_empty());
    assert_eq!(world.call().await, Ok(0));
}
