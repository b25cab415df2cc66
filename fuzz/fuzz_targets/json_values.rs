//! JSON to WIT values of every type and back: any JSON is answered or refused.
#![no_main]

use std::sync::OnceLock;

use kinetic_engine::{Admit, Answer, Capability, Engine, EngineConfig, EngineError, Grantee, Input};
use kinetic_model::{Digest, Limits};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;

/// One function that answers what it gets: the host writes the arguments into memory and reads them back from there.
const ECHO: &str = r#"(component
    (type $point' (record (field "x" s8) (field "y" f32) (field "label" (option string))))
    (import "point" (type $point (eq $point')))
    (type $shape' (variant (case "empty") (case "circle" f64) (case "polygon" (list $point))))
    (import "shape" (type $shape (eq $shape')))
    (type $colour' (enum "red" "green"))
    (import "colour" (type $colour (eq $colour')))
    (type $rights' (flags "read" "write"))
    (import "rights" (type $rights (eq $rights')))
    (type $all' (tuple bool u8 s16 u32 s64 u64 f32 f64 char string (list u8) (list (tuple string s64))
        (option (option u8)) (result string (error u8)) (result) $point $shape $colour $rights))
    (core module $m
        (memory (export "memory") 1)
        (global $top (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
            (global.set $top (i32.add (local.get $at) (local.get 3)))
            (block $fits
                (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
                (if (i32.eq (i32.const -1)
                        (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))
                    (then unreachable)))
            (local.get $at))
        (func (export "echo") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m))
    (func (export "echo") (param "value" $all') (result $all')
        (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

fn echo() -> &'static (Runtime, Capability) {
    static ECHO_LOADED: OnceLock<(Runtime, Capability)> = OnceLock::new();
    ECHO_LOADED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let engine = Engine::new(EngineConfig { pool_instances: 2, ..EngineConfig::default() }, vec![]).unwrap();
        let bytes = wat::parse_str(ECHO).unwrap();
        let capsule = Grantee::unnamed(Digest::of(&bytes)).unwrap();
        let admit = Admit { capsule: &capsule, grants: &[], peers: &[], limits: &Limits::default() };
        let load = engine.load(&bytes, admit);
        let (capability, _) = runtime.block_on(load).unwrap();
        (runtime, capability)
    })
}

fuzz_target!(|json: &str| {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return };
    let (runtime, capability) = echo();
    let call = |value: Value| {
        let arguments = [("value".to_string(), value)].into_iter().collect();
        runtime.block_on(capability.call(None, Input::Json(arguments))).result
    };
    match call(value) {
        // What came back means the same when it goes in again.
        Ok(Answer::Ok(output)) => {
            let first = output.into_json();
            match call(first.clone()) {
                Ok(Answer::Ok(again)) => assert_eq!(again.into_json(), first),
                other => panic!("{first} became {other:?}"),
            }
        }
        Err(EngineError::BadArgument { .. } | EngineError::InputTooLarge { .. } | EngineError::TooManyValues { .. }) => {}
        other => panic!("{other:?}"),
    }
});
