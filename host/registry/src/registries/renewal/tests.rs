//! An index made of what a folder holds, and those who ask it: over real files and a real root document.

use bytes::Bytes;
use kinetic_identity::BuildInfo;
use tempfile::TempDir;

use super::super::entry::tests::registry;
use super::super::indexes::tests::pin;
use super::super::{Publish as _, Registry, Scope};
use super::*;
use crate::store::tests::descriptor;

const URN: &str = "urn:kinetic:actionspace:solver:redact:v1";

struct World {
    folder: TempDir,
    key: SigningKey,
    registries: Registries,
    site: Registry,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (trust, file) = (folder.path().join("trust.json"), folder.path().join("registries.json"));
        let key = SigningKey::generate().unwrap();
        pin(&trust, &key);
        let place = format!("dir:{}", folder.path().join("site").display());
        let site = registry("site", &place, Scope::Global);
        Registries::add(&file, site.clone()).unwrap();
        let indexes = Indexes::new(folder.path().join("indexes"), trust, Duration::ZERO);
        Self {
            registries: Registries::new(file, Vec::new()).held_against(indexes),
            folder,
            key,
            site,
        }
    }

    async fn publish(&self, version: &str, key: &SigningKey) {
        let bytes = Bytes::copy_from_slice(version.as_bytes());
        let mut held = descriptor(version, &bytes);
        let subject = BuildSubject {
            urn: held.urn.clone(),
            version: held.version.clone(),
            component: held.digest,
            component_bytes: held.size_bytes,
            manifest: Digest::of(held.manifest.as_bytes()),
        };
        held.receipt = Receipt::sign(&subject, &BuildInfo::default(), key).unwrap().to_value();
        self.site.publish(&held, bytes, None).await.unwrap();
    }

    async fn renew_with(&self, key: SigningKey, yank: &[(&str, &str)]) -> Result<Renewed, RegistryError> {
        let yank = yank
            .iter()
            .map(|(version, why)| (URN.parse().unwrap(), version.parse().unwrap(), (*why).to_string()));
        let renewal = Renewal {
            keys: &[key],
            valid: Duration::from_hours(1),
            yank: yank.collect(),
            unyank: Vec::new(),
            urns: Vec::new(),
        };
        self.registries.renew_index("site", "kinetic", renewal).await
    }

    async fn renew(&self, yank: &[(&str, &str)]) -> Result<Renewed, RegistryError> {
        let pem = self.folder.path().join("key.pem");
        if !pem.exists() {
            self.key.save(&pem).unwrap();
        }
        self.renew_with(SigningKey::load(&pem).unwrap(), yank).await
    }

    async fn finds(&self, pin: &str) -> Result<String, RegistryError> {
        let what = format!("{URN}{pin}").parse().unwrap();
        let (_, found) = self.registries.find(&what).await?;
        Ok(found.version.to_string())
    }
}

#[tokio::test]
async fn an_index_lists_what_is_there_and_signed_and_its_version_counts_up() {
    let world = World::new();
    world.publish("1.0.0", &world.key).await;
    world.publish("1.0.1", &SigningKey::generate().unwrap()).await;
    assert!(matches!(world.finds("").await, Err(RegistryError::NoIndex { .. })));
    let first = world.renew(&[]).await.unwrap();
    assert_eq!(
        (first.index.document().version, first.added, first.left.len()),
        (1, 1, 1)
    );
    assert_eq!(first.left[0].what, format!("{URN}@1.0.1"));
    assert_eq!(first.left[0].why.code, "KIN-IDN-0040");
    assert_eq!(world.finds("").await.unwrap(), "1.0.0");
    world.publish("1.1.0", &world.key).await;
    assert!(matches!(
        world.finds("@1.1.0").await,
        Err(RegistryError::NotInIndex { .. })
    ));
    // Whoever publishes looks what is there, listed or not.
    let what = format!("{URN}@1.1.0").parse().unwrap();
    assert!(world.registries.held("site", &what).await.unwrap().is_some());
    let file = world.folder.path().join("site/index/kinetic.json");
    let old = std::fs::read(&file).unwrap();
    let second = world.renew(&[]).await.unwrap();
    assert_eq!((second.index.document().version, second.added), (2, 1));
    assert_eq!(world.finds("").await.unwrap(), "1.1.0");
    let listed = world.registries.list_of("site", &["kinetic".into()]).await.unwrap();
    assert_eq!(listed.len(), 2, "of what is listed, not of what is there");

    std::fs::write(&file, old).unwrap();
    let refused = world.finds("").await.unwrap_err();
    assert!(
        matches!(&refused, RegistryError::IndexRefused { error, .. }
            if matches!(**error, IdentityError::IndexRolledBack { found: 1, seen: 2, .. })),
        "{refused}"
    );
    assert!(world.renew(&[]).await.is_err(), "nor is it gone on from");
}

#[tokio::test]
async fn what_is_yanked_is_passed_over_and_said_and_what_is_not_listed_cannot_be() {
    let world = World::new();
    for version in ["1.0.0", "1.1.0"] {
        world.publish(version, &world.key).await;
    }
    let unknown = world.renew(&[("1.2.0", "why")]).await;
    assert!(matches!(unknown, Err(RegistryError::NotListed { .. })));
    world.renew(&[("1.1.0", "it forgets")]).await.unwrap();
    assert_eq!(world.finds("").await.unwrap(), "1.0.0");
    let urn = URN.parse().unwrap();
    let yanked = world.registries.yanked(&urn, &"1.1.0".parse().unwrap()).await.unwrap();
    assert!(matches!(yanked, Some(RegistryError::Yanked { why, .. }) if why == "it forgets"));
    let fine = world.registries.yanked(&urn, &"1.0.0".parse().unwrap()).await.unwrap();
    assert_eq!(fine, None);
    let again = world.renew(&[]).await.unwrap();
    let still = again
        .index
        .document()
        .entries
        .iter()
        .filter(|entry| entry.yanked.is_some());
    assert_eq!(still.count(), 1, "it stays so");
}

#[tokio::test]
async fn nothing_is_put_up_that_those_who_ask_would_refuse() {
    let world = World::new();
    world.publish("1.0.0", &world.key).await;
    let refused = world.renew_with(SigningKey::generate().unwrap(), &[]).await;
    assert!(matches!(refused, Err(RegistryError::IndexRefused { .. })));
    assert!(!world.folder.path().join("site/index").exists());
    let other = Renewal {
        keys: &[],
        valid: Duration::from_hours(1),
        yank: Vec::new(),
        unyank: Vec::new(),
        urns: Vec::new(),
    };
    let refused = world.registries.renew_index("site", "../kinetic", other).await;
    assert!(matches!(refused, Err(RegistryError::NotForNamespace { .. })));
}
