//! The host's part of a call in a worker: its imports, answered by providers and other capsules in the call's own context,
//! so that what it reads and writes is part of its one record as if its guest ran here.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use wasmtime::component::ResourceTableError;

use super::asking::{ImportAnswer, ImportCall, Question, Told};
use super::frame::{Frame, TO_WORKER_BYTES_MAX};
use super::line::question_bytes_max;
use super::protocol::ToWorker;
use crate::capability::{Loaded, Report};
use crate::crossing::NotUnderstood;
use crate::interface::Interface;
use crate::link::{is_inert, split};
use crate::outcome::classify;
use crate::state::CallState;
use crate::tape::Turn;
use crate::{CallContext, EngineError, Input, Peer, Within, peer, waiting};

/// Whether a component imports anything that its host has to answer.
pub(crate) fn asks_host(interface: &Interface) -> bool {
    interface.imports.iter().any(|import| !is_inert(import))
}

/// Imports that other capsules answer, and which.
pub(crate) type Links = Vec<(String, Arc<dyn Peer>)>;

/// A question and how large it was, in bytes.
pub(crate) type Incoming = (Box<ImportCall>, u64);

/// One call's imports.
pub(crate) struct Imports<'a> {
    loaded: &'a Loaded,
    links: &'a Links,
    state: CallState,
    /// Why the call is over, if the host ended it.
    over: Option<EngineError>,
}

/// Why a question has no answer.
enum Refused {
    /// The call is over, as it would be if its guest ran here.
    Over(EngineError),
    /// No worker of this host asks this.
    Misbehaved(String),
}

impl From<NotUnderstood> for Refused {
    fn from(error: NotUnderstood) -> Self {
        Self::Misbehaved(error.to_string())
    }
}

impl<'a> Imports<'a> {
    pub(crate) fn new(loaded: &'a Loaded, links: &'a Links, context: Option<CallContext>, within: Within) -> Self {
        let mut state = CallState::new(loaded.limits, loaded.profile, loaded.fence.clone(), context);
        state.pass_on(within);
        for provider in &*loaded.providers {
            provider.prepare(&mut state);
        }
        Self {
            loaded,
            links,
            state,
            over: None,
        }
    }

    /// Answers what the call asks, as long as it asks; gives why its process has to be ended, should it have to.
    pub(crate) async fn serve(
        &mut self,
        id: u64,
        asked: &mut mpsc::UnboundedReceiver<Incoming>,
        tell: impl Fn(Frame),
    ) -> String {
        while let Some((call, bytes)) = asked.recv().await {
            let told = match self.answer(*call, bytes).await {
                Ok(told) => told,
                Err(Refused::Misbehaved(why)) => return why,
                Err(Refused::Over(error)) => {
                    self.over = Some(error);
                    Told::Over
                }
            };
            let frame = self.frame(id, told);
            tell(frame);
        }
        // The process is gone, which whoever waits for its answer is told.
        std::future::pending().await
    }

    fn frame(&mut self, id: u64, told: Told) -> Frame {
        let host_bytes = self.state.host_bytes_used();
        let tell = |told| ToWorker::Tell {
            id,
            answer: Box::new(ImportAnswer { host_bytes, told }),
        };
        let frame = tell(told).frame();
        if frame.bytes() <= TO_WORKER_BYTES_MAX {
            return frame;
        }
        let bytes_max = self.loaded.limits.host_call_bytes;
        self.over = Some(EngineError::HostCallTooLarge { bytes_max });
        tell(Told::Over).frame()
    }

    async fn answer(&mut self, call: ImportCall, bytes: u64) -> Result<Told, Refused> {
        if self.over.is_some() {
            return Err(Refused::Misbehaved("it went on asking for a call that was over".into()));
        }
        let bytes_max = question_bytes_max(&self.loaded.limits);
        if bytes > bytes_max {
            let why = format!("it asked with {bytes} bytes, and its call may with {bytes_max}");
            return Err(Refused::Misbehaved(why));
        }
        self.loaded.fence.pass().map_err(Refused::Over)?;
        if let Some(virtual_ns) = call.virtual_ns {
            self.state.follow_virtual_clock(virtual_ns);
        }
        self.state.host_bytes_used_elsewhere(call.host_bytes);
        let told = match call.question {
            Question::Provider {
                interface,
                function,
                asked,
            } => self.ask_provider(&interface, &function, &asked).await,
            Question::Peer { import, export, input } => self.ask_peer(&import, &export, input).await,
            Question::Wait { function, asked } => self.wait(&function, &asked),
            Question::Waited { answer } => self.waited(answer),
        }?;
        if self.state.tape_failed() {
            // Whatever the guest would be told: the tape knows why, and says so at the end.
            return Err(Refused::Over(EngineError::HostFunction {
                why: "the tape of host calls failed".into(),
            }));
        }
        Ok(told)
    }

    async fn ask_provider(&mut self, interface: &str, function: &str, asked: &[u8]) -> Result<Told, Refused> {
        let loaded = self.loaded;
        let is_imported = imports(&loaded.interface, interface, function);
        let mut providers = loaded.providers.iter();
        let Some(provider) = providers.find(|provider| is_imported && provider.crosses(interface)) else {
            return Err(not_imported(interface, function));
        };
        match provider.answer(&mut self.state, interface, function, asked).await {
            Ok(answer) => Ok(Told::Bytes(answer.into())),
            Err(error) => Err(self.refused(&error)),
        }
    }

    async fn ask_peer(&mut self, import: &str, export: &str, input: Input) -> Result<Told, Refused> {
        let (links, imported) = (self.links, &self.loaded.interface.imported);
        let is_imported = imported
            .iter()
            .any(|function| function.instance.as_deref() == Some(import) && function.export == export);
        let link = links.iter().find(|(linked, _)| linked == import && is_imported);
        let Some((_, linked)) = link else {
            return Err(not_imported(import, export));
        };
        match peer::ask(&**linked, import, export, &mut self.state, input).await {
            Ok(answer) => Ok(Told::Answer(answer)),
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn wait(&mut self, function: &str, asked: &[u8]) -> Result<Told, Refused> {
        if !matches!(function, "poll" | "ready") {
            return Err(NotUnderstood::function(function).into());
        }
        let tape = self.state.tape().clone();
        match tape.begin(waiting::INTERFACE, function, asked) {
            Ok(Turn::Answer(bytes)) => Ok(Told::Bytes(bytes.into())),
            Ok(Turn::Do) => Ok(Told::Go),
            Err(error) => Err(Refused::Over(error)),
        }
    }

    fn waited(&mut self, answer: Bytes) -> Result<Told, Refused> {
        let tape = self.state.tape().clone();
        tape.record(answer.into()).map_err(Refused::Over)?;
        Ok(Told::Go)
    }

    /// What an error of a host function makes of the call.
    fn refused(&self, error: &wasmtime::Error) -> Refused {
        if let Some(error) = error.downcast_ref::<NotUnderstood>() {
            return error.clone().into();
        }
        if let Some(error) = error.downcast_ref::<ResourceTableError>()
            && !matches!(error, ResourceTableError::Full)
        {
            return Refused::Misbehaved(format!("it used a handle that its call does not have: {error}"));
        }
        let instances = self.loaded.shared.config.pool_instances;
        Refused::Over(classify(error, &self.state, instances, false))
    }

    /// Ends the host's part: what it knows of the call goes into the report. Gives the error it makes of the call, if any.
    /// What providers hold for the call, its handles among it, is dropped here, before anything of it is committed.
    pub(crate) fn finish(mut self, report: &mut Report, answered: bool) -> Option<EngineError> {
        let usage = &mut report.usage;
        usage.host_call_bytes = usage.host_call_bytes.saturating_add(self.state.host_bytes_used());
        usage.handles = usage.handles.saturating_add(self.state.open_handles());
        let failure;
        (report.tape, failure) = self.state.finish_tape(answered && self.over.is_none());
        report.extensions = std::mem::take(self.state.extensions());
        failure.or(self.over)
    }
}

/// Whether a component imports a function of an interface that is named without its version. Of WASI's interfaces the whole
/// is imported.
fn imports(interface: &Interface, asked: &str, function: &str) -> bool {
    let is_listed = |import: &str| {
        let is_value = |one: &crate::Function| one.instance.as_deref() == Some(import) && one.export == function;
        let is_other = |name: &str| name.split_once('#') == Some((import, function));
        interface.imported.iter().any(is_value) || interface.not_injectable.iter().any(|(name, _)| is_other(name))
    };
    interface.imports.iter().any(|import| {
        split(import).0 == asked
            && (import.starts_with("wasi:") || function.starts_with("[resource-drop]") || is_listed(import))
    })
}

fn not_imported(interface: &str, function: &str) -> Refused {
    let shown = |text: &str| text.chars().take(100).collect::<String>();
    let (interface, function) = (shown(interface), shown(function));
    Refused::Misbehaved(format!(
        "it asked for {interface}#{function}, which the component does not import"
    ))
}
