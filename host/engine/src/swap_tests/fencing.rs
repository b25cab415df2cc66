//! A closed fence, and other limits for the same component.

use std::time::{Duration, Instant};

use kinetic_model::{InstanceMode, Limits};
use serde_json::Map;

use super::guest::{Version, call, failure, next, number};
use crate::{CallContext, Capability, EngineError, Input};

async fn fresh() -> Capability {
    let version = Version::default();
    version.load(InstanceMode::Fresh, Limits::default()).await.unwrap()
}

/// Closes the fence while a function runs; gives how the call ended and how long after.
async fn fenced_while(capability: &Capability, function: &'static str) -> (EngineError, Duration) {
    let running = tokio::spawn({
        let capability = capability.clone();
        async move { failure(&capability, function).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!running.is_finished());
    let closed = Instant::now();
    capability.fence().await;
    (running.await.unwrap(), closed.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_behind_a_closed_fence_ends_at_its_next_host_call_or_tick() {
    for function in ["asks", "spins"] {
        for capability in [fresh().await, Version::default().staying().await] {
            let (end, after) = fenced_while(&capability, function).await;
            assert!(matches!(end, EngineError::Fenced {}), "{function}: {end:?}");
            assert!(after < Duration::from_secs(30), "{function}: {after:?}");
            assert!(matches!(failure(&capability, "next").await, EngineError::Fenced {}));
            assert_eq!(capability.failures_in_a_row(), 0);
        }
    }
}

#[tokio::test]
async fn who_comes_to_a_closed_fence_is_refused_and_gets_the_context_back() {
    for capability in [fresh().await, Version::default().staying().await] {
        refused_and_given_back(&capability).await;
    }
}

async fn refused_and_given_back(capability: &Capability) {
    assert_eq!(number(capability, "fill", &[("bytes", 4)]).await, 1);
    drop(capability.committing().unwrap());
    let other = capability.with_limits(Limits::default());
    drop(capability.fence());
    assert!(capability.is_fenced() && other.is_fenced());
    assert!(matches!(other.committing(), Err(EngineError::Fenced {})));
    assert!(matches!(failure(&other, "next").await, EngineError::Fenced {}));
    assert!(matches!(other.resident().await, Err(EngineError::Fenced {})));
    let mut context = CallContext::default();
    context.extensions.put(7_u8);
    let mut outcome = capability
        .call_with(Some("next"), Input::Json(Map::new()), context)
        .await;
    assert!(matches!(outcome.result, Err(EngineError::Fenced {})));
    assert_eq!(outcome.extensions.take::<u8>(), Some(7));
}

#[tokio::test]
async fn the_same_component_loaded_again_has_a_fence_of_its_own() {
    let (old, new) = (fresh().await, fresh().await);
    old.fence().await;
    assert!(!new.is_fenced());
    assert_eq!(number(&new, "fill", &[("bytes", 4)]).await, 1);
}

#[tokio::test]
async fn behind_a_closed_fence_the_state_can_still_be_handed_over() {
    let capability = Version::default().staying().await;
    next(&capability).await;
    capability.fence().await;
    assert!(matches!(failure(&capability, "next").await, EngineError::Fenced {}));
    assert!(capability.health().await.unwrap().is_some());
    let snapshot = capability.export_state().await.unwrap().unwrap();
    let successor = Version::default().staying().await;
    successor.begin_from(snapshot.clone()).await.unwrap();
    assert_eq!(next(&successor).await, 2);
    assert!(matches!(
        capability.begin_from(snapshot).await,
        Err(EngineError::Fenced {})
    ));
}

#[tokio::test]
async fn a_component_under_other_limits_is_the_same_one() {
    let capability = Version::default().staying().await;
    assert_eq!(next(&capability).await, 1);
    let lowered = capability.with_limits(Limits {
        fuel: 2_000,
        memory_bytes: 1 << 20,
        ..*capability.limits()
    });
    assert_eq!(lowered.limits().fuel, 2_000);
    assert_eq!(next(&lowered).await, 2, "the instance is one");
    let grown = call(&capability, "fill", &[("bytes", 4 << 20)]).await;
    assert!(grown.result.is_ok());
    // It holds more than it may now: what it holds stays, but it grows no more.
    assert_eq!(next(&lowered).await, 3);
    let grown = call(&lowered, "fill", &[("bytes", 1 << 20)]).await;
    assert!(matches!(grown.result, Err(EngineError::OutOfMemory { memory_bytes_max }) if memory_bytes_max == 1 << 20));
    let spun = failure(&lowered, "spins").await;
    assert!(matches!(spun, EngineError::OutOfFuel { fuel_max: 2_000 }));
    assert_eq!(capability.failures_in_a_row(), 2);
}

#[tokio::test]
async fn no_limit_is_raised_above_the_ceiling() {
    let capability = fresh().await.with_limits(Limits {
        fuel: u64::MAX,
        ..Limits::default()
    });
    assert_eq!(capability.limits().fuel, Limits::CEILING.fuel);
}
