//! How an instance that fails again and again is made again.

use std::time::Duration;

use super::guest::{Version, call, failure, next};
use crate::EngineError;

#[tokio::test]
async fn after_the_first_failure_at_once_then_later_and_a_good_call_forgives() {
    let capability = Version::default().staying().await;
    next(&capability).await;
    failure(&capability, "fails").await;
    assert_eq!(capability.failures_in_a_row(), 1);
    assert!(matches!(
        failure(&capability, "fails").await,
        EngineError::Panicked { .. }
    ));
    assert_eq!(capability.failures_in_a_row(), 2);
    // Where its time is over before it is asked, it is made again, fails, and has to wait for twice as long.
    let (failures, retry_after_ms) = loop {
        let failures = capability.failures_in_a_row();
        match failure(&capability, "fails").await {
            EngineError::Restarting { retry_after_ms } => break (failures, retry_after_ms),
            made_again => assert!(matches!(made_again, EngineError::Panicked { .. }), "{made_again:?}"),
        }
    };
    let wait_ms = 100_u64 << (failures - 1);
    assert!((1..=wait_ms + 1).contains(&retry_after_ms), "{retry_after_ms}");
    assert_eq!(
        capability.failures_in_a_row(),
        failures,
        "a call that was refused is none"
    );
    tokio::time::sleep(Duration::from_millis(retry_after_ms)).await;
    assert_eq!(next(&capability).await, 1);
    assert_eq!(capability.failures_in_a_row(), 0);
    failure(&capability, "fails").await;
    assert_eq!(next(&capability).await, 1, "at once again");
}

#[tokio::test]
async fn a_start_that_fails_counts_like_a_call() {
    let broken = Version {
        start: "unreachable",
        ..Version::default()
    };
    let capability = broken.staying().await;
    for failures in 1..=2 {
        assert!(matches!(
            failure(&capability, "next").await,
            EngineError::Panicked { .. }
        ));
        assert_eq!(capability.failures_in_a_row(), failures);
    }
    // Where its time is over before it is asked, it fails again, and has to wait for twice as long.
    let refused = loop {
        let asked = call(&capability, "next", &[]).await;
        if !matches!(asked.result, Err(EngineError::Panicked { .. })) {
            break asked;
        }
    };
    assert!(matches!(refused.result, Err(EngineError::Restarting { .. })));
    assert_eq!(refused.usage.fuel, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_takes_the_instance_but_is_no_failure_of_it() {
    let capability = Version::default().staying().await;
    let dropped = tokio::time::timeout(Duration::from_millis(20), call(&capability, "asks", &[])).await;
    assert!(dropped.is_err(), "it does not end");
    assert_eq!(capability.failures_in_a_row(), 0);
    assert_eq!(next(&capability).await, 1);
}
