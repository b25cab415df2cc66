//! A component that runs in worker processes, as the host calls it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_model::Limits;

use super::frame::TO_WORKER_BYTES_MAX;
use super::pool::{Seat, Workers};
use super::process::Reply;
use super::protocol::{About, Call, Context, ToWorker};
use crate::capability::{Loaded, Report};
use crate::{Answer, CallContext, EngineError, Input, decode_tape, encode_tape};

/// How much longer than its wall time a call may take until the worker, which ends it itself, is given up. A process
/// that has to be started for a call starts in this time.
const GRACE: Duration = Duration::from_secs(5);
/// How long loading a component may take, the start of a process included.
const LOADING: Duration = Duration::from_secs(30);
/// Room in a frame for what goes beside code.
const ABOUT_BYTES_MAX: u64 = 64 << 20;

/// What a process is handed of a component.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) slot: u64,
    about: About,
    code: Bytes,
}

impl Component {
    pub(crate) fn load(&self) -> ToWorker {
        ToWorker::Load {
            slot: self.slot,
            about: Box::new(self.about.clone()),
            code: self.code.clone(),
        }
    }
}

/// A component of one tenant; its processes forget it when this is dropped.
#[derive(Debug)]
pub(crate) struct Remote {
    workers: Arc<Workers>,
    tenant: Arc<str>,
    component: Component,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.workers.unload(self.component.slot);
    }
}

impl Remote {
    /// Code that this host compiled, for processes of this tenant.
    pub(crate) fn new(workers: Arc<Workers>, tenant: Arc<str>, about: About, code: Bytes) -> Result<Self, EngineError> {
        let (bytes, bytes_max) = (code.len() as u64, TO_WORKER_BYTES_MAX - ABOUT_BYTES_MAX);
        if bytes > bytes_max {
            return Err(EngineError::ComponentTooLarge { bytes, bytes_max });
        }
        let slot = workers.next_id();
        Ok(Self {
            workers,
            tenant,
            component: Component { slot, about, code },
        })
    }

    /// Loads and links it in a process, as every further process will.
    pub(crate) async fn check(&self) -> Result<(), EngineError> {
        let slot = self.component.slot;
        let seat = self.seat(0, tokio::time::Instant::now() + LOADING).await?;
        self.done(&seat, LOADING, |id| ToWorker::Check { id, slot }).await
    }

    /// Makes one instance and drops it.
    pub(crate) async fn probe(&self, limits: Limits) -> Result<(), EngineError> {
        let slot = self.component.slot;
        let wait = Duration::from_millis(limits.wall_time_ms) + LOADING;
        let seat = self
            .seat(limits.memory_bytes, tokio::time::Instant::now() + wait)
            .await?;
        self.done(&seat, wait, |id| ToWorker::Probe { id, slot, limits }).await
    }

    async fn seat(&self, memory_bytes: u64, deadline: tokio::time::Instant) -> Result<Seat, EngineError> {
        self.workers.seat(&self.tenant, memory_bytes, deadline).await
    }

    async fn done(&self, seat: &Seat, wait: Duration, told: impl FnOnce(u64) -> ToWorker) -> Result<(), EngineError> {
        let asked = seat.ask(Some(&self.component), told);
        let mut asked = asked.map_err(|large| EngineError::ComponentTooLarge {
            bytes: large.bytes,
            bytes_max: TO_WORKER_BYTES_MAX,
        })?;
        match tokio::time::timeout(wait, asked.answer()).await {
            Ok(reply) => match reply? {
                Reply::Done(result) => result,
                Reply::Ended(_) => Err(answers_wrongly(seat)),
            },
            Err(_) => {
                seat.process.retire();
                Err(EngineError::WorkerDied {
                    why: format!("it did not answer within {} ms", wait.as_millis()),
                })
            }
        }
    }

    /// Makes one call. What happened in the worker is in the report also when the call failed there.
    pub(crate) async fn call(
        &self,
        loaded: &Loaded,
        function: &str,
        input: Input,
        context: &mut Option<CallContext>,
        started: Instant,
        report: &mut Report,
    ) -> Result<Answer, EngineError> {
        let (limits, slot) = (loaded.limits, self.component.slot);
        let deadline = tokio::time::Instant::from_std(started) + Duration::from_millis(limits.wall_time_ms);
        let seat = self.seat(limits.memory_bytes, deadline).await?;
        // Before the context is taken: it goes back to who gave it.
        loaded.fence.pass()?;
        let call = Call {
            function: function.to_string(),
            limits,
            spent_ns: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            context: context.take().map(|context| crossing(context, report)),
            input,
        };
        let call = Box::new(call);
        let asked = seat.ask(Some(&self.component), |id| ToWorker::Call { id, slot, call });
        let mut asked = asked.map_err(|large| EngineError::InputTooLarge {
            bytes: large.bytes,
            bytes_max: limits.input_bytes,
        })?;
        let mut fenced = false;
        let reply = loop {
            tokio::select! {
                reply = asked.answer() => break reply?,
                // The worker ends the call as this process would, and says what it used.
                () = loaded.fence.closed(), if !fenced => {
                    fenced = true;
                    seat.process.say(ToWorker::Fence { slot });
                }
                () = tokio::time::sleep_until(deadline + GRACE) => {
                    seat.process.retire();
                    return Err(EngineError::WallTimeout { wall_time_ms_max: limits.wall_time_ms });
                }
            }
        };
        let Reply::Ended(ended) = reply else {
            return Err(answers_wrongly(&seat));
        };
        report.usage = ended.usage;
        report.logs = ended.logs;
        report.tape = decode_tape(&ended.tape)?;
        ended.result
    }
}

/// What of a context crosses; what providers put into it stays here and comes back with the outcome.
fn crossing(context: CallContext, report: &mut Report) -> Context {
    let CallContext {
        unix_ns,
        seed,
        replay,
        extensions,
        // A component that calls others does not run in a worker.
        within: _,
    } = context;
    report.extensions = extensions;
    Context {
        unix_ns,
        seed,
        replay: replay.map(|tape| encode_tape(&tape)),
    }
}

fn answers_wrongly(seat: &Seat) -> EngineError {
    seat.process.retire();
    EngineError::WorkerDied {
        why: "it answered what nobody asked".into(),
    }
}
