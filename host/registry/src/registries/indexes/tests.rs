//! Each way in which what a registry says and the index of the namespace may not fit, over a registry that is scripted.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use kinetic_identity::{IndexDocument, Role, RootDocument, RootFolder, RootKey, SignedRoot, SigningKey, Thresholds};
use tempfile::TempDir;

use super::*;
use crate::store::tests::descriptor;
use crate::{Download, Rest};

const URN: &str = "urn:kinetic:actionspace:solver:redact:v1";
const LONG: Duration = Duration::from_hours(1);

/// Pins a root document of the namespace `kinetic` beside a trust root, with that key for everything.
pub(in crate::registries) fn pin(trust_file: &Path, key: &SigningKey) {
    RootFolder::beside(trust_file).pin(&root(key, 1), 0).unwrap();
}

fn root(key: &SigningKey, version: u64) -> SignedRoot {
    let document = RootDocument {
        expires_unix_ms: u64::MAX,
        keys: vec![RootKey {
            key_id: key.public().id(),
            public_key: key.public(),
            roles: Role::ALL.to_vec(),
        }],
        namespace: "kinetic".into(),
        revoked_digests: Vec::new(),
        thresholds: Thresholds {
            index: 1,
            release: 1,
            root: 1,
        },
        version,
    };
    SignedRoot::sign(document, key).unwrap()
}

/// A registry that answers what it is told to.
#[derive(Default)]
struct Scripted {
    holds: Vec<Descriptor>,
    index: Option<Bytes>,
    asked: AtomicUsize,
}

#[async_trait]
impl Source for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let fits = |held: &&Descriptor| held.summary().answers(what);
        let found = self.holds.iter().filter(fits).max_by(|a, b| a.version.cmp(&b.version));
        found.cloned().ok_or_else(|| RegistryError::NotFound {
            what: what.to_string(),
            origin: "scripted".into(),
        })
    }

    async fn download(&self, _: &Descriptor, _: &Rest) -> Result<Download, RegistryError> {
        unreachable!("nothing is fetched here")
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        unreachable!("nothing is listed here")
    }

    async fn index(&self, _: &str, tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let Some(bytes) = self.index.clone() else {
            return Ok(IndexAnswer::Nothing);
        };
        let own = Digest::of(&bytes).to_string();
        if tag == Some(own.as_str()) {
            return Ok(IndexAnswer::Same);
        }
        Ok(IndexAnswer::Index { bytes, tag: Some(own) })
    }
}

/// A host with a root document, and a registry.
struct World {
    folder: TempDir,
    key: SigningKey,
    indexes: Indexes,
    registry: Scripted,
}

fn kept(folder: &Path, max_age: Duration) -> Indexes {
    Indexes::new(folder.join("indexes"), folder.join("trust.json"), max_age)
}

impl World {
    fn new(max_age: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        pin(&folder.path().join("trust.json"), &key);
        Self {
            indexes: kept(folder.path(), max_age),
            key,
            registry: Scripted::default(),
            folder,
        }
    }

    /// The registry holds these versions; the bytes are the version's text.
    fn holds(&mut self, versions: &[&'static str]) {
        let held = versions.iter().map(|version| descriptor(version, version.as_bytes()));
        self.registry.holds = held.collect();
    }

    fn entries(versions: &[&str]) -> Vec<IndexEntry> {
        let entry = |version: &&str| {
            let held = descriptor(version, version.as_bytes());
            IndexEntry {
                component: held.digest,
                manifest: Digest::of(held.manifest.as_bytes()),
                receipt: Digest::of(b"receipt"),
                size_bytes: held.size_bytes,
                urn: held.urn,
                version: held.version,
                yanked: None,
            }
        };
        versions.iter().map(entry).collect()
    }

    /// The registry answers with this index from now on.
    fn answers(&mut self, version: u64, expires_unix_ms: u64, entries: Vec<IndexEntry>) {
        let document = IndexDocument {
            entries,
            expires_unix_ms,
            namespace: "kinetic".into(),
            version,
        };
        let index = SignedIndex::sign(document, &self.key).unwrap();
        self.registry.index = Some(index.to_json().into());
    }

    fn lists(&mut self, version: u64, versions: &[&str]) {
        self.answers(version, u64::MAX, Self::entries(versions));
    }

    async fn asks(&self, pin: &str) -> Result<String, RegistryError> {
        let what = format!("{URN}{pin}").parse().unwrap();
        let found = self.indexes.describe("team", &self.registry, &what).await?;
        Ok(found.version.to_string())
    }

    /// The host ends and starts again.
    fn reopens(&mut self, max_age: Duration) {
        self.indexes = kept(self.folder.path(), max_age);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("indexes/team/kinetic.json")
    }
}

/// Why an index itself was refused.
fn refusal(answer: Result<String, RegistryError>) -> IdentityError {
    match answer {
        Err(RegistryError::IndexRefused { error, .. }) => *error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_listed_passes_and_what_is_not_is_refused() {
    let mut world = World::new(LONG);
    world.holds(&["1.0.0", "1.1.0"]);
    world.lists(1, &["1.0.0"]);
    assert_eq!(
        world.asks("").await.unwrap(),
        "1.0.0",
        "the index says which one is the newest"
    );
    assert_eq!(world.asks("@1.0.0").await.unwrap(), "1.0.0");
    let by_digest = format!("@{}", Digest::of(b"1.0.0"));
    assert_eq!(world.asks(&by_digest).await.unwrap(), "1.0.0");
    let unlisted = format!("@{}", Digest::of(b"1.1.0"));
    for pin in ["@1.1.0", unlisted.as_str()] {
        let refused = world.asks(pin).await;
        assert!(
            matches!(&refused, Err(RegistryError::NotInIndex { what, version: 1, .. }) if what.ends_with("@1.1.0")),
            "{refused:?}"
        );
    }
    assert!(matches!(
        world.asks("@1.2.0").await,
        Err(RegistryError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_yanked_version_is_passed_over_unless_it_is_pinned() {
    let mut world = World::new(Duration::ZERO);
    world.holds(&["1.0.0", "1.1.0"]);
    let mut entries = World::entries(&["1.0.0", "1.1.0"]);
    entries[1].yanked = Some("it forgets".into());
    world.answers(1, u64::MAX, entries.clone());
    assert_eq!(world.asks("").await.unwrap(), "1.0.0");
    assert_eq!(world.asks("@1.1.0").await.unwrap(), "1.1.0");
    entries[0].yanked = Some("it leaks".into());
    world.answers(2, u64::MAX, entries);
    assert!(matches!(
        world.asks("").await,
        Err(RegistryError::Yanked { why, .. }) if why == "it forgets"
    ));
}

#[tokio::test]
async fn what_was_taken_back_is_known_after_a_restart_without_asking_anybody() {
    let mut world = World::new(LONG);
    world.holds(&["1.0.0", "1.1.0"]);
    let mut entries = World::entries(&["1.0.0", "1.1.0"]);
    entries[1].yanked = Some("it forgets".into());
    world.answers(1, u64::MAX, entries);
    world.asks("").await.unwrap();
    world.reopens(LONG);
    let urn: Urn = URN.parse().unwrap();
    for (registry, version, yanked) in [
        ("team", "1.0.0", false),
        ("team", "1.1.0", true),
        ("other", "1.1.0", false),
    ] {
        let found = world
            .indexes
            .was_yanked(registry, &urn, &version.parse().unwrap())
            .await;
        assert_eq!(found.unwrap(), yanked, "{registry} {version}");
    }
    std::fs::write(world.file(), "{}").unwrap();
    let damaged = world.indexes.was_yanked("team", &urn, &"1.0.0".parse().unwrap()).await;
    assert!(matches!(damaged, Err(RegistryError::IndexStateDamaged { .. })));
}

#[tokio::test]
async fn what_is_not_as_it_is_listed_is_refused_and_so_is_a_registry_that_hides_the_newest() {
    let mut world = World::new(Duration::ZERO);
    world.lists(1, &["1.0.0", "1.1.0"]);
    world.holds(&["1.0.0"]);
    assert!(matches!(
        world.asks("").await,
        Err(RegistryError::IndexedMissing { .. })
    ));
    assert_eq!(world.asks("@1.0.0").await.unwrap(), "1.0.0");
    world.registry.holds = vec![descriptor("1.0.0", b"other"), descriptor("1.1.0", b"1.1.0")];
    world.registry.holds[1].manifest.push(' ');
    for (pin, expected) in [("@1.0.0", "component"), ("@1.1.0", "manifest"), ("", "manifest")] {
        let refused = world.asks(pin).await;
        assert!(
            matches!(&refused, Err(RegistryError::NotAsIndexed { part, .. }) if part == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn an_index_that_goes_back_or_says_otherwise_is_refused_also_after_a_restart() {
    let mut world = World::new(Duration::ZERO);
    world.holds(&["1.0.0", "1.1.0"]);
    world.lists(5, &["1.0.0"]);
    world.asks("").await.unwrap();
    for restarted in [false, true] {
        if restarted {
            world.reopens(Duration::ZERO);
        }
        world.lists(4, &["1.0.0"]);
        assert!(matches!(
            refusal(world.asks("").await),
            IdentityError::IndexRolledBack { found: 4, seen: 5, .. }
        ));
        world.lists(5, &["1.0.0", "1.1.0"]);
        assert!(matches!(
            refusal(world.asks("").await),
            IdentityError::IndexEquivocates { version: 5, .. }
        ));
        world.lists(6, &["1.1.0"]);
        assert!(matches!(
            refusal(world.asks("").await),
            IdentityError::IndexRewritten { .. }
        ));
    }
    world.lists(6, &["1.0.0", "1.1.0"]);
    assert_eq!(world.asks("").await.unwrap(), "1.1.0", "a refusal is no memory");
}

#[tokio::test]
async fn an_index_that_nobody_renews_is_refused_also_while_it_is_in_memory() {
    let mut world = World::new(LONG);
    world.holds(&["1.0.0"]);
    world.answers(1, 1, World::entries(&["1.0.0"]));
    assert!(matches!(
        refusal(world.asks("").await),
        IdentityError::IndexExpired { version: 1, .. }
    ));
    // And one that was good when it came is looked at again each time.
    let kept = SignedIndex::from_json(world.registry.index.as_ref().unwrap()).unwrap();
    assert!(matches!(
        not_expired(&world.registry, &kept),
        Err(RegistryError::IndexRefused { .. })
    ));
    world.answers(2, u64::MAX, World::entries(&["1.0.0"]));
    assert_eq!(world.asks("").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn an_index_of_somebody_else_is_refused() {
    let mut world = World::new(Duration::ZERO);
    world.holds(&["1.0.0"]);
    let own = std::mem::replace(&mut world.key, SigningKey::generate().unwrap());
    world.lists(1, &["1.0.0"]);
    assert!(matches!(
        refusal(world.asks("").await),
        IdentityError::TooFewSignatures { role: Role::Index, .. }
    ));
    assert!(!world.file().exists(), "nothing is remembered of it");
    world.key = own;
    world.lists(1, &["1.0.0"]);
    world.asks("").await.unwrap();
    world.registry.index = Some(Bytes::from_static(b"{}"));
    assert!(matches!(
        refusal(world.asks("").await),
        IdentityError::IndexMalformed { .. }
    ));
}

#[tokio::test]
async fn what_was_seen_and_is_damaged_is_refused_and_not_begun_anew() {
    let mut world = World::new(Duration::ZERO);
    world.holds(&["1.0.0"]);
    world.lists(2, &["1.0.0"]);
    world.asks("").await.unwrap();
    let good = std::fs::read(world.file()).unwrap();
    world.lists(3, &["1.0.0"]);
    for damaged in [
        Vec::new(),
        good[..good.len() / 2].to_vec(),
        b"{\"namespaces\":{}}\n{}".to_vec(),
        [
            b"{\"namespaces\":{}}".as_slice(),
            &good[good.iter().position(|b| *b == b'\n').unwrap()..],
        ]
        .concat(),
    ] {
        std::fs::write(world.file(), &damaged).unwrap();
        world.reopens(Duration::ZERO);
        let refused = world.asks("").await;
        assert!(
            matches!(&refused, Err(RegistryError::IndexStateDamaged { path, .. }) if path.ends_with("kinetic.json")),
            "{refused:?}"
        );
        assert_eq!(std::fs::read(world.file()).unwrap(), damaged, "it is left as it is");
    }
    std::fs::write(world.file(), &good).unwrap();
    world.asks("").await.unwrap();

    std::fs::remove_file(world.file()).unwrap();
    world.lists(1, &["1.0.0"]);
    world.reopens(Duration::ZERO);
    let mark = world.file().with_extension("lock");
    let refused = world.asks("").await;
    assert!(
        matches!(&refused, Err(RegistryError::IndexStateDamaged { path, .. }) if *path == mark.display().to_string()),
        "what is gone is not what never was: {refused:?}"
    );
    assert!(!world.file().exists());
    std::fs::remove_file(mark).unwrap();
    assert_eq!(world.asks("").await.unwrap(), "1.0.0", "somebody wanted it so");
}

#[tokio::test]
async fn a_registry_that_takes_its_index_away_again_is_not_believed_whatever_it_says_it_holds() {
    let mut world = World::new(Duration::ZERO);
    world.holds(&["1.0.0"]);
    world.lists(1, &["1.0.0"]);
    world.asks("").await.unwrap();
    world.registry.index = None;
    for held in [&["1.0.0"][..], &[]] {
        world.holds(held);
        for restarted in [false, true] {
            if restarted {
                world.reopens(Duration::ZERO);
            }
            assert!(matches!(world.asks("").await, Err(RegistryError::NoIndex { .. })));
        }
    }
}

#[tokio::test]
async fn a_registry_without_an_index_is_not_believed_and_without_a_root_document_none_is_asked_for() {
    let mut world = World::new(Duration::ZERO);
    assert!(matches!(world.asks("").await, Err(RegistryError::NotFound { .. })));
    world.holds(&["1.0.0"]);
    for pin in ["", "@1.0.0"] {
        assert!(matches!(
            world.asks(pin).await,
            Err(RegistryError::NoIndex { namespace, .. }) if namespace == "kinetic"
        ));
    }
    let asked = world.registry.asked.load(Ordering::Relaxed);
    RootFolder::beside(&world.folder.path().join("trust.json"))
        .remove("kinetic")
        .unwrap();
    assert_eq!(world.asks("").await.unwrap(), "1.0.0");
    assert_eq!(world.registry.asked.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn an_index_is_asked_for_once_in_a_while_and_at_once_for_what_it_does_not_list() {
    let mut world = World::new(LONG);
    world.holds(&["1.0.0", "1.1.0"]);
    world.lists(1, &["1.0.0"]);
    for _ in 0..3 {
        world.asks("").await.unwrap();
    }
    assert_eq!(world.registry.asked.load(Ordering::Relaxed), 1);
    world.lists(2, &["1.0.0", "1.1.0"]);
    assert_eq!(world.asks("@1.1.0").await.unwrap(), "1.1.0");
    assert_eq!(world.asks("").await.unwrap(), "1.1.0");
    assert_eq!(world.registry.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_index_in_memory_counts_only_under_the_root_document_that_it_was_verified_by() {
    let mut world = World::new(LONG);
    world.holds(&["1.0.0"]);
    world.lists(1, &["1.0.0"]);
    for (version, asked) in [(1, 1), (2, 2)] {
        let next = root(&world.key, version);
        RootFolder::beside(&world.folder.path().join("trust.json"))
            .update(&next)
            .unwrap();
        for _ in 0..2 {
            world.asks("").await.unwrap();
        }
        assert_eq!(world.registry.asked.load(Ordering::Relaxed), asked);
    }
}
