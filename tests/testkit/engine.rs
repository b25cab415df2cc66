//! An engine as the host makes it, and capabilities loaded into it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use kinetic_engine::{Admit, Answer, Capability, Engine, EngineConfig, EngineError, Grantee, Input, Outcome, Output};
use kinetic_model::{Digest, ImportGrant, Limits};
use serde_json::Value;

/// One engine for all cases of a process: a pool reserves address space.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let config = EngineConfig {
            // A quarter of it are residents: enough for as many cases as run at once.
            pool_instances: 128,
            ..EngineConfig::default()
        };
        Engine::new(config, vec![]).unwrap()
    })
}

/// Loads a component under these limits.
pub async fn load(bytes: &[u8], limits: Limits) -> Result<Capability, EngineError> {
    load_with(bytes, limits, &[]).await
}

/// Loads a component under these limits with these grants.
pub async fn load_with(bytes: &[u8], limits: Limits, grants: &[ImportGrant]) -> Result<Capability, EngineError> {
    let admit = Admit {
        capsule: &unnamed(bytes),
        grants,
        peers: &[],
        limits: &limits,
    };
    Ok(engine().load(bytes, admit).await?.0)
}

/// One of the runtime's own subsystems under these limits; compiled once for all cases of a process.
pub async fn subsystem(name: &'static str, limits: Limits) -> Capability {
    type Loaded = tokio::sync::Mutex<HashMap<(&'static str, String), Capability>>;
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    let mut loaded = LOADED.get_or_init(Loaded::default).lock().await;
    let key = (name, format!("{limits:?}"));
    if let Some(capability) = loaded.get(&key) {
        return capability.clone();
    }
    let capability = load(&crate::guests::subsystem(name), limits).await.unwrap();
    loaded.insert(key, capability.clone());
    capability
}

/// A capsule that promises nothing.
pub fn unnamed(bytes: &[u8]) -> Grantee {
    Grantee::unnamed(Digest::of(bytes)).unwrap()
}

/// Calls with arguments by name.
pub async fn call(capability: &Capability, function: &str, arguments: Value) -> Outcome {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    capability.call(Some(function), Input::Json(arguments)).await
}

/// The value a function returned.
pub fn value(outcome: Outcome) -> Value {
    match outcome.result {
        Ok(Answer::Ok(output)) => output.into_json(),
        other => panic!("{other:?} {:?}", outcome.logs),
    }
}

/// The value a function returned as its error.
pub fn error_value(outcome: Outcome) -> Value {
    match outcome.result {
        Ok(Answer::Err(output)) => Output::into_json(output),
        other => panic!("{other:?}"),
    }
}

/// A call's host-side error.
pub fn refusal(outcome: Outcome) -> EngineError {
    outcome.result.expect_err("an error")
}

/// A tokio runtime of two threads, as a host on a small machine has.
pub fn runtime() -> Arc<tokio::runtime::Runtime> {
    Arc::new(
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap(),
    )
}
