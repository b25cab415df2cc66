//! Calls in processes of their own: they end as in the host's process, and a process that dies takes nothing else along.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{
    Admit, CallContext, Capability, Engine, EngineConfig, EngineError, Grantee, Input, Outcome, RunIn, RunsIn,
    WorkerConfig, WorkerStatus,
};
use kinetic_model::{Determinism, Limits, Usage};
use kinetic_testkit::engine::{call, engine, refusal, unnamed, value};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, binary};
use serde_json::{Map, Value, json};

const MEBIBYTE: u64 = 1 << 20;
/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine whose unnamed capsules run in workers. One for each case: its processes live as long as the case's runtime.
pub(crate) fn workers(change: impl FnOnce(&mut WorkerConfig)) -> Engine {
    let mut workers = WorkerConfig {
        program: binary().into(),
        args: vec!["worker".into()],
        ephemeral: RunIn::Worker,
        ..WorkerConfig::default()
    };
    change(&mut workers);
    let config = EngineConfig {
        pool_instances: 4,
        workers: Some(workers),
        ..EngineConfig::default()
    };
    Engine::new(config, vec![]).unwrap()
}

async fn load_as(engine: &Engine, capsule: &Grantee, bytes: &[u8], limits: Limits) -> Result<Capability, EngineError> {
    let admit = Admit {
        capsule,
        grants: &[],
        peers: &[],
        limits: &limits,
    };
    Ok(engine.load(bytes, admit).await?.0)
}

async fn load(engine: &Engine, bytes: &[u8], limits: Limits) -> Capability {
    let guest = load_as(engine, &unnamed(bytes), bytes, limits).await.unwrap();
    engine.probe(&guest).await.unwrap();
    guest
}

/// Time enough on any machine, so that what a guest does ends it, and not how busy the machine is.
fn hostile_limits() -> Limits {
    Limits {
        memory_bytes: 32 * MEBIBYTE,
        guest_time_ms: 20_000,
        wall_time_ms: 60_000,
        ..Limits::default()
    }
}

pub(crate) async fn hostile(engine: &Engine) -> Capability {
    let guest = load(engine, &guests::rust("hostile"), hostile_limits()).await;
    assert_eq!(guest.runs_in(), RunsIn::Worker);
    guest
}

/// What is the same wherever a call runs.
fn without_times(usage: Usage) -> Usage {
    Usage {
        guest_time_ns: 0,
        wall_time_ns: 0,
        ..usage
    }
}

fn assert_same(name: &str, here: &Outcome, there: &Outcome) {
    assert_eq!(here.result, there.result, "{name}");
    assert_eq!(here.logs, there.logs, "{name}");
    assert_eq!(here.tape, there.tape, "{name}");
    let (mut ours, mut theirs) = (without_times(here.usage), without_times(there.usage));
    if matches!(here.result, Err(EngineError::GuestTimeout { .. })) {
        // How far a guest comes in its time is the machine's.
        (ours.fuel, theirs.fuel) = (0, 0);
    }
    assert_eq!(ours, theirs, "{name}");
    assert!(there.usage.wall_time_ns >= there.usage.guest_time_ns, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_guest_tries_ends_in_a_worker_as_it_ends_here() {
    let engine = workers(|_| {});
    let there = hostile(&engine).await;
    let here = load_here(&guests::rust("hostile"), hostile_limits()).await;
    for (function, arguments) in [
        ("behaves", json!({ "text": "me too" })),
        ("behaves", json!({})),
        ("behaves", json!({ "text": 1, "more": 2 })),
        ("spins", json!({})),
        ("spins-in-a-host-call", json!({})),
        ("sleeps", json!({ "ms": 20 })),
        ("allocates", json!({})),
        ("recurses", json!({ "depth": 100_000_000 })),
        ("recurses", json!({ "depth": 10 })),
        ("panics", json!({ "message": "the moon is full" })),
        ("exits", json!({ "status": 3 })),
        ("returns-bytes", json!({ "count": 100_000 })),
        ("returns-bytes", json!({ "count": 20_000_000 })),
        ("returns-text", json!({ "count": 20_000_000 })),
        ("returns-rows", json!({ "count": 1_000 })),
        ("floods-the-log", json!({ "count": 10_000_000 })),
        ("keeps-handles", json!({ "count": 10 })),
        ("keeps-handles", json!({ "count": 5_000 })),
        ("looks-around", json!({})),
        ("works", json!({ "rounds": 100_000 })),
        ("is-not-there", json!({})),
    ] {
        let mut limits = hostile_limits();
        if function.starts_with("spins") {
            limits.guest_time_ms = 300;
        }
        let ours = call(&here.with_limits(limits), function, arguments.clone()).await;
        let theirs = call(&there.with_limits(limits), function, arguments).await;
        assert_same(function, &ours, &theirs);
        let next = call(&there, "behaves", json!({ "text": "next" })).await;
        assert_eq!(value(next), json!("next"), "after {function}");
    }
    let processes = engine.workers();
    assert_eq!(processes.len(), 1, "no guest took its process down: {processes:?}");
}

async fn load_here(bytes: &[u8], limits: Limits) -> Capability {
    let guest = load_as(engine(), &unnamed(bytes), bytes, limits).await.unwrap();
    assert_eq!(guest.runs_in(), RunsIn::Process);
    guest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_limit_that_ends_a_call_here_ends_it_in_a_worker() {
    let engine = workers(|_| {});
    let bytes = guests::rust("hostile");
    let (here, there) = (load_here(&bytes, hostile_limits()).await, hostile(&engine).await);
    let with = |change: fn(&mut Limits)| {
        let mut limits = hostile_limits();
        change(&mut limits);
        limits
    };
    for (name, limits, function, arguments) in [
        ("fuel", with(|l| l.fuel = 1_000), "works", json!({ "rounds": 100_000 })),
        (
            "wall",
            with(|l| l.wall_time_ms = 2_000),
            "sleeps",
            json!({ "ms": 10_000 }),
        ),
        (
            "input",
            with(|l| l.input_bytes = 3),
            "behaves",
            json!({ "text": "four" }),
        ),
        (
            "output",
            with(|l| l.output_bytes = 3),
            "behaves",
            json!({ "text": "four" }),
        ),
        (
            "log",
            with(|l| l.log_bytes = 5),
            "floods-the-log",
            json!({ "count": 100 }),
        ),
        (
            "host",
            with(|l| l.host_call_bytes = 9),
            "floods-the-log",
            json!({ "count": 1_000 }),
        ),
        (
            "handles",
            with(|l| l.handles = 4),
            "keeps-handles",
            json!({ "count": 5 }),
        ),
        (
            "memory",
            with(|l| l.memory_bytes = 2 * MEBIBYTE),
            "allocates",
            json!({}),
        ),
    ] {
        let ours = call(&here.with_limits(limits), function, arguments.clone()).await;
        let theirs = call(&there.with_limits(limits), function, arguments).await;
        assert_same(name, &ours, &theirs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_through_a_worker_unchanged() {
    let engine = workers(|_| {});
    let bytes = guests::rust("echo");
    let (here, there) = (
        load_here(&bytes, Limits::default()).await,
        load(&engine, &bytes, Limits::default()).await,
    );
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let input = || Input::Bytes {
        bytes: Bytes::from(sent.clone()),
        rest: Map::new(),
    };
    let ours = here.call(Some("bytes-back"), input()).await;
    let theirs = there.call(Some("bytes-back"), input()).await;
    assert!(ours.result.is_ok());
    assert_same("bytes-back", &ours, &theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_exact_call_sees_the_same_time_and_randomness_in_a_worker() {
    let draws = guests::text(
        r#"(component
            (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
            (alias export $random "get-random-u64" (func $draw))
            (alias export $clock "now" (func $now))
            (core func $draw_core (canon lower (func $draw)))
            (core func $now_core (canon lower (func $now)))
            (core module $m
                (import "" "draw" (func $draw (result i64)))
                (import "" "now" (func $now (result i64)))
                (func (export "draws") (result i64) (i64.xor (call $draw) (i64.xor (call $now) (call $draw)))))
            (core instance $i (instantiate $m (with "" (instance
                (export "draw" (func $draw_core)) (export "now" (func $now_core))))))
            (func (export "draws") (result u64) (canon lift (core func $i "draws"))))"#,
    );
    let capsule = Grantee {
        determinism: Determinism::D0BitExact,
        ..unnamed(&draws)
    };
    let engine_there = workers(|_| {});
    let here = load_as(engine(), &capsule, &draws, Limits::default()).await.unwrap();
    let there = load_as(&engine_there, &capsule, &draws, Limits::default())
        .await
        .unwrap();
    assert_eq!(there.runs_in(), RunsIn::Worker);
    let mut seen = Vec::new();
    for seed in [[1; 32], [2; 32]] {
        let context = || CallContext {
            unix_ns: 1_700_000_000_000_000_000,
            seed,
            replay: None,
            ..CallContext::default()
        };
        let ours = here.call_with(Some("draws"), Input::Json(Map::new()), context()).await;
        let theirs = there.call_with(Some("draws"), Input::Json(Map::new()), context()).await;
        assert_same("draws", &ours, &theirs);
        seen.push(value(theirs));
    }
    assert_ne!(seen[0], seen[1]);
}

/// The one process, once so many calls run in it.
async fn busy(engine: &Engine, calls: u32) -> WorkerStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let processes = engine.workers();
        let found = processes.iter().find(|p| p.calls == calls && p.process_id.is_some());
        if let Some(found) = found {
            return found.clone();
        }
        assert!(Instant::now() < deadline, "{processes:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn signal(process: &WorkerStatus, signal: &str) {
    let id = process.process_id.unwrap().to_string();
    // It may be gone already.
    let _ = Command::new("kill").args([signal, &id]).output().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_crashes_or_aborts_fails_the_calls_in_it_and_the_next_one_gets_a_fresh_one() {
    for (name, number) in [("-KILL", 9), ("-SEGV", 11), ("-ABRT", 6)] {
        let engine = workers(|_| {});
        let guest = hostile(&engine).await;
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let guest = guest.clone();
                tokio::spawn(async move { call(&guest, "sleeps", json!({ "ms": 50_000 })).await })
            })
            .collect();
        let process = busy(&engine, 3).await;
        // What is only sent, and no fault of its own, a handler for faults lets pass the first time.
        while engine
            .workers()
            .iter()
            .any(|other| other.process_id == process.process_id)
        {
            signal(&process, name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for one in calls {
            let EngineError::WorkerDied { why } = refusal(one.await.unwrap()) else {
                panic!("{name}: another error")
            };
            assert_eq!(why, format!("signal {number}"));
        }
        let next = call(&guest, "behaves", json!({ "text": "next" })).await;
        assert_eq!(value(next), json!("next"), "after {name}");
        assert_ne!(engine.workers()[0].process_id, process.process_id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_have_processes_of_their_own_and_one_that_dies_is_nobody_elses_matter() {
    let engine = workers(|_| {});
    let bytes = guests::rust("hostile");
    let other = Grantee {
        urn: "urn:other:actionspace:node:component:v0".parse().unwrap(),
        ..unnamed(&bytes)
    };
    let ours = hostile(&engine).await;
    let theirs = load_as(&engine, &other, &bytes, hostile_limits()).await.unwrap();
    let sleeping = tokio::spawn(async move { call(&theirs, "sleeps", json!({ "ms": 5_000 })).await });
    let their_process = busy(&engine, 1).await;
    assert!(their_process.tenant.contains("other"), "{their_process:?}");
    let dying = tokio::spawn(async move { call(&ours, "sleeps", json!({ "ms": 50_000 })).await });
    let deadline = Instant::now() + PATIENCE;
    let our_process = loop {
        let processes = engine.workers();
        let found = processes
            .iter()
            .find(|p| p.calls == 1 && p.process_id.is_some() && p.tenant != their_process.tenant);
        if let Some(found) = found {
            break found.clone();
        }
        assert!(Instant::now() < deadline, "{processes:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_ne!(our_process.process_id, their_process.process_id);
    signal(&our_process, "-KILL");
    assert!(matches!(refusal(dying.await.unwrap()), EngineError::WorkerDied { .. }));
    value(sleeping.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_end_their_guests_and_leave_the_process() {
    let engine = workers(|w| w.calls_per_process_max = 1);
    let guest = hostile(&engine).await;
    // They would sleep for longer than the call after them may wait.
    let sleeper = guest.with_limits(Limits {
        wall_time_ms: 300_000,
        ..hostile_limits()
    });
    let mut processes = HashSet::new();
    // More than there are sandboxes in the process: guests that went on would leave no room.
    for _ in 0..12 {
        let calling = sleeper.clone();
        let task = tokio::spawn(async move { call(&calling, "sleeps", json!({ "ms": 290_000 })).await });
        processes.insert(busy(&engine, 1).await.process_id);
        // It has begun in the worker, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
        task.abort();
        let _ = task.await;
    }
    let next = call(&guest, "behaves", json!({ "text": "still" })).await;
    assert_eq!(value(next), json!("still"));
    // A call that comes before the one before has ended there goes into another process; none is ended for it.
    let there: HashSet<_> = engine.workers().iter().map(|process| process.process_id).collect();
    assert!(processes.is_subset(&there), "{processes:?} {there:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_fenced_loses_its_calls_in_a_worker_too() {
    let engine = workers(|_| {});
    let guest = load(
        &engine,
        &guests::rust("hostile"),
        Limits {
            fuel: Limits::CEILING.fuel,
            guest_time_ms: 60_000,
            ..hostile_limits()
        },
    )
    .await;
    let calling = guest.clone();
    let task = tokio::spawn(async move { call(&calling, "spins", json!({})).await });
    busy(&engine, 1).await;
    guest.fence().await;
    let outcome = task.await.unwrap();
    assert!(outcome.usage.guest_time_ns < 50_000_000_000, "{:?}", outcome.usage);
    assert!(matches!(refusal(outcome), EngineError::Fenced {}));
    let next = call(&guest, "behaves", json!({ "text": "next" })).await;
    assert!(matches!(refusal(next), EngineError::Fenced {}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_one_process_takes_have_a_second_one_and_then_wait_or_are_refused() {
    let engine = workers(|w| (w.processes_max, w.calls_per_process_max) = (4, 1));
    let guest = hostile(&engine).await;
    let sleeping = |ms: u64| {
        let guest = guest.clone();
        tokio::spawn(async move { call(&guest, "sleeps", json!({ "ms": ms })).await })
    };
    let two = [sleeping(10_000), sleeping(10_000)];
    let deadline = Instant::now() + PATIENCE;
    while engine.workers().iter().filter(|p| p.calls == 1).count() < 2 {
        assert!(Instant::now() < deadline, "{:?}", engine.workers());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let hurried = guest.with_limits(Limits {
        wall_time_ms: 50,
        ..hostile_limits()
    });
    let refused = call(&hurried, "behaves", json!({ "text": "now" })).await;
    assert!(matches!(refusal(refused), EngineError::WorkersFull { .. }));
    let patient = call(&guest, "behaves", json!({ "text": "then" })).await;
    assert_eq!(value(patient), json!("then"));
    for one in two {
        value(one.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_nobody_needs_goes() {
    let engine = workers(|w| w.idle = Duration::from_millis(100));
    let guest = hostile(&engine).await;
    let deadline = Instant::now() + PATIENCE;
    while !engine.workers().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", engine.workers());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let next = call(&guest, "behaves", json!({ "text": "again" })).await;
    assert_eq!(value(next), json!("again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_the_host_runs_in_its_process_or_not_at_all_where_the_operator_says_so() {
    let engine = workers(|w| w.ephemeral = RunIn::WorkerOnly);
    let bytes = guests::rust("keyvalue");
    let refused = load_as(&engine, &unnamed(&bytes), &bytes, Limits::default()).await;
    let Err(EngineError::WorkerOnly { zone, why }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(zone, "ephemeral");
    assert!(why.contains("it imports"), "{why}");
    hostile(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_on_this_machine_is_confined_in_full() {
    let engine = workers(|_| {});
    assert_eq!(engine.check_workers().await.unwrap(), Vec::<String>::new());
    let guest = hostile(&engine).await;
    let sleeping = {
        let guest = guest.clone();
        tokio::spawn(async move { call(&guest, "sleeps", json!({ "ms": 5_000 })).await })
    };
    let process = busy(&engine, 1).await.process_id.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.map(|rest| rest.trim().to_string())
    };
    assert_eq!(line("NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(line("Seccomp:").as_deref(), Some("2"));
    value(sleeping.await.unwrap());
}

#[test]
fn a_host_that_asks_for_workers_runs_there_what_can_and_shows_where_each_capsule_runs() {
    let host = Host::start_with(&[("KINETIC_ENGINE__WORKERS__SESSION", "worker")]);
    let listed = host.get("/api/v1/capsules").json();
    let runs_in = |name: &str| {
        let capsules = listed["capsules"].as_array().unwrap();
        let named = |capsule: &&Value| capsule["urn"].as_str().is_some_and(|urn| urn.contains(name));
        capsules.iter().find(named).unwrap()["runs_in"].clone()
    };
    // One needs HTTP, which is the host's to provide.
    assert_eq!(
        (runs_in("redact"), runs_in("fetch")),
        (json!("worker"), json!("process"))
    );
}
