//! One thread that takes all who wait, writes them together and then tells each: what a peer needs to commit in groups.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::Body;

/// How long the thread waits for as many as came last time; the ledger's own default.
const LINGER: Duration = Duration::from_micros(200);

#[derive(Default)]
struct Queue {
    bodies: Vec<Body>,
    waiters: Vec<oneshot::Sender<()>>,
    wake_at: usize,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The thread, and the way to it. Dropping it waits for the thread.
pub struct Group {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A way to append that tasks share.
#[derive(Clone)]
pub struct Appender(Arc<Shared>);

impl Group {
    /// `write` makes a group durable, which has `records_max` records at most.
    pub fn start(records_max: usize, mut write: impl FnMut(&[Body]) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let working = shared.clone();
        let thread = std::thread::spawn(move || {
            let (mut bodies, mut waiters) = (Vec::new(), Vec::new());
            while working.take(records_max, &mut bodies, &mut waiters) {
                write(&bodies);
                for waiter in waiters.drain(..) {
                    let _ = waiter.send(());
                }
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    pub fn appender(&self) -> Appender {
        Appender(self.shared.clone())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Shared {
    /// Waits for the next group; false when there will be none. The two come with the last group, whose room is used again.
    fn take(&self, records_max: usize, bodies: &mut Vec<Body>, waiters: &mut Vec<oneshot::Sender<()>>) -> bool {
        let before = bodies.len();
        let mut queue = self.queue.lock().unwrap();
        while queue.bodies.is_empty() {
            if queue.closing {
                return false;
            }
            queue = self.wake.wait(queue).unwrap();
        }
        let deadline = Instant::now() + LINGER;
        queue.wake_at = before;
        while queue.bodies.len() < before && !queue.closing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.wake.wait_timeout(queue, left).unwrap().0;
        }
        queue.wake_at = 0;
        bodies.clear();
        if queue.bodies.len() <= records_max {
            std::mem::swap(&mut queue.bodies, bodies);
            std::mem::swap(&mut queue.waiters, waiters);
        } else {
            bodies.extend(queue.bodies.drain(..records_max));
            waiters.extend(queue.waiters.drain(..records_max));
        }
        true
    }
}

impl Appender {
    /// Appends, and returns when it is durable.
    pub async fn append(&self, body: Body) {
        let (told, waiting) = oneshot::channel();
        {
            let mut queue = self.0.queue.lock().unwrap();
            queue.bodies.push(body);
            queue.waiters.push(told);
            if queue.bodies.len() == 1 || queue.bodies.len() == queue.wake_at {
                self.0.wake.notify_one();
            }
        }
        waiting.await.expect("the group was written");
    }
}
