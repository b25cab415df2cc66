//! A store that lives across calls: for components that keep something, as the runtime's own subsystems do. Its budgets
//! are armed anew for each call; after any failure, and when a call is dropped, it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_model::Usage;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower};

use crate::capability::{Capability, Export, Loaded, Report, read_back, with_panic_message};
use crate::lifecycle::outlasts_fence;
use crate::outcome::classify;
use crate::state::CallState;
use crate::store::INSTANTIATION_FUEL;
use crate::{EngineError, Extensions, Logs};

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
    pub(crate) store: Store<CallState>,
    pub(crate) instance: Instance,
    _permit: OwnedSemaphorePermit,
    _resident: Option<OwnedSemaphorePermit>,
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
        let live = Live::make(&self.0, tokio::time::Instant::now() + wall, &mut Usage::default()).await?;
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
        let index = loaded.exported(interface, function)?;
        let outlasts_fence = outlasts_fence(interface, function);
        if !outlasts_fence {
            loaded.fence.pass()?;
        }
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
        live.begin_call(&loaded, Extensions::default());
        if outlasts_fence {
            live.store.data_mut().outlast_fence();
        }
        let result = tokio::time::timeout(wall, live.call(&loaded, index, params))
            .await
            .unwrap_or_else(|_| Err(timed_out(&loaded)));
        report.usage.fuel = live.fuel_used(&loaded);
        let failure = read_back(&mut live.store, report, result.is_err());
        let result = failure.map_or(result, Err);
        if result.is_ok() {
            self.live = Some(live);
        }
        result
    }
}

impl Live {
    /// An instance that is to stay.
    pub(crate) async fn make(
        loaded: &Loaded,
        deadline: tokio::time::Instant,
        usage: &mut Usage,
    ) -> Result<Self, EngineError> {
        let shared = &loaded.shared;
        let resident = shared.resident_permits.clone().try_acquire_owned();
        let resident = resident.map_err(|_| EngineError::TooManyResidents {
            residents_max: shared.config.residents_max().into(),
        })?;
        Self::instantiate(loaded, Some(resident), deadline, usage).await
    }

    /// An instance that is dropped soon, and so is not among those that stay.
    pub(crate) async fn scratch(
        loaded: &Loaded,
        deadline: tokio::time::Instant,
        usage: &mut Usage,
    ) -> Result<Self, EngineError> {
        Self::instantiate(loaded, None, deadline, usage).await
    }

    async fn instantiate(
        loaded: &Loaded,
        resident: Option<OwnedSemaphorePermit>,
        deadline: tokio::time::Instant,
        usage: &mut Usage,
    ) -> Result<Self, EngineError> {
        let shared = &loaded.shared;
        let pool_instances = shared.config.pool_instances;
        let waited = tokio::time::timeout_at(deadline, shared.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = waited else {
            return Err(EngineError::PoolFull {
                instances: pool_instances.into(),
            });
        };
        let _running = shared.ticker.running();
        let mut store = loaded.store(CallState::resident(loaded.limits, loaded.profile, loaded.fence.clone()))?;
        let instantiated = tokio::time::timeout_at(deadline, loaded.here()?.instantiate_async(&mut store)).await;
        usage.instantiation_fuel = INSTANTIATION_FUEL.saturating_sub(store.get_fuel().unwrap_or(0));
        let instance = match instantiated {
            Ok(Ok(instance)) => instance,
            Ok(Err(error)) => return Err(classify(&error, store.data(), pool_instances, true)),
            Err(_) => return Err(timed_out(loaded)),
        };
        Ok(Self {
            store,
            instance,
            _permit: permit,
            _resident: resident,
        })
    }

    /// Fuel the last call used.
    pub(crate) fn fuel_used(&self, loaded: &Loaded) -> u64 {
        loaded.limits.fuel.saturating_sub(self.store.get_fuel().unwrap_or(0))
    }

    /// Arms all but the fuel for a call, under the limits of who calls.
    pub(crate) fn begin_call(&mut self, loaded: &Loaded, extensions: Extensions) {
        let handles = usize::try_from(loaded.limits.handles).unwrap_or(usize::MAX);
        self.store.set_max_component_handles(handles);
        self.store.data_mut().begin_call(loaded.limits, extensions);
        for provider in &*loaded.providers {
            provider.prepare(self.store.data_mut());
        }
    }

    /// Calls a function with the fuel of one call; all else was armed before.
    pub(crate) async fn call<P, R>(
        &mut self,
        loaded: &Loaded,
        index: &ComponentExportIndex,
        params: P,
    ) -> Result<R, EngineError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let armed = self.store.set_fuel(loaded.limits.fuel);
        let called = match armed {
            Ok(()) => match self.instance.get_typed_func::<P, R>(&mut self.store, index) {
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
    /// Where an exported function is.
    fn exported(&self, interface: Option<&str>, function: &str) -> Result<&ComponentExportIndex, EngineError> {
        let wanted =
            |export: &&Export| export.function.instance.as_deref() == interface && export.function.export == function;
        let callable = self
            .exports
            .iter()
            .find(wanted)
            .and_then(|export| export.index.as_ref());
        let lifecycle = self.lifecycle.as_ref();
        callable
            .or_else(|| lifecycle?.function(interface, function))
            .ok_or_else(|| EngineError::NoSuchFunction {
                function: interface.map_or_else(|| function.into(), |interface| format!("{interface}#{function}")),
                known: self.interface.names(),
            })
    }
}

pub(crate) fn timed_out(loaded: &Loaded) -> EngineError {
    EngineError::WallTimeout {
        wall_time_ms_max: loaded.limits.wall_time_ms,
    }
}
