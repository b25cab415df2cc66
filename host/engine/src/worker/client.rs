//! A component that runs in worker processes, as the host calls it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_model::Limits;
use tokio::sync::mpsc;

use super::frame::TO_WORKER_BYTES_MAX;
use super::imports::{Imports, Links, asks_host};
use super::pool::{Seat, Workers};
use super::process::Reply;
use super::protocol::{About, Call, Context, Ended, ToWorker};
use crate::capability::{Loaded, Report};
use crate::{Answer, CallContext, EngineError, Input, Within, decode_tape, encode_tape};

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
    /// The imports that other capsules answer.
    links: Links,
    /// Whether it imports anything that this host answers.
    asks: bool,
}

/// A call as it is asked for.
pub(crate) struct Ask<'a> {
    pub(crate) function: &'a str,
    pub(crate) input: Input,
    pub(crate) started: Instant,
    /// What the calls it makes of other capsules get.
    pub(crate) passed_on: Within,
    /// Whether it is made within a call that holds a place already.
    pub(crate) is_nested: bool,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.workers.unload(self.component.slot);
    }
}

impl Remote {
    /// Code that this host compiled, for processes of this tenant.
    pub(crate) fn new(
        workers: Arc<Workers>,
        tenant: Arc<str>,
        about: About,
        links: Links,
        code: Bytes,
    ) -> Result<Self, EngineError> {
        let (bytes, bytes_max) = (code.len() as u64, TO_WORKER_BYTES_MAX - ABOUT_BYTES_MAX);
        if bytes > bytes_max {
            return Err(EngineError::ComponentTooLarge { bytes, bytes_max });
        }
        let slot = workers.next_id();
        let asks = asks_host(&about.interface);
        Ok(Self {
            workers,
            tenant,
            component: Component { slot, about, code },
            links,
            asks,
        })
    }

    /// Loads and links it in a process, as every further process will.
    pub(crate) async fn check(&self) -> Result<(), EngineError> {
        let slot = self.component.slot;
        let seat = self.seat(0, false, tokio::time::Instant::now() + LOADING).await?;
        self.done(&seat, LOADING, |id| ToWorker::Check { id, slot }).await
    }

    /// Makes one instance and drops it.
    pub(crate) async fn probe(&self, limits: Limits) -> Result<(), EngineError> {
        let slot = self.component.slot;
        let wait = Duration::from_millis(limits.wall_time_ms) + LOADING;
        let seat = self
            .seat(limits.memory_bytes, false, tokio::time::Instant::now() + wait)
            .await?;
        self.done(&seat, wait, |id| ToWorker::Probe { id, slot, limits }).await
    }

    async fn seat(
        &self,
        memory_bytes: u64,
        is_nested: bool,
        deadline: tokio::time::Instant,
    ) -> Result<Seat, EngineError> {
        self.workers.seat(&self.tenant, memory_bytes, is_nested, deadline).await
    }

    async fn done(&self, seat: &Seat, wait: Duration, told: impl FnOnce(u64) -> ToWorker) -> Result<(), EngineError> {
        let asked = seat.ask(Some(&self.component), None, told);
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
        ask: Ask<'_>,
        context: &mut Option<CallContext>,
        report: &mut Report,
    ) -> Result<Answer, EngineError> {
        let limits = loaded.limits;
        let deadline = tokio::time::Instant::from_std(ask.started) + Duration::from_millis(limits.wall_time_ms);
        let seat = self.seat(limits.memory_bytes, ask.is_nested, deadline).await?;
        // Before the context is taken: it goes back to who gave it.
        loaded.fence.pass()?;
        let passed_on = ask.passed_on;
        let mut call = Call {
            function: ask.function.to_string(),
            limits,
            spent_ns: u64::try_from(ask.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            context: None,
            input: ask.input,
        };
        if !self.asks {
            call.context = context.take().map(|context| crossing(context, report));
            let ended = self.made(loaded, &seat, call, deadline, None).await?;
            report.usage = ended.usage;
            report.logs = ended.logs;
            report.tape = decode_tape(&ended.tape)?;
            return ended.result;
        }
        call.context = context.as_ref().map(|context| Context {
            unix_ns: context.unix_ns,
            seed: context.seed,
            // The tape is played here; there it is only known that one is.
            replay: context.replay.as_ref().map(|_| encode_tape(&[])),
        });
        let mut imports = Imports::new(loaded, &self.links, context.take(), passed_on);
        let made = self.made(loaded, &seat, call, deadline, Some(&mut imports)).await;
        let result = made.and_then(|ended| {
            report.usage = ended.usage;
            report.logs = ended.logs;
            ended.result
        });
        match imports.finish(report, result.is_ok()) {
            Some(error) => Err(error),
            None => result,
        }
    }

    /// Has a call made and waits for its end, answering what its guest imports.
    async fn made(
        &self,
        loaded: &Loaded,
        seat: &Seat,
        call: Call,
        deadline: tokio::time::Instant,
        imports: Option<&mut Imports<'_>>,
    ) -> Result<Ended, EngineError> {
        let (limits, slot) = (call.limits, self.component.slot);
        let (questions, mut asked) = mpsc::unbounded_channel();
        let questions = imports.is_some().then_some(questions);
        let call = Box::new(call);
        let made = seat.ask(Some(&self.component), questions, |id| ToWorker::Call { id, slot, call });
        let mut made = made.map_err(|large| EngineError::InputTooLarge {
            bytes: large.bytes,
            bytes_max: limits.input_bytes,
        })?;
        let id = made.id();
        let serving = async {
            match imports {
                Some(imports) => {
                    imports
                        .serve(id, &mut asked, |frame| seat.process.tell(id, frame))
                        .await
                }
                None => std::future::pending().await,
            }
        };
        let mut serving = pin!(serving);
        let (mut served, mut fenced) = (false, false);
        let reply = loop {
            tokio::select! {
                reply = made.answer() => break reply?,
                // The process is ended for it, which is the answer.
                why = &mut serving, if !served => {
                    served = true;
                    seat.process.misbehaved(why);
                }
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
        match reply {
            Reply::Ended(ended) => Ok(*ended),
            Reply::Done(_) => Err(answers_wrongly(seat)),
        }
    }
}

/// What of a context crosses; what providers put into it stays here and comes back with the outcome.
fn crossing(context: CallContext, report: &mut Report) -> Context {
    let CallContext {
        unix_ns,
        seed,
        replay,
        extensions,
        // A component that imports nothing of the host calls no others.
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
    let why = "it answered something else than it was asked";
    seat.process.misbehaved(why.into());
    EngineError::WorkerMisbehaved { why: why.into() }
}
