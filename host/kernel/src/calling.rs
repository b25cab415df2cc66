//! One call: which version it reaches, what happens when that version is replaced meanwhile or fails on probation.

use std::sync::Arc;
use std::time::Duration;

use kinetic_engine::{CallContext, EngineError, Function, Input, Outcome, Within, spawn_at_home};
use kinetic_model::{CapsuleRef, Fault};
use tokio::time::Instant;

use crate::executors::Origin;
use crate::injection::function;
use crate::intake::{Closed, Ticket};
use crate::quarantine::Step;
use crate::resolve::Interface;
use crate::statement::{self, Hashes};
use crate::swap::{Probation, own_failure};
use crate::zones::{Permit, Place};
use crate::{Capsule, Kernel, KernelError};

/// How often a call that meets a move looks again what its URN means.
const LOOKS_MAX: u32 = 64;

/// A call that was made.
#[derive(Debug)]
pub struct Execution {
    /// The capsule and generation that ran.
    pub capsule: Arc<Capsule>,
    /// The function that ran.
    pub function: String,
    /// How it went.
    pub outcome: Outcome,
    /// The name of its receipt in the ledger; none when nothing is recorded here.
    pub receipt_id: Option<String>,
}

/// Which function of a capsule is called.
pub(crate) enum Wanted<'a> {
    /// The one of that name, or the only one.
    Named(Option<&'a str>),
    /// The one of that name in an interface it provides.
    Export { interface: &'a Interface, export: &'a str },
}

impl Wanted<'_> {
    fn function<'c>(&self, capsule: &'c Capsule) -> Result<&'c Function, Fault> {
        match self {
            Self::Named(name) => capsule.capability.function(*name).map_err(|e| Fault::from(&e)),
            Self::Export { interface, export } => function(capsule, interface, export).ok_or_else(|| {
                let error = EngineError::NoSuchFunction {
                    function: format!("{interface}#{export}"),
                    known: capsule.capability.interface().names(),
                };
                Fault::from(&error)
            }),
        }
    }
}

/// What is called, with what.
struct Call<'a> {
    wanted: Wanted<'a>,
    input: Input,
    around: Around<'a>,
}

/// What a call is part of, and made for.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// What the call of another capsule passed on that this is part of; none for a call from outside.
    within: Option<Within>,
    /// The event or the clock that it is made for.
    origin: &'a Origin,
}

/// A call that ran.
struct Ran {
    outcome: Outcome,
    receipt_id: Option<String>,
    hashes: Option<Hashes>,
}

impl Capsule {
    /// Runs a function without a record of its own, within whatever its caller passed on. Gives the digests if that one's
    /// record tells of it.
    pub(crate) async fn run_unrecorded(
        &self,
        permit: &mut Permit<'_>,
        function: &str,
        input: Input,
        within: Within,
    ) -> (Outcome, Option<Hashes>) {
        let input_hash = within.noted.then(|| statement::input_hash(&input));
        let context = CallContext {
            within: Within {
                token: permit.place().token(),
                noted: false,
                ..within
            },
            ..CallContext::default()
        };
        permit.runs();
        let outcome = self.capability.call_with(Some(function), input, context).await;
        permit.burnt(&outcome.usage);
        let hashes = input_hash.map(|input| Hashes {
            input,
            output: statement::answer_digest(&outcome.result),
        });
        (outcome, hashes)
    }

    /// Counts a call that ran; gives the number of calls there were, this one included.
    pub(crate) fn count(&self, outcome: &Outcome, failure: Option<&str>) -> u64 {
        let usage = &outcome.usage;
        self.stats
            .note(usage.wall_time_ns, usage.fuel, usage.memory_peak_bytes, failure)
    }
}

impl Kernel {
    /// Runs one function of one capsule, and records it. A call waits for a slot of its zone and tenant; one that comes while
    /// its capsule is being replaced waits until that is done.
    ///
    /// # Errors
    /// When nothing ran: not found, refused, suspended, no slot, no such function, a ledger that takes no records. When a
    /// call ran but could not be recorded, its result is not given. How a call that ran went is in its outcome.
    pub async fn execute(&self, what: &CapsuleRef, function: Option<&str>, input: Input) -> Result<Execution, Fault> {
        self.execute_as(what, function, input, &Origin::default()).await
    }

    /// As [`Kernel::execute`], for whatever the call is made for.
    pub(crate) async fn execute_as(
        &self,
        what: &CapsuleRef,
        function: Option<&str>,
        input: Input,
        origin: &Origin,
    ) -> Result<Execution, Fault> {
        let stats = self.resolve(what).map(|capsule| capsule.stats.clone());
        let runs_long = stats.as_ref().is_some_and(|stats| stats.runs_long());
        let (kernel, what, origin) = (self.clone(), what.clone(), origin.clone());
        let function = function.map(str::to_string);
        let work = async move {
            let around = Around {
                within: None,
                origin: &origin,
            };
            let wanted = Wanted::Named(function.as_deref());
            let called = kernel.execute_call(&what, Call { wanted, input, around }).await;
            called.map(|(execution, _)| execution)
        };
        let ended = self.0.judge.engine.aside(runs_long, work).await;
        let ended = ended.ok_or(KernelError::CallLost {})?;
        if let Some(stats) = stats {
            stats.note_long(ended.was_long);
        }
        ended.result
    }

    /// Runs a function for another capsule, whose call of it this is part of. Gives also what the receipt of that call says
    /// of it; nothing where there is none.
    ///
    /// # Errors
    /// As [`Kernel::execute`].
    pub(crate) async fn execute_nested(
        &self,
        what: &CapsuleRef,
        wanted: Wanted<'_>,
        input: Input,
        within: Within,
    ) -> Result<(Execution, Vec<u8>), Fault> {
        let call = Call {
            wanted,
            input,
            around: Around {
                within: Some(within),
                origin: &Origin::default(),
            },
        };
        let (execution, hashes) = self.execute_call(what, call).await?;
        let note = match hashes {
            Some(hashes) if within.noted => {
                let begin = statement::note_begin(&execution.capsule, &execution.function);
                statement::note(&begin, &execution.outcome, &hashes, execution.receipt_id.as_deref())
            }
            _ => Vec::new(),
        };
        Ok((execution, note))
    }

    /// Makes a call; gives the digests that records tell of it, if any does.
    async fn execute_call(&self, what: &CapsuleRef, call: Call<'_>) -> Result<(Execution, Option<Hashes>), Fault> {
        let mut looks = 0;
        loop {
            let capsule = self.activate(what).await?;
            // Before the intake, so that a swap does not wait for calls that only wait themselves.
            let mut permit = self.enter_zone(&capsule, call.around.within).await?;
            // Before the way in: who stands by is let go only once nobody gets in any more, so whoever got in knows it.
            let probation = capsule.probation.load_full();
            let _stays_ready = probation.as_ref().map(|probation| probation.former.intake.count_in());
            let closed = match capsule.intake.enter() {
                Ok(ticket) => {
                    let probation = probation.as_deref();
                    return self.execute_in(&capsule, probation, &ticket, &mut permit, call).await;
                }
                Err(closed) => closed,
            };
            drop(permit);
            match closed {
                Closed::Suspended(why) => {
                    let what = what.to_string();
                    return Err(KernelError::Suspended { what, why }.into());
                }
                Closed::Moving => {
                    // As long as the calls under way may take, which is what it waits for.
                    let wait = Duration::from_millis(capsule.limits.wall_time_ms + self.settings().drain_ms);
                    capsule.intake.moved(Instant::now() + wait).await;
                }
                // Replaced between looking and entering; a pinned one that is gone is made ready again.
                Closed::Gone => self.remove_pinned(&capsule),
            }
            looks += 1;
            if looks >= LOOKS_MAX {
                return Err(KernelError::Moving { what: what.to_string() }.into());
            }
        }
    }

    /// A slot of the capsule's zone and tenant. A call within another one's counts for that one's tenant, and takes no slot: it
    /// would wait for its own caller.
    async fn enter_zone(&self, capsule: &Capsule, within: Option<Within>) -> Result<Permit<'_>, KernelError> {
        let Some(place) = within.and_then(|within| Place::of_token(within.token)) else {
            return self.zones().enter(capsule).await;
        };
        let limits = &capsule.limits;
        let deadline = Instant::now() + Duration::from_millis(limits.wall_time_ms);
        self.zones()
            .enter_nested(place, limits.memory_bytes, limits.fuel, deadline)
            .await
    }

    async fn execute_in(
        &self,
        capsule: &Arc<Capsule>,
        probation: Option<&Probation>,
        _ticket: &Ticket<'_>,
        permit: &mut Permit<'_>,
        call: Call<'_>,
    ) -> Result<(Execution, Option<Hashes>), Fault> {
        let Call { wanted, input, around } = call;
        let function = wanted.function(capsule)?.name.clone();
        let again = probation
            .filter(|probation| probation.makes_again(capsule))
            .map(|_| input.clone());
        let ran = self.run(capsule, permit, &function, input, around).await?;
        let failure = own_failure(&ran.outcome);
        let calls = capsule.count(&ran.outcome, failure.as_deref());
        let mut hashes = ran.hashes;
        let mut execution = Execution {
            capsule: capsule.clone(),
            function,
            outcome: ran.outcome,
            receipt_id: ran.receipt_id,
        };
        let Some(probation) = probation else {
            self.count_strikes(capsule, failure.as_deref());
            return Ok((execution, hashes));
        };
        let verdict = match (failure, again) {
            (None, _) => probation.too_slow(calls, || capsule.stats.counts()),
            (Some(why), None) => probation.failed_alone(calls, capsule.stats.failures(), &why),
            (Some(why), Some(input)) => {
                let former = &probation.former;
                let ran = self.run(former, permit, &execution.function, input, around).await?;
                // One that was let go meanwhile says nothing of the call.
                let is_fenced = matches!(ran.outcome.result, Err(EngineError::Fenced {}));
                if own_failure(&ran.outcome).is_none() && !is_fenced {
                    execution.capsule = former.clone();
                    execution.outcome = ran.outcome;
                    execution.receipt_id = ran.receipt_id;
                    hashes = ran.hashes;
                    probation.failed(&why)
                } else {
                    // Both fail it: the call is to blame.
                    None
                }
            }
        };
        if let Some(why) = verdict {
            self.roll_back_failed(capsule, why);
        }
        Ok((execution, hashes))
    }

    async fn run(
        &self,
        capsule: &Arc<Capsule>,
        permit: &mut Permit<'_>,
        function: &str,
        input: Input,
        around: Around<'_>,
    ) -> Result<Ran, Fault> {
        let within = around.within.unwrap_or_default();
        // What another capsule's receipt says of a call is all there is to say of one that leaves nothing behind.
        let recorder = self.0.recorder.as_ref();
        match recorder.filter(|_| around.within.is_none() || capsule.needs_records()) {
            None => {
                let (outcome, hashes) = capsule.run_unrecorded(permit, function, input, within).await;
                Ok(Ran {
                    outcome,
                    receipt_id: None,
                    hashes,
                })
            }
            Some(recorder) => {
                let passed_on = Within {
                    token: permit.place().token(),
                    noted: true,
                    ..within
                };
                let called = recorder.call(capsule, permit, function, input, passed_on, around.origin);
                let (outcome, receipt_id, hashes) = called.await?;
                Ok(Ran {
                    outcome,
                    receipt_id: Some(receipt_id),
                    hashes: Some(hashes),
                })
            }
        }
    }

    /// Quarantines a capsule whose instance stays, after too many failures in a row.
    pub(crate) fn count_strikes(&self, capsule: &Arc<Capsule>, failure: Option<&str>) {
        let Some(why) = failure.filter(|_| capsule.stays()) else {
            return;
        };
        let strikes = capsule.capability.failures_in_a_row();
        if strikes < self.settings().strikes_max {
            return;
        }
        let fault = Fault::from(KernelError::TooManyStrikes {
            what: capsule.manifest.id.to_string(),
            strikes,
            why: why.to_string(),
        });
        let (kernel, capsule) = (self.clone(), capsule.clone());
        spawn_at_home(async move {
            if let Err(fault) = kernel.quarantine_active(&capsule, Step::Strikes, &fault).await {
                tracing::error!(urn = %capsule.manifest.id, "it could not be quarantined: {fault}");
            }
        });
    }
}
