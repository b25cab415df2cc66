//! The worker processes of a host: whose call goes into which, when one is started, and when not again so soon.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::WorkerConfig;
use super::client::Component;
use super::frame::{Frame, TO_WORKER_BYTES_MAX};
use super::imports::Incoming;
use super::process::{Process, Reply, WorkerStatus};
use super::protocol::{Start, ToWorker};
use crate::EngineError;

/// How long a call waits for a process that is not started again yet; for longer it is refused at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the second death in a row costs; each further one twice as much.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The most it costs.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A process that lived for so long had no trouble starting: its tenant begins anew.
const SOUND: Duration = Duration::from_mins(1);
/// How long a process may take to start.
const STARTING: Duration = Duration::from_secs(30);
/// Tenants whose trouble is remembered.
const TROUBLED_MAX: usize = 1_024;

/// All worker processes of one engine.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) config: Arc<WorkerConfig>,
    pub(crate) start: Start,
    pool: Mutex<Pool>,
    freed: Notify,
    ids: AtomicU64,
    /// What processes could not take from themselves; none as long as none was ever ready.
    missing: Mutex<Option<Vec<String>>>,
    /// None was ever ready and none is tried any more.
    given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Pool {
    processes: Vec<Arc<Process>>,
    troubled: HashMap<Arc<str>, Trouble>,
}

/// Deaths of a tenant's processes, one soon after the other.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    deaths: u32,
    last: Instant,
}

impl Trouble {
    /// Before this no process is started. The first death costs nothing: whoever calls next gets a fresh process.
    fn over_at(&self) -> Instant {
        let doublings = self.deaths.saturating_sub(2).min(16);
        let wait = match self.deaths {
            0 | 1 => Duration::ZERO,
            _ => BACK_OFF.saturating_mul(1 << doublings).min(BACK_OFF_MAX),
        };
        self.last + wait
    }
}

/// What a look for room found.
enum Found {
    Room(Arc<Process>),
    /// None now; perhaps when somebody leaves.
    Full,
    /// None before this moment.
    NotBefore(Instant),
}

impl Workers {
    pub(crate) fn new(config: WorkerConfig, start: Start) -> Self {
        Self {
            config: Arc::new(config),
            start,
            pool: Mutex::default(),
            freed: Notify::new(),
            // Slot 0 is no component's.
            ids: AtomicU64::new(1),
            missing: Mutex::new(None),
            given_up: AtomicBool::new(false),
        }
    }

    /// A number nobody else has.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> Vec<WorkerStatus> {
        self.pool
            .lock()
            .processes
            .iter()
            .map(|process| process.status())
            .collect()
    }

    /// A process is set up; the first one that lacks something is reported.
    pub(crate) fn confined(&self, missing: Vec<String>) {
        let mut known = self.missing.lock();
        if known.is_none() && !missing.is_empty() {
            tracing::warn!("worker processes run without: {}", missing.join("; "));
        }
        *known = Some(missing);
    }

    /// There may be room in a process where there was none.
    pub(crate) fn made_room(&self) {
        self.freed.notify_waiters();
    }

    /// Whether this machine starts no workers.
    pub(crate) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// A process did not start. Where none ever did this machine has none, which is said once; where one did it is the fault
    /// of a moment, and no reason to run a guest anywhere else.
    pub(crate) fn gives_up(&self, why: &EngineError) -> bool {
        if self.missing.lock().is_some() {
            return false;
        }
        if !self.given_up.swap(true, Ordering::Relaxed) {
            tracing::warn!("capsules that are to run in workers run in the host's own process: {why}");
        }
        true
    }

    /// A place in a process of this tenant, for a call that may take so much memory. A call made within another finds more
    /// room and does not wait for long: calls that each hold a place and wait for another would wait for ever.
    pub(crate) async fn seat(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        memory_bytes: u64,
        is_nested: bool,
        deadline: Instant,
    ) -> Result<Seat, EngineError> {
        // One call alone always fits.
        let memory_bytes = memory_bytes.min(self.config.memory_bytes_max);
        let deadline = if is_nested {
            deadline.min(Instant::now() + PATIENCE)
        } else {
            deadline
        };
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look: room that comes up in between would wake nobody.
            freed.as_mut().enable();
            let until = match self.find(tenant, memory_bytes, is_nested) {
                Found::Room(process) => {
                    return Ok(Seat {
                        workers: self.clone(),
                        process,
                        memory_bytes,
                    });
                }
                Found::Full => deadline,
                Found::NotBefore(at) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    if wait > PATIENCE {
                        return Err(EngineError::WorkerRestarting {
                            retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        });
                    }
                    at.min(deadline)
                }
            };
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep_until(until) => {
                    if Instant::now() >= deadline {
                        return Err(EngineError::WorkersFull { processes_max: self.config.processes_max.into() });
                    }
                }
            }
        }
    }

    fn find(self: &Arc<Self>, tenant: &Arc<str>, memory_bytes: u64, is_nested: bool) -> Found {
        let mut pool = self.pool.lock();
        pool.processes.retain(|process| !process.is_retired());
        let own = || pool.processes.iter().filter(|process| process.tenant == *tenant);
        let has_room = |process: &&Arc<Process>| process.take_place(memory_bytes, is_nested, &self.config);
        if let Some(process) = own().find(has_room) {
            return Found::Room(process.clone());
        }
        let over_at = pool.troubled.get(tenant).map(Trouble::over_at);
        if let Some(at) = over_at.filter(|at| *at > Instant::now()) {
            return Found::NotBefore(at);
        }
        // Half of all at most, so that one tenant's calls leave room for others'.
        let own_max = self.config.processes_max.div_ceil(2) as usize;
        if own().count() >= own_max {
            return Found::Full;
        }
        if pool.processes.len() >= self.config.processes_max as usize {
            let resting = pool
                .processes
                .iter()
                .filter_map(|process| Some((process.idle_since()?, process)));
            match resting.min_by_key(|(since, _)| *since) {
                Some((_, longest)) => longest.retire(),
                None => return Found::Full,
            }
            pool.processes.retain(|process| !process.is_retired());
        }
        let process = Process::launch(self, tenant);
        if !process.take_place(memory_bytes, is_nested, &self.config) {
            return Found::Full;
        }
        pool.processes.push(process.clone());
        Found::Room(process)
    }

    /// A process is gone. It lived for so long, if it died of itself.
    pub(crate) fn ended(&self, process: &Arc<Process>, lived: Option<Duration>, error: &EngineError) {
        let mut pool = self.pool.lock();
        pool.processes.retain(|other| !Arc::ptr_eq(other, process));
        if let Some(lived) = lived {
            tracing::warn!(tenant = %process.tenant, "{error}");
            pool.troubled.retain(|_, trouble| trouble.last.elapsed() < SOUND);
            let known = pool.troubled.get(&process.tenant).filter(|_| lived < SOUND);
            let deaths = known.map_or(1, |trouble| trouble.deaths.saturating_add(1));
            if pool.troubled.len() < TROUBLED_MAX || known.is_some() {
                let trouble = Trouble {
                    deaths,
                    last: Instant::now(),
                };
                pool.troubled.insert(process.tenant.clone(), trouble);
            }
        }
        drop(pool);
        self.made_room();
    }

    /// Starts a process for nobody and asks whether it answers; gives what it could not take from itself.
    pub(crate) async fn check(self: &Arc<Self>) -> Result<Vec<String>, EngineError> {
        let deadline = Instant::now() + STARTING;
        let seat = self.seat(&"".into(), 0, false, deadline).await?;
        let late = |_| EngineError::WorkerNotStarted {
            why: format!("it did not answer within {} ms", STARTING.as_millis()),
        };
        // A question of slot 0 is no frame's worth of bytes.
        if let Ok(mut asked) = seat.ask(None, None, |id| ToWorker::Check { id, slot: 0 }) {
            tokio::time::timeout_at(deadline, asked.answer())
                .await
                .map_err(late)??;
        }
        seat.process.retire();
        Ok(self.missing.lock().clone().unwrap_or_default())
    }

    /// Forgets whose processes died.
    #[cfg(test)]
    pub(crate) fn forgive(&self) {
        self.pool.lock().troubled.clear();
    }

    /// Tells every process that a component is not called any more.
    pub(crate) fn unload(&self, slot: u64) {
        for process in &self.pool.lock().processes {
            process.unload(slot);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for process in &self.pool.get_mut().processes {
            process.retire();
        }
    }
}

/// A place in a process; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    workers: Arc<Workers>,
    pub(crate) process: Arc<Process>,
    memory_bytes: u64,
}

impl Seat {
    /// Asks the process; the frame is made from the number under which the answer comes, and the process's own questions.
    pub(crate) fn ask(
        &self,
        component: Option<&Component>,
        questions: Option<mpsc::UnboundedSender<Incoming>>,
        told: impl FnOnce(u64) -> ToWorker,
    ) -> Result<Asked<'_>, TooLarge> {
        let id = self.workers.next_id();
        let frame: Frame = told(id).frame();
        if frame.bytes() > TO_WORKER_BYTES_MAX {
            return Err(TooLarge { bytes: frame.bytes() });
        }
        Ok(Asked {
            process: &self.process,
            id,
            answered: self.process.ask(id, component, questions, frame),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.process.give_place_back(self.memory_bytes);
        self.workers.made_room();
    }
}

/// A question that no frame takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLarge {
    pub(crate) bytes: u64,
}

/// A question under way. Dropped before it is answered, it is taken back: a call that nobody waits for ends.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    process: &'a Process,
    id: u64,
    answered: oneshot::Receiver<Result<Reply, EngineError>>,
}

impl Asked<'_> {
    /// The number under which the answer comes.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// The answer; may be awaited again after it was left.
    pub(crate) async fn answer(&mut self) -> Result<Reply, EngineError> {
        let gone = |_| EngineError::WorkerDied {
            why: "it was ended".into(),
        };
        (&mut self.answered).await.map_err(gone)?
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.process.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_death_costs_nothing_and_each_further_one_twice_as_much_up_to_a_bound() {
        let last = Instant::now();
        let wait = |deaths| Trouble { deaths, last }.over_at() - last;
        let waits: Vec<u128> = (1..6).map(|deaths| wait(deaths).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800]);
        assert_eq!((wait(40), wait(u32::MAX)), (BACK_OFF_MAX, BACK_OFF_MAX));
    }

    fn workers(program: &str) -> Arc<Workers> {
        let config = WorkerConfig {
            program: program.into(),
            ..WorkerConfig::default()
        };
        let start = Start {
            tick_us: 2_000,
            calls_max: 1,
            ceiling: kinetic_model::Limits::CEILING,
            memory_bytes_max: 1 << 30,
        };
        Arc::new(Workers::new(config, start))
    }

    async fn check(workers: &Arc<Workers>, tenant: &str) -> EngineError {
        let deadline = Instant::now() + Duration::from_mins(1);
        let seat = match workers.seat(&tenant.into(), 1, false, deadline).await {
            Ok(seat) => seat,
            Err(error) => return error,
        };
        let mut asked = seat.ask(None, None, |id| ToWorker::Check { id, slot: 0 }).unwrap();
        asked.answer().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_program_that_is_no_worker_is_an_error_for_its_tenant_and_soon_not_started_any_more() {
        let workers = workers("/bin/false");
        let mut errors = Vec::new();
        // At first it is waited for, each time twice as long.
        for _ in 0..60 {
            errors.push(check(&workers, "a").await);
            if matches!(errors.last(), Some(EngineError::WorkerRestarting { .. })) {
                break;
            }
        }
        assert!(
            matches!(errors.first(), Some(EngineError::WorkerNotStarted { .. })),
            "{errors:?}"
        );
        assert!(
            matches!(errors.last(), Some(EngineError::WorkerRestarting { .. })),
            "{errors:?}"
        );
        assert!(matches!(
            check(&workers, "b").await,
            EngineError::WorkerNotStarted { .. }
        ));
        assert!(workers.status().is_empty());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = check(&workers("/nowhere/kinetic"), "a").await;
        assert!(
            matches!(&error, EngineError::WorkerNotStarted { why } if why.contains("start")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn two_tenants_never_share_a_process_and_one_takes_half_of_them_at_most() {
        // A program that says nothing and stays: it reads its socket for ever.
        let workers = workers("/bin/cat");
        let soon = || Instant::now() + Duration::from_millis(100);
        let mut seats = Vec::new();
        for _ in 0..4 {
            let seat = workers
                .seat(&"a".into(), workers.config.memory_bytes_max, false, soon())
                .await;
            seats.push(seat.unwrap());
        }
        let fifth = workers.seat(&"a".into(), 1, false, soon()).await;
        assert!(matches!(fifth, Err(EngineError::WorkersFull { .. })), "{fifth:?}");
        for _ in 0..4 {
            let seat = workers
                .seat(&"b".into(), workers.config.memory_bytes_max, false, soon())
                .await;
            seats.push(seat.unwrap());
        }
        assert!(workers.seat(&"c".into(), 1, false, soon()).await.is_err());
        // A call within one of theirs finds room where calls that begin find none.
        let within = workers.seat(&"a".into(), 1, true, soon()).await.unwrap();
        drop(within);
        // One that rests makes room for whoever has none; it is not handed over but ended.
        let rested = seats.remove(0).process.clone();
        let seat = workers.seat(&"c".into(), 1, false, soon()).await.unwrap();
        assert!(rested.is_retired() && !Arc::ptr_eq(&rested, &seat.process));
        assert!(seats.iter().chain([&seat]).all(|seat| !seat.process.is_retired()));
    }

    #[tokio::test]
    async fn a_process_that_is_behind_with_cancelled_calls_gets_no_more() {
        // It never says that one has ended.
        let workers = workers("/bin/cat");
        let deadline = Instant::now() + Duration::from_secs(30);
        let cancels = workers.config.calls_per_process_max;
        let seat = workers.seat(&"a".into(), 1, false, deadline).await.unwrap();
        let behind = seat.process.clone();
        for _ in 1..cancels {
            drop(seat.ask(None, None, |id| ToWorker::Check { id, slot: 0 }).unwrap());
        }
        drop(seat);
        let seat = workers.seat(&"a".into(), 1, false, deadline).await.unwrap();
        assert!(Arc::ptr_eq(&seat.process, &behind));
        drop(seat.ask(None, None, |id| ToWorker::Check { id, slot: 0 }).unwrap());
        drop(seat);
        let seat = workers.seat(&"a".into(), 1, false, deadline).await.unwrap();
        assert!(!Arc::ptr_eq(&seat.process, &behind));
    }
}
