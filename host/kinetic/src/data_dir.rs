//! The data folder: where its parts lie, who may read it, and that only one host serves it.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinetic_identity::{RootFolder, SigningKey, TrustRoot};
use tempfile::TempDir;

use crate::error::{self, CliError};

/// A data folder that exists and that only its owner can enter.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Opens the folder, making it with mode 0700 when it is missing.
    ///
    /// # Errors
    /// [`CliError::DataOpen`] when others may enter it: it holds private keys.
    pub fn open(root: &Path) -> Result<Self, CliError> {
        if !root.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(root)
                .map_err(error::file(root))?;
        }
        let mode = root.metadata().map_err(error::file(root))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CliError::DataOpen {
                path: root.display().to_string(),
                mode: format!("{mode:03o}"),
            });
        }
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// A data folder that goes away with the value beside it, for trying things out.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> anyhow::Result<(Self, TempDir)> {
        let parent = tempfile::tempdir()?;
        // The folder itself follows the umask; the one inside is private whatever that is.
        Ok((Self::open(&parent.path().join("data"))?, parent))
    }

    /// Opens a folder that must be there.
    ///
    /// # Errors
    /// As [`DataDir::open`], and when it is missing: a command that only looks must not leave an empty one behind.
    pub fn existing(root: &Path) -> Result<Self, CliError> {
        root.metadata().map_err(error::file(root))?;
        Self::open(root)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The trust root.
    pub fn trust_file(&self) -> PathBuf {
        self.root.join("trust.json")
    }

    /// The folder of namespaces' private keys, which need not be there.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The private key of a namespace; its folder is made on the way.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn key_file(&self, namespace: &str) -> Result<PathBuf, CliError> {
        let folder = self.keys();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(error::file(&folder))?;
        Ok(folder.join(format!("{namespace}.pem")))
    }

    /// The registries by name.
    pub fn registries_file(&self) -> PathBuf {
        self.root.join("registries.json")
    }

    /// The signed indexes that were seen last, by registry.
    pub fn indexes(&self) -> PathBuf {
        self.root.join("indexes")
    }

    /// Capsules and their bytes.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// What was refused, and why.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The bytes of what waits to be delivered to registries.
    pub fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// Compiled code.
    pub fn code_cache(&self) -> PathBuf {
        self.root.join("code-cache")
    }

    /// What registries delivered; all of it can be had again.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache").join("components")
    }

    /// Aggregates of telemetry.
    pub fn gold(&self) -> PathBuf {
        self.root.join("gold")
    }

    /// What happened here.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The key that signs the ledger's checkpoints; made, with its public half beside it, when it is missing.
    ///
    /// # Errors
    /// When it cannot be made, written or read.
    pub fn ledger_key(&self) -> anyhow::Result<SigningKey> {
        let folder = self.ledger();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(error::file(&folder))?;
        let path = folder.join("key.pem");
        if !path.exists() {
            SigningKey::generate()?.save(&path)?;
        }
        let key = SigningKey::load(&path)?;
        let public = self.ledger_public_key();
        let text = format!("{}\n", key.public());
        if std::fs::read_to_string(&public).ok().as_deref() != Some(&text) {
            std::fs::write(&public, text).map_err(error::file(&public))?;
        }
        Ok(key)
    }

    /// The file with the public half of that key: what verifying needs.
    pub fn ledger_public_key(&self) -> PathBuf {
        self.ledger().join("key.pub")
    }

    /// Claims the folder for this process; the claim ends when it is dropped or the process dies.
    ///
    /// # Errors
    /// [`CliError::DataBusy`] when another host has it.
    pub fn lock(&self) -> Result<Claim, CliError> {
        let path = self.lock_file();
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(error::file(&path))?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Claim { file, path }),
                // A command that only looks whether a host has the folder holds it for a moment.
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => tries += 1,
                Err(TryLockError::WouldBlock) => {
                    return Err(CliError::DataBusy {
                        path: self.root.display().to_string(),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(error::file(&path)(error)),
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    /// The address of the host that serves this folder now, if one does.
    pub fn served_at(&self) -> Option<SocketAddr> {
        let mut file = File::open(self.lock_file()).ok()?;
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Changes the trust root; two commands at once take turns, so that neither loses what the other wrote.
    ///
    /// # Errors
    /// What `change` says, or a trust root that cannot be read or written.
    pub fn change_trust<T>(&self, change: impl FnOnce(&mut TrustRoot) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let _turn = self.trust_turn()?;
        let mut root = TrustRoot::load(&self.trust_file())?;
        let before = root.clone();
        let result = change(&mut root)?;
        if root != before {
            root.save(&self.trust_file())?;
        }
        Ok(result)
    }

    /// Changes the root documents beside the trust root; see [`DataDir::change_trust`].
    ///
    /// # Errors
    /// What `change` says.
    pub fn change_roots<T>(&self, change: impl FnOnce(&RootFolder) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let _turn = self.trust_turn()?;
        change(&self.roots())
    }

    /// The root documents beside the trust root.
    pub fn roots(&self) -> RootFolder {
        RootFolder::beside(&self.trust_file())
    }

    fn trust_turn(&self) -> Result<File, CliError> {
        let path = self.root.join("trust.lock");
        let turn = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(error::file(&path))?;
        turn.lock().map_err(error::file(&path))?;
        Ok(turn)
    }
}

/// How often, and how long apart, a host tries to claim its folder.
const LOCK_TRIES: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// A data folder claimed by this process.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Writes down where the host answers, for commands on this machine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn serving(&mut self, address: SocketAddr) -> Result<(), CliError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.rewind());
        let written = cleared.and_then(|()| writeln!(self.file, "{address}"));
        written.map_err(error::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_private_and_an_open_one_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("a/data");
        DataDir::open(&root).unwrap();
        assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(DataDir::open(&root), Err(CliError::DataOpen { mode, .. }) if mode == "755"));
    }

    #[test]
    fn a_second_host_on_the_same_folder_is_refused_until_the_first_is_gone() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let mut first = data.lock().unwrap();
        assert_eq!(data.served_at(), None, "it listens nowhere yet");
        first.serving(([127, 0, 0, 1], 9).into()).unwrap();
        assert_eq!(data.served_at(), Some(([127, 0, 0, 1], 9).into()));
        assert!(matches!(data.lock(), Err(CliError::DataBusy { .. })));
        drop(first);
        assert_eq!(data.served_at(), None);
        data.lock().unwrap();
    }
}
