//! The root documents an operator has pinned, one for a namespace, in a folder beside the trust root.
//!
//! Beside each document lies a mark with its digest and version, the highest one ever taken: a document that somebody
//! puts back by hand, or that a restored copy brings along, is refused. Who can write the folder can write both; it is
//! the owner's alone.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use kinetic_model::Digest;
use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Existing};
use crate::date::utc_text;
use crate::error::{sentence, shorten};
use crate::root_document::ROOT_BYTES_MAX;
use crate::trust_root::is_namespace;
use crate::{IdentityError, SignedRoot, canonical};

/// Namespaces that may have a root document on one host: each admission reads them.
pub const ROOTS_MAX: usize = 256;
/// How often files that change while they are read are read anew.
const READS_MAX: usize = 64;
/// The largest mark read, in bytes; an honest one has about 200.
const MARK_BYTES_MAX: usize = 1_024;
/// Group or others may write: they could put themselves in.
const OTHERS_WRITE: u32 = 0o022;
const DOCUMENT: &str = "json";
const MARK: &str = "seen";

/// The highest version taken. It is written before its document and again behind it, so that a crash in between leaves
/// the document before in force and not a folder that nothing fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// The document before; it still counts until this one is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Digest>,
    digest: Digest,
    /// Whether the document of `digest` is known to be in its place.
    settled: bool,
    version: u64,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct RootFolder {
    folder: PathBuf,
}

impl RootFolder {
    /// That of a trust root: `trust.roots` beside `trust.json`.
    pub fn beside(trust_file: &Path) -> Self {
        Self {
            folder: trust_file.with_extension("roots"),
        }
    }

    /// Where it is; it may not be there yet.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The namespaces that have a document, or a mark that says one was there, sorted.
    ///
    /// # Errors
    /// [`IdentityError::FileUnreadable`], [`IdentityError::TrustRootMalformed`] when group or others may write the folder
    /// and for more than [`ROOTS_MAX`].
    pub fn namespaces(&self) -> Result<Vec<String>, IdentityError> {
        let unreadable = |e: io::Error| unreadable(&self.folder, &e);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unreadable(e)),
        };
        let malformed = |why: String| IdentityError::TrustRootMalformed {
            path: self.folder.display().to_string(),
            why,
        };
        let mode = self.folder.metadata().map_err(unreadable)?.permissions().mode();
        if mode & OTHERS_WRITE != 0 {
            let mode = mode & 0o777;
            return Err(malformed(format!(
                "others than its owner may write it: mode {mode:03o}, not 700"
            )));
        }
        let mut found = Vec::new();
        for entry in entries {
            let path = PathBuf::from(entry.map_err(unreadable)?.file_name());
            let text = |part: Option<&std::ffi::OsStr>| part.and_then(std::ffi::OsStr::to_str).map(ToString::to_string);
            // Temporary files of a crash are not ours to read.
            let (Some(name), Some(kind)) = (text(path.file_stem()), text(path.extension())) else {
                continue;
            };
            if (kind == DOCUMENT || kind == MARK) && is_namespace(&name) && !found.contains(&name) {
                found.push(name);
            }
            if found.len() > ROOTS_MAX {
                return Err(malformed(format!("it holds more than {ROOTS_MAX} root documents")));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The document that is pinned for a namespace, if one is.
    ///
    /// # Errors
    /// [`IdentityError::RootUnusable`] when document and mark do not fit each other or one is malformed,
    /// [`IdentityError::FileTooOpen`], [`IdentityError::FileUnreadable`].
    pub fn read(&self, namespace: &str) -> Result<Option<SignedRoot>, IdentityError> {
        Ok(self.held(namespace)?.map(|(root, _)| root))
    }

    /// Pins the first document of a namespace. Whoever calls has made sure that it is the right one: nothing in it can
    /// say so. Pinning the same one again changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::RootUnsigned`], [`IdentityError::RootExpired`], [`IdentityError::RootExists`],
    /// [`IdentityError::FileUnwritable`], and those of [`RootFolder::read`].
    pub fn pin(&self, root: &SignedRoot, now_unix_ms: u64) -> Result<(), IdentityError> {
        let document = root.document();
        root.check_own()?;
        if document.expired(now_unix_ms) {
            return Err(IdentityError::RootExpired {
                namespace: document.namespace.clone(),
                version: document.version,
                expired: utc_text(document.expires_unix_ms),
            });
        }
        match self.held(&document.namespace)? {
            None => self.put(root, None),
            Some((there, mark)) if there.digest() == root.digest() => self.settle(&there, mark),
            Some((there, _)) => Err(IdentityError::RootExists {
                namespace: document.namespace.clone(),
                version: there.document().version,
            }),
        }
    }

    /// Puts the next version in the place of the one that is pinned. `false`: it was there already.
    ///
    /// # Errors
    /// [`IdentityError::RootMissing`], [`IdentityError::RootOutOfOrder`], [`IdentityError::RootUnsigned`],
    /// [`IdentityError::RootUnusable`] for another document of a version that was taken before,
    /// [`IdentityError::FileUnwritable`], and those of [`RootFolder::read`].
    pub fn update(&self, root: &SignedRoot) -> Result<bool, IdentityError> {
        let document = root.document();
        let namespace = &document.namespace;
        let Some((there, mark)) = self.held(namespace)? else {
            return Err(IdentityError::RootMissing {
                namespace: namespace.clone(),
            });
        };
        if there.digest() == root.digest() {
            self.settle(&there, mark)?;
            return Ok(false);
        }
        root.check_after(there.document())?;
        if document.version <= mark.version && mark.digest != root.digest() {
            return Err(unusable(
                namespace,
                format!("another version {} was taken before", mark.version),
            ));
        }
        self.put(root, Some(there.digest()))?;
        Ok(true)
    }

    /// Forgets a namespace's document and how far it was: the operator's own word, as pinning was.
    ///
    /// # Errors
    /// [`IdentityError::RootMissing`], [`IdentityError::FileUnwritable`].
    pub fn remove(&self, namespace: &str) -> Result<(), IdentityError> {
        named(namespace)?;
        let mut removed = false;
        // The mark goes last: one alone admits nothing.
        for path in [self.file(namespace, DOCUMENT), self.file(namespace, MARK)] {
            match fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(unwritable(&path, &e)),
            }
        }
        if removed {
            let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
            synced.map_err(|e| unwritable(&self.folder, &e))
        } else {
            Err(IdentityError::RootMissing {
                namespace: namespace.to_string(),
            })
        }
    }

    fn held(&self, namespace: &str) -> Result<Option<(SignedRoot, Mark)>, IdentityError> {
        named(namespace)?;
        let [mark, document] = self.both(namespace)?;
        let mark: Option<Mark> = mark
            .map(|bytes| canonical::read(&bytes))
            .transpose()
            .map_err(|why| unusable(namespace, format!("its mark is malformed: {why}")))?;
        let (bytes, mark) = match (document, mark) {
            (None, None) => return Ok(None),
            // Being pinned for the first time, or a crash while it was: not pinned yet.
            (None, Some(mark)) if !mark.settled && mark.before.is_none() => return Ok(None),
            (None, Some(mark)) => {
                let why = format!("version {} was taken, and its file is gone", mark.version);
                return Err(unusable(namespace, why));
            }
            (Some(_), None) => {
                let why = "the mark of the highest version taken is gone".to_string();
                return Err(unusable(namespace, why));
            }
            (Some(bytes), Some(mark)) => (bytes, mark),
        };
        let root = SignedRoot::from_json(&bytes).map_err(|error| unusable(namespace, sentence(&error)))?;
        let (version, digest) = (root.document().version, root.digest());
        let known = digest == mark.digest || (!mark.settled && mark.before == Some(digest));
        if !known || root.document().namespace != namespace {
            let why = format!(
                "its file holds version {version} ({digest}), the highest taken is version {} ({})",
                mark.version, mark.digest
            );
            return Err(unusable(namespace, why));
        }
        Ok(Some((root, mark)))
    }

    /// The bytes of mark and document as they were at one time: whoever replaces them writes the mark before the document.
    fn both(&self, namespace: &str) -> Result<[Option<Vec<u8>>; 2], IdentityError> {
        let mark = || read(&self.file(namespace, MARK), MARK_BYTES_MAX);
        let mut before = mark()?;
        for _ in 0..READS_MAX {
            let document = read(&self.file(namespace, DOCUMENT), ROOT_BYTES_MAX)?;
            let after = mark()?;
            if after == before {
                return Ok([before, document]);
            }
            before = after;
        }
        Err(unusable(namespace, "its files change all the time".to_string()))
    }

    /// Ends what a crash left half done.
    fn settle(&self, there: &SignedRoot, mark: Mark) -> Result<(), IdentityError> {
        if mark.settled || mark.digest != there.digest() {
            return Ok(());
        }
        let settled = Mark {
            before: None,
            settled: true,
            ..mark
        };
        self.write_mark(&there.document().namespace, &settled)
    }

    fn put(&self, root: &SignedRoot, before: Option<Digest>) -> Result<(), IdentityError> {
        let (namespace, version) = (&root.document().namespace, root.document().version);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| unwritable(&self.folder, &e))?;
        // Were the folder itself gone after a crash, listed keys would count again.
        let above = self.folder.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or_else(|| Path::new("."));
        let synced = File::open(above).and_then(|folder| folder.sync_all());
        synced.map_err(|e| unwritable(above, &e))?;
        let mut mark = Mark {
            before,
            digest: root.digest(),
            settled: false,
            version,
        };
        self.write_mark(namespace, &mark)?;
        write(&self.file(namespace, DOCUMENT), &root.to_json())?;
        mark.settled = true;
        mark.before = None;
        self.write_mark(namespace, &mark)
    }

    fn write_mark(&self, namespace: &str, mark: &Mark) -> Result<(), IdentityError> {
        let path = self.file(namespace, MARK);
        let bytes = canonical::write(mark).map_err(|why| unwritable(&path, &io::Error::other(why)))?;
        write(&path, &bytes)
    }

    fn file(&self, namespace: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{namespace}.{kind}"))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    atomic_file::write(path, bytes, Existing::Replace).map_err(|e| unwritable(path, &e))
}

fn named(namespace: &str) -> Result<(), IdentityError> {
    if is_namespace(namespace) {
        return Ok(());
    }
    Err(IdentityError::BadNamespace {
        namespace: shorten(namespace),
    })
}

/// A bounded file that others cannot write; none when it is not there.
fn read(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, IdentityError> {
    let unreadable = |e: io::Error| unreadable(path, &e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS_WRITE != 0 {
        return Err(IdentityError::FileTooOpen {
            path: path.display().to_string(),
            mode: format!("{:03o}", mode & 0o777),
        });
    }
    let mut bytes = Vec::new();
    // One more than is allowed: whoever parses it then refuses it as too large, or as no JSON.
    file.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(Some(bytes))
}

fn unreadable(path: &Path, error: &io::Error) -> IdentityError {
    IdentityError::FileUnreadable {
        path: path.display().to_string(),
        why: error.to_string(),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> IdentityError {
    IdentityError::FileUnwritable {
        path: path.display().to_string(),
        why: error.to_string(),
    }
}

fn unusable(namespace: &str, why: String) -> IdentityError {
    IdentityError::RootUnusable {
        namespace: namespace.to_string(),
        why,
    }
}

#[cfg(test)]
mod tests;
