//! The real binary: started, called by command line and HTTP, stopped or killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{root, target};

/// The binary under test: what KINETIC_BIN names, else ours, built at the first ask.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("KINETIC_BIN") {
            return given.into();
        }
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo
            .current_dir(root())
            .args(["build", "--quiet", "--release", "-p", "kinetic", "--target-dir"])
            .arg(target());
        assert!(
            cargo.status().expect("cargo starts").success(),
            "the host does not build"
        );
        target().join("release/kinetic")
    })
}

/// What a command answered.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Panics unless the command succeeded.
    pub fn fine(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }

    /// The stable code of a failure told in JSON.
    pub fn code(&self) -> String {
        assert_ne!(self.status, 0, "{self:?}");
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code: {self:?}"))
            .to_string()
    }
}

/// Runs the binary in a folder with these variables of ours, and patience for its compiler.
pub fn kinetic_in(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Said {
    let output = command(folder, variables, args).output().unwrap();
    Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn command(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KINETIC_") || name.starts_with("ECOSYSTEM_"))
    {
        command.env_remove(name);
    }
    // Notes about running hosts, the author's keys and what `docker login` keeps are under the home folder.
    command
        .env_remove("DOCKER_CONFIG")
        .current_dir(folder)
        .env("HOME", folder)
        // A machine that is slow and busy compiles as well, only later.
        .env("KINETIC_ENGINE__COMPILE_TIMEOUT_MS", "300000")
        .envs(variables.iter().copied())
        .args(args)
        .stdin(Stdio::null());
    for (name, default) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        command.env(
            name,
            std::env::var_os(name).map_or_else(|| home.join(default), PathBuf::from),
        );
    }
    command
}

/// A running host on a port of its own; it is stopped when this is dropped.
pub struct Host {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// What it said when it was ready.
    pub announced: Value,
    /// How long it took from the start of the process until it was ready.
    pub ready_after: Duration,
    /// The folder everything of this host is under; its data folder is `data` in it.
    pub folder: PathBuf,
    _temporary: Option<TempDir>,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The stable code of a problem; checks that it is one.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.headers["content-type"],
            "application/problem+json",
            "{}",
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["status"], json!(status));
        for member in ["type", "title", "detail", "fix", "request_id"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} is missing: {problem:#}"
            );
        }
        problem["code"].as_str().unwrap().to_string()
    }
}

impl Host {
    /// A host with the example capsules in a fresh folder.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A host in a folder of its own with variables of ours. The folder is a copy of one in which a host was started and
    /// stopped once: what a first start does is a case of its own, and takes seconds.
    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        static STARTED_ONCE: OnceLock<TempDir> = OnceLock::new();
        let started_once = STARTED_ONCE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut host = Self::start_in(folder.path(), &[]);
            host.stop();
            folder
        });
        Self::start_like(started_once.path(), variables)
    }

    /// A host in a folder of its own, that is a copy of one in which no host runs now.
    pub fn start_like(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        copy(&folder.join("data"), &temporary.path().join("data"));
        let mut host = Self::start_in(temporary.path(), variables);
        host._temporary = Some(temporary);
        host
    }

    /// A host in a folder that may have been used before.
    pub fn start_in(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let _ = binary();
        let args = ["--output", "json", "up", "--listen", "127.0.0.1:0", "--data", "data"];
        let started = Instant::now();
        let mut child = command(folder, variables, &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let errors = child.stderr.take().unwrap();
        let log = folder.join("host.log");
        // Read to the end, so that the host never waits for us.
        std::thread::spawn(move || {
            let mut file = std::fs::File::options().create(true).append(true).open(log).unwrap();
            let _ = std::io::copy(&mut BufReader::new(errors), &mut file);
        });
        let mut text = String::new();
        let announced: Value = loop {
            if lines.read_line(&mut text).unwrap() == 0 {
                std::thread::sleep(Duration::from_millis(100));
                let log = std::fs::read_to_string(folder.join("host.log")).unwrap_or_default();
                panic!("the host ended before it was ready: {text} {log}");
            }
            if let Ok(document) = serde_json::from_str(&text) {
                break document;
            }
        };
        let ready_after = started.elapsed();
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        kinetic_registry::install_ring_provider_once();
        Self {
            child,
            url: announced["url"]
                .as_str()
                .unwrap_or_else(|| panic!("no host: {announced:#}"))
                .to_string(),
            announced,
            ready_after,
            folder: folder.to_path_buf(),
            _temporary: None,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            client: reqwest::Client::builder()
                // Well before the other side closes what rests: a request may not meet that.
                .pool_idle_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(120))
                .build()
                .unwrap(),
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs the command line against this host, answering JSON.
    pub fn kinetic(&self, args: &[&str]) -> Said {
        let mut all = vec!["--output", "json", "--host", &self.url];
        all.extend(args);
        kinetic_in(&self.folder, &[], &all)
    }

    /// Sends a request.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Reply {
                status,
                headers,
                body: response.bytes().await.unwrap().to_vec(),
            }
        })
    }

    /// GET.
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string())
    }

    /// One execute.
    pub fn execute(&self, urn: &str, function: &str, intent: Value) -> Reply {
        let body = json!({ "toolName": urn, "function": function, "intent": intent });
        self.post("/api/v1/capabilities/execute", &body)
    }

    /// Ends it without a warning.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.clone()
    }

    /// Asks it to stop, and waits; how it ended and how long it took.
    pub fn stop(&mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        self.terminate();
        let status = self.child.wait().unwrap();
        (status.code(), started.elapsed())
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }
}

/// Copies a folder with the modes of what is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
