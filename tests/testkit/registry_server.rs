//! A registry of one's own: the real `kinetic registry serve`, with the key and the tokens it needs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kinetic_identity::{SigningKey, TrustRoot};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::host::{Reply, binary, command, kinetic_in};

/// The path of its capsules.
pub const CAPABILITIES: &str = "/api/v1/registry/capabilities";

/// What outlives a server: its key, its trust root and its tokens; and its store, if that is a folder.
pub struct RegistryPlace {
    folder: TempDir,
    /// Of the namespace `tests`.
    pub key: SigningKey,
    /// The key that signs its indexes.
    pub index_key: SigningKey,
    /// The token of a publisher who may also yank.
    pub token: String,
}

/// A running registry; it is killed when this is dropped.
pub struct RegistryServer {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl RegistryPlace {
    /// One that believes a key for the namespace `tests`, and has one publisher.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, index_key) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        index_key.save(&folder.path().join("index.pem")).unwrap();
        let mut trust = TrustRoot::default();
        trust.add("tests", key.public(), "").unwrap();
        trust.add("tests", index_key.public(), "").unwrap();
        trust.save(&folder.path().join("trust.json")).unwrap();
        let args = [
            "--output",
            "json",
            "registry",
            "token",
            "ci",
            "--right",
            "publish",
            "--right",
            "yank",
            "--namespace",
            "tests",
            "--file",
            "tokens.json",
            "--publications-per-minute-max",
            "10000",
        ];
        let made = kinetic_in(folder.path(), &[], &args).fine().json();
        Self {
            folder,
            key,
            index_key,
            token: made["token"].as_str().unwrap().to_string(),
        }
    }

    /// The folder everything of it is in; a store that is a folder is `store` in it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A server on the folder.
    pub fn serve(&self) -> RegistryServer {
        self.serve_from("dir:store", &[], &[])
    }

    /// A server on another store, with variables and flags of ours.
    pub fn serve_from(&self, store: &str, variables: &[(&str, &str)], flags: &[&str]) -> RegistryServer {
        let _ = binary();
        let mut args = vec![
            "--output",
            "json",
            "registry",
            "serve",
            "--store",
            store,
            "--listen",
            "127.0.0.1:0",
            "--trust",
            "trust.json",
            "--index-key",
            "index.pem",
            "--tokens",
            "tokens.json",
        ];
        args.extend(flags);
        let mut child = command(self.path(), variables, &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let errors = child.stderr.take().unwrap();
        let log = self.path().join("registry.log");
        // Read to the end, so that it never waits for us.
        std::thread::spawn(move || {
            let mut file = std::fs::File::options().create(true).append(true).open(log).unwrap();
            let _ = std::io::copy(&mut BufReader::new(errors), &mut file);
        });
        let mut text = String::new();
        let announced: Value = loop {
            if lines.read_line(&mut text).unwrap() == 0 {
                panic!("the registry ended before it was ready: {text}");
            }
            if let Ok(document) = serde_json::from_str(&text) {
                break document;
            }
        };
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        kinetic_registry::install_ring_provider_once();
        RegistryServer {
            child,
            url: announced["url"]
                .as_str()
                .unwrap_or_else(|| panic!("{announced:#}"))
                .to_string(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            client: reqwest::Client::builder()
                // Well before the other side closes what rests: a request may not meet that.
                .pool_idle_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(60))
                .build()
                .unwrap(),
        }
    }
}

impl Default for RegistryPlace {
    fn default() -> Self {
        Self::new()
    }
}

impl RegistryServer {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1_024
    }

    /// GET with headers of ours.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.client.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).expect("the registry answers")
    }

    /// GET.
    pub fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[])
    }

    /// POST of JSON with a token; none when the connection broke.
    pub fn try_post(&self, path: &str, token: &str, body: &Value) -> Option<Reply> {
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .bearer_auth(token)
            .json(body);
        self.send(request)
    }

    /// [`RegistryServer::try_post`] that must be answered.
    pub fn post(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.try_post(path, token, body).expect("the registry answers")
    }

    /// Publishes.
    pub fn publish(&self, token: &str, publication: &Value) -> Reply {
        self.post(&format!("{CAPABILITIES}/publish"), token, publication)
    }

    /// Yanks a version.
    pub fn yank(&self, token: &str, reference: &str, reason: &str) -> Reply {
        let path = format!("{CAPABILITIES}/{reference}/yank");
        self.post(&path, token, &json!({ "reason": reason }))
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Option<Reply> {
        self.runtime.block_on(async {
            let response = request.send().await.ok()?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Some(Reply {
                status,
                headers,
                body: response.bytes().await.ok()?.to_vec(),
            })
        })
    }

    /// Ends it without a warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits; how it ended.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
