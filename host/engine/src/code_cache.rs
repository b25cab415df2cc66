//! Compiled code on disk. It is native code that nothing else checks, so every entry carries a MAC by a key of this host.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kinetic_model::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::EngineError;
use crate::interface::Interface;

const MAC_BYTES: usize = 32;
/// What an entry starts with; changes when the layout does.
const MAGIC: &[u8] = b"kinetic-code-4\n";

/// Compiled code and what the component offers.
pub(crate) struct Compiled {
    pub(crate) code: Bytes,
    pub(crate) interface: Interface,
}

/// A folder of compiled code: mode 0700, entries named by component digest, engine configuration and target.
#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    key: [u8; 32],
    engine_id: [u8; 32],
}

impl CodeCache {
    /// Opens or makes the folder and its key.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, EngineError> {
        let failed = |what: &str, e: &std::io::Error| EngineError::CodeCache {
            why: format!("{what}: {e}"),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| failed("folder", &e))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|e| failed("folder", &e))?;
        let key_file = folder.join("mac.key");
        let key = match fs::read(&key_file) {
            Ok(bytes) if bytes.len() == 32 => bytes.try_into().unwrap_or_default(),
            // A key that is missing or half written is made anew; entries under the old one then fail their MAC and recompile.
            _ => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(|e| EngineError::CodeCache {
                    why: format!("no random bytes: {e}"),
                })?;
                write_atomically(folder, &key_file, &[&key]).map_err(|e| failed("key", &e))?;
                key
            }
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            key,
            engine_id: engine_id(engine),
        })
    }

    fn name(&self, component: &Digest) -> String {
        let mut hash = Sha256::new();
        hash.update(component.as_bytes());
        hash.update(self.engine_id);
        hex::encode(hash.finalize())
    }

    /// BLAKE3, keyed: as strong as HMAC-SHA256, and of compiled code there are megabytes, for each of which a caller waits.
    fn mac(&self, name: &str, body: &[u8]) -> blake3::Hash {
        // The name is bound in, so that one component's entry cannot be put in another's place.
        blake3::Hasher::new_keyed(&self.key)
            .update(name.as_bytes())
            .update(body)
            .finalize()
    }

    /// The entry of a component, if it is there and whole. A wrong MAC is reported, the entry removed, and nothing loaded.
    pub(crate) fn load(&self, digest: &Digest) -> Option<Compiled> {
        let name = self.name(digest);
        let path = self.folder.join(&name);
        let entry = fs::read(&path).ok()?;
        let Some(body) = self.checked(&name, &entry) else {
            tracing::warn!(component = %digest, "a code cache entry failed its MAC; it is removed and the component compiled again");
            let _ = fs::remove_file(&path);
            return None;
        };
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (interface, code) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let interface = serde_json::from_slice(interface).ok()?;
        let code_at = entry.len().checked_sub(code.len())?;
        Some(Compiled {
            code: Bytes::from(entry).split_off(code_at),
            interface,
        })
    }

    fn checked<'a>(&self, name: &str, entry: &'a [u8]) -> Option<&'a [u8]> {
        let rest = entry.strip_prefix(MAGIC)?;
        let (tag, body) = rest.split_first_chunk::<MAC_BYTES>()?;
        // In constant time.
        (self.mac(name, body) == *tag).then_some(body)
    }

    /// Removes the entry of a component.
    pub(crate) fn forget(&self, digest: &Digest) {
        let _ = fs::remove_file(self.folder.join(self.name(digest)));
    }

    /// Keeps compiled code. Failing to (a full disk) costs a recompile later, so the caller only reports it.
    pub(crate) fn store(&self, digest: &Digest, compiled: &Compiled) -> Result<(), EngineError> {
        let why = |e: &dyn std::fmt::Display| EngineError::CodeCache { why: e.to_string() };
        let name = self.name(digest);
        let interface = serde_json::to_vec(&compiled.interface).map_err(|e| why(&e))?;
        let length = u32::try_from(interface.len()).map_err(|e| why(&e))?.to_le_bytes();
        let body = [length.as_slice(), &interface, &compiled.code].concat();
        let tag = self.mac(&name, &body);
        write_atomically(&self.folder, &self.folder.join(&name), &[MAGIC, tag.as_bytes(), &body]).map_err(|e| why(&e))
    }
}

/// Makes a component from code this host compiled: from its own compiler process, or from an entry whose MAC was right. A
/// worker process has it from the host that started it, and from nobody else.
#[allow(unsafe_code)]
pub(crate) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was produced by wasmtime in this host and has not been changed since: it comes either straight
    // from the compiler or from a cache entry bound to this host's key by a MAC; in a worker process, over the socket
    // that its host made for the two of them.
    unsafe { Component::deserialize(engine, code) }
}

fn write_atomically(folder: &Path, path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(std::io::Error::other)?;
    let temporary = folder.join(format!("{}.tmp", hex::encode(suffix)));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A digest of everything that decides whether code fits: wasmtime's version, its settings, the target.
pub(crate) fn engine_id(engine: &Engine) -> [u8; 32] {
    struct ToSha(Sha256);
    impl Hasher for ToSha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        // Only the bytes are wanted.
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = ToSha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    std::env::consts::ARCH.hash(&mut hasher);
    std::env::consts::OS.hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    hasher.0.finalize().into()
}
