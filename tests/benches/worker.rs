//! What a call costs in a process of its own: the same calls in the host's process and in a worker, and the ratio.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{Admit, Capability, Engine, EngineConfig, Input, RunIn, RunsIn, WorkerConfig};
use kinetic_model::Limits;
use kinetic_testkit::engine::{runtime, unnamed};
use kinetic_testkit::guests;
use kinetic_testkit::host::binary;
use serde_json::{Map, Value, json};

/// Turns of each measurement; both places take turns in each, so that both meet the same machine.
const TURNS: usize = 20;

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

fn engine(run_in: RunIn) -> Engine {
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
    Engine::new(config, vec![]).unwrap()
}

async fn load(engine: &Engine, bytes: &[u8]) -> Capability {
    let admit = Admit {
        capsule: &unnamed(bytes),
        grants: &[],
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

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = runtime();
    runtime.block_on(async {
        let bytes = guests::rust("echo");
        let (here, there) = (engine(RunIn::Process), engine(RunIn::WorkerOnly));
        let began = Instant::now();
        let worker = load(&there, &bytes).await;
        println!("\n## calls in a process of their own");
        println!("compile, start a process, load: {:.1?}", began.elapsed());
        let process = load(&here, &bytes).await;
        assert_eq!((process.runs_in(), worker.runs_in()), (RunsIn::Process, RunsIn::Worker));
        println!(
            "{:<20} {:>14} {:>14} {:>8}",
            "one call", "in process", "in a worker", "ratio"
        );
        for measured in &MEASURED {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                ours.push(turn(&process, measured).await);
                theirs.push(turn(&worker, measured).await);
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
    });
}
