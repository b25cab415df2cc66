//! Where capsules run: what no node may run is not activated, and every activation's record says where and why there.

use kinetic_kernel::SwapSettings;
use kinetic_registry::Source as _;
use serde_json::{Value, json};

use crate::kit::{Kind, NODE_BYTES, World};

fn asking(placement: Value) -> impl FnOnce(&mut Value) {
    move |manifest| manifest["placement"] = placement
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_node_may_run_is_neither_activated_nor_stored_and_the_reason_is_named() {
    let world = World::start(SwapSettings::default());
    for (placement, word) in [
        (json!({ "gpu": true }), "GPU"),
        (json!({ "labels": ["region=eu"] }), "region=eu"),
    ] {
        let fault = world.publish_changed(0, asking(placement)).await.unwrap_err();
        assert_eq!(fault.code, "KIN-KER-0032");
        assert!(
            fault.message.contains(word) && fault.message.contains("local"),
            "{fault}"
        );
    }
    let greedy = |manifest: &mut Value| manifest["limits"] = json!({ "memory_bytes": NODE_BYTES + 1 });
    let fault = world.publish_changed(0, greedy).await.unwrap_err();
    assert!(
        fault.code == "KIN-KER-0032" && fault.message.contains(&format!("{NODE_BYTES} are free")),
        "{fault}"
    );
    assert!(world.kernel.list().is_empty());
    assert!(world.kernel.store().list().await.unwrap().is_empty());
    // It says nothing about the bytes: they may come again.
    assert!(world.kernel.quarantined().is_empty());
    world.publish(0, Kind::Good).await.unwrap();
    assert_eq!(world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_to_a_version_that_no_node_may_run_leaves_the_old_one_as_it_was() {
    let world = World::start(SwapSettings::default());
    world.publish(0, Kind::Good).await.unwrap();
    let fault = world
        .publish_changed(1, asking(json!({ "gpu": true })))
        .await
        .unwrap_err();
    assert_eq!(fault.code, "KIN-KER-0032");
    assert_eq!(world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_an_activation_names_the_node_and_its_score() {
    let world = World::start(SwapSettings::default());
    world.publish(0, Kind::Good).await.unwrap();
    world.publish(1, Kind::Good).await.unwrap();
    let records = world.kernel.ledger().unwrap().read(0, 10_000).unwrap();
    let receipts = records
        .iter()
        .filter_map(|record| record.receipt().unwrap())
        .map(|receipt| String::from_utf8(receipt.to_vec()).unwrap());
    let placed: Vec<String> = receipts.filter(|receipt| receipt.contains("\"placement\"")).collect();
    assert_eq!(placed.len(), 2, "{placed:?}");
    for receipt in placed {
        assert!(
            receipt.contains("\"node\":\"local\"")
                && receipt.contains("\"considered\":1")
                && receipt.contains("\"total\""),
            "{receipt}"
        );
    }
}
