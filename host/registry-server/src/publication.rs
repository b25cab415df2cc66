//! From a publisher's hands into the store: judged as a host would, then component, then version, then index.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kinetic_identity::{BuildSubject, INDEX_ENTRIES_MAX, RECEIPT_BYTES_MAX, Receipt, TrustRoot, strict_json};
use kinetic_model::{Digest, Fault};
use kinetic_registry::{Descriptor, MANIFEST_BYTES_MAX, Published, RegistryError};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::catalogue::Usage;
use crate::error::tame;
use crate::manifest::Manifest;
use crate::record::Record;
use crate::registry::Registry;
use crate::store::Put;
use crate::tokens::Caller;
use crate::{ServerError, layout};

/// How deep a publication may nest: a receipt may 32, and sits one level down.
const DEPTH_MAX: usize = 33;

/// The body of a publication, as hosts take it too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    manifest: String,
    receipt: Map<String, Value>,
    component: String,
}

/// A version whose receipt counts here.
pub(crate) struct Judged {
    descriptor: Descriptor,
    component: Bytes,
}

/// What the largest publication can take: the largest component as base64, the largest manifest however it is escaped, and
/// the largest receipt.
pub(crate) fn body_bytes_max(component_bytes_max: u64) -> u64 {
    let envelope = MANIFEST_BYTES_MAX * 6 + RECEIPT_BYTES_MAX as u64 + 4_096;
    component_bytes_max
        .div_ceil(3)
        .saturating_mul(4)
        .saturating_add(envelope)
}

impl Judged {
    pub(crate) fn namespace(&self) -> &str {
        self.descriptor.urn.namespace()
    }

    /// Form, bounds, receipt: in this order, and nothing is stored before all are good. Blocks; reads the trust root.
    pub(crate) fn of(body: Bytes, component_bytes_max: u64, trust: &Path) -> Result<Self, Fault> {
        let value = strict_json::parse(&body, DEPTH_MAX)?;
        drop(body);
        let bad = |path: &str, why: String| ServerError::BadRequest { path: path.into(), why };
        let Body {
            manifest: text,
            receipt,
            component,
        } = serde_json::from_value(value).map_err(|error| bad("the body", tame(&error.to_string())))?;
        let bytes = BASE64
            .decode(component)
            .map_err(|error| bad("component", format!("it is not base64: {}", tame(&error.to_string()))))?;
        let size_bytes = bytes.len() as u64;
        if size_bytes > component_bytes_max {
            return Err(RegistryError::TooLarge {
                what: "the component".into(),
                size_bytes,
                bytes_max: component_bytes_max,
            }
            .into());
        }
        if text.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(RegistryError::TooLarge {
                what: "the manifest".into(),
                size_bytes: text.len() as u64,
                bytes_max: MANIFEST_BYTES_MAX,
            }
            .into());
        }
        let manifest = Manifest::parse(&text)?;
        let receipt = Receipt::from_value(&Value::Object(receipt))?;
        let descriptor = Descriptor {
            urn: manifest.id,
            version: manifest.version,
            digest: Digest::of(&bytes),
            size_bytes,
            // One form of it, so that its digest in the index is that of what is handed out.
            receipt: receipt.to_value(),
            manifest: text,
        };
        descriptor.check()?;
        let subject = BuildSubject {
            urn: descriptor.urn.clone(),
            version: descriptor.version.clone(),
            component: descriptor.digest,
            component_bytes: size_bytes,
            manifest: Digest::of(descriptor.manifest.as_bytes()),
        };
        receipt.verify(&TrustRoot::load(trust)?, &subject)?;
        Ok(Self {
            descriptor,
            component: bytes.into(),
        })
    }
}

impl Registry {
    /// Stores a version. `false` beside it: it was there, with just this content.
    ///
    /// It goes on to its end in a task of its own, so that a publisher who hangs up leaves nothing half done.
    pub(crate) async fn publish(
        self: Arc<Self>,
        caller: Caller,
        judged: Judged,
        place: OwnedSemaphorePermit,
    ) -> Result<(Published, bool), Fault> {
        let storing = tokio::spawn(async move {
            // Held for as long as the bytes are.
            let _place = place;
            self.publish_now(&caller, judged).await
        });
        storing
            .await
            .unwrap_or_else(|_| Err(ServerError::HandlerPanicked {}.into()))
    }

    async fn publish_now(&self, caller: &Caller, judged: Judged) -> Result<(Published, bool), Fault> {
        let Judged { descriptor, component } = judged;
        let path = layout::version(&descriptor.urn, &descriptor.version);
        let blob = layout::blob(&descriptor.digest);
        let record = Record {
            descriptor,
            publisher: caller.name.clone(),
        };
        let _turn = self.writing.lock().await;
        let there = Record::read(&self.store, &path).await?;
        if let Some(there) = &there {
            same_version(there, &record)?;
        } else {
            let Descriptor { urn, version, .. } = &record.descriptor;
            self.not_promoted(urn, version).await?;
            caller.within_quota(Usage::of(&record), self.catalogue.read().usage(&caller.name))?;
            self.has_room(caller, record.descriptor.urn.namespace())?;
        }
        // Its name is its digest, so other bytes under it are damage.
        if self.store.put_once(&blob, component.clone()).await? == Put::Different {
            self.store.replace(&blob, component).await?;
        }
        let (record, is_new) = match there {
            Some(there) => (self.again(there, record, &path).await?, false),
            None => self.first(record, &path).await?,
        };
        self.take_in(&record)?;
        self.update(record.descriptor.urn.namespace(), |_| Ok(())).await?;
        let Descriptor {
            urn, version, digest, ..
        } = record.descriptor;
        Ok((Published { urn, version, digest }, is_new))
    }

    /// Passes when the namespace's index can list one more: what it cannot list would keep it from ever being signed again.
    fn has_room(&self, caller: &Caller, namespace: &str) -> Result<(), ServerError> {
        if self.catalogue.read().held_of(namespace) < INDEX_ENTRIES_MAX {
            return Ok(());
        }
        Err(ServerError::QuotaUsedUp {
            name: caller.name.clone(),
            what: "versions in one namespace".into(),
            max: INDEX_ENTRIES_MAX as u64,
        })
    }

    /// From here on it is published. Whoever publishes something else at the same time finds it there.
    async fn first(&self, record: Record, path: &str) -> Result<(Record, bool), Fault> {
        if self.store.put_once(path, record.to_bytes()).await? != Put::Different {
            return Ok((record, true));
        }
        let there = Record::read(&self.store, path).await?;
        let there = there.ok_or_else(|| ServerError::StoreDamaged {
            path: path.into(),
            why: "it was there, and is gone".into(),
        })?;
        same_version(&there, &record)?;
        Ok((self.again(there, record, path).await?, false))
    }

    /// The same bytes may come with a receipt that was signed anew, as after a change of keys.
    async fn again(&self, there: Record, record: Record, path: &str) -> Result<Record, Fault> {
        if there.descriptor.receipt == record.descriptor.receipt {
            return Ok(there);
        }
        let newer = Record {
            publisher: there.publisher,
            ..record
        };
        self.store.replace(path, newer.to_bytes()).await?;
        Ok(newer)
    }
}

fn same_version(there: &Record, record: &Record) -> Result<(), RegistryError> {
    if there.is_as(record) {
        return Ok(());
    }
    Err(RegistryError::VersionTaken {
        urn: record.descriptor.urn.to_string(),
        version: record.descriptor.version.to_string(),
    })
}
