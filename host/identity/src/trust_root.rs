//! Whom this host believes: for each URN namespace, its root document, or else the keys that may sign for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kinetic_model::Digest;
use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Existing};
use crate::date::now_unix_ms;
use crate::error::shorten;
use crate::{IdentityError, KeyId, PublicKey, RootDocument, RootFolder, SignedRoot, strict_json};

/// The largest trust root read, in bytes.
const TRUST_FILE_BYTES_MAX: u64 = 1_048_576;
/// `{namespaces: {name: [{key}]}}` nests four deep.
const TRUST_DEPTH_MAX: usize = 4;
/// Keys one namespace may list: each signature of a receipt may have to be tried against each.
const NAMESPACE_KEYS_MAX: usize = 64;

/// The keys trusted, by URN namespace. An empty one trusts nobody.
///
/// Its file, closed to unknown members:
/// `{"namespaces": {"kinetic": [{"key": "ed25519:<base64>", "comment": "release key"}]}}`.
///
/// A namespace with a root document ([`RootFolder`]) is judged by that alone: what the file lists for it counts for
/// nothing. Whether a document has expired is judged as of the time when it was loaded, so that a trust root is for one
/// judgement and not to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustRoot {
    namespaces: BTreeMap<String, Vec<TrustedKey>>,
    roots: BTreeMap<String, Held>,
}

/// A namespace's root document, as far as it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is in force, or has expired: then it admits nothing more.
    Root { document: RootDocument, expired: bool },
    /// There is one, and it cannot be used: nothing is admitted.
    Unusable(IdentityError),
}

/// One key of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is, for people.
    #[serde(default)]
    pub comment: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    namespaces: BTreeMap<String, Vec<TrustedKey>>,
}

impl TrustRoot {
    /// Reads the file and the root documents beside it, as of now; a missing file lists no keys.
    ///
    /// A document that cannot be used keeps only its own namespace from being trusted.
    ///
    /// # Errors
    /// [`IdentityError::FileUnreadable`], [`IdentityError::FileTooOpen`] when group or others may write it (they could
    /// add themselves), [`IdentityError::TrustRootMalformed`].
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        Self::load_at(path, now_unix_ms())
    }

    /// [`TrustRoot::load`] as of another time, in milliseconds since 1970.
    ///
    /// # Errors
    /// Those of [`TrustRoot::load`].
    pub fn load_at(path: &Path, now_unix_ms: u64) -> Result<Self, IdentityError> {
        let mut root = Self::load_keys(path)?;
        let folder = RootFolder::beside(path);
        for namespace in folder.namespaces()? {
            match folder.read(&namespace) {
                // A pin that was begun and never ended: not pinned.
                Ok(None) => {}
                Ok(Some(signed)) => root.set_root(&signed, now_unix_ms),
                Err(error) => {
                    root.roots.insert(namespace, Held::Unusable(error));
                }
            }
        }
        Ok(root)
    }

    /// A digest over whom it believes: the same for the same keys and documents, in whatever order they came.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        let mut line = |namespace: &str, says: &str| {
            text.push_str(namespace);
            text.push(' ');
            text.push_str(says);
            text.push('\n');
        };
        for (namespace, keys) in &self.namespaces {
            for key in keys {
                line(namespace, &key.key.to_string());
            }
        }
        for (namespace, held) in &self.roots {
            match held {
                Held::Root { document, expired } => {
                    let document = serde_json::to_string(document).unwrap_or_default();
                    line(namespace, if *expired { "expired" } else { "in force" });
                    line(namespace, &document);
                }
                Held::Unusable(error) => line(namespace, &error.to_string()),
            }
        }
        Digest::of(text.as_bytes())
    }

    /// Judges a namespace by a root document from now on, as of a time in milliseconds since 1970.
    pub fn set_root(&mut self, root: &SignedRoot, now_unix_ms: u64) {
        let document = root.document().clone();
        let expired = document.expired(now_unix_ms);
        self.roots
            .insert(document.namespace.clone(), Held::Root { document, expired });
    }

    /// The root document of a namespace, if there is one and it can be used, be it expired or not.
    pub fn document(&self, namespace: &str) -> Option<&RootDocument> {
        match self.roots.get(namespace) {
            Some(Held::Root { document, .. }) => Some(document),
            _ => None,
        }
    }

    /// Whether a root document, and not the keys listed by themselves, speaks for a namespace, be it usable or not.
    pub fn has_root(&self, namespace: &str) -> bool {
        self.roots.contains_key(namespace)
    }

    pub(crate) fn held(&self, namespace: &str) -> Option<&Held> {
        self.roots.get(namespace)
    }

    pub(crate) fn documents(&self) -> impl Iterator<Item = &RootDocument> {
        self.roots.values().filter_map(|held| match held {
            Held::Root { document, .. } => Some(document),
            Held::Unusable(_) => None,
        })
    }

    fn load_keys(path: &Path) -> Result<Self, IdentityError> {
        let shown = path.display().to_string();
        let unreadable = |e: io::Error| IdentityError::FileUnreadable {
            path: shown.clone(),
            why: e.to_string(),
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(unreadable(e)),
        };
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(IdentityError::FileTooOpen {
                path: shown,
                mode: format!("{:03o}", mode & 0o777),
            });
        }
        let mut bytes = Vec::new();
        file.take(TRUST_FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let parsed = if bytes.len() as u64 > TRUST_FILE_BYTES_MAX {
            Err(format!("it is larger than {TRUST_FILE_BYTES_MAX} bytes"))
        } else {
            Self::from_json(&bytes)
        };
        parsed.map_err(|why| IdentityError::TrustRootMalformed { path: shown, why })
    }

    /// Writes the file whole or not at all, with mode 0600.
    ///
    /// # Errors
    /// [`IdentityError::FileUnwritable`].
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let unwritable = |why: String| IdentityError::FileUnwritable {
            path: path.display().to_string(),
            why,
        };
        let file = TrustFile {
            namespaces: self.namespaces.clone(),
        };
        let mut text = serde_json::to_string_pretty(&file).map_err(|e| unwritable(e.to_string()))?;
        text.push('\n');
        atomic_file::write(path, text.as_bytes(), Existing::Replace).map_err(|e| unwritable(e.to_string()))
    }

    /// The keys each of which may sign for a namespace alone; none for one that is not listed, or has a root document.
    pub fn trusted(&self, namespace: &str) -> &[TrustedKey] {
        if self.has_root(namespace) {
            return &[];
        }
        self.namespaces.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// Every namespace with the keys the file lists for it, sorted by name; those of a namespace with a root document
    /// count for nothing.
    pub fn list(&self) -> impl Iterator<Item = (&str, &[TrustedKey])> {
        self.namespaces
            .iter()
            .map(|(namespace, keys)| (namespace.as_str(), keys.as_slice()))
    }

    /// Lets a key sign for a namespace. `false`: it might already, and its comment stays as it was.
    ///
    /// # Errors
    /// [`IdentityError::BadNamespace`], [`IdentityError::TooManyKeys`], [`IdentityError::RootDecides`].
    pub fn add(&mut self, namespace: &str, key: PublicKey, comment: &str) -> Result<bool, IdentityError> {
        if !is_namespace(namespace) {
            return Err(IdentityError::BadNamespace {
                namespace: shorten(namespace),
            });
        }
        if self.has_root(namespace) {
            return Err(IdentityError::RootDecides {
                namespace: namespace.into(),
            });
        }
        let keys = self.namespaces.entry(namespace.to_string()).or_default();
        if keys.iter().any(|known| known.key == key) {
            return Ok(false);
        }
        if keys.len() >= NAMESPACE_KEYS_MAX {
            return Err(IdentityError::TooManyKeys {
                namespace: namespace.into(),
                keys_max: NAMESPACE_KEYS_MAX,
            });
        }
        keys.push(TrustedKey {
            key,
            comment: comment.to_string(),
        });
        Ok(true)
    }

    /// Takes a key away from a namespace, and the namespace with its last key.
    ///
    /// # Errors
    /// [`IdentityError::KeyNotTrusted`].
    pub fn remove(&mut self, namespace: &str, id: &KeyId) -> Result<(), IdentityError> {
        let unlisted = || IdentityError::KeyNotTrusted {
            namespace: shorten(namespace),
            key_id: id.to_string(),
        };
        let keys = self.namespaces.get_mut(namespace).ok_or_else(unlisted)?;
        let before = keys.len();
        keys.retain(|known| known.key.id() != *id);
        if keys.len() == before {
            return Err(unlisted());
        }
        if keys.is_empty() {
            self.namespaces.remove(namespace);
        }
        Ok(())
    }

    fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let value = strict_json::parse(bytes, TRUST_DEPTH_MAX).map_err(|e| e.to_string())?;
        let file: TrustFile = serde_json::from_value(value).map_err(|e| shorten(&e.to_string()))?;
        let mut root = Self::default();
        for (namespace, keys) in file.namespaces {
            for listed in keys {
                let added = root
                    .add(&namespace, listed.key, &listed.comment)
                    .map_err(|e| e.to_string())?;
                if !added {
                    return Err(format!("namespace \"{namespace}\" lists key {} twice", listed.key.id()));
                }
            }
        }
        Ok(root)
    }
}

pub(crate) fn is_namespace(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !text.is_empty() && text.len() <= 200 && text.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::SigningKey;

    fn key() -> PublicKey {
        SigningKey::generate().unwrap().public()
    }

    fn load_text(text: &str) -> Result<TrustRoot, IdentityError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.json");
        fs::write(&path, text).unwrap();
        TrustRoot::load(&path)
    }

    #[test]
    fn a_missing_file_trusts_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let root = TrustRoot::load(&folder.path().join("trust.json")).unwrap();
        assert_eq!(root.list().count(), 0);
        assert!(root.trusted("kinetic").is_empty());
    }

    #[test]
    fn a_saved_trust_root_loads_again_and_its_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.json");
        let mut root = TrustRoot::default();
        assert!(root.add("kinetic", key(), "release").unwrap());
        assert!(root.add("kinetic", key(), "").unwrap());
        assert!(root.add("my_org1", key(), "me").unwrap());
        root.save(&path).unwrap();
        assert_eq!(TrustRoot::load(&path).unwrap(), root);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        root.save(&path).unwrap();
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays behind"
        );
    }

    #[test]
    fn a_key_speaks_only_for_the_namespace_it_was_added_to() {
        let mut root = TrustRoot::default();
        let mine = key();
        root.add("mine", mine, "").unwrap();
        assert_eq!(root.trusted("mine")[0].key, mine);
        assert!(root.trusted("yours").is_empty());
    }

    #[test]
    fn adding_twice_changes_nothing_and_removing_takes_it_away() {
        let mut root = TrustRoot::default();
        let mine = key();
        assert!(root.add("mine", mine, "first").unwrap());
        assert!(!root.add("mine", mine, "second").unwrap());
        assert_eq!(root.trusted("mine")[0].comment, "first");
        assert!(matches!(
            root.remove("yours", &mine.id()),
            Err(IdentityError::KeyNotTrusted { .. })
        ));
        root.remove("mine", &mine.id()).unwrap();
        assert!(matches!(
            root.remove("mine", &mine.id()),
            Err(IdentityError::KeyNotTrusted { .. })
        ));
        assert_eq!(root, TrustRoot::default());
    }

    #[test]
    fn a_namespace_outside_the_urn_grammar_is_refused() {
        for bad in ["", "Kinetic", "my-org", "a:b", "ü", &"a".repeat(201)] {
            assert!(matches!(
                TrustRoot::default().add(bad, key(), ""),
                Err(IdentityError::BadNamespace { .. })
            ));
        }
    }

    #[test]
    fn a_namespace_holds_at_most_64_keys() {
        let mut root = TrustRoot::default();
        for _ in 0..NAMESPACE_KEYS_MAX {
            root.add("full", key(), "").unwrap();
        }
        assert!(matches!(
            root.add("full", key(), ""),
            Err(IdentityError::TooManyKeys { .. })
        ));
    }

    #[test]
    fn a_malformed_trust_root_is_refused_and_not_read_as_empty() {
        let k = key();
        let good = format!(r#"{{"namespaces":{{"a":[{{"key":"{k}"}}]}}}}"#);
        assert!(load_text(&good).is_ok());
        for bad in [
            String::new(),
            "{}".into(),
            "[]".into(),
            r#"{"namespaces":{},"extra":1}"#.into(),
            r#"{"namespaces":{},"namespaces":{}}"#.into(),
            r#"{"namespaces":{"A":[]},"x":{}}"#.into(),
            format!(r#"{{"namespaces":{{"a":[{{"key":"{k}"}}],"a":[]}}}}"#),
            format!(r#"{{"namespaces":{{"a":[{{"key":"{k}"}},{{"key":"{k}"}}]}}}}"#),
            format!(r#"{{"namespaces":{{"a":[{{"key":"{k}","expires":1}}]}}}}"#),
            format!(r#"{{"namespaces":{{"A":[{{"key":"{k}"}}]}}}}"#),
            good.replace("ed25519:", "ed448:"),
        ] {
            assert!(
                matches!(load_text(&bad), Err(IdentityError::TrustRootMalformed { .. })),
                "{bad}"
            );
        }
        let large = format!("{good}{}", " ".repeat(1_048_577));
        assert!(matches!(
            load_text(&large),
            Err(IdentityError::TrustRootMalformed { .. })
        ));
    }

    #[test]
    fn a_trust_root_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.json");
        TrustRoot::default().save(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(TrustRoot::load(&path), Err(IdentityError::FileTooOpen { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(TrustRoot::load(&path).is_ok());
    }

    #[test]
    fn a_trust_root_that_cannot_be_saved_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere").join("trust.json");
        assert!(matches!(
            TrustRoot::default().save(&missing),
            Err(IdentityError::FileUnwritable { .. })
        ));
    }
}
