//! A real S3: SeaweedFS, on ports and in a folder of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The bucket that is there.
pub const BUCKET: &str = "capsules";
/// Who may use it.
const ACCESS_KEY: &str = "tests";
const SECRET_KEY: &str = "secret-of-tests";
/// How long it may take to be ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Somebody else may take a port between the search and the start.
const STARTS_MAX: usize = 3;

/// A running S3; it is killed when this is dropped.
pub struct Seaweed {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    _folder: TempDir,
}

impl Seaweed {
    /// One that holds an empty bucket, [`BUCKET`].
    pub fn start() -> Self {
        let weed = std::env::var("S3_SERVER").expect("S3_SERVER names the program weed; `make test` installs it");
        (0..STARTS_MAX)
            .find_map(|_| Self::start_once(Path::new(&weed)))
            .expect("SeaweedFS starts")
    }

    fn start_once(weed: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({ "identities": [{
            "name": "tests", "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }] });
        std::fs::write(folder.path().join("s3.json"), config.to_string()).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let names = [
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port",
            "s3.port.grpc",
            "s3.port.iceberg",
            "s3.port.lance",
        ];
        let ports = free_ports(names.len());
        let mut command = Command::new(weed);
        command
            .current_dir(folder.path())
            .args(["server", "-ip", "127.0.0.1", "-dir", "data", "-filer", "-s3"]);
        command.args([
            "-s3.config",
            "s3.json",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=50",
        ]);
        for (name, port) in names.iter().zip(&ports) {
            command.arg(format!("-{name}={port}"));
        }
        let log = std::fs::File::create(folder.path().join("weed.log")).unwrap();
        let child = command
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", weed.display()));
        let mut seaweed = Self {
            child,
            endpoint: format!("http://127.0.0.1:{}", ports[6]),
            _folder: folder,
        };
        let filer = format!("http://127.0.0.1:{}", ports[4]);
        seaweed.is_ready(&filer).then_some(seaweed)
    }

    /// Whether S3 answers, bytes can be stored, and the bucket is there.
    fn is_ready(&mut self, filer: &str) -> bool {
        kinetic_registry::install_ring_provider_once();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let ready = runtime.block_on(async {
                let health = client.get(format!("{}/healthz", self.endpoint)).send().await;
                // Bytes can be stored only some time after S3 answers.
                let stored = client.put(format!("{filer}/ready")).body("ready").send().await;
                let good = |answer: reqwest::Result<reqwest::Response>| {
                    answer.is_ok_and(|answer| answer.status().is_success())
                };
                // A bucket is a folder of a certain place; it is made once all else is good.
                good(health) && good(stored) && good(client.post(format!("{filer}/buckets/{BUCKET}/")).send().await)
            });
            if ready {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("SeaweedFS was not ready in {PATIENCE:?}");
    }

    /// The variables that lead to it.
    pub fn variables(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ]
    }
}

/// So many ports that nobody has now.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It takes long to stop otherwise, and nothing of it is wanted any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
