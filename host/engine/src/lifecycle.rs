//! The lifecycle of the one instance a capsule keeps: beginning, how it is, handing its state over, ending. Its functions
//! are the host's to call, nobody else's.

use std::time::Duration;

use bytes::Bytes;
use kinetic_model::Usage;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, ComponentType, Lift, Lower};

use crate::capability::{Loaded, with_panic_message};
use crate::resident::{Live, timed_out};
use crate::{Capability, EngineError, Extensions};

/// The exported interface, in every version of this host's types.
const INTERFACE: &str = "kinetic:capsule/lifecycle@0.1.";
/// Its functions.
const START: &str = "start";
const HEALTH: &str = "health";
const EXPORT_STATE: &str = "export-state";
const IMPORT_STATE: &str = "import-state";
const STOP: &str = "stop";
const FUNCTIONS: [&str; 5] = [START, HEALTH, EXPORT_STATE, IMPORT_STATE, STOP];
/// A format that no version reads: formats are counted from one.
const NO_FORMAT: u32 = u32::MAX;
/// How long telling how it is, and stopping, may take.
const QUICK_MS: u64 = 1_000;
/// The most characters of a component's own words in an error.
const WHY_CHARS_MAX: usize = 500;

/// Whether an exported interface is the lifecycle.
pub(crate) fn is_name(interface: &str) -> bool {
    interface.starts_with(INTERFACE)
}

/// Where a component's lifecycle is.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle {
    interface: String,
    functions: [(&'static str, ComponentExportIndex); 5],
}

impl Lifecycle {
    /// Finds the functions of the lifecycle, if one of the exported interfaces is it.
    pub(crate) fn find(component: &Component, exports: &[String]) -> Result<Option<Self>, EngineError> {
        let Some(interface) = exports.iter().find(|name| is_name(name)) else {
            return Ok(None);
        };
        let instance = component.get_export_index(None, interface);
        let find = |function: &'static str| {
            let index = component.get_export_index(instance.as_ref(), function);
            index
                .map(|index| (function, index))
                .ok_or_else(|| EngineError::Invalid {
                    why: format!("its {interface} has no function {function}"),
                })
        };
        let [start, health, export_state, import_state, stop] = FUNCTIONS;
        Ok(Some(Self {
            interface: interface.clone(),
            functions: [
                find(start)?,
                find(health)?,
                find(export_state)?,
                find(import_state)?,
                find(stop)?,
            ],
        }))
    }

    /// A function of the lifecycle, if `interface` is it.
    pub(crate) fn function(&self, interface: Option<&str>, function: &str) -> Option<&ComponentExportIndex> {
        if interface != Some(self.interface.as_str()) {
            return None;
        }
        self.functions
            .iter()
            .find_map(|(name, index)| (*name == function).then_some(index))
    }
}

/// Whether a function of the lifecycle goes on behind a closed fence: a call that ran into it must not cost the state.
pub(crate) fn outlasts_fence(interface: Option<&str>, function: &str) -> bool {
    interface.is_some_and(is_name) && matches!(function, EXPORT_STATE | HEALTH)
}

/// A capsule's state, as the capsule itself writes and reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the format of `bytes`; it grows with each change that older code cannot read.
    pub format_version: u32,
    /// The state.
    pub bytes: Bytes,
}

/// How an instance is, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Health {
    /// It can take calls.
    #[component(name = "ready")]
    Ready,
    /// It can take calls, but something is wrong: what.
    #[component(name = "degraded")]
    Degraded(String),
    /// It cannot take calls: why.
    #[component(name = "failing")]
    Failing(String),
}

/// One setting; `start` takes a list of them.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Setting {
    key: String,
    value: String,
}

/// A snapshot on its way out of a component.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Exported {
    #[component(name = "format-version")]
    format_version: u32,
    bytes: Vec<u8>,
}

/// A snapshot on its way in; borrowed, so that the only copy is the one into the component's memory.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Imported<'a> {
    #[component(name = "format-version")]
    format_version: u32,
    bytes: &'a [u8],
}

/// Why a step failed.
#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
enum StepError {
    #[component(name = "bad-setting")]
    BadSetting(String),
    #[component(name = "unknown-format")]
    UnknownFormat(u32),
    #[component(name = "damaged-snapshot")]
    DamagedSnapshot(String),
    #[component(name = "stateless")]
    Stateless,
    #[component(name = "other")]
    Other(String),
}

fn refused(function: &str, why: &str) -> EngineError {
    EngineError::LifecycleRefused {
        function: function.into(),
        why: why.chars().take(WHY_CHARS_MAX).collect(),
    }
}

fn state_refused(why: &str) -> EngineError {
    EngineError::StateRefused {
        why: why.chars().take(WHY_CHARS_MAX).collect(),
    }
}

impl StepError {
    fn of(self, function: &str) -> EngineError {
        match self {
            Self::BadSetting(why) => refused(function, &format!("a setting is wrong: {why}")),
            Self::UnknownFormat(newest) => {
                refused(function, &format!("it reads no state of a format newer than {newest}"))
            }
            Self::DamagedSnapshot(why) => refused(function, &format!("the state is damaged: {why}")),
            Self::Stateless => refused(function, "it has no state"),
            Self::Other(why) => refused(function, &why),
        }
    }
}

impl Live {
    /// Calls a function of the lifecycle, with the budgets of one call.
    async fn step<P, R>(
        &mut self,
        loaded: &Loaded,
        lifecycle: &Lifecycle,
        function: &str,
        params: P,
        deadline: Instant,
    ) -> Result<R, EngineError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let Some(index) = lifecycle.function(Some(&lifecycle.interface), function) else {
            return Err(refused(function, "it is not there"));
        };
        // Told from a trap, because the component is as alive as before.
        if let Err(error) = self.instance.get_typed_func::<P, R>(&mut self.store, index) {
            return Err(refused(function, &format!("it has another type: {error:#}")));
        }
        self.begin_call(loaded, Extensions::default());
        if outlasts_fence(Some(&lifecycle.interface), function) {
            self.store.data_mut().outlast_fence();
        }
        let called = timeout_at(deadline, self.call(loaded, index, params)).await;
        let (logs, ..) = self.store.data_mut().take_logs();
        called
            .unwrap_or_else(|_| Err(timed_out(loaded)))
            .map_err(|error| with_panic_message(error, &logs))
    }

    async fn start(&mut self, loaded: &Loaded, lifecycle: &Lifecycle, deadline: Instant) -> Result<(), EngineError> {
        let none: &[Setting] = &[];
        let (started,): (Result<(), StepError>,) = self.step(loaded, lifecycle, START, (none,), deadline).await?;
        started.map_err(|error| error.of(START))
    }

    pub(crate) async fn import_state(
        &mut self,
        loaded: &Loaded,
        lifecycle: &Lifecycle,
        snapshot: &Snapshot,
        deadline: Instant,
    ) -> Result<(), EngineError> {
        let given = Imported {
            format_version: snapshot.format_version,
            bytes: &snapshot.bytes,
        };
        let (imported,): (Result<(), StepError>,) =
            self.step(loaded, lifecycle, IMPORT_STATE, (given,), deadline).await?;
        imported.map_err(|error| match error {
            StepError::UnknownFormat(newest) => state_refused(&format!(
                "its format is {}, and the newest it reads is {newest}",
                snapshot.format_version
            )),
            StepError::DamagedSnapshot(why) => state_refused(&format!("it is damaged: {why}")),
            other => other.of(IMPORT_STATE),
        })
    }

    /// Shows it so many bytes in a format that no version reads. Whether it said that it does not read it.
    pub(crate) async fn refuse_state(
        &mut self,
        loaded: &Loaded,
        lifecycle: &Lifecycle,
        bytes: usize,
        deadline: Instant,
    ) -> Result<bool, EngineError> {
        let bytes = vec![0; bytes];
        let given = Imported {
            format_version: NO_FORMAT,
            bytes: &bytes,
        };
        let (said,): (Result<(), StepError>,) = self.step(loaded, lifecycle, IMPORT_STATE, (given,), deadline).await?;
        Ok(matches!(said, Err(StepError::UnknownFormat(_))))
    }

    /// What it says of its state; none when it has no state.
    async fn export_state(
        &mut self,
        loaded: &Loaded,
        lifecycle: &Lifecycle,
        deadline: Instant,
    ) -> Result<Option<Snapshot>, EngineError> {
        let (exported,): (Result<Exported, StepError>,) =
            self.step(loaded, lifecycle, EXPORT_STATE, (), deadline).await?;
        match exported {
            Ok(exported) => Ok(Some(Snapshot {
                format_version: exported.format_version,
                bytes: exported.bytes.into(),
            })),
            Err(StepError::Stateless) => Ok(None),
            Err(error) => Err(error.of(EXPORT_STATE)),
        }
    }
}

impl Loaded {
    /// An instance that has begun: made and started, with the state it goes on from.
    pub(crate) async fn begun(
        &self,
        from: Option<&Snapshot>,
        deadline: Instant,
        usage: &mut Usage,
    ) -> Result<Live, EngineError> {
        let live = Live::make(self, deadline, usage).await?;
        self.begin(live, from, deadline, usage).await
    }

    async fn begin(
        &self,
        mut live: Live,
        from: Option<&Snapshot>,
        deadline: Instant,
        usage: &mut Usage,
    ) -> Result<Live, EngineError> {
        let Some(lifecycle) = &self.lifecycle else {
            return Ok(live);
        };
        live.start(self, lifecycle, deadline).await?;
        usage.instantiation_fuel = usage.instantiation_fuel.saturating_add(live.fuel_used(self));
        if let Some(snapshot) = from {
            live.import_state(self, lifecycle, snapshot, deadline).await?;
            usage.instantiation_fuel = usage.instantiation_fuel.saturating_add(live.fuel_used(self));
        }
        Ok(live)
    }
}

/// Dropping one of these futures in the middle ends the instance, as it does with a call.
impl Capability {
    /// The state of the one instance, for a successor to go on from; none when there is no state: every call has an instance
    /// of its own, there is no lifecycle, the component says so, or no call was made yet. The instance stays.
    ///
    /// Nobody may call meanwhile, and nobody after it if a successor goes on from the state. It works behind a closed fence,
    /// too. At most `limits.output_bytes`.
    ///
    /// # Errors
    /// `LifecycleRefused`, `OutputTooLarge`, and what else ends a call, and with it the instance; `ResidentBusy`.
    pub async fn export_state(&self) -> Result<Option<Snapshot>, EngineError> {
        let loaded = &*self.0;
        let (Some(kept), Some(lifecycle)) = (&loaded.kept, &loaded.lifecycle) else {
            return Ok(None);
        };
        let mut slot = kept.slot_for_host(loaded).await?;
        let deadline = loaded.deadline();
        let _running = loaded.shared.ticker.running();
        let mut live = match (slot.live.take(), &slot.beginning) {
            (Some(live), _) => live,
            (None, None) => return Ok(None),
            (None, Some(beginning)) => {
                match loaded.begun(Some(beginning), deadline, &mut Usage::default()).await {
                    Ok(live) => live,
                    // Nothing happened to the state since: a successor may be able to go on from it where this one is not.
                    Err(error) => {
                        let beginning = beginning.clone();
                        kept.failed(&mut slot, &error);
                        return Ok(Some(beginning));
                    }
                }
            }
        };
        let exported = live.export_state(loaded, lifecycle, deadline).await;
        match &exported {
            Err(error) if !is_refusal(error) => kept.failed(&mut slot, error),
            _ => slot.live = Some(live),
        }
        exported
    }

    /// Makes the one instance now, or takes the one that [`Capability::get_ready`] made, and has it go on from a
    /// predecessor's state, in place of one that may be there. An instance that is made later, after one that failed, begins
    /// from the same state.
    ///
    /// # Errors
    /// `StateRefused` when it cannot read the state or keeps none, `LifecycleRefused`, and what else ends a call. All is then
    /// as it was before.
    pub async fn begin_from(&self, snapshot: Snapshot) -> Result<(), EngineError> {
        let loaded = &*self.0;
        let (Some(kept), Some(lifecycle)) = (&loaded.kept, &loaded.lifecycle) else {
            return Err(state_refused("it keeps no state across calls"));
        };
        let (bytes, bytes_max) = (snapshot.bytes.len() as u64, loaded.shared.config.ceiling.output_bytes);
        if bytes > bytes_max {
            return Err(state_refused(&format!(
                "it has {bytes} bytes, and this host remembers at most {bytes_max}"
            )));
        }
        let mut slot = kept.slot_for_host(loaded).await?;
        loaded.fence.pass()?;
        let _running = loaded.shared.ticker.running();
        let ready = match slot.ready.take() {
            Some(mut ready) => {
                let taken = ready
                    .import_state(loaded, lifecycle, &snapshot, loaded.deadline())
                    .await;
                taken.is_ok().then_some(ready)
            }
            None => None,
        };
        let live = match ready {
            Some(live) => live,
            // None was made ahead, or it failed: then another one says why, or does better.
            None => {
                loaded
                    .begun(Some(&snapshot), loaded.deadline(), &mut Usage::default())
                    .await?
            }
        };
        slot.live = Some(live);
        slot.beginning = Some(snapshot);
        Ok(())
    }

    /// Shows in instances of their own that the component starts, and that it reads the state that it writes. Its host calls
    /// are real ones.
    ///
    /// # Errors
    /// `LifecycleRefused`, `StateRefused`, and what else ends a call.
    pub async fn probe_state(&self) -> Result<(), EngineError> {
        let loaded = &*self.0;
        let (Some(_), Some(lifecycle)) = (&loaded.kept, &loaded.lifecycle) else {
            return Ok(());
        };
        let _running = loaded.shared.ticker.running();
        let usage = &mut Usage::default();
        let deadline = loaded.deadline();
        let live = Live::scratch(loaded, deadline, usage).await?;
        let mut live = loaded.begin(live, None, deadline, usage).await?;
        let exported = live.export_state(loaded, lifecycle, deadline).await?;
        drop(live);
        let Some(snapshot) = exported else {
            return Ok(());
        };
        let deadline = loaded.deadline();
        let live = Live::scratch(loaded, deadline, usage).await?;
        loaded.begin(live, Some(&snapshot), deadline, usage).await.map(drop)
    }

    /// How the one instance is; none when none runs, or when it has no lifecycle to ask. A call that runs has a second to
    /// end, then it has a second to say it.
    ///
    /// # Errors
    /// What ends a call, and with it the instance; `ResidentBusy`.
    pub async fn health(&self) -> Result<Option<Health>, EngineError> {
        let loaded = &*self.0;
        let (Some(kept), Some(lifecycle)) = (&loaded.kept, &loaded.lifecycle) else {
            return Ok(None);
        };
        let mut slot = kept.slot(Instant::now(), QUICK_MS).await?;
        let Some(mut live) = slot.live.take() else {
            return Ok(None);
        };
        let _running = loaded.shared.ticker.running();
        let said = live.step(loaded, lifecycle, HEALTH, (), quick_deadline()).await;
        match said {
            Ok((health,)) => {
                slot.live = Some(live);
                Ok(Some(health))
            }
            Err(error) => {
                kept.failed(&mut slot, &error);
                Err(error)
            }
        }
    }

    /// Ends the one instance and gives its sandbox back. The component has a second to end by itself; behind a closed fence
    /// it reaches nothing of the host any more. A later call makes another instance. One that calls leave no room for within
    /// the time that a call may take goes with the last handle on it.
    pub async fn stop(&self) {
        let loaded = &*self.0;
        let Some(kept) = &loaded.kept else {
            return;
        };
        let Ok(mut slot) = kept.slot_for_host(loaded).await else {
            return;
        };
        let live = slot.live.take().or_else(|| slot.ready.take());
        let (Some(mut live), Some(lifecycle)) = (live, &loaded.lifecycle) else {
            return;
        };
        let _running = loaded.shared.ticker.running();
        let stopped: Result<(Result<(), StepError>,), _> =
            live.step(loaded, lifecycle, STOP, (), quick_deadline()).await;
        // It ends either way.
        match stopped {
            Ok((Ok(()),)) => {}
            Ok((Err(error),)) => tracing::debug!("a component that was stopped said: {error:?}"),
            Err(error) => tracing::debug!("a component did not stop by itself: {error}"),
        }
    }
}

fn quick_deadline() -> Instant {
    Instant::now() + Duration::from_millis(QUICK_MS)
}

/// Whether it only said no; then it is as alive as before.
fn is_refusal(error: &EngineError) -> bool {
    matches!(error, EngineError::LifecycleRefused { .. })
}
