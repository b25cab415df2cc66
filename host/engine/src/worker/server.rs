//! The worker process itself: an engine that loads code it is handed and makes the calls it is told to. Its providers hold
//! nothing: what a guest imports beyond inert WASI is asked of the host.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

use super::asking::ImportAnswer;
use super::frame::{FROM_WORKER_BYTES_MAX, Frame, TO_WORKER_BYTES_MAX};
use super::imports::asks_host;
use super::line::{HostLine, Running, RunningCalls, question_bytes_max};
use super::protocol::{Call, Context, Ended, FromWorker, Start, ToWorker};
use super::sandbox;
use super::wire::Malformed;
use crate::{CallContext, Capability, Engine, EngineConfig, EngineError, Logs, Provider, decode_tape, encode_tape};

/// Threads that run guests in one process, at most; as many again run those that take long.
const THREADS_MAX: usize = 8;
/// How long the threads for long calls may take to begin. Without them long calls run beside short ones as equals.
const THREADS_READY_MAX: Duration = Duration::from_secs(10);
/// Sandboxes at least: in a pool of one, a component of many core instances would find less room than in the host's.
const SANDBOXES_MIN: u32 = 4;

/// The worker process: takes orders from the socket that is its standard input until the host closes it. `providers` are
/// those of the host, with nothing behind them: they only say how their functions are asked of it.
///
/// It takes everything from itself that calls do not need before it is handed the first component: see the decision
/// "Calls in a process of their own".
///
/// # Errors
/// A standard input that is no socket of a host, an engine that cannot be set up.
pub fn worker_main(providers: Vec<Arc<dyn Provider>>) -> std::io::Result<()> {
    // First of all, before this process opens anything itself.
    let foreign = sandbox::inherited();
    // A panic here is a fault of the host's own code: the process ends, and every call in it is told.
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    let socket = StdUnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // All threads there will ever be: none can be started later.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(THREADS_MAX))
        .enable_all()
        .build()?;
    runtime.block_on(serve(socket, &foreign, providers))?;
    // Guests that still run have nobody to answer to.
    std::process::exit(0);
}

fn not_understood(malformed: Malformed) -> std::io::Error {
    std::io::Error::other(malformed.to_string())
}

async fn serve(socket: StdUnixStream, foreign: &[u32], providers: Vec<Arc<dyn Provider>>) -> std::io::Result<()> {
    let (from, to) = UnixStream::from_std(socket)?.into_split();
    let mut from = BufReader::new(from);
    let Some(first) = Frame::receive(&mut from, TO_WORKER_BYTES_MAX).await? else {
        return Ok(());
    };
    let ToWorker::Start(start) = ToWorker::read(first).map_err(not_understood)? else {
        return Err(not_understood(Malformed("it does not begin with a start")));
    };
    let engine = engine(&start, providers).map_err(std::io::Error::other)?;
    let has_aside = engine.aside_is_ready(THREADS_READY_MAX).await;
    let mut missing = sandbox::confine(start.memory_bytes_max, foreign);
    if !has_aside {
        missing.push("threads for long calls: they did not begin in time".into());
    }
    let (answers, queue) = mpsc::unbounded_channel();
    tokio::spawn(write(queue, to));
    let mut server = Server {
        engine,
        answers,
        loaded: HashMap::new(),
        running: Arc::default(),
    };
    server.say(FromWorker::Ready { missing });
    while let Some(frame) = Frame::receive(&mut from, TO_WORKER_BYTES_MAX).await? {
        server.obey(ToWorker::read(frame).map_err(not_understood)?)?;
    }
    Ok(())
}

/// The engine of the host that started this, without what only a host has: what stands behind imports, a compiler, a code
/// cache.
fn engine(start: &Start, providers: Vec<Arc<dyn Provider>>) -> Result<Engine, EngineError> {
    let config = EngineConfig {
        tick: Duration::from_micros(start.tick_us),
        pool_instances: start.calls_max.max(SANDBOXES_MIN),
        ceiling: start.ceiling,
        ..EngineConfig::default()
    };
    Engine::in_worker(config, providers, THREADS_MAX)
}

async fn write(mut answers: mpsc::UnboundedReceiver<Frame>, mut to: OwnedWriteHalf) {
    while let Some(frame) = answers.recv().await {
        if frame.send(&mut to).await.is_err() {
            // Nobody hears what else happens here.
            std::process::exit(0);
        }
    }
}

struct Server {
    engine: Engine,
    answers: mpsc::UnboundedSender<Frame>,
    loaded: HashMap<u64, Slot>,
    running: RunningCalls,
}

/// A component that was handed over.
struct Slot {
    capability: Result<Capability, EngineError>,
    /// Whether its last call ran for long: the next one is expected to do the same.
    runs_long: Arc<AtomicBool>,
}

impl Server {
    fn say(&self, said: FromWorker) {
        // The channel lives as long as the process.
        let _ = self.answers.send(said.frame());
    }

    fn capability(&self, slot: u64) -> Result<Capability, EngineError> {
        match self.loaded.get(&slot) {
            Some(loaded) => loaded.capability.clone(),
            None => Err(EngineError::WorkerDied {
                why: "it was asked for a component that it was not given".into(),
            }),
        }
    }

    fn runs_long(&self, slot: u64) -> Arc<AtomicBool> {
        self.loaded
            .get(&slot)
            .map(|loaded| loaded.runs_long.clone())
            .unwrap_or_default()
    }

    fn obey(&mut self, told: ToWorker) -> std::io::Result<()> {
        match told {
            ToWorker::Start(_) => return Err(not_understood(Malformed("it was started twice"))),
            ToWorker::Load { slot, about, code } => {
                let capability = self.engine.load_compiled(&code, *about);
                let runs_long = Arc::default();
                self.loaded.insert(slot, Slot { capability, runs_long });
            }
            ToWorker::Check { id, slot } => {
                let result = if slot == 0 {
                    Ok(())
                } else {
                    self.capability(slot).map(drop)
                };
                self.say(FromWorker::Done { id, result });
            }
            ToWorker::Probe { id, slot, limits } => {
                let capability = self.capability(slot);
                self.run(id, None, async move {
                    let result = match capability {
                        Ok(capability) => capability.with_limits(limits).probe().await,
                        Err(error) => Err(error),
                    };
                    FromWorker::Done { id, result }.frame()
                });
            }
            ToWorker::Call { id, slot, call } => {
                let capability = self.capability(slot);
                let asks = capability.as_ref().is_ok_and(|one| asks_host(one.interface()));
                let (told, line) = if asks {
                    let (told, line) = self.line(id, &call);
                    (Some(told), Some(line))
                } else {
                    (None, None)
                };
                let (engine, runs_long) = (self.engine.clone(), self.runs_long(slot));
                self.run(id, told, async move {
                    let work = answer(id, capability, *call, line);
                    let ended = engine.aside(runs_long.load(Ordering::Relaxed), work).await;
                    let Some(ended) = ended else {
                        return lost(id);
                    };
                    runs_long.store(ended.was_long, Ordering::Relaxed);
                    ended.result
                });
            }
            ToWorker::Tell { id, answer } => {
                // Nobody hears what was asked by a call that is gone.
                if let Some(told) = self.running.lock().get(&id).and_then(|running| running.told.as_ref()) {
                    let _ = told.send(*answer);
                }
            }
            ToWorker::Cancel { id } => {
                if let Some(running) = self.running.lock().remove(&id) {
                    running.task.abort();
                }
                // Also when it had ended: then that was said before this.
                self.say(FromWorker::Cancelled { id });
            }
            ToWorker::Fence { slot } => {
                if let Ok(capability) = self.capability(slot) {
                    // It closes at once; nothing is committed here, so there is nothing to wait for.
                    drop(capability.fence());
                }
            }
            ToWorker::Unload { slot } => {
                self.loaded.remove(&slot);
            }
        }
        Ok(())
    }

    /// What a call asks its host over, and where the host's answers go.
    fn line(&self, id: u64, call: &Call) -> (mpsc::UnboundedSender<ImportAnswer>, HostLine) {
        let (told, answers) = mpsc::unbounded_channel();
        let line = HostLine {
            id,
            running: self.running.clone(),
            said: self.answers.clone(),
            told: answers,
            question_bytes_max: question_bytes_max(&call.limits),
        };
        (told, line)
    }

    fn run(
        &self,
        id: u64,
        told: Option<mpsc::UnboundedSender<ImportAnswer>>,
        work: impl Future<Output = Frame> + Send + 'static,
    ) {
        let (answers, running) = (self.answers.clone(), self.running.clone());
        // Held until it is in the table: a task that is done already takes itself out again.
        let mut table = self.running.lock();
        let task = tokio::spawn(async move {
            let frame = work.await;
            let mut table = running.lock();
            // Under the lock, so that nothing is said of it after it was said to be cancelled.
            if table.remove(&id).is_some() {
                let _ = answers.send(frame);
            }
        });
        let task = task.abort_handle();
        table.insert(id, Running { task, told });
    }
}

/// Makes a call and writes down how it went; results that no frame takes are too large.
async fn answer(id: u64, capability: Result<Capability, EngineError>, call: Call, line: Option<HostLine>) -> Frame {
    let bytes_max = call.limits.output_bytes;
    let ended = match capability {
        Ok(capability) => made(&capability, call, line).await,
        Err(error) => failed(error),
    };
    let usage = ended.usage;
    let frame = FromWorker::Ended {
        id,
        ended: Box::new(ended),
    }
    .frame();
    if frame.bytes() <= FROM_WORKER_BYTES_MAX {
        return frame;
    }
    let ended = Ended {
        usage,
        ..failed(EngineError::OutputTooLarge { bytes_max })
    };
    FromWorker::Ended {
        id,
        ended: Box::new(ended),
    }
    .frame()
}

async fn made(capability: &Capability, call: Call, line: Option<HostLine>) -> Ended {
    let Call {
        function,
        limits,
        spent_ns,
        context,
        input,
    } = call;
    let context = match context.map(crossed).transpose() {
        Ok(context) => context,
        Err(error) => return failed(error),
    };
    let now = Instant::now();
    let started = now.checked_sub(Duration::from_nanos(spent_ns)).unwrap_or(now);
    let outcome = capability
        .with_limits(limits)
        .outcome(Some(&function), input, context, started, line)
        .await;
    Ended {
        result: outcome.result,
        usage: outcome.usage,
        logs: outcome.logs,
        tape: encode_tape(&outcome.tape),
    }
}

fn crossed(context: Context) -> Result<CallContext, EngineError> {
    Ok(CallContext {
        unix_ns: context.unix_ns,
        seed: context.seed,
        replay: context.replay.map(|tape| decode_tape(&tape)).transpose()?,
        ..CallContext::default()
    })
}

/// A call whose thread ended under it.
fn lost(id: u64) -> Frame {
    let ended = failed(EngineError::WorkerDied {
        why: "a call ended without an answer".into(),
    });
    FromWorker::Ended {
        id,
        ended: Box::new(ended),
    }
    .frame()
}

/// A call that did not come to run.
fn failed(error: EngineError) -> Ended {
    Ended {
        result: Err(error),
        usage: kinetic_model::Usage::default(),
        logs: Logs::default(),
        tape: encode_tape(&[]),
    }
}
