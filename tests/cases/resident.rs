//! An instance that stays across calls: what it keeps, its budgets for each call, and how it ends.

use std::time::Duration;

use kinetic_engine::{Admit, Called, Capability, EngineError, Grantee, Resident};
use kinetic_model::{InstanceMode, Limits};
use kinetic_testkit::engine::{call, engine, load, refusal, unnamed, value};
use serde_json::json;

const COUNTER: &str = r#"(component
    (core module $m
        (global $n (mut i32) (i32.const 0))
        (memory 1)
        (func (export "next") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (global.get $n))
        (func (export "works") (param $rounds i32) (result i32)
            (loop $again
                (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
                (br_if $again (local.get $rounds)))
            (i32.const 0))
        (func (export "grows") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "traps") (result i32) unreachable)
        (func (export "spins") (result i32) (loop (br 0)) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func (export "next") (result u32) (canon lift (core func $i "next")))
    (func (export "works") (param "rounds" u32) (result u32) (canon lift (core func $i "works")))
    (func (export "grows") (param "pages" u32) (result s32) (canon lift (core func $i "grows")))
    (func (export "traps") (result u32) (canon lift (core func $i "traps")))
    (func (export "spins") (result u32) (canon lift (core func $i "spins"))))"#;

async fn counter(limits: Limits) -> Resident {
    let component = load(&wat::parse_str(COUNTER).unwrap(), limits).await.unwrap();
    component.resident().await.unwrap()
}

async fn plain(resident: &mut Resident, function: &str) -> Called<u32> {
    let called: Called<(u32,)> = resident.call((None, function), (), 0).await;
    Called {
        result: called.result.map(|(value,)| value),
        usage: called.usage,
        logs: called.logs,
    }
}

async fn works(resident: &mut Resident, rounds: u32) -> Called<(u32,)> {
    resident.call((None, "works"), (rounds,), 4).await
}

#[tokio::test]
async fn what_a_resident_instance_keeps_is_there_at_its_next_call() {
    let mut resident = counter(Limits::default()).await;
    for expected in 1..=3 {
        assert_eq!(plain(&mut resident, "next").await.result.unwrap(), expected);
    }
    let mut other = counter(Limits::default()).await;
    assert_eq!(plain(&mut other, "next").await.result.unwrap(), 1);
}

#[tokio::test]
async fn each_call_of_a_resident_instance_has_the_whole_budget() {
    let limits = Limits {
        fuel: 100_000,
        ..Limits::default()
    };
    let mut resident = counter(limits).await;
    for _ in 0..5 {
        let called = works(&mut resident, 15_000).await;
        assert!(called.result.is_ok(), "{called:?}");
        assert!((50_000..100_000).contains(&called.usage.fuel), "{:?}", called.usage);
    }
    let called = works(&mut resident, 50_000).await;
    assert!(matches!(
        called.result,
        Err(EngineError::OutOfFuel { fuel_max: 100_000 })
    ));
    assert_eq!(called.usage.fuel, 100_000);
    assert!(!resident.is_alive());
}

#[tokio::test]
async fn guest_time_is_counted_for_each_call_of_a_resident_instance() {
    let limits = Limits {
        guest_time_ms: 1_000,
        fuel: u64::MAX / 2,
        ..Limits::default()
    };
    let mut resident = counter(limits).await;
    let mut together_ns = 0;
    while together_ns <= 1_000_000_000 {
        let called = works(&mut resident, 5_000_000).await;
        assert!(called.result.is_ok(), "{called:?}");
        together_ns += called.usage.guest_time_ns;
    }
    let called = plain(&mut resident, "spins").await;
    assert!(matches!(
        called.result,
        Err(EngineError::GuestTimeout {
            guest_time_ms_max: 1_000
        })
    ));
}

#[tokio::test]
async fn memory_of_a_resident_instance_is_summed_across_its_calls() {
    let limits = Limits {
        memory_bytes: 16 << 20,
        ..Limits::default()
    };
    let mut resident = counter(limits).await;
    let mut refused = 0;
    for _ in 0..10 {
        let called: Called<(i32,)> = resident.call((None, "grows"), (64_u32,), 4).await;
        assert!(called.usage.memory_peak_bytes <= 16 << 20);
        refused += u32::from(called.result.unwrap().0 == -1);
    }
    assert_eq!(refused, 7, "three times 4 MiB fit beside the first page");
    assert_eq!(resident.memory_bytes(), (1 + 3 * 64) * 65_536);
}

#[tokio::test]
async fn a_trap_ends_a_resident_instance_and_gives_its_sandbox_back() {
    let component = load(&wat::parse_str(COUNTER).unwrap(), Limits::default())
        .await
        .unwrap();
    let mut resident = component.resident().await.unwrap();
    assert_eq!(plain(&mut resident, "next").await.result.unwrap(), 1);
    assert!(matches!(
        plain(&mut resident, "traps").await.result,
        Err(EngineError::Panicked { .. })
    ));
    assert!(matches!(
        plain(&mut resident, "next").await.result,
        Err(EngineError::ResidentEnded {})
    ));
    assert_eq!(resident.memory_bytes(), 0);
    let mut successor = component.resident().await.unwrap();
    assert_eq!(plain(&mut successor, "next").await.result.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_takes_the_resident_instance_with_it() {
    let mut resident = counter(Limits::default()).await;
    let dropped = tokio::time::timeout(Duration::from_millis(20), plain(&mut resident, "spins")).await;
    assert!(dropped.is_err(), "it spins");
    assert!(!resident.is_alive());
    assert!(engine().pool().instances < u64::from(engine().pool().instances_max));
}

#[tokio::test]
async fn a_call_that_is_refused_before_it_begins_leaves_the_resident_instance_alive() {
    let limits = Limits {
        input_bytes: 100,
        ..Limits::default()
    };
    let mut resident = counter(limits).await;
    let too_large: Called<(u32,)> = resident.call((None, "works"), (1_u32,), 101).await;
    assert!(matches!(
        too_large.result,
        Err(EngineError::InputTooLarge {
            bytes: 101,
            bytes_max: 100
        })
    ));
    let unknown: Called<(u32,)> = resident.call((Some("a:b/c@1.0.0"), "next"), (), 0).await;
    let Err(EngineError::NoSuchFunction { function, .. }) = unknown.result else {
        panic!("{unknown:?}")
    };
    assert_eq!(function, "a:b/c@1.0.0#next");
    assert_eq!(plain(&mut resident, "next").await.result.unwrap(), 1);
}

/// A capsule that asks for one instance for all its calls.
async fn staying(limits: Limits) -> Capability {
    let bytes = wat::parse_str(COUNTER).unwrap();
    let capsule = Grantee {
        instance: InstanceMode::Resident,
        ..unnamed(&bytes)
    };
    let admit = Admit {
        capsule: &capsule,
        grants: &[],
        peers: &[],
        limits: &limits,
    };
    engine().load(&bytes, admit).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capsule_that_asks_for_one_instance_keeps_it_for_all_callers_one_at_a_time() {
    let capsule = staying(Limits::default()).await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let capsule = capsule.clone();
            tokio::spawn(async move { value(call(&capsule, "next", json!({})).await) })
        })
        .collect();
    let mut numbers = Vec::new();
    for caller in callers {
        numbers.push(caller.await.unwrap().as_u64().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_call_ends_the_one_instance_and_the_next_call_gets_a_new_one() {
    let limits = Limits {
        fuel: 100_000,
        ..Limits::default()
    };
    let capsule = staying(limits).await;
    assert_eq!(value(call(&capsule, "next", json!({})).await), 1);
    let spun = call(&capsule, "spins", json!({})).await;
    assert_eq!(spun.usage.fuel, 100_000);
    assert!(matches!(refusal(spun), EngineError::OutOfFuel { .. }));
    let again = call(&capsule, "next", json!({})).await;
    assert!(again.usage.instantiation_fuel > 0 || again.usage.fuel > 0);
    assert_eq!(value(again), 1);
    assert_eq!(value(call(&capsule, "next", json!({})).await), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_have_the_one_instance_in_time_is_told_so() {
    let limits = Limits {
        wall_time_ms: 3_000,
        fuel: u64::MAX / 2,
        guest_time_ms: 60_000,
        ..Limits::default()
    };
    let capsule = staying(limits).await;
    // While the first one spins the others wait as long as a call may take; then one of them at most is let in.
    let spinning = [(); 3].map(|()| {
        let capsule = capsule.clone();
        tokio::spawn(async move { refusal(call(&capsule, "spins", json!({})).await) })
    });
    let mut ends = Vec::new();
    for spinning in spinning {
        ends.push(spinning.await.unwrap());
    }
    let busy = |end: &EngineError| {
        matches!(
            end,
            EngineError::ResidentBusy {
                wall_time_ms_max: 3_000
            }
        )
    };
    let ran = |end: &EngineError| matches!(end, EngineError::WallTimeout { .. });
    assert!(ends.iter().any(busy) && ends.iter().any(ran), "{ends:?}");
    assert!(ends.iter().all(|end| busy(end) || ran(end)), "{ends:?}");
    // Two may have run; after a second failure in a row it is made again a little later.
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(value(call(&capsule, "next", json!({})).await), 1);
}

#[tokio::test]
async fn a_quarter_of_the_pool_may_stay_and_no_more() {
    let pool_instances = 8;
    let engine = kinetic_engine::Engine::new(
        kinetic_engine::EngineConfig {
            pool_instances,
            ..kinetic_engine::EngineConfig::default()
        },
        vec![],
    )
    .unwrap();
    let bytes = wat::parse_str(COUNTER).unwrap();
    let limits = Limits::default();
    let admit = Admit {
        capsule: &unnamed(&bytes),
        grants: &[],
        peers: &[],
        limits: &limits,
    };
    let component = engine.load(&bytes, admit).await.unwrap().0;
    let first = component.resident().await.unwrap();
    let _second = component.resident().await.unwrap();
    let third = component.resident().await;
    assert!(matches!(third, Err(EngineError::TooManyResidents { residents_max: 2 })));
    assert_eq!(value(call(&component, "next", json!({})).await), 1, "other calls go on");
    drop(first);
    assert!(component.resident().await.is_ok());
}
