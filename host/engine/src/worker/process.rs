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
use super::imports::Incoming;
use super::pool::Workers;
use super::protocol::{Ended, FromWorker, Start, ToWorker};
use crate::{EngineError, aside};

/// How long a process that closed its socket may take to end by itself, so that it can be told what it died of.
const DYING: Duration = Duration::from_secs(2);
/// What a process says of a call before it hears that it is cancelled: a question, which stays unanswered, and an end.
const SAID_LATE_MAX: u32 = 2;

/// How much more room a process has for calls that are made within others.
pub(crate) const NESTED_FACTOR: u32 = 2;

/// What a worker answered.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(Result<(), EngineError>),
    Ended(Box<Ended>),
}

/// Whoever waits for an answer.
#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Result<Reply, EngineError>>,
    /// Where the questions of a call go whose imports the host answers.
    questions: Option<mpsc::UnboundedSender<Incoming>>,
    /// One was asked and is not answered yet.
    asking: bool,
}

/// How the life of a process came to its end.
enum Ending {
    /// It closed its socket; what it died of says why.
    Closed,
    /// It said what no worker of this host says.
    Misbehaved(String),
    /// Nobody needed it any more.
    Unwanted,
}

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
    /// Cancelled, and the process has not said yet that they have ended: until then it may still speak of them, and this is
    /// how often it did.
    leaving: HashMap<u64, u32>,
    loaded: HashSet<u64>,
    calls: u32,
    memory_bytes: u64,
    idle_since: Instant,
    began: Instant,
    /// Takes no more calls; it is ended when it has none.
    retired: bool,
    /// Why it is to be ended at once, if it is.
    misbehaved: Option<String>,
    process_id: Option<u32>,
}

impl State {
    /// Whether something is said of a call that was cancelled, by who may not know it yet.
    fn may_still_speak_of(&mut self, id: u64) -> bool {
        self.leaving.get_mut(&id).is_some_and(|said| {
            *said += 1;
            *said <= SAID_LATE_MAX
        })
    }
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
                leaving: HashMap::new(),
                loaded: HashSet::new(),
                calls: 0,
                memory_bytes: 0,
                idle_since: now,
                began: now,
                retired: false,
                misbehaved: None,
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
        // Of all calls of the tenant, not of the one that is the first.
        aside::spawn_at_home(keeper);
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

    /// Takes a place for a call, if there is room for its memory. Calls made within others find twice the room: the others
    /// hold theirs until these are answered. One that is behind with cancelled calls takes no more: each of them, and all that
    /// it was told, is still somewhere.
    pub(crate) fn take_place(&self, memory_bytes: u64, is_nested: bool, config: &WorkerConfig) -> bool {
        let factor = if is_nested { NESTED_FACTOR } else { 1 };
        let calls_max = config.calls_per_process_max.saturating_mul(factor);
        let bytes_max = config.memory_bytes_max.saturating_mul(factor.into());
        let mut state = self.state.lock();
        let sum = state.memory_bytes.saturating_add(memory_bytes);
        let leaving = u32::try_from(state.leaving.len()).unwrap_or(u32::MAX);
        let fits = !state.retired && state.calls < calls_max && leaving < calls_max && sum <= bytes_max;
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

    /// Asks about a component, which it is given first if it lacks it. Its own questions go to `questions`.
    pub(crate) fn ask(
        &self,
        id: u64,
        component: Option<&Component>,
        questions: Option<mpsc::UnboundedSender<Incoming>>,
        frame: Frame,
    ) -> oneshot::Receiver<Result<Reply, EngineError>> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            answer,
            questions,
            asking: false,
        };
        let mut state = self.state.lock();
        if let Some(component) = component
            && state.loaded.insert(component.slot)
        {
            self.say(component.load());
        }
        state.waiting.insert(id, waiting);
        // Under the lock, so that no question about a component overtakes its code. A question to a process that is gone
        // is answered by whoever tells all others that it is.
        if self.frames.send(frame).is_err() {
            state.waiting.remove(&id);
        }
        answered
    }

    /// Nobody waits for an answer any more; the process is told to stop if it has not answered.
    pub(crate) fn forget(&self, id: u64) {
        let mut state = self.state.lock();
        if state.waiting.remove(&id).is_none() {
            return;
        }
        state.leaving.insert(id, 0);
        self.say(ToWorker::Cancel { id });
    }

    /// Answers a question of a call; one that nobody waits for any more needs no answer.
    pub(crate) fn tell(&self, id: u64, frame: Frame) {
        if let Some(waiting) = self.state.lock().waiting.get_mut(&id) {
            waiting.asking = false;
            let _ = self.frames.send(frame);
        }
    }

    /// Ends it at once, with every call in it: it did what no worker of this host does.
    pub(crate) fn misbehaved(&self, why: String) {
        let mut state = self.state.lock();
        state.retired = true;
        state.misbehaved.get_or_insert(why);
        drop(state);
        self.changed.notify_one();
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
        let error = match spawn(&config) {
            Err(error) => Some(EngineError::WorkerDied {
                why: format!("it did not start: {error}"),
            }),
            Ok((mut child, socket)) => {
                self.state.lock().process_id = child.id();
                let (from, to) = socket.into_split();
                let feeding = feed(ToWorker::Start(start).frame(), &mut queue, to);
                let listening = self.listen(BufReader::new(from), &workers, &mut ready);
                let ending = tokio::select! {
                    ending = listening => ending,
                    // Feeding ends by itself only when the process does not listen any more: then it is about to close.
                    () = async { feeding.await; std::future::pending().await } => Ending::Unwanted,
                    ending = self.unwanted(config.idle) => ending,
                };
                // What said something wrong is not waited for.
                let died_of = end(&mut child, matches!(ending, Ending::Closed)).await;
                match ending {
                    Ending::Closed => Some(EngineError::WorkerDied { why: died_of }),
                    Ending::Misbehaved(why) => Some(EngineError::WorkerMisbehaved { why }),
                    Ending::Unwanted => None,
                }
            }
        };
        // The queue goes first: what is asked from here on is answered at once.
        drop(queue);
        let waiting = {
            let mut state = self.state.lock();
            state.retired = true;
            std::mem::take(&mut state.waiting)
        };
        let is_fault = error.is_some();
        let error = error.unwrap_or_else(|| EngineError::WorkerDied {
            why: "it was ended".into(),
        });
        let error = match error {
            EngineError::WorkerDied { why } | EngineError::WorkerMisbehaved { why } if !ready => {
                EngineError::WorkerNotStarted { why }
            }
            error => error,
        };
        for (_, waiting) in waiting {
            let _ = waiting.answer.send(Err(error.clone()));
        }
        if let Some(workers) = workers.upgrade() {
            let lived = self.state.lock().began.elapsed();
            workers.ended(&self, is_fault.then_some(lived), &error);
        }
    }

    /// Takes what the process says until it says nothing more, or something wrong.
    async fn listen(&self, mut from: BufReader<OwnedReadHalf>, workers: &Weak<Workers>, ready: &mut bool) -> Ending {
        loop {
            let frame = match Frame::receive(&mut from, FROM_WORKER_BYTES_MAX).await {
                Ok(Some(frame)) => frame,
                Err(error) if error.kind() == std::io::ErrorKind::Other => {
                    return Ending::Misbehaved(error.to_string());
                }
                Ok(None) | Err(_) => return Ending::Closed,
            };
            let bytes = frame.bytes();
            let heard = match FromWorker::read(frame) {
                Ok(FromWorker::Ready { .. }) if *ready => Err("it said twice that it is ready"),
                Ok(FromWorker::Ready { missing }) => {
                    *ready = true;
                    if let Some(workers) = workers.upgrade() {
                        workers.confined(missing);
                    }
                    Ok(())
                }
                Ok(_) if !*ready => Err("it spoke before it was ready"),
                Ok(FromWorker::Done { id, result }) => self.answered(id, Reply::Done(result)),
                Ok(FromWorker::Ended { id, ended }) => self.answered(id, Reply::Ended(ended)),
                Ok(FromWorker::Ask { id, call }) => self.asked(id, (call, bytes)),
                Ok(FromWorker::Cancelled { id }) => {
                    let was_told = self.state.lock().leaving.remove(&id).is_some();
                    if let Some(workers) = workers.upgrade() {
                        workers.made_room();
                    }
                    was_told
                        .then_some(())
                        .ok_or("it said of a call that it was cancelled, and it was not")
                }
                Err(malformed) => return Ending::Misbehaved(format!("it sent what cannot be read: {malformed}")),
            };
            if let Err(why) = heard {
                return Ending::Misbehaved(why.into());
            }
        }
    }

    /// Nobody waits for the answer to what was cancelled meanwhile.
    fn answered(&self, id: u64, reply: Reply) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        // Else what answers it would be cut off in the middle, and what is wrong about it would count for nothing.
        let went_well = matches!(&reply, Reply::Ended(ended) if ended.result.is_ok());
        if went_well && state.waiting.get(&id).is_some_and(|waiting| waiting.asking) {
            return Err("a call went well whose last question was not answered");
        }
        match state.waiting.remove(&id) {
            Some(waiting) => {
                let _ = waiting.answer.send(Ok(reply));
                Ok(())
            }
            None if state.may_still_speak_of(id) => Ok(()),
            None => Err("it answered what nobody asked"),
        }
    }

    /// A call asks; it asks one thing at a time.
    fn asked(&self, id: u64, question: Incoming) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        let Some(waiting) = state.waiting.get_mut(&id) else {
            return state
                .may_still_speak_of(id)
                .then_some(())
                .ok_or("it asked for a call that it does not run");
        };
        if waiting.asking {
            return Err("a call asked before its last question was answered");
        }
        let Some(questions) = &waiting.questions else {
            return Err("it asked for a call that imports nothing");
        };
        waiting.asking = true;
        // A call whose caller is about to go hears no more questions.
        let _ = questions.send(question);
        Ok(())
    }

    /// Returns when nobody needs the process, or it has to go, after which nobody gets it any more.
    async fn unwanted(&self, idle: Duration) -> Ending {
        loop {
            let wait = {
                let mut state = self.state.lock();
                if let Some(why) = state.misbehaved.take() {
                    state.retired = true;
                    return Ending::Misbehaved(why);
                }
                let rested = state.idle_since.elapsed();
                if state.calls == 0 && (state.retired || rested >= idle) {
                    state.retired = true;
                    return Ending::Unwanted;
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
