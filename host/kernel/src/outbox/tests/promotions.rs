//! What is to have a permanent URN gets it once, whatever breaks, or says why not.

use kinetic_model::Sorted;
use serde_json::{Value, json};

use super::*;

const NODE: &str = "urn:acme:actionspace:node:planner:v1";

/// A promotion of a topology with that number in it, signed by whoever signs it.
fn promotion(version: &str, number: u64) -> Promotion {
    kinetic_samples::promotion(NODE, version, number, &SigningKey::generate().unwrap())
}

fn reference(promotion: &Promotion) -> CapsuleRef {
    format!("{}@{}", promotion.urn(), promotion.version()).parse().unwrap()
}

impl World {
    async fn promote(&self, promotion: &Promotion) -> OutboxEntry {
        let accepted = self.outbox.accept_promotion(ACME.into(), promotion).await;
        accepted.unwrap().entry
    }

    /// What the registry has under the name of a promotion.
    fn there(&self, promotion: &Promotion) -> Option<Promotion> {
        let name = format!("{ACME} {}", reference(promotion));
        self.script(|script| script.promotions.get(&name).cloned())
    }

    fn is_there_already(&self, promotion: &Promotion) {
        let name = format!("{ACME} {}", reference(promotion));
        self.script(|script| script.promotions.insert(name, promotion.clone()));
    }
}

#[tokio::test]
async fn a_promotion_waits_out_a_partition_is_delivered_once_and_kept_in_the_local_store() {
    let world = World::new(quick());
    world.script(|script| script.away = true);
    let mine = promotion("1.0.0", 1);
    let entry = world.promote(&mine).await;
    assert_eq!(entry.payload.what(), format!("{NODE}@1.0.0"));
    assert_eq!(
        world.promote(&mine).await.id,
        entry.id,
        "the same again is the same entry"
    );
    let deliveries = world.outbox.start();
    let failed = world.until(&entry.id, |entry| entry.attempts >= 3).await;
    assert_eq!(
        (failed.state, failed.code.as_deref()),
        (OutboxState::Waiting, Some("KIN-REG-0015"))
    );
    world.until_kept(1).await;
    let kept = world.outbox.0.store.promotion(&reference(&mine)).await;
    assert!(
        matches!(kept, Err(RegistryError::NotFound { .. })),
        "it is not permanent yet"
    );
    world.script(|script| script.away = false);
    world.until_delivered(&entry.id).await;
    assert_eq!((world.sent(), world.there(&mine)), (1, Some(mine.clone())));
    let kept = world.outbox.0.store.promotion(&reference(&mine)).await;
    assert_eq!(kept.unwrap(), mine);
    world.until_kept(0).await;
    deliveries.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_lost_answer_and_a_time_out_are_resolved_by_looking() {
    let world = World::new(quick());
    world.script(|script| script.acts.push_back(Act::TakeAndBreak));
    let mine = promotion("1.0.0", 1);
    let id = world.promote(&mine).await.id;
    let _deliveries = world.outbox.start();
    let delivered = world.until_delivered(&id).await;
    assert!(delivered.reason.unwrap().contains("answer was lost"));
    assert_eq!(world.sent(), 1);
    // A time-out that took nothing is tried again.
    let timeout = RegistryError::SourceTimeout { origin: ACME.into() };
    world.script(|script| script.acts.push_back(Act::Refuse(timeout)));
    let id = world.promote(&promotion("1.1.0", 2)).await.id;
    let delivered = world.until_delivered(&id).await;
    assert!(delivered.attempts >= 1 && world.sent() == 2, "{delivered:?}");
}

#[tokio::test]
async fn a_host_that_died_in_mid_delivery_finds_what_got_through() {
    let world = World::new(quick());
    let (through, not_through) = (promotion("1.0.0", 1), promotion("1.1.0", 2));
    let ids = [world.promote(&through).await.id, world.promote(&not_through).await.id];
    world.is_there_already(&through);
    let world = world.restart().await;
    let _deliveries = world.outbox.start();
    for id in &ids {
        world.until_delivered(id).await;
    }
    assert_eq!(world.sent(), 1, "the one that had not got through");
    for mine in [&through, &not_through] {
        assert_eq!(world.there(mine).as_ref(), Some(mine));
        assert_eq!(&world.outbox.0.store.promotion(&reference(mine)).await.unwrap(), mine);
    }
    world.until_kept(0).await;
}

#[tokio::test]
async fn failures_of_the_registry_are_tried_again_and_refusals_are_dead_with_their_reason() {
    let world = World::new(quick());
    let failed = |status| RegistryError::SourceFailed {
        origin: ACME.into(),
        status,
        code: "X".into(),
        detail: "not now".into(),
    };
    let refused = |status| RegistryError::SourceRefuses {
        origin: ACME.into(),
        status,
        code: "X".into(),
        detail: "not like this".into(),
        fix: "f".into(),
    };
    world.script(|script| {
        let acts = [failed(500), failed(503), refused(429)];
        script.acts.extend(acts.into_iter().map(Act::Refuse));
    });
    let id = world.promote(&promotion("1.0.0", 1)).await.id;
    let _deliveries = world.outbox.start();
    let delivered = world.until_delivered(&id).await;
    assert_eq!((delivered.attempts, world.sent()), (3, 1));
    world.script(|script| script.acts.push_back(Act::Refuse(refused(422))));
    let id = world.promote(&promotion("1.1.0", 2)).await.id;
    let dead = world.until(&id, |entry| entry.state == OutboxState::Dead).await;
    assert_eq!(dead.code.as_deref(), Some("KIN-REG-0023"));
    assert!(dead.reason.unwrap().contains("not like this"));
    world.outbox.retry(&id).await.unwrap();
    world.until_delivered(&id).await;
}

#[tokio::test]
async fn another_topology_under_the_name_is_a_dead_letter_and_the_same_one_is_delivered_already() {
    let world = World::new(quick());
    let (theirs, mine) = (promotion("1.0.0", 1), promotion("1.0.0", 2));
    world.is_there_already(&theirs);
    let id = world.promote(&mine).await.id;
    let _deliveries = world.outbox.start();
    let dead = world.until(&id, |entry| entry.state == OutboxState::Dead).await;
    assert_eq!(dead.code.as_deref(), Some("KIN-REG-0070"));
    assert!(dead.reason.unwrap().contains(&theirs.digest().to_string()));
    assert_eq!((world.there(&mine), world.sent()), (Some(theirs), 0));
    // Whoever signed it.
    let same = promotion("1.0.0", 1);
    let id = world.promote(&same).await.id;
    let delivered = world.until_delivered(&id).await;
    assert!(delivered.reason.unwrap().contains("already"));
    assert_eq!(world.sent(), 0);
}

#[tokio::test]
async fn two_topologies_never_wait_under_one_name_whichever_registry_each_is_for() {
    let world = World::new(quick());
    let (one, other) = (promotion("1.0.0", 1), promotion("1.0.0", 2));
    world.promote(&one).await;
    for registry in [ACME, "elsewhere"] {
        let refused = world.outbox.accept_promotion(registry.into(), &other).await;
        assert_eq!(refused.unwrap_err().code, "KIN-REG-0070");
    }
    world.outbox.accept_promotion("elsewhere".into(), &one).await.unwrap();
}

#[tokio::test]
async fn what_was_published_here_under_the_name_meanwhile_keeps_another_topology_from_every_registry() {
    let world = World::new(quick());
    let (theirs, mine) = (promotion("1.0.0", 1), promotion("1.0.0", 2));
    let id = world.promote(&mine).await.id;
    world.outbox.0.store.put_promotion(theirs).await.unwrap();
    let _deliveries = world.outbox.start();
    let dead = world.until(&id, |entry| entry.state == OutboxState::Dead).await;
    assert_eq!(dead.code.as_deref(), Some("KIN-REG-0070"));
    assert_eq!((world.there(&mine), world.sent()), (None, 0));
}

#[tokio::test]
async fn its_records_say_what_it_is_so_that_others_can_follow_them() {
    let world = World::new(quick());
    let mine = promotion("1.0.0", 1);
    let id = world.promote(&mine).await.id;
    let deliveries = world.outbox.start();
    world.until_delivered(&id).await;
    deliveries.stop(PATIENCE).await;
    let mut told = Vec::new();
    for seq in 0..world.ledger.records() {
        let Some(record) = world.ledger.read(seq, 1).unwrap().pop() else {
            continue;
        };
        let Some(receipt) = record.receipt().unwrap() else {
            continue;
        };
        let statement: Value = serde_json::from_slice(&receipt).unwrap();
        let predicate = &statement["predicate"];
        if predicate["event"] == "outbox" {
            let promotion = serde_json::to_string(&Sorted(&predicate["promotion"])).unwrap();
            told.push((predicate["step"].clone(), promotion));
        }
    }
    let promotion = json!({
        "urn": NODE,
        "version": "1.0.0",
        "digest": mine.digest(),
        "event_cid": mine.event().event_cid,
        "envelope": Digest::of(&mine.to_json()),
    });
    let promotion = serde_json::to_string(&Sorted(&promotion)).unwrap();
    assert_eq!(
        told,
        [(json!("accepted"), promotion.clone()), (json!("delivered"), promotion)]
    );
}
