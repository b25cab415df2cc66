//! What a look at folders finds, with files written as people and tools write them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey};
use kinetic_model::Digest;

use super::scan::{Scanner, Sight};
use crate::Manifest;

/// The largest component the scanners here read, in bytes.
const BYTES_MAX: u64 = 1_024;

fn manifest(version: &str) -> String {
    crate::manifest::tests::SMALL.replace("1.2.3", version)
}

fn receipt(manifest: &str, component: &[u8]) -> Vec<u8> {
    let parsed = Manifest::parse(manifest).unwrap();
    let subject = BuildSubject {
        urn: parsed.id,
        version: parsed.version,
        component: Digest::of(component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest.as_bytes()),
    };
    let key = SigningKey::generate().unwrap();
    Receipt::sign(&subject, &BuildInfo::default(), &key).unwrap().to_json()
}

/// Writes a whole capsule folder.
fn lay(folder: &Path, version: &str, component: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    let manifest = manifest(version);
    fs::write(folder.join("receipt.json"), receipt(&manifest, component)).unwrap();
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    fs::write(folder.join("component.wasm"), component).unwrap();
}

struct Looking {
    scanner: Scanner,
    again: BTreeSet<String>,
}

impl Looking {
    fn at(folders: &[&Path]) -> Self {
        let folders: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
        Self {
            scanner: Scanner::new(&folders, BYTES_MAX),
            again: BTreeSet::new(),
        }
    }

    /// One look, each sight as a line.
    fn look(&mut self) -> Vec<String> {
        let sights = self.scanner.scan(&self.again).into_iter();
        let line = |sight| match sight {
            Sight::Candidate(candidate) => format!(
                "{} {} {}",
                candidate.entry,
                candidate.version,
                String::from_utf8_lossy(&candidate.component)
            ),
            Sight::Unfit { entry, fault } => format!("{entry} unfit {}", fault.message),
            Sight::Gone { entry } => format!("{entry} gone"),
            Sight::Lost { folder, .. } => format!("{folder} lost"),
            Sight::Back { folder } => format!("{folder} back"),
        };
        sights.map(line).collect()
    }
}

#[test]
fn what_stays_as_it_is_for_one_look_is_a_candidate_once_and_again_when_it_changes_or_is_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let watched = parent.path().join("capsules");
    lay(&watched.join("echo"), "1.0.0", b"one");
    fs::create_dir(watched.join("notes")).unwrap();
    fs::create_dir(watched.join(".hidden")).unwrap();
    let mut looking = Looking::at(&[&watched]);
    assert_eq!(looking.look(), [""; 0], "it may still be being written");
    assert_eq!(looking.look(), ["capsules/echo 1.0.0 one"]);
    assert_eq!(looking.look(), [""; 0]);
    lay(&watched.join("echo"), "1.1.0", b"three");
    assert_eq!(looking.look(), [""; 0], "it changed since the last look");
    assert_eq!(looking.look(), ["capsules/echo 1.1.0 three"]);
    looking.again.insert("capsules/echo".into());
    assert_eq!(looking.look(), ["capsules/echo 1.1.0 three"]);
    looking.again.clear();
    fs::remove_dir_all(watched.join("echo")).unwrap();
    assert_eq!(looking.look(), ["capsules/echo gone"]);
    assert_eq!(looking.look(), [""; 0]);
}

#[test]
fn what_is_half_written_waits_and_is_said_once() {
    let parent = tempfile::tempdir().unwrap();
    let watched = parent.path().join("capsules");
    let folder = watched.join("echo");
    lay(&folder, "1.0.0", b"whole");
    fs::write(folder.join("component.wasm"), b"who").unwrap();
    let mut looking = Looking::at(&[&watched]);
    looking.look();
    let said = looking.look();
    assert!(
        said[0].starts_with("capsules/echo unfit") && said[0].contains("component"),
        "{said:?}"
    );
    assert_eq!(looking.look(), [""; 0], "once");
    fs::write(folder.join("component.wasm"), b"whole").unwrap();
    looking.look();
    assert_eq!(looking.look(), ["capsules/echo 1.0.0 whole"]);
    fs::remove_file(folder.join("receipt.json")).unwrap();
    looking.look();
    let said = looking.look();
    assert!(said[0].contains("receipt.json"), "{said:?}");
    lay(&folder, "1.0.0", &[b'x'; 1_025]);
    looking.look();
    let said = looking.look();
    assert!(said[0].contains("1024 bytes"), "{said:?}");
}

#[test]
fn a_watched_folder_can_be_a_capsule_folder_or_a_project_itself() {
    let parent = tempfile::tempdir().unwrap();
    let (itself, project) = (parent.path().join("itself"), parent.path().join("project"));
    lay(&itself, "1.0.0", b"a");
    lay(&project.join("target/capsule"), "1.0.0", b"b");
    let mut looking = Looking::at(&[&itself, &project]);
    looking.look();
    assert_eq!(looking.look(), ["itself 1.0.0 a", "project 1.0.0 b"]);
}

#[test]
fn links_are_followed_inside_the_watched_folder_and_not_out_of_it() {
    let parent = tempfile::tempdir().unwrap();
    let (watched, outside) = (parent.path().join("capsules"), parent.path().join("outside"));
    lay(&outside, "1.0.0", b"a");
    lay(&watched.join("..data"), "1.0.0", b"b");
    std::os::unix::fs::symlink(&outside, watched.join("out")).unwrap();
    std::os::unix::fs::symlink(watched.join("..data"), watched.join("in")).unwrap();
    lay(&watched.join("mixed"), "1.0.0", b"a");
    fs::remove_file(watched.join("mixed/manifest.json")).unwrap();
    std::os::unix::fs::symlink(outside.join("manifest.json"), watched.join("mixed/manifest.json")).unwrap();
    let mut looking = Looking::at(&[&watched]);
    looking.look();
    let said = looking.look();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], "capsules/in 1.0.0 b");
    assert!(
        said[1].starts_with("capsules/mixed unfit") && said[1].contains("link out of"),
        "{said:?}"
    );
}

#[test]
fn folders_whose_names_look_the_same_are_told_apart() {
    let parent = tempfile::tempdir().unwrap();
    let watched = parent.path().join("capsules");
    lay(&watched.join("echo"), "1.0.0", b"one");
    lay(&watched.join("echo\u{1}"), "1.0.0", b"two");
    let mut looking = Looking::at(&[&watched]);
    looking.look();
    assert_eq!(
        looking.look(),
        ["capsules/echo 1.0.0 one", "capsules/echo (2) 1.0.0 two"]
    );
    looking.again.insert("capsules/echo (2)".into());
    assert_eq!(looking.look(), ["capsules/echo (2) 1.0.0 two"]);
}

#[test]
fn a_watched_folder_that_is_not_there_is_said_once_and_looked_for_again() {
    let parent = tempfile::tempdir().unwrap();
    let watched = parent.path().join("capsules");
    let mut looking = Looking::at(&[&watched]);
    assert_eq!(looking.look(), ["capsules lost"]);
    assert_eq!(looking.look(), [""; 0]);
    lay(&watched.join("echo"), "1.0.0", b"one");
    assert_eq!(looking.look(), ["capsules back"]);
    assert_eq!(looking.look(), ["capsules/echo 1.0.0 one"]);
    let aside = parent.path().join("aside");
    fs::rename(&watched, &aside).unwrap();
    assert_eq!(looking.look(), ["capsules lost"]);
    fs::rename(&aside, &watched).unwrap();
    assert_eq!(looking.look(), ["capsules back"], "nothing in it changed");
}

#[test]
fn only_so_many_capsule_folders_are_looked_at() {
    let parent = tempfile::tempdir().unwrap();
    let watched = parent.path().join("capsules");
    for number in 0..257 {
        let folder = watched.join(format!("{number:03}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("component.wasm"), b"").unwrap();
    }
    let mut looking = Looking::at(&[&watched]);
    assert_eq!(looking.look(), ["capsules lost"], "in part");
    let said = looking.look();
    assert_eq!(said.len(), 256);
    assert!(said[255].starts_with("capsules/255 unfit"), "{}", said[255]);
}
