//! Retention on a whole ledger in a real folder: what goes, what stays, what verifying says, and crashes in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kinetic_identity::{PublicKey, SigningKey};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bus::{Envelope, NewEvent, Position, Start, Subscribe, TopicConfig};
use crate::state::{BranchId, Key, Owner, StateView, Write};
use crate::{Commit, Ledger, LedgerConfig, LedgerError, LogConfig, SystemDisk, Verified, verify};

const TOPIC: &str = "test.events.v1";
const ORIGIN: &str = "test";

struct Host {
    folder: TempDir,
    pem: PathBuf,
    public: PublicKey,
    runtime: Runtime,
}

fn key(name: &str) -> Key {
    Key::new(Owner::Host, name.as_bytes())
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("key.pem");
        let key = SigningKey::generate().unwrap();
        key.save(&pem).unwrap();
        Self {
            public: key.public(),
            folder,
            pem,
            runtime: Runtime::new().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn try_open(&self) -> Result<Ledger, LedgerError> {
        let log = LogConfig {
            segment_bytes: 16 << 10,
            checkpoint_records: 8,
            checkpoint_within: Duration::from_millis(20),
            ..LogConfig::default()
        };
        let config = LedgerConfig {
            log,
            ..LedgerConfig::new(&self.path(), ORIGIN)
        };
        Ledger::open(config, SigningKey::load(&self.pem).unwrap())
    }

    fn open(&self) -> Ledger {
        self.try_open().unwrap()
    }

    fn put(&self, ledger: &Ledger, branch: BranchId, name: &str, value: &str) -> u64 {
        let commit = Commit {
            writes: vec![Write {
                branch,
                key: key(name),
                value: Some(value.to_string().into()),
            }],
            receipt: Some(vec![b'r'; 400].into()),
            ..Commit::default()
        };
        self.runtime.block_on(ledger.commit(commit)).unwrap().seq
    }

    fn publish(&self, ledger: &Ledger, count: usize) {
        for n in 0..count {
            let envelope = Envelope::builder(n.to_string(), "urn:test", "test")
                .data(vec![b'e'; 300])
                .build()
                .unwrap();
            self.runtime
                .block_on(ledger.bus().publish(vec![NewEvent::new(TOPIC, envelope)]))
                .unwrap();
        }
    }

    /// Some thousands of records in many segments: a counter, other keys, events.
    fn filled(&self) -> Ledger {
        let ledger = self.open();
        self.runtime
            .block_on(ledger.bus().create_topic(TOPIC, TopicConfig::default()))
            .unwrap();
        self.put(&ledger, BranchId::MAIN, "early", "kept");
        for n in 0..200 {
            self.put(&ledger, BranchId::MAIN, "counter", &n.to_string());
            self.put(&ledger, BranchId::MAIN, &format!("key {}", n % 17), &n.to_string());
            self.publish(&ledger, 1);
        }
        settle(&ledger);
        ledger
    }

    fn verified(&self) -> Verified {
        verify(&SystemDisk, &self.path(), ORIGIN, &self.public, None).unwrap()
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

/// Waits until all is signed.
fn settle(ledger: &Ledger) {
    let all = ledger.records();
    for _ in 0..12_000 {
        if ledger.checkpoint().is_some_and(|last| last.size >= all) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing was signed");
}

fn value(ledger: &Ledger, branch: BranchId, name: &str) -> Option<String> {
    let found = ledger.state().get(branch, &key(name), ledger.visible()).unwrap();
    found.map(|version| String::from_utf8(version.value.to_vec()).unwrap())
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn the_oldest_records_go_and_verifying_accepts_what_the_host_signed() {
    let host = Host::new();
    let ledger = host.filled();
    let before = host.files("segments").len();
    let horizon = ledger.retain(48 << 10).unwrap().unwrap();
    assert!(horizon > 0 && ledger.horizon() == horizon);
    assert!(host.files("segments").len() < before);
    assert_eq!(value(&ledger, BranchId::MAIN, "counter").as_deref(), Some("199"));
    assert_eq!(value(&ledger, BranchId::MAIN, "early").as_deref(), Some("kept"));
    let old = ledger.read(horizon - 1, 1).unwrap_err();
    assert!(
        matches!(old, LedgerError::BelowHorizon { horizon: h, .. } if h == horizon),
        "{old}"
    );
    let old = ledger
        .state()
        .get(BranchId::MAIN, &key("counter"), horizon - 1)
        .unwrap_err();
    assert!(matches!(old, LedgerError::BelowHorizon { .. }), "{old}");
    let kept = ledger.read(horizon, 10).unwrap();
    let kept = kept.iter().find(|record| record.receipt().unwrap().is_some()).unwrap();
    let id = crate::ledger::receipt_id(kept.seq, &kept.leaf().unwrap().hash(kept.seq));
    let proof = host.runtime.block_on(ledger.receipt(&id)).unwrap();
    let (size, root) = (proof.checkpoint.size, &proof.checkpoint.root);
    assert!(crate::verify_inclusion(&proof.leaf, proof.seq, size, &proof.path, root));
    assert_eq!(
        ledger.retain(48 << 10).unwrap(),
        None,
        "a second time there is nothing to remove"
    );
    drop(ledger);
    let verified = host.verified();
    assert_eq!((verified.findings, verified.first), (vec![], horizon));
    assert!(verified.checkpoints > 0 && verified.covered > horizon);
}

#[test]
fn a_lost_index_is_rebuilt_from_the_base_and_the_records_that_are_left() {
    let host = Host::new();
    let ledger = host.filled();
    let subscription = Subscribe::to(TOPIC).group("readers");
    let seen = host.runtime.block_on(async {
        let readers = ledger.bus().subscribe(subscription.clone()).await.unwrap();
        let events = readers.next(1_000, 1 << 20, Duration::from_secs(30)).await.unwrap();
        readers.ack(&[events[events.len() - 1].position()]).await.unwrap();
        events.len() as u64
    });
    let branch = StateView::create_branch(Owner::Host, "try", BranchId::MAIN, ledger.visible());
    let commit = Commit {
        controls: vec![branch],
        ..Commit::default()
    };
    host.runtime.block_on(ledger.commit(commit)).unwrap();
    let branch = ledger.state().branch(&Owner::Host, "try", ledger.visible()).unwrap().id;
    host.put(&ledger, branch, "counter", "on the branch");
    settle(&ledger);
    let horizon = ledger.retain(48 << 10).unwrap().unwrap();
    host.publish(&ledger, 1);
    drop(ledger);
    fs::remove_dir_all(host.path().join("index")).unwrap();

    let ledger = host.open();
    assert_eq!(ledger.horizon(), horizon);
    assert_eq!(ledger.state().horizon(), horizon);
    assert_eq!(value(&ledger, BranchId::MAIN, "counter").as_deref(), Some("199"));
    assert_eq!(value(&ledger, BranchId::MAIN, "early").as_deref(), Some("kept"));
    assert_eq!(value(&ledger, branch, "counter").as_deref(), Some("on the branch"));
    host.runtime.block_on(async {
        let readers = ledger.bus().subscribe(subscription).await.unwrap();
        let events = readers.next(1_000, 1 << 20, Duration::from_secs(30)).await.unwrap();
        let offsets: Vec<_> = events.iter().map(|event| event.offset).collect();
        let stats = ledger.bus().topic_stats(TOPIC).unwrap();
        assert_eq!((seen, stats.heads.clone()), (200, vec![201]));
        assert_eq!(
            offsets,
            (seen..201).collect::<Vec<_>>(),
            "the group goes on where it was"
        );
        assert!(stats.first[0] > 0);
        let gone = ledger
            .bus()
            .subscribe(Subscribe::to(TOPIC).start(Start::Offset(0)))
            .await
            .unwrap_err();
        assert!(matches!(gone, LedgerError::OffsetGone { .. }), "{gone}");
    });
}

#[test]
fn what_a_group_has_still_to_read_stays() {
    let host = Host::new();
    let ledger = host.filled();
    let position = host.runtime.block_on(async {
        let slow = ledger
            .bus()
            .subscribe(Subscribe::to(TOPIC).group("slow"))
            .await
            .unwrap();
        let events = slow.next(50, 1 << 20, Duration::from_secs(30)).await.unwrap();
        let last = events[events.len() - 1].position();
        slow.ack(&[last]).await.unwrap();
        last.offset
    });
    settle(&ledger);
    let horizon = ledger.retain(1).unwrap().unwrap();
    let stats = ledger.bus().topic_stats(TOPIC).unwrap();
    assert!(
        horizon > 0 && stats.first[0] > 0 && stats.first[0] <= position + 1,
        "{stats:?}"
    );
    host.runtime.block_on(async {
        let slow = ledger
            .bus()
            .subscribe(Subscribe::to(TOPIC).group("slow"))
            .await
            .unwrap();
        let events = slow.next(1, 1 << 20, Duration::from_secs(30)).await.unwrap();
        assert_eq!(
            events[0].position(),
            Position {
                partition: 0,
                offset: position + 1
            }
        );
        drop(slow);
        ledger.bus().forget_group(TOPIC, "slow").await.unwrap();
    });
    settle(&ledger);
    assert!(
        ledger.retain(1).unwrap().unwrap() > horizon,
        "who was given up holds nothing back"
    );
}

#[test]
fn what_a_branch_shows_stays() {
    let host = Host::new();
    let ledger = host.filled();
    let base = ledger.visible();
    let commit = Commit {
        controls: vec![StateView::create_branch(Owner::Host, "then", BranchId::MAIN, base)],
        ..Commit::default()
    };
    host.runtime.block_on(ledger.commit(commit)).unwrap();
    let then = ledger
        .state()
        .branch(&Owner::Host, "then", ledger.visible())
        .unwrap()
        .id;
    for n in 0..100 {
        host.put(&ledger, BranchId::MAIN, "counter", &format!("later {n}"));
    }
    settle(&ledger);
    let horizon = ledger.retain(1).unwrap().unwrap();
    assert!(horizon > base, "the branch's base is below the horizon");
    while ledger.state().sweep(100_000).unwrap() {}
    assert_eq!(value(&ledger, then, "counter").as_deref(), Some("199"));
    drop(ledger);
    fs::remove_dir_all(host.path().join("index")).unwrap();
    let ledger = host.open();
    assert_eq!(value(&ledger, then, "counter").as_deref(), Some("199"));
    assert_eq!(value(&ledger, BranchId::MAIN, "counter").as_deref(), Some("later 99"));
}

/// What is done to the files, how, and what verifying says of it.
type Damage<'a> = (&'static str, Box<dyn Fn() + 'a>, &'static str);

#[test]
fn removing_more_than_was_signed_or_changing_what_stands_for_it_is_named() {
    let host = Host::new();
    let ledger = host.filled();
    ledger.retain(64 << 10).unwrap().unwrap();
    drop(ledger);
    let whole = host.folder.path().join("whole");
    copy(&host.path(), &whole);
    let first = |files: Vec<PathBuf>, ending: &str| {
        files
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(ending))
            .unwrap()
    };
    let changes: [Damage<'_>; 5] = [
        (
            "a segment more",
            Box::new(|| fs::remove_file(&host.files("segments")[0]).unwrap()),
            "did not sign",
        ),
        (
            "the note",
            Box::new(|| flip(&first(host.files("horizon"), ".note"))),
            "did not sign",
        ),
        (
            "no note",
            Box::new(|| fs::remove_file(first(host.files("horizon"), ".note")).unwrap()),
            "did not sign",
        ),
        (
            "the base",
            Box::new(|| flip(&first(host.files("horizon"), ".base"))),
            "stands for",
        ),
        (
            "a hash of what is gone",
            Box::new(|| {
                let path = host.path().join("tree/leaves");
                let mut bytes = fs::read(&path).unwrap();
                bytes[40] ^= 1;
                fs::write(&path, bytes).unwrap();
            }),
            "the tree's hashes",
        ),
    ];
    for (what, change, said) in changes {
        change();
        let findings = host.verified().findings;
        assert!(
            findings.iter().any(|finding| finding.what.contains(said)),
            "{what}: {findings:?}"
        );
        if !what.contains("base") && !what.contains("hash") {
            assert!(host.try_open().is_err(), "{what}: the host does not start on it");
        }
        fs::remove_dir_all(host.path()).unwrap();
        copy(&whole, &host.path());
        assert_eq!(host.verified().findings, vec![]);
    }
    // With the index the base is not needed; without it, a base that is not the signed one is refused.
    flip(&first(host.files("horizon"), ".base"));
    fs::remove_dir_all(host.path().join("index")).unwrap();
    let refused = host.try_open().unwrap_err();
    assert!(matches!(refused, LedgerError::Damaged { .. }), "{refused}");
}

#[test]
fn a_crash_between_the_steps_loses_nothing() {
    let host = Host::new();
    let ledger = host.filled();
    drop(ledger);
    let before = host.folder.path().join("before");
    copy(&host.path(), &before);
    let ledger = host.open();
    let horizon = ledger.retain(64 << 10).unwrap().unwrap();
    drop(ledger);
    // Signed, but the segments are still there.
    for path in fs::read_dir(before.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let place = host.path().join("segments").join(path.file_name().unwrap());
        if !place.exists() {
            fs::copy(&path, place).unwrap();
        }
    }
    assert_eq!(host.verified().findings, vec![]);
    // The index is lost as well: nothing is read from segments that are on their way out.
    fs::remove_dir_all(host.path().join("index")).unwrap();
    let ledger = host.open();
    assert_eq!(ledger.horizon(), horizon, "opening removes what was left");
    assert_eq!(value(&ledger, BranchId::MAIN, "counter").as_deref(), Some("199"));
    drop(ledger);
    // A note that is half written, of a horizon that did not come to be.
    let half = host.path().join("horizon").join(format!("{:020}.note", horizon + 1));
    fs::write(&half, "kinetic-log-horizon/v1\ntest\n").unwrap();
    assert_eq!(host.verified().findings, vec![]);
    let ledger = host.open();
    assert_eq!((ledger.horizon(), half.exists()), (horizon, false));
}

#[test]
fn a_ledger_told_to_keep_so_much_removes_the_rest_by_itself_while_it_is_written_to() {
    let host = Host::new();
    let log = LogConfig {
        segment_bytes: 16 << 10,
        checkpoint_within: Duration::from_millis(20),
        ..LogConfig::default()
    };
    let config = LedgerConfig {
        log,
        retain_bytes: 64 << 10,
        ..LedgerConfig::new(&host.path(), ORIGIN)
    };
    let ledger = Arc::new(Ledger::open(config, SigningKey::load(&host.pem).unwrap()).unwrap());
    let begun = std::time::Instant::now();
    let mut n = 0;
    while ledger.horizon() == 0 && begun.elapsed() < Duration::from_mins(2) {
        host.put(&ledger, BranchId::MAIN, &format!("key {}", n % 5), &n.to_string());
        n += 1;
    }
    assert!(ledger.horizon() > 0);
    assert_eq!(
        value(&ledger, BranchId::MAIN, &format!("key {}", (n - 1) % 5)),
        Some((n - 1).to_string())
    );
    drop(ledger);
    assert_eq!(host.verified().findings, vec![]);
}
