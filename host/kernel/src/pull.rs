//! From a registry to verified bytes: nothing of them is compiled, stored or run.

use std::sync::Arc;

use bytes::Bytes;
use kinetic_model::{CapsuleRef, Fault};
use kinetic_registry::{Descriptor, Source, fetch};

use crate::Kernel;
use crate::admission::{Code, Described};
use crate::admit::within;

/// A version that a registry delivered, and that this host would admit as far as its signature and manifest go.
#[derive(Debug)]
pub struct Pulled {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its component.
    pub component: Bytes,
    /// The ids of the keys that signed it, with plus signs between them.
    pub signer: String,
    /// The registry it came from, by its name here, or the local store.
    pub source: String,
}

impl Kernel {
    /// Fetches a version from the registries, or only from the one of that name, and verifies it: receipt, manifest, the
    /// lock file if there is one, and only then the component, by its digest.
    ///
    /// # Errors
    /// Not found, unreachable, quarantined, or not what the trust root would have; nothing is left behind.
    pub async fn pull(&self, what: &CapsuleRef, from: Option<&str>) -> Result<Pulled, Fault> {
        self.not_a_part(&what.urn)?;
        let what = &self.as_locked(what);
        let found = match from {
            Some(name) => self.registries().find_in(name, what).await,
            None => self.registries().find(what).await,
        };
        let (source, descriptor) = found.map_err(|error| Fault::from(&error))?;
        self.pulled(what, source, descriptor).await
    }

    /// As [`Kernel::pull`], from the local store: keys may have gone since it came there.
    ///
    /// # Errors
    /// As [`Kernel::pull`]'s.
    pub async fn pull_stored(&self, what: &CapsuleRef) -> Result<Pulled, Fault> {
        let source: Arc<dyn Source> = self.store().clone();
        let descriptor = source.describe(what).await.map_err(|error| Fault::from(&error))?;
        self.pulled(what, source, descriptor).await
    }

    /// What a source described, verified: receipt and manifest first, and only then the component.
    pub(crate) async fn pulled(
        &self,
        what: &CapsuleRef,
        source: Arc<dyn Source>,
        descriptor: Descriptor,
    ) -> Result<Pulled, Fault> {
        let (source, descriptor) = crate::install::as_asked(what, source, descriptor)?;
        self.refuse_quarantined(&descriptor)?;
        let bytes_max = self.engine().config().component_bytes_max;
        within(&descriptor, bytes_max)?;
        let (urn, version) = (descriptor.urn.clone(), descriptor.version.clone());
        let described = Described {
            named: self.journal().begin(urn, version, descriptor.digest, source.name()),
            descriptor: descriptor.clone(),
        };
        let vouched = described.vouch(&self.0.judge).map_err(|refusal| refusal.fault)?;
        let (_, _, signer) = vouched.what();
        let signer = signer.to_string();
        let component = fetch(&*source, &descriptor, bytes_max).await;
        let component = component.map_err(|error| Fault::from(&error))?;
        let verified = vouched.with(Code::Bytes(component.clone()));
        verified.map_err(|refusal| refusal.fault)?;
        Ok(Pulled {
            signer,
            source: source.name().to_string(),
            descriptor,
            component: component.into_bytes(),
        })
    }
}
