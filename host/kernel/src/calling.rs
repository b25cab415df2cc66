//! One call: which version it reaches, what happens when that version is replaced meanwhile or fails on probation.

use std::sync::Arc;
use std::time::Duration;

use kinetic_engine::{Input, Outcome};
use kinetic_model::{CapsuleRef, Fault};
use tokio::time::Instant;

use crate::intake::{Closed, Ticket};
use crate::quarantine::Step;
use crate::swap::own_failure;
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

impl Kernel {
    /// Runs one function of one capsule, and records it. A call that comes while its capsule is being replaced waits until
    /// that is done.
    ///
    /// # Errors
    /// When nothing ran: not found, refused, suspended, no such function, a ledger that takes no records. When a call ran
    /// but could not be recorded, its result is not given. How a call that ran went is in its outcome.
    pub async fn execute(&self, what: &CapsuleRef, function: Option<&str>, input: Input) -> Result<Execution, Fault> {
        let mut looks = 0;
        loop {
            let capsule = self.activate(what).await?;
            match capsule.intake.enter() {
                Ok(ticket) => return self.execute_in(&capsule, &ticket, function, input).await,
                Err(Closed::Suspended(why)) => {
                    let what = what.to_string();
                    return Err(KernelError::Suspended { what, why }.into());
                }
                Err(Closed::Moving) => {
                    // As long as the calls under way may take, which is what it waits for.
                    let wait = Duration::from_millis(capsule.limits.wall_time_ms + self.settings().drain_ms);
                    capsule.intake.moved(Instant::now() + wait).await;
                }
                // Replaced between looking and entering; a pinned one that is gone is made ready again.
                Err(Closed::Gone) => self.remove_pinned(&capsule),
            }
            looks += 1;
            if looks >= LOOKS_MAX {
                return Err(KernelError::Moving { what: what.to_string() }.into());
            }
        }
    }

    async fn execute_in(
        &self,
        capsule: &Arc<Capsule>,
        _ticket: &Ticket<'_>,
        function: Option<&str>,
        input: Input,
    ) -> Result<Execution, Fault> {
        let function = capsule
            .capability
            .function(function)
            .map_err(|e| Fault::from(&e))?
            .name
            .clone();
        let probation = capsule.probation.load_full();
        let again = probation
            .as_ref()
            .filter(|probation| probation.makes_again(capsule))
            .map(|_| input.clone());
        let (outcome, receipt_id) = self.run(capsule, &function, input).await?;
        let failure = own_failure(&outcome);
        let usage = &outcome.usage;
        let calls = capsule.stats.note(
            usage.wall_time_ns,
            usage.fuel,
            usage.memory_peak_bytes,
            failure.as_deref(),
        );
        let mut execution = Execution {
            capsule: capsule.clone(),
            function,
            outcome,
            receipt_id,
        };
        let Some(probation) = probation else {
            self.count_strikes(capsule, failure.as_deref());
            return Ok(execution);
        };
        let verdict = match (failure, again) {
            (None, _) => probation.too_slow(calls, || capsule.stats.counts()),
            (Some(why), None) => probation.failed_alone(calls, capsule.stats.failures(), &why),
            (Some(why), Some(input)) => {
                let former = &probation.former;
                let (outcome, receipt_id) = self.run(former, &execution.function, input).await?;
                if own_failure(&outcome).is_none() {
                    execution.capsule = former.clone();
                    execution.outcome = outcome;
                    execution.receipt_id = receipt_id;
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
        Ok(execution)
    }

    async fn run(
        &self,
        capsule: &Arc<Capsule>,
        function: &str,
        input: Input,
    ) -> Result<(Outcome, Option<String>), Fault> {
        match &self.0.recorder {
            None => Ok((capsule.capability.call(Some(function), input).await, None)),
            Some(recorder) => {
                let (outcome, receipt_id) = recorder.call(capsule, function, input).await?;
                Ok((outcome, Some(receipt_id)))
            }
        }
    }

    /// Quarantines a capsule whose instance stays, after too many failures in a row.
    fn count_strikes(&self, capsule: &Arc<Capsule>, failure: Option<&str>) {
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
        tokio::spawn(async move {
            if let Err(fault) = kernel.quarantine_active(&capsule, Step::Strikes, &fault).await {
                tracing::error!(urn = %capsule.manifest.id, "it could not be quarantined: {fault}");
            }
        });
    }
}
