//! What a call costs in a process of its own: the same calls in the host's process and in a worker, and the ratio. The guests
//! are written here, so that nothing has to be built for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{Admit, Capability, Engine, EngineConfig, Input, RunIn, RunsIn, WorkerConfig};
use kinetic_identity::SigningKey;
use kinetic_ledger::{Ledger, LedgerConfig};
use kinetic_model::{ImportGrant, Limits};
use kinetic_provider_state::StateProvider;
use kinetic_testkit::engine::{runtime, unnamed};
use kinetic_testkit::host::binary;
use serde_json::{Map, Value, json};

/// Turns of each measurement; both places take turns in each, so that both meet the same machine.
const TURNS: usize = 20;

/// Memory, and an allocator that begins anew with each instance.
const MEMORY: &str = r#"
    (core module $memory
        (memory (export "memory") 2)
        (data (i32.const 1024) "key")
        (global $top (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32) (param $bytes i32) (result i32)
            (local $at i32)
            (local.set $at (global.get $top))
            (global.set $top (i32.add (local.get $at) (local.get $bytes)))
            (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
                (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $bytes) (i32.const 16)))))))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $mem))
    (alias core export $memory "realloc" (core func $realloc))"#;

/// Gives text and bytes back.
fn echo() -> Vec<u8> {
    let text = format!(
        r#"(component {MEMORY}
            (core module $m
                (import "env" "memory" (memory 2))
                (func (export "back") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0))
                    (i32.store (i32.const 20) (local.get 1))
                    (i32.const 16)))
            (core instance $i (instantiate $m (with "env" (instance $memory))))
            (func (export "text-back") (param "text" string) (result string)
                (canon lift (core func $i "back") (memory $mem) (realloc $realloc)))
            (func (export "bytes-back") (param "bytes" (list u8)) (result (list u8))
                (canon lift (core func $i "back") (memory $mem) (realloc $realloc))))"#
    );
    wat::parse_str(text).unwrap()
}

/// Reads one key of the state; gives 0 when the host answered.
fn getter() -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "kinetic:state/store@0.1.0" (instance $store
                (type $o (variant (case "mine") (case "shared") (case "other" string)))
                (export "owner" (type $owner (eq $o)))
                (type $e (variant (case "denied" string) (case "too-large" string) (case "no-branch" string)
                    (case "below-horizon" u64) (case "other" string)))
                (export "error" (type $error (eq $e)))
                (export "get" (func (param "owner" $owner) (param "key" string)
                    (result (result (option (list u8)) (error $error)))))))
            {MEMORY}
            (core func $get (canon lower (func $store "get") (memory $mem) (realloc $realloc)))
            (core module $m
                (import "env" "memory" (memory 2))
                (import "store" "get" (func $get (param i32 i32 i32 i32 i32 i32)))
                (func (export "get") (result i32)
                    (call $get (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 2048))
                    (i32.load8_u (i32.const 2048))))
            (core instance $i (instantiate $m
                (with "env" (instance $memory))
                (with "store" (instance (export "get" (func $get))))))
            (func (export "get") (result u32) (canon lift (core func $i "get"))))"#
    );
    wat::parse_str(text).unwrap()
}

struct Measured {
    name: &'static str,
    function: &'static str,
    input: fn() -> Input,
    calls: usize,
}

fn text(bytes: usize) -> Input {
    match json!({ "text": "x".repeat(bytes) }) {
        Value::Object(arguments) => Input::Json(arguments),
        _ => Input::Json(Map::new()),
    }
}

/// Calls of the echo.
const MEASURED: [Measured; 3] = [
    Measured {
        name: "100 bytes of text",
        function: "text-back",
        input: || text(100),
        calls: 500,
    },
    Measured {
        name: "64 KiB of text",
        function: "text-back",
        input: || text(64 << 10),
        calls: 200,
    },
    Measured {
        name: "10 MiB of bytes",
        function: "bytes-back",
        input: || Input::Bytes {
            bytes: Bytes::from(vec![7; 10 << 20]),
            rest: Map::new(),
        },
        calls: 5,
    },
];

/// A call with one host call in it.
const ASKING: Measured = Measured {
    name: "one state get",
    function: "get",
    input: || Input::Json(Map::new()),
    calls: 500,
};

fn engine(run_in: RunIn, ledger: &Ledger) -> Engine {
    let workers = WorkerConfig {
        program: binary().into(),
        args: vec!["worker".into()],
        ephemeral: run_in,
        ..WorkerConfig::default()
    };
    let config = EngineConfig {
        pool_instances: 64,
        workers: Some(workers),
        ..EngineConfig::default()
    };
    let state = StateProvider::new(Some(ledger.clone()));
    Engine::new(config, vec![Arc::new(state)]).unwrap()
}

async fn load(engine: &Engine, bytes: &[u8]) -> Capability {
    let state = ImportGrant {
        interface: "kinetic:state/store".into(),
        ..ImportGrant::default()
    };
    let admit = Admit {
        capsule: &unnamed(bytes),
        grants: &[state],
        peers: &[],
        limits: &Limits::default(),
    };
    engine.load(bytes, admit).await.unwrap().0
}

/// The mean of one turn's calls, one after the other.
async fn turn(guest: &Capability, measured: &Measured) -> Duration {
    let began = Instant::now();
    for _ in 0..measured.calls {
        let outcome = guest.call(Some(measured.function), (measured.input)()).await;
        assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    }
    began.elapsed() / u32::try_from(measured.calls).unwrap()
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

async fn measure(process: &Capability, worker: &Capability, measured: &Measured) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(turn(process, measured).await);
        theirs.push(turn(worker, measured).await);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{:<20} {:>14} {:>14} {ratio:>8.2}",
        measured.name,
        format!("{ours:.1?}"),
        format!("{theirs:.1?}")
    );
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("\n## calls in a process of their own");
    println!("the program that is started: {}", binary().display());
    let runtime = runtime();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let log = LedgerConfig::new(&folder.path().join("ledger"), "kinetic/bench");
        let ledger = Ledger::open(log, SigningKey::generate().unwrap()).unwrap();
        let (here, there) = (engine(RunIn::Process, &ledger), engine(RunIn::WorkerOnly, &ledger));
        let began = Instant::now();
        let worker = load(&there, &echo()).await;
        println!("compile, start a process, load: {:.1?}", began.elapsed());
        let process = load(&here, &echo()).await;
        assert_eq!((process.runs_in(), worker.runs_in()), (RunsIn::Process, RunsIn::Worker));
        println!(
            "{:<20} {:>14} {:>14} {:>8}",
            "one call", "in process", "in a worker", "ratio"
        );
        for measured in &MEASURED {
            measure(&process, &worker, measured).await;
        }
        let (process, worker) = (load(&here, &getter()).await, load(&there, &getter()).await);
        assert_eq!((process.runs_in(), worker.runs_in()), (RunsIn::Process, RunsIn::Worker));
        measure(&process, &worker, &ASKING).await;
    });
}
