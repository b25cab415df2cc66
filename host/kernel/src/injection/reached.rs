//! Whom a link reached last, and what is the same for all calls of it: true for as long as nothing changes about which
//! capsules are active.

use std::sync::{Arc, Weak};

use kinetic_engine::Within;
use kinetic_model::CapsuleRef;

use super::link::exported;
use crate::intake::Ticket;
use crate::kernel::Active;
use crate::resolve::Interface;
use crate::zones::{Permit, Place};
use crate::{Capsule, Kernel, statement};

/// A provider as a link found it.
pub(super) struct Reached {
    /// The capsules it was found among. They never change: whatever changes puts other ones in their place. Weak, as they
    /// hold the dependent, and so the link and this.
    among: Weak<Active>,
    provider: Weak<Capsule>,
    functions: Box<[Reach]>,
    /// Whether each of its calls has a record of its own.
    needs_records: bool,
}

/// One of its functions.
pub(super) struct Reach {
    export: String,
    /// Its name as a whole.
    pub(super) name: String,
    /// What the note of a call of it begins with.
    pub(super) note_begin: Box<[u8]>,
}

impl Reached {
    /// Looks for whom a reference means among what is ready in memory. What does not stand there is not kept, nor what
    /// must not be called: that is found out each time.
    pub(super) fn find(kernel: &Kernel, target: &CapsuleRef, required: &Interface) -> Option<Self> {
        kernel.not_a_part(&target.urn).ok()?;
        let among = kernel.0.active.load_full();
        let provider = among.find(target)?;
        let instance = exported(provider, required)?;
        let functions = provider.capability.interface().functions.iter();
        let functions = functions.filter(|function| function.instance.as_ref() == Some(instance));
        let functions = functions.map(|function| Reach {
            export: function.export.clone(),
            name: function.name.clone(),
            note_begin: statement::note_begin(provider, &function.name),
        });
        Some(Self {
            functions: functions.collect(),
            needs_records: provider.needs_records(),
            provider: Arc::downgrade(provider),
            among: Arc::downgrade(&among),
        })
    }

    /// Whether it would be found again.
    pub(super) fn is_current(&self, kernel: &Kernel) -> bool {
        std::ptr::eq(self.among.as_ptr(), Arc::as_ptr(&kernel.0.active.load()))
    }

    /// The provider, if its calls need nothing but a sandbox.
    pub(super) fn provider(&self, kernel: &Kernel) -> Option<Arc<Capsule>> {
        if self.needs_records && kernel.0.recorder.is_some() {
            return None;
        }
        self.provider.upgrade()
    }

    pub(super) fn function(&self, export: &str) -> Option<&Reach> {
        self.functions.iter().find(|function| function.export == export)
    }
}

/// The way into a provider for a call that can run at once, and once is enough; none when it has to go the way of any call.
pub(super) fn enter<'a>(kernel: &'a Kernel, provider: &'a Capsule, within: Within) -> Option<(Ticket<'a>, Permit<'a>)> {
    let caller = Place::of_token(within.token)?;
    // As long as another version stands by, that one answers what this one fails. Asked before the way in: who stood by is
    // let go only once nobody gets in any more.
    if provider.probation.load().is_some() {
        return None;
    }
    let ticket = provider.intake.enter().ok()?;
    let limits = &provider.limits;
    let permit = kernel
        .zones()
        .try_enter_nested(caller, limits.memory_bytes, limits.fuel)?;
    Some((ticket, permit))
}
