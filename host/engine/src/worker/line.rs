//! The line from a call in a worker process to its host: what the guest imports beyond inert WASI is asked over it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kinetic_model::Limits;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::asking::{ImportAnswer, ImportCall, Question, Told};
use super::frame::Frame;
use super::protocol::FromWorker;
use crate::host_bytes::HostBytesExceeded;
use crate::{Answer, CallState, Input, Turn};

/// Room in a question for what goes beside the bytes of the guest.
const BESIDE_BYTES_MAX: u64 = 64 << 10;
/// How much larger than the guest's values a question may be: values of records go with the names of their fields.
const NAMES_FACTOR: u64 = 4;

/// The largest question of a call under these limits, in bytes. A worker of this host does not ask a larger one.
pub(crate) const fn question_bytes_max(limits: &Limits) -> u64 {
    limits
        .host_call_bytes
        .saturating_mul(NAMES_FACTOR)
        .saturating_add(BESIDE_BYTES_MAX)
}

/// What runs in a worker process, by the number it was given.
pub(crate) type RunningCalls = Arc<Mutex<HashMap<u64, Running>>>;

/// One thing that runs there.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) task: AbortHandle,
    /// Where the answers to its questions go.
    pub(crate) told: Option<mpsc::UnboundedSender<ImportAnswer>>,
}

/// The line of one call; its guest waits on it, so one question is under way at a time.
#[derive(Debug)]
pub(crate) struct HostLine {
    pub(crate) id: u64,
    pub(crate) running: RunningCalls,
    pub(crate) said: mpsc::UnboundedSender<Frame>,
    pub(crate) told: mpsc::UnboundedReceiver<ImportAnswer>,
    pub(crate) question_bytes_max: u64,
}

impl HostLine {
    async fn ask(&mut self, call: ImportCall) -> wasmtime::Result<ImportAnswer> {
        let over = || wasmtime::format_err!("the call is over");
        let call = Box::new(call);
        let frame = FromWorker::Ask { id: self.id, call }.frame();
        if frame.bytes() > self.question_bytes_max {
            return Err(HostBytesExceeded.into());
        }
        {
            // Under the lock, so that nothing is said of a call after it was said to be cancelled.
            let running = self.running.lock();
            if !running.contains_key(&self.id) {
                return Err(over());
            }
            let _ = self.said.send(frame);
        }
        self.told.recv().await.ok_or_else(over)
    }
}

impl CallState {
    /// Whether the host of this worker process answers the guest's imports.
    pub(crate) fn has_host_line(&mut self) -> bool {
        self.extension::<HostLine>().0.is_some()
    }

    async fn ask_host(&mut self, question: Question) -> wasmtime::Result<Told> {
        let call = ImportCall {
            virtual_ns: self.virtual_ns(),
            host_bytes: self.host_bytes_used(),
            question,
        };
        let line = self.extension::<HostLine>().0;
        let line = line.ok_or_else(|| wasmtime::format_err!("nobody answers imports here"))?;
        let answer = line.ask(call).await?;
        self.host_bytes_used_elsewhere(answer.host_bytes);
        match answer.told {
            Told::Over => Err(wasmtime::format_err!("the host ended the call")),
            told => Ok(told),
        }
    }

    /// Asks the host for a function of an interface, named without its version.
    pub(crate) async fn ask_provider(
        &mut self,
        interface: &str,
        function: &str,
        asked: Vec<u8>,
    ) -> wasmtime::Result<Bytes> {
        let question = Question::Provider {
            interface: interface.to_string(),
            function: function.to_string(),
            asked: asked.into(),
        };
        match self.ask_host(question).await? {
            Told::Bytes(bytes) => Ok(bytes),
            other => Err(not_asked(&other)),
        }
    }

    /// Asks the host for a function of another capsule.
    pub(crate) async fn ask_peer(&mut self, import: &str, export: &str, input: Input) -> wasmtime::Result<Answer> {
        let question = Question::Peer {
            import: import.to_string(),
            export: export.to_string(),
            input,
        };
        match self.ask_host(question).await? {
            Told::Answer(answer) => Ok(answer),
            other => Err(not_asked(&other)),
        }
    }

    /// What to do with a wait of a replayable call: the tape is the host's, where the other host calls are on it.
    pub(crate) async fn wait_turn(
        &mut self,
        interface: &str,
        function: &str,
        asked: Vec<u8>,
    ) -> wasmtime::Result<Turn> {
        if !self.has_host_line() {
            return Ok(self.tape().begin(interface, function, &asked)?);
        }
        let question = Question::Wait {
            function: function.to_string(),
            asked: asked.into(),
        };
        match self.ask_host(question).await? {
            Told::Bytes(bytes) => Ok(Turn::Answer(bytes.into())),
            Told::Go => Ok(Turn::Do),
            other => Err(not_asked(&other)),
        }
    }

    /// Records what a wait came to that was to be done.
    pub(crate) async fn waited(&mut self, answer: Vec<u8>) -> wasmtime::Result<()> {
        if !self.has_host_line() {
            return Ok(self.tape().record(answer)?);
        }
        match self.ask_host(Question::Waited { answer: answer.into() }).await? {
            Told::Go => Ok(()),
            other => Err(not_asked(&other)),
        }
    }
}

fn not_asked(told: &Told) -> wasmtime::Error {
    wasmtime::format_err!("the host answered something else: {told:?}")
}
