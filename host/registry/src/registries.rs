//! Registries by name: which are asked for a URN, in which order, and that none stands in the way of another.
//!
//! The nearer scope is asked before the farther one, and within a scope whoever was added first. Three rules keep a far
//! registry from slipping something in under a name that a near one has, and the other way round: a namespace that
//! registries have is asked of those alone; a registry that does not answer is not passed over for a farther one; and
//! two that hold different things as one version are both refused.

mod entry;
mod file;
mod place;
mod publish;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use kinetic_model::{CapsuleRef, Digest, Pin, Urn};
use parking_lot::Mutex;

pub use self::entry::{Registry, Scope};
pub use self::place::Place;
pub use self::publish::Publish;
use crate::{ByteStream, Descriptor, RegistryError, Source, Summary};

/// The longest a registry may take to say what it has, over all it is asked for that. Everyone is waited for, so one that
/// trickles would keep what the others have from being called.
const DESCRIBE_TIMEOUT: Duration = Duration::from_mins(1);

/// The registries of a host: those in a file, which is read anew when it changed, and those beside it.
#[derive(Default)]
pub struct Registries {
    file: Option<PathBuf>,
    besides: Vec<Registry>,
    read: Mutex<Option<(Stamp, Arc<[Member]>)>>,
}

/// What tells one state of the file from another; none when there is no file.
type Stamp = Option<(SystemTime, u64, u64)>;

/// A registry, and what to ask it by, made at the first question.
struct Member {
    registry: Registry,
    source: OnceLock<Arc<dyn Source>>,
}

impl Registries {
    /// Those in the file at that path, which need not be there, and these. Nothing is read yet.
    pub fn new(file: PathBuf, besides: Vec<Registry>) -> Self {
        Self {
            file: Some(file),
            besides,
            read: Mutex::default(),
        }
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
        let members = self.members()?;
        let asked = members_for(&members, what.urn.namespace());
        let mut asking = Vec::with_capacity(asked.len());
        for member in &asked {
            asking.push(member.describe(what));
        }
        let answers = join_all(asking).await;
        let mut found: Option<(&Member, Descriptor)> = None;
        let mut rivals = Vec::new();
        for (member, answer) in asked.iter().copied().zip(answers) {
            let first = found.is_none();
            match answer {
                Ok(descriptor) if first => found = Some((member, descriptor)),
                Ok(descriptor) => rivals.push((member, descriptor)),
                Err(RegistryError::NotFound { .. }) => {}
                Err(error) if first => return Err(error),
                Err(error) => passed_over(member, &what.urn, &error),
            }
        }
        let Some((member, descriptor)) = found else {
            let labels: Vec<_> = asked.iter().map(|member| member.registry.label()).collect();
            return Err(RegistryError::NotFound {
                what: what.to_string(),
                origin: labels.join(", "),
            });
        };
        for (rival, other) in rivals {
            agree((member, &descriptor), (rival, other)).await?;
        }
        Ok((member.source()?, descriptor))
    }

    /// As [`Registries::find`], of one registry only.
    ///
    /// # Errors
    /// As [`Registries::named`]'s, [`RegistryError::NotFound`], and those of asking.
    pub async fn find_in(&self, name: &str, what: &CapsuleRef) -> Result<(Arc<dyn Source>, Descriptor), RegistryError> {
        let members = self.members()?;
        let source = member_for(&members, name, what.urn.namespace())?.source()?;
        let descriptor = source.describe(what).await?;
        Ok((source, descriptor))
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
        let members = registries.into_iter().map(|registry| Member {
            registry,
            source: OnceLock::new(),
        });
        let members: Arc<[Member]> = members.collect();
        *read = Some((stamp, members.clone()));
        Ok(members)
    }
}

impl Member {
    fn source(&self) -> Result<Arc<dyn Source>, RegistryError> {
        if let Some(source) = self.source.get() {
            return Ok(source.clone());
        }
        // Not kept when it fails: a file or a variable that is missing may be there at the next question.
        let named = Named {
            label: self.registry.label(),
            source: self.registry.open()?,
            within: DESCRIBE_TIMEOUT,
        };
        Ok(self.source.get_or_init(|| Arc::new(named)).clone())
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        self.source()?.describe(what).await
    }

    fn has(&self, namespace: &str) -> bool {
        self.registry.namespaces.iter().any(|name| name == namespace)
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

/// Refuses two who hold different things as one version.
async fn agree(
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
        match rival.describe(&version).await {
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
        first_digest: differ_in(descriptor),
        second: rival.registry.label(),
        second_digest: differ_in(&other),
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

/// A source under the name its registry has here.
struct Named {
    label: String,
    source: Arc<dyn Source>,
    within: Duration,
}

#[async_trait]
impl Source for Named {
    fn name(&self) -> &str {
        &self.label
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let answer = tokio::time::timeout(self.within, self.source.describe(what)).await;
        answer.unwrap_or_else(|_| {
            Err(RegistryError::SourceTimeout {
                origin: self.label.clone(),
            })
        })
    }

    async fn download(&self, descriptor: &Descriptor) -> Result<ByteStream, RegistryError> {
        self.source.download(descriptor).await
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        self.source.list().await
    }
}

#[cfg(test)]
mod tests;
