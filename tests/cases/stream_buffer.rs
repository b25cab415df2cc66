//! The stream buffer as a component: the golden vectors of its gate, replicas that agree, handing over, bounded memory.

use kinetic_medallion::subsystem::buffer::{Admission, Error, LevelChange, Setting, StreamBuffer};
use kinetic_model::Limits;
use kinetic_testkit::batches::{Offered, numbers, offered, rows, texts};
use kinetic_testkit::engine::subsystem;
use serde_json::Value;

const VECTORS: &str = include_str!("../vectors/forget-gate-v1.json");

async fn buffer(settings: &[(&str, &str)]) -> StreamBuffer {
    let component = subsystem("stream_buffer", Limits::CEILING).await;
    let mut buffer = StreamBuffer::new(&component).await.unwrap();
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| Setting {
            key: (*key).into(),
            value: (*value).into(),
        })
        .collect();
    buffer.start(&settings).await.result.unwrap().unwrap();
    buffer
}

fn event(stream: &str, sequence: u64, token: &str) -> Offered {
    Offered {
        stream: stream.into(),
        sequence: Some(sequence),
        priority: 1,
        tier: None,
        token: token.into(),
    }
}

async fn offer(buffer: &mut StreamBuffer, events: &[Offered]) -> Admission {
    let called = buffer.offer(&offered(events)).await;
    called.result.unwrap().unwrap_or_else(|error| panic!("{error:?}"))
}

/// Takes all out: sequences and tokens.
async fn drained(buffer: &mut StreamBuffer) -> Vec<(String, u64, String)> {
    let mut found = Vec::new();
    loop {
        let pulled = buffer.pull(1_000, 1 << 20).await.result.unwrap().unwrap();
        if pulled.events == 0 {
            return found;
        }
        buffer.acknowledge(pulled.up_to).await.result.unwrap().unwrap();
        let batch = rows(&pulled.batch);
        let streams = texts(&batch, "stream");
        let tokens = texts(&batch, "token");
        for ((stream, sequence), token) in streams.into_iter().zip(numbers(&batch, "sequence")).zip(tokens) {
            found.push((stream.unwrap().into(), sequence.unwrap(), token.unwrap().into()));
        }
    }
}

fn from_zero(stream: &str, level: u16) -> LevelChange {
    LevelChange {
        stream: stream.into(),
        from_sequence: 0,
        level,
    }
}

#[tokio::test]
async fn the_component_drops_the_points_of_the_golden_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for level in [0_u16, 64, 128, 192, 255, 256] {
        for salt in ["", "stream-a/"] {
            let name = if salt.is_empty() { "none" } else { "stream" };
            let mut buffer = buffer(&[("salt", name)]).await;
            let follow = buffer.follow(&[from_zero("stream-a", level)]).await;
            follow.result.unwrap().unwrap();
            for point in vectors["points"].as_array().unwrap() {
                if point["salt"] != salt {
                    continue;
                }
                let dropped = point["dropped_at_level"].as_array().unwrap().contains(&level.into());
                let (index, token) = (point["index"].as_u64().unwrap(), point["token"].as_str().unwrap());
                if index == u64::MAX {
                    // There is no number after it, so the buffer does not take it: the gate's own tests have it.
                    continue;
                }
                let admission = offer(&mut buffer, &[event("stream-a", index, token)]).await;
                assert_eq!(admission.kept == 0, dropped, "{point} at {level}");
            }
        }
    }
}

#[tokio::test]
async fn the_component_keeps_the_thousand_tokens_of_the_golden_snapshot() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let snapshot = &vectors["snapshot_1000"];
    let mut tokens: Vec<&str> = Vec::new();
    for _ in 0..166 {
        tokens.extend(["um", "wait", "um", "valid", "text", "um"]);
    }
    tokens.extend(["um", "valid", "um", "um"]);
    for size in [1_000, 37] {
        let mut buffer = buffer(&[("shed-tokens", "um")]).await;
        let follow = buffer.follow(&[from_zero("s", 128)]).await;
        follow.result.unwrap().unwrap();
        let events: Vec<_> = (0..).zip(&tokens).map(|(n, token)| event("s", n, token)).collect();
        for part in events.chunks(size) {
            offer(&mut buffer, part).await;
        }
        let kept: Vec<_> = drained(&mut buffer)
            .await
            .into_iter()
            .map(|(.., token)| token)
            .collect();
        assert_eq!(kept.len() as u64, snapshot["kept"].as_u64().unwrap());
        let digest = kinetic_model::Digest::of(kept.join("\n").as_bytes());
        let expected = snapshot["sha256_of_kept_joined_by_newline"].as_str().unwrap();
        assert!(digest.to_string().ends_with(expected), "{digest}");
    }
}

#[tokio::test]
async fn a_replica_that_follows_the_level_changes_drops_the_same_events() {
    let settings = [
        ("buffer-events", "400"),
        ("watermark-low", "20"),
        ("watermark-high", "80"),
    ];
    let mut leader = buffer(&settings).await;
    let streams = ["a", "b"];
    let (mut events, mut changes, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..40_u64 {
        let part: Vec<_> = (0..30)
            .map(|n| round * 30 + n)
            .map(|n| event(streams[usize::from(n % 3 == 0)], n, &format!("t{n}")))
            .collect();
        let admission = offer(&mut leader, &part).await;
        assert_eq!(admission.refused, 0, "round {round}");
        changes.extend(admission.level_changes);
        events.extend(part);
        // It drains too slowly at first, then all at once.
        if round % 10 == 9 {
            kept.extend(drained(&mut leader).await);
        }
    }
    kept.extend(drained(&mut leader).await);
    assert!(
        kept.len() < events.len() && !changes.is_empty(),
        "it was under pressure"
    );
    let mut replica = buffer(&[("buffer-events", "100000")]).await;
    replica.follow(&changes).await.result.unwrap().unwrap();
    events.reverse();
    let mut theirs = Vec::new();
    for part in events.chunks(7) {
        offer(&mut replica, part).await;
        theirs.extend(drained(&mut replica).await);
    }
    kept.sort();
    theirs.sort();
    assert_eq!(theirs, kept);
}

#[tokio::test]
async fn what_may_not_be_dropped_is_pushed_back_when_there_is_no_room() {
    let mut buffer = buffer(&[("buffer-events", "10")]).await;
    let critical = |n: u64| Offered {
        priority: 4,
        ..event("s", n, "alarm")
    };
    let bit_exact = |n: u64| Offered {
        priority: 0,
        tier: Some(0),
        ..event("s", n, "step")
    };
    let events: Vec<_> = (0..14)
        .map(|n| if n % 2 == 0 { critical(n) } else { bit_exact(n) })
        .collect();
    let admission = offer(&mut buffer, &events).await;
    assert_eq!((admission.kept, admission.refused), (10, 4));
    assert!(admission.shed.is_empty());
    let first = drained(&mut buffer).await;
    offer(&mut buffer, &events[10..]).await;
    let all: Vec<u64> = first
        .into_iter()
        .chain(drained(&mut buffer).await)
        .map(|(_, n, _)| n)
        .collect();
    assert_eq!(all, (0..14).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_successor_goes_on_from_the_exported_state() {
    let mut first = buffer(&[("buffer-events", "1000")]).await;
    let unnumbered = |token: &str| Offered {
        sequence: None,
        ..event("s", 0, token)
    };
    let admission = offer(&mut first, &[unnumbered("a"), unnumbered("b"), unnumbered("c")]).await;
    assert_eq!(admission.assigned, [0, 1, 2]);
    let pulled = first.pull(1, 1 << 20).await.result.unwrap().unwrap();
    first.acknowledge(pulled.up_to).await.result.unwrap().unwrap();
    let snapshot = first.export_state().await.result.unwrap().unwrap();
    drop(first);
    let mut second = buffer(&[("buffer-events", "1000")]).await;
    second.import_state(&snapshot).await.result.unwrap().unwrap();
    assert_eq!(offer(&mut second, &[unnumbered("d")]).await.assigned, [3]);
    let left: Vec<_> = drained(&mut second)
        .await
        .into_iter()
        .map(|(_, n, token)| (n, token))
        .collect();
    assert_eq!(left, [(1, "b".to_string()), (2, "c".to_string()), (3, "d".to_string())]);
    let mut damaged = snapshot.clone();
    damaged.bytes.truncate(damaged.bytes.len() / 2);
    let mut third = buffer(&[]).await;
    assert!(third.import_state(&damaged).await.result.unwrap().is_err());
}

#[tokio::test]
async fn a_buffer_that_is_used_for_long_does_not_grow() {
    let mut buffer = buffer(&[("buffer-events", "5000")]).await;
    let mut after_warm_up = 0;
    for round in 0..300_u64 {
        let events: Vec<_> = (0..1_000).map(|n| event("s", round * 1_000 + n, "some text")).collect();
        let admission = offer(&mut buffer, &events).await;
        assert_eq!(admission.kept, 1_000);
        drained(&mut buffer).await;
        if round == 50 {
            after_warm_up = buffer.memory_bytes();
        }
    }
    assert_eq!(buffer.memory_bytes(), after_warm_up);
}

#[tokio::test]
async fn bytes_that_are_no_batch_are_an_error_and_the_buffer_goes_on() {
    let mut buffer = buffer(&[]).await;
    let result = buffer.offer(b"not arrow").await.result.unwrap();
    assert!(matches!(result, Err(Error::BadBatch(_))), "{result:?}");
    let result = buffer.acknowledge(5).await.result.unwrap();
    assert!(matches!(result, Err(Error::NotPulled(_))), "{result:?}");
    assert_eq!(offer(&mut buffer, &[event("s", 0, "a")]).await.kept, 1);
}
