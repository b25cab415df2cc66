//! What is published again, and what is dropped while it is on its way.

use super::*;

impl World {
    /// Waits until the registry saw what it is to see.
    async fn until_seen(&self, good: impl Fn(&Script) -> bool) {
        let begun = Instant::now();
        while !self.script(|script| good(script)) {
            assert!(begun.elapsed() < PATIENCE, "the registry never saw it");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn what_is_dead_is_tried_anew_when_it_is_published_again_with_what_came_last() {
    // It takes no room but its own.
    let world = World::new(OutboxSettings {
        entries_max: 1,
        ..quick()
    });
    world.script(|script| script.acts.push_back(Act::Refuse(refusal())));
    let first = world.post(ACME, "1.0.0", b"one").await.unwrap().entry;
    let deliveries = world.outbox.start();
    world.until(&first.id, |entry| entry.state == OutboxState::Dead).await;
    deliveries.stop(PATIENCE).await;
    // Signed anew, say: the bytes are the same, and so is the entry.
    let mut anew = descriptor("1.0.0", b"one");
    anew.receipt["signatures"] = serde_json::json!(["another one"]);
    let again = world
        .outbox
        .accept(ACME.into(), anew.clone(), Bytes::from_static(b"one"));
    let again = again.await.unwrap().entry;
    assert_eq!(
        (&again.id, again.number, again.state, again.attempts),
        (&first.id, first.number, OutboxState::Waiting, 0)
    );
    assert_eq!((&again.code, &again.reason), (&None, &None));
    assert_eq!(world.outbox.counts().dead, 0);
    // The envelope before is gone, and the restart finds the one that came last.
    world.until_kept(2).await;
    let world = world.restart().await;
    let _deliveries = world.outbox.start();
    world.until_delivered(&first.id).await;
    let there = world.script(|script| script.versions.get(&format!("{ACME} 1.0.0")).cloned());
    assert_eq!((there, world.sent()), (Some(anew), 1));
    world.until_kept(0).await;
}

#[tokio::test]
async fn what_waits_is_answered_as_it_stands_when_it_is_published_again() {
    let world = World::new(quick());
    world.script(|script| script.away = true);
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let deliveries = world.outbox.start();
    world.until(&id, |entry| entry.attempts >= 2).await;
    deliveries.stop(PATIENCE).await;
    let before = world.outbox.one(&id).unwrap().entry;
    let again = world.post(ACME, "1.0.0", b"one").await.unwrap().entry;
    assert_eq!(again, before);
}

#[tokio::test]
async fn how_a_try_went_says_nothing_of_what_was_dropped_and_published_again_since() {
    let world = World::new(quick());
    let tried = world.post(ACME, "1.0.0", b"one").await.unwrap().entry;
    world.outbox.discard(&tried.id, "signed wrongly").await.unwrap();
    let mut anew = descriptor("1.0.0", b"one");
    anew.receipt["signatures"] = serde_json::json!(["another one"]);
    let again = world.outbox.accept(ACME.into(), anew, Bytes::from_static(b"one"));
    let again = again.await.unwrap().entry;
    assert_eq!(again.id, tried.id);
    world.outbox.settle(&tried, Err(refusal())).await;
    assert_eq!(world.outbox.one(&tried.id).unwrap().entry, again);
}

#[tokio::test]
async fn what_is_dropped_while_it_is_on_its_way_is_cut_off_and_holds_up_nobody() {
    let world = World::new(quick());
    world.script(|script| script.acts.push_back(Act::Hang));
    let stuck = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let deliveries = world.outbox.start();
    world.until_seen(|script| script.hanging == 1).await;
    let behind = world.post(ACME, "1.1.0", b"two").await.unwrap().entry.id;
    // Others come and go meanwhile.
    assert_eq!(world.script(|script| script.cut_off), 0);
    world.outbox.discard(&stuck, "no longer wanted").await.unwrap();
    world.until_seen(|script| script.cut_off == 1).await;
    world.until_delivered(&behind).await;
    assert_eq!(world.sent(), 1);
    assert_eq!(world.outbox.list().len(), 1);
    world.until_kept(0).await;
    deliveries.stop(PATIENCE).await;
}
