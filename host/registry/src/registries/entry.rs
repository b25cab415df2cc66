//! One registry as an operator or an author describes it: name, place, scope, who it is for, whom to trust there.

mod promotions;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Place;
use crate::credentials::{self, Credentials};
use crate::descriptor::at_most;
use crate::oci::OciSource;
use crate::store::blocking;
use crate::{Descriptor, FolderSource, FolderStore, HttpOptions, HttpSource, RegistryError, Source};

/// How long a host may take that something is published to: it compiles before it answers.
const PUBLISH_TIMEOUT: Duration = Duration::from_mins(2);
/// The longest name of a registry, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Namespaces of one registry.
const NAMESPACES_MAX: usize = 1_000;
/// The largest file of certificates read, in bytes.
const CA_BYTES_MAX: u64 = 1_048_576;

/// How near a registry is. The nearer is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This machine's or site's own.
    Local,
    /// That of one's organisation.
    Tenant,
    /// Everybody's; the default.
    #[default]
    Global,
}

impl Scope {
    const ALL: [(&'static str, Self); 3] = [
        ("local", Self::Local),
        ("tenant", Self::Tenant),
        ("global", Self::Global),
    ];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Tenant => "tenant",
            Self::Global => "global",
        })
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(word, _)| *word == text);
        found
            .map(|(_, scope)| scope)
            .ok_or_else(|| "it is local, tenant or global".to_string())
    }
}

/// A registry by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// What people call it: lower-case letters, digits, hyphens and underscores.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// How near it is.
    #[serde(default)]
    pub scope: Scope,
    /// The namespaces it has: it is asked for no others, and no registry of another scope is asked for these. None: it is
    /// asked for whatever no registry has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// A file of certificates in PEM form that alone vouch for it; without one those of the machine do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The environment variable that holds the bearer token, or for OCI name:password; without one what `docker login`
    /// keeps counts for OCI, and nothing for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
}

impl Registry {
    /// Refuses what cannot be one.
    ///
    /// # Errors
    /// [`RegistryError::BadRegistry`].
    pub fn check(&self) -> Result<(), RegistryError> {
        let bad = |why: &str| {
            Err(RegistryError::BadRegistry {
                name: crate::error::tame(&self.name),
                why: why.to_string(),
            })
        };
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_name = |b: u8| word(b) || b == b'-' || b == b'_';
        if self.name.len() > NAME_BYTES_MAX || !self.name.bytes().next().is_some_and(word) {
            return bad("its name is not 1 to 64 bytes that begin with a lower-case letter or digit");
        }
        if !self.name.bytes().all(is_name) {
            return bad("its name is not lower-case letters, digits, hyphens and underscores");
        }
        let is_namespace = |text: &String| !text.is_empty() && text.bytes().all(|b| word(b) || b == b'_');
        if self.namespaces.len() > NAMESPACES_MAX || !self.namespaces.iter().all(is_namespace) {
            return bad("its namespaces are not at most 1,000 words of lower-case letters, digits and underscores");
        }
        let is_folder = matches!(self.place, Place::Folder(_));
        if is_folder && (self.ca.is_some() || self.token_env.is_some()) {
            return bad("a folder takes neither certificates nor a token");
        }
        if matches!(&self.place, Place::Http(url) if url.starts_with("http:")) && self.ca.is_some() {
            return bad("http:// has no certificates");
        }
        let folder = match &self.place {
            Place::Folder(path) => Some(path),
            _ => None,
        };
        let mut paths = folder.into_iter().chain(&self.ca);
        if paths.any(|path| !path.is_absolute()) {
            return bad("its folder or file of certificates is not an absolute path");
        }
        let is_variable = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'=');
        if !self.token_env.iter().all(is_variable) {
            return bad("the name of its variable is none");
        }
        Ok(())
    }

    /// Name and place, as people read them.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.place)
    }

    /// In words, where the credentials for it come from; nothing is looked up but Docker's own file.
    pub fn credentials(&self) -> String {
        match (&self.place, &self.token_env) {
            (_, Some(name)) => format!("the variable {name}"),
            (Place::Oci(address), None) => Credentials::of(None).origin(address.authority()),
            (Place::Http(_) | Place::Folder(_), None) => "none".into(),
        }
    }

    /// What to ask. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::BadCaFile`], [`RegistryError::NoCredentials`], [`RegistryError::ClientFailed`].
    pub(super) fn open(&self) -> Result<Arc<dyn Source>, RegistryError> {
        let source: Arc<dyn Source> = match &self.place {
            Place::Oci(address) => {
                let credentials = Credentials::of(self.token_env.as_deref());
                Arc::new(OciSource::new(address, credentials, &self.options()?)?)
            }
            Place::Http(url) => Arc::new(HttpSource::new(url, &self.with_token(url)?)?),
            Place::Folder(path) => Arc::new(FolderSource::new(path)),
        };
        Ok(source)
    }

    /// Publishes a signed capsule to it, and to OCI also the bill of materials (CycloneDX, JSON). What is there already
    /// stays as it is: the same again succeeds.
    ///
    /// # Errors
    /// [`RegistryError::VersionTaken`] or [`RegistryError::SourceConflict`] when the version is there with other content,
    /// and those of reaching it.
    pub async fn publish(
        &self,
        descriptor: &Descriptor,
        component: Bytes,
        sbom: Option<Bytes>,
    ) -> Result<(), RegistryError> {
        match &self.place {
            Place::Oci(address) => {
                let credentials = Credentials::of(self.token_env.as_deref());
                let source = OciSource::new(address, credentials, &self.options()?)?;
                source.publish(descriptor, component, sbom).await
            }
            Place::Http(url) => {
                let options = HttpOptions {
                    total_timeout: PUBLISH_TIMEOUT,
                    read_timeout: PUBLISH_TIMEOUT,
                    ..self.with_token(url)?
                };
                let source = HttpSource::new(url, &options)?;
                let published = source.publish(&descriptor.manifest, &descriptor.receipt, &component);
                published.await.map(drop)
            }
            Place::Folder(path) => {
                let path = path.clone();
                // All that it holds is read, and another writer's turn is waited for.
                // Whoever fetches it has a bound of his own.
                let store = blocking(move || FolderStore::open(&path, u64::MAX)).await?;
                store.put(descriptor.clone(), component).await
            }
        }
    }

    /// The server behind it, to be asked with its token; none of a folder or an OCI registry, where nobody decides anything.
    ///
    /// # Errors
    /// [`RegistryError::BadCaFile`], [`RegistryError::NoCredentials`], [`RegistryError::ClientFailed`].
    pub fn server(&self) -> Result<Option<HttpSource>, RegistryError> {
        match &self.place {
            Place::Http(url) => HttpSource::new(url, &self.with_token(url)?).map(Some),
            Place::Oci(_) | Place::Folder(_) => Ok(None),
        }
    }

    /// Puts a signed index up, in the place of the one before. Whether it may stand is decided by whoever calls, and by
    /// whoever reads it.
    ///
    /// # Errors
    /// [`RegistryError::TakesNoIndex`], and those of reaching it.
    pub(super) async fn put_index(&self, namespace: &str, bytes: Bytes) -> Result<(), RegistryError> {
        match &self.place {
            Place::Oci(address) => {
                let credentials = Credentials::of(self.token_env.as_deref());
                let source = OciSource::new(address, credentials, &self.options()?)?;
                source.put_index(namespace, bytes).await
            }
            Place::Http(_) => Err(RegistryError::TakesNoIndex { origin: self.label() }),
            Place::Folder(path) => FolderSource::new(path).put_index(namespace, bytes).await,
        }
    }

    fn options(&self) -> Result<HttpOptions, RegistryError> {
        Ok(HttpOptions {
            ca_pem: self.ca.as_deref().map(certificates).transpose()?,
            ..HttpOptions::default()
        })
    }

    fn with_token(&self, url: &str) -> Result<HttpOptions, RegistryError> {
        let token = self.token_env.as_deref().map(|name| credentials::token(name, url));
        Ok(HttpOptions {
            token: token.transpose()?,
            ..self.options()?
        })
    }
}

/// The text of a file of certificates.
fn certificates(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let bad = |why: String| RegistryError::BadCaFile {
        path: path.display().to_string(),
        why,
    };
    let size_bytes = path.metadata().map_err(|error| bad(error.to_string()))?.len();
    at_most("the file of certificates", size_bytes, CA_BYTES_MAX)?;
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    // Without any the machine's own would not vouch either, and every connection would fail without a reason.
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(pem),
        Ok(_) => Err(bad("there is none in it".into())),
        Err(error) => Err(bad(crate::error::tame(&error.to_string()))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A registry of that name at that place.
    pub(in crate::registries) fn registry(name: &str, place: &str, scope: Scope) -> Registry {
        Registry {
            name: name.into(),
            place: place.parse().unwrap(),
            scope,
            namespaces: Vec::new(),
            ca: None,
            token_env: None,
        }
    }

    #[test]
    fn what_cannot_be_a_registry_is_refused() {
        let good = registry("acme-2", "oci://registry.example", Scope::Tenant);
        good.check().unwrap();
        let folder = registry("f", "dir:/srv/x", Scope::Local);
        let plain = registry("p", "http://127.0.0.1:1", Scope::Local);
        for bad in [
            Registry {
                name: String::new(),
                ..good.clone()
            },
            Registry {
                name: "Acme".into(),
                ..good.clone()
            },
            Registry {
                name: "-a".into(),
                ..good.clone()
            },
            Registry {
                name: "a b".into(),
                ..good.clone()
            },
            Registry {
                name: "a".repeat(65),
                ..good.clone()
            },
            Registry {
                namespaces: vec!["Acme".into()],
                ..good.clone()
            },
            Registry {
                namespaces: vec![String::new()],
                ..good.clone()
            },
            Registry {
                ca: Some("ca.pem".into()),
                ..good.clone()
            },
            Registry {
                token_env: Some("A=B".into()),
                ..good.clone()
            },
            Registry {
                token_env: Some(String::new()),
                ..good.clone()
            },
            Registry {
                token_env: Some("T".into()),
                ..folder.clone()
            },
            Registry {
                place: "dir:x".parse().unwrap(),
                ..folder
            },
            Registry {
                ca: Some("/ca.pem".into()),
                ..plain
            },
        ] {
            assert!(matches!(bad.check(), Err(RegistryError::BadRegistry { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_before_anything_is_sent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, path) in [("no certificate", file.path()), ("", Path::new("/nonexistent.pem"))] {
            std::fs::write(file.path(), text).unwrap();
            let registry = Registry {
                ca: Some(path.into()),
                ..registry("a", "oci://registry.example", Scope::Global)
            };
            assert!(matches!(registry.open(), Err(RegistryError::BadCaFile { .. })));
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error_and_not_nobody() {
        let registry = Registry {
            token_env: Some("KINETIC_TESTS_NEVER_SET".into()),
            ..registry("a", "https://registry.example", Scope::Global)
        };
        assert!(matches!(registry.open(), Err(RegistryError::NoCredentials { .. })));
        assert_eq!(registry.credentials(), "the variable KINETIC_TESTS_NEVER_SET");
    }
}
