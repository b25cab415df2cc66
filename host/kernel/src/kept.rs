//! What registries delivered, for when it is wanted again: used only under the policy epoch it was admitted in, and what was
//! said of it only when no registry can be reached.

use std::sync::Arc;

use kinetic_engine::{behind, spawn_at_home};
use kinetic_identity::TrustRoot;
use kinetic_model::{CapsuleRef, Coded as _, Digest, Fault, Hashed, Pin};
use kinetic_registry::{Cache, Descriptor, Missed, Source, fetch};
use tokio::sync::Mutex;

use crate::Kernel;
use crate::admission::Code;

/// The cache, the turn of who looks which epoch it is, and of who looks whether what is stored is whole.
pub(crate) struct Kept {
    pub(crate) cache: Cache,
    turn: Mutex<()>,
    looking: Arc<Mutex<()>>,
}

impl Kept {
    pub(crate) fn new(cache: Cache) -> Self {
        Self {
            cache,
            turn: Mutex::default(),
            looking: Arc::default(),
        }
    }
}

impl Kernel {
    /// The policy epoch now: a digest over whom this host believes, what its lock file holds and what its policies say. What
    /// was kept under another one is removed before this returns. None when the trust root cannot be read: then nothing
    /// is admitted either.
    pub(crate) async fn enter_epoch(&self) -> Option<Digest> {
        let kept = &self.0.kept;
        // One after the other: whoever looked first must not come last.
        let _turn = kept.turn.lock().await;
        let root = TrustRoot::load(self.trust_root()).ok()?;
        let text = format!("{} {}", root.digest(), self.policy().digest());
        let epoch = Digest::of(text.as_bytes());
        kept.cache.enter(epoch).await;
        Some(epoch)
    }

    /// What was kept of a version, if not one registry could be reached that might have it.
    pub(crate) async fn find_kept(&self, what: &CapsuleRef, missed: &Missed) -> Option<(Arc<dyn Source>, Descriptor)> {
        if missed.away.is_empty() {
            return None;
        }
        let epoch = self.enter_epoch().await?;
        let cache = &self.0.kept.cache;
        // A URN means what it meant last: a newer version may be here because somebody asked for just that one.
        let meant = match self.binding(&what.urn).filter(|_| what.pin == Pin::Active) {
            Some(binding) => {
                let pin = Pin::Version(binding.version);
                let urn = what.urn.clone();
                cache.find(epoch, &CapsuleRef { urn, pin }, &missed.away).await
            }
            None => None,
        };
        let (source, descriptor) = match meant {
            Some(found) => found,
            None => cache.find(epoch, what, &missed.away).await?,
        };
        let version = &descriptor.version;
        // Without a pin nobody means what its owner took back; and what cannot be looked up may have been.
        if what.pin == Pin::Active && self.registries().was_yanked(&what.urn, version).await.unwrap_or(true) {
            return None;
        }
        tracing::warn!(%what, %version, "taken from the cache, as no registry can be reached: {}", missed.error);
        Some((source, descriptor))
    }

    /// The component of a version that was vouched for: the code that was made of it, the bytes that are here, or those
    /// that the source has.
    pub(crate) async fn bring(
        &self,
        source: &dyn Source,
        descriptor: &Descriptor,
        epoch: Option<Digest>,
    ) -> Result<Code, Fault> {
        let bytes_max = self.engine().config().component_bytes_max;
        let (engine, digest) = (self.engine().clone(), descriptor.digest);
        // Megabytes are read and checked: not where calls are waited for.
        let known = tokio::task::spawn_blocking(move || engine.known(&digest)).await;
        if let Some(known) = known.ok().flatten() {
            if source.name() == self.store().name() {
                self.look_at_stored(descriptor.clone());
            }
            return Ok(Code::Known(known));
        }
        if !source.is_here()
            && let Some(epoch) = epoch
            && let Some(bytes) = self.0.kept.cache.component(epoch, descriptor.digest, bytes_max).await
        {
            return Ok(Code::Bytes(bytes));
        }
        let fetched = fetch(source, descriptor, bytes_max).await;
        fetched.map(Code::Bytes).map_err(|error| Fault::from(&error))
    }

    /// Reads a stored component once more, behind the calls and one after the other: the code that was made of it runs, and
    /// damage is to be told before somebody else asks for the bytes.
    fn look_at_stored(&self, descriptor: Descriptor) {
        let (store, turn) = (self.store().clone(), self.0.kept.looking.clone());
        let bytes_max = self.engine().config().component_bytes_max;
        spawn_at_home(async move {
            let _alone = turn.lock().await;
            let (urn, version) = (descriptor.urn.clone(), descriptor.version.clone());
            match behind(async move { fetch(&*store, &descriptor, bytes_max).await.map(drop) }).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(
                    %urn, %version, code = error.code(),
                    "it runs from its compiled code, but what is stored of it is damaged, and nobody can pull it from here; \
                     publish it again: {error}"
                ),
                Err(error) => tracing::debug!(%urn, %version, "what is stored of it was not looked at: {error}"),
            }
        });
    }

    /// Keeps a version that was admitted under an epoch. Older ones of its URN go, but for the active one and the one that
    /// may come back.
    pub(crate) async fn keep(
        &self,
        source: &dyn Source,
        descriptor: Descriptor,
        component: Option<Hashed>,
        epoch: Option<Digest>,
    ) {
        // What came out of it is in it, under the label of who said it.
        let Some(epoch) = epoch.filter(|_| source.name() != Cache::NAME) else {
            return;
        };
        let (name, urn) = (source.name().to_string(), &descriptor.urn);
        let mut stay: Vec<_> = self.former(urn).into_iter().map(|former| former.version).collect();
        stay.extend(self.current(urn).ok().map(|current| current.manifest.version.clone()));
        stay.extend(self.binding(urn).map(|binding| binding.version));
        self.0.kept.cache.put(epoch, &name, descriptor, component, stay).await;
    }

    /// Removes a component that is not to run any more.
    pub(crate) async fn forget_kept(&self, digest: Digest) {
        self.0.kept.cache.remove(digest).await;
    }
}
