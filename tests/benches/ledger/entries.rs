//! The same records with what finds them again: each commit is an event of 256 bytes (topic index), two versions of state
//! and a consumer's position, all in one record. SQLite holds the same five keys in one transaction per group.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kinetic_ledger::bus::{Envelope, NewEvent, OffsetCommit, Subscribe, TopicConfig};
use kinetic_ledger::state::{BranchId, Key, Owner, Write};
use kinetic_ledger::{Commit, Ledger};
use kinetic_testkit::engine::runtime;
use rusqlite::{Connection, params};

use crate::flight::{Run, fly};
use crate::group::Group;
use crate::{BODY, Body, ours};

const TOPIC: &str = "bench.records.v1";
/// Keys of state that the writes go to by turns.
const KEYS: u64 = 100_000;

/// A consumer that advances by one with each of its commits.
struct Consumer(OffsetCommit);

/// One consumer for each task, so that none waits for another's position.
async fn consumers(ledger: &Ledger, count: usize) -> Vec<Consumer> {
    let bus = ledger.bus();
    bus.create_topic(TOPIC, TopicConfig::default()).await.unwrap();
    bus.publish(vec![event()]).await.unwrap();
    let mut consumers = Vec::new();
    for number in 0..count {
        let subscription = bus
            .subscribe(Subscribe::to(TOPIC).group(format!("consumer-{number}")))
            .await
            .unwrap();
        let events = subscription.next(1, 1 << 20, Duration::from_secs(1)).await.unwrap();
        consumers.push(Consumer(subscription.offsets(&events).unwrap().remove(0)));
    }
    consumers
}

fn event() -> NewEvent {
    let envelope = Envelope::builder("1", "urn:kinetic:bench", "bench")
        .data(&BODY[..])
        .build()
        .unwrap();
    NewEvent::new(TOPIC, envelope)
}

pub fn measure(in_flight: usize, time: Duration) -> Run {
    let folder = crate::folder();
    let ledger = ours::open(folder.path());
    let runtime = runtime();
    let free = Arc::new(Mutex::new(runtime.block_on(consumers(&ledger, in_flight))));
    let (turn, event) = (Arc::new(AtomicU64::new(0)), event());
    let owner = Owner::Capsule("urn:bench:actionspace:solver:writer:v1".into());
    fly(&runtime, in_flight, time, move || {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let (ledger, free, event, owner) = (ledger.clone(), free.clone(), event.clone(), owner.clone());
        async move {
            // There are as many as tasks.
            let Consumer(offset) = free.lock().unwrap().pop().unwrap();
            let write = |n: u64| Write {
                branch: BranchId::MAIN,
                key: Key::new(owner.clone(), (n % KEYS).to_be_bytes()),
                value: Some(Bytes::from_static(&BODY[..32])),
            };
            let next = OffsetCommit {
                from: offset.next,
                next: offset.next + 1,
                ..offset.clone()
            };
            let commit = Commit {
                writes: vec![write(turn * 2), write(turn * 2 + 1)],
                events: vec![event],
                offsets: vec![offset],
                ..Commit::default()
            };
            ledger.commit(commit).await.unwrap();
            free.lock().unwrap().push(Consumer(next));
        }
    })
}

pub fn sqlite(in_flight: usize, time: Duration) -> Run {
    let folder = crate::folder();
    let mut database = Connection::open(folder.path().join("log.sqlite")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "synchronous", "FULL").unwrap();
    database
        .execute_batch(
            "CREATE TABLE record (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
             CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
        )
        .unwrap();
    let mut next = 0_u64;
    let group = Group::start(usize::MAX, move |bodies| insert(&mut database, bodies, &mut next));
    let appender = group.appender();
    fly(&runtime(), in_flight, time, move || {
        let appender = appender.clone();
        async move { appender.append(BODY).await }
    })
}

fn insert(database: &mut Connection, bodies: &[Body], next: &mut u64) {
    let transaction = database.transaction().unwrap();
    {
        let mut record = transaction
            .prepare_cached("INSERT INTO record (body) VALUES (?1)")
            .unwrap();
        let mut entry = transaction
            .prepare_cached(
                "INSERT INTO entry (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )
            .unwrap();
        for body in bodies {
            record.execute(params![body.as_slice()]).unwrap();
            let seq = next.to_be_bytes();
            let mut put = |kind: u8, place: u64, with_seq: bool, value: &[u8]| {
                let mut key = vec![kind];
                key.extend_from_slice(&place.to_be_bytes());
                if with_seq {
                    key.extend_from_slice(&seq);
                }
                entry.execute(params![key, value]).unwrap();
            };
            put(1, 0, true, &seq);
            put(2, *next * 2 % KEYS, true, &BODY[..32]);
            put(2, (*next * 2 + 1) % KEYS, true, &BODY[..32]);
            put(3, *next % 256, false, &seq);
            *next += 1;
        }
    }
    transaction.commit().unwrap();
}
