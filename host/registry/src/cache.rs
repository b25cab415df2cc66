//! What registries delivered, kept for when it is wanted again or nobody can be reached: components in memory and on disk, and
//! on disk what the registry said of them.
//!
//! All of it stands under one policy epoch: a digest over everything that decides what this host believes. With another
//! epoch nothing of the one before is left, in memory or on disk. Nothing here is believed: a component is hashed when it
//! is read, and what was said of it is judged anew by whoever loads it.

mod disk;
mod memory;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use kinetic_model::{CapsuleRef, Digest, Hashed};
use parking_lot::Mutex;
use semver::Version;

use self::disk::Disk;
use self::memory::Memory;
use crate::{Descriptor, Download, RegistryError, Rest, Source, Summary};

/// The cache of one data folder. Clones share it; the default keeps nothing.
#[derive(Clone, Default)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    memory: Mutex<Memory>,
    disk: Mutex<Disk>,
}

impl Cache {
    /// What it is called where it is said what a capsule came from.
    pub const NAME: &str = "cache";

    /// A cache of at most so many bytes in memory, and so many in that folder, which is this process's alone; 0 keeps
    /// nothing there. Nothing is read yet, and nothing is kept or given before the first [`Cache::enter`].
    pub fn new(folder: &Path, memory_bytes_max: u64, disk_bytes_max: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                memory: Mutex::new(Memory::new(memory_bytes_max)),
                disk: Mutex::new(Disk::new(folder, disk_bytes_max)),
            }),
        }
    }

    /// This is the policy epoch from now on. If it is another one than before, everything of all others is removed before
    /// this returns. What cannot be removed is not used.
    pub async fn enter(&self, epoch: Digest) {
        if self.inner.memory.lock().enter(epoch) {
            self.on_disk(move |disk| disk.enter(epoch)).await;
        }
    }

    /// The component with that digest, of at most `bytes_max` bytes, if it is here and whole.
    pub async fn component(&self, epoch: Digest, digest: Digest, bytes_max: u64) -> Option<Hashed> {
        if let Some(found) = self.inner.memory.lock().get(&epoch, &digest) {
            return (found.len() as u64 <= bytes_max).then_some(found);
        }
        let found = self
            .on_disk(move |disk| disk.component(&epoch, &digest, bytes_max))
            .await??;
        self.inner.memory.lock().put(&epoch, found.clone());
        Some(found)
    }

    /// What one of these registries said of a version, by their labels, and a source to have it from.
    pub async fn find(
        &self,
        epoch: Digest,
        what: &CapsuleRef,
        labels: &[String],
    ) -> Option<(Arc<dyn Source>, Descriptor)> {
        let asked = what.clone();
        let (label, descriptor) = self.on_disk(move |disk| disk.said(&epoch, &asked)).await??;
        if !labels.contains(&label) {
            return None;
        }
        let source: Arc<dyn Source> = Arc::new(Cached {
            cache: self.clone(),
            epoch,
            descriptor: descriptor.clone(),
        });
        Some((source, descriptor))
    }

    /// Keeps what the registry of that label said of a version that was admitted under this epoch, and its component if it
    /// is at hand. Older versions of the URN go, but for those in `keep`. What there is no room for is not kept.
    pub async fn put(
        &self,
        epoch: Digest,
        label: &str,
        descriptor: Descriptor,
        component: Option<Hashed>,
        keep: Vec<Version>,
    ) {
        if let Some(component) = &component {
            self.inner.memory.lock().put(&epoch, component.clone());
        }
        let label = label.to_string();
        let gone = self.on_disk(move |disk| disk.put(&epoch, &label, &descriptor, component.as_ref(), &keep));
        for digest in gone.await.unwrap_or_default() {
            self.inner.memory.lock().remove(&digest);
        }
    }

    /// Removes a component, and what was said of it, before this returns.
    pub async fn remove(&self, digest: Digest) {
        self.inner.memory.lock().remove(&digest);
        self.on_disk(move |disk| disk.remove(&digest)).await;
    }

    /// Works on the disk where that may block; none when the process ends meanwhile.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&mut Disk) -> T + Send + 'static) -> Option<T> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || work(&mut inner.disk.lock()))
            .await
            .ok()
    }
}

/// One version out of the cache, as a source.
struct Cached {
    cache: Cache,
    epoch: Digest,
    descriptor: Descriptor,
}

#[async_trait]
impl Source for Cached {
    fn name(&self) -> &str {
        Cache::NAME
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let answers = self.descriptor.summary().answers(what);
        let found = answers.then(|| self.descriptor.clone());
        found.ok_or_else(|| RegistryError::NotFound {
            what: what.to_string(),
            origin: Cache::NAME.into(),
        })
    }

    async fn download(&self, descriptor: &Descriptor, _: &Rest) -> Result<Download, RegistryError> {
        let found = self
            .cache
            .component(self.epoch, descriptor.digest, descriptor.size_bytes);
        // There is one, as somebody said; only nobody is there who has it.
        let missing = || RegistryError::Unreachable {
            origin: Cache::NAME.into(),
            why: "the component is not kept any more, and no registry answers".into(),
        };
        Ok(Download::whole(found.await.ok_or_else(missing)?.into_bytes()))
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        Ok(vec![self.descriptor.summary()])
    }
}
