//! From a publisher's hands into the local store, and into its place if it is the newest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kinetic_identity::{BuildSubject, Receipt, TrustRoot};
use kinetic_model::{CapsuleRef, Digest, Fault, Hashed, LimitsAsk, Pin, Urn};
use kinetic_registry::{Descriptor, RegistryError, Source as _};
use serde_json::{Value, json};

use crate::admission::Loaded;
use crate::life::Binding;
use crate::watched::Candidate;
use crate::{Actor, Capsule, Cause, Kernel, Manifest, State};

/// What somebody hands over.
struct Handed {
    manifest: String,
    receipt: Value,
    component: Bytes,
}

/// On which way it came: what its records say.
struct Way {
    /// Why its life begins, and where it was found if there is more to say.
    found: (Cause, Value),
    /// Why it becomes what its URN means.
    active: Cause,
    /// Where its bytes came from.
    source: String,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            found: (Cause::Found, Value::Null),
            active: Cause::Activated,
            source: PUBLISHER.to_string(),
        }
    }
}

/// Where the bytes of what is published come from, as records name it.
pub(crate) const PUBLISHER: &str = "its publisher";

impl Kernel {
    /// Admits a capsule and puts it into the local store. Nothing that is refused reaches the store. It takes its
    /// place at once if it is the newest.
    ///
    /// # Errors
    /// As admission's; a version that exists with other bytes is a conflict.
    pub async fn publish(&self, manifest: String, receipt: Value, component: Bytes) -> Result<Arc<Capsule>, Fault> {
        let kernel = self.clone();
        let handed = Handed {
            manifest,
            receipt,
            component,
        };
        let way = Way::default();
        self.to_the_end(Box::pin(async move { kernel.publish_now(handed, way).await }))
            .await
    }

    /// As [`Kernel::publish`], of what was found in a watched folder or registry.
    ///
    /// # Errors
    /// As [`Kernel::publish`]'s.
    pub(crate) async fn publish_watched(&self, candidate: Candidate) -> Result<Arc<Capsule>, Fault> {
        let kernel = self.clone();
        let way = Way {
            found: (Cause::Watched, json!({ "entry": candidate.entry })),
            active: Cause::Watched,
            source: candidate.source,
        };
        let handed = Handed {
            manifest: candidate.manifest,
            receipt: candidate.receipt,
            component: candidate.component,
        };
        self.to_the_end(Box::pin(async move { kernel.publish_now(handed, way).await }))
            .await
    }

    /// Whether the store has just this, under this receipt or one that counts as well.
    pub(crate) async fn has_stored(&self, found: &Descriptor) -> bool {
        let reference = CapsuleRef {
            urn: found.urn.clone(),
            pin: Pin::Version(found.version.clone()),
        };
        let stored = self.store().describe(&reference).await;
        stored.is_ok_and(|stored| {
            let same = stored.digest == found.digest && stored.manifest == found.manifest;
            same && (stored.receipt == found.receipt || self.still_counts(&stored))
        })
    }

    /// Whether the store has an active version under a receipt that is believed today, as when it was signed anew before one of
    /// its keys went.
    pub(crate) async fn signed_anew(&self, capsule: &Capsule) -> bool {
        let reference = CapsuleRef {
            urn: capsule.manifest.id.clone(),
            pin: Pin::Version(capsule.manifest.version.clone()),
        };
        let stored = self.store().describe(&reference).await;
        stored.is_ok_and(|stored| {
            let manifest = Digest::of(stored.manifest.as_bytes());
            stored.digest == capsule.digest && manifest == capsule.manifest_digest && self.still_counts(&stored)
        })
    }

    /// Whether the receipt of a stored version is believed today: keys may have gone since, and the bytes be signed anew.
    fn still_counts(&self, stored: &Descriptor) -> bool {
        let subject = BuildSubject {
            urn: stored.urn.clone(),
            version: stored.version.clone(),
            component: stored.digest,
            component_bytes: stored.size_bytes,
            manifest: Digest::of(stored.manifest.as_bytes()),
        };
        let receipt = Receipt::from_value(&stored.receipt);
        let root = TrustRoot::load(self.trust_root());
        receipt.is_ok_and(|receipt| root.is_ok_and(|root| receipt.verify(&root, &subject).is_ok()))
    }

    async fn publish_now(&self, handed: Handed, way: Way) -> Result<Arc<Capsule>, Fault> {
        let component = handed.component.clone();
        let (loaded, descriptor) = self.admit_published(handed, way.found, &way.source).await?;
        let urn = loaded.manifest.id.clone();
        if let Ok(current) = self.current(&urn)
            && current.digest != loaded.digest
            && current.manifest.version < loaded.manifest.version
            && let Err(fault) = self.compare(&current, &loaded, false).await
        {
            self.quarantine_loaded(&loaded, &fault, Actor::Publisher).await?;
            return Err(fault);
        }
        if self.is_part(&urn)
            && let Err(nobody) = self.current(&urn)
        {
            self.let_go(&loaded, Actor::Publisher).await?;
            return Err(nobody.into());
        }
        // Where it runs is decided when it is installed; nothing that cannot run anywhere reaches the store.
        self.placed(&loaded, Actor::Publisher).await?;
        self.store()
            .put(descriptor, component)
            .await
            .map_err(|e| Fault::from(&e))?;
        let installed = self.install(loaded, false, Actor::Publisher, way.active).await;
        if installed.is_err() {
            self.show_stored(&urn).await;
        }
        installed
    }

    /// Admits a capsule and puts it into the local store, and lets it go again: somebody swaps to it, or calls it.
    ///
    /// # Errors
    /// As [`Kernel::publish`]'s.
    pub async fn stage(&self, manifest: String, receipt: Value, component: Bytes) -> Result<Descriptor, Fault> {
        let kernel = self.clone();
        let handed = Handed {
            manifest,
            receipt,
            component,
        };
        self.to_the_end(Box::pin(async move { kernel.stage_now(handed).await }))
            .await
    }

    async fn stage_now(&self, handed: Handed) -> Result<Descriptor, Fault> {
        let component = handed.component.clone();
        let (loaded, descriptor) = self.admit_published(handed, Way::default().found, PUBLISHER).await?;
        // Said before it is there: a host that is killed in between would start it.
        self.choose(&loaded.manifest.id).await?;
        self.leave_waiting(&loaded).await?;
        self.store()
            .put(descriptor.clone(), component)
            .await
            .map_err(|e| Fault::from(&e))?;
        self.show_stored(&loaded.manifest.id).await;
        self.let_go(&loaded, Actor::Publisher).await?;
        Ok(descriptor)
    }

    /// From now on only somebody's word changes what the URN means: a restart must not take the newest for it.
    async fn choose(&self, urn: &Urn) -> Result<(), Fault> {
        let _turn = self.turn(urn).await;
        let (Some(mut binding), Ok(current)) = (self.binding(urn), self.current(urn)) else {
            return Ok(());
        };
        if !binding.chosen {
            binding.chosen = true;
            let document = json!({ "event": "swap", "step": "chosen" });
            self.journal().bind(&current.named, &binding, document).await?;
            self.put_binding(urn, binding);
        }
        Ok(())
    }

    /// What was never active waits until somebody calls it: a restart must not take that for its wish.
    async fn leave_waiting(&self, loaded: &Loaded) -> Result<(), Fault> {
        let urn = &loaded.manifest.id;
        let _turn = self.turn(urn).await;
        if self.standing(urn).is_some() || self.current(urn).is_ok() {
            return Ok(());
        }
        let binding = Binding {
            state: State::Unloaded,
            reason: None,
            generation: 0,
            version: loaded.manifest.version.clone(),
            digest: loaded.digest,
            chosen: false,
            former: None,
            probation: false,
            providers: BTreeMap::new(),
            limits: LimitsAsk::default(),
        };
        let document = json!({ "event": "swap", "step": "staged" });
        self.journal().bind(&loaded.named, &binding, document).await?;
        self.put_binding(urn, binding);
        Ok(())
    }

    /// Admitted before it is stored, stored before it is active: a crash in between leaves a version that the next start
    /// admits again.
    async fn admit_published(
        &self,
        handed: Handed,
        found: (Cause, Value),
        source: &str,
    ) -> Result<(Loaded, Descriptor), Fault> {
        let Handed {
            manifest,
            receipt,
            component,
        } = handed;
        let parsed = Manifest::parse(&manifest)?;
        let component = Hashed::of(component);
        let descriptor = Descriptor {
            urn: parsed.id.clone(),
            version: parsed.version.clone(),
            digest: component.digest(),
            size_bytes: component.len() as u64,
            manifest,
            receipt,
        };
        // Before anything is compiled: a version is immutable.
        let reference = CapsuleRef {
            urn: parsed.id,
            pin: Pin::Version(parsed.version),
        };
        let is_other =
            |existing: &Descriptor| existing.digest != descriptor.digest || existing.manifest != descriptor.manifest;
        let stored = self.store().describe(&reference).await.ok();
        let own = self.parts().own(&descriptor.urn);
        let own = own.filter(|own| own.version == descriptor.version);
        if stored.as_ref().is_some_and(is_other) || own.is_some_and(is_other) {
            let error = RegistryError::VersionTaken {
                urn: descriptor.urn.to_string(),
                version: descriptor.version.to_string(),
            };
            return Err(Fault::from(&error));
        }
        self.refuse_quarantined(&descriptor)?;
        let loaded = self
            .admit(descriptor.clone(), component, source, Actor::Publisher, found)
            .await?;
        Ok((loaded, descriptor))
    }
}
