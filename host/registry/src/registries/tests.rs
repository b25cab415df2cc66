//! Who is asked, who wins, and who may not stand in whose way: over folders, which need no network.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;

use super::entry::tests::registry;
use super::named::Named;
use super::*;
use crate::store::tests::descriptor;
use crate::{Download, FolderStore, Rest, fetch};

const URN: &str = "urn:kinetic:actionspace:solver:redact:v1";

struct World {
    folder: TempDir,
    registries: Registries,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registries = Registries::new(folder.path().join("registries.json"), Vec::new());
        Self { folder, registries }
    }

    /// A registry that is a folder of that name.
    async fn add(&self, name: &str, scope: Scope, namespaces: &[&str], holds: &[(&str, &'static [u8])]) {
        let path = self.folder.path().join(name);
        let one = Registry {
            namespaces: namespaces.iter().map(|text| (*text).to_string()).collect(),
            ..registry(name, &format!("dir:{}", path.display()), scope)
        };
        Registries::add(&self.folder.path().join("registries.json"), one.clone()).unwrap();
        for (version, bytes) in holds {
            let held = descriptor(version, bytes);
            one.publish(&held, Bytes::from_static(bytes), None).await.unwrap();
        }
    }

    /// Takes the folder of a registry away.
    fn unplug(&self, name: &str) {
        let path = self.folder.path().join(name);
        std::fs::rename(&path, path.with_extension("away")).unwrap();
    }

    /// Version and registry that a reference is found as.
    async fn found(&self, reference: &str) -> Result<(String, String), RegistryError> {
        let (source, descriptor) = self.registries.find(&reference.parse().unwrap()).await?;
        let name = source.name().split(' ').next().unwrap().to_string();
        Ok((descriptor.version.to_string(), name))
    }
}

fn of(version: &str, name: &str) -> (String, String) {
    (version.to_string(), name.to_string())
}

#[tokio::test]
async fn the_nearer_scope_wins_and_within_one_whoever_was_added_first() {
    let world = World::new();
    world.add("far", Scope::Global, &[], &[("1.9.0", b"far")]).await;
    world.add("second", Scope::Tenant, &[], &[("1.1.0", b"b")]).await;
    world.add("third", Scope::Tenant, &[], &[("1.2.0", b"c")]).await;
    assert_eq!(world.found(URN).await.unwrap(), of("1.1.0", "second"));
    assert_eq!(world.found(&format!("{URN}@1.9.0")).await.unwrap(), of("1.9.0", "far"));
    world.add("near", Scope::Local, &[], &[("1.0.0", b"a")]).await;
    assert_eq!(world.found(URN).await.unwrap(), of("1.0.0", "near"));
    let names: Vec<_> = world
        .registries
        .list()
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["near", "second", "third", "far"]);
}

#[tokio::test]
async fn what_is_found_is_fetched_from_where_it_was_found() {
    let world = World::new();
    world.add("only", Scope::Global, &[], &[("1.0.0", b"bytes")]).await;
    let (source, described) = world.registries.find(&URN.parse().unwrap()).await.unwrap();
    assert_eq!(fetch(&*source, &described, 10).await.unwrap(), &b"bytes"[..]);
    assert!(source.name().starts_with("only (dir:/"), "{}", source.name());
}

#[tokio::test]
async fn a_namespace_is_asked_of_those_alone_who_have_it() {
    let world = World::new();
    world.add("near", Scope::Local, &[], &[("1.9.0", b"evil")]).await;
    world
        .add("owner", Scope::Global, &["kinetic"], &[("1.0.0", b"good")])
        .await;
    world
        .add("others", Scope::Tenant, &["acme"], &[("1.8.0", b"evil")])
        .await;
    assert_eq!(world.found(URN).await.unwrap(), of("1.0.0", "owner"));
    let missing = world.found(&format!("{URN}@1.9.0")).await.unwrap_err();
    match missing {
        RegistryError::NotFound { origin, .. } => assert!(origin.starts_with("owner (") && !origin.contains("near (")),
        other => panic!("{other}"),
    }
    for (name, why) in [("near", "\"owner\" of scope global has it"), ("others", "\"owner\"")] {
        let refused = world
            .registries
            .find_in(name, &URN.parse().unwrap())
            .await
            .err()
            .unwrap();
        assert!(
            matches!(&refused, RegistryError::NotForNamespace { why: said, .. } if said.contains(why)),
            "{refused}"
        );
    }
    assert!(world.registries.named("owner", "kinetic").is_ok());
    assert!(matches!(
        world.registries.named("others", "somebody"),
        Err(RegistryError::NotForNamespace { .. })
    ));
    assert!(matches!(
        world.registries.named("nobody", "kinetic"),
        Err(RegistryError::NoSuchRegistry { .. })
    ));
}

#[tokio::test]
async fn one_version_with_two_contents_is_refused_and_both_who_have_it_are_named() {
    let world = World::new();
    world.add("near", Scope::Local, &[], &[("1.0.0", b"one")]).await;
    // Unpinned the second one would not even have been compared by its newest version.
    world
        .add("far", Scope::Global, &[], &[("1.0.0", b"two"), ("1.1.0", b"three")])
        .await;
    for reference in [URN.to_string(), format!("{URN}@1.0.0")] {
        match world.found(&reference).await.unwrap_err() {
            RegistryError::Shadowed {
                first,
                second,
                first_digest,
                second_digest,
                ..
            } => {
                assert!(first.starts_with("near (") && second.starts_with("far ("));
                assert_eq!(String::from(first_digest), Digest::of(b"one").to_string());
                assert_eq!(String::from(second_digest), Digest::of(b"two").to_string());
            }
            other => panic!("{other}"),
        }
    }
    let pinned = format!("{URN}@{}", Digest::of(b"two"));
    assert_eq!(world.found(&pinned).await.unwrap(), of("1.0.0", "far"));
    assert_eq!(world.found(&format!("{URN}@1.1.0")).await.unwrap(), of("1.1.0", "far"));
}

#[tokio::test]
async fn a_near_registry_that_cannot_be_asked_is_not_passed_over_for_a_far_one() {
    let world = World::new();
    world.add("near", Scope::Local, &[], &[("1.0.0", b"a")]).await;
    world.add("far", Scope::Global, &[], &[("1.0.0", b"a")]).await;
    world.unplug("far");
    assert_eq!(world.found(URN).await.unwrap(), of("1.0.0", "near"));
    world.unplug("near");
    let refused = world.found(URN).await.unwrap_err();
    assert!(
        matches!(&refused, RegistryError::Unreachable { origin, .. } if origin.contains("near")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_change_of_the_file_counts_at_the_next_question() {
    let world = World::new();
    let missing = world.found(URN).await.unwrap_err();
    assert!(matches!(missing, RegistryError::NotFound { origin, .. } if origin.is_empty()));
    world.add("one", Scope::Global, &[], &[("1.0.0", b"a")]).await;
    assert_eq!(world.found(URN).await.unwrap(), of("1.0.0", "one"));
    let file = world.folder.path().join("registries.json");
    Registries::remove(&file, "one").unwrap();
    assert!(matches!(world.found(URN).await, Err(RegistryError::NotFound { .. })));
    assert!(matches!(
        Registries::remove(&file, "one"),
        Err(RegistryError::NoSuchRegistry { .. })
    ));
    std::fs::write(&file, "{").unwrap();
    assert!(matches!(
        world.found(URN).await,
        Err(RegistryError::BadRegistryFile { .. })
    ));
}

#[tokio::test]
async fn publishing_the_same_again_succeeds_and_other_content_under_the_version_is_refused() {
    let world = World::new();
    world.add("one", Scope::Global, &[], &[("1.0.0", b"a")]).await;
    let one = world.registries.named("one", "kinetic").unwrap();
    let publish = async |bytes: &'static [u8]| {
        let version = descriptor("1.0.0", bytes);
        one.publish(&version, Bytes::from_static(bytes), None).await
    };
    publish(b"a").await.unwrap();
    assert!(matches!(publish(b"b").await, Err(RegistryError::VersionTaken { .. })));
}

#[tokio::test]
async fn who_delivers_later_tells_what_is_there_from_what_is_not_and_from_a_registry_that_is_away() {
    let world = World::new();
    world.add("one", Scope::Global, &[], &[("1.0.0", b"a")]).await;
    let to: &dyn Publish = &world.registries;
    to.permits("one", "kinetic").unwrap();
    assert!(matches!(
        to.permits("two", "kinetic"),
        Err(RegistryError::NoSuchRegistry { .. })
    ));
    let (there, other) = (descriptor("1.0.0", b"a"), descriptor("1.1.0", b"b"));
    let what = |version: &str| format!("{URN}@{version}").parse::<CapsuleRef>().unwrap();
    assert_eq!(to.held("one", &what("1.0.0")).await.unwrap(), Some(there));
    assert_eq!(to.held("one", &what("1.1.0")).await.unwrap(), None);
    for _ in 0..2 {
        to.publish("one", &other, Bytes::from_static(b"b")).await.unwrap();
    }
    assert_eq!(to.held("one", &what("1.1.0")).await.unwrap(), Some(other));
    world.unplug("one");
    assert!(matches!(
        to.held("one", &what("1.0.0")).await,
        Err(RegistryError::Unreachable { .. })
    ));
}

#[test]
fn registries_beside_the_file_are_among_them_and_their_names_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registries.json");
    let besides = || vec![registry("ecosystem", "http://127.0.0.1:9", Scope::Global)];
    Registries::add(&file, registry("one", "dir:/srv/x", Scope::Global)).unwrap();
    let both = Registries::new(file.clone(), besides()).list().unwrap();
    assert_eq!(
        both.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["one", "ecosystem"]
    );
    Registries::add(&file, registry("ecosystem", "dir:/srv/y", Scope::Global)).unwrap();
    let refused = Registries::new(file, besides()).list();
    assert!(matches!(refused, Err(RegistryError::RegistryExists { .. })));
}

#[tokio::test]
async fn it_is_said_when_nobody_could_be_asked_and_not_when_one_answered() {
    let world = World::new();
    world.add("near", Scope::Tenant, &[], &[("1.0.0", b"a")]).await;
    world.add("far", Scope::Global, &[], &[]).await;
    world.add("gone", Scope::Global, &[], &[("1.0.0", b"a")]).await;
    let far = world.folder.path().join("far");
    FolderStore::open(&far, u64::MAX).unwrap();
    world.unplug("near");
    world.unplug("gone");
    let missed = world
        .registries
        .find_or_miss(&URN.parse().unwrap())
        .await
        .err()
        .unwrap();
    assert!(
        missed.error.is_away() && missed.away.is_empty(),
        "one has none: {missed:?}"
    );
    world.unplug("far");
    let missed = world
        .registries
        .find_or_miss(&URN.parse().unwrap())
        .await
        .err()
        .unwrap();
    assert!(missed.error.is_away());
    let names: Vec<_> = missed
        .away
        .iter()
        .map(|label| label.split(' ').next().unwrap())
        .collect();
    assert_eq!(names, ["near", "far", "gone"]);
}

/// Takes every question, and answers none.
struct Silent;

#[async_trait]
impl Source for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }
    async fn describe(&self, _: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        std::future::pending().await
    }
    async fn download(&self, _: &Descriptor, _: &Rest) -> Result<Download, RegistryError> {
        unreachable!("it is never found")
    }
    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        unreachable!("nobody asks for it")
    }
}

#[tokio::test]
async fn a_registry_that_never_says_what_it_has_is_not_waited_for_without_end() {
    let named = Named {
        label: "far (oci://registry.example)".into(),
        source: Arc::new(Silent),
        patience: Patience {
            answer: Duration::from_millis(10),
            ..Patience::default()
        },
    };
    let given_up = named.describe(&URN.parse().unwrap()).await;
    assert!(
        matches!(&given_up, Err(RegistryError::SourceTimeout { origin }) if origin.starts_with("far (")),
        "{given_up:?}"
    );
}
