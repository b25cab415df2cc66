//! Looking at watched folders: what is there, what changed, what is whole. It knows files and nothing of capsules' lives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kinetic_model::Fault;

use super::Candidate;
use super::part::{Stamps, capsule_folder, read, stamps};
use crate::KernelError;

/// The most folders that are watched.
pub const FOLDERS_MAX: usize = 16;
/// The most capsule folders of one watched folder.
const ENTRIES_MAX: usize = 256;
/// The most names of one watched folder that are read at all.
const NAMES_MAX: usize = 4_096;
/// About so many bytes of components are read in one look, and the others in the next ones: they are in memory until they
/// are published.
const READ_BYTES_MAX: u64 = 64 << 20;
/// The most characters of a folder's name that are shown.
const NAME_CHARS_MAX: usize = 100;

/// What a look found.
#[derive(Debug)]
pub(super) enum Sight {
    /// A version, whole and quiet for one interval.
    Candidate(Candidate),
    /// A capsule folder that stays as it is and is not whole.
    Unfit { entry: String, fault: Fault },
    /// A capsule folder that was there and is not any more.
    Gone { entry: String },
    /// A watched folder that cannot be read, or only in part.
    Lost { folder: String, fault: Fault },
    /// A watched folder that can be read again.
    Back { folder: String },
}

/// The watched folders and what was last seen in them.
#[derive(Debug)]
pub(super) struct Scanner {
    folders: Vec<Folder>,
    bytes_max: u64,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    name: String,
    /// Why it could not be read at the last look.
    lost: Option<String>,
    /// By the folder's own path, as that may have a name which cannot be shown.
    entries: BTreeMap<PathBuf, Seen>,
}

/// A capsule folder as it was at the last look.
#[derive(Debug)]
struct Seen {
    entry: String,
    stamps: Stamps,
    /// This state was read and judged.
    judged: bool,
}

impl Scanner {
    /// Of components of at most so many bytes. Folders above [`FOLDERS_MAX`] are left out.
    pub(super) fn new(folders: &[PathBuf], bytes_max: u64) -> Self {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let folders = folders.iter().take(FOLDERS_MAX).map(|path| {
            let name = shown(path);
            let times = names.entry(name.clone()).or_default();
            *times += 1;
            Folder {
                path: path.clone(),
                name: if *times == 1 { name } else { format!("{name} ({times})") },
                lost: None,
                entries: BTreeMap::new(),
            }
        });
        Self {
            folders: folders.collect(),
            bytes_max,
        }
    }

    /// One look. A capsule folder is read when it stays as it was at the look before and that state was not read yet, or
    /// when its entry is named in `again`.
    pub(super) fn scan(&mut self, again: &BTreeSet<String>) -> Vec<Sight> {
        let (mut sights, mut room_bytes) = (Vec::new(), READ_BYTES_MAX);
        for folder in &mut self.folders {
            folder.look(self.bytes_max, again, &mut room_bytes, &mut sights);
        }
        sights
    }
}

impl Folder {
    fn look(&mut self, bytes_max: u64, again: &BTreeSet<String>, room_bytes: &mut u64, sights: &mut Vec<Sight>) {
        let listed = list(&self.path);
        let (root, folders, trouble) = match listed {
            Ok((root, folders, trouble)) => (Some(root), folders, trouble),
            Err(error) => (None, Vec::new(), Some(error.to_string())),
        };
        self.tell(trouble, sights);
        // One that cannot be read says nothing about what is in it.
        let Some(root) = root else { return };
        let there: BTreeSet<&PathBuf> = folders.iter().map(|(path, _)| path).collect();
        self.entries.retain(|path, seen| {
            let stays = there.contains(path);
            if !stays {
                sights.push(Sight::Gone {
                    entry: seen.entry.clone(),
                });
            }
            stays
        });
        for (path, parts) in &folders {
            let now = stamps(&root, parts);
            let known = self.entries.get(path).map(|seen| seen.entry.clone());
            let entry = known.unwrap_or_else(|| self.entry(path));
            let seen = self.entries.entry(path.clone()).or_insert_with(|| Seen {
                entry,
                stamps: [None; 3],
                judged: false,
            });
            if seen.stamps != now {
                (seen.stamps, seen.judged) = (now, false);
                continue;
            }
            let is_known = seen.judged && !again.contains(&seen.entry);
            if is_known || *room_bytes == 0 {
                continue;
            }
            seen.judged = true;
            match read(&root, parts, &seen.entry, bytes_max) {
                // Written while it was read: the next look sees what it became.
                Ok((_, of)) if of != now => seen.judged = false,
                Ok((candidate, _)) => {
                    *room_bytes = room_bytes.saturating_sub(candidate.component.len() as u64);
                    sights.push(Sight::Candidate(candidate));
                }
                Err(_) if stamps(&root, parts) != now => seen.judged = false,
                Err(fault) => sights.push(Sight::Unfit {
                    entry: seen.entry.clone(),
                    fault,
                }),
            }
        }
    }

    /// Says once that it cannot be read, or only in part, and once that it can again.
    fn tell(&mut self, trouble: Option<String>, sights: &mut Vec<Sight>) {
        if self.lost == trouble {
            return;
        }
        sights.push(match &trouble {
            Some(why) => Sight::Lost {
                folder: self.name.clone(),
                fault: Fault::from(KernelError::WatchLost {
                    folder: self.name.clone(),
                    why: why.clone(),
                }),
            },
            None => Sight::Back {
                folder: self.name.clone(),
            },
        });
        self.lost = trouble;
    }

    /// What a folder in it is called that is new. It may be a capsule folder itself. Names that look the same are told apart:
    /// what is known of one is not known of the other.
    fn entry(&self, path: &Path) -> String {
        if *path == self.path {
            return self.name.clone();
        }
        let name = format!("{}/{}", self.name, shown(path));
        let is_taken = |name: &str| self.entries.values().any(|seen| seen.entry == name);
        let (mut entry, mut times) = (name.clone(), 1);
        while is_taken(&entry) {
            times += 1;
            entry = format!("{name} ({times})");
        }
        entry
    }
}

/// The real place of a watched folder, the capsule folders in it, each with where its parts are, in the order of their
/// names, and what was left out.
type Listed = (PathBuf, Vec<(PathBuf, PathBuf)>, Option<String>);

fn list(watched: &Path) -> std::io::Result<Listed> {
    let root = watched.canonicalize()?;
    let mut names = Vec::new();
    let mut left_out = None;
    for file in std::fs::read_dir(&root)? {
        if names.len() >= NAMES_MAX {
            left_out = Some(format!("only {NAMES_MAX} of the names in it are looked at"));
            break;
        }
        names.push(file?.file_name());
    }
    // What is hidden is what somebody is still writing, or none of our business.
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort_unstable();
    let mut folders = Vec::new();
    let paths = names.iter().map(|name| watched.join(name));
    for path in std::iter::once(watched.to_path_buf()).chain(paths) {
        let Some(parts) = path.is_dir().then(|| capsule_folder(&root, &path)).flatten() else {
            continue;
        };
        if folders.len() >= ENTRIES_MAX {
            left_out = Some(format!(
                "only the first {ENTRIES_MAX} capsule folders in it are looked at"
            ));
            break;
        }
        folders.push((path, parts));
    }
    Ok((root, folders, left_out))
}

/// A folder's own name, without what a terminal would take for a command.
fn shown(path: &Path) -> String {
    // As "." has none.
    let real = path.file_name().is_none().then(|| path.canonicalize().ok()).flatten();
    let name = real.as_deref().unwrap_or(path).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let plain = name.chars().filter(|c| !c.is_control());
    plain.take(NAME_CHARS_MAX).collect()
}
