//! One loaded component and how it is called: a fresh store each time, every limit armed, every outcome classified.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kinetic_model::{Limits, Usage};
use serde_json::{Map, Value};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Val};

use crate::arguments::arguments;
use crate::dynamic;
use crate::engine::Shared;
use crate::fast::Shape;
use crate::fence::Fence;
use crate::interface::{Function, Interface};
use crate::kept::Kept;
use crate::lifecycle::Lifecycle;
use crate::outcome::classify;
use crate::peer::Peer;
use crate::profile::Profile;
use crate::provider::Configured;
use crate::state::CallState;
use crate::store::{INSTANTIATION_FUEL, fresh_store};
use crate::worker::{Ask, HostLine, Remote, RunsIn};
use crate::{CallContext, EngineError, Exchange, Extensions, Logs, Within};

/// What a call gets.
#[derive(Clone, Debug)]
pub enum Input {
    /// Arguments by name.
    Json(Map<String, Value>),
    /// Bytes for the one `string` or `list<u8>` parameter that `rest` leaves open; the others by name.
    Bytes {
        /// The bytes.
        bytes: Bytes,
        /// The other arguments.
        rest: Map<String, Value>,
    },
}

/// What a function returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Any value but bytes, as JSON.
    Json(Value),
    /// A `list<u8>`.
    Bytes(Vec<u8>),
}

impl Output {
    /// As JSON; bytes become base64 text.
    pub fn into_json(self) -> Value {
        match self {
            Self::Json(value) => value,
            Self::Bytes(bytes) => BASE64.encode(bytes).into(),
        }
    }
}

/// A function's own word about how it went.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It returned; for `result<T, E>`, `ok`.
    Ok(Output),
    /// It returned `err`.
    Err(Output),
}

/// How a call went, what it used and what it logged.
#[derive(Debug)]
pub struct Outcome {
    /// The answer, or why there is none.
    pub result: Result<Answer, EngineError>,
    /// What it used, also when it failed.
    pub usage: Usage,
    /// What it wrote to its standard streams.
    pub logs: Logs,
    /// Its host calls, recorded (D0 and D1 capsules) or replayed; else nothing.
    pub tape: Vec<Exchange>,
    /// What its context and its providers put in and nobody took, also when it failed.
    pub extensions: Extensions,
}

/// What is known of a call beside its result.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) usage: Usage,
    pub(crate) logs: Logs,
    pub(crate) tape: Vec<Exchange>,
    pub(crate) extensions: Extensions,
}

pub(crate) struct Export {
    pub(crate) function: Function,
    /// None where the component runs in worker processes.
    pub(crate) index: Option<ComponentExportIndex>,
    pub(crate) shape: Option<Shape>,
}

impl Export {
    pub(crate) fn index(&self) -> wasmtime::Result<&ComponentExportIndex> {
        self.index
            .as_ref()
            .ok_or_else(|| wasmtime::format_err!("the export is in another process"))
    }
}

/// Where a component is.
#[derive(Clone)]
pub(crate) enum Place {
    /// In this process.
    Here(InstancePre<CallState>),
    /// In worker processes; this one never maps its code.
    Worker(Arc<Remote>),
}

/// Cheap to clone: what is not behind an `Arc` is small.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: Place,
    pub(crate) interface: Arc<Interface>,
    pub(crate) exports: Arc<[Export]>,
    pub(crate) lifecycle: Option<Arc<Lifecycle>>,
    pub(crate) limits: Limits,
    pub(crate) profile: Profile,
    pub(crate) providers: Arc<[Arc<dyn Configured>]>,
    /// The capsules it imports from.
    pub(crate) peers: Arc<[Arc<dyn Peer>]>,
    pub(crate) fence: Arc<Fence>,
    /// The instance that stays across calls, for capsules that ask for one.
    pub(crate) kept: Option<Arc<Kept>>,
}

/// A loaded, linked component. Cheap to clone; calls run side by side, each in a store of its own, unless its capsule asks
/// for one instance that stays.
#[derive(Clone)]
pub struct Capability(pub(crate) Arc<Loaded>);

impl std::fmt::Debug for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capability")
            .field("functions", &self.0.interface.names())
            .finish_non_exhaustive()
    }
}

/// Arguments in the form the call takes them.
pub(crate) enum Arguments {
    Vals(Vec<Val>),
    Fast(Shape, Vec<crate::fast::Argument>),
}

impl Capability {
    /// What it offers.
    pub fn interface(&self) -> &Interface {
        &self.0.interface
    }

    /// The limits its calls run under.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Where its calls run.
    pub fn runs_in(&self) -> RunsIn {
        match self.0.place {
            Place::Here(_) => RunsIn::Process,
            Place::Worker(_) => RunsIn::Worker,
        }
    }

    /// The same component under other limits, the engine's ceiling above them: same code, same grants, same fence, and the
    /// same instance where one stays, whose next call then runs under the limits of whoever calls it.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self(Arc::new(Loaded {
            limits: limits.min(&self.0.shared.config.ceiling),
            ..Loaded::clone(&self.0)
        }))
    }

    /// The function of that name, or the only one when none is named.
    ///
    /// # Errors
    /// `FunctionNeeded` or `NoSuchFunction`, each naming what there is.
    pub fn function(&self, name: Option<&str>) -> Result<&Function, EngineError> {
        self.export(name).map(|export| &export.function)
    }

    fn export(&self, name: Option<&str>) -> Result<&Export, EngineError> {
        let known = || self.0.interface.names();
        match (name, &*self.0.exports) {
            (None, [only]) => Ok(only),
            (None, _) => Err(EngineError::FunctionNeeded { known: known() }),
            (Some(name), exports) => exports
                .iter()
                .find(|export| export.function.name == name)
                .ok_or_else(|| EngineError::NoSuchFunction {
                    function: name.chars().take(100).collect(),
                    known: known(),
                }),
        }
    }

    /// Calls a function in a fresh sandbox, at this moment. Never panics; dropping the future ends the guest.
    pub async fn call(&self, function: Option<&str>, input: Input) -> Outcome {
        self.outcome(function, input, None, Instant::now(), None).await
    }

    /// Calls a function in a fresh sandbox in a given context; for D0 and D1 capsules the call can be made again from it.
    pub async fn call_with(&self, function: Option<&str>, input: Input, context: CallContext) -> Outcome {
        self.outcome(function, input, Some(context), Instant::now(), None).await
    }

    /// A call whose wall time began to run at some moment; in a worker process with the line to its host.
    pub(crate) async fn outcome(
        &self,
        function: Option<&str>,
        input: Input,
        mut context: Option<CallContext>,
        started: Instant,
        line: Option<HostLine>,
    ) -> Outcome {
        let mut report = Report::default();
        let result = self
            .run(function, input, &mut context, started, line, &mut report)
            .await;
        report.usage.wall_time_ns = nanos(started.elapsed());
        Outcome {
            result,
            usage: report.usage,
            logs: report.logs,
            tape: report.tape,
            // A call that found no sandbox never took its context.
            extensions: context.map_or(report.extensions, |context| context.extensions),
        }
    }

    pub(crate) async fn probe(&self) -> Result<(), EngineError> {
        let loaded = &*self.0;
        let pre = match &loaded.place {
            Place::Here(pre) => pre,
            Place::Worker(remote) => return remote.probe(loaded.limits).await,
        };
        let _running = loaded.shared.ticker.running();
        let mut store = loaded.store(CallState::new(
            loaded.limits,
            loaded.profile,
            loaded.fence.clone(),
            None,
        ))?;
        let wall = Duration::from_millis(loaded.limits.wall_time_ms);
        match tokio::time::timeout(wall, pre.instantiate_async(&mut store)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(classify(
                &error,
                store.data(),
                loaded.shared.config.pool_instances,
                true,
            )),
            Err(_) => Err(EngineError::WallTimeout {
                wall_time_ms_max: loaded.limits.wall_time_ms,
            }),
        }
    }

    async fn run(
        &self,
        function: Option<&str>,
        input: Input,
        context: &mut Option<CallContext>,
        started: Instant,
        line: Option<HostLine>,
        report: &mut Report,
    ) -> Result<Answer, EngineError> {
        let loaded = &*self.0;
        let export = self.export(function)?;
        if let Place::Worker(remote) = &loaded.place {
            // Boxed, as the one below: a call has room for all it may wait for, and most go neither of these two ways.
            return Box::pin(self.run_in_worker(remote, export, input, context, started, report)).await;
        }
        let arguments = arguments(export, input, &loaded.limits, &mut report.usage)?;
        let wall = Duration::from_millis(loaded.limits.wall_time_ms);
        let timed_out = || EngineError::WallTimeout {
            wall_time_ms_max: loaded.limits.wall_time_ms,
        };
        let began = tokio::time::Instant::from_std(started);
        let deadline = began + wall;
        if let Some(kept) = &loaded.kept {
            return Box::pin(loaded.run_kept(kept, export, arguments, context, began, report))
                .await
                .map_err(|error| with_panic_message(error, &report.logs));
        }
        let within = context.as_ref().map(|context| context.within).unwrap_or_default();
        let (_permits, sandboxes) = self.sandboxes(within.sandboxes, deadline).await?;
        // The call that this one is part of keeps the ticker going.
        let _running = (within.sandboxes == 0).then(|| loaded.shared.ticker.running());
        // Before the context is taken: it goes back to who gave it.
        loaded.fence.pass()?;
        let state = CallState::new(loaded.limits, loaded.profile, loaded.fence.clone(), context.take());
        let mut store = loaded.store(state)?;
        store.data_mut().pass_on(Within {
            sandboxes: sandboxes.saturating_sub(1),
            ends: Some(within.ends.map_or(deadline, |ends| ends.min(deadline))),
            ..within
        });
        if let Some(line) = line {
            store.data_mut().put_extension(line);
        }
        let work = in_store(loaded, export, arguments, &mut store, &mut report.usage);
        let result = match within.ends {
            Some(ends) if ends <= deadline => work.await,
            _ => tokio::time::timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(timed_out())),
        };
        let failure = read_back(&mut store, report, result.is_err());
        match failure {
            Some(failure) => Err(failure),
            None => result.map_err(|error| with_panic_message(error, &report.logs)),
        }
    }

    async fn run_in_worker(
        &self,
        remote: &Remote,
        export: &Export,
        input: Input,
        context: &mut Option<CallContext>,
        started: Instant,
        report: &mut Report,
    ) -> Result<Answer, EngineError> {
        let loaded = &*self.0;
        let within = context.as_ref().map(|context| context.within).unwrap_or_default();
        // Capsules that it calls may run here, and leave the ticker to the outermost call.
        let _running = (within.sandboxes == 0 && !loaded.peers.is_empty()).then(|| loaded.shared.ticker.running());
        // Those of the capsules it calls, as they may run here; its own it has in the worker.
        let (_permits, sandboxes) = if loaded.peers.is_empty() {
            (None, within.sandboxes)
        } else {
            let wall = Duration::from_millis(loaded.limits.wall_time_ms);
            let deadline = tokio::time::Instant::from_std(started) + wall;
            self.sandboxes(within.sandboxes, deadline).await?
        };
        let ask = Ask {
            function: &export.function.name,
            input,
            started,
            passed_on: Within {
                sandboxes: sandboxes.saturating_sub(1),
                ..within
            },
            is_nested: within.sandboxes > 0,
        };
        remote.call(loaded, ask, context, report).await
    }
}

impl Loaded {
    /// The component, which has to be in this process.
    pub(crate) fn here(&self) -> Result<&InstancePre<CallState>, EngineError> {
        match &self.place {
            Place::Here(pre) => Ok(pre),
            Place::Worker(_) => Err(EngineError::InWorker {}),
        }
    }

    /// A fresh store, its providers prepared; none behind a closed fence.
    pub(crate) fn store(&self, state: CallState) -> Result<Store<CallState>, EngineError> {
        self.fence.pass()?;
        let mut store =
            fresh_store(&self.shared.engine, state).map_err(|e| EngineError::HostFunction { why: format!("{e:#}") })?;
        for provider in &*self.providers {
            provider.prepare(store.data_mut());
        }
        Ok(store)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn in_store(
    loaded: &Loaded,
    export: &Export,
    arguments: Arguments,
    store: &mut Store<CallState>,
    usage: &mut Usage,
) -> Result<Answer, EngineError> {
    let instance = match loaded.here()?.instantiate_async(&mut *store).await {
        Ok(instance) => instance,
        Err(error) => {
            usage.instantiation_fuel = INSTANTIATION_FUEL.saturating_sub(store.get_fuel().unwrap_or(0));
            return Err(classify(
                &error,
                store.data(),
                loaded.shared.config.pool_instances,
                true,
            ));
        }
    };
    usage.instantiation_fuel = INSTANTIATION_FUEL.saturating_sub(store.get_fuel().unwrap_or(0));
    store.data_mut().clock.restart();
    answer(loaded, export, arguments, &instance, store, usage).await
}

/// Calls a function of an instance, with the fuel of one call.
pub(crate) async fn answer(
    loaded: &Loaded,
    export: &Export,
    arguments: Arguments,
    instance: &Instance,
    store: &mut Store<CallState>,
    usage: &mut Usage,
) -> Result<Answer, EngineError> {
    let armed = store.set_fuel(loaded.limits.fuel);
    let called = match (armed, arguments) {
        (Err(error), _) => Err(error),
        (Ok(()), Arguments::Fast(shape, arguments)) => {
            crate::fast::call(shape, store, instance, export, arguments, &mut usage.output_bytes).await
        }
        (Ok(()), Arguments::Vals(vals)) => dynamic::call(store, instance, export, &vals, &mut usage.output_bytes).await,
    };
    usage.fuel = loaded.limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    called.map_err(|error| classify(&error, store.data(), loaded.shared.config.pool_instances, false))
}

/// Takes out of the store what outlives the call; gives the error its tape makes of it, if any.
pub(crate) fn read_back(store: &mut Store<CallState>, report: &mut Report, failed: bool) -> Option<EngineError> {
    let usage = &mut report.usage;
    if failed && usage.fuel == 0 && usage.instantiation_fuel > 0 {
        // The call was cut off from outside; what is left in the store is all there is to read.
        let fuel_max = store.data().limits.fuel;
        usage.fuel = fuel_max.saturating_sub(store.get_fuel().unwrap_or(0));
    }
    let state = store.data_mut();
    state.clock.leave();
    usage.guest_time_ns = nanos(state.clock.spent());
    usage.memory_peak_bytes = state.memory.peak_bytes();
    let failure;
    (report.tape, failure) = state.finish_tape(!failed);
    (report.logs, usage.log_bytes, usage.host_call_bytes) = state.take_logs();
    usage.handles = state.open_handles();
    report.extensions = std::mem::take(state.extensions());
    failure
}

/// A Rust guest says why it panics on standard error before it aborts.
pub(crate) fn with_panic_message(error: EngineError, logs: &Logs) -> EngineError {
    match error {
        EngineError::Panicked { message } => {
            let mut lines = logs
                .stderr
                .lines()
                .rev()
                .filter(|line| !line.trim().is_empty() && !line.starts_with("note:"));
            let said = lines.next().map(|line| line.chars().take(500).collect());
            EngineError::Panicked {
                message: said.unwrap_or(message),
            }
        }
        other => other,
    }
}
