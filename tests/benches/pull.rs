//! From a URN to the first result, cold and warm, beside `wasmtime compile` and `wasmtime run` of the same component; a pull
//! beside `curl | sha256sum` of the same file from the same server; and the admission of what was compiled before.
//!
//! Needs `wasmtime` (WASMTIME names it) and curl; `make bench` installs them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{Engine, EngineConfig};
use kinetic_identity::{SigningKey, TrustRoot};
use kinetic_kernel::{ExecutorSettings, Kernel, KernelConfig, NodeSettings, Policy, SwapSettings, ZoneSettings};
use kinetic_model::CapsuleRef;
use kinetic_registry::{Cache, FolderStore, HttpOptions, HttpSource, Source as _, fetch};
use kinetic_testkit::author::{manifest, publication, receipt};
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use serde_json::json;

/// Of each; the one in the middle is shown.
const TIMES: usize = 5;
const PULLS: usize = 21;
const ADMISSIONS: usize = 51;
const URN: &str = "urn:tests:actionspace:solver:padded:v1";
const LARGE: &str = "urn:tests:actionspace:solver:large:v1";

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let component = guests::padded_echo(1_000_000, 1_000_000);
    let origin = Host::start();
    let key = SigningKey::generate().unwrap();
    trusts(&origin, &key);
    publish(&origin, &key, "padded", &component);
    // Now: after the first part the connection to it may have been closed for resting.
    let large = guests::padded_echo(1_000, 9_000_000);
    publish(&origin, &key, "large", &large);
    let megabytes = component.len() as f64 / 1e6;
    println!("\n## pull, medians of {TIMES}; a component of {megabytes:.1} MB over loopback");
    first_results(&origin, &key, &component);
    pulls(&origin, large.len());
    admissions(&component);
}

fn trusts(host: &Host, key: &SigningKey) {
    let key = key.public().to_string();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key]).fine();
}

fn publish(host: &Host, key: &SigningKey, name: &str, component: &[u8]) {
    let body = publication(&manifest(name, "1.0.0"), component, key);
    let reply = host.post("/api/v1/registry/capabilities/publish", &body);
    assert_eq!(reply.status, 201, "{}", reply.text());
}

/// Cold: a host that never saw it. Warm: the same host after a restart, which asks the registry and compiles nothing.
fn first_results(origin: &Host, key: &SigningKey, component: &[u8]) {
    let registry = [("ECOSYSTEM_REGISTRY_URL", origin.url.as_str())];
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let mut host = Host::start_with(&registry);
        trusts(&host, key);
        cold.push(call(&host));
        host.stop();
        let again = Host::start_in(&host.folder, &registry);
        warm.push(call(&again));
    }
    let folder = tempfile::tempdir().unwrap();
    let [wasm, code] = ["component.wasm", "component.cwasm"].map(|name| folder.path().join(name));
    std::fs::write(&wasm, component).unwrap();
    let (mut compiled, mut run) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        compiled.push(wasmtime(&["compile".as_ref(), "-o".as_ref(), &code, &wasm]));
        let invoke = ["run", "--allow-precompiled", "--invoke", "echo(\"hi\")"].map(Path::new);
        run.push(wasmtime(&[&invoke[..], &[&*code]].concat()));
    }
    let (cold, warm, compiled, run) = (median(cold), median(warm), median(compiled), median(run));
    println!(
        "URN to first result, cold: {cold:.1} ms; wasmtime compile {compiled:.1} ms + run {run:.1} ms; ratio {:.2}",
        cold / (compiled + run)
    );
    println!(
        "URN to first result, warm: {warm:.1} ms; wasmtime run {run:.1} ms; ratio {:.2}",
        warm / run
    );
}

fn call(host: &Host) -> Duration {
    let since = Instant::now();
    let reply = host.execute(URN, "echo", json!({ "text": "hi" }));
    let took = since.elapsed();
    assert_eq!(reply.json()["output"], json!("hi"), "{}", reply.text());
    took
}

fn wasmtime(args: &[&Path]) -> Duration {
    let program = std::env::var("WASMTIME").unwrap_or_else(|_| "wasmtime".into());
    let since = Instant::now();
    let status = Command::new(program).args(args).stdout(Stdio::null()).status().unwrap();
    let took = since.elapsed();
    assert!(status.success(), "{args:?}");
    took
}

fn pulls(origin: &Host, size: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = HttpSource::new(&origin.url, &HttpOptions::default()).unwrap();
    let what: CapsuleRef = LARGE.parse().unwrap();
    let descriptor = runtime.block_on(source.describe(&what)).unwrap();
    let url = format!("{}/api/v1/registry/capabilities/{LARGE}/download", origin.url);
    let line = format!("curl --silent --fail '{url}' | sha256sum");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..PULLS {
        let since = Instant::now();
        let fetched = runtime.block_on(fetch(&source, &descriptor, 10_485_760)).unwrap();
        ours.push(since.elapsed());
        assert_eq!(fetched.len(), size);
        let since = Instant::now();
        let said = Command::new("sh").args(["-c", &line]).output().unwrap();
        theirs.push(since.elapsed());
        let sum = String::from_utf8_lossy(&said.stdout);
        assert!(sum.starts_with(&descriptor.digest.hex()), "{sum}");
    }
    let speed = |ms: f64| size as f64 / 1e6 / (ms / 1e3);
    let (ours, theirs) = (speed(median(ours)), speed(median(theirs)));
    println!(
        "pull of {:.1} MB, hashed on the way: {ours:.0} MB/s; curl | sha256sum {theirs:.0} MB/s; ratio {:.2}",
        size as f64 / 1e6,
        ours / theirs
    );
}

/// From the local store, on a host that compiled it before: receipt, manifest, bytes and their hash, code, linking, one
/// instance.
fn admissions(component: &[u8]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    let mut root = TrustRoot::default();
    root.add("tests", key.public(), "bench").unwrap();
    root.save(&folder.path().join("trust.json")).unwrap();
    let settings = EngineConfig {
        code_cache: Some(folder.path().join("code-cache")),
        ..EngineConfig::default()
    };
    let engine = Engine::new(settings, Vec::new()).unwrap();
    let text = manifest("padded", "1.0.0").to_string();
    let receipt = receipt(&text, component, &key);
    let first = kernel(&engine, folder.path());
    let published = first.publish(text, receipt, Bytes::copy_from_slice(component));
    runtime.block_on(published).unwrap();
    let what: CapsuleRef = URN.parse().unwrap();
    let mut took = Vec::new();
    for _ in 0..ADMISSIONS {
        let kernel = kernel(&engine, folder.path());
        let since = Instant::now();
        runtime.block_on(kernel.activate(&what)).unwrap();
        took.push(since.elapsed());
    }
    println!("admission of what was compiled before: {:.2} ms", median(took));
}

/// One that has just started, over what is in the folder.
fn kernel(engine: &Engine, folder: &Path) -> Kernel {
    let config = KernelConfig {
        policy: Policy::default(),
        node: Some(NodeSettings::default()),
        executors: ExecutorSettings::default(),
        swap: SwapSettings::default(),
        zones: ZoneSettings::default(),
        trust_root: folder.join("trust.json"),
        quarantine: folder.join("quarantine"),
        store: Arc::new(FolderStore::open(&folder.join("store"), 10_485_760).unwrap()),
        registries: Arc::default(),
        cache: Cache::default(),
        carried: Arc::default(),
        ledger: None,
    };
    Kernel::new(engine.clone(), config).unwrap()
}

/// In milliseconds.
fn median(times: Vec<Duration>) -> f64 {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
