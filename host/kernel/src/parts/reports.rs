//! How the calls of a part go, told to the kernel by whoever makes them: what `ps` shows, and what ends a probation.

use std::fmt;
use std::sync::Arc;

use kinetic_model::{Fault, Urn, Usage};

use crate::kernel::WeakKernel;
use crate::life::Named;
use crate::quarantine::Step;
use crate::{Capsule, Kernel, KernelError};

/// Where the keeper of a seat tells how the capsule in it does. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reports(Option<Arc<To>>);

/// Which version it is about.
struct To {
    kernel: WeakKernel,
    urn: Urn,
    life: u64,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = self.0.as_ref().map(|to| to.urn.as_str());
        f.debug_tuple("Reports").field(&about).finish()
    }
}

impl Reports {
    pub(super) fn of(kernel: &Kernel, named: &Named) -> Self {
        Self(Some(Arc::new(To {
            kernel: kernel.downgrade(),
            urn: named.urn.clone(),
            life: named.life,
        })))
    }

    /// A call was answered as the contract says.
    pub fn called(&self, usage: &Usage) {
        if let Some((_, capsule)) = self.about() {
            capsule
                .stats
                .note(usage.wall_time_ns, usage.fuel, usage.memory_peak_bytes, None);
        }
    }

    /// The capsule failed. `for_good` says that the keeper does not start it again by itself. Gives whether another one
    /// is on its way: then the keeper does best to wait for it.
    pub fn failed(&self, why: &str, for_good: bool) -> bool {
        self.about()
            .is_some_and(|(kernel, capsule)| kernel.part_failed_now(&capsule, why, for_good))
    }

    /// Whether the version before stands by.
    pub fn on_probation(&self) -> bool {
        self.about()
            .is_some_and(|(_, capsule)| capsule.probation.load().is_some())
    }

    /// The capsule it is about, as long as that is what its URN means.
    fn about(&self) -> Option<(Kernel, Arc<Capsule>)> {
        let to = self.0.as_ref()?;
        let kernel = to.kernel.upgrade()?;
        let capsule = kernel.current(&to.urn).ok()?;
        (capsule.named.life == to.life).then_some((kernel, capsule))
    }
}

impl Kernel {
    /// Counts a failure of a part. On probation the version before comes back when there are too many, and one that fails
    /// for good makes room at any time.
    fn part_failed_now(&self, capsule: &Arc<Capsule>, why: &str, for_good: bool) -> bool {
        capsule.stats.note(0, 0, 0, Some(why));
        let probation = capsule.probation.load_full();
        if let Some(enough) = probation.as_ref().and_then(|probation| probation.failed(why)) {
            self.roll_back_failed(capsule, enough);
            return true;
        }
        if !for_good {
            return false;
        }
        let urn = &capsule.manifest.id;
        let own = self.parts().own(urn).map(|own| own.digest);
        if probation.is_none() && own == Some(capsule.digest) {
            // There is nothing else to put in its place: somebody has to.
            let trouble = (capsule.named.life, format!("failed too often: {why}"));
            self.parts().troubles.write().insert(urn.clone(), trouble);
            return false;
        }
        let fault = Fault::from(KernelError::PartFailed {
            what: urn.to_string(),
            version: capsule.manifest.version.to_string(),
            why: why.to_string(),
        });
        let (kernel, capsule) = (self.clone(), capsule.clone());
        tokio::spawn(async move {
            if let Err(fault) = kernel.quarantine_active(&capsule, Step::Strikes, &fault).await {
                tracing::error!(urn = %capsule.manifest.id, "it could not be replaced: {fault}");
            }
        });
        true
    }

    /// Why a part does not work, if so.
    pub(crate) fn trouble_of(&self, capsule: &Capsule) -> Option<String> {
        let troubles = self.parts().troubles.read();
        let (life, why) = troubles.get(&capsule.manifest.id)?;
        (*life == capsule.named.life).then(|| why.clone())
    }
}
