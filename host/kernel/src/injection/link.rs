//! The way from an imported interface to whoever provides it now: what the engine calls when a component calls an import.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use kinetic_engine::{Function, Input, Peer, PeerFault, PeerFuture, PeerReply, Within};
use kinetic_model::{CapsuleRef, Fault, Urn};

use crate::calling::Wanted;
use crate::kernel::WeakKernel;
use crate::resolve::Interface;
use crate::{Capsule, KernelError};

/// One requirement of a capsule and who meets it. Whoever meets it can change while calls flow.
pub(crate) struct Link {
    kernel: WeakKernel,
    /// What the dependent's manifest requires.
    pub(crate) required: Interface,
    target: ArcSwap<CapsuleRef>,
    depth: AtomicU32,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.required, self.target.load())
    }
}

impl Link {
    pub(crate) fn new(kernel: WeakKernel, required: Interface, target: CapsuleRef, provider: &Capsule) -> Self {
        Self {
            kernel,
            required,
            target: ArcSwap::from_pointee(target),
            depth: AtomicU32::new(provider.capability.depth()),
        }
    }

    /// Who provides it.
    pub(crate) fn target(&self) -> Arc<CapsuleRef> {
        self.target.load_full()
    }

    /// Lets another capsule provide it: one pointer, and the next call goes there.
    pub(crate) fn point_to(&self, target: CapsuleRef, provider: &Capsule) {
        self.depth.store(provider.capability.depth(), Ordering::Relaxed);
        self.target.store(Arc::new(target));
    }

    fn provider(&self) -> Option<Arc<Capsule>> {
        self.kernel.upgrade()?.resolve(&self.target.load())
    }

    async fn forward(&self, export: &str, input: Input, within: Within) -> Result<PeerReply, Fault> {
        let target = self.target();
        let kernel = self.kernel.upgrade().ok_or_else(|| {
            Fault::from(KernelError::NotActive {
                what: target.to_string(),
            })
        })?;
        let wanted = Wanted::Export {
            interface: &self.required,
            export,
        };
        let (execution, note) = kernel.execute_nested(&target, wanted, input, within).await?;
        let capability = &execution.capsule.capability;
        self.depth.store(capability.depth(), Ordering::Relaxed);
        Ok(PeerReply {
            result: execution.outcome.result.map_err(|error| PeerFault::from(&error)),
            note,
        })
    }
}

impl Peer for Link {
    fn name(&self) -> String {
        self.target.load().to_string()
    }

    fn provides(&self, import: &str) -> bool {
        Interface::parse(import).is_some_and(|import| {
            // The requirement may name an older version than the import, or a later one: the provider decides.
            import.name == self.required.name
                && self
                    .provider()
                    .is_some_and(|provider| exported(&provider, &import).is_some())
        })
    }

    fn offers(&self, export: &str) -> Option<Function> {
        let provider = self.provider()?;
        function(&provider, &self.required, export).cloned()
    }

    fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    fn call<'a>(&'a self, export: &'a str, input: Input, within: Within) -> PeerFuture<'a> {
        Box::pin(async move {
            self.forward(export, input, within)
                .await
                .unwrap_or_else(|fault| PeerReply {
                    result: Err(PeerFault::from(&fault)),
                    note: Vec::new(),
                })
        })
    }
}

/// The interface of a capsule, as its component names it, that can be given for the one wanted.
fn exported<'a>(capsule: &'a Capsule, wanted: &Interface) -> Option<&'a String> {
    let exports = &capsule.capability.interface().exports;
    exports
        .iter()
        .find(|export| Interface::parse(export).is_some_and(|export| export.meets(wanted)))
}

/// A function by the interface it belongs to and its name there.
pub(crate) fn function<'a>(capsule: &'a Capsule, interface: &Interface, export: &str) -> Option<&'a Function> {
    let instance = exported(capsule, interface)?;
    let functions = &capsule.capability.interface().functions;
    functions
        .iter()
        .find(|function| function.export == export && function.instance.as_ref() == Some(instance))
}

/// The active capsules that import from this URN.
pub(crate) fn using<'a>(active: &'a [Arc<Capsule>], urn: &'a Urn) -> impl Iterator<Item = &'a Arc<Capsule>> {
    active
        .iter()
        .filter(move |capsule| capsule.links.iter().any(|link| link.target().urn == *urn))
}
