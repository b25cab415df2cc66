//! What recording costs a call: the same capsule through two kernels by turns, one with a ledger and one without.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinetic_engine::{Engine, Input};
use kinetic_identity::{SigningKey, TrustRoot};
use kinetic_kernel::{Build, ExecutorSettings, Kernel, KernelConfig, NodeSettings, Policy, SwapSettings, ZoneSettings};
use kinetic_model::{CapsuleRef, Digest};
use kinetic_registry::FolderStore;
use kinetic_testkit::author::{manifest, receipt};
use kinetic_testkit::engine::{engine, runtime};
use kinetic_testkit::guests;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::flight::{Run, fly};
use crate::ours;

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";
/// 104 bytes of JSON, as text.
const TEXT: &str =
    r#"{"type":"TokenStreamChunk","index":7,"text":"The quick brown fox jumps over the dog","ok":true,"n":12345}"#;
/// What a call costs moves with the machine's mood by more than the ledger does: many short turns, and the median of each.
const TURNS: usize = 12;
const TURN: Duration = Duration::from_millis(500);

pub fn measure() {
    let runtime = runtime();
    // One is written to a disk that is synced each 10 ms; the other writes nothing.
    let (plain, _plain_folder) = runtime.block_on(kernel(engine(), false));
    let (recorded, _recorded_folder) = runtime.block_on(kernel(engine(), true));
    for tasks in [1, 8] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            without.push(call(&runtime, &plain, tasks));
            with.push(call(&runtime, &recorded, tasks));
        }
        let cpu = |runs: &[Run]| median(runs.iter().map(Run::cpu_us));
        let p50 = |runs: &[Run]| median(runs.iter().map(|run| run.p50.as_secs_f64() * 1e6));
        let p99 = |runs: &[Run]| median(runs.iter().map(|run| run.p99.as_secs_f64() * 1e6));
        for (label, runs) in [("without", &without), ("with", &with)] {
            let per_second = median(runs.iter().map(Run::per_second));
            println!(
                "execute, {tasks} at once, {label} a ledger: {per_second:.0}/s, {:.2} us of cpu each, p50 {:.1} us, p99 {:.1} us",
                cpu(runs),
                p50(runs),
                p99(runs)
            );
        }
        println!(
            "the ledger's cost with {tasks} at once: {:.2} us of cpu, {:.1} us of p50, {:.1} us of p99",
            cpu(&with) - cpu(&without),
            p50(&with) - p50(&without),
            p99(&with) - p99(&without)
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn call(runtime: &Runtime, kernel: &Kernel, tasks: usize) -> Run {
    let kernel = kernel.clone();
    let what: Arc<CapsuleRef> = Arc::new(ECHO.parse().unwrap());
    fly(runtime, tasks, TURN, move || {
        let (kernel, what) = (kernel.clone(), what.clone());
        async move {
            let execution = kernel
                .execute(&what, Some("text-back"), Input::Json(arguments()))
                .await
                .unwrap();
            assert!(execution.outcome.result.is_ok());
        }
    })
}

fn arguments() -> Map<String, Value> {
    match json!({ "text": TEXT }) {
        Value::Object(arguments) => arguments,
        _ => unreachable!(),
    }
}

async fn kernel(engine: &Engine, recorded: bool) -> (Kernel, TempDir) {
    let folder = crate::folder();
    let key = SigningKey::generate().unwrap();
    let trust_root = folder.path().join("trust.json");
    let mut root = TrustRoot::default();
    root.add("tests", key.public(), "bench").unwrap();
    root.save(&trust_root).unwrap();
    let build = Build {
        host: Digest::of(b"bench"),
        engine: engine.digest(),
    };
    let config = KernelConfig {
        policy: Policy::default(),
        node: Some(NodeSettings::default()),
        executors: ExecutorSettings::default(),
        swap: SwapSettings::default(),
        zones: ZoneSettings::default(),
        trust_root,
        quarantine: folder.path().join("quarantine"),
        store: Arc::new(FolderStore::open(&folder.path().join("store"), 10_485_760).unwrap()),
        registries: Arc::default(),
        cache: kinetic_registry::Cache::default(),
        carried: Arc::default(),
        ledger: recorded.then(|| (ours::open(&folder.path().join("ledger")), build)),
    };
    let kernel = Kernel::new(engine.clone(), config).unwrap();
    let (component, manifest) = (guests::rust("echo"), manifest("echo", "1.0.0").to_string());
    let receipt = receipt(&manifest, &component, &key);
    kernel.publish(manifest, receipt, Bytes::from(component)).await.unwrap();
    (kernel, folder)
}
