//! From a registry to verified bytes: nothing of them is compiled, stored or run.

use bytes::Bytes;
use kinetic_model::{CapsuleRef, Fault};
use kinetic_registry::{Descriptor, fetch};

use crate::Kernel;
use crate::admission::Discovered;

/// A version that a registry delivered, and that this host would admit as far as its signature and manifest go.
#[derive(Debug)]
pub struct Pulled {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its component.
    pub component: Bytes,
    /// The ids of the keys that signed it, with plus signs between them.
    pub signer: String,
    /// The registry it came from, by its name here.
    pub source: String,
}

impl Kernel {
    /// Fetches a version from the registries, or only from the one of that name, and verifies it: digest, receipt,
    /// manifest, and the lock file if there is one.
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
        let (source, descriptor) = crate::install::as_asked(what, source, descriptor)?;
        self.refuse_quarantined(&descriptor)?;
        let bytes_max = self.engine().config().component_bytes_max;
        let component = fetch(&*source, &descriptor, bytes_max).await;
        let component = component.map_err(|error| Fault::from(&error))?;
        let (urn, version) = (descriptor.urn.clone(), descriptor.version.clone());
        let discovered = Discovered {
            named: self.journal().begin(urn, version, descriptor.digest, source.name()),
            descriptor: descriptor.clone(),
            bytes: component.clone(),
        };
        let verified = discovered.verify(&self.0.judge).map_err(|refusal| refusal.fault)?;
        let (_, _, signer) = verified.what();
        Ok(Pulled {
            signer: signer.to_string(),
            source: source.name().to_string(),
            descriptor,
            component,
        })
    }
}
