//! The finished parts of a table: their names, and that they follow each other.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::fault;
use crate::MedallionError;

const PREFIX: &str = "part-";
const FINISHED: &str = ".parquet";
const TEMPORARY: &str = ".parquet.tmp";
/// Digits of an offset in a name: enough for any, so that names sort as offsets do.
const OFFSET_DIGITS: usize = 20;

/// A finished part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its file.
    pub path: PathBuf,
    /// The first offset of its source that it holds.
    pub first_offset: u64,
    /// The offset behind the last one that it holds.
    pub end_offset: u64,
}

impl Part {
    pub(super) fn new(folder: &Path, offsets: Range<u64>) -> Self {
        let (first_offset, end_offset) = (offsets.start, offsets.end);
        Self {
            path: folder.join(format!("{PREFIX}{first_offset:020}-{end_offset:020}{FINISHED}")),
            first_offset,
            end_offset,
        }
    }
}

/// Where a part is written until it is finished.
pub(super) fn temporary(folder: &Path, first_offset: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first_offset:020}{TEMPORARY}"))
}

/// The finished parts of the table in a folder, in order; none when there is no folder.
///
/// # Errors
/// `Gap`, `Overlap` when they do not follow each other; `BadName`; `Io`.
pub fn parts(folder: &Path) -> Result<Vec<Part>, MedallionError> {
    let mut parts = names(folder)?
        .iter()
        .filter(|name| name.starts_with(PREFIX) && name.ends_with(FINISHED))
        .map(|name| part(folder, name))
        .collect::<Result<Vec<_>, _>>()?;
    parts.sort_unstable_by_key(|part| (part.first_offset, part.end_offset));
    for (earlier, later) in parts.iter().zip(parts.iter().skip(1)) {
        let folder = folder.display().to_string();
        let (end_offset, first_offset) = (earlier.end_offset, later.first_offset);
        if first_offset > end_offset {
            return Err(MedallionError::Gap {
                folder,
                end_offset,
                first_offset,
            });
        }
        if first_offset < end_offset {
            return Err(MedallionError::Overlap {
                folder,
                end_offset,
                first_offset,
            });
        }
    }
    Ok(parts)
}

/// What writers that died left behind.
pub(super) fn leftovers(folder: &Path) -> Result<Vec<PathBuf>, MedallionError> {
    let names = names(folder)?;
    let left = names
        .iter()
        .filter(|name| name.starts_with(PREFIX) && name.ends_with(TEMPORARY));
    Ok(left.map(|name| folder.join(name)).collect())
}

fn names(folder: &Path) -> Result<Vec<String>, MedallionError> {
    let list = || -> io::Result<Vec<String>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(fault::io(format!("list {}", folder.display()))),
    }
}

fn part(folder: &Path, name: &str) -> Result<Part, MedallionError> {
    offsets(name)
        .map(|offsets| Part::new(folder, offsets))
        .ok_or_else(|| MedallionError::BadName {
            file: folder.join(name).display().to_string(),
        })
}

fn offsets(name: &str) -> Option<Range<u64>> {
    let (first, end) = name.strip_prefix(PREFIX)?.strip_suffix(FINISHED)?.split_once('-')?;
    let (first, end) = (offset(first)?, offset(end)?);
    (first < end).then_some(first..end)
}

fn offset(digits: &str) -> Option<u64> {
    let good = digits.len() == OFFSET_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    if good { digits.parse().ok() } else { None }
}
