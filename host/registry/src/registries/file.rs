//! The file of registries in a data folder: read strictly, written whole.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::RegistryError;
use crate::descriptor::read_json;

/// The largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// Registries of one host: each may be asked for a URN.
const REGISTRIES_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    registries: Vec<Registry>,
}

/// The registries in a file, in the order they were added; none when there is no file.
///
/// # Errors
/// [`RegistryError::BadRegistryFile`] when others may write it, or it is not one; what the entries cannot be, see
/// [`check`].
pub(super) fn load(path: &Path) -> Result<Vec<Registry>, RegistryError> {
    let bad = |why: String| unusable(path, why);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(bad(error.to_string())),
    };
    let mode = file.metadata().map_err(|e| bad(e.to_string()))?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(bad(format!("others may write it (mode {:03o})", mode & 0o777)));
    }
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| bad(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let Document { registries } = read_json(&bytes).map_err(bad)?;
    check(&registries)?;
    Ok(registries)
}

/// Changes the registries in a file; two at once take turns. The file is written whole, with mode 0600, or not at all.
///
/// # Errors
/// What `change` says, and as [`load`]'s.
pub(super) fn change(
    path: &Path,
    change: impl FnOnce(&mut Vec<Registry>) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    let failed = |error: io::Error| unusable(path, error.to_string());
    let turn = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))
        .map_err(failed)?;
    turn.lock().map_err(failed)?;
    let mut registries = load(path)?;
    change(&mut registries)?;
    check(&registries)?;
    let document = Document { registries };
    let mut text = serde_json::to_vec_pretty(&document).map_err(|error| unusable(path, error.to_string()))?;
    text.push(b'\n');
    write(path, &text).map_err(failed)
}

/// Refuses what cannot stand together: one name for two, and a namespace that two scopes have.
pub(super) fn check(registries: &[Registry]) -> Result<(), RegistryError> {
    if let Some(one) = registries.get(REGISTRIES_MAX) {
        return Err(RegistryError::BadRegistry {
            name: one.name.clone(),
            why: format!("there are {REGISTRIES_MAX} already"),
        });
    }
    for (place, registry) in registries.iter().enumerate() {
        registry.check()?;
        let (before, _) = registries.split_at(place);
        for other in before {
            if other.name == registry.name {
                return Err(RegistryError::RegistryExists {
                    name: registry.name.clone(),
                });
            }
            let shared = registry.namespaces.iter().find(|name| other.namespaces.contains(name));
            if let Some(namespace) = shared.filter(|_| other.scope != registry.scope) {
                return Err(RegistryError::NotForNamespace {
                    name: registry.name.clone(),
                    namespace: namespace.clone(),
                    why: format!("\"{}\" of scope {} has it", other.name, other.scope),
                });
            }
        }
    }
    Ok(())
}

/// Writes a file whole or not at all, with mode 0600.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Made with mode 0600, and gone when it does not come to its place.
    let mut temporary = tempfile::Builder::new().prefix(".kinetic-").tempfile_in(folder)?;
    temporary.write_all(text)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn unusable(path: &Path, why: String) -> RegistryError {
    RegistryError::BadRegistryFile {
        path: path.display().to_string(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Scope;
    use super::super::entry::tests::registry;
    use super::*;

    fn with(namespaces: &[&str], name: &str, scope: Scope) -> Registry {
        Registry {
            namespaces: namespaces.iter().map(|text| (*text).to_string()).collect(),
            ..registry(name, "dir:/srv/x", scope)
        }
    }

    #[test]
    fn what_is_added_is_read_again_and_the_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.json");
        assert_eq!(load(&path).unwrap(), []);
        let added = [
            registry("a", "oci://registry.example/x", Scope::Tenant),
            with(&["acme"], "b", Scope::Local),
        ];
        for one in &added {
            change(&path, |all| {
                all.push(one.clone());
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(load(&path).unwrap(), added);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let refused = change(&path, |all| {
            all.push(added[0].clone());
            Ok(())
        });
        assert!(matches!(refused, Err(RegistryError::RegistryExists { .. })));
        assert_eq!(load(&path).unwrap(), added);
    }

    #[test]
    fn a_namespace_belongs_to_one_scope() {
        let first = with(&["acme", "b"], "first", Scope::Local);
        check(&[first.clone(), with(&["acme"], "mirror", Scope::Local)]).unwrap();
        check(&[first.clone(), with(&["c"], "other", Scope::Global)]).unwrap();
        let refused = check(&[first, with(&["acme"], "thief", Scope::Global)]);
        assert!(
            matches!(&refused, Err(RegistryError::NotForNamespace { name, .. }) if name == "thief"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.json");
        for text in [
            "",
            "[]",
            r#"{"registries":[],"registries":[]}"#,
            r#"{"registries":[{"name":"a","place":"dir:/x","trusted":true}]}"#,
            r#"{"registries":[{"name":"a","place":"http://registry.example"}]}"#,
            r#"{"registries":[{"name":"a","place":"dir:/x","scope":"nearby"}]}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(load(&path), Err(RegistryError::BadRegistryFile { .. })),
                "{text}"
            );
        }
        std::fs::write(&path, r#"{"registries":[]}"#).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o622)).unwrap();
        assert!(matches!(load(&path), Err(RegistryError::BadRegistryFile { .. })));
    }

    #[test]
    fn many_who_add_at_once_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("registries.json");
        std::thread::scope(|threads| {
            for number in 0..8 {
                threads.spawn(move || {
                    let one = registry(&format!("r{number}"), "dir:/srv/x", Scope::Local);
                    change(path, |all| {
                        all.push(one);
                        Ok(())
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(load(path).unwrap().len(), 8);
    }
}
