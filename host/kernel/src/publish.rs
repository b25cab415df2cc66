//! From a publisher's hands into the local store, and into its place if it is the newest.

use std::sync::Arc;

use bytes::Bytes;
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Urn};
use kinetic_registry::{Descriptor, RegistryError, Source as _};
use serde_json::{Value, json};

use crate::admission::Loaded;
use crate::{Actor, Capsule, Kernel, Manifest};

impl Kernel {
    /// Admits a capsule and puts it into the local store. Nothing that is refused reaches the store. It takes its
    /// place at once if it is the newest.
    ///
    /// # Errors
    /// As admission's; a version that exists with other bytes is a conflict.
    pub async fn publish(&self, manifest: String, receipt: Value, component: Bytes) -> Result<Arc<Capsule>, Fault> {
        let kernel = self.clone();
        self.to_the_end(async move { kernel.publish_now(manifest, receipt, component).await })
            .await
    }

    async fn publish_now(&self, manifest: String, receipt: Value, component: Bytes) -> Result<Arc<Capsule>, Fault> {
        let (loaded, descriptor) = self.admit_published(manifest, receipt, &component).await?;
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
        let installed = self.install(loaded, false, Actor::Publisher).await;
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
        self.to_the_end(async move { kernel.stage_now(manifest, receipt, component).await })
            .await
    }

    async fn stage_now(&self, manifest: String, receipt: Value, component: Bytes) -> Result<Descriptor, Fault> {
        let (loaded, descriptor) = self.admit_published(manifest, receipt, &component).await?;
        self.store()
            .put(descriptor.clone(), component)
            .await
            .map_err(|e| Fault::from(&e))?;
        self.show_stored(&loaded.manifest.id).await;
        self.choose(&loaded.manifest.id).await?;
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

    /// Admitted before it is stored, stored before it is active: a crash in between leaves a version that the next start
    /// admits again.
    async fn admit_published(
        &self,
        manifest: String,
        receipt: Value,
        component: &Bytes,
    ) -> Result<(Loaded, Descriptor), Fault> {
        let parsed = Manifest::parse(&manifest)?;
        let descriptor = Descriptor {
            urn: parsed.id.clone(),
            version: parsed.version.clone(),
            digest: Digest::of(component),
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
            .admit(descriptor.clone(), component.clone(), Actor::Publisher)
            .await?;
        Ok((loaded, descriptor))
    }
}
