//! Watches the trust root and the root documents while a host runs: what a key signed goes as soon as the key is not
//! trusted any more.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kinetic_identity::RootFolder;
use kinetic_kernel::Kernel;
use tokio::time::{MissedTickBehavior, interval};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Files looked at beside the trust root: more than there may be root documents with their marks.
const FILES_MAX: usize = 1_024;

/// What tells one state of the files from another.
type Stamp = Vec<(PathBuf, SystemTime, u64, u64)>;

/// Looks for as long as it is awaited, once a second: when a file or what is active has changed, every capsule whose
/// keys are not trusted, or that is revoked, is quarantined.
///
/// What is active counts too, as a capsule may have been verified under the file before and become active just now.
pub async fn watch(kernel: Kernel, file: PathBuf) {
    let mut changes = kernel.changes();
    let (mut seen, mut checked) = (stamp(&file), false);
    let mut complained = String::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = stamp(&file);
        if checked && seen == now && !changes.has_changed().unwrap_or_default() {
            continue;
        }
        changes.mark_unchanged();
        seen = now;
        match kernel.check_trust().await {
            Ok(revoked) => {
                for urn in revoked {
                    tracing::warn!(%urn, "its key is not trusted any more: quarantined");
                }
                checked = true;
                complained.clear();
            }
            // Tried again at the next look; said once.
            Err(fault) => {
                checked = false;
                let fault = fault.to_string();
                if fault != complained {
                    tracing::error!("the trust root could not be checked: {fault}");
                    complained = fault;
                }
            }
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let folder = std::fs::read_dir(RootFolder::beside(file).path());
    let documents = folder.into_iter().flatten().flatten().map(|entry| entry.path());
    let files = std::iter::once(file.to_path_buf()).chain(documents.take(FILES_MAX));
    let mut stamps: Stamp = files
        .filter_map(|path| {
            let metadata = path.metadata().ok()?;
            // Files are written anew beside the old one: the number tells them apart within one tick of the clock.
            Some((path, metadata.modified().ok()?, metadata.len(), metadata.ino()))
        })
        .collect();
    stamps.sort_unstable();
    stamps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_by_one_of_the_same_size_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trust.json");
        assert!(stamp(&file).is_empty());
        std::fs::write(&file, "{}").unwrap();
        let first = stamp(&file);
        assert_eq!(stamp(&file), first);
        let other = folder.path().join("other");
        std::fs::write(&other, "[]").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_ne!(stamp(&file), first);
    }

    #[test]
    fn a_root_document_beside_the_file_counts_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trust.json");
        let roots = RootFolder::beside(&file);
        let first = stamp(&file);
        std::fs::create_dir(roots.path()).unwrap();
        std::fs::write(roots.path().join("acme.json"), "{}").unwrap();
        let second = stamp(&file);
        assert_ne!(second, first);
        std::fs::write(roots.path().join("acme.json"), "{ }").unwrap();
        assert_ne!(stamp(&file), second);
    }
}
