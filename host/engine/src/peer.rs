//! Other capsules as imports. The host stands between the two: a call of an imported function becomes a call of whoever
//! provides the interface at that moment, so that a provider is replaced without touching who uses it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kinetic_model::{Coded, ErrorKind, Fault};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Val};

use crate::capability::{Answer, Input, Output};
use crate::fast::Shape;
use crate::interface::{Function, Interface, WitType};
use crate::state::CallState;
use crate::values::Converter;
use crate::values_out::json;
use crate::{EngineError, TapedBytes, Turn, Within, fast_import};

/// How many calls of other capsules a call's receipt names one by one; the digest covers all of them.
const NOTES_MAX: usize = 64;

/// A call of another capsule under way.
pub type PeerFuture<'a> = Pin<Box<dyn Future<Output = PeerReply> + Send + 'a>>;

/// How a call of another capsule ended.
#[derive(Debug)]
pub struct PeerReply {
    /// The answer, or why there is none.
    pub result: Result<Answer, PeerFault>,
    /// What the caller's receipt says of it: compact JSON. Empty when nothing ran, and when [`Within::noted`] says that
    /// nobody asks.
    pub note: Vec<u8>,
}

/// Why another capsule gave no answer: its code and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFault {
    /// The stable code.
    pub code: &'static str,
    /// Whose fault it was.
    pub kind: ErrorKind,
    /// What was wrong.
    pub message: String,
}

impl From<&Fault> for PeerFault {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.code,
            kind: fault.kind,
            message: fault.message.clone(),
        }
    }
}

impl From<&EngineError> for PeerFault {
    fn from(error: &EngineError) -> Self {
        Self {
            code: error.code(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

/// Another capsule, as one that imports from it sees it.
pub trait Peer: std::fmt::Debug + Send + Sync + 'static {
    /// Who provides the interface now, for messages.
    fn name(&self) -> String;

    /// Whether it answers for an import, `acme:db/query@1.2.0`.
    fn provides(&self, import: &str) -> bool;

    /// A function of the interface as its provider has it now.
    fn offers(&self, export: &str) -> Option<Function>;

    /// How many calls deep a call through it may go, itself included: what its provider imports from others, too.
    fn depth(&self) -> u32;

    /// Calls a function, within a call of who imports it.
    fn call<'a>(&'a self, export: &'a str, input: Input, within: Within) -> PeerFuture<'a>;
}

/// The calls of other capsules that a call made, as its receipt tells them.
#[derive(Debug, Default)]
pub struct PeerCalls {
    count: u64,
    first: Vec<Vec<u8>>,
    hasher: Sha256,
}

impl PeerCalls {
    fn add(&mut self, note: Vec<u8>) {
        self.count += 1;
        self.hasher.update((note.len() as u64).to_be_bytes());
        self.hasher.update(&note);
        if self.first.len() < NOTES_MAX {
            self.first.push(note);
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The notes of the first of them, each compact JSON.
    pub fn first(&self) -> &[Vec<u8>] {
        &self.first
    }

    /// SHA-256 over all notes, each behind its length in eight bytes, highest first.
    pub fn digest(&self) -> kinetic_model::Digest {
        kinetic_model::Digest::from_bytes(self.hasher.clone().finalize().into())
    }
}

/// Ends a call whose peer gave no answer.
#[derive(Clone, Debug)]
pub(crate) struct PeerFailed {
    pub(crate) peer: String,
    pub(crate) fault: PeerFault,
}

impl std::fmt::Display for PeerFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gave no answer: {}", self.peer, self.fault.message)
    }
}

impl std::error::Error for PeerFailed {}

/// One imported function and whom it reaches.
pub(crate) struct Forward {
    interface: String,
    function: Function,
    /// None in a worker process, whose host is asked.
    peer: Option<Arc<dyn Peer>>,
}

/// The functions a component imports of an interface.
fn imported<'a>(interface: &'a Interface, import: &'a str) -> impl Iterator<Item = &'a Function> {
    interface
        .imported
        .iter()
        .filter(move |function| function.instance.as_deref() == Some(import))
}

/// Whether another capsule can answer for an imported interface: all its functions must be values, and such as the provider
/// has them.
pub(crate) fn agree(import: &str, peer: &Arc<dyn Peer>, interface: &Interface) -> Result<(), EngineError> {
    let mismatch = |why: String| EngineError::PeerMismatch {
        import: import.into(),
        peer: peer.name(),
        why,
    };
    if let Some((function, why)) = interface
        .not_injectable
        .iter()
        .find(|(function, _)| function.split('#').next() == Some(import))
    {
        return Err(mismatch(format!("{function}: {why}")));
    }
    for function in imported(interface, import) {
        let offered = peer
            .offers(&function.export)
            .ok_or_else(|| mismatch(format!("it has no function {}", function.export)))?;
        if !function.takes_and_gives_the_same(&offered) {
            let (wanted, offered) = (function.signature(), offered.signature());
            return Err(mismatch(format!("{wanted} is wanted, {offered} is there")));
        }
    }
    Ok(())
}

/// Puts the functions of an imported interface, on which both sides agree, into a linker. In a worker process there is no
/// peer: its host is asked.
pub(crate) fn inject(
    linker: &mut Linker<CallState>,
    import: &str,
    peer: Option<&Arc<dyn Peer>>,
    interface: &Interface,
) -> Result<(), EngineError> {
    let failed = |e: wasmtime::Error| EngineError::ImportMismatch { why: format!("{e:#}") };
    let mut instance = linker.instance(import).map_err(failed)?;
    for function in imported(interface, import) {
        let forward = Arc::new(Forward {
            interface: import.into(),
            function: function.clone(),
            peer: peer.cloned(),
        });
        match Shape::of(function) {
            Some(shape) => fast_import::define(shape, &mut instance, forward),
            None => instance.func_new_async(&function.export, move |store, _, params, results| {
                let forward = forward.clone();
                Box::new(async move { forward.dynamic(store, params, results).await })
            }),
        }
        .map_err(failed)?;
    }
    Ok(())
}

impl Forward {
    pub(crate) fn function(&self) -> &Function {
        &self.function
    }

    /// Asks the peer, or, in a worker process, the host to ask it.
    pub(crate) async fn ask(&self, state: &mut CallState, input: Input) -> wasmtime::Result<Answer> {
        let export = &self.function.export;
        match &self.peer {
            Some(peer) => ask(&**peer, &self.interface, export, state, input).await,
            None => state.ask_peer(&self.interface, export, input).await,
        }
    }

    /// For functions without a static type: values become JSON on the way, as with any caller of the peer.
    async fn dynamic(
        &self,
        mut store: StoreContextMut<'_, CallState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let not_its_type = || wasmtime::format_err!("an argument is not of its type");
        let mut given = Map::new();
        let mut bytes = 0;
        for ((name, ty), val) in self.function.params.iter().zip(params) {
            given.insert(
                name.clone(),
                json(ty, val.clone(), &mut bytes).ok_or_else(not_its_type)?,
            );
        }
        let output_bytes = store.data().limits().host_call_bytes;
        let answer = self.ask(store.data_mut(), Input::Json(given)).await?;
        if let Some(result) = results.first_mut() {
            let mut converter = Converter::new(output_bytes);
            *result = self.val(answer, &mut converter)?;
        }
        Ok(())
    }

    fn val(&self, answer: Answer, converter: &mut Converter) -> Result<Val, EngineError> {
        let mut payload = |ty: Option<&WitType>, output: Output| {
            ty.map(|ty| converter.val(ty, output.into_json(), 0).map(Box::new))
                .transpose()
        };
        Ok(match (&self.function.result, answer) {
            (Some(WitType::Result { ok, .. }), Answer::Ok(output)) => Val::Result(Ok(payload(ok.as_deref(), output)?)),
            (Some(WitType::Result { err, .. }), Answer::Err(output)) => {
                Val::Result(Err(payload(err.as_deref(), output)?))
            }
            (Some(ty), Answer::Ok(output)) => converter.val(ty, output.into_json(), 0)?,
            (_, _) => Val::Bool(false),
        })
    }
}

/// Asks another capsule in a call's context, or the recording in its place.
pub(crate) async fn ask(
    peer: &dyn Peer,
    interface: &str,
    export: &str,
    state: &mut CallState,
    input: Input,
) -> wasmtime::Result<Answer> {
    let tape = state.tape().clone();
    if tape.is_on() {
        let request = serde_json::to_vec(&Asked::of(&input))?;
        if let Turn::Answer(answer) = tape.begin(interface, export, &request)? {
            return Ok(serde_json::from_slice::<Taped>(&answer)?.answer());
        }
    }
    let reply = peer.call(export, input, state.passed_on()).await;
    if !reply.note.is_empty() {
        state.extensions().change(|calls: &mut PeerCalls| calls.add(reply.note));
    }
    let answer = reply.result.map_err(|fault| PeerFailed {
        peer: peer.name(),
        fault,
    })?;
    if tape.is_on() {
        tape.record(serde_json::to_vec(&Taped::of(&answer))?)?;
    }
    Ok(answer)
}

/// A question as a recording knows it.
#[derive(Serialize)]
struct Asked<'a> {
    arguments: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<kinetic_model::Digest>,
}

impl<'a> Asked<'a> {
    fn of(input: &'a Input) -> Self {
        match input {
            Input::Json(arguments) => Self { arguments, bytes: None },
            Input::Bytes { bytes, rest } => Self {
                arguments: rest,
                bytes: Some(kinetic_model::Digest::of(bytes)),
            },
        }
    }
}

/// An answer as a recording keeps it.
#[derive(Serialize, Deserialize)]
struct Taped {
    ok: bool,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    value: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<TapedBytes>,
}

impl Taped {
    fn of(answer: &Answer) -> Self {
        let (ok, output) = match answer {
            Answer::Ok(output) => (true, output),
            Answer::Err(output) => (false, output),
        };
        let (value, bytes) = match output {
            Output::Json(value) => (value.clone(), None),
            Output::Bytes(bytes) => (Value::Null, Some(TapedBytes(bytes.clone()))),
        };
        Self { ok, value, bytes }
    }

    fn answer(self) -> Answer {
        let output = match self.bytes {
            Some(bytes) => Output::Bytes(bytes.0),
            None => Output::Json(self.value),
        };
        if self.ok {
            Answer::Ok(output)
        } else {
            Answer::Err(output)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_off_the_tape_as_it_went_on() {
        for answer in [
            Answer::Ok(Output::Json(Value::Null)),
            Answer::Ok(Output::Bytes(vec![0, 255])),
            Answer::Err(Output::Json("no".into())),
        ] {
            let bytes = serde_json::to_vec(&Taped::of(&answer)).unwrap();
            let back = serde_json::from_slice::<Taped>(&bytes).unwrap().answer();
            assert_eq!(back, answer);
        }
    }

    #[test]
    fn the_digest_covers_the_calls_that_are_not_named_one_by_one() {
        let mut calls = PeerCalls::default();
        for _ in 0..NOTES_MAX {
            calls.add(b"{}".to_vec());
        }
        let before = calls.digest();
        calls.add(b"{}".to_vec());
        assert_eq!((calls.count(), calls.first().len()), (65, NOTES_MAX));
        assert_ne!(calls.digest(), before);
    }
}
