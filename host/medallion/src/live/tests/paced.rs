//! Watching at a pace: the newest of each stream, and a true count of the rest.

use std::time::Instant;

use super::*;

fn events(streams: usize, count: usize) -> Vec<Event> {
    (0..count)
        .map(|n| Event::new("a.b.v1", Some(&format!("w{}", n % streams)), 1, "{}"))
        .collect()
}

/// The events of a flush, how many were left out, and the place it ends at.
fn flush(frames: &Frames) -> (Vec<Shown>, u64, EventId) {
    let (mut given, mut skipped, mut place) = (Vec::new(), 0, None);
    for frame in shown(&frames.bytes) {
        place = frame.id.as_deref().map(|id| id.parse().unwrap()).or(place);
        match (frame.event.as_deref(), &frame.data) {
            (Some("skipped"), Some(_)) => skipped += frame.json()["events"].as_u64().unwrap(),
            (Some(_), Some(_)) => given.push(frame),
            _ => assert!(frame.data.is_none() && frame.event.is_none()),
        }
    }
    assert_eq!(
        (given.len() as u64, given.last().unwrap().id()),
        (frames.events, frames.last)
    );
    (given, skipped, place.unwrap())
}

#[tokio::test]
async fn every_event_is_given_or_counted_and_the_newest_of_each_stream_comes() {
    let mut host = Host::new(LiveSettings {
        ring_bytes_max: 50_000,
        ..LiveSettings::default()
    });
    let mut watching = host.watch(Start::Now).throttled(Throttle::new(50.0).unwrap());
    let (mut given, mut skipped, mut flushes) = (0, 0, 0);
    let mut newest = BTreeMap::new();
    let began = Instant::now();
    let mut published = 0;
    while given + skipped < 60_000 {
        if published < 60 {
            host.publish(&events(7, 1000));
            published += 1;
        }
        let Ok(frames) = tokio::time::timeout(Duration::from_millis(3), watching.next()).await else {
            continue;
        };
        let (events, left_out, place) = flush(&frames.unwrap());
        let streams: BTreeMap<String, EventId> = events
            .iter()
            .map(|event| (event.json()["stream"].to_string(), event.id()))
            .collect();
        assert_eq!(streams.len(), events.len(), "a stream comes twice in a flush");
        assert!(events.windows(2).all(|pair| pair[0].id() < pair[1].id()));
        assert_eq!(watching.position(), Some(place));
        newest.extend(streams);
        (given, skipped, flushes) = (given + events.len() as u64, skipped + left_out, flushes + 1);
    }
    assert_eq!(given + skipped, 60_000);
    assert!(
        flushes <= began.elapsed().as_millis() / 20 + 1,
        "{flushes} in {:?}",
        began.elapsed()
    );
    let last: Vec<u32> = newest.values().map(|id| id.row).collect();
    assert!(
        newest.len() == 7 && newest.values().all(|id| id.offset == 59),
        "{newest:?}"
    );
    assert!(last.iter().all(|row| *row >= 993), "{last:?}");
}

#[tokio::test]
async fn the_first_event_after_a_quiet_time_comes_at_once() {
    let mut host = Host::new(LiveSettings::default());
    let mut watching = host.watch(Start::Now).throttled(Throttle::new(0.1).unwrap());
    host.publish(&events(1, 1));
    let first = tokio::time::timeout(Duration::from_secs(30), watching.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((flush(&first).1, first.events), (0, 1));
    // And the second waits; who goes away meanwhile comes back to where it is pending.
    host.publish(&events(1, 3));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), watching.next())
            .await
            .is_err()
    );
    assert_eq!(watching.position(), Some(first.last));
}

#[tokio::test]
async fn very_many_streams_take_no_more_room_than_some() {
    let mut host = Host::new(LiveSettings::default());
    let mut watching = host.watch(Start::Now).throttled(Throttle::new(100.0).unwrap());
    host.publish(&events(5_000, 5_000));
    let (mut given, mut skipped) = (0, 0);
    while given + skipped < 5_000 {
        let frames = tokio::time::timeout(Duration::from_secs(30), watching.next())
            .await
            .unwrap()
            .unwrap();
        assert!(frames.events <= 256);
        (given, skipped) = (given + frames.events, skipped + flush(&frames).1);
    }
    assert_eq!(given + skipped, 5_000);
}

#[test]
fn a_pace_has_bounds() {
    for bad in [0.0, 0.09, 100.1, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Throttle::new(bad).is_err(), "{bad}");
    }
    assert!(Throttle::new(0.1).is_ok() && Throttle::new(100.0).is_ok());
}
