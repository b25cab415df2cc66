//! The author's capsule folder as one digest: what its receipt names, and what whoever has the folder compares.
//!
//! It is over component.wasm and manifest.json as they were built, and of the project all of policy.yaml, spec/, tests/ and
//! wit/, by their paths inside it. What the component was made from (sources, Cargo.lock) the receipt names file by file.

use std::path::{Path, PathBuf};

use kinetic_identity::{FolderDigest, framed_digest};

use crate::error::{self, CliError};

/// What counts beside the two files, if it is there.
const PARTS: [&str; 4] = ["policy.yaml", "spec", "tests", "wit"];
/// Files that one folder may have.
const FILES_MAX: usize = 10_000;
/// How deep they may lie; a link that leads to a folder above it would never end.
const DEPTH_MAX: usize = 32;
/// How large all of them may be together, in bytes.
const BYTES_MAX: u64 = 256 << 20;

/// The digest over a project's capsule folder; without a project that over the two files.
///
/// # Errors
/// A file that cannot be read, or is too much.
pub fn digest(project: Option<&Path>, manifest: &[u8], component: &[u8]) -> Result<FolderDigest, CliError> {
    let Some(root) = project else {
        return Ok(FolderDigest::of_two(manifest, component));
    };
    let files = files(root)?;
    let two = [("component.wasm", component), ("manifest.json", manifest)];
    let all: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .chain(two)
        .collect();
    // Every path is there once.
    let digest = framed_digest(FolderDigest::DOMAIN, &all).ok_or_else(|| too_much(root, "names two files alike"))?;
    Ok(FolderDigest {
        digest,
        files: all.len() as u64,
    })
}

/// Every file of those parts with its path inside the project, with slashes between.
fn files(root: &Path) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let mut pending: Vec<(PathBuf, String, usize)> = PARTS
        .iter()
        .map(|part| (root.join(part), (*part).to_string(), 0))
        .filter(|(path, ..)| path.exists())
        .collect();
    let (mut found, mut bytes_all) = (Vec::new(), 0);
    while let Some((path, name, depth)) = pending.pop() {
        if depth > DEPTH_MAX || pending.len() + found.len() > FILES_MAX {
            return Err(too_much(
                &path,
                &format!("is one of more than {FILES_MAX} files, or nests deeper than {DEPTH_MAX}"),
            ));
        }
        let metadata = path.metadata().map_err(error::file(&path))?;
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(error::file(&path))? {
                let entry = entry.map_err(error::file(&path))?;
                let inside = entry.file_name();
                let inside = inside
                    .to_str()
                    .ok_or_else(|| too_much(&entry.path(), "has a name that is not UTF-8"))?;
                pending.push((entry.path(), format!("{name}/{inside}"), depth + 1));
            }
            continue;
        }
        bytes_all += metadata.len();
        if !metadata.is_file() || bytes_all > BYTES_MAX {
            return Err(too_much(
                &path,
                &format!("is no file, or one of more than {BYTES_MAX} bytes"),
            ));
        }
        found.push((name, std::fs::read(&path).map_err(error::file(&path))?));
    }
    Ok(found)
}

fn too_much(path: &Path, why: &str) -> CliError {
    CliError::File {
        path: path.display().to_string(),
        why: format!("what {why} cannot be part of a capsule folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("wit/world.wit", "world"),
            ("wit/deps/a/b.wit", "dependency"),
            ("tests/it.rs", "test"),
            ("policy.yaml", "policy"),
            ("src/lib.rs", "source"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_digest_is_the_framed_one_over_the_files_by_their_paths() {
        let folder = project();
        let found = digest(Some(folder.path()), b"manifest", b"component").unwrap();
        let files: [(&str, &[u8]); 6] = [
            ("component.wasm", b"component"),
            ("manifest.json", b"manifest"),
            ("policy.yaml", b"policy"),
            ("tests/it.rs", b"test"),
            ("wit/deps/a/b.wit", b"dependency"),
            ("wit/world.wit", b"world"),
        ];
        assert_eq!(Some(found.digest), framed_digest("kinetic/capsule/v1", &files));
        assert_eq!(found.files, 6);
        assert_eq!(
            digest(None, b"manifest", b"component").unwrap(),
            FolderDigest::of_two(b"manifest", b"component")
        );
    }

    #[test]
    fn a_changed_added_or_renamed_file_is_another_folder_and_a_source_is_none_of_it() {
        let folder = project();
        let now = || digest(Some(folder.path()), b"manifest", b"component").unwrap();
        let before = now();
        std::fs::write(folder.path().join("src/lib.rs"), "other").unwrap();
        assert_eq!(now(), before);
        std::fs::write(folder.path().join("tests/it.rs"), "other").unwrap();
        let changed = now();
        std::fs::rename(folder.path().join("tests/it.rs"), folder.path().join("tests/its.rs")).unwrap();
        let renamed = now();
        std::fs::create_dir(folder.path().join("spec")).unwrap();
        assert_eq!(now(), renamed, "an empty folder holds nothing");
        std::fs::write(folder.path().join("spec/a.md"), "").unwrap();
        assert!(before != changed && changed != renamed && renamed != now());
    }

    #[test]
    fn a_link_in_a_circle_is_an_error_and_not_without_end() {
        let folder = project();
        std::os::unix::fs::symlink(folder.path().join("wit"), folder.path().join("wit/round")).unwrap();
        assert!(digest(Some(folder.path()), b"", b"").is_err());
    }
}
