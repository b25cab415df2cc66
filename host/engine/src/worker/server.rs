//! The worker process itself: an engine without providers that loads code it is handed and makes the calls it is told to.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::frame::{FROM_WORKER_BYTES_MAX, Frame, TO_WORKER_BYTES_MAX};
use super::protocol::{About, Call, Context, Ended, FromWorker, Start, ToWorker};
use super::sandbox;
use super::wire::Malformed;
use crate::{CallContext, Capability, Engine, EngineConfig, EngineError, Logs, decode_tape, encode_tape};

/// Threads that run guests in one process, at most.
const THREADS_MAX: usize = 8;
/// Sandboxes at least: in a pool of one, a component of many core instances would find less room than in the host's.
const SANDBOXES_MIN: u32 = 4;

/// The worker process: takes orders from the socket that is its standard input until the host closes it.
///
/// It takes everything from itself that calls do not need before it is handed the first component: see the decision
/// "Calls in a process of their own".
///
/// # Errors
/// A standard input that is no socket of a host, an engine that cannot be set up.
pub fn worker_main() -> std::io::Result<()> {
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
    runtime.block_on(serve(socket, &foreign))?;
    // Guests that still run have nobody to answer to.
    std::process::exit(0);
}

fn not_understood(malformed: Malformed) -> std::io::Error {
    std::io::Error::other(malformed.to_string())
}

async fn serve(socket: StdUnixStream, foreign: &[u32]) -> std::io::Result<()> {
    let (from, to) = UnixStream::from_std(socket)?.into_split();
    let mut from = BufReader::new(from);
    let Some(first) = Frame::receive(&mut from, TO_WORKER_BYTES_MAX).await? else {
        return Ok(());
    };
    let ToWorker::Start(start) = ToWorker::read(first).map_err(not_understood)? else {
        return Err(not_understood(Malformed("it does not begin with a start")));
    };
    let engine = engine(&start).map_err(std::io::Error::other)?;
    let missing = sandbox::confine(start.memory_bytes_max, foreign);
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

/// The engine of the host that started this, without what only a host has: providers, a compiler, a code cache.
fn engine(start: &Start) -> Result<Engine, EngineError> {
    let config = EngineConfig {
        tick: Duration::from_micros(start.tick_us),
        pool_instances: start.calls_max.max(SANDBOXES_MIN),
        ceiling: start.ceiling,
        ..EngineConfig::default()
    };
    Engine::new(config, Vec::new())
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
    loaded: HashMap<u64, Result<Capability, EngineError>>,
    running: Arc<Mutex<HashMap<u64, AbortHandle>>>,
}

impl Server {
    fn say(&self, said: FromWorker) {
        // The channel lives as long as the process.
        let _ = self.answers.send(said.frame());
    }

    fn capability(&self, slot: u64) -> Result<Capability, EngineError> {
        match self.loaded.get(&slot) {
            Some(loaded) => loaded.clone(),
            None => Err(EngineError::WorkerDied {
                why: "it was asked for a component that it was not given".into(),
            }),
        }
    }

    fn obey(&mut self, told: ToWorker) -> std::io::Result<()> {
        match told {
            ToWorker::Start(_) => return Err(not_understood(Malformed("it was started twice"))),
            ToWorker::Load { slot, about, code } => {
                let About { interface, determinism } = *about;
                let loaded = self.engine.load_compiled(&code, interface, determinism);
                self.loaded.insert(slot, loaded);
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
                self.run(id, async move {
                    let result = match capability {
                        Ok(capability) => capability.with_limits(limits).probe().await,
                        Err(error) => Err(error),
                    };
                    FromWorker::Done { id, result }.frame()
                });
            }
            ToWorker::Call { id, slot, call } => {
                let capability = self.capability(slot);
                self.run(id, async move { answer(id, capability, *call).await });
            }
            ToWorker::Cancel { id } => {
                if let Some(task) = self.running.lock().remove(&id) {
                    task.abort();
                }
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

    fn run(&self, id: u64, work: impl Future<Output = Frame> + Send + 'static) {
        let (answers, running) = (self.answers.clone(), self.running.clone());
        // Held until it is in the table: a task that is done already takes itself out again.
        let mut table = self.running.lock();
        let task = tokio::spawn(async move {
            let frame = work.await;
            let _ = answers.send(frame);
            running.lock().remove(&id);
        });
        table.insert(id, task.abort_handle());
    }
}

/// Makes a call and writes down how it went; results that no frame takes are too large.
async fn answer(id: u64, capability: Result<Capability, EngineError>, call: Call) -> Frame {
    let bytes_max = call.limits.output_bytes;
    let ended = match capability {
        Ok(capability) => made(&capability, call).await,
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

async fn made(capability: &Capability, call: Call) -> Ended {
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
        .outcome(Some(&function), input, context, started)
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

/// A call that did not come to run.
fn failed(error: EngineError) -> Ended {
    Ended {
        result: Err(error),
        usage: kinetic_model::Usage::default(),
        logs: Logs::default(),
        tape: encode_tape(&[]),
    }
}
