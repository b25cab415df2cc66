//! State from one version to the next, and what a version may say of it.

use std::time::Instant;

use bytes::Bytes;
use kinetic_model::{InstanceMode, Limits};

use super::guest::{Version, call, failure, next, number};
use crate::{Capability, EngineError, Health, Input, Snapshot};

const REFUSES: &str = "(return (call $refuses (i32.const 4) (i32.const 2048) (i32.const 3)))";
const STATELESS: &str = "(return (call $refuses (i32.const 3) (i32.const 0) (i32.const 0)))";

async fn export(capability: &Capability) -> Snapshot {
    capability.export_state().await.unwrap().unwrap()
}

fn snapshot(format_version: u32, bytes: &'static [u8]) -> Snapshot {
    Snapshot {
        format_version,
        bytes: Bytes::from_static(bytes),
    }
}

#[tokio::test]
async fn the_functions_of_the_lifecycle_are_nobodys_to_call_but_the_hosts() {
    for instance in [InstanceMode::Fresh, InstanceMode::Resident] {
        let capability = Version::default().load(instance, Limits::default()).await.unwrap();
        let interface = capability.interface();
        assert!(interface.has_lifecycle);
        assert_eq!(interface.names(), "next, fill, fails, spins, asks");
        assert_eq!(interface.unsupported, []);
        assert_eq!(interface.exports, ["kinetic:capsule/lifecycle@0.1.0"]);
        for function in ["export-state", "lifecycle.export-state"] {
            let outcome = capability
                .call(Some(function), Input::Json(serde_json::Map::new()))
                .await;
            assert!(matches!(outcome.result, Err(EngineError::NoSuchFunction { .. })));
        }
    }
}

#[tokio::test]
async fn a_successor_goes_on_where_its_predecessor_stopped() {
    let old = Version::default().staying().await;
    for count in 1..=3 {
        assert_eq!(next(&old).await, count, "it was started");
    }
    let state = export(&old).await;
    assert_eq!(state, snapshot(1, &[3, 0, 0, 0]));
    let new = Version {
        writes: 2,
        reads: 2,
        ..Version::default()
    }
    .staying()
    .await;
    new.begin_from(state).await.unwrap();
    assert_eq!(next(&new).await, 4);
    assert_eq!(next(&old).await, 4, "it can go on if the swap does not come about");
    assert_eq!(export(&new).await.format_version, 2);
}

#[tokio::test]
async fn an_instance_that_failed_begins_again_from_the_state_it_began_with() {
    let capability = Version::default().staying().await;
    capability.begin_from(snapshot(1, &[9, 0, 0, 0])).await.unwrap();
    assert_eq!(next(&capability).await, 10);
    assert!(matches!(
        failure(&capability, "fails").await,
        EngineError::Panicked { .. }
    ));
    assert_eq!(export(&capability).await, snapshot(1, &[9, 0, 0, 0]));
    assert_eq!(next(&capability).await, 10);
}

#[tokio::test]
async fn a_state_it_cannot_read_is_refused_and_changes_nothing() {
    let capability = Version::default().staying().await;
    assert_eq!(next(&capability).await, 1);
    let newer = capability.begin_from(snapshot(2, &[0; 4])).await;
    let Err(EngineError::StateRefused { why }) = newer else {
        panic!("{newer:?}")
    };
    assert_eq!(why, "its format is 2, and the newest it reads is 1");
    let damaged = capability.begin_from(snapshot(1, &[0])).await;
    assert!(matches!(damaged, Err(EngineError::StateRefused { why }) if why == "it is damaged: odd"));
    assert_eq!(next(&capability).await, 2);
    let fresh = Version::default()
        .load(InstanceMode::Fresh, Limits::default())
        .await
        .unwrap();
    assert!(matches!(
        fresh.begin_from(snapshot(1, &[0; 4])).await,
        Err(EngineError::StateRefused { .. })
    ));
}

#[tokio::test]
async fn there_is_no_state_before_the_first_call_or_where_the_component_says_so() {
    let capability = Version::default().staying().await;
    assert_eq!(capability.export_state().await.unwrap(), None);
    let stateless = Version {
        export: STATELESS,
        ..Version::default()
    }
    .staying()
    .await;
    next(&stateless).await;
    assert_eq!(stateless.export_state().await.unwrap(), None);
    assert_eq!(next(&stateless).await, 2);
    stateless.probe_state().await.unwrap();
}

#[tokio::test]
async fn a_version_that_cannot_read_what_it_writes_is_found_before_it_is_needed() {
    Version::default().staying().await.probe_state().await.unwrap();
    let confused = Version {
        writes: 2,
        ..Version::default()
    }
    .staying()
    .await;
    assert!(matches!(
        confused.probe_state().await,
        Err(EngineError::StateRefused { .. })
    ));
    for start in [REFUSES, "unreachable"] {
        let broken = Version {
            start,
            ..Version::default()
        }
        .staying()
        .await;
        let probed = broken.probe_state().await.unwrap_err();
        match (start, &probed) {
            (REFUSES, EngineError::LifecycleRefused { function, why }) => {
                assert_eq!((function.as_str(), why.as_str()), ("start", "odd"));
            }
            ("unreachable", EngineError::Panicked { .. }) => {}
            _ => panic!("{probed:?}"),
        }
        assert_eq!(failure(&broken, "next").await.to_string(), probed.to_string());
    }
    let capability = Version::default().staying().await;
    capability.probe_state().await.unwrap();
    assert_eq!(
        capability.export_state().await.unwrap(),
        None,
        "a probe is not the instance"
    );
}

#[tokio::test]
async fn an_export_that_is_refused_leaves_the_instance_and_one_that_traps_ends_it() {
    let refusing = Version {
        export: REFUSES,
        ..Version::default()
    }
    .staying()
    .await;
    next(&refusing).await;
    assert!(matches!(
        refusing.export_state().await,
        Err(EngineError::LifecycleRefused { function, .. }) if function == "export-state"
    ));
    assert_eq!(next(&refusing).await, 2);
    let trapping = Version {
        export: "unreachable",
        ..Version::default()
    }
    .staying()
    .await;
    next(&trapping).await;
    assert!(matches!(
        trapping.export_state().await,
        Err(EngineError::Panicked { .. })
    ));
    assert_eq!(trapping.failures_in_a_row(), 1);
    assert_eq!(next(&trapping).await, 1);
}

#[tokio::test]
async fn a_state_larger_than_an_answer_may_be_is_not_copied() {
    let capability = Version::default().staying().await;
    number(&capability, "fill", &[("bytes", 4096)]).await;
    let narrow = capability.with_limits(Limits {
        output_bytes: 1024,
        ..*capability.limits()
    });
    assert!(matches!(
        narrow.export_state().await,
        Err(EngineError::OutputTooLarge { bytes_max: 1024 })
    ));
}

#[tokio::test]
async fn an_instance_says_how_it_is_while_there_is_one() {
    let odd = || "odd".to_string();
    let said = [Health::Ready, Health::Degraded(odd()), Health::Failing(odd())];
    for (health, said) in (0_u32..).zip(said) {
        let capability = Version {
            health,
            ..Version::default()
        }
        .staying()
        .await;
        assert_eq!(capability.health().await.unwrap(), None);
        next(&capability).await;
        assert_eq!(capability.health().await.unwrap(), Some(said));
        assert_eq!(next(&capability).await, 2);
    }
}

#[tokio::test]
async fn what_is_stopped_is_gone_however_it_takes_it() {
    for stop in ["", REFUSES, "unreachable", "(loop (br 0))"] {
        let capability = Version {
            stop,
            ..Version::default()
        }
        .staying()
        .await;
        next(&capability).await;
        let began = Instant::now();
        capability.stop().await;
        assert!(began.elapsed().as_millis() < 4_500, "it has a second: {stop}");
        assert_eq!(capability.health().await.unwrap(), None);
        assert_eq!(next(&capability).await, 1);
        capability.stop().await;
    }
}

#[tokio::test]
async fn ten_megabytes_of_state_are_handed_over_as_bytes_and_not_one_by_one() {
    const BYTES: u64 = 10_000_000;
    let mut handovers_ms = Vec::new();
    let mut old = Version::default().staying().await;
    assert!(call(&old, "fill", &[("bytes", BYTES)]).await.result.is_ok());
    next(&old).await;
    for round in 0..15 {
        let new = Version::default().staying().await;
        new.get_ready(0).await.unwrap();
        let began = Instant::now();
        let state = export(&old).await;
        let exported = began.elapsed();
        assert_eq!(state.bytes.len() as u64, BYTES);
        new.begin_from(state).await.unwrap();
        handovers_ms.push([began.elapsed(), exported].map(|time| time.as_secs_f64() * 1e3));
        assert_eq!(next(&new).await, round + 2);
        old.stop().await;
        old = new;
    }
    handovers_ms.sort_by(|[one, _], [other, _]| one.total_cmp(other));
    println!("10 MB of state handed over, in ms, of which exporting: {handovers_ms:.1?}");
    // One by one each takes most of a second; the bound only tells the two ways apart. The best one: what else this machine
    // does only adds to it.
    assert!(
        matches!(handovers_ms.first(), Some([best_ms, _]) if *best_ms < 500.0),
        "{handovers_ms:?}"
    );
}
