//! A store that lives across calls: for components that keep something, as the runtime's own subsystems do. Its budgets
//! are armed anew for each call; after any failure, and when a call is dropped, it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_model::Usage;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};

use crate::capability::{Answer, Arguments, Capability, Export, Loaded, Report, answer, read_back, with_panic_message};
use crate::outcome::classify;
use crate::state::CallState;
use crate::store::INSTANTIATION_FUEL;
use crate::{CallContext, EngineError, Extensions, Logs};

/// An instance that stays. One call at a time; it holds one of the pool's sandboxes until it is dropped.
///
/// Its host calls are on no tape: what it answers depends on all its calls before, so none can be made again alone.
/// Whoever holds it must be able to make another one, from the state it exported and what it was called with since.
pub struct Resident {
    loaded: Arc<Loaded>,
    live: Option<Live>,
}

/// A store and its one instance.
pub(crate) struct Live {
    store: Store<CallState>,
    instance: Instance,
    _permits: [OwnedSemaphorePermit; 2],
}

/// How a call went, what it used and what it logged.
#[derive(Debug)]
pub struct Called<T> {
    /// What the function returned, or why there is nothing; then the instance is gone.
    pub result: Result<T, EngineError>,
    /// What it used, also when it failed.
    pub usage: Usage,
    /// What it wrote to its standard streams.
    pub logs: Logs,
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resident")
            .field("is_alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Capability {
    /// Makes an instance that stays.
    ///
    /// # Errors
    /// `PoolFull`, and what ends a call: the component did not start within its limits.
    pub async fn resident(&self) -> Result<Resident, EngineError> {
        let wall = Duration::from_millis(self.0.limits.wall_time_ms);
        let live = Live::start(&self.0, tokio::time::Instant::now() + wall, &mut Usage::default()).await?;
        Ok(Resident {
            loaded: self.0.clone(),
            live: Some(live),
        })
    }
}

impl Resident {
    /// Whether it can be called.
    pub const fn is_alive(&self) -> bool {
        self.live.is_some()
    }

    /// Memory it holds now, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.store.data().memory.bytes())
    }

    /// Calls an exported function with static types, under the component's limits for one call. `interface` is the
    /// exported interface with its version, none for a function that the world exports itself; `input_bytes` is what the
    /// parameters take.
    ///
    /// # Errors
    /// In the result: `ResidentEnded` when an earlier call ended it, `NoSuchFunction`, `InputTooLarge`, or what ends a call.
    pub async fn call<P, R>(
        &mut self,
        (interface, function): (Option<&str>, &str),
        params: P,
        input_bytes: u64,
    ) -> Called<R>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let started = Instant::now();
        let mut report = Report::default();
        let result = self.run(interface, function, params, input_bytes, &mut report).await;
        report.usage.wall_time_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Called {
            result: result.map_err(|error| with_panic_message(error, &report.logs)),
            usage: report.usage,
            logs: report.logs,
        }
    }

    async fn run<P, R>(
        &mut self,
        interface: Option<&str>,
        function: &str,
        params: P,
        input_bytes: u64,
        report: &mut Report,
    ) -> Result<R, EngineError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let loaded = self.loaded.clone();
        let export = loaded.exported(interface, function)?;
        let bytes_max = loaded.limits.input_bytes;
        if input_bytes > bytes_max {
            return Err(EngineError::InputTooLarge {
                bytes: input_bytes,
                bytes_max,
            });
        }
        report.usage.input_bytes = input_bytes;
        // Taken out: a future that is dropped in the middle of the call takes the instance with it.
        let mut live = self.live.take().ok_or(EngineError::ResidentEnded {})?;
        let wall = Duration::from_millis(loaded.limits.wall_time_ms);
        let _running = loaded.shared.ticker.running();
        let result = tokio::time::timeout(wall, live.call(&loaded, export, params))
            .await
            .unwrap_or_else(|_| Err(timed_out(&loaded)));
        report.usage.fuel = loaded.limits.fuel.saturating_sub(live.store.get_fuel().unwrap_or(0));
        let failure = read_back(&mut live.store, report, result.is_err());
        let result = failure.map_or(result, Err);
        if result.is_ok() {
            self.live = Some(live);
        }
        result
    }
}

impl Live {
    async fn start(loaded: &Loaded, deadline: tokio::time::Instant, usage: &mut Usage) -> Result<Self, EngineError> {
        let shared = &loaded.shared;
        let too_many = || EngineError::TooManyResidents {
            residents_max: shared.config.residents_max().into(),
        };
        let resident = shared
            .resident_permits
            .clone()
            .try_acquire_owned()
            .map_err(|_| too_many())?;
        let pool_instances = shared.config.pool_instances;
        let waited = tokio::time::timeout_at(deadline, shared.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = waited else {
            return Err(EngineError::PoolFull {
                instances: pool_instances.into(),
            });
        };
        let _running = shared.ticker.running();
        let mut store = loaded.store(CallState::resident(loaded.limits, loaded.profile))?;
        let instantiated = tokio::time::timeout_at(deadline, loaded.pre.instantiate_async(&mut store)).await;
        usage.instantiation_fuel = INSTANTIATION_FUEL.saturating_sub(store.get_fuel().unwrap_or(0));
        let instance = match instantiated {
            Ok(Ok(instance)) => instance,
            Ok(Err(error)) => return Err(classify(&error, store.data(), pool_instances, true)),
            Err(_) => return Err(timed_out(loaded)),
        };
        Ok(Self {
            store,
            instance,
            _permits: [resident, permit],
        })
    }

    /// Arms all but the fuel for a call.
    fn begin_call(&mut self, loaded: &Loaded, extensions: Extensions) {
        self.store.data_mut().begin_call(extensions);
        for provider in &loaded.providers {
            provider.prepare(self.store.data_mut());
        }
    }

    async fn call<P, R>(&mut self, loaded: &Loaded, export: &Export, params: P) -> Result<R, EngineError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.begin_call(loaded, Extensions::default());
        let armed = self.store.set_fuel(loaded.limits.fuel);
        let called = match armed {
            Ok(()) => match self.instance.get_typed_func::<P, R>(&mut self.store, export.index) {
                Ok(function) => function.call_async(&mut self.store, params).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let pool_instances = loaded.shared.config.pool_instances;
        called.map_err(|error| classify(&error, self.store.data(), pool_instances, false))
    }
}

impl Loaded {
    /// Calls a function of the instance that stays across the capsule's calls, which is made when there is none.
    pub(crate) async fn run_kept(
        &self,
        kept: &tokio::sync::Mutex<Option<Live>>,
        export: &Export,
        arguments: Arguments,
        context: Option<CallContext>,
        deadline: tokio::time::Instant,
        report: &mut Report,
    ) -> Result<Answer, EngineError> {
        let Ok(mut kept) = tokio::time::timeout_at(deadline, kept.lock()).await else {
            return Err(EngineError::ResidentBusy {
                wall_time_ms_max: self.limits.wall_time_ms,
            });
        };
        // Anew: who had to wait is not cut off in the middle of its call, and the instance ended for all, because of that.
        let deadline = tokio::time::Instant::now() + Duration::from_millis(self.limits.wall_time_ms);
        // Taken out: a future that is dropped in the middle of the call takes the instance with it.
        let mut live = match kept.take() {
            Some(live) => live,
            None => Live::start(self, deadline, &mut report.usage).await?,
        };
        let _running = self.shared.ticker.running();
        live.begin_call(
            self,
            context.map_or_else(Extensions::default, |context| context.extensions),
        );
        let work = answer(
            self,
            export,
            arguments,
            &live.instance,
            &mut live.store,
            &mut report.usage,
        );
        let result = tokio::time::timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(timed_out(self)));
        if result.is_err() {
            // Also of a call that was cut off from outside.
            report.usage.fuel = self.limits.fuel.saturating_sub(live.store.get_fuel().unwrap_or(0));
        }
        let failure = read_back(&mut live.store, report, result.is_err());
        let result = failure.map_or(result, Err);
        if result.is_ok() {
            *kept = Some(live);
        }
        result
    }

    fn exported(&self, interface: Option<&str>, function: &str) -> Result<&Export, EngineError> {
        let wanted =
            |export: &&Export| export.function.instance.as_deref() == interface && export.function.export == function;
        self.exports
            .iter()
            .find(wanted)
            .ok_or_else(|| EngineError::NoSuchFunction {
                function: interface.map_or_else(|| function.into(), |interface| format!("{interface}#{function}")),
                known: self.interface.names(),
            })
    }
}

fn timed_out(loaded: &Loaded) -> EngineError {
    EngineError::WallTimeout {
        wall_time_ms_max: loaded.limits.wall_time_ms,
    }
}
