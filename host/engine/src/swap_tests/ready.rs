//! Instances that are made ahead of the state they go on from.

use bytes::Bytes;
use kinetic_model::{InstanceMode, Limits};

use super::guest::{Version, next};
use crate::{Capability, Snapshot};

fn counted(count: u32) -> Snapshot {
    Snapshot {
        format_version: 1,
        bytes: Bytes::copy_from_slice(&count.to_le_bytes()),
    }
}

#[tokio::test]
async fn an_instance_made_ahead_goes_on_from_the_state_that_comes() {
    let capability = Version::default().staying().await;
    capability.get_ready(0).await.unwrap();
    assert_eq!(capability.state_bytes_likely().await, 0, "it has not begun");
    capability.begin_from(counted(7)).await.unwrap();
    assert_eq!(capability.state_bytes_likely().await, 4);
    assert_eq!(next(&capability).await, 8);
}

#[tokio::test]
async fn a_state_is_taken_to_be_as_large_as_the_memory_where_nothing_better_is_known() {
    let capability = Version::default().staying().await;
    assert_eq!(next(&capability).await, 1);
    assert_eq!(capability.state_bytes_likely().await, 65_536);
    capability.begin_from(counted(7)).await.unwrap();
    assert_eq!(capability.state_bytes_likely().await, 4);
}

#[tokio::test]
async fn an_instance_is_shown_one_state_and_no_other() {
    // It adds 100 to a state that is not the first one it is shown.
    let capability = Version {
        import: "(if (global.get $imported)
            (then (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 100)))))",
        ..Version::default()
    };
    let capability = capability.staying().await;
    capability.get_ready(0).await.unwrap();
    capability.begin_from(counted(7)).await.unwrap();
    assert_eq!(next(&capability).await, 8);
}

#[tokio::test]
async fn no_call_reaches_an_instance_whose_state_did_not_come() {
    let capability = Version::default().staying().await;
    capability.get_ready(0).await.unwrap();
    assert_eq!(capability.export_state().await.unwrap(), None);
    assert_eq!(next(&capability).await, 1);
    let stopped = Version::default().staying().await;
    stopped.get_ready(0).await.unwrap();
    stopped.stop().await;
    assert_eq!(next(&stopped).await, 1);
}

/// How much memory the instance that waits for a state has, in bytes.
async fn ready_bytes(capability: &Capability) -> u64 {
    let slot = capability.0.kept.as_ref().unwrap().slot_for_host(&capability.0).await;
    slot.unwrap().ready.as_ref().unwrap().store.data().memory.bytes()
}

#[tokio::test]
async fn the_memory_that_a_large_state_takes_is_there_before_it_comes() {
    let small = Version::default().staying().await;
    small.get_ready(1_000).await.unwrap();
    let large = Version::default().staying().await;
    large.get_ready(1 << 20).await.unwrap();
    let (small_bytes, large_bytes) = (ready_bytes(&small).await, ready_bytes(&large).await);
    assert!(large_bytes >= small_bytes + (2 << 20), "{large_bytes}, {small_bytes}");
    for capability in [small, large] {
        capability.begin_from(counted(7)).await.unwrap();
        assert_eq!(next(&capability).await, 8);
    }
}

#[tokio::test]
async fn what_an_instance_is_shown_to_have_memory_ready_is_never_its_state() {
    for import in [
        // It reads any format, and says that all is well.
        "(global.set $count (i32.const 500)) (global.set $imported (i32.const 1))
            (if (i32.eq (local.get $format) (i32.const -1)) (then (return (call $done))))",
        // It finds them damaged, and has changed already.
        "(if (i32.eq (local.get $format) (i32.const -1))
            (then (global.set $count (i32.const 500))
                (return (call $refuses (i32.const 2) (i32.const 2048) (i32.const 3)))))",
        "(if (i32.eq (local.get $format) (i32.const -1)) (then unreachable))",
    ] {
        let capability = Version {
            import,
            ..Version::default()
        };
        let capability = capability.staying().await;
        capability.get_ready(1 << 20).await.unwrap();
        assert!(ready_bytes(&capability).await < 1 << 20, "{import}: it is another one");
        capability.begin_from(counted(7)).await.unwrap();
        assert_eq!(next(&capability).await, 8, "{import}");
    }
}

#[tokio::test]
async fn memory_made_ready_leaves_half_of_what_there_may_be() {
    let limits = Limits {
        memory_bytes: 4 << 20,
        ..Limits::default()
    };
    let capability = Version::default().load(InstanceMode::Resident, limits).await.unwrap();
    capability.get_ready(usize::MAX).await.unwrap();
    let bytes = ready_bytes(&capability).await;
    assert!((2 << 20..3 << 20).contains(&bytes), "{bytes}");
    capability.begin_from(counted(7)).await.unwrap();
    assert_eq!(next(&capability).await, 8);
}
