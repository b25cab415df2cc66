//! How a version becomes active: from memory, from the store, from a registry, or from whoever publishes it.

use std::sync::Arc;

use kinetic_engine::spawn_at_home;
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Urn};
use kinetic_registry::{Descriptor, RegistryError, Source};
use serde_json::{Value, json};

use crate::admission::Loaded;
use crate::intake::Closed;
use crate::life::{Binding, Former, Move};
use crate::swap::{Steps, Taking};
use crate::{Actor, Capsule, Cause, Kernel, KernelError, State};

/// How the first version of a URN since the start comes to its place.
#[derive(Debug, Default)]
pub(crate) struct First {
    /// A newer one does not take its place by itself.
    pub(crate) chosen: bool,
    /// Why it and no other, if there is more to say.
    pub(crate) because: Option<(Cause, Value)>,
}

impl Kernel {
    /// Makes a capsule ready: from memory, else fetched from the registries, verified and admitted. Callers that ask for
    /// the same at once share one admission.
    ///
    /// # Errors
    /// Not found, refused (then also quarantined), or unreachable; nothing is half active. `PartOfHost`.
    pub async fn activate(&self, what: &CapsuleRef) -> Result<Arc<Capsule>, Fault> {
        self.not_a_part(&what.urn)?;
        if let Some(capsule) = self.resolve(what) {
            return Ok(capsule);
        }
        let kernel = self.clone();
        let what = what.clone();
        // Whoever asked first may go away; those who wait for the same must not begin anew because of that. Boxed: every
        // call has room for this in it, and an admission takes much of it.
        let ready = Box::pin(async move {
            let _alone = kernel.flight(&what).await;
            match kernel.resolve(&what) {
                Some(capsule) => Ok(capsule),
                None => kernel.fetch_and_admit(&what).await,
            }
        });
        self.to_the_end(ready).await
    }

    async fn fetch_and_admit(&self, what: &CapsuleRef) -> Result<Arc<Capsule>, Fault> {
        let loaded = self.find_meant(what).await?;
        self.install(loaded, what.pin != Pin::Active, Actor::Host, Cause::Activated)
            .await
    }

    /// Loads what a reference means: what somebody chose, else the newest.
    pub(crate) async fn find_meant(&self, what: &CapsuleRef) -> Result<Loaded, Fault> {
        let binding = self.binding(&what.urn).filter(|_| what.pin == Pin::Active);
        let found = match &binding {
            Some(binding) if binding.chosen => self.load_former(&what.urn, &binding.as_former()).await,
            Some(binding) => self.find_and_load_unless_refused(what, binding).await,
            None => self.find_and_load(what).await,
        };
        match (found, &binding) {
            (Ok(loaded), _) => Ok(loaded),
            // A newer version that cannot be had does not take the one away that was active when the host stopped.
            (Err(fault), Some(binding)) if !binding.chosen => {
                let before = self.load_former(&what.urn, &binding.as_former()).await;
                let loaded = before.map_err(|_| fault.clone())?;
                tracing::warn!(urn = %what.urn, version = %binding.version, "goes on with the version before: {fault}");
                Ok(loaded)
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// The newest version, or the one that was active if the newest was refused when it was to take over: a restart is no
    /// second chance.
    async fn find_and_load_unless_refused(&self, what: &CapsuleRef, binding: &Binding) -> Result<Loaded, Fault> {
        let (source, descriptor) = self.find(what).await?;
        if descriptor.digest != binding.digest && self.quarantine().get(&descriptor.digest).is_some() {
            return self.load_former(&what.urn, &binding.as_former()).await;
        }
        self.load(&*source, descriptor, Actor::Host).await
    }

    async fn find_and_load(&self, what: &CapsuleRef) -> Result<Loaded, Fault> {
        let (source, descriptor) = self.find(what).await?;
        self.load(&*source, descriptor, Actor::Host).await
    }

    /// Loads a version that was here before: the very bytes.
    pub(crate) async fn load_former(&self, urn: &Urn, former: &Former) -> Result<Loaded, Fault> {
        let what = CapsuleRef {
            urn: urn.clone(),
            pin: Pin::Version(former.version.clone()),
        };
        let (source, descriptor) = self.find(&what).await?;
        if descriptor.digest != former.digest {
            return Err(KernelError::PinMismatch {
                what: format!("{what} {}", former.digest),
                found: descriptor.digest.to_string(),
            }
            .into());
        }
        self.load(&*source, descriptor, Actor::Host).await
    }

    /// Who has it, and what they say about it: the local store first, then the registries. Of a part of the host the
    /// program has a version too.
    pub(crate) async fn find(&self, what: &CapsuleRef) -> Result<(Arc<dyn Source>, Descriptor), Fault> {
        let what = &self.as_locked(what);
        let store: Arc<dyn Source> = self.store().clone();
        let own = self.parts().own(&what.urn);
        let carried = own.map(|_| self.parts().carried().clone() as Arc<dyn Source>);
        let mut places = Vec::new();
        for source in std::iter::once(&store).chain(&carried) {
            match source.describe(what).await {
                // A program that was replaced by a newer one carries newer parts.
                Ok(stored) if what.pin == Pin::Active && own.is_some_and(|own| own.version > stored.version) => {}
                Ok(descriptor) => return as_asked(what, source.clone(), descriptor),
                Err(RegistryError::NotFound { .. }) => places.push(source.name().to_string()),
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        let missed = match self.registries().find_or_miss(what).await {
            Ok((source, descriptor)) => return as_asked(what, source, descriptor),
            Err(missed) => missed,
        };
        if let Some((source, descriptor)) = self.find_kept(what, &missed).await {
            return as_asked(what, source, descriptor);
        }
        match *missed.error {
            RegistryError::NotFound { origin, .. } => {
                places.extend(Some(origin).filter(|origin| !origin.is_empty()));
                Err(KernelError::NotFound {
                    what: what.to_string(),
                    places: places.join(", "),
                }
                .into())
            }
            error => Err(Fault::from(&error)),
        }
    }

    /// Where a lock file holds a URN, the URN alone means the version that it holds: a newer one would only be refused.
    pub(crate) fn as_locked(&self, what: &CapsuleRef) -> CapsuleRef {
        let mut what = what.clone();
        if what.pin == Pin::Active
            // What the program carries needs no entry, and a newer program carries newer parts.
            && self.parts().own(&what.urn).is_none()
            && let Some(entry) = self.policy().lock.as_ref().and_then(|lock| lock.get(&what.urn))
        {
            what.pin = Pin::Version(entry.version.clone());
        }
        what
    }

    pub(crate) fn refuse_quarantined(&self, descriptor: &Descriptor) -> Result<(), Fault> {
        let manifest = Digest::of(descriptor.manifest.as_bytes());
        let Some(entry) = self.quarantine().forbids(&descriptor.digest, &manifest) else {
            return Ok(());
        };
        let what = format!("{}@{}", descriptor.urn, descriptor.version);
        let error = KernelError::Quarantined {
            what,
            digest: entry.digest.to_string(),
            code: entry.code,
            why: entry.message,
        };
        Err(error.into())
    }

    /// Puts an admitted capsule where calls find it; `cause` is why, if it becomes what the URN means.
    pub(crate) async fn install(
        &self,
        loaded: Loaded,
        pinned: bool,
        actor: Actor,
        cause: Cause,
    ) -> Result<Arc<Capsule>, Fault> {
        let urn = loaded.manifest.id.clone();
        let _turn = self.turn(&urn).await;
        let current = self.current(&urn).ok();
        if let Some(same) = current
            .as_ref()
            .filter(|capsule| capsule.digest == loaded.digest && capsule.manifest == loaded.manifest)
        {
            let same = same.clone();
            self.let_go(&loaded, actor).await?;
            return Ok(same);
        }
        let newest = current
            .as_ref()
            .is_none_or(|capsule| capsule.manifest.version < loaded.manifest.version);
        // A pin is somebody's wish for one version; only an unpinned activation decides what the URN means.
        if pinned || !newest {
            // Nobody calls a part of the host by a pin; in the store it is there for a swap.
            if let Some(current) = current.filter(|_| self.is_part(&urn)) {
                self.let_go(&loaded, actor).await?;
                return Ok(current);
            }
            return self.install_pinned(loaded, actor).await;
        }
        if let Some(current) = current {
            let taking = Taking {
                cause,
                actor,
                chosen: false,
                discard_state: false,
                probation: true,
            };
            let (capsule, _) = self.take_over(&current, loaded, taking, &mut Steps::begin()).await?;
            return Ok(capsule);
        }
        let how = First {
            chosen: false,
            because: (cause != Cause::Activated).then_some((cause, Value::Null)),
        };
        self.install_first(loaded, actor, how).await
    }

    async fn install_pinned(&self, loaded: Loaded, actor: Actor) -> Result<Arc<Capsule>, Fault> {
        let plan = self.placed(&loaded, actor).await?;
        let generation = self.next_generation(&loaded.manifest.id);
        let capsule = Arc::new(Capsule::new(loaded, generation));
        let reason = json!({ "pinned": true, "placement": plan });
        self.admitted(&capsule.named, State::Active, Cause::Asked, actor, reason)
            .await?;
        for surplus in self.put_pinned(capsule.clone()) {
            self.let_pinned_go(surplus);
        }
        Ok(capsule)
    }

    /// There is no room for it any more.
    fn let_pinned_go(&self, capsule: Arc<Capsule>) {
        capsule.intake.close(Closed::Gone);
        let kernel = self.clone();
        spawn_at_home(async move {
            let reason = json!("too many pinned versions");
            let step = kernel.admitted(&capsule.named, State::Suspended, Cause::Retired, Actor::Host, reason);
            if let Err(fault) = step.await {
                tracing::warn!(urn = %capsule.manifest.id, "its end could not be recorded: {fault}");
            }
            kernel.retire(capsule, Actor::Host);
        });
    }

    /// The first version of a URN since the host started.
    pub(crate) async fn install_first(&self, loaded: Loaded, actor: Actor, how: First) -> Result<Arc<Capsule>, Fault> {
        let plan = self.placed(&loaded, actor).await?;
        let urn = loaded.manifest.id.clone();
        let before = self.binding(&urn);
        let same = before.as_ref().filter(|binding| binding.digest == loaded.digest);
        let generation = match same {
            Some(binding) => binding.generation,
            None => self.next_generation(&urn),
        };
        let capsule = Capsule::new(loaded, generation);
        let chosen = how.chosen || same.is_some_and(|binding| binding.chosen);
        let mut binding = self.binding_of(&capsule, chosen);
        match (same, before.as_ref()) {
            // As it was, in the very record of the flip: a host that is killed now finds it so again.
            (Some(same), _) => {
                binding.former.clone_from(&same.former);
                binding.probation = same.probation && self.settings().probation_ms > 0;
                if same.state == State::Suspended {
                    binding.state = State::Suspended;
                    binding.reason.clone_from(&same.reason);
                }
            }
            (None, Some(other)) => binding.former = Some(other.as_former()),
            (None, None) => {}
        }
        let capsule = capsule.under(self.limits_under(&capsule.manifest, &binding.limits));
        let suspended = binding.state == State::Suspended;
        let reason = suspended.then(|| binding.reason.clone().unwrap_or_default());
        let capsule = Arc::new(capsule);
        if let Some(why) = &reason {
            capsule.intake.close(Closed::Suspended(why.clone()));
        }
        let (cause, words) = match (how.because, same) {
            (Some(because), _) => because,
            (None, Some(_)) => (Cause::Restarted, Value::Null),
            (None, None) => (Cause::Activated, Value::Null),
        };
        let active = Move {
            what: &capsule.named,
            to: State::Active,
            cause,
            actor,
            reason: match words {
                Value::Null => json!({ "placement": plan }),
                words => words,
            },
        };
        self.flip(&[active], &capsule, &binding).await?;
        if let Some(why) = reason {
            self.suspend_now(&capsule, &why, Cause::Restarted, Actor::Host).await?;
        }
        if binding.probation {
            self.stand_by_again(&capsule).await;
        }
        Ok(capsule)
    }
}

/// What a source described, if that is what was asked for.
pub(crate) fn as_asked(
    what: &CapsuleRef,
    source: Arc<dyn Source>,
    descriptor: Descriptor,
) -> Result<(Arc<dyn Source>, Descriptor), Fault> {
    let same = descriptor.urn == what.urn
        && match &what.pin {
            Pin::Active => true,
            Pin::Version(version) => *version == descriptor.version,
            Pin::Digest(digest) => *digest == descriptor.digest,
        };
    if same {
        return Ok((source, descriptor));
    }
    let error = KernelError::PinMismatch {
        what: what.to_string(),
        found: format!("{}@{} {}", descriptor.urn, descriptor.version, descriptor.digest),
    };
    Err(error.into())
}

/// Whether a failure says nothing about the capsule: the host was busy or broken.
pub(crate) fn is_passing(fault: &Fault) -> bool {
    use kinetic_model::ErrorKind::{Busy, Internal, Unavailable};
    matches!(fault.kind, Busy | Internal | Unavailable)
}
