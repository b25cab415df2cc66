//! One task for each trigger of the active capsules, started and stopped as the active set changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kinetic_model::Urn;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::backoff::Backoff;
use super::stop::Stop;
use super::topic::Lane;
use super::{ExecutorSettings, Trigger, When, clock};
use crate::Kernel;
use crate::kernel::WeakKernel;

/// A trigger of a capsule.
type Key = (Urn, Trigger);

/// The executors of a kernel. Dropped, they end between two calls; so they do when the kernel ends.
#[derive(Debug)]
pub struct Executors {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl Kernel {
    /// Lets events and the clock call the capsules whose manifests say so, from now on and whatever takes their place.
    pub fn start_executors(&self) -> Executors {
        let (sender, stop) = Stop::new();
        let supervisor = tokio::spawn(supervise(self.downgrade(), self.changes(), self.0.executors, stop));
        Executors {
            stop: sender,
            supervisor,
        }
    }
}

impl Executors {
    /// Makes no more calls, and waits so long for those under way; then they are cut off, and recorded as cancelled.
    pub async fn stop(self, within: Duration) {
        let Self { stop, mut supervisor } = self;
        stop.send_replace(true);
        if tokio::time::timeout(within, &mut supervisor).await.is_err() {
            supervisor.abort();
            let _ = supervisor.await;
        }
    }
}

/// A trigger's task.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Running {
    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Whether its task has ended.
    fn is_over(&mut self) -> bool {
        while self.task.try_join_next().is_some() {}
        self.task.is_empty()
    }
}

async fn supervise(kernel: WeakKernel, mut changes: watch::Receiver<u64>, settings: ExecutorSettings, mut stop: Stop) {
    let mut running: BTreeMap<Key, Running> = BTreeMap::new();
    loop {
        let Some(alive) = kernel.upgrade() else { break };
        changes.mark_unchanged();
        let wanted = wanted(&alive);
        for (key, task) in running.iter().filter(|(key, _)| !wanted.contains(*key)) {
            task.stop.send_replace(true);
            alive.0.board.forget(key);
        }
        drop(alive);
        running.retain(|key, task| wanted.contains(key) || !task.is_over());
        for key in wanted {
            let before = match running.remove(&key) {
                Some(task) if !task.is_stopping() => {
                    running.insert(key, task);
                    continue;
                }
                // It was taken away and is back, while a call of it still runs: one at a time.
                stopping => stopping.map(|stopping| stopping.task),
            };
            running.insert(key.clone(), begin(&kernel, key, settings, before));
        }
        tokio::select! {
            () = stop.asked() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    for task in running.values() {
        task.stop.send_replace(true);
    }
    for (_, mut task) in running {
        while task.task.join_next().await.is_some() {}
    }
}

fn wanted(kernel: &Kernel) -> BTreeSet<Key> {
    let of = |capsule: &std::sync::Arc<crate::Capsule>| {
        let triggers = capsule.manifest.triggers.iter();
        triggers
            .map(|trigger| (capsule.manifest.id.clone(), trigger.clone()))
            .collect::<Vec<Key>>()
    };
    kernel.list().iter().flat_map(of).collect()
}

/// Begins a trigger's task; it waits for the end of the one before.
fn begin(kernel: &WeakKernel, key: Key, settings: ExecutorSettings, before: Option<JoinSet<()>>) -> Running {
    let (sender, stop) = Stop::new();
    let kernel = kernel.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        if let Some(mut before) = before {
            while before.join_next().await.is_some() {}
        }
        run(kernel, key, settings, stop).await;
    });
    Running { stop: sender, task }
}

async fn run(kernel: WeakKernel, key: Key, settings: ExecutorSettings, stop: Stop) {
    let When::Topic(topic) = key.1.when.clone() else {
        return clock::run(kernel, key, stop).await;
    };
    let lanes = settings.events_running_max.max(1);
    let mut all = JoinSet::new();
    for number in 0..lanes {
        let lane = Lane {
            kernel: kernel.clone(),
            key: key.clone(),
            topic: topic.clone(),
            number,
            lanes,
            stop: stop.clone(),
            backoff: Backoff::new(settings),
        };
        all.spawn(lane.run());
    }
    while all.join_next().await.is_some() {}
}
