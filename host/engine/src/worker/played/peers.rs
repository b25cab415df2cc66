//! Another capsule, played by the test: doubles numbers, refuses 13.

use std::sync::Arc;

use kinetic_model::ErrorKind;
use serde_json::{Map, Value, json};

use crate::{
    Answer, CallContext, Capability, Function, Input, Output, Peer, PeerFault, PeerFuture, PeerReply, WitType, Within,
};

const DOUBLES: &str = "tests:other/doubles@1.0.0";

#[derive(Debug)]
struct Doubles;

/// It, as a capsule that imports from it is given it.
pub(super) fn doubles() -> Arc<dyn Peer> {
    Arc::new(Doubles)
}

impl Peer for Doubles {
    fn name(&self) -> String {
        "urn:tests:doubles".into()
    }

    fn provides(&self, import: &str) -> bool {
        import == DOUBLES
    }

    fn offers(&self, export: &str) -> Option<Function> {
        let number = match export {
            "fast" => WitType::U64,
            "slow" => WitType::U32,
            _ => return None,
        };
        Some(Function {
            name: export.into(),
            instance: Some(DOUBLES.into()),
            export: export.into(),
            docs: None,
            params: vec![("number".into(), number.clone())],
            result: Some(number),
        })
    }

    fn depth(&self) -> u32 {
        1
    }

    fn call<'a>(&'a self, export: &'a str, input: Input, within: Within) -> PeerFuture<'a> {
        let number = match &input {
            Input::Json(given) => given.get("number").and_then(Value::as_u64).unwrap_or_default(),
            Input::Bytes { .. } => 0,
        };
        let note = json!({ "export": export, "number": number, "sandboxes": within.sandboxes });
        let result = if number == 13 {
            Err(PeerFault {
                code: "KIN-ENG-0020",
                kind: ErrorKind::Conformance,
                message: "it does not like thirteen".into(),
            })
        } else {
            Ok(Answer::Ok(Output::Json((number * 2).into())))
        };
        let reply = PeerReply {
            result,
            note: note.to_string().into_bytes(),
        };
        Box::pin(std::future::ready(reply))
    }
}

/// A capsule of this process in its place, whatever it is asked.
#[derive(Debug)]
struct Instead(Capability);

/// Calls the one function of a capsule in place of what it is asked.
pub(super) fn instead(capability: Capability) -> Arc<dyn Peer> {
    Arc::new(Instead(capability))
}

impl Peer for Instead {
    fn name(&self) -> String {
        Doubles.name()
    }

    fn provides(&self, import: &str) -> bool {
        Doubles.provides(import)
    }

    fn offers(&self, export: &str) -> Option<Function> {
        Doubles.offers(export)
    }

    fn depth(&self) -> u32 {
        self.0.depth()
    }

    fn call<'a>(&'a self, _export: &'a str, _input: Input, within: Within) -> PeerFuture<'a> {
        Box::pin(async move {
            let context = CallContext {
                within,
                ..CallContext::default()
            };
            let outcome = self.0.call_with(None, Input::Json(Map::new()), context).await;
            PeerReply {
                result: outcome.result.map_err(|error| PeerFault::from(&error)),
                note: Vec::new(),
            }
        })
    }
}

/// Never ends by itself.
pub(super) fn spinning() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (core module $m (func (export "spin") (result i32) (loop $l (br $l)) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "spin") (result u32) (canon lift (core func $i "spin"))))"#,
    )
    .unwrap()
}

/// Asks it twice: once by a function with a static type, once by one without.
pub(super) fn asking() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (import "tests:other/doubles@1.0.0" (instance $other
                (export "fast" (func (param "number" u64) (result u64)))
                (export "slow" (func (param "number" u32) (result u32)))))
            (core func $fast (canon lower (func $other "fast")))
            (core func $slow (canon lower (func $other "slow")))
            (core module $m
                (import "" "fast" (func $fast (param i64) (result i64)))
                (import "" "slow" (func $slow (param i32) (result i32)))
                (func (export "asks") (param i32) (result i32)
                    (i32.add
                        (i32.wrap_i64 (call $fast (i64.extend_i32_u (local.get 0))))
                        (call $slow (i32.const 100)))))
            (core instance $i (instantiate $m (with "" (instance
                (export "fast" (func $fast)) (export "slow" (func $slow))))))
            (func (export "asks") (param "number" u32) (result u32) (canon lift (core func $i "asks"))))"#,
    )
    .unwrap()
}
