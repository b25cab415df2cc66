//! What is put into the outbox is delivered once, whatever breaks, or says why not.

mod again;
mod promotions;

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use kinetic_identity::{Promotion, SigningKey};
use kinetic_ledger::LedgerConfig;
use kinetic_model::{CapsuleRef, Pin};
use kinetic_registry::COMPONENT_BYTES_MAX_DEFAULT;
use tempfile::TempDir;

use super::*;

const URN: &str = "urn:acme:actionspace:solver:late:v1";
const ACME: &str = "acme";
const PATIENCE: Duration = Duration::from_secs(30);

/// What a registry does with the next publication.
enum Act {
    /// It takes it, and nobody gets to know.
    TakeAndBreak,
    Refuse(RegistryError),
    /// It never answers.
    Hang,
}

/// Registries that do as they are told.
#[derive(Default)]
struct Scripted(Mutex<Script>);

#[derive(Default)]
struct Script {
    away: bool,
    acts: VecDeque<Act>,
    versions: BTreeMap<String, Descriptor>,
    promotions: BTreeMap<String, Promotion>,
    /// Publications that arrived.
    sent: usize,
    /// Publications that are never answered, and those of them that nobody waits for any more.
    hanging: usize,
    cut_off: usize,
}

/// Somebody who waits for an answer that never comes.
struct Waiting<'a>(&'a Scripted);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().cut_off += 1;
    }
}

impl Scripted {
    async fn hang<T>(&self) -> T {
        self.0.lock().hanging += 1;
        let _waiting = Waiting(self);
        std::future::pending().await
    }
}

fn unreachable() -> RegistryError {
    RegistryError::Unreachable {
        origin: ACME.into(),
        why: "it is away".into(),
    }
}

#[async_trait]
impl Publish for Scripted {
    fn permits(&self, _: &str, _: &str) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn held(&self, registry: &str, what: &CapsuleRef) -> Result<Option<Descriptor>, RegistryError> {
        let script = self.0.lock();
        if script.away {
            return Err(unreachable());
        }
        let Pin::Version(version) = &what.pin else {
            panic!("asked for {what}")
        };
        Ok(script.versions.get(&format!("{registry} {version}")).cloned())
    }

    async fn publish(&self, registry: &str, descriptor: &Descriptor, component: Bytes) -> Result<(), RegistryError> {
        assert_eq!(Digest::of(&component), descriptor.digest);
        let act = {
            let mut script = self.0.lock();
            if script.away {
                return Err(unreachable());
            }
            script.acts.pop_front()
        };
        match act {
            Some(Act::Refuse(error)) => return Err(error),
            Some(Act::Hang) => return self.hang().await,
            Some(Act::TakeAndBreak) | None => {}
        }
        let mut script = self.0.lock();
        script.sent += 1;
        let name = format!("{registry} {}", descriptor.version);
        script.versions.insert(name, descriptor.clone());
        match act {
            Some(_) => Err(unreachable()),
            None => Ok(()),
        }
    }

    async fn held_promotion(&self, registry: &str, what: &CapsuleRef) -> Result<Option<Promotion>, RegistryError> {
        let script = self.0.lock();
        if script.away {
            return Err(unreachable());
        }
        Ok(script.promotions.get(&format!("{registry} {what}")).cloned())
    }

    async fn publish_promotion(&self, registry: &str, promotion: &Promotion) -> Result<(), RegistryError> {
        let mut script = self.0.lock();
        if script.away {
            return Err(unreachable());
        }
        let act = script.acts.pop_front();
        if let Some(Act::Refuse(error)) = act {
            return Err(error);
        }
        script.sent += 1;
        let name = format!("{registry} {}@{}", promotion.urn(), promotion.version());
        script.promotions.insert(name, promotion.clone());
        match act {
            Some(_) => Err(unreachable()),
            None => Ok(()),
        }
    }
}

/// Something that would be refused again.
fn refusal() -> RegistryError {
    RegistryError::SourceRefuses {
        origin: ACME.into(),
        status: 422,
        code: "X".into(),
        detail: "not like this".into(),
        fix: "f".into(),
    }
}

fn descriptor(version: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        urn: URN.parse().unwrap(),
        version: version.parse().unwrap(),
        manifest: format!("{{\"version\": \"{version}\"}}\n"),
        receipt: serde_json::json!({ "payloadType": "t", "payload": "", "signatures": [] }),
        digest: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
    }
}

fn quick() -> OutboxSettings {
    OutboxSettings {
        backoff_ms_min: 1,
        backoff_ms_max: 4,
        ..OutboxSettings::default()
    }
}

struct World {
    registry: Arc<Scripted>,
    settings: OutboxSettings,
    ledger: Ledger,
    outbox: Outbox,
    folder: TempDir,
}

fn open(folder: &Path, settings: OutboxSettings, registry: &Arc<Scripted>) -> (Ledger, Outbox) {
    let key = SigningKey::load(&folder.join("ledger.key")).unwrap();
    let ledger = Ledger::open(LedgerConfig::new(&folder.join("ledger"), "kinetic/ledger/tests"), key).unwrap();
    let build = Build {
        host: Digest::of(b"host"),
        engine: Digest::of(b"engine"),
    };
    let publisher: Arc<dyn Publish> = registry.clone();
    let store = FolderStore::open(&folder.join("store"), COMPONENT_BYTES_MAX_DEFAULT).unwrap();
    let parts = (publisher, Arc::new(store));
    let outbox = Outbox::open((ledger.clone(), build), &folder.join("outbox"), settings, parts).unwrap();
    (ledger, outbox)
}

impl World {
    fn new(settings: OutboxSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        key.save(&folder.path().join("ledger.key")).unwrap();
        let registry = Arc::default();
        let (ledger, outbox) = open(folder.path(), settings, &registry);
        Self {
            registry,
            settings,
            ledger,
            outbox,
            folder,
        }
    }

    /// The host ends, and is there again; nothing is delivered yet.
    async fn restart(self) -> Self {
        let Self {
            registry,
            settings,
            ledger,
            outbox,
            folder,
        } = self;
        drop(outbox);
        ledger.close().await;
        drop(ledger);
        let (ledger, outbox) = open(folder.path(), settings, &registry);
        Self {
            registry,
            settings,
            ledger,
            outbox,
            folder,
        }
    }

    async fn post(&self, registry: &str, version: &str, bytes: &'static [u8]) -> Result<OutboxView, Fault> {
        let outbox = &self.outbox;
        let descriptor = descriptor(version, bytes);
        outbox
            .accept(registry.into(), descriptor, Bytes::from_static(bytes))
            .await
    }

    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.registry.0.lock())
    }

    fn sent(&self) -> usize {
        self.script(|script| script.sent)
    }

    /// Waits until an entry is as it is to be.
    async fn until(&self, id: &str, good: impl Fn(&OutboxEntry) -> bool) -> OutboxEntry {
        let begun = Instant::now();
        loop {
            let entry = self.outbox.one(id).unwrap().entry;
            if good(&entry) {
                return entry;
            }
            assert!(begun.elapsed() < PATIENCE, "{entry:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_delivered(&self, id: &str) -> OutboxEntry {
        self.until(id, |entry| entry.state == OutboxState::Delivered).await
    }

    /// Waits until so many bytes are kept.
    async fn until_kept(&self, count: usize) {
        let folder = self.folder.path().join("outbox/blobs/sha256");
        let begun = Instant::now();
        while std::fs::read_dir(&folder).unwrap().count() != count {
            assert!(begun.elapsed() < PATIENCE, "not {count}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn what_waits_while_a_registry_is_away_is_delivered_once_when_it_is_back() {
    let world = World::new(quick());
    world.script(|script| script.away = true);
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let deliveries = world.outbox.start();
    let failed = world.until(&id, |entry| entry.attempts >= 3).await;
    assert_eq!(failed.state, OutboxState::Waiting);
    assert_eq!(failed.code.as_deref(), Some("KIN-REG-0015"));
    world.until_kept(2).await;
    world.script(|script| script.away = false);
    let delivered = world.until_delivered(&id).await;
    assert_eq!((world.sent(), delivered.code), (1, None));
    world.until_kept(0).await;
    deliveries.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_lost_answer_is_resolved_by_looking_and_nothing_is_sent_twice() {
    let world = World::new(quick());
    world.script(|script| script.acts.push_back(Act::TakeAndBreak));
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let _deliveries = world.outbox.start();
    let delivered = world.until_delivered(&id).await;
    assert!(delivered.reason.unwrap().contains("answer was lost"));
    assert_eq!(world.sent(), 1);
}

#[tokio::test]
async fn what_got_through_before_the_host_died_is_found_there_and_not_sent_again() {
    let world = World::new(quick());
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let there = descriptor("1.0.0", b"one");
    world.script(|script| script.versions.insert(format!("{ACME} 1.0.0"), there));
    let world = world.restart().await;
    let _deliveries = world.outbox.start();
    let delivered = world.until_delivered(&id).await;
    assert!(delivered.reason.unwrap().contains("already"));
    assert_eq!(world.sent(), 0);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let world = World::new(quick());
    world.script(|script| script.away = true);
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let other = world.post("other", "1.0.0", b"one").await.unwrap().entry.id;
    let deliveries = world.outbox.start();
    world.until(&id, |entry| entry.attempts >= 2).await;
    deliveries.stop(PATIENCE).await;
    let world = world.restart().await;
    let entry = world.outbox.one(&id).unwrap().entry;
    assert!(entry.attempts >= 2 && entry.state == OutboxState::Waiting, "{entry:?}");
    world.script(|script| script.away = false);
    let deliveries = world.outbox.start();
    for id in [&id, &other] {
        world.until_delivered(id).await;
    }
    assert_eq!(world.sent(), 2);
    world.until_kept(0).await;
    deliveries.stop(PATIENCE).await;
    let world = world.restart().await;
    assert_eq!(world.outbox.one(&id).unwrap().entry.state, OutboxState::Delivered);
    // The same again is the entry that is there, and nothing happens.
    let again = world.post(ACME, "1.0.0", b"one").await.unwrap().entry;
    assert_eq!((again.id, again.state), (id, OutboxState::Delivered));
    assert_eq!(world.outbox.list().len(), 2);
}

#[tokio::test]
async fn what_is_refused_for_good_is_dead_with_its_reason_until_somebody_has_it_tried_again() {
    let world = World::new(quick());
    world.script(|script| script.acts.push_back(Act::Refuse(refusal())));
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let _deliveries = world.outbox.start();
    let dead = world.until(&id, |entry| entry.state == OutboxState::Dead).await;
    assert_eq!(dead.code.as_deref(), Some("KIN-REG-0023"));
    assert!(dead.reason.unwrap().contains("not like this"));
    assert_eq!((world.outbox.counts().dead, world.sent()), (1, 0));
    let view = world.outbox.one(&id).unwrap();
    assert_eq!(view.next_try_ms, None);
    world.outbox.retry(&id).await.unwrap();
    world.until_delivered(&id).await;
    assert_eq!(world.sent(), 1);
    let refused = world.outbox.retry(&id).await.unwrap_err();
    assert_eq!(refused.code, "KIN-KER-0067");
}

#[tokio::test]
async fn other_content_under_the_same_version_is_dead_and_what_is_there_stays() {
    let world = World::new(quick());
    let there = descriptor("1.0.0", b"other");
    world.script(|script| script.versions.insert(format!("{ACME} 1.0.0"), there.clone()));
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let _deliveries = world.outbox.start();
    let dead = world.until(&id, |entry| entry.state == OutboxState::Dead).await;
    assert_eq!(dead.code.as_deref(), Some("KIN-REG-0002"));
    assert_eq!(
        world.script(|script| script.versions.get(&format!("{ACME} 1.0.0")).cloned()),
        Some(there)
    );
}

#[tokio::test]
async fn what_is_not_taken_in_time_is_given_up_and_kept() {
    let world = World::new(OutboxSettings {
        give_up_after_ms: 1,
        backoff_ms_min: 50,
        backoff_ms_max: 50,
        ..quick()
    });
    world.script(|script| script.away = true);
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let _deliveries = world.outbox.start();
    let dead = world.until(&id, |entry| entry.state == OutboxState::Dead).await;
    assert_eq!(dead.code.as_deref(), Some("KIN-KER-0069"));
    assert!(dead.reason.unwrap().contains("KIN-REG-0015"));
    world.until_kept(2).await;
    world.outbox.discard(&id, "no longer wanted").await.unwrap();
    world.until_kept(0).await;
    assert_eq!(world.outbox.one(&id).unwrap_err().code, "KIN-KER-0065");
}

#[tokio::test]
async fn the_bounds_hold_before_anything_is_kept() {
    let world = World::new(OutboxSettings {
        entries_max: 1,
        ..quick()
    });
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    // The same again takes no room.
    assert_eq!(world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id, id);
    let full = world.post(ACME, "1.0.1", b"two").await.unwrap_err();
    assert_eq!(full.code, "KIN-KER-0064");
    world.until_kept(2).await;
    world.outbox.discard(&id, "room").await.unwrap();
    world.post(ACME, "1.0.1", b"two").await.unwrap();

    let world = World::new(OutboxSettings {
        bytes_max: 3,
        ..quick()
    });
    let full = world.post(ACME, "1.0.0", b"one").await.unwrap_err();
    assert!(full.code == "KIN-KER-0064" && full.message.contains("bytes"), "{full}");
    assert!(world.outbox.list().is_empty());
    world.until_kept(0).await;
}

#[tokio::test]
async fn what_could_not_be_accepted_leaves_no_bytes_behind() {
    let world = World::new(quick());
    let kept = world.folder.path().join("outbox/blobs/sha256");
    // The component can be kept. Where its descriptor is to lie there is a folder.
    let envelope = serde_json::to_vec(&descriptor("1.0.0", b"one")).unwrap();
    let in_the_way = kept.join(Digest::of(&envelope).hex());
    std::fs::create_dir(&in_the_way).unwrap();
    let refused = world.post(ACME, "1.0.0", b"one").await.unwrap_err();
    assert_eq!(refused.code, "KIN-REG-0010");
    assert!(!kept.join(Digest::of(b"one").hex()).exists());
    assert!(world.outbox.list().is_empty());
    std::fs::remove_dir(&in_the_way).unwrap();
    world.post(ACME, "1.0.0", b"one").await.unwrap();
    world.until_kept(2).await;
}

#[tokio::test]
async fn many_failures_are_few_records() {
    let world = World::new(quick());
    world.script(|script| script.away = true);
    let id = world.post(ACME, "1.0.0", b"one").await.unwrap().entry.id;
    let before = world.ledger.records();
    let deliveries = world.outbox.start();
    world.until(&id, |entry| entry.attempts >= 20).await;
    deliveries.stop(PATIENCE).await;
    let attempts = world.outbox.one(&id).unwrap().entry.attempts;
    assert_eq!(world.ledger.records() - before, u64::from(attempts.ilog2()) + 1);
}
