use tempfile::TempDir;

use super::*;
use crate::root_document::tests::{FAR_UNIX_MS, document, keys, next, signed};
use crate::{RootDocument, SigningKey, TrustRoot};

struct World {
    trust: PathBuf,
    roots: RootFolder,
    _folder: TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.json");
    World {
        roots: RootFolder::beside(&trust),
        trust,
        _folder: folder,
    }
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.roots.path().join(name)
    }

    fn version(&self) -> u64 {
        self.roots.read("kinetic").unwrap().unwrap().document().version
    }

    fn refused(&self) -> IdentityError {
        self.roots.read("kinetic").unwrap_err()
    }
}

/// Versions 1 to `count` of a document that one key signs.
fn chain(count: u64) -> (SigningKey, Vec<SignedRoot>) {
    let key = keys(1);
    let versions = (1..=count)
        .map(|version| {
            let document = RootDocument {
                version,
                ..document(&key, 1)
            };
            signed(document, &key)
        })
        .collect();
    (key.into_iter().next().unwrap(), versions)
}

#[test]
fn nothing_is_pinned_at_first_and_what_is_pinned_is_private() {
    let world = world();
    assert_eq!(world.roots.read("kinetic").unwrap(), None);
    assert!(world.roots.namespaces().unwrap().is_empty());
    let (_, roots) = chain(1);
    world.roots.pin(&roots[0], 0).unwrap();
    assert_eq!(world.roots.read("kinetic").unwrap().as_ref(), Some(&roots[0]));
    assert_eq!(world.roots.namespaces().unwrap(), ["kinetic"]);
    for name in ["kinetic.json", "kinetic.seen"] {
        assert_eq!(
            fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    assert_eq!(
        fs::metadata(world.roots.path()).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::read_dir(world.roots.path()).unwrap().count(),
        2,
        "no temporary file stays behind"
    );
}

#[test]
fn a_first_document_that_is_unsigned_or_expired_or_another_one_is_not_pinned() {
    let world = world();
    let keys = keys(2);
    let short = signed(document(&keys, 2), &keys[..1]);
    assert!(matches!(
        world.roots.pin(&short, 0),
        Err(IdentityError::RootUnsigned { .. })
    ));
    let whole = signed(document(&keys, 2), &keys);
    assert!(matches!(
        world.roots.pin(&whole, FAR_UNIX_MS),
        Err(IdentityError::RootExpired { version: 1, .. })
    ));
    assert!(!world.roots.path().exists());
    world.roots.pin(&whole, 0).unwrap();
    world.roots.pin(&whole, 0).unwrap();
    let (_, others) = chain(1);
    assert!(matches!(
        world.roots.pin(&others[0], 0),
        Err(IdentityError::RootExists { version: 1, .. })
    ));
}

#[test]
fn versions_are_applied_one_after_the_other_and_never_back() {
    let world = world();
    let (_, roots) = chain(4);
    assert!(matches!(
        world.roots.update(&roots[1]),
        Err(IdentityError::RootMissing { .. })
    ));
    world.roots.pin(&roots[0], 0).unwrap();
    assert!(matches!(
        world.roots.update(&roots[2]),
        Err(IdentityError::RootOutOfOrder {
            found: 3,
            trusted: 1,
            ..
        })
    ));
    assert!(world.roots.update(&roots[1]).unwrap());
    assert!(!world.roots.update(&roots[1]).unwrap());
    assert!(world.roots.update(&roots[2]).unwrap());
    assert_eq!(world.version(), 3);
    for old in &roots[..2] {
        assert!(matches!(
            world.roots.update(old),
            Err(IdentityError::RootOutOfOrder { .. })
        ));
    }
    assert_eq!(world.version(), 3);
}

#[test]
fn a_stranger_cannot_rotate() {
    let world = world();
    let (_, roots) = chain(1);
    world.roots.pin(&roots[0], 0).unwrap();
    let strangers = keys(1);
    let theirs = next(roots[0].document(), document(&strangers, 1));
    assert!(matches!(
        world.roots.update(&signed(theirs, &strangers)),
        Err(IdentityError::RootUnsigned { by: 1, .. })
    ));
    assert_eq!(world.version(), 1);
}

#[test]
fn an_older_document_put_back_by_hand_is_refused_and_the_newest_heals_it() {
    let world = world();
    let (_, roots) = chain(2);
    world.roots.pin(&roots[0], 0).unwrap();
    let old = fs::read(world.path("kinetic.json")).unwrap();
    world.roots.update(&roots[1]).unwrap();
    let new = fs::read(world.path("kinetic.json")).unwrap();
    atomic_file::write(&world.path("kinetic.json"), &old, Existing::Replace).unwrap();
    assert!(matches!(world.refused(), IdentityError::RootUnusable { .. }));
    assert!(
        world.roots.update(&roots[1]).is_err(),
        "only what can be read is gone on from"
    );
    atomic_file::write(&world.path("kinetic.json"), &new, Existing::Replace).unwrap();
    assert_eq!(world.version(), 2);
}

#[test]
fn a_document_or_a_mark_alone_admits_nothing() {
    let world = world();
    let (_, roots) = chain(1);
    world.roots.pin(&roots[0], 0).unwrap();
    for name in ["kinetic.json", "kinetic.seen"] {
        let bytes = fs::read(world.path(name)).unwrap();
        fs::remove_file(world.path(name)).unwrap();
        assert!(matches!(world.refused(), IdentityError::RootUnusable { .. }), "{name}");
        assert_eq!(world.roots.namespaces().unwrap(), ["kinetic"]);
        atomic_file::write(&world.path(name), &bytes, Existing::Replace).unwrap();
        assert_eq!(world.version(), 1);
    }
}

#[test]
fn a_crash_between_two_writes_leaves_the_version_before_or_the_new_one() {
    let world = world();
    let (_, roots) = chain(2);
    let mark = |at: usize, before: Option<usize>| Mark {
        before: before.map(|at| roots[at].digest()),
        digest: roots[at].digest(),
        settled: false,
        version: roots[at].document().version,
    };
    // Pinning: the mark is there, the document not yet.
    fs::create_dir(world.roots.path()).unwrap();
    world.roots.write_mark("kinetic", &mark(0, None)).unwrap();
    assert_eq!(world.roots.read("kinetic").unwrap(), None);
    world.roots.pin(&roots[0], 0).unwrap();
    // Updating: the mark is there, the document not yet.
    world.roots.write_mark("kinetic", &mark(1, Some(0))).unwrap();
    assert_eq!(world.version(), 1);
    assert!(world.roots.update(&roots[1]).unwrap());
    assert_eq!(world.version(), 2);
    // The document is there, the mark not settled yet.
    world.roots.write_mark("kinetic", &mark(1, Some(0))).unwrap();
    assert_eq!(world.version(), 2);
    assert!(!world.roots.update(&roots[1]).unwrap());
    write(&world.path("kinetic.json"), &roots[0].to_json()).unwrap();
    assert!(
        matches!(world.refused(), IdentityError::RootUnusable { .. }),
        "it is settled now"
    );
}

#[test]
fn after_a_crash_another_document_of_the_version_that_was_begun_is_refused() {
    let world = world();
    let (key, roots) = chain(2);
    world.roots.pin(&roots[0], 0).unwrap();
    let begun = Mark {
        before: Some(roots[0].digest()),
        digest: roots[1].digest(),
        settled: false,
        version: 2,
    };
    world.roots.write_mark("kinetic", &begun).unwrap();
    let other = RootDocument {
        expires_unix_ms: FAR_UNIX_MS - 1,
        ..roots[1].document().clone()
    };
    assert!(matches!(
        world.roots.update(&signed(other, [&key])),
        Err(IdentityError::RootUnusable { .. })
    ));
    assert_eq!(world.version(), 1);
}

#[test]
fn what_is_malformed_or_open_to_others_is_refused() {
    let world = world();
    let (_, roots) = chain(1);
    world.roots.pin(&roots[0], 0).unwrap();
    for name in ["kinetic.json", "kinetic.seen"] {
        let path = world.path(name);
        let good = fs::read(&path).unwrap();
        for bad in [&b""[..], b"{}", b"null", &b" ".repeat(ROOT_BYTES_MAX + 1)[..]] {
            atomic_file::write(&path, bad, Existing::Replace).unwrap();
            assert!(world.roots.read("kinetic").is_err(), "{name}");
        }
        atomic_file::write(&path, &good, Existing::Replace).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(world.refused(), IdentityError::FileTooOpen { .. }), "{name}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(world.version(), 1);
    }
    fs::set_permissions(world.roots.path(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(
        TrustRoot::load(&world.trust),
        Err(IdentityError::TrustRootMalformed { .. })
    ));
}

#[test]
fn a_document_under_another_namespaces_name_is_refused() {
    let world = world();
    let (_, roots) = chain(1);
    world.roots.pin(&roots[0], 0).unwrap();
    for kind in ["json", "seen"] {
        fs::copy(
            world.path(&format!("kinetic.{kind}")),
            world.path(&format!("other.{kind}")),
        )
        .unwrap();
    }
    assert!(matches!(
        world.roots.read("other"),
        Err(IdentityError::RootUnusable { .. })
    ));
    for bad in ["../kinetic", "", "Kinetic", "a/b"] {
        assert!(
            matches!(world.roots.read(bad), Err(IdentityError::BadNamespace { .. })),
            "{bad}"
        );
        assert!(
            matches!(world.roots.remove(bad), Err(IdentityError::BadNamespace { .. })),
            "{bad}"
        );
    }
}

#[test]
fn what_is_removed_is_forgotten_and_can_be_pinned_anew() {
    let world = world();
    let (_, roots) = chain(2);
    assert!(matches!(
        world.roots.remove("kinetic"),
        Err(IdentityError::RootMissing { .. })
    ));
    world.roots.pin(&roots[0], 0).unwrap();
    world.roots.update(&roots[1]).unwrap();
    world.roots.remove("kinetic").unwrap();
    assert_eq!(world.roots.read("kinetic").unwrap(), None);
    assert!(world.roots.namespaces().unwrap().is_empty());
    world.roots.pin(&roots[0], 0).unwrap();
    assert_eq!(world.version(), 1);
}

#[test]
fn a_document_speaks_alone_for_its_namespace_and_one_that_cannot_be_used_for_nobody() {
    let world = world();
    let listed = keys(1);
    let mut file = TrustRoot::default();
    file.add("kinetic", listed[0].public(), "").unwrap();
    file.add("other", listed[0].public(), "").unwrap();
    file.save(&world.trust).unwrap();
    assert_eq!(TrustRoot::load(&world.trust).unwrap(), file);
    let (_, roots) = chain(1);
    world.roots.pin(&roots[0], 0).unwrap();
    let mut both = TrustRoot::load(&world.trust).unwrap();
    assert_eq!(both.document("kinetic"), Some(roots[0].document()));
    assert!(both.trusted("kinetic").is_empty());
    assert_eq!(both.trusted("other").len(), 1);
    assert!(matches!(
        both.add("kinetic", listed[0].public(), ""),
        Err(IdentityError::RootDecides { .. })
    ));
    // What the file lists is kept for when the document is removed.
    both.save(&world.trust).unwrap();
    fs::remove_file(world.path("kinetic.json")).unwrap();
    let broken = TrustRoot::load(&world.trust).unwrap();
    assert!(broken.has_root("kinetic") && broken.document("kinetic").is_none());
    assert!(broken.trusted("kinetic").is_empty());
    assert_eq!(broken.trusted("other").len(), 1);
    world.roots.remove("kinetic").unwrap();
    assert_eq!(TrustRoot::load(&world.trust).unwrap(), file);
}

#[test]
fn reading_while_somebody_updates_gives_one_version_or_the_next_and_never_an_error() {
    let world = world();
    let (_, roots) = chain(30);
    world.roots.pin(&roots[0], 0).unwrap();
    std::thread::scope(|scope| {
        let updating = scope.spawn(|| {
            for root in &roots[1..] {
                assert!(world.roots.update(root).unwrap());
            }
        });
        let mut last = 1;
        while !updating.is_finished() {
            let version = world.version();
            assert!(version >= last, "{version} after {last}");
            last = version;
        }
        updating.join().unwrap();
    });
    assert_eq!(world.version(), 30);
}
