//! So many tasks, each waiting for its own acknowledgement before it appends again: what every store is measured with.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

const WARM_UP: Duration = Duration::from_millis(300);

/// What one round showed.
pub struct Run {
    done: u64,
    seconds: f64,
    cpu_seconds: f64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Run {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Processor time of the whole process, those who append included, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.done as f64
    }

    /// The round in the middle, by rate.
    pub fn median(mut runs: Vec<Self>) -> Self {
        runs.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
        let middle = runs.len() / 2;
        runs.swap_remove(middle)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0}/s, {:.2} us of cpu each, p50 {:.1} us, p99 {:.1} us",
            self.per_second(),
            self.cpu_us(),
            self.p50.as_secs_f64() * 1e6,
            self.p99.as_secs_f64() * 1e6
        )
    }
}

/// Processor time of this process, all threads, user and system: what `getrusage` gives, in nanoseconds.
pub fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Tasks on a runtime of two threads do one thing after the other for a while. What ended within the time counts.
pub fn fly<Fut>(
    runtime: &Runtime,
    in_flight: usize,
    time: Duration,
    once: impl Fn() -> Fut + Clone + Send + 'static,
) -> Run
where
    Fut: Future<Output = ()> + Send,
{
    let from = Instant::now() + WARM_UP;
    let until = from + time;
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let once = once.clone();
            runtime.spawn(async move {
                let mut took_ns: Vec<u32> = Vec::with_capacity(1 << 16);
                let mut began = Instant::now();
                while began < until {
                    once().await;
                    let ended = Instant::now();
                    if from <= ended && ended <= until {
                        took_ns.push(u32::try_from((ended - began).as_nanos()).unwrap_or(u32::MAX));
                    }
                    began = ended;
                }
                took_ns
            })
        })
        .collect();
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    let cpu_before = cpu_seconds();
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    let cpu_seconds = cpu_seconds() - cpu_before;
    let mut took_ns: Vec<u32> = tasks
        .into_iter()
        .flat_map(|task| runtime.block_on(task).unwrap())
        .collect();
    assert!(!took_ns.is_empty(), "nothing was done within {time:?}");
    let mut quantile = |share: f64| {
        let at = ((took_ns.len() - 1) as f64 * share) as usize;
        Duration::from_nanos(u64::from(*took_ns.select_nth_unstable(at).1))
    };
    let (p50, p99) = (quantile(0.5), quantile(0.99));
    Run {
        done: took_ns.len() as u64,
        seconds: time.as_secs_f64(),
        cpu_seconds,
        p50,
        p99,
    }
}
