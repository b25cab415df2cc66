//! Instances that are made ahead of the state they go on from.

use bytes::Bytes;

use super::guest::{Version, next};
use crate::Snapshot;

fn counted(count: u32) -> Snapshot {
    Snapshot {
        format_version: 1,
        bytes: Bytes::copy_from_slice(&count.to_le_bytes()),
    }
}

#[tokio::test]
async fn an_instance_made_ahead_goes_on_from_the_state_that_comes() {
    let capability = Version::default().staying().await;
    capability.get_ready().await.unwrap();
    assert_eq!(capability.began_with_bytes().await, 0, "it has not begun");
    capability.begin_from(counted(7)).await.unwrap();
    assert_eq!(capability.began_with_bytes().await, 4);
    assert_eq!(next(&capability).await, 8);
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
    capability.get_ready().await.unwrap();
    capability.begin_from(counted(7)).await.unwrap();
    assert_eq!(next(&capability).await, 8);
}

#[tokio::test]
async fn no_call_reaches_an_instance_whose_state_did_not_come() {
    let capability = Version::default().staying().await;
    capability.get_ready().await.unwrap();
    assert_eq!(capability.export_state().await.unwrap(), None);
    assert_eq!(next(&capability).await, 1);
    let stopped = Version::default().staying().await;
    stopped.get_ready().await.unwrap();
    stopped.stop().await;
    assert_eq!(next(&stopped).await, 1);
}
