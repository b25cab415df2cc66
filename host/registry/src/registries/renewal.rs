//! The next signed index of a namespace, made of what a registry holds: for folders and OCI registries, where no host signs.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use kinetic_identity::{
    BuildSubject, IdentityError, IndexDocument, IndexEntry, Receipt, SignedIndex, SigningKey, TrustRoot, now_unix_ms,
};
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Sorted, Urn};
use semver::Version;

use super::{Registries, indexes, member_for};
use crate::{Descriptor, Indexes, RegistryError, Source};

/// What the next index shall say.
pub struct Renewal<'a> {
    /// Who signs: at least one key, and as many as the root document asks for.
    pub keys: &'a [SigningKey],
    /// How long it counts.
    pub valid: Duration,
    /// Versions that are not to be used any more, each with why.
    pub yank: Vec<(Urn, Version, String)>,
    /// Versions that may be used again.
    pub unyank: Vec<(Urn, Version)>,
    /// URNs to look for beside those that the index before lists, at a registry that has no list of what it holds.
    pub urns: Vec<Urn>,
}

/// What became of it.
pub struct Renewed {
    /// The index that was put up.
    pub index: SignedIndex,
    /// How many versions it lists that the one before did not.
    pub added: usize,
    /// What the registry holds and the index does not list.
    pub left: Vec<Left>,
}

/// A version that was left out.
pub struct Left {
    /// Which one.
    pub what: String,
    /// Why: what is there, or that its receipt is not believed.
    pub why: Fault,
}

/// Entries by name, as an index lists them. Texts and not URNs are compared, as there.
type Entries = BTreeMap<(String, Version), IndexEntry>;

impl Registries {
    /// Makes, signs and puts up the next index of a namespace at a registry. Versions that were listed stay, whatever the
    /// registry holds now; new ones are listed when their receipt is believed here. It counts as seen then.
    ///
    /// Two who do this at once may both believe that theirs is the next one: it is for one at a time.
    ///
    /// # Errors
    /// As [`Registries::named`]'s; [`RegistryError::TakesNoIndex`]; [`RegistryError::IndexRefused`] when the index before
    /// is not believed, or the keys are not enough for this one; [`RegistryError::NotAsIndexed`];
    /// [`RegistryError::NotListed`]; those of asking.
    pub async fn renew_index(
        &self,
        name: &str,
        namespace: &str,
        renewal: Renewal<'_>,
    ) -> Result<Renewed, RegistryError> {
        let members = self.members()?;
        let member = member_for(&members, name, namespace)?;
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let indexes = self.indexes.as_ref().filter(|_| namespace.bytes().all(is_word));
        let indexes = indexes.ok_or_else(|| RegistryError::NotForNamespace {
            name: name.into(),
            namespace: crate::error::tame(namespace),
            why: "it is no namespace, or this host keeps no indexes".into(),
        })?;
        let source = member.source()?;
        let before = indexes.before(name, &*source, namespace).await?;
        let next = Next::of(indexes, &*source, namespace, before.as_ref());
        let (mut entries, added, left) = next.entries(&renewal.urns).await?;
        mark(&mut entries, &renewal, namespace)?;
        let document = IndexDocument {
            entries: entries.into_values().collect(),
            expires_unix_ms: now_unix_ms().saturating_add(u64::try_from(renewal.valid.as_millis()).unwrap_or(u64::MAX)),
            namespace: namespace.into(),
            version: before.map_or(1, |before| before.document().version.saturating_add(1)),
        };
        let refused = |error: IdentityError| RegistryError::index_refused(source.name(), error);
        let (first, others) = renewal.keys.split_first().ok_or_else(|| {
            refused(IdentityError::IndexMalformed {
                why: "nobody signs it".into(),
            })
        })?;
        let mut index = SignedIndex::sign(document, first).map_err(refused)?;
        for key in others {
            index.add_signature(key).map_err(refused)?;
        }
        // Not put up before it is known that those who ask will take it.
        indexes.may_follow(name, &*source, &index)?;
        member.registry.put_index(namespace, index.to_json().into()).await?;
        let index = indexes.remember(name, &*source, index).await?;
        Ok(Renewed { index, added, left })
    }
}

/// What the next index is made of.
struct Next<'a> {
    indexes: &'a Indexes,
    source: &'a dyn Source,
    namespace: &'a str,
    before: Option<&'a SignedIndex>,
}

impl<'a> Next<'a> {
    const fn of(
        indexes: &'a Indexes,
        source: &'a dyn Source,
        namespace: &'a str,
        before: Option<&'a SignedIndex>,
    ) -> Self {
        Self {
            indexes,
            source,
            namespace,
            before,
        }
    }

    /// All entries, how many of them are new, and what was left out.
    async fn entries(&self, more: &[Urn]) -> Result<(Entries, usize, Vec<Left>), RegistryError> {
        let root = self.indexes.load_root(self.source)?;
        let listed = self
            .before
            .map_or(&[][..], |before| before.document().entries.as_slice());
        let mut entries: Entries = listed.iter().map(|entry| (key(entry), entry.clone())).collect();
        let (mut added, mut left) = (0, Vec::new());
        for (urn, version) in self.there(more).await? {
            let what = CapsuleRef {
                urn: urn.clone(),
                pin: Pin::Version(version.clone()),
            };
            let found = match self.source.describe(&what).await {
                Ok(descriptor) => believed(&root, &descriptor).map(|()| descriptor).map_err(Fault::from),
                // Under other tags there may be anything.
                Err(error @ (RegistryError::NotACapsule { .. } | RegistryError::NotFound { .. })) => Err(error.into()),
                Err(error) => return Err(error),
            };
            let descriptor = match found {
                Ok(descriptor) => descriptor,
                Err(why) => {
                    let what = what.to_string();
                    left.push(Left { what, why });
                    continue;
                }
            };
            match entries.get_mut(&(urn.to_string(), version)) {
                Some(entry) => {
                    indexes::fits(self.source, entry, &descriptor)?;
                    entry.receipt = receipt_digest(&descriptor);
                }
                None => {
                    let entry = entry_of(&descriptor);
                    entries.insert(key(&entry), entry);
                    added += 1;
                }
            }
        }
        Ok((entries, added, left))
    }

    /// What the registry holds of the namespace, as far as it says so.
    async fn there(&self, more: &[Urn]) -> Result<Vec<(Urn, Version)>, RegistryError> {
        match self.source.list().await {
            Ok(held) => {
                let ours = held.into_iter().filter(|held| held.urn.namespace() == self.namespace);
                Ok(ours.map(|held| (held.urn, held.version)).collect())
            }
            Err(RegistryError::CannotList { .. }) => {
                let listed = self
                    .before
                    .map_or(&[][..], |before| before.document().entries.as_slice());
                let mut urns: Vec<Urn> = listed.iter().map(|entry| entry.urn.clone()).collect();
                urns.extend(more.iter().filter(|urn| urn.namespace() == self.namespace).cloned());
                urns.sort_unstable();
                urns.dedup();
                let mut there = Vec::new();
                for urn in urns {
                    let versions = self.source.versions(&urn).await?;
                    there.extend(versions.into_iter().map(|version| (urn.clone(), version)));
                }
                Ok(there)
            }
            Err(error) => Err(error),
        }
    }
}

/// Yanks, and takes that back.
fn mark(entries: &mut Entries, renewal: &Renewal<'_>, namespace: &str) -> Result<(), RegistryError> {
    let yanked = renewal
        .yank
        .iter()
        .map(|(urn, version, why)| (urn, version, Some(why.clone())));
    let unyanked = renewal.unyank.iter().map(|(urn, version)| (urn, version, None));
    for (urn, version, yanked) in yanked.chain(unyanked) {
        let entry = entries.get_mut(&(urn.to_string(), version.clone()));
        let entry = entry.ok_or_else(|| RegistryError::NotListed {
            what: format!("{urn}@{version}"),
            namespace: namespace.into(),
        })?;
        entry.yanked = yanked;
    }
    Ok(())
}

/// Whoever signs an index says that these are the namespace's versions: not of what nobody signed for it.
fn believed(root: &TrustRoot, descriptor: &Descriptor) -> Result<(), IdentityError> {
    let subject = BuildSubject {
        urn: descriptor.urn.clone(),
        version: descriptor.version.clone(),
        component: descriptor.digest,
        component_bytes: descriptor.size_bytes,
        manifest: Digest::of(descriptor.manifest.as_bytes()),
    };
    Receipt::from_value(&descriptor.receipt)?
        .verify(root, &subject)
        .map(drop)
}

fn entry_of(descriptor: &Descriptor) -> IndexEntry {
    IndexEntry {
        component: descriptor.digest,
        manifest: Digest::of(descriptor.manifest.as_bytes()),
        receipt: receipt_digest(descriptor),
        size_bytes: descriptor.size_bytes,
        urn: descriptor.urn.clone(),
        version: descriptor.version.clone(),
        yanked: None,
    }
}

fn receipt_digest(descriptor: &Descriptor) -> Digest {
    // A value always has a text.
    Digest::of(&serde_json::to_vec(&Sorted(&descriptor.receipt)).unwrap_or_default())
}

fn key(entry: &IndexEntry) -> (String, Version) {
    (entry.urn.to_string(), entry.version.clone())
}
