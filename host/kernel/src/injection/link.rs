//! The way from an imported interface to whoever provides it now: what the engine calls when a component calls an import.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use kinetic_engine::{Function, Input, Peer, PeerFault, PeerFuture, PeerReply, Within};
use kinetic_model::{CapsuleRef, Fault, Urn};

use super::reached::{Reached, enter};
use crate::calling::Wanted;
use crate::kernel::WeakKernel;
use crate::resolve::Interface;
use crate::swap::own_failure;
use crate::{Capsule, Kernel, KernelError, statement};

/// One requirement of a capsule and who meets it. Whoever meets it can change while calls flow.
pub(crate) struct Link {
    kernel: WeakKernel,
    /// What the dependent's manifest requires.
    pub(crate) required: Interface,
    pointed: ArcSwap<Pointed>,
    depth: AtomicU32,
}

/// Where a link points, and whom it reached there last: together, so that what was found for one target is never kept for
/// another.
struct Pointed {
    target: Arc<CapsuleRef>,
    reached: ArcSwapOption<Reached>,
}

impl Pointed {
    fn at(target: CapsuleRef) -> Self {
        Self {
            target: Arc::new(target),
            reached: ArcSwapOption::empty(),
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.required, self.pointed.load().target)
    }
}

impl Link {
    pub(crate) fn new(kernel: WeakKernel, required: Interface, target: CapsuleRef, provider: &Capsule) -> Self {
        Self {
            kernel,
            required,
            pointed: ArcSwap::from_pointee(Pointed::at(target)),
            depth: AtomicU32::new(provider.capability.depth()),
        }
    }

    /// Who provides it.
    pub(crate) fn target(&self) -> Arc<CapsuleRef> {
        self.pointed.load().target.clone()
    }

    /// Lets another capsule provide it: one pointer, and the next call goes there.
    pub(crate) fn point_to(&self, target: CapsuleRef, provider: &Capsule) {
        self.depth.store(provider.capability.depth(), Ordering::Relaxed);
        self.pointed.store(Arc::new(Pointed::at(target)));
    }

    fn provider(&self) -> Option<Arc<Capsule>> {
        self.kernel.upgrade()?.resolve(&self.pointed.load().target)
    }

    /// Whom it reached last if that is still whom it reaches, else whom it reaches now, if that stands ready.
    fn reached(&self, kernel: &Kernel) -> Option<Arc<Reached>> {
        let pointed = self.pointed.load();
        let last = pointed.reached.load_full();
        if let Some(reached) = last.filter(|reached| reached.is_current(kernel)) {
            return Some(reached);
        }
        let reached = Arc::new(Reached::find(kernel, &pointed.target, &self.required)?);
        pointed.reached.store(Some(reached.clone()));
        Some(reached)
    }

    async fn forward(&self, export: &str, input: Input, within: Within) -> Result<PeerReply, Fault> {
        let kernel = self.kernel.upgrade().ok_or_else(|| {
            Fault::from(KernelError::NotActive {
                what: self.target().to_string(),
            })
        })?;
        if let Some(reached) = self.reached(&kernel)
            && let Some(provider) = reached.provider(&kernel)
            && let Some(function) = reached.function(export)
            && let Some((_ticket, mut permit)) = enter(&kernel, &provider, within)
        {
            let called = provider.run_unrecorded(&mut permit, &function.name, input, within);
            let (outcome, hashes) = called.await;
            let failure = own_failure(&outcome);
            provider.count(&outcome, failure.as_deref());
            kernel.count_strikes(&provider, failure.as_deref());
            self.depth.store(provider.capability.depth(), Ordering::Relaxed);
            let note = hashes.map(|hashes| statement::note(&function.note_begin, &outcome, &hashes, None));
            return Ok(PeerReply {
                result: outcome.result.map_err(|error| PeerFault::from(&error)),
                note: note.unwrap_or_default(),
            });
        }
        self.forward_as_any(&kernel, export, input, within).await
    }

    /// The way of any call: one that has to wait, is recorded, may be made twice, or is refused.
    async fn forward_as_any(
        &self,
        kernel: &Kernel,
        export: &str,
        input: Input,
        within: Within,
    ) -> Result<PeerReply, Fault> {
        let wanted = Wanted::Export {
            interface: &self.required,
            export,
        };
        // Boxed: a call that goes straight has no room for it.
        let target = self.target();
        let called = Box::pin(kernel.execute_nested(&target, wanted, input, within));
        let (execution, note) = called.await?;
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
        self.pointed.load().target.to_string()
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
pub(super) fn exported<'a>(capsule: &'a Capsule, wanted: &Interface) -> Option<&'a String> {
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
