//! A component with a lifecycle, in as many versions as there are ways to swap it badly.

use std::sync::OnceLock;

use kinetic_model::{Digest, InstanceMode, Limits};
use serde_json::{Map, Value};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::{Admit, Answer, Capability, Engine, EngineConfig, EngineError, Grantee, Input, Outcome};

const CAPSULE: &str = include_str!("../../../../wit/kinetic-capsule/capsule.wit");
const WORLD: &str = "
    package test:guest;

    world guest {
        import wasi:clocks/monotonic-clock@0.2.6;
        export kinetic:capsule/lifecycle@0.1.0;
        export next: func() -> u32;
        export fill: func(bytes: u32) -> u32;
        export fails: func() -> u32;
        export spins: func() -> u32;
        export asks: func() -> u32;
    }

    package wasi:clocks@0.2.6 {
        interface monotonic-clock {
            now: func() -> u64;
        }
    }";

/// Counts its calls; its state is the count and what it was filled with. 1024 holds the answer, 2048 the words `odd`.
const MODULE: &str = r#"(module
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
    (memory (export "memory") 1)
    (data (i32.const 2048) "odd")
    (global $heap (mut i32) (i32.const 4096))
    (global $started (mut i32) (i32.const 0))
    (global $imported (mut i32) (i32.const 0))
    (global $count (mut i32) (i32.const 0))
    (global $state (mut i32) (i32.const 3072))
    (global $state_bytes (mut i32) (i32.const 4))

    (func $realloc (export "cabi_realloc") (param i32 i32 i32) (param $bytes i32) (result i32) (local $at i32)
        (local.set $at (global.get $heap))
        (global.set $heap (i32.and (i32.add (i32.add (local.get $at) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
        (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
            (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $bytes) (i32.const 65536)))))
                (then unreachable))))
        (local.get $at))

    ;; result<_, error>: tag, the error's case, a text or a number
    (func $done (result i32) (i32.store (i32.const 1024) (i32.const 0)) (i32.const 1024))
    (func $refuses (param $case i32) (param $one i32) (param $two i32) (result i32)
        (i32.store (i32.const 1024) (i32.const 1))
        (i32.store (i32.const 1028) (local.get $case))
        (i32.store (i32.const 1032) (local.get $one))
        (i32.store (i32.const 1036) (local.get $two))
        (i32.const 1024))

    (func (export "kinetic:capsule/lifecycle@0.1.0#start") (param $settings i32) (param $count i32) (result i32)
        (if (i32.or (local.get $count) (global.get $started)) (then unreachable))
        START
        (global.set $started (i32.const 1))
        (call $done))
    (func (export "kinetic:capsule/lifecycle@0.1.0#health") (result i32)
        (i32.store (i32.const 1024) (i32.const HEALTH))
        (i32.store (i32.const 1028) (i32.const 2048))
        (i32.store (i32.const 1032) (i32.const 3))
        (i32.const 1024))
    (func (export "kinetic:capsule/lifecycle@0.1.0#export-state") (result i32)
        EXPORT
        (i32.store (global.get $state) (global.get $count))
        (i32.store (i32.const 1024) (i32.const 0))
        (i32.store (i32.const 1028) (i32.const WRITES))
        (i32.store (i32.const 1032) (global.get $state))
        (i32.store (i32.const 1036) (global.get $state_bytes))
        (i32.const 1024))
    (func (export "kinetic:capsule/lifecycle@0.1.0#import-state")
            (param $format i32) (param $at i32) (param $bytes i32) (result i32)
        (if (i32.eqz (global.get $started)) (then unreachable))
        IMPORT
        (global.set $imported (i32.const 1))
        (if (i32.gt_u (local.get $format) (i32.const READS))
            (then (return (call $refuses (i32.const 1) (i32.const READS) (i32.const 0)))))
        (if (i32.lt_u (local.get $bytes) (i32.const 4))
            (then (return (call $refuses (i32.const 2) (i32.const 2048) (i32.const 3)))))
        (global.set $count (i32.load (local.get $at)))
        (global.set $state (local.get $at))
        (global.set $state_bytes (local.get $bytes))
        (call $done))
    (func (export "kinetic:capsule/lifecycle@0.1.0#stop") (result i32) STOP (call $done))

    (func (export "next") (result i32)
        (if (i32.eqz (global.get $started)) (then unreachable))
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (global.get $count))
    (func (export "fill") (param $bytes i32) (result i32)
        (global.set $state (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (local.get $bytes)))
        (global.set $state_bytes (local.get $bytes))
        (memory.fill (global.get $state) (i32.const 7) (local.get $bytes))
        (memory.size))
    (func (export "fails") (result i32) unreachable)
    (func (export "spins") (result i32) (loop (br 0)) (i32.const 0))
    (func (export "asks") (result i32) (loop (drop (call $now)) (br 0)) (i32.const 0)))"#;

/// One version of the component.
#[derive(Clone, Copy)]
pub(super) struct Version {
    /// The format of the state it writes.
    pub(super) writes: u32,
    /// The newest format it reads.
    pub(super) reads: u32,
    /// Which case of `condition` it says it is.
    pub(super) health: u32,
    /// What it does when it starts, imports, exports and stops, before what it should do.
    pub(super) start: &'static str,
    pub(super) import: &'static str,
    pub(super) export: &'static str,
    pub(super) stop: &'static str,
}

impl Default for Version {
    fn default() -> Self {
        Self {
            writes: 1,
            reads: 1,
            health: 0,
            start: "",
            import: "",
            export: "",
            stop: "",
        }
    }
}

impl Version {
    pub(super) fn bytes(self) -> Vec<u8> {
        let text = MODULE
            .replace("START", self.start)
            .replace("IMPORT", self.import)
            .replace("EXPORT", self.export)
            .replace("STOP", self.stop)
            .replace("WRITES", &self.writes.to_string())
            .replace("READS", &self.reads.to_string())
            .replace("HEALTH", &self.health.to_string());
        let mut module = wat::parse_str(text).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_str("capsule.wit", CAPSULE).unwrap();
        let package = resolve.push_str("guest.wit", WORLD).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let mut encoder = ComponentEncoder::default().module(&module).unwrap().validate(true);
        encoder.encode().unwrap()
    }

    pub(super) async fn load(self, instance: InstanceMode, limits: Limits) -> Result<Capability, EngineError> {
        let bytes = self.bytes();
        let capsule = Grantee {
            instance,
            ..Grantee::unnamed(Digest::of(&bytes)).unwrap()
        };
        let admit = Admit {
            capsule: &capsule,
            grants: &[],
            peers: &[],
            limits: &limits,
        };
        engine().load(&bytes, admit).await.map(|(capability, _)| capability)
    }

    /// With one instance for all calls.
    pub(super) async fn staying(self) -> Capability {
        self.load(InstanceMode::Resident, Limits::default()).await.unwrap()
    }
}

pub(super) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let config = EngineConfig {
            pool_instances: 128,
            ..EngineConfig::default()
        };
        Engine::new(config, vec![]).unwrap()
    })
}

pub(super) async fn call(capability: &Capability, function: &str, arguments: &[(&str, u64)]) -> Outcome {
    let arguments: Map<String, Value> = arguments
        .iter()
        .map(|(name, value)| ((*name).to_string(), (*value).into()))
        .collect();
    capability.call(Some(function), Input::Json(arguments)).await
}

/// The number that a call answers.
pub(super) async fn number(capability: &Capability, function: &str, arguments: &[(&str, u64)]) -> u64 {
    match call(capability, function, arguments).await.result {
        Ok(Answer::Ok(output)) => output.into_json().as_u64().unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn next(capability: &Capability) -> u64 {
    number(capability, "next", &[]).await
}

/// Why a call has no answer.
pub(super) async fn failure(capability: &Capability, function: &str) -> EngineError {
    call(capability, function, &[]).await.result.unwrap_err()
}
