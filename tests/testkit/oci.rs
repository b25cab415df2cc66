//! A real OCI registry: Debian's docker-registry, on a port of its own, in a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Who may enter a guarded registry, and with what.
pub const USER: (&str, &str) = ("ann", "secret");
/// The password above as `htpasswd -B` writes it.
const PASSWORD_BCRYPT: &str = "$2b$05$YlhNU0iBs.psSrpDuqsN3umipONnlsjUZCzNjyFilc.J.Kmvc7ppK";

/// A running registry; it is stopped when this is dropped.
pub struct OciRegistry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub authority: String,
    folder: TempDir,
}

impl OciRegistry {
    /// One that anybody may pull from and push to.
    pub fn start() -> Self {
        Self::with("")
    }

    /// One that lets only [`USER`] in.
    pub fn guarded() -> Self {
        Self::with("auth:\n  htpasswd:\n    realm: tests\n    path: FOLDER/htpasswd\n")
    }

    fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        std::fs::write(
            folder.path().join("htpasswd"),
            format!("{}:{PASSWORD_BCRYPT}\n", USER.0),
        )
        .unwrap();
        let config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: FOLDER/data\nhttp:\n  addr: 127.0.0.1:0\n  secret: tests\n{more}"
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config.replace("FOLDER", &path)).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("docker-registry does not start ({error}); `make test` installs it"));
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let authority = loop {
            let before = said.len();
            assert!(lines.read_line(&mut said).unwrap() > 0, "the registry ended: {said}");
            let line = &said[before..];
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split('"').next().unwrap().to_string();
            }
        };
        // Read to the end, so that it never waits for us.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self {
            child,
            authority,
            folder,
        }
    }

    /// Its place, with a prefix below which everything lies.
    pub fn place(&self) -> String {
        format!("oci://{}/team", self.authority)
    }

    /// The file in which it keeps the bytes of that digest.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let repositories = self.folder.path().join("data/docker/registry/v2/repositories");
        let entries = std::fs::read_dir(repositories.join(repository).join("_manifests/tags")).unwrap();
        let mut tags: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        tags.sort();
        tags
    }

    /// Ends it without a warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for OciRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
