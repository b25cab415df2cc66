//! One worker process as the host sees it: started, fed, listened to, and ended; a death is told to every call in it.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::WorkerConfig;
use super::client::Component;
use super::frame::{FROM_WORKER_BYTES_MAX, Frame};
use super::pool::Workers;
use super::protocol::{Ended, FromWorker, Start, ToWorker};
use crate::EngineError;

/// How long a process that closed its socket may take to end by itself, so that it can be told what it died of.
const DYING: Duration = Duration::from_secs(2);

/// What a worker answered.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Result<(), EngineError>),
    Ended(Box<Ended>),
}

type Waiting = oneshot::Sender<Result<Reply, EngineError>>;

/// One process; it belongs to one tenant for as long as it lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) tenant: Arc<str>,
    /// Not bounded here: there are at most as many frames of calls in it as calls at once.
    frames: mpsc::UnboundedSender<Frame>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    waiting: HashMap<u64, Waiting>,
    loaded: HashSet<u64>,
    calls: u32,
    memory_bytes: u64,
    idle_since: Instant,
    began: Instant,
    /// Takes no more calls; it is ended when it has none.
    retired: bool,
    process_id: Option<u32>,
}

/// A worker process, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The system's number of the process; none while it starts.
    pub process_id: Option<u32>,
    /// Whose calls run in it, and no one else's.
    pub tenant: String,
    /// Calls that run in it now.
    pub calls: u32,
}

impl Process {
    /// Starts a process; what it is told waits until it is there.
    pub(crate) fn launch(workers: &Arc<Workers>, tenant: &Arc<str>) -> Arc<Self> {
        let (frames, queue) = mpsc::unbounded_channel();
        let now = Instant::now();
        let process = Arc::new(Self {
            tenant: tenant.clone(),
            frames,
            state: Mutex::new(State {
                waiting: HashMap::new(),
                loaded: HashSet::new(),
                calls: 0,
                memory_bytes: 0,
                idle_since: now,
                began: now,
                retired: false,
                process_id: None,
            }),
            changed: Notify::new(),
        });
        let keeper = process.clone().keep(
            workers.config.clone(),
            workers.start.clone(),
            Arc::downgrade(workers),
            queue,
        );
        tokio::spawn(keeper);
        process
    }

    pub(crate) fn status(&self) -> WorkerStatus {
        let state = self.state.lock();
        WorkerStatus {
            process_id: state.process_id,
            tenant: self.tenant.to_string(),
            calls: state.calls,
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.state.lock().retired
    }

    /// Takes a place for a call, if there is room for its memory.
    pub(crate) fn take_place(&self, memory_bytes: u64, config: &WorkerConfig) -> bool {
        let mut state = self.state.lock();
        let sum = state.memory_bytes.saturating_add(memory_bytes);
        let fits = !state.retired && state.calls < config.calls_per_process_max && sum <= config.memory_bytes_max;
        if fits {
            state.calls += 1;
            state.memory_bytes = sum;
        }
        fits
    }

    pub(crate) fn give_place_back(&self, memory_bytes: u64) {
        let mut state = self.state.lock();
        state.calls = state.calls.saturating_sub(1);
        state.memory_bytes = state.memory_bytes.saturating_sub(memory_bytes);
        state.idle_since = Instant::now();
        drop(state);
        self.changed.notify_one();
    }

    /// Since when nothing runs in it; none while something does, or when it takes no calls anyway.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.calls == 0 && !state.retired).then_some(state.idle_since)
    }

    /// Gives it no more calls, and ends it when it has none.
    pub(crate) fn retire(&self) {
        self.state.lock().retired = true;
        self.changed.notify_one();
    }

    /// Says something that nothing comes back for.
    pub(crate) fn say(&self, told: ToWorker) {
        // A process that is gone needs to be told nothing.
        let _ = self.frames.send(told.frame());
    }

    /// Asks about a component, which it is given first if it lacks it.
    pub(crate) fn ask(
        &self,
        id: u64,
        component: Option<&Component>,
        frame: Frame,
    ) -> oneshot::Receiver<Result<Reply, EngineError>> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(component) = component
            && state.loaded.insert(component.slot)
        {
            self.say(component.load());
        }
        state.waiting.insert(id, answer);
        // Under the lock, so that no question about a component overtakes its code. A question to a process that is gone
        // is answered by whoever tells all others that it is.
        if self.frames.send(frame).is_err() {
            state.waiting.remove(&id);
        }
        answered
    }

    /// Nobody waits for an answer any more; the process is told to stop if it has not answered.
    pub(crate) fn forget(&self, id: u64) {
        if self.state.lock().waiting.remove(&id).is_some() {
            self.say(ToWorker::Cancel { id });
        }
    }

    pub(crate) fn unload(&self, slot: u64) {
        if self.state.lock().loaded.remove(&slot) {
            self.say(ToWorker::Unload { slot });
        }
    }

    /// The whole life of a process.
    async fn keep(
        self: Arc<Self>,
        config: Arc<WorkerConfig>,
        start: Start,
        workers: Weak<Workers>,
        mut queue: mpsc::UnboundedReceiver<Frame>,
    ) {
        let mut ready = false;
        let ended = match spawn(&config) {
            Err(error) => Some(format!("it did not start: {error}")),
            Ok((mut child, socket)) => {
                self.state.lock().process_id = child.id();
                let (from, to) = socket.into_split();
                let feeding = feed(ToWorker::Start(start).frame(), &mut queue, to);
                let listening = self.listen(BufReader::new(from), &workers, &mut ready);
                let why = tokio::select! {
                    why = listening => Some(why),
                    // Feeding ends by itself only when the process does not listen any more: then it is about to close.
                    () = async { feeding.await; std::future::pending().await } => None,
                    () = self.unwanted(config.idle) => None,
                };
                // What sent something wrong is not waited for.
                let died_of = end(&mut child, matches!(why, Some(None))).await;
                why.map(|said| said.unwrap_or(died_of))
            }
        };
        // The queue goes first: what is asked from here on is answered at once.
        drop(queue);
        let waiting = {
            let mut state = self.state.lock();
            state.retired = true;
            std::mem::take(&mut state.waiting)
        };
        let why = ended.clone().unwrap_or_else(|| "it was ended".into());
        let error = if ready {
            EngineError::WorkerDied { why }
        } else {
            EngineError::WorkerNotStarted { why }
        };
        for (_, answer) in waiting {
            let _ = answer.send(Err(error.clone()));
        }
        if let Some(workers) = workers.upgrade() {
            let lived = self.state.lock().began.elapsed();
            workers.ended(&self, ended.is_some().then_some(lived), &error);
        }
    }

    /// Takes what the process says until it says nothing more; gives why, if it is its own fault.
    async fn listen(
        &self,
        mut from: BufReader<OwnedReadHalf>,
        workers: &Weak<Workers>,
        ready: &mut bool,
    ) -> Option<String> {
        loop {
            let said = match Frame::receive(&mut from, FROM_WORKER_BYTES_MAX).await {
                Ok(Some(frame)) => FromWorker::read(frame),
                Ok(None) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::Other => return Some(error.to_string()),
                Err(_) => return None,
            };
            let (id, reply) = match said {
                Ok(FromWorker::Ready { missing }) => {
                    *ready = true;
                    if let Some(workers) = workers.upgrade() {
                        workers.confined(missing);
                    }
                    continue;
                }
                Ok(FromWorker::Done { id, result }) => (id, Reply::Done(result)),
                Ok(FromWorker::Ended { id, ended }) => (id, Reply::Ended(ended)),
                Err(malformed) => return Some(format!("it sent what cannot be read: {malformed}")),
            };
            // Nobody waits for the answer to what was cancelled meanwhile.
            if let Some(answer) = self.state.lock().waiting.remove(&id) {
                let _ = answer.send(Ok(reply));
            }
        }
    }

    /// Returns when nobody needs the process, after which nobody gets it any more.
    async fn unwanted(&self, idle: Duration) {
        loop {
            let wait = {
                let mut state = self.state.lock();
                let rested = state.idle_since.elapsed();
                if state.calls == 0 && (state.retired || rested >= idle) {
                    state.retired = true;
                    return;
                }
                if state.calls == 0 {
                    idle.saturating_sub(rested)
                } else {
                    idle
                }
            };
            // One permit is kept, so a change between the look and the wait is not missed.
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// The program itself, with nothing of ours but one end of a socket.
fn spawn(config: &WorkerConfig) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(&config.program)
        .args(&config.args)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C at a terminal is for the host, whose calls may then finish.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

async fn feed(start: Frame, queue: &mut mpsc::UnboundedReceiver<Frame>, mut to: OwnedWriteHalf) {
    let mut next = Some(start);
    while let Some(frame) = next {
        if frame.send(&mut to).await.is_err() {
            return;
        }
        next = queue.recv().await;
    }
}

/// Sees a process to its end; what it died of.
async fn end(child: &mut Child, by_itself: bool) -> String {
    let died = if by_itself {
        tokio::time::timeout(DYING, child.wait()).await.ok()
    } else {
        None
    };
    let status = match died {
        Some(status) => status,
        None => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    status.map_or_else(|error| error.to_string(), in_words)
}

fn in_words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => status.to_string(),
    }
}
