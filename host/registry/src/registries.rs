//! Registries by name: which are asked for a URN, in which order, and that none stands in the way of another.
//!
//! The nearer scope is asked before the farther one, and within a scope whoever was added first. Three rules keep a far
//! registry from slipping something in under a name that a near one has, and the other way round: a namespace that
//! registries have is asked of those alone; a registry that does not answer is not passed over for a farther one; and
//! two that hold different things as one version are both refused.

mod entry;
mod file;
mod indexes;
mod member;
mod named;
mod place;
mod publish;
mod renewal;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use kinetic_identity::SignedIndex;
use kinetic_model::{CapsuleRef, Digest, Pin, Urn};
use parking_lot::Mutex;
use semver::Version;

pub use self::entry::{Registry, Scope};
pub use self::indexes::Indexes;
use self::member::Member;
pub use self::place::Place;
pub use self::publish::Publish;
pub use self::renewal::{Left, Renewal, Renewed};
use crate::{Descriptor, FoundThere, Patience, RegistryError, Source, Summary};

/// The registries of a host: those in a file, which is read anew when it changed, and those beside it.
#[derive(Default)]
pub struct Registries {
    file: Option<PathBuf>,
    besides: Vec<Registry>,
    /// What is asked whether a registry's word may count; none where nobody has index keys.
    indexes: Option<Indexes>,
    patience: Patience,
    read: Mutex<Option<(Stamp, Arc<[Member]>)>>,
}

/// Why nothing was found, and whether anybody could say so.
#[derive(Debug)]
pub struct Missed {
    /// What stands in the way.
    pub error: Box<RegistryError>,
    /// Who was asked, by their labels, if not one of them could be reached; nobody if one answered, whatever it said.
    pub away: Vec<String>,
}

impl From<RegistryError> for Missed {
    fn from(error: RegistryError) -> Self {
        Self {
            error: Box::new(error),
            away: Vec::new(),
        }
    }
}

/// What tells one state of the file from another; none when there is no file.
type Stamp = Option<(SystemTime, u64, u64)>;

impl Registries {
    /// Those in the file at that path, which need not be there, and these. Nothing is read yet.
    pub fn new(file: PathBuf, besides: Vec<Registry>) -> Self {
        Self {
            file: Some(file),
            besides,
            indexes: None,
            patience: Patience::default(),
            read: Mutex::default(),
        }
    }

    /// As they are, but what they say about namespaces with index keys must be in the signed index of the namespace.
    #[must_use]
    pub fn held_against(mut self, indexes: Indexes) -> Self {
        self.indexes = Some(indexes);
        self
    }

    /// As they are, but waited for no longer than this.
    #[must_use]
    pub const fn waited_for(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// All of them, in the order they are asked in.
    ///
    /// # Errors
    /// [`RegistryError::BadRegistryFile`], [`RegistryError::BadRegistry`], [`RegistryError::RegistryExists`],
    /// [`RegistryError::NotForNamespace`]: a file with a mistake in it answers for nothing.
    pub fn list(&self) -> Result<Vec<Registry>, RegistryError> {
        Ok(self.members()?.iter().map(|member| member.registry.clone()).collect())
    }

    /// Adds one to the file.
    ///
    /// # Errors
    /// As [`Registries::list`]'s; the file is as it was then.
    pub fn add(file: &Path, registry: Registry) -> Result<(), RegistryError> {
        file::change(file, |registries| {
            registries.push(registry);
            Ok(())
        })
    }

    /// Takes one out of the file.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRegistry`], and as [`Registries::list`]'s.
    pub fn remove(file: &Path, name: &str) -> Result<(), RegistryError> {
        file::change(file, |registries| {
            let before = registries.len();
            registries.retain(|registry| registry.name != name);
            if registries.len() == before {
                return Err(no_such(name));
            }
            Ok(())
        })
    }

    /// The one of that name, if it may hold capsules of that namespace.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRegistry`], [`RegistryError::NotForNamespace`], and as [`Registries::list`]'s.
    pub fn named(&self, name: &str, namespace: &str) -> Result<Registry, RegistryError> {
        let members = self.members()?;
        member_for(&members, name, namespace).map(|member| member.registry.clone())
    }

    /// What a reference means, and whom to fetch it from.
    ///
    /// Everyone who may hold it is asked at once. The first in order that has it wins; whoever comes before and cannot
    /// be asked makes it an error. One that comes behind and cannot be asked is passed over, which is logged.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] with all who were asked; [`RegistryError::Shadowed`]; those of asking; and as
    /// [`Registries::list`]'s.
    pub async fn find(&self, what: &CapsuleRef) -> Result<(Arc<dyn Source>, Descriptor), RegistryError> {
        self.find_or_miss(what).await.map_err(|missed| *missed.error)
    }

    /// As [`Registries::find`]; what is missed says also whether anybody answered.
    ///
    /// # Errors
    /// As [`Registries::find`]'s.
    pub async fn find_or_miss(&self, what: &CapsuleRef) -> Result<(Arc<dyn Source>, Descriptor), Missed> {
        let members = self.members()?;
        let asked = members_for(&members, what.urn.namespace());
        let mut asking = Vec::with_capacity(asked.len());
        for member in &asked {
            asking.push(self.describe(member, what));
        }
        let answers = join_all(asking).await;
        let nobody_answered = answers
            .iter()
            .all(|answer| answer.as_ref().is_err_and(RegistryError::is_away));
        let mut found: Option<(&Member, Descriptor)> = None;
        let mut rivals = Vec::new();
        for (member, answer) in asked.iter().copied().zip(answers) {
            let first = found.is_none();
            match answer {
                Ok(descriptor) if first => found = Some((member, descriptor)),
                Ok(descriptor) => rivals.push((member, descriptor)),
                Err(RegistryError::NotFound { .. }) => {}
                Err(error) if first => {
                    let away = asked.iter().filter(|_| nobody_answered);
                    let away = away.map(|member| member.registry.label()).collect();
                    return Err(Missed {
                        error: Box::new(error),
                        away,
                    });
                }
                Err(error) => passed_over(member, &what.urn, &error),
            }
        }
        let Some((member, descriptor)) = found else {
            let labels: Vec<_> = asked.iter().map(|member| member.registry.label()).collect();
            let error = RegistryError::NotFound {
                what: what.to_string(),
                origin: labels.join(", "),
            };
            return Err(error.into());
        };
        for (rival, other) in rivals {
            self.agree((member, &descriptor), (rival, other)).await?;
        }
        Ok((member.source()?, descriptor))
    }

    /// As [`Registries::find`], of one registry only.
    ///
    /// # Errors
    /// As [`Registries::named`]'s, [`RegistryError::NotFound`], and those of asking.
    pub async fn find_in(&self, name: &str, what: &CapsuleRef) -> Result<(Arc<dyn Source>, Descriptor), RegistryError> {
        let members = self.members()?;
        let member = member_for(&members, name, what.urn.namespace())?;
        let descriptor = self.describe(member, what).await?;
        Ok((member.source()?, descriptor))
    }

    /// The signed index that a registry has of a namespace; none when nobody has index keys for that, or there is none.
    ///
    /// # Errors
    /// As [`Registries::named`]'s, those of asking, and [`RegistryError::IndexRefused`].
    pub async fn index_of(&self, name: &str, namespace: &str) -> Result<Option<Arc<SignedIndex>>, RegistryError> {
        let members = self.members()?;
        let member = member_for(&members, name, namespace)?;
        match &self.indexes {
            Some(indexes) => indexes.index_of(name, &*member.source()?, namespace).await,
            None => Ok(None),
        }
    }

    /// Puts a signed index up as it is at a registry that mirrors another one, if whoever follows that could take it there:
    /// it must not undo an index that the registry had.
    ///
    /// # Errors
    /// As [`Registries::named`]'s, [`RegistryError::TakesNoIndex`], [`RegistryError::IndexRefused`], and those of reaching
    /// it.
    pub async fn put_index(&self, name: &str, index: &SignedIndex) -> Result<(), RegistryError> {
        let namespace = &index.document().namespace;
        let members = self.members()?;
        let member = member_for(&members, name, namespace)?;
        if let Some(indexes) = &self.indexes {
            indexes.may_follow(name, &*member.source()?, index)?;
        }
        member.registry.put_index(namespace, index.to_json().into()).await
    }

    /// Every version that a registry has of these namespaces, or of all it has; those of a namespace with index keys as
    /// its index lists them, without the yanked ones.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRegistry`]; [`RegistryError::CannotList`] of one that can only be asked for URNs; those of
    /// asking, and [`RegistryError::IndexRefused`].
    pub async fn list_of(&self, name: &str, namespaces: &[String]) -> Result<Vec<Summary>, RegistryError> {
        let members = self.members()?;
        let member = members.iter().find(|member| member.registry.name == name);
        let member = member.ok_or_else(|| no_such(name))?;
        let wanted = if namespaces.is_empty() {
            member.registry.namespaces.as_slice()
        } else {
            namespaces
        };
        let may = |namespace: &str| {
            let asked = members_for(&members, namespace);
            asked.iter().any(|other| std::ptr::eq(*other, member))
        };
        let source = member.source()?;
        // Asked for where it is needed only: some have no such list.
        let mut all = None;
        let names: BTreeSet<String> = if wanted.is_empty() {
            let held = all.insert(source.list().await?);
            held.iter().map(|held| held.urn.namespace().to_string()).collect()
        } else {
            wanted.iter().cloned().collect()
        };
        let mut listed = Vec::new();
        for namespace in names.iter().filter(|namespace| may(namespace.as_str())) {
            let index = match &self.indexes {
                Some(indexes) => indexes.index_of(name, &*source, namespace).await?,
                None => None,
            };
            if let Some(index) = index {
                listed.extend(indexes::offered(&index));
                continue;
            }
            let held = match all.take() {
                Some(held) => held,
                None => source.list().await?,
            };
            listed.extend(held.iter().filter(|held| held.urn.namespace() == namespace).cloned());
            all = Some(held);
        }
        listed.sort_by(|a, b| (&a.urn, &a.version).cmp(&(&b.urn, &b.version)));
        Ok(listed)
    }

    /// What a registry finds by words, in its own order; none where it has no search of its own. Nothing of it is
    /// believed: whoever calls what was found has it checked then.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRegistry`], and those of asking.
    pub async fn search_in(
        &self,
        name: &str,
        words: &str,
        limit: usize,
    ) -> Result<Option<Vec<FoundThere>>, RegistryError> {
        let members = self.members()?;
        let member = members.iter().find(|member| member.registry.name == name);
        let found = member
            .ok_or_else(|| no_such(name))?
            .source()?
            .search(words, limit)
            .await?;
        let asked = |found: &FoundThere| member_for(&members, name, found.urn.namespace()).is_ok();
        Ok(found.map(|found| found.into_iter().filter(asked).collect()))
    }

    /// Why the owner of the namespace took a version back, by the index of the first registry that lists it; none where
    /// it was not, or no index is asked for.
    ///
    /// # Errors
    /// As [`Registries::list`]'s, those of asking, and [`RegistryError::IndexRefused`].
    pub async fn yanked(&self, urn: &Urn, version: &Version) -> Result<Option<RegistryError>, RegistryError> {
        let Some(indexes) = &self.indexes else { return Ok(None) };
        let members = self.members()?;
        for member in members_for(&members, urn.namespace()) {
            let name = &member.registry.name;
            let index = indexes.index_of(name, &*member.source()?, urn.namespace()).await?;
            let Some(index) = index else { continue };
            if let Some(entry) = indexes::entry(&index, urn, version) {
                return Ok(entry.yanked.as_ref().map(|why| RegistryError::Yanked {
                    what: format!("{urn}@{version}"),
                    origin: member.registry.label(),
                    why: why.clone(),
                }));
            }
        }
        Ok(None)
    }

    /// Whether a version was taken back as far as is remembered here: nobody is asked.
    ///
    /// # Errors
    /// As [`Registries::list`]'s, and [`RegistryError::IndexStateDamaged`].
    pub async fn was_yanked(&self, urn: &Urn, version: &Version) -> Result<bool, RegistryError> {
        let Some(indexes) = &self.indexes else { return Ok(false) };
        let members = self.members()?;
        for member in members_for(&members, urn.namespace()) {
            if indexes.was_yanked(&member.registry.name, urn, version).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a member says, held against the index of the namespace where one is asked for.
    async fn describe(&self, member: &Member, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let source = member.source()?;
        match &self.indexes {
            Some(indexes) => indexes.describe(&member.registry.name, &*source, what).await,
            None => source.describe(what).await,
        }
    }

    /// What a registry has, whether or not its index lists it yet; but the index may not say otherwise.
    async fn held_in(&self, name: &str, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let members = self.members()?;
        let member = member_for(&members, name, what.urn.namespace())?;
        match self.describe(member, what).await {
            Err(RegistryError::NotInIndex { .. } | RegistryError::NoIndex { .. }) => {
                member.source()?.describe(what).await
            }
            answer => answer,
        }
    }

    /// Refuses two who hold different things as one version.
    async fn agree(
        &self,
        (member, descriptor): (&Member, &Descriptor),
        (rival, other): (&Member, Descriptor),
    ) -> Result<(), RegistryError> {
        let version = CapsuleRef {
            urn: descriptor.urn.clone(),
            pin: Pin::Version(descriptor.version.clone()),
        };
        let other = if other.version == descriptor.version {
            other
        } else {
            match self.describe(rival, &version).await {
                Ok(other) => other,
                Err(RegistryError::NotFound { .. }) => return Ok(()),
                Err(error) => {
                    passed_over(rival, &descriptor.urn, &error);
                    return Ok(());
                }
            }
        };
        let differ_in: fn(&Descriptor) -> String = if other.digest != descriptor.digest {
            |of: &Descriptor| of.digest.to_string()
        } else if other.manifest != descriptor.manifest {
            |of: &Descriptor| format!("manifest {}", Digest::of(of.manifest.as_bytes()))
        } else {
            return Ok(());
        };
        Err(RegistryError::Shadowed {
            what: version.to_string(),
            first: member.registry.label(),
            first_digest: differ_in(descriptor).into(),
            second: rival.registry.label(),
            second_digest: differ_in(&other).into(),
        })
    }

    /// Reads the file, if it is another than the last time.
    fn members(&self) -> Result<Arc<[Member]>, RegistryError> {
        let stamp = self.file.as_deref().and_then(stamp);
        let mut read = self.read.lock();
        if let Some((before, members)) = &*read
            && *before == stamp
        {
            return Ok(members.clone());
        }
        let mut registries = self.file.as_deref().map(file::load).transpose()?.unwrap_or_default();
        registries.extend(self.besides.iter().cloned());
        file::check(&registries)?;
        // Stable: within a scope the order stays.
        registries.sort_by_key(|registry| registry.scope);
        let members = registries
            .into_iter()
            .map(|registry| Member::new(registry, self.patience));
        let members: Arc<[Member]> = members.collect();
        *read = Some((stamp, members.clone()));
        Ok(members)
    }
}

/// Who is asked for a namespace: those who have it, else those who have none.
fn members_for<'a>(members: &'a [Member], namespace: &str) -> Vec<&'a Member> {
    let owners: Vec<_> = members.iter().filter(|member| member.has(namespace)).collect();
    if owners.is_empty() {
        members
            .iter()
            .filter(|member| member.registry.namespaces.is_empty())
            .collect()
    } else {
        owners
    }
}

fn member_for<'a>(members: &'a [Member], name: &str, namespace: &str) -> Result<&'a Member, RegistryError> {
    let member = members.iter().find(|member| member.registry.name == name);
    let member = member.ok_or_else(|| no_such(name))?;
    let asked = members_for(members, namespace);
    if asked.iter().any(|other| std::ptr::eq(*other, member)) {
        return Ok(member);
    }
    let owner = members.iter().find(|other| other.has(namespace));
    Err(RegistryError::NotForNamespace {
        name: name.into(),
        namespace: namespace.into(),
        why: owner.map_or_else(
            || "it has other ones".to_string(),
            |owner| format!("\"{}\" of scope {} has it", owner.registry.name, owner.registry.scope),
        ),
    })
}

fn passed_over(member: &Member, urn: &Urn, error: &RegistryError) {
    tracing::warn!(%urn, registry = %member.registry.name, "could not be asked and is passed over: {error}");
}

fn no_such(name: &str) -> RegistryError {
    RegistryError::NoSuchRegistry {
        name: crate::error::tame(name),
    }
}

fn stamp(file: &Path) -> Stamp {
    let metadata = file.metadata().ok()?;
    // Files are written anew beside the old one: the number tells them apart within one tick of the clock.
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests;
