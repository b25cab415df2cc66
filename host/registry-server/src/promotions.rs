//! Promotions in the store: each name of a crystallized topology is written once, beside who published it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use kinetic_identity::{PROMOTION_BYTES_MAX, Promotion, TrustRoot, strict_json};
use kinetic_model::{CapsuleRef, Fault, Pin, Urn};
use kinetic_registry::{AcceptedPromotion, Promoted, RegistryError, accept_promotion, promotion_path, same_promotion};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::ServerError;
use crate::error::tame;
use crate::registry::{NAME, READS_AT_ONCE, Registry};
use crate::store::{Put, Store};
use crate::tokens::Caller;

/// Below it lie the promotions.
const PROMOTIONS: &str = "promotions/";
/// The largest record, and the largest body of a publication, in bytes: an envelope, and little around it.
pub(crate) const KEPT_BYTES_MAX: u64 = PROMOTION_BYTES_MAX as u64 + 4_096;
/// An envelope nests four deep, and sits one level down.
const DEPTH_MAX: usize = 5;
/// The longest version that a promotion has, in bytes: it is a file name.
const VERSION_BYTES_MAX: usize = 128;

/// The body of a publication, as hosts take it too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    promotion: Map<String, Value>,
}

/// One promotion as the store keeps it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The signed envelope.
    promotion: Value,
    /// The name of the token it was published with: its quota counts it.
    publisher: String,
}

/// Form and signatures, before anything is stored. Blocks; reads the trust root.
pub(crate) fn judged(body: &[u8], trust: &Path) -> Result<AcceptedPromotion, Fault> {
    let value = strict_json::parse(body, DEPTH_MAX)?;
    let bad = |why: String| ServerError::BadRequest {
        path: "the body".into(),
        why,
    };
    let Body { promotion } = serde_json::from_value(value).map_err(|error| bad(tame(&error.to_string())))?;
    accept_promotion(&Value::Object(promotion), &TrustRoot::load(trust)?)
}

impl Kept {
    /// What the store holds there; none when nothing is there.
    async fn read(store: &Store, path: &str) -> Result<Option<Self>, ServerError> {
        let Some(bytes) = store.read(path, KEPT_BYTES_MAX).await? else {
            return Ok(None);
        };
        let value = strict_json::parse(&bytes, DEPTH_MAX).map_err(|error| damaged(path, error.to_string()))?;
        let kept = serde_json::from_value(value).map_err(|error| damaged(path, tame(&error.to_string())))?;
        Ok(Some(kept))
    }

    fn envelope(&self) -> Vec<u8> {
        self.promotion.to_string().into_bytes()
    }
}

fn damaged(path: &str, why: impl Into<String>) -> ServerError {
    ServerError::StoreDamaged {
        path: path.into(),
        why: why.into(),
    }
}

impl Registry {
    /// Keeps a promotion; the same topology under its name is the same, whoever signed it, and stays as it is.
    ///
    /// It goes on to its end in a task of its own, so that what was taken is also counted.
    pub(crate) async fn promote(
        self: Arc<Self>,
        caller: Caller,
        accepted: AcceptedPromotion,
        place: OwnedSemaphorePermit,
    ) -> Result<Promoted, Fault> {
        let storing = tokio::spawn(async move {
            let _place = place;
            self.promote_now(&caller, accepted).await
        });
        storing
            .await
            .unwrap_or_else(|_| Err(ServerError::HandlerPanicked {}.into()))
    }

    async fn promote_now(&self, caller: &Caller, accepted: AcceptedPromotion) -> Result<Promoted, Fault> {
        let AcceptedPromotion { promotion, path, .. } = accepted;
        let promoted = Promoted::of(&promotion);
        let what = CapsuleRef {
            urn: promoted.urn.clone(),
            pin: Pin::Version(promoted.version.clone()),
        };
        let _turn = self.writing.lock().await;
        if self.resolve(&what).is_ok() {
            return Err(RegistryError::PromotionTaken {
                what: what.to_string(),
                origin: NAME.into(),
                there: "a capsule".into(),
                digest: promoted.digest.to_string(),
            }
            .into());
        }
        if let Some(there) = Kept::read(&self.store, &path).await? {
            same_promotion(NAME, &there.envelope(), &promotion)?;
            return Ok(promoted);
        }
        let kept = Kept {
            promotion: promotion.to_value(),
            publisher: caller.name.clone(),
        };
        // Texts can always be written.
        let bytes = Bytes::from(serde_json::to_vec(&kept).unwrap_or_default());
        let size_bytes = kept.envelope().len() as u64;
        caller.within_quota(size_bytes, self.catalogue.read().usage(&caller.name))?;
        if self.store.put_once(&path, bytes).await? == Put::Different {
            // Another server was faster.
            let there = Kept::read(&self.store, &path).await?;
            let there = there.ok_or_else(|| damaged(&path, "it was there, and is gone"))?;
            same_promotion(NAME, &there.envelope(), &promotion)?;
            return Ok(promoted);
        }
        self.catalogue.write().count(&caller.name, size_bytes);
        Ok(promoted)
    }

    /// Passes when no promotion has that name: it is permanent.
    pub(crate) async fn not_promoted(&self, urn: &Urn, version: &Version) -> Result<(), ServerError> {
        // No promotion has a longer version, and what is asked for is a file name.
        let may_be = version.to_string().len() <= VERSION_BYTES_MAX;
        if !may_be || self.store.size(&promotion_path(urn, version)).await?.is_none() {
            return Ok(());
        }
        Err(ServerError::NameOfPromotion {
            what: format!("{urn}@{version}"),
        })
    }

    /// The promotion that a reference means; without a pin the highest version that is no pre-release.
    pub(crate) async fn promotion(&self, what: &CapsuleRef) -> Result<Promotion, Fault> {
        let missing = || RegistryError::NotFound {
            what: format!("promotion {what}"),
            origin: NAME.into(),
        };
        let version = match &what.pin {
            Pin::Version(version) => version.clone(),
            Pin::Active => self.newest_promotion(&what.urn).await?.ok_or_else(missing)?,
            Pin::Digest(_) => {
                return Err(ServerError::BadRequest {
                    path: "the path".into(),
                    why: "a promotion is asked for by URN or URN@VERSION".into(),
                }
                .into());
            }
        };
        if version.to_string().len() > VERSION_BYTES_MAX {
            return Err(missing().into());
        }
        let path = promotion_path(&what.urn, &version);
        let kept = Kept::read(&self.store, &path).await?.ok_or_else(missing)?;
        let promotion = Promotion::from_value(&kept.promotion).map_err(|error| damaged(&path, error.to_string()))?;
        if *promotion.urn() != what.urn || *promotion.version() != version {
            return Err(damaged(&path, "it is of another name than its place says").into());
        }
        Ok(promotion)
    }

    async fn newest_promotion(&self, urn: &Urn) -> Result<Option<Version>, ServerError> {
        // Every version of a URN lies in one folder.
        let any = promotion_path(urn, &Version::new(0, 0, 0));
        let folder = any.rsplit_once('/').map_or("", |(folder, _)| folder);
        let paths = self.store.list(&format!("{folder}/")).await?;
        let names = paths
            .iter()
            .filter_map(|path| path.rsplit_once('/')?.1.strip_suffix(".json"));
        let versions = names.filter_map(|name| name.parse::<Version>().ok());
        Ok(versions.max_by(|a, b| (a.pre.is_empty(), a).cmp(&(b.pre.is_empty(), b))))
    }

    /// Counts what is there for those who published it.
    pub(crate) async fn load_promotions(&self) -> Result<(), Fault> {
        let paths = self.store.list(PROMOTIONS).await?;
        let reads = paths.into_iter().map(|path| {
            let store = self.store.clone();
            async move {
                let read = Kept::read(&store, &path).await;
                (path, read)
            }
        });
        let mut kept = futures_util::stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        while let Some((path, read)) = kept.next().await {
            match read {
                Ok(Some(kept)) => {
                    let size_bytes = kept.envelope().len() as u64;
                    self.catalogue.write().count(&kept.publisher, size_bytes);
                }
                Ok(None) => {}
                Err(error @ ServerError::StoreDamaged { .. }) => tracing::warn!("{path} is not served: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
