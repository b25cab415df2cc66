//! Which data folder the host on an address of this machine serves, for commands typed in any folder.
//!
//! `kinetic up` leaves a note in the user's own state folder. A note is a hint: it counts only if the folder it names
//! is private and is being served on that very address now.

use std::fs::DirBuilder;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::data_dir::DataDir;

/// A note, removed when the host ends.
#[derive(Debug)]
pub struct Note(PathBuf);

impl Drop for Note {
    fn drop(&mut self) {
        // Whoever reads a stale note finds that nobody serves the folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Leaves the note; none where the user has no state folder, which only means that commands need `--data`.
pub fn announce(address: SocketAddr, data: &DataDir) -> Option<Note> {
    announce_in(&state_folder()?, address, data)
}

/// The data folder of the host at that address of this machine.
pub fn data_of(address: SocketAddr) -> Option<DataDir> {
    data_in(&state_folder()?, address)
}

fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("kinetic/hosts"))
}

fn announce_in(folder: &Path, address: SocketAddr, data: &DataDir) -> Option<Note> {
    let root = data.root().canonicalize().ok()?;
    let written = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = note_file(folder, address);
        std::fs::write(&path, root.as_os_str().as_encoded_bytes())?;
        std::io::Result::Ok(path)
    };
    match written() {
        Ok(path) => Some(Note(path)),
        Err(error) => {
            tracing::debug!("no note of this host was left: {error}");
            None
        }
    }
}

fn data_in(folder: &Path, address: SocketAddr) -> Option<DataDir> {
    // A host that listens everywhere answers on loopback too.
    let everywhere = |ip: IpAddr| SocketAddr::new(ip, address.port());
    let candidates = [
        address,
        everywhere(Ipv4Addr::UNSPECIFIED.into()),
        everywhere(Ipv6Addr::UNSPECIFIED.into()),
    ];
    candidates.into_iter().find_map(|address| {
        let root = std::fs::read_to_string(note_file(folder, address)).ok()?;
        let root = Path::new(&root);
        let data = root.is_dir().then(|| DataDir::open(root).ok())??;
        (data.served_at() == Some(address)).then_some(data)
    })
}

fn note_file(folder: &Path, address: SocketAddr) -> PathBuf {
    folder.join(format!("{}_{}", address.ip(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_only_while_its_folder_is_served_on_that_address() {
        let parent = tempfile::tempdir().unwrap();
        let notes = parent.path().join("state");
        let data = DataDir::open(&parent.path().join("data")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut claim = data.lock().unwrap();
        let note = announce_in(&notes, address, &data).unwrap();
        assert!(data_in(&notes, address).is_none(), "it does not listen yet");
        claim.serving(([127, 0, 0, 1], 8).into()).unwrap();
        assert!(data_in(&notes, address).is_none(), "it listens elsewhere");
        claim.serving(address).unwrap();
        assert_eq!(
            data_in(&notes, address).unwrap().root(),
            data.root().canonicalize().unwrap()
        );
        drop(claim);
        assert!(data_in(&notes, address).is_none(), "the host is gone");
        drop(note);
        assert_eq!(std::fs::read_dir(&notes).unwrap().count(), 0);
    }
}
