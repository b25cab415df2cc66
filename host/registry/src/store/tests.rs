//! The folder store: what it keeps, what it refuses, and what it leaves behind.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::fetch;

const URN: &str = "urn:kinetic:actionspace:solver:redact:v1";

/// A descriptor that fits the bytes.
pub(crate) fn descriptor(version: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        urn: URN.parse().unwrap(),
        version: version.parse().unwrap(),
        manifest: format!("{{\"version\": \"{version}\"}}\n"),
        receipt: json!({ "payloadType": "t", "payload": "", "signatures": [] }),
        digest: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
    }
}

fn open(folder: &Path) -> FolderStore {
    FolderStore::open(folder, COMPONENT_BYTES_MAX_DEFAULT).unwrap()
}

fn store() -> (TempDir, FolderStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (folder, store)
}

async fn put(store: &FolderStore, version: &str, bytes: &'static [u8]) -> Result<(), RegistryError> {
    store.put(descriptor(version, bytes), Bytes::from_static(bytes)).await
}

async fn resolve(store: &FolderStore, reference: &str) -> Option<String> {
    match store.describe(&reference.parse().unwrap()).await {
        Ok(descriptor) => Some(descriptor.version.to_string()),
        Err(RegistryError::NotFound { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Every file below the folder, without the lock.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "lock" {
                found.push(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn what_was_put_is_described_listed_and_fetched_again() {
    let (folder, store) = store();
    put(&store, "1.0.0", b"component").await.unwrap();
    let described = store.describe(&URN.parse().unwrap()).await.unwrap();
    assert_eq!(described, descriptor("1.0.0", b"component"));
    assert_eq!(store.list().await.unwrap(), [described.summary()]);
    assert_eq!(fetch(&store, &described, 100).await.unwrap(), &b"component"[..]);
    let blob = format!("blobs/sha256/{}", Digest::of(b"component").hex());
    assert_eq!(
        files(folder.path()),
        [&blob, "capabilities/kinetic/solver/redact/v1/1.0.0.json"]
    );
}

#[tokio::test]
async fn a_component_of_many_chunks_comes_back_whole() {
    let (_folder, store) = store();
    let bytes: Bytes = (0..1_000_003u32).map(|i| i.to_le_bytes()[i as usize % 2]).collect();
    let wanted = descriptor("1.0.0", &bytes);
    store.put(wanted.clone(), bytes.clone()).await.unwrap();
    let mut chunks = store.download(&wanted, &Rest::default()).await.unwrap().bytes;
    while let Some(chunk) = chunks.next().await {
        assert!(chunk.unwrap().len() <= 65_536);
    }
    assert_eq!(fetch(&store, &wanted, 2_000_000).await.unwrap(), bytes);
}

#[tokio::test]
async fn reopening_finds_everything() {
    let (folder, store) = store();
    put(&store, "1.0.0", b"a").await.unwrap();
    put(&store, "1.1.0-rc.1", b"b").await.unwrap();
    let mut other = descriptor("3.0.0", b"c");
    other.urn = "urn:my_org:actionspace:oracle:search:v3".parse().unwrap();
    store.put(other, Bytes::from_static(b"c")).await.unwrap();
    let again = open(folder.path());
    assert_eq!(again.list().await.unwrap(), store.list().await.unwrap());
    assert_eq!(again.list().await.unwrap().len(), 3);
    assert!(again.damaged().is_empty());
}

#[tokio::test]
async fn without_a_pin_the_highest_release_is_meant_and_a_pre_release_only_when_there_is_no_other() {
    let (_folder, store) = store();
    put(&store, "1.0.0-rc.1", b"a").await.unwrap();
    put(&store, "1.0.0-rc.2", b"b").await.unwrap();
    assert_eq!(resolve(&store, URN).await.unwrap(), "1.0.0-rc.2");
    for version in ["1.9.0", "1.10.0", "1.2.0", "1.11.0-alpha"] {
        put(&store, version, b"c").await.unwrap();
    }
    assert_eq!(resolve(&store, URN).await.unwrap(), "1.10.0");
    assert_eq!(resolve(&store, "urn:kinetic:actionspace:solver:redact:v2").await, None);
}

#[tokio::test]
async fn the_newest_of_each_urn_is_what_it_means_without_a_pin() {
    let (_folder, store) = store();
    assert_eq!(store.newest(), []);
    for version in ["1.0.0", "1.1.0", "1.2.0-rc.1"] {
        put(&store, version, version.as_bytes()).await.unwrap();
    }
    let newest = store.newest();
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0].version.to_string(), "1.1.0");
    assert_eq!(store.resolve(&URN.parse().unwrap()).as_ref(), newest.first());
}

#[tokio::test]
async fn a_pinned_version_and_a_pinned_digest_are_exactly_those() {
    let (_folder, store) = store();
    put(&store, "1.0.0", b"a").await.unwrap();
    put(&store, "1.1.0", b"b").await.unwrap();
    put(&store, "1.2.0-rc.1", b"c").await.unwrap();
    assert_eq!(resolve(&store, &format!("{URN}@1.0.0")).await.unwrap(), "1.0.0");
    assert_eq!(
        resolve(&store, &format!("{URN}@1.2.0-rc.1")).await.unwrap(),
        "1.2.0-rc.1"
    );
    assert_eq!(resolve(&store, &format!("{URN}@1.3.0")).await, None);
    assert_eq!(
        resolve(&store, &format!("{URN}@{}", Digest::of(b"a"))).await.unwrap(),
        "1.0.0"
    );
    assert_eq!(resolve(&store, &format!("{URN}@{}", Digest::of(b"z"))).await, None);
}

#[tokio::test]
async fn the_same_version_again_is_fine_and_other_content_is_a_conflict() {
    use kinetic_model::Coded;
    let (folder, store) = store();
    put(&store, "1.0.0", b"a").await.unwrap();
    put(&store, "1.0.0", b"a").await.unwrap();
    let before = files(folder.path());
    let refused = put(&store, "1.0.0", b"b").await.unwrap_err();
    assert!(matches!(refused, RegistryError::VersionTaken { .. }));
    assert!(refused.fix().contains("Bump the version"));
    let mut other_manifest = descriptor("1.0.0", b"a");
    other_manifest.manifest.push(' ');
    let refused = store.put(other_manifest, Bytes::from_static(b"a")).await;
    assert!(matches!(refused, Err(RegistryError::VersionTaken { .. })));
    assert_eq!(files(folder.path()), before, "a refused put leaves nothing behind");
}

#[tokio::test]
async fn a_version_that_was_signed_anew_takes_the_newer_receipt() {
    let (_folder, store) = store();
    put(&store, "1.0.0", b"a").await.unwrap();
    let mut resigned = descriptor("1.0.0", b"a");
    resigned.receipt["payload"] = json!("other");
    store.put(resigned.clone(), Bytes::from_static(b"a")).await.unwrap();
    assert_eq!(store.describe(&URN.parse().unwrap()).await.unwrap(), resigned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_puts_of_one_version_at_once_the_first_wins_and_the_others_conflict() {
    let (folder, store) = store();
    let contents: [&'static [u8]; 8] = [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"];
    // Two stores on one folder stand for two processes.
    let stores = [store, open(folder.path())];
    let puts = (0..32).map(|i| {
        let store = stores[i % 2].clone();
        tokio::spawn(async move { (i % 8, put(&store, "1.0.0", contents[i % 8]).await) })
    });
    let mut won = Vec::new();
    for task in puts.collect::<Vec<_>>() {
        match task.await.unwrap() {
            (content, Ok(())) => won.push(content),
            (_, Err(RegistryError::VersionTaken { .. })) => {}
            (_, Err(other)) => panic!("{other}"),
        }
    }
    assert_eq!(won.len(), 4, "the four puts of the winning content succeed: {won:?}");
    assert!(won.iter().all(|content| *content == won[0]));
    assert_eq!(files(folder.path()).len(), 2, "one component and one descriptor");
    let described = open(folder.path()).describe(&URN.parse().unwrap()).await.unwrap();
    assert_eq!(described.digest, Digest::of(contents[won[0]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn different_versions_put_at_once_all_arrive() {
    let (folder, store) = store();
    let tasks: Vec<_> = (0..20)
        .map(|minor| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &format!("1.{minor}.0"), b"same").await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(open(folder.path()).list().await.unwrap().len(), 20);
}

#[tokio::test]
async fn bytes_that_do_not_fit_their_descriptor_are_refused_and_leave_nothing() {
    let (folder, store) = store();
    let refused = store
        .put(descriptor("1.0.0", b"promised!"), Bytes::from_static(b"delivered"))
        .await;
    assert!(matches!(refused, Err(RegistryError::DigestMismatch { .. })));
    let refused = store
        .put(descriptor("1.0.0", b"promised"), Bytes::from_static(b"more bytes"))
        .await;
    assert!(matches!(refused, Err(RegistryError::BadDescriptor { .. })));
    let mut other_major = descriptor("1.0.0", b"x");
    other_major.version = "2.0.0".parse().unwrap();
    let refused = store.put(other_major, Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(RegistryError::BadDescriptor { .. })));
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_component_above_the_bound_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path(), 4).unwrap();
    put(&store, "1.0.0", b"four").await.unwrap();
    let refused = put(&store, "1.0.1", b"fives").await;
    assert!(matches!(
        refused,
        Err(RegistryError::TooLarge {
            size_bytes: 5,
            bytes_max: 4,
            ..
        })
    ));
}

#[tokio::test]
async fn a_half_written_file_is_never_offered_and_gone_after_reopening() {
    let (folder, store) = store();
    put(&store, "1.0.0", b"a").await.unwrap();
    let before = files(folder.path());
    fs::write(folder.path().join("tmp").join(".half"), b"{\"urn\":").unwrap();
    let again = open(folder.path());
    assert_eq!(again.list().await.unwrap().len(), 1);
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn damaged_entries_are_set_aside_with_their_reason_and_the_rest_is_served() {
    let (folder, store) = store();
    for (version, bytes) in [
        ("1.0.0", &b"good"[..]),
        ("1.1.0", b"cut"),
        ("1.2.0", b"gone"),
        ("1.3.0", b"text"),
    ] {
        put(&store, version, bytes).await.unwrap();
    }
    let versions = folder.path().join("capabilities/kinetic/solver/redact/v1");
    let blob = |bytes: &[u8]| folder.path().join("blobs/sha256").join(Digest::of(bytes).hex());
    fs::write(blob(b"cut"), b"c").unwrap();
    fs::remove_file(blob(b"gone")).unwrap();
    fs::write(versions.join("1.3.0.json"), b"{").unwrap();
    fs::copy(versions.join("1.0.0.json"), versions.join("1.4.0.json")).unwrap();
    let again = open(folder.path());
    assert_eq!(again.list().await.unwrap(), [descriptor("1.0.0", b"good").summary()]);
    let named: Vec<_> = again
        .damaged()
        .iter()
        .map(|d| d.path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(named, ["1.1.0.json", "1.2.0.json", "1.3.0.json", "1.4.0.json"]);
}

#[tokio::test]
async fn putting_again_repairs_a_damaged_component() {
    let (folder, store) = store();
    put(&store, "1.0.0", b"good").await.unwrap();
    let blob = folder.path().join("blobs/sha256").join(Digest::of(b"good").hex());
    fs::write(&blob, b"evil").unwrap();
    let described = store.describe(&URN.parse().unwrap()).await.unwrap();
    assert!(matches!(
        fetch(&store, &described, 10).await,
        Err(RegistryError::DigestMismatch { .. })
    ));
    put(&store, "1.0.0", b"good").await.unwrap();
    assert_eq!(fetch(&store, &described, 10).await.unwrap(), &b"good"[..]);
}

#[tokio::test]
async fn a_descriptor_changed_behind_the_store_is_refused() {
    let (folder, store) = store();
    put(&store, "1.0.0", b"a").await.unwrap();
    let path = folder.path().join("capabilities/kinetic/solver/redact/v1/1.0.0.json");
    fs::write(&path, serde_json::to_vec(&descriptor("1.0.0", b"evil")).unwrap()).unwrap();
    let refused = store.describe(&URN.parse().unwrap()).await;
    assert!(matches!(refused, Err(RegistryError::StoreDamaged { .. })));
    fs::remove_file(&path).unwrap();
    let refused = store.describe(&URN.parse().unwrap()).await;
    assert!(matches!(refused, Err(RegistryError::StoreDamaged { .. })));
}

#[tokio::test]
async fn when_the_descriptor_cannot_be_written_the_component_is_taken_back() {
    let (folder, store) = store();
    // A file where a folder must be.
    fs::write(folder.path().join("capabilities/kinetic"), b"").unwrap();
    let refused = put(&store, "1.0.0", b"a").await;
    assert!(matches!(refused, Err(RegistryError::StoreFailed { .. })), "{refused:?}");
    assert_eq!(files(folder.path()), ["capabilities/kinetic"]);
    assert_eq!(store.list().await.unwrap(), []);
}

#[test]
fn a_full_disk_has_its_own_error() {
    use std::io::ErrorKind;
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        assert!(matches!(
            disk::failed(Path::new("x"), &kind.into()),
            RegistryError::StoreFull { .. }
        ));
    }
    let other = disk::failed(Path::new("x"), &ErrorKind::PermissionDenied.into());
    assert!(matches!(other, RegistryError::StoreFailed { .. }));
}
