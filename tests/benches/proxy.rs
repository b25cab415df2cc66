//! What a call of another capsule costs: through the host's proxy, and beside it the same forwarding written by hand with
//! static types on bare wasmtime: with limits, fuel, epochs and the pool as it comes; with the pool set as ours is; and that
//! with all that a host which isolates calls has to do. In all of them each call gets a sandbox of its own, on either side.

mod bare;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{Answer, Engine, EngineConfig, Input, Output};
use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey, TrustRoot};
use kinetic_kernel::{
    Build, ExecutorSettings, Kernel, KernelConfig, Manifest, NodeSettings, Policy, SwapSettings, ZoneSettings,
};
use kinetic_ledger::{Ledger, LedgerConfig};
use kinetic_model::{CapsuleRef, Digest};
use kinetic_registry::FolderStore;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// Calls of the provider within one call of the dependent: what the outer call itself costs is spread over them.
const INNER: u64 = 1_000;
const ROUNDS: usize = 30;
/// A text of as many bytes as the other benchmarks pass.
const TEXT_BYTES: u64 = 104;
const INTERFACE: &str = "bench:text/back@1.0.0";
const PROVIDER: &str = "urn:bench:actionspace:solver:back:v1";
const DEPENDENT: &str = "urn:bench:actionspace:solver:many:v1";

const MEMORY: &str = r#"
    (core module $memory
        (memory (export "memory") 2)
        (global $top (export "top") (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (global.get $top))
            (global.set $top (i32.add (global.get $top) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $mem))
    (alias core export $memory "realloc" (core func $realloc))"#;

/// Gives the text back.
fn provider() -> Vec<u8> {
    let text = format!(
        r#"(component {MEMORY}
            (core module $m
                (import "env" "memory" (memory 2))
                (func (export "back") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0))
                    (i32.store (i32.const 20) (local.get 1))
                    (i32.const 16)))
            (core instance $i (instantiate $m (with "env" (instance $memory))))
            (func $back (param "text" string) (result string)
                (canon lift (core func $i "back") (memory $mem) (realloc $realloc)))
            (instance $back (export "back" (func $back)))
            (export "{INTERFACE}" (instance $back)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Calls the provider so many times; gives how many bytes came back.
fn dependent() -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "{INTERFACE}" (instance $source (export "back" (func (param "text" string) (result string)))))
            {MEMORY}
            (core func $back (canon lower (func $source "back") (memory $mem) (realloc $realloc)))
            (core module $m
                (import "env" "memory" (memory 2))
                (import "env" "top" (global $top (mut i32)))
                (import "source" "back" (func $back (param i32 i32 i32)))
                (func (export "many") (param $n i32) (result i64)
                    (local $sum i64)
                    (memory.fill (i32.const 1024) (i32.const 97) (i32.const {TEXT_BYTES}))
                    (loop $again
                        (global.set $top (i32.const 4096))
                        (call $back (i32.const 1024) (i32.const {TEXT_BYTES}) (i32.const 16))
                        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32.load (i32.const 20)))))
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (br_if $again (local.get $n)))
                    (local.get $sum)))
            (core instance $i (instantiate $m
                (with "env" (instance $memory))
                (with "source" (instance (export "back" (func $back))))))
            (func (export "many") (param "n" u32) (result u64) (canon lift (core func $i "many"))))"#
    );
    wat::parse_str(text).unwrap()
}

/// A kernel with both capsules in a temporary folder, recording as a host does.
struct Ours {
    kernel: Kernel,
    _folder: tempfile::TempDir,
}

impl Ours {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let mut root = TrustRoot::default();
        root.add("bench", key.public(), "bench").unwrap();
        root.save(&folder.path().join("trust.json")).unwrap();
        let engine = Engine::new(EngineConfig::default(), Vec::new()).unwrap();
        let log = LedgerConfig::new(&folder.path().join("ledger"), "kinetic/bench");
        let ledger = Ledger::open(log, SigningKey::generate().unwrap()).unwrap();
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
            trust_root: folder.path().join("trust.json"),
            quarantine: folder.path().join("quarantine"),
            store: Arc::new(FolderStore::open(&folder.path().join("store"), 10 << 20).unwrap()),
            registries: Arc::default(),
            cache: kinetic_registry::Cache::default(),
            carried: Arc::default(),
            ledger: Some((ledger, build)),
        };
        let kernel = Kernel::new(engine, config).unwrap();
        publish(&kernel, &key, PROVIDER, &[INTERFACE], &[], provider()).await;
        publish(
            &kernel,
            &key,
            DEPENDENT,
            &["bench:many@1.0.0"],
            &[INTERFACE],
            dependent(),
        )
        .await;
        Self {
            kernel,
            _folder: folder,
        }
    }

    async fn many(&self, n: u64) -> u64 {
        let what: CapsuleRef = DEPENDENT.parse().unwrap();
        let arguments = Map::from_iter([("n".to_string(), Value::from(n))]);
        let execution = self.kernel.execute(&what, Some("many"), Input::Json(arguments)).await;
        match execution.unwrap().outcome.result {
            Ok(Answer::Ok(Output::Json(sum))) => sum.as_u64().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

async fn publish(
    kernel: &Kernel,
    key: &SigningKey,
    urn: &str,
    provides: &[&str],
    requires: &[&str],
    component: Vec<u8>,
) {
    let manifest = json!({
        "id": urn, "version": "1.0.0", "type": "logic", "description": "For the benchmark.",
        "capabilities": { "provides": provides, "requires": requires },
        "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "D2_soft_deterministic" },
    })
    .to_string();
    let parsed = Manifest::parse(&manifest).unwrap();
    let subject = BuildSubject {
        urn: parsed.id,
        version: parsed.version,
        component: Digest::of(&component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest.as_bytes()),
    };
    let info = BuildInfo {
        builder_id: "https://example.com/bench".into(),
        ..BuildInfo::default()
    };
    let receipt = Receipt::sign(&subject, &info, key).unwrap().to_value();
    kernel.publish(manifest, receipt, Bytes::from(component)).await.unwrap();
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e9
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = Runtime::new().unwrap();
    let ours = runtime.block_on(Ours::start());
    let peer = |tuned, metered| bare::Forwarding::new(&provider(), &dependent(), INTERFACE, tuned, metered);
    let peers = [
        (
            "typed forwarding on bare wasmtime, its pool as it comes",
            peer(false, false),
        ),
        ("the same, the pool set as ours is", peer(true, false)),
        ("that, with guest time, deadline and bytes metered", peer(true, true)),
    ];
    let expected = INNER * TEXT_BYTES;
    let (mut our_times, mut alone) = <(Vec<_>, Vec<_>)>::default();
    let mut peer_times = peers.each_ref().map(|_| Vec::new());
    runtime.block_on(async {
        for _ in 0..ROUNDS {
            let began = Instant::now();
            assert_eq!(ours.many(INNER).await, expected);
            our_times.push(began.elapsed());
            for ((_, peer), times) in peers.iter().zip(&mut peer_times) {
                let began = Instant::now();
                assert_eq!(peer.many(INNER).await, expected);
                times.push(began.elapsed());
            }
            let began = Instant::now();
            assert_eq!(ours.many(1).await, TEXT_BYTES);
            alone.push(began.elapsed());
        }
    });
    let each = |times| median(times) / INNER as f64;
    let ours = each(our_times);
    println!(
        "a call of another capsule, {TEXT_BYTES} bytes of text there and back, a fresh sandbox each, median of {ROUNDS} rounds of {INNER}:"
    );
    let (name, ratio) = (
        "through the proxy, accounted, noted in the caller's receipt",
        "ours to it",
    );
    println!("  {name:58} {ours:8.0} ns  {ratio}");
    for ((name, _), times) in peers.iter().zip(peer_times) {
        let peer = each(times);
        println!("  {name:58} {peer:8.0} ns  {:10.2}", ours / peer);
    }
    println!(
        "a call from outside that makes one such call: {:.1} us",
        median(alone) / 1e3
    );
}
