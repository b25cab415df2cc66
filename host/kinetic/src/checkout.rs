//! What git says of the folder that is built: commit, changes since, and where its repository is. Nothing is guessed.

use std::path::Path;
use std::process::{Command, Stdio};

use kinetic_identity::Checkout;

/// Ways to a repository that mean the same on another machine, and how SLSA writes each.
const SCHEMES: [(&str, &str); 4] = [
    ("https://", "git+https://"),
    ("http://", "git+http://"),
    ("ssh://", "git+ssh://"),
    ("git://", "git://"),
];

/// The checkout that a project lies in. None without git, and for a project that git does not know.
pub fn of(project: &Path) -> Option<Checkout> {
    // A folder that is merely inside of somebody's checkout is not of it.
    git(project, &["ls-files", "--error-unmatch", "manifest.json"])?;
    let commit = git(project, &["rev-parse", "HEAD"])?;
    let digits = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    // What cannot be told is not called clean.
    let dirty = git(project, &["status", "--porcelain", "--", "."]).is_none_or(|changes| !changes.is_empty());
    let remote = git(project, &["remote", "get-url", "origin"]);
    digits.then(|| Checkout {
        uri: remote.as_deref().and_then(public),
        commit,
        dirty,
    })
}

fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        // Only looks: no lock is taken, no file refreshed.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

/// A repository's address as others may read it: without credentials, and none of a path on this machine.
fn public(remote: &str) -> Option<String> {
    let named = SCHEMES
        .iter()
        .find_map(|(scheme, written)| Some((*written, remote.strip_prefix(scheme)?)));
    let (scheme, rest) = match named {
        Some((scheme, rest)) => (scheme, rest.to_string()),
        // `git@host:path`, as ssh writes it; a colon behind a slash is part of a path on this machine.
        None => {
            let (host, path) = remote.split_once(':')?;
            let short = host.contains('@') && !host.contains('/') && !path.is_empty();
            short.then(|| ("git+ssh://", format!("{host}/{path}")))?
        }
    };
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit('@').next().filter(|host| !host.is_empty())?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let plain = host.bytes().chain(path.bytes()).all(|b| b.is_ascii_graphic());
    plain.then(|| format!("{scheme}{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repositorys_address_is_named_without_credentials() {
        for (remote, named) in [
            (
                "https://example.com/acme/echo.git",
                "git+https://example.com/acme/echo.git",
            ),
            (
                "https://user:token@example.com/acme/echo",
                "git+https://example.com/acme/echo",
            ),
            ("https://example.com/echo?token=x#y", "git+https://example.com/echo"),
            ("git@example.com:acme/echo.git", "git+ssh://example.com/acme/echo.git"),
            (
                "ssh://git@example.com:22/acme/echo",
                "git+ssh://example.com:22/acme/echo",
            ),
        ] {
            assert_eq!(public(remote).as_deref(), Some(named), "{remote}");
        }
    }

    #[test]
    fn a_path_on_this_machine_is_never_named() {
        for remote in [
            "/home/ann/echo",
            "../echo",
            "file:///home/ann/echo",
            "C:/echo",
            "/srv/git@host:echo",
            "",
            "https://",
            "https://@/x",
            "https://example.com/a b",
        ] {
            assert_eq!(public(remote), None, "{remote}");
        }
    }

    #[test]
    fn a_folder_that_git_does_not_know_is_no_checkout() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.json"), "{}").unwrap();
        assert_eq!(of(folder.path()), None);
    }
}
