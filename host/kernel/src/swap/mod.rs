//! Replacing a version by another one while calls flow, each step a record: prepare, shadow, stop intake, drain, hand
//! over, flip, probation, retire. Until the flip is recorded the old version is what the URN means, from then on the new.

mod ask;
mod handover;
mod prepare;
mod probation;
mod retire;
mod shadow;
mod shape;

use std::sync::Arc;
use std::time::Instant;

use kinetic_engine::spawn_at_home;
use kinetic_model::{Fault, Urn};
use serde_json::json;

pub use self::ask::{Shadow, Side, StepTaken, SwapAsk, SwapPlan, SwapSettings, SwapTo, Swapped};
use self::prepare::Purpose;
pub(crate) use self::probation::{Probation, own_failure};
pub(crate) use self::retire::Why;
pub(crate) use self::shape::broken;
use crate::admission::Loaded;
use crate::intake::Closed;
use crate::life::{Binding, Former, Move, Unsynced};
use crate::{Actor, Capsule, Cause, Kernel, KernelError, State};

/// How a version takes the place of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taking {
    pub(crate) cause: Cause,
    pub(crate) actor: Actor,
    /// Somebody chose this very version.
    pub(crate) chosen: bool,
    pub(crate) discard_state: bool,
    /// Whether the one before stands by.
    pub(crate) probation: bool,
}

/// The steps of a swap, timed.
pub(crate) struct Steps {
    pub(crate) taken: Vec<StepTaken>,
    since: Instant,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self {
            taken: Vec::new(),
            since: Instant::now(),
        }
    }

    pub(crate) fn done(&mut self, step: &'static str) -> u64 {
        let took_us = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.taken.push(StepTaken { step, took_us });
        self.since = Instant::now();
        took_us
    }

    /// Goes on where others stopped.
    fn go_on(&mut self, others: Self) {
        self.taken.extend(others.taken);
        self.since = others.since;
    }

    fn took_us(&self, steps: &[&str]) -> u64 {
        let taken = self.taken.iter().filter(|taken| steps.contains(&taken.step));
        taken.map(|taken| taken.took_us).sum()
    }
}

impl Kernel {
    /// Replaces the active version of a capsule by another one. It goes on to its end even when nobody waits for it.
    ///
    /// # Errors
    /// Whatever is wrong with the new version, before anything of the old one is touched; `DrainTimeout` and
    /// `StateRefused`, after which the old one goes on as before.
    pub async fn swap(&self, ask: SwapAsk) -> Result<Swapped, Fault> {
        let kernel = self.clone();
        self.to_the_end(Box::pin(async move { kernel.swap_now(&ask).await }))
            .await
    }

    /// What a swap would do: everything up to where calls would notice.
    ///
    /// # Errors
    /// What the swap would fail with.
    pub async fn plan_swap(&self, ask: SwapAsk) -> Result<SwapPlan, Fault> {
        let kernel = self.clone();
        self.to_the_end(Box::pin(async move {
            let _turn = kernel.turn(&ask.urn).await;
            let prepared = kernel.prepare(&ask, Purpose::Plan, &mut Steps::begin()).await?;
            let plan = kernel.plan(&prepared);
            kernel.let_go(&prepared.loaded, ask.actor).await?;
            Ok(plan)
        }))
        .await
    }

    /// Goes back to the version before: at once when it still stands by, else by a swap.
    ///
    /// # Errors
    /// `NoFormer`, and what a swap fails with.
    pub async fn rollback(&self, urn: Urn, actor: Actor, discard_state: bool) -> Result<Swapped, Fault> {
        let kernel = self.clone();
        self.to_the_end(Box::pin(async move {
            let current = kernel.current(&urn)?;
            if let Some(back) = kernel
                .go_back(&current, Cause::Asked, actor, Why::Asked { discard_state })
                .await?
            {
                return Ok(back);
            }
            let ask = SwapAsk {
                urn,
                to: SwapTo::Former,
                actor,
                // Whoever goes back knows that it answers otherwise.
                accept_differences: true,
                discard_state,
            };
            kernel.swap_now(&ask).await
        }))
        .await
    }

    /// Runs work that must not stop half-way when whoever asked goes away. Large work comes boxed: whoever waits for it has
    /// room for it in its own future.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        spawn_at_home(work)
            .await
            .unwrap_or_else(|error| Err(KernelError::SwapStopped { why: error.to_string() }.into()))
    }

    async fn swap_now(&self, ask: &SwapAsk) -> Result<Swapped, Fault> {
        let _turn = self.turn(&ask.urn).await;
        let mut steps = Steps::begin();
        let prepared = self.prepare(ask, Purpose::Swap, &mut steps).await?;
        let (current, shadow) = (prepared.current, prepared.shadow);
        let taking = Taking {
            cause: Cause::Swapped,
            actor: ask.actor,
            chosen: ask.to != SwapTo::Newest,
            discard_state: ask.discard_state,
            probation: true,
        };
        let (capsule, state_bytes) = self.take_over(&current, prepared.loaded, taking, &mut steps).await?;
        Ok(self.swapped(&current, &capsule, steps, shadow, state_bytes))
    }

    fn swapped(&self, from: &Capsule, to: &Capsule, steps: Steps, shadow: Shadow, state_bytes: Option<u64>) -> Swapped {
        let on_probation = to.probation.load().is_some();
        Swapped {
            urn: to.manifest.id.clone(),
            from: Side::of(from),
            to: Side::of(to),
            // Without an instance that stays nobody waits: calls go to the old version until they go to the new one.
            pause_us: if from.stays() {
                steps.took_us(&["drain", "hand-over", "flip"])
            } else {
                0
            },
            steps: steps.taken,
            shadow,
            state_bytes,
            probation_ms: if on_probation { self.settings().probation_ms } else { 0 },
        }
    }

    /// From a loaded component to what the URN means. The turn of the URN must be held. When the disk fails at the very end
    /// it may be what calls find already; a restart shows.
    pub(crate) async fn take_over(
        &self,
        current: &Arc<Capsule>,
        loaded: Loaded,
        taking: Taking,
        steps: &mut Steps,
    ) -> Result<(Arc<Capsule>, Option<u64>), Fault> {
        let plan = self.placed(&loaded, taking.actor).await?;
        let generation = self.next_generation(&loaded.manifest.id);
        let handover = match self.hand_over(current, &loaded, taking, steps).await {
            Ok(handover) => handover,
            Err(refused) => {
                if refused.its_fault {
                    self.quarantine_loaded(&loaded, &refused.fault, taking.actor).await?;
                } else {
                    self.let_go(&loaded, taking.actor).await?;
                }
                return Err(refused.fault);
            }
        };
        let state_bytes = handover.state_bytes();
        let limits = self.limits_by_operator(&loaded.manifest);
        let capsule = Arc::new(Capsule::new(loaded, generation).under(limits));
        let settings = self.settings();
        let stands_by = taking.probation && settings.probation_ms > 0;
        let mut binding = self.binding_of(&capsule, taking.chosen);
        binding.probation = stands_by;
        binding.former = Some(Former {
            version: current.manifest.version.clone(),
            digest: current.digest,
        });
        let mut moves = vec![
            Move {
                what: &current.named,
                to: State::Suspended,
                cause: taking.cause,
                actor: taking.actor,
                reason: json!("stands by for its successor"),
            },
            Move {
                what: &capsule.named,
                to: State::Active,
                cause: taking.cause,
                actor: taking.actor,
                reason: json!({ "placement": plan }),
            },
        ];
        // One that an operator suspended is so already; what takes its place is not.
        moves.retain(|step| self.journal().state(step.what) != Some(step.to));
        if stands_by {
            self.stands_by(&capsule, current.clone());
        }
        let unsynced = self.flip_ahead(&moves, &capsule, &binding).await?;
        handover.done();
        current.intake.close(Closed::Gone);
        steps.done("flip");
        self.restart_dependents(&capsule.manifest.id, taking.actor);
        // Its own predecessor stood by until now.
        if let Some(earlier) = current.probation.swap(None) {
            self.retire(earlier.former.clone(), taking.actor);
        }
        if stands_by {
            self.begin_probation(&capsule);
            steps.done("probation");
        } else {
            self.retire(current.clone(), taking.actor);
        }
        // Calls go on meanwhile: what they record comes after the flip, and is not on disk before it.
        unsynced.synced().await?;
        steps.done("sync");
        Ok((capsule, state_bytes))
    }

    /// Records what a URN means from now on, and lets calls find it.
    pub(crate) async fn flip(
        &self,
        moves: &[Move<'_>],
        capsule: &Arc<Capsule>,
        binding: &Binding,
    ) -> Result<(), Fault> {
        let written = self
            .journal()
            .write(moves, Some((&capsule.manifest.id, binding)))
            .await?;
        written.synced().await?;
        self.put_flipped(capsule, binding);
        Ok(())
    }

    /// As [`Kernel::flip`], but calls find it as soon as the record is written. Nothing else that lasts may happen before it
    /// is synced: a power cut could leave that without the flip.
    async fn flip_ahead(
        &self,
        moves: &[Move<'_>],
        capsule: &Arc<Capsule>,
        binding: &Binding,
    ) -> Result<Unsynced, Fault> {
        let written = self
            .journal()
            .write(moves, Some((&capsule.manifest.id, binding)))
            .await?;
        self.put_flipped(capsule, binding);
        Ok(written)
    }

    fn put_flipped(&self, capsule: &Arc<Capsule>, binding: &Binding) {
        self.put_binding(&capsule.manifest.id, binding.clone());
        self.put_active(capsule.clone());
    }
}
