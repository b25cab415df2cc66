//! What was seen last of an index, in one file: how far it was, and behind a line break the index itself.
//!
//! The lock file beside it says that there was one: what is gone is not what never was.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use kinetic_identity::{INDEX_BYTES_MAX, Index, IndexState, SignedIndex, TrustRoot};

use crate::RegistryError;
use crate::registries::file::write;

/// The largest first line: one namespace, one digest, one number.
const STATE_BYTES_MAX: u64 = 1_024;

/// What stands in the lock file once something was remembered.
const SEEN: &[u8] = b"seen\n";

/// What a file remembers.
pub(super) struct Kept {
    pub(super) state: IndexState,
    pub(super) index: Index,
}

impl Kept {
    /// Reads a file; none when there never was such a file.
    ///
    /// # Errors
    /// [`RegistryError::IndexStateDamaged`]: what cannot be read is not nothing, as then any old index would pass.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, RegistryError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return never_was(path).map(|()| None),
            Err(error) => return Err(damaged(path, error.to_string())),
        };
        let mut bytes = Vec::new();
        let read = file
            .take(INDEX_BYTES_MAX as u64 + STATE_BYTES_MAX)
            .read_to_end(&mut bytes);
        read.map_err(|error| damaged(path, error.to_string()))?;
        let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
        let (Some(state), Some(index)) = (parts.next(), parts.next()) else {
            return Err(damaged(path, "it has not two lines".into()));
        };
        let not =
            |error: kinetic_identity::IdentityError| damaged(path, error.to_string().trim_end_matches('.').to_string());
        let state = IndexState::from_json(state).map_err(not)?;
        let index = SignedIndex::from_json(index).map_err(not)?;
        let index = index.reopen(&state).map_err(not)?;
        Ok(Some(Self { state, index }))
    }
}

/// Verifies an index against what a file remembers, and has the file remember it; two who do so at once take turns.
///
/// # Errors
/// [`RegistryError::IndexRefused`], [`RegistryError::IndexStateDamaged`], [`RegistryError::StoreFailed`].
pub(super) fn accept(
    path: &Path,
    origin: &str,
    signed: SignedIndex,
    root: &TrustRoot,
    now_unix_ms: u64,
) -> Result<SignedIndex, RegistryError> {
    let failed = |error: io::Error| RegistryError::StoreFailed {
        path: path.display().to_string(),
        why: error.to_string(),
    };
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let turn = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))
        .map_err(failed)?;
    turn.lock().map_err(failed)?;
    let (mut state, before) = match Kept::read(path)? {
        Some(Kept { state, index }) => (state, Some(index)),
        None => (IndexState::default(), None),
    };
    let refused = |error| RegistryError::index_refused(origin, error);
    let index = signed
        .clone()
        .verify(root, &state, before.as_ref(), now_unix_ms)
        .map_err(refused)?;
    let is_first = before.is_none();
    if before.is_none_or(|before| before.digest() != index.digest()) {
        state.remember(&index).map_err(refused)?;
        let text = [state.to_json().as_slice(), b"\n", signed.to_json().as_slice()].concat();
        write(path, &text).map_err(failed)?;
    }
    // Behind the file: a crash in between leaves a file without the mark, which the next one makes.
    if turn.metadata().map_err(failed)?.len() == 0 {
        (&turn).write_all(SEEN).map_err(failed)?;
        turn.sync_all().map_err(failed)?;
    }
    if is_first {
        let (namespace, version) = (&signed.document().namespace, signed.document().version);
        tracing::info!(
            namespace,
            version,
            "the first index that was seen at {origin}: it is compared with none before"
        );
    }
    Ok(signed)
}

/// Passes when nothing was remembered here yet.
fn never_was(path: &Path) -> Result<(), RegistryError> {
    let mark = path.with_extension("lock");
    match mark.metadata() {
        // Whoever remembers the first one just now makes the file before the mark.
        Ok(found) if found.len() > 0 && !path.exists() => {
            Err(damaged(&mark, format!("{} beside it is gone", path.display())))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(damaged(&mark, error.to_string())),
    }
}

fn damaged(path: &Path, why: String) -> RegistryError {
    RegistryError::IndexStateDamaged {
        path: path.display().to_string(),
        why,
    }
}
