//! The log against crashes, damage and a full disk.

mod faulty;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) use faulty::FaultyDisk;
use kinetic_identity::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::commit::Sections;
use crate::merkle::Signer;
use crate::wire::put_option;
use crate::{Durability, LedgerError};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

fn signer() -> Signer {
    // The key of RFC 8032's first test, so that every reopening signs as the same host.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEY).unwrap();
    Signer::new("test".into(), SigningKey::load(file.path()).unwrap())
}

fn quick() -> LogConfig {
    LogConfig {
        segment_bytes: 4096,
        checkpoint_within: Duration::from_hours(1),
        ..LogConfig::default()
    }
}

fn open(disk: &FaultyDisk) -> Result<Log, LedgerError> {
    Log::open(Arc::new(disk.clone()), Path::new("/ledger"), quick(), signer(), None)
}

fn body(text: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_option(&mut body, Some(text));
    put_option(&mut body, None);
    body
}

fn append(log: &Log, text: &[u8], durability: Durability) -> Result<Ticket, LedgerError> {
    let body = body(text);
    log.append(
        durability,
        false,
        |_, out| {
            out.extend_from_slice(&body);
            Ok(((), Leaf::of(&Sections::of(&body)?)))
        },
        |_, ()| {},
    )
}

fn write(log: &Log, text: &[u8], durability: Durability) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut ticket = append(log, text, durability).unwrap();
    runtime.block_on(log.acknowledged(&mut ticket)).unwrap();
    ticket.seq
}

fn texts(log: &Log) -> Vec<Vec<u8>> {
    if log.written() == 0 {
        return Vec::new();
    }
    let records = log.read(0, usize::MAX).unwrap();
    records
        .iter()
        .map(|record| record.receipt().unwrap().unwrap().to_vec())
        .collect()
}

#[test]
fn what_was_acknowledged_as_synced_survives_a_power_cut() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    for i in 0..100_u32 {
        write(&log, format!("record {i}").as_bytes(), Durability::Synced);
    }
    let cut = disk.after_power_cut(|| (false, 0));
    let again = open(&cut).unwrap();
    assert_eq!(again.written(), 100);
    assert_eq!(texts(&again)[99], b"record 99");
}

#[test]
fn what_was_acknowledged_as_written_survives_a_killed_process() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    for i in 0..100_u32 {
        write(&log, format!("record {i}").as_bytes(), Durability::Written);
    }
    assert_eq!(texts(&open(&disk.after_kill()).unwrap()).len(), 100);
}

#[test]
fn what_was_written_is_synced_soon_without_anybody_asking() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    write(&log, b"a", Durability::Written);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while log.synced() < 1 && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(log.synced(), 1);
}

#[test]
fn a_restart_goes_on_with_the_same_chain_over_many_segments() {
    let disk = FaultyDisk::default();
    for round in 0..5_u32 {
        let log = open(&disk).unwrap();
        for i in 0..40_u32 {
            write(
                &log,
                format!("{round} {i} {}", "x".repeat(100)).as_bytes(),
                Durability::Written,
            );
        }
        log.close();
        let names = disk.list(Path::new("/ledger/segments")).unwrap();
        assert!(names.len() > 1);
    }
    let log = open(&disk).unwrap();
    assert_eq!(log.written(), 200);
    assert_eq!(texts(&log).len(), 200);
    let tree = log.shared.tree.lock();
    assert_eq!(tree.last.as_ref().unwrap().size, 200);
    assert_eq!(tree.last.as_ref().unwrap().root, tree.frontier.root());
}

#[test]
fn a_record_torn_at_any_byte_is_cut_off_and_nothing_before_it_is_lost() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    for i in 0..5_u32 {
        write(&log, format!("record {i}").as_bytes(), Durability::Synced);
    }
    let whole = log.shared.segments.read().last().unwrap().end();
    // The sixth is on its way when the process dies: it was acknowledged to nobody.
    let before = disk.after_kill();
    append(&log, b"the last", Durability::Written).unwrap();
    let after = disk.after_kill();
    let name = "00000000000000000000.seg";
    let bytes = after.bytes(name);
    for cut in usize::try_from(whole).unwrap()..bytes.len() {
        let torn = before.after_kill();
        torn.change(name, |content| *content = bytes[..cut].to_vec());
        let again = open(&torn).unwrap();
        assert_eq!(again.written(), 5, "cut at {cut}");
        assert_eq!(write(&again, b"next", Durability::Synced), 5);
        assert_eq!(texts(&open(&torn.after_kill()).unwrap()).len(), 6);
    }
}

#[test]
fn a_flipped_bit_in_any_byte_of_a_synced_record_is_named_and_not_cut_off() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    let mut starts = Vec::new();
    for i in 0..5_u32 {
        starts.push(log.shared.segments.read().last().unwrap().end());
        write(&log, format!("record {i}").as_bytes(), Durability::Synced);
    }
    // The sync is noted a moment after those who waited were told.
    log.close();
    let name = "00000000000000000000.seg";
    let whole = disk.bytes(name);
    for byte in 64..whole.len() {
        let bad = disk.after_kill();
        bad.change(name, |content| content[byte] ^= 0x10);
        let expected = starts.iter().rposition(|start| *start <= byte as u64).unwrap() as u64;
        match open(&bad) {
            Err(LedgerError::Damaged { seq, .. }) => assert_eq!(seq, expected, "byte {byte}"),
            Err(other) => panic!("byte {byte}: {other}"),
            Ok(_) => panic!("byte {byte}: opened"),
        }
    }
}

#[test]
fn records_that_are_gone_from_the_end_are_missed() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    for i in 0..5_u32 {
        write(&log, format!("record {i}").as_bytes(), Durability::Synced);
    }
    let end_of_three = 64 + 3 * (64 + body(b"record 0").len());
    log.close();
    disk.change("00000000000000000000.seg", |content| content.truncate(end_of_three));
    assert!(matches!(open(&disk), Err(LedgerError::Missing { seq: 3, .. })));
}

#[test]
fn a_full_disk_refuses_the_commit_whole_and_takes_the_next_when_there_is_room() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    let mut taken = 0;
    let error = loop {
        match append(&log, &[7; 300], Durability::Written) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::DiskFull { .. }), "{error}");
    assert_eq!(texts(&log).len(), taken, "reading goes on");
    assert!(append(&log, &[7; 300], Durability::Written).is_err());
    disk.0.full.store(false, Ordering::Relaxed);
    write(&log, b"room again", Durability::Synced);
    assert_eq!(texts(&open(&disk.after_kill()).unwrap()).len(), taken + 1);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more_and_reading_goes_on() {
    let disk = FaultyDisk::default();
    let log = open(&disk).unwrap();
    write(&log, b"good", Durability::Synced);
    disk.0.failing.store(true, Ordering::Relaxed);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let failed =
        append(&log, b"bad", Durability::Synced).and_then(|mut ticket| runtime.block_on(log.acknowledged(&mut ticket)));
    assert!(matches!(failed, Err(LedgerError::Failed { .. })), "{failed:?}");
    assert!(append(&log, b"later", Durability::Written).is_err());
    assert_eq!(texts(&log), [b"good"]);
}

#[test]
fn many_threads_share_syncs_and_each_record_has_its_place() {
    let disk = FaultyDisk::default();
    let log = Arc::new(open(&disk).unwrap());
    let threads: Vec<_> = (0..8_u8)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || {
                (0..50_u8)
                    .map(|i| {
                        write(
                            &log,
                            &[thread, i],
                            if i % 3 == 0 {
                                Durability::Written
                            } else {
                                Durability::Synced
                            },
                        )
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut seen: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..400).collect::<Vec<_>>());
    assert_eq!(texts(&log).len(), 400);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_power_cut_at_any_moment_keeps_a_beginning_of_the_log_that_holds_all_that_was_synced(
        plan in prop::collection::vec((any::<bool>(), 0_usize..900), 1..40),
        kept in prop::collection::vec((any::<bool>(), 0_usize..4), 64),
    ) {
        let disk = FaultyDisk::default();
        let log = open(&disk).unwrap();
        let mut promised = 0;
        for (i, (synced, bytes)) in plan.iter().enumerate() {
            let mut text = vec![u8::try_from(i).unwrap()];
            text.resize(*bytes + 1, 1);
            if *synced {
                promised = write(&log, &text, Durability::Synced) + 1;
            } else {
                append(&log, &text, Durability::Written).unwrap();
            }
        }
        let mut kept = kept.iter().cycle();
        let cut = disk.after_power_cut(|| *kept.next().unwrap());
        let again = open(&cut).unwrap();
        prop_assert!(again.written() >= promised);
        for (i, text) in texts(&again).iter().enumerate() {
            prop_assert_eq!(usize::from(text[0]), i);
            prop_assert_eq!(text.len(), plan[i].1 + 1);
        }
        write(&again, b"next", Durability::Synced);
    }
}
