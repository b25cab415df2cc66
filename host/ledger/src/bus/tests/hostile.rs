//! Bytes from strangers: nothing panics, nothing is allocated for a length that is not there.

use proptest::prelude::*;

use super::*;
use crate::View;
use crate::bus::TopicId;
use crate::bus::control::{Change, changes};
use crate::bus::group::Seat;

fn encoded() -> Vec<Vec<u8>> {
    let sample = Event {
        topic: TopicId(3),
        partition: 7,
        offset: 1 << 40,
        key: Some(Bytes::from_static(b"key")),
        envelope: Envelope::builder("1", "/a", "b")
            .subject("c")
            .time("2026-01-01T00:00:00Z")
            .content_type("text/plain")
            .schema("urn:d")
            .extension("text", "e")
            .extension("number", -1)
            .extension("flag", false)
            .data(b"data".as_slice())
            .build()
            .unwrap(),
    };
    let offset = OffsetCommit {
        group: "g".into(),
        topic: TopicId(1),
        partition: 2,
        from: 3,
        next: u64::MAX,
        epoch: 4,
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    sample.encode(&mut first);
    offset.encode(&mut second);
    assert_eq!(OffsetCommit::decode(&second).unwrap(), offset);
    let changes = [
        Change::TopicCreated {
            id: TopicId(1),
            name: "a.b.v1".into(),
            config: TopicConfig::default(),
        },
        Change::TopicChanged {
            id: TopicId(1),
            config: TopicConfig::default(),
        },
        Change::SchemaRegistered {
            text: Bytes::from_static(b"{}"),
        },
        Change::Joined {
            topic: TopicId(1),
            group: "g".into(),
            epoch: 1,
            starts: vec![(0, 1), (1, 2)],
        },
        Change::Delivered {
            topic: TopicId(1),
            group: "g".into(),
            partition: 1,
            offset: 2,
            count: 3,
            epoch: 4,
        },
        Change::Shed {
            topic: TopicId(1),
            total: 2,
        },
        Change::GroupForgotten {
            topic: TopicId(1),
            group: "g".into(),
        },
    ];
    let controls = changes.iter().map(|change| {
        let control = change.control();
        assert_eq!(Change::decode(&control.payload).as_ref(), Ok(change));
        control.payload.to_vec()
    });
    [first, second].into_iter().chain(controls).collect()
}

/// Reads bytes as everything they could be.
fn read_all(bytes: &[u8]) {
    let shared = Bytes::copy_from_slice(bytes);
    let _ = Envelope::decode(&shared).map(|envelope| {
        let _ = (
            envelope.id(),
            envelope.source(),
            envelope.kind(),
            envelope.data(),
            envelope.extensions().count(),
        );
    });
    if let Ok(event) = Event::decode(&shared) {
        let json = event.to_json();
        assert!(!json.is_empty());
    }
    let _ = OffsetCommit::decode(bytes);
    let _ = Change::decode(&shared);
    let _ = Seat::decode(bytes);
    let _ = NewEvent::from_json("a.b.v1", bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn changed_bytes_are_read_or_refused(
        which in 0_usize..9,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encoded().swap_remove(which);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(&bytes);
        read_all(bytes.get(3..).unwrap_or_default());
    }

    #[test]
    fn json_of_any_shape_is_read_or_refused(json in "[\\{\\}\\[\\]\":,a-e0-9 ]{0,60}") {
        read_all(json.as_bytes());
        let within = format!(r#"{{"specversion":"1.0","type":"t","source":"/s","id":"1","data":{json}}}"#);
        read_all(within.as_bytes());
    }
}

/// Positions for a topic with five events in its one partition and the group `g`, none of which can be.
fn bad_offsets() -> Vec<Vec<OffsetCommit>> {
    let offset = |topic, partition, from, next| OffsetCommit {
        group: "g".into(),
        topic: TopicId(topic),
        partition,
        from,
        next,
        epoch: 1,
    };
    vec![
        vec![offset(0, 0, 0, 0)],
        vec![offset(0, 0, 0, 6)],
        vec![offset(0, 0, 1, 2)],
        vec![offset(0, 9, 0, 1)],
        vec![offset(9, 0, 0, 1)],
        vec![offset(0, 0, 0, 1), offset(0, 0, 1, 2)],
        vec![OffsetCommit {
            group: "nobody".into(),
            ..offset(0, 0, 0, 1)
        }],
        vec![OffsetCommit {
            epoch: 2,
            ..offset(0, 0, 0, 1)
        }],
    ]
}

fn topic(name: &str, id: u32) -> Change {
    Change::TopicCreated {
        id: TopicId(id),
        name: name.into(),
        config: TopicConfig::default(),
    }
}

/// Changes of that topic, none of which can be.
fn bad_changes() -> Vec<Change> {
    let joined = |partition, start, epoch| Change::Joined {
        topic: TopicId(0),
        group: "g".into(),
        epoch,
        starts: vec![(partition, start)],
    };
    vec![
        topic("a.b.v1", 1),
        topic("a.c.v1", 7),
        topic("A", 1),
        Change::TopicChanged {
            id: TopicId(4),
            config: TopicConfig::default(),
        },
        Change::TopicChanged {
            id: TopicId(0),
            config: TopicConfig {
                partitions: 2,
                ..TopicConfig::default()
            },
        },
        joined(0, 0, 1),
        joined(1, 0, 2),
        joined(0, 6, 2),
        Change::Shed {
            topic: TopicId(4),
            total: 1,
        },
        Change::GroupForgotten {
            topic: TopicId(0),
            group: "nobody".into(),
        },
        Change::Delivered {
            topic: TopicId(0),
            group: "g".into(),
            partition: 0,
            offset: 0,
            count: 2,
            epoch: 9,
        },
    ]
}

#[tokio::test]
async fn a_commit_with_changes_or_positions_that_make_no_sense_is_refused_and_changes_nothing() {
    let host = Host::new();
    host.topic("a.b.v1", TopicConfig::default()).await;
    host.publish(events("a.b.v1", 0..5)).await.unwrap();
    let consumer = host
        .bus
        .subscribe(super::super::Subscribe::to("a.b.v1").group("g"))
        .await
        .unwrap();
    let before = host.bus.stats();
    let records = host.records();
    for offsets in bad_offsets() {
        let commit = Commit {
            offsets: offsets.clone(),
            ..Commit::default()
        };
        assert!(host.commit(commit).await.is_err(), "{offsets:?}");
    }
    for change in bad_changes() {
        let commit = Commit {
            controls: vec![change.control()],
            ..Commit::default()
        };
        assert!(host.commit(commit).await.is_err(), "{change:?}");
    }
    let two = vec![topic("a.c.v1", 1).control(), topic("a.d.v1", 2).control()];
    assert!(
        host.commit(Commit {
            controls: two,
            ..Commit::default()
        })
        .await
        .is_err()
    );
    let nonsense = Control {
        view: View::Bus,
        payload: Bytes::from_static(b"\xff"),
    };
    assert!(changes(std::slice::from_ref(&nonsense)).next().unwrap().is_err());
    assert!(
        host.commit(Commit {
            controls: vec![nonsense],
            ..Commit::default()
        })
        .await
        .is_err()
    );
    let keyed = |key: Vec<u8>| Commit {
        events: vec![event("a.b.v1", 1).with_key(key)],
        ..Commit::default()
    };
    assert!(host.commit(keyed(Vec::new())).await.is_err());
    assert!(host.commit(keyed(vec![0; 1025])).await.is_err());
    assert_eq!((host.bus.stats(), host.records()), (before, records));
    assert_eq!(drain(&consumer).await.len(), 5);
}
