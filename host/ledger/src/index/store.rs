//! The embedded store under the index: takes a generation at a time, and answers what no generation in memory does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _, Slice};

use super::generation::{Generation, Table};
use crate::LedgerError;

/// Everything of the store is in this folder.
const FOLDER: &str = "store";
/// Made when the store's content turned out to be damaged: the next opening rebuilds it.
const DAMAGED: &str = "damaged";
/// The layout of keys and values. A store of another layout is rebuilt from the log.
const FORMAT: u8 = 2;
/// How large a table of the store grows in memory, in bytes.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// How large its journal grows, in bytes. Also what opening after a kill reads again at most.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Threads that compact. With more than one, the first spins while another one compacts.
const WORKERS: usize = 1;
/// From so many versions on they go to the store as a sorted file of their own, which costs half of what going through
/// its journal does. With fewer that file is not worth its sync.
const INGEST_ENTRIES: usize = 8192;
/// A broken store is opened again when so much fits on the disk, in bytes.
const PROBE_BYTES: usize = 4 << 20;
/// In the table of definitions, behind all of them: the format, and how far the log is in the store.
const ABOUT: [u8; 16] = [255; 16];

pub(super) struct Store {
    folder: PathBuf,
    database: Database,
    state: Keyspace,
    runs: Keyspace,
    meta: Keyspace,
    /// A write failed in a way after which the store takes no more until it is opened again. It still can be read.
    broken: AtomicBool,
}

impl Store {
    /// Opens the store in a folder, or makes an empty one where it is missing, damaged, of another format, ahead of the
    /// log, whose next record is `log_next`, or behind its first one, which is `log_first`. About `cache_bytes` of its
    /// blocks are kept in memory. Returns also the number below which all records are in it.
    pub(super) fn open(
        folder: &Path,
        (log_first, log_next): (u64, u64),
        cache_bytes: usize,
    ) -> Result<(Self, u64), LedgerError> {
        let why = if folder.join(DAMAGED).exists() {
            "it was found damaged".into()
        } else {
            match Self::open_store(folder, cache_bytes) {
                Ok((store, applied)) if (log_first..=log_next).contains(&applied) => return Ok((store, applied)),
                Ok((_, applied)) if applied < log_first => {
                    format!("it lacks records from {applied} on, the log has those from {log_first} on")
                }
                Ok((_, applied)) => format!("it holds records below {applied}, the log only those below {log_next}"),
                Err(Unusable::Rebuild(why)) => why,
                Err(Unusable::Fatal(why)) => return Err(failed("open the index", why)),
            }
        };
        tracing::warn!(why, "the index is rebuilt from the log");
        wipe(folder)?;
        match Self::open_store(folder, cache_bytes) {
            Ok(opened) => Ok(opened),
            Err(Unusable::Rebuild(why) | Unusable::Fatal(why)) => Err(failed("make an empty index", why)),
        }
    }

    /// Opens it again, as it is. Returns also the number below which all records are in it.
    pub(super) fn reopen(folder: &Path, cache_bytes: usize) -> Result<(Self, u64), LedgerError> {
        Self::open_store(folder, cache_bytes).map_err(|error| match error {
            Unusable::Rebuild(why) | Unusable::Fatal(why) => failed("open the index again", why),
        })
    }

    /// Whether it has to be opened again before it takes anything.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn break_it(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    fn open_store(folder: &Path, cache_bytes: usize) -> Result<(Self, u64), Unusable> {
        // Bytes changed by something else can make the store panic.
        catch_unwind(AssertUnwindSafe(|| Self::open_checked(folder, cache_bytes)))
            .unwrap_or_else(|_| Err(Unusable::Rebuild("it does not open".into())))
    }

    fn open_checked(folder: &Path, cache_bytes: usize) -> Result<(Self, u64), Unusable> {
        let database = Database::builder(folder.join(FOLDER))
            .cache_size(cache_bytes as u64)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(WORKERS)
            .open()?;
        // Nothing is looked up by its whole key, which is all that filters help with.
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .filter_policy(FilterPolicy::disabled())
        };
        let store = Self {
            folder: folder.into(),
            state: database.keyspace("state", options)?,
            runs: database.keyspace("runs", options)?,
            meta: database.keyspace("meta", options)?,
            database,
            broken: AtomicBool::new(false),
        };
        let applied = match store.meta.get(ABOUT)?.as_deref() {
            None => 0,
            Some([FORMAT, applied @ ..]) => {
                let applied = applied
                    .try_into()
                    .map_err(|_| Unusable::Rebuild("its number is damaged".into()))?;
                u64::from_be_bytes(applied)
            }
            Some(_) => return Err(Unusable::Rebuild("it has another format".into())),
        };
        Ok((store, applied))
    }

    /// Writes a generation. A killed process loses it whole or not at all; of the versions of keys and the runs of events
    /// it may keep all while it loses the rest, and the number below which the log is in the store.
    pub(super) fn write(&self, generation: &Generation) -> Result<(), LedgerError> {
        self.batch(generation)
            .map_err(|error| self.failed("write the index", &error))
    }

    fn batch(&self, generation: &Generation) -> fjall::Result<()> {
        let ingest = |table| table != Table::Meta && generation.map(table).len() >= INGEST_ENTRIES;
        for table in Table::ALL.into_iter().filter(|table| ingest(*table)) {
            let mut ingestion = self.keyspace(table).start_ingestion()?;
            for (key, value) in generation.map(table).iter() {
                match value {
                    Some(value) => ingestion.write(key, value)?,
                    None => ingestion.write_tombstone(key)?,
                }
            }
            ingestion.finish()?;
        }
        // Otherwise a batch stays in the process until the next one.
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for table in Table::ALL.into_iter().filter(|table| !ingest(*table)) {
            for (key, value) in generation.map(table).iter() {
                match value {
                    Some(value) => batch.insert(self.keyspace(table), key, value),
                    None => batch.remove(self.keyspace(table), key),
                }
            }
        }
        let mut about = vec![FORMAT];
        about.extend_from_slice(&generation.next.to_be_bytes());
        batch.insert(&self.meta, ABOUT, about);
        batch.commit()
    }

    /// What was written survives a power cut from here on.
    pub(super) fn sync(&self) -> Result<(), LedgerError> {
        self.database
            .persist(PersistMode::SyncData)
            .map_err(|error| self.failed("sync the index", &error))
    }

    /// Goes through all entries as of one moment. Gives the number below which all records are in them.
    pub(super) fn export(
        &self,
        visit: impl FnMut(Table, &[u8], &[u8]) -> Result<(), LedgerError>,
    ) -> Result<u64, LedgerError> {
        let mut visit = visit;
        let snapshot = self.database.snapshot();
        let mut applied = 0;
        for table in Table::ALL {
            for entry in snapshot.iter(self.keyspace(table)) {
                let (key, value) = entry.into_inner().map_err(|error| self.unreadable(&error))?;
                if table == Table::Meta && *key == ABOUT {
                    let number = value.get(1..).and_then(|bytes| bytes.try_into().ok());
                    applied = u64::from_be_bytes(number.unwrap_or_default());
                } else {
                    visit(table, &key, &value)?;
                }
            }
        }
        Ok(applied)
    }

    const fn keyspace(&self, table: Table) -> &Keyspace {
        match table {
            Table::State => &self.state,
            Table::Runs => &self.runs,
            Table::Meta => &self.meta,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let found = self.keyspace(table).get(key).map_err(|error| self.unreadable(&error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// The entry with the smallest key in `from <= key < end`, which is not empty.
    pub(super) fn first(&self, table: Table, from: &[u8], end: &[u8]) -> Result<Option<Stored>, LedgerError> {
        // Looking for the end of the range first takes a fifth longer.
        let found = self.read(self.keyspace(table).range(from..).next())?;
        Ok(found.filter(|(key, _)| &**key < end))
    }

    /// The entry with the largest key in `from <= key < end`, which is not empty.
    pub(super) fn last(&self, table: Table, from: &[u8], end: &[u8]) -> Result<Option<Stored>, LedgerError> {
        self.read(self.keyspace(table).range(from..end).next_back())
    }

    /// The entries with `from <= key < end`, which is not empty, smallest first.
    pub(super) fn walk(&self, table: Table, from: &[u8], end: &[u8]) -> Result<Walk<'_>, LedgerError> {
        let mut walk = Walk {
            store: self,
            entries: self.keyspace(table).range(from..end),
            current: None,
        };
        walk.advance()?;
        Ok(walk)
    }

    fn read(&self, found: Option<fjall::Guard>) -> Result<Option<Stored>, LedgerError> {
        let entry = found.map(fjall::Guard::into_inner).transpose();
        entry.map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &fjall::Error) -> LedgerError {
        self.failed("read the index", error)
    }

    fn failed(&self, what: &str, error: &fjall::Error) -> LedgerError {
        if matches!(error, fjall::Error::Poisoned) {
            self.broken.store(true, Ordering::Relaxed);
        } else if !is_io(error) {
            // If this fails as well, the next opening finds out by itself or the next read does.
            let _ = std::fs::write(self.folder.join(DAMAGED), b"");
        }
        failed(what, error.to_string())
    }
}

/// A key and a value in the store.
pub(super) type Stored = (Slice, Slice);

/// Goes through a range of the store.
pub(super) struct Walk<'a> {
    store: &'a Store,
    entries: fjall::Iter,
    current: Option<Stored>,
}

impl Walk<'_> {
    /// The key and the value it stands at; none at the end.
    pub(super) fn current(&self) -> Option<(&[u8], &[u8])> {
        self.current.as_ref().map(|(key, value)| (&**key, &**value))
    }

    pub(super) fn advance(&mut self) -> Result<(), LedgerError> {
        self.current = self.store.read(self.entries.next())?;
        Ok(())
    }
}

/// Why a store does not open.
enum Unusable {
    /// Its content: the log has it all, so it is made anew.
    Rebuild(String),
    /// Something that an empty store would meet as well.
    Fatal(String),
}

impl From<fjall::Error> for Unusable {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Fatal("another process has it open".into()),
            error if is_io(&error) => Self::Fatal(error.to_string()),
            error => Self::Rebuild(error.to_string()),
        }
    }
}

/// Whether the disk failed, not the content.
fn is_io(error: &fjall::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidData, InvalidInput, NotFound, UnexpectedEof};
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            // A file that is missing or too short, or a place in it that cannot be, is content.
            !matches!(
                error.kind(),
                AlreadyExists | InvalidData | InvalidInput | NotFound | UnexpectedEof
            )
        }
        _ => false,
    }
}

fn wipe(folder: &Path) -> Result<(), LedgerError> {
    let mark = folder.join(DAMAGED);
    let wiped = || -> std::io::Result<()> {
        // So that a kill meanwhile does not leave half a store that looks whole.
        std::fs::write(&mark, b"")?;
        match std::fs::remove_dir_all(folder.join(FOLDER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::remove_file(&mark)
    };
    wiped().map_err(|error| failed("remove the damaged index", error.to_string()))
}

/// Whether the disk takes something, as much as opening the store may need.
pub(super) fn disk_has_room(folder: &Path) -> bool {
    let probe = folder.join("probe");
    let written = std::fs::write(&probe, vec![1; PROBE_BYTES]);
    let removed = std::fs::remove_file(&probe);
    written.is_ok() && removed.is_ok()
}

fn failed(what: &str, why: String) -> LedgerError {
    LedgerError::Index { what: what.into(), why }
}
