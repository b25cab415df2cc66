//! What is kept, for how long, and that nothing but the very bytes ever comes out.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::store::tests::descriptor;

const URN: &str = "urn:kinetic:actionspace:solver:redact:v1";
const HERE: &str = "team (oci://registry.example)";

struct World {
    folder: TempDir,
    cache: Cache,
}

fn epoch(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn bytes(text: &'static str) -> Hashed {
    Hashed::of(Bytes::from_static(text.as_bytes()))
}

impl World {
    /// In the epoch "one".
    async fn new(memory_bytes_max: u64, disk_bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("cache"), memory_bytes_max, disk_bytes_max);
        cache.enter(epoch("one")).await;
        Self { folder, cache }
    }

    /// The same folder after a restart.
    async fn again(&self, disk_bytes_max: u64, name: &str) -> Cache {
        let cache = Cache::new(&self.folder.path().join("cache"), 0, disk_bytes_max);
        cache.enter(epoch(name)).await;
        cache
    }

    async fn put(&self, version: &str, component: &'static str) {
        let said = descriptor(version, component.as_bytes());
        self.cache
            .put(epoch("one"), HERE, said, Some(bytes(component)), Vec::new())
            .await;
    }

    /// All files below the cache's folder.
    fn files(&self) -> Vec<PathBuf> {
        let epochs = fs::read_dir(self.folder.path().join("cache")).unwrap();
        let files = epochs.flat_map(|epoch| fs::read_dir(epoch.unwrap().path()).unwrap());
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    fn component_file(&self, component: &str) -> PathBuf {
        let folder = self.folder.path().join("cache").join(epoch("one").hex());
        folder.join(format!("{}.wasm", Digest::of(component.as_bytes()).hex()))
    }
}

async fn component(cache: &Cache, name: &str, text: &str) -> Option<Hashed> {
    cache.component(epoch(name), Digest::of(text.as_bytes()), 1000).await
}

/// The version that a reference is found as.
async fn version(cache: &Cache, name: &str, reference: &str) -> Option<String> {
    let labels = [HERE.to_string()];
    let found = cache.find(epoch(name), &reference.parse().unwrap(), &labels).await;
    found.map(|(_, descriptor)| descriptor.version.to_string())
}

#[tokio::test]
async fn what_was_kept_outlives_a_restart_and_is_found_by_urn_version_and_digest() {
    let world = World::new(100, 100_000).await;
    world.put("1.0.0", "component").await;
    let again = world.again(100_000, "one").await;
    for cache in [&world.cache, &again] {
        assert_eq!(component(cache, "one", "component").await.unwrap(), b"component"[..]);
        for pin in [String::new(), "@1.0.0".into(), format!("@{}", Digest::of(b"component"))] {
            assert_eq!(
                version(cache, "one", &format!("{URN}{pin}")).await.as_deref(),
                Some("1.0.0")
            );
        }
        assert_eq!(version(cache, "one", &format!("{URN}@1.0.1")).await, None);
    }
    let what = URN.parse().unwrap();
    let (source, described) = again.find(epoch("one"), &what, &[HERE.to_string()]).await.unwrap();
    assert_eq!(
        (source.name(), &described),
        ("cache", &descriptor("1.0.0", b"component"))
    );
    assert_eq!(crate::fetch(&*source, &described, 100).await.unwrap(), b"component"[..]);
    // Said by a registry that is not asked any more: it counts for nothing.
    assert!(again.find(epoch("one"), &what, &["other".to_string()]).await.is_none());
}

#[tokio::test]
async fn another_epoch_leaves_nothing_in_memory_or_on_the_disk() {
    let world = World::new(100, 100_000).await;
    world.put("1.0.0", "component").await;
    assert_eq!(world.files().len(), 2);
    world.cache.enter(epoch("two")).await;
    assert_eq!(world.files(), Vec::<PathBuf>::new());
    for name in ["one", "two"] {
        assert!(component(&world.cache, name, "component").await.is_none());
        assert_eq!(version(&world.cache, name, URN).await, None);
    }
    // What was admitted under the epoch before is not kept when it comes late.
    world.put("1.0.0", "component").await;
    assert_eq!(world.files(), Vec::<PathBuf>::new());
    world.cache.enter(epoch("one")).await;
    assert!(
        component(&world.cache, "one", "component").await.is_none(),
        "it does not come back"
    );
}

#[tokio::test]
async fn a_start_in_another_epoch_or_without_a_cache_leaves_nothing_of_the_one_before() {
    for (disk_bytes_max, name) in [(100_000, "two"), (0, "one")] {
        let world = World::new(100, 100_000).await;
        world.put("1.0.0", "component").await;
        let again = world.again(disk_bytes_max, name).await;
        assert!(component(&again, name, "component").await.is_none());
        assert_eq!(version(&again, name, URN).await, None);
        assert_eq!(world.files(), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn a_file_that_changed_is_never_given_and_goes() {
    let world = World::new(0, 100_000).await;
    world.put("1.0.0", "component").await;
    let file = world.component_file("component");
    for damage in ["componenu", "comp", "component and more", ""] {
        fs::write(&file, damage).unwrap();
        assert!(component(&world.cache, "one", "component").await.is_none(), "{damage}");
        assert!(!file.exists());
        world.put("1.0.0", "component").await;
        assert!(component(&world.cache, "one", "component").await.is_some());
    }
    let said = world
        .files()
        .into_iter()
        .find(|path| path.extension().unwrap() == "json")
        .unwrap();
    fs::write(&said, "{").unwrap();
    assert_eq!(version(&world.cache, "one", URN).await, None);
    assert!(!said.exists());
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_older_ones_but_of_those_that_may_come_back() {
    let world = World::new(100, 100_000).await;
    world.put("1.0.0", "oldest").await;
    world.put("1.1.0", "older").await;
    assert!(component(&world.cache, "one", "oldest").await.is_none(), "superseded");
    let newest = descriptor("1.2.0", b"newest");
    let keep = vec![Version::new(1, 1, 0)];
    let component_bytes = Some(bytes("newest"));
    world.cache.put(epoch("one"), HERE, newest, component_bytes, keep).await;
    assert!(component(&world.cache, "one", "older").await.is_some());
    assert_eq!(version(&world.cache, "one", URN).await.as_deref(), Some("1.2.0"));
    assert_eq!(world.files().len(), 4);
    // One that is asked for by its pin takes nobody's place.
    world.put("1.0.0", "oldest").await;
    assert_eq!(world.files().len(), 6);
}

#[tokio::test]
async fn what_is_removed_is_gone_from_memory_and_disk_with_what_was_said_of_it() {
    let world = World::new(100, 100_000).await;
    world.put("1.0.0", "component").await;
    world.cache.remove(Digest::of(b"component")).await;
    assert!(component(&world.cache, "one", "component").await.is_none());
    assert_eq!(version(&world.cache, "one", URN).await, None);
    assert_eq!(world.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_version_whose_component_went_is_out_of_reach_and_not_unheard_of() {
    let world = World::new(0, 100_000).await;
    let said = descriptor("1.0.0", b"component");
    world.cache.put(epoch("one"), HERE, said, None, Vec::new()).await;
    let what = URN.parse().unwrap();
    let found = world.cache.find(epoch("one"), &what, &[HERE.to_string()]).await;
    let (source, described) = found.unwrap();
    let missing = source.download(&described, &Rest::default()).await.err().unwrap();
    assert!(missing.is_away(), "{missing}");
}

#[tokio::test]
async fn memory_holds_so_many_bytes_and_lets_go_who_was_not_asked_for_the_longest() {
    let world = World::new(10, 0).await;
    for text in ["aaaa", "bbbb"] {
        world.put("1.0.0", text).await;
    }
    assert!(component(&world.cache, "one", "aaaa").await.is_some());
    world.put("1.0.0", "cccc").await;
    assert!(component(&world.cache, "one", "bbbb").await.is_none());
    assert!(component(&world.cache, "one", "aaaa").await.is_some());
    world.put("1.0.0", "larger than all of it").await;
    assert!(component(&world.cache, "one", "aaaa").await.is_some());
}

#[tokio::test]
async fn the_disk_holds_so_many_bytes_and_a_restart_knows_who_was_asked_for_last() {
    let said = serde_json::to_string(&descriptor("1.0.0", b"x")).unwrap().len() as u64;
    let large: &'static str = Box::leak("a".repeat(50_000).into_boxed_str());
    let other: &'static str = Box::leak("b".repeat(50_000).into_boxed_str());
    let third: &'static str = Box::leak("c".repeat(50_000).into_boxed_str());
    let room = 100_000 + 10 * said;
    let world = World::new(0, room).await;
    let keep = || vec![Version::new(1, 0, 0), Version::new(1, 1, 0)];
    for (version, text) in [("1.0.0", large), ("1.1.0", other)] {
        let said = descriptor(version, text.as_bytes());
        world
            .cache
            .put(epoch("one"), HERE, said, Some(bytes(text)), keep())
            .await;
    }
    let get = async |cache: &Cache, text: &str| {
        let digest = Digest::of(text.as_bytes());
        cache.component(epoch("one"), digest, 100_000).await.is_some()
    };
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for text in [large, other] {
        let file = fs::File::open(world.component_file(text)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    assert!(get(&world.cache, large).await);
    let again = world.again(room, "one").await;
    let newest = descriptor("1.2.0", third.as_bytes());
    again.put(epoch("one"), HERE, newest, Some(bytes(third)), keep()).await;
    assert!(get(&again, large).await && get(&again, third).await);
    assert!(!get(&again, other).await, "it was not asked for the longest");
    let on_disk: u64 = world.files().iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(on_disk <= room, "{on_disk}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_nothing_but_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    fs::write(&path, b"a file and no folder").unwrap();
    let cache = Cache::new(&path, 100, 100_000);
    cache.enter(epoch("one")).await;
    let said = descriptor("1.0.0", b"component");
    cache
        .put(epoch("one"), HERE, said, Some(bytes("component")), Vec::new())
        .await;
    assert_eq!(version(&cache, "one", URN).await, None);
    assert!(
        component(&cache, "one", "component").await.is_some(),
        "memory is not the disk"
    );
}
