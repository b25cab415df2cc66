//! Over HTTP: a real host, NDJSON pushed into it, and those who watch it as server-sent events; beside it asyncio.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_testkit::host::Host;
use kinetic_testkit::live::Frames;
use serde_json::json;

use super::WATCHERS;
use super::watchers::{Counts, Pace, Watchers};
use crate::end_to_end::line;
use crate::{cpu_seconds, peer, process};

const STREAM: &str = "/api/v1/telemetry/stream";
const PUSH: &str = "/api/v1/telemetry/push";
const FLUSH: &str = "/api/v1/telemetry/flush";
/// How long events are pushed each time.
const PUSHING: Duration = Duration::from_secs(6);
/// Lines of one piece of a body without end.
const PIECE_LINES: u64 = 1_000;
/// How many events may be pushed that somebody has not got: what is measured is not how they catch up. So much is in memory.
const AHEAD_MAX: u64 = 32_768;
/// The same of events that each are a batch of their own.
const AHEAD_SINGLE_MAX: u64 = 1_024;
/// Connections that push one event after the other.
const CONNECTIONS: u64 = 8;
/// Those who read 1 KB a second.
const SLOW: usize = 20;
/// Rounds with and without them, by turns.
const ROUNDS: usize = 2;
/// In this time an event that comes twice comes again.
const QUIET: Duration = Duration::from_millis(300);

/// What was delivered to those who read as fast as they can, and what it took.
#[derive(Default)]
struct Run {
    deliveries: f64,
    bytes: u64,
    seconds: f64,
    cpu_host: f64,
    cpu_readers: f64,
}

impl Run {
    fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.bytes += other.bytes;
        self.seconds += other.seconds;
        self.cpu_host += other.cpu_host;
        self.cpu_readers += other.cpu_readers;
    }

    fn rate(&self) -> f64 {
        self.deliveries / self.seconds
    }

    fn per_cpu_second(&self) -> f64 {
        self.deliveries / self.cpu_host
    }

    fn print(&self, what: &str) {
        println!(
            "over HTTP, {what}: {:.0} deliveries a second to {WATCHERS}, of {:.0} bytes; {:.0} per cpu-second of the host, {:.0} of \
             the host and of those who push and read; {:.0} events a second",
            self.rate(),
            self.bytes as f64 / self.deliveries,
            self.per_cpu_second(),
            self.deliveries / (self.cpu_host + self.cpu_readers),
            self.rate() / WATCHERS as f64,
        );
    }
}

/// How events come.
#[derive(Clone, Copy)]
enum Push {
    /// As one body of many lines.
    Stream,
    /// One in each body, on some connections.
    Single,
}

/// A host, and how many events of each connection it has.
struct Pushed {
    host: Host,
    lines: Vec<Arc<AtomicU64>>,
}

impl Pushed {
    /// Pushes for some time, with some slow readers beside the others, and checks what everybody got.
    fn run(&self, push: Push, slow: usize) -> Run {
        let address: SocketAddr = self.host.url.strip_prefix("http://").unwrap().parse().unwrap();
        let slow = (slow > 0).then(|| Watchers::open(address, STREAM, slow, Pace::Slow));
        let fast = Watchers::open(address, STREAM, WATCHERS, Pace::Fast);
        let (begun, cpu_host, cpu_readers) = (Instant::now(), process::cpu_seconds(self.host.pid()), cpu_seconds());
        let kept = self.push(push, &fast.counts);
        fast.wait_for(kept);
        let seconds = begun.elapsed().as_secs_f64();
        // Silver and gold of these events count as well, and not for the next run.
        self.host.post(FLUSH, &json!({})).json();
        let cpu_host = process::cpu_seconds(self.host.pid()) - cpu_host;
        let cpu_readers = cpu_seconds() - cpu_readers;
        std::thread::sleep(QUIET);
        let newest = Frames::open(&format!("{}{STREAM}", self.host.url), None)
            .frame()
            .unwrap();
        let seen = fast.stop();
        for seen in &seen {
            assert_eq!((seen.events, &seen.last_id), (kept, &seen_id(&newest)), "{newest}");
        }
        if let Some(slow) = slow {
            let bytes: u64 = slow.stop().iter().map(|seen| seen.bytes).sum();
            println!(
                "  {SLOW} slow ones took {:.1} KB a second each",
                bytes as f64 / begun.elapsed().as_secs_f64() / SLOW as f64 / 1e3
            );
        }
        Run {
            deliveries: (kept * WATCHERS as u64) as f64,
            bytes: seen.iter().map(|seen| seen.bytes).sum(),
            seconds,
            cpu_host,
            cpu_readers,
        }
    }

    /// Pushes for some time; how many events were kept.
    fn push(&self, push: Push, counts: &Counts) -> u64 {
        let until = Instant::now() + PUSHING;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::new();
            let url = format!("{}{PUSH}", self.host.url);
            match push {
                Push::Stream => stream(&client, &url, &self.lines[0], counts.clone(), until).await,
                Push::Single => {
                    let sent = AtomicU64::new(0);
                    let pushing = (1..=CONNECTIONS)
                        .zip(&self.lines[1..])
                        .map(|(connection, lines)| single(&client, &url, (connection, &**lines), counts, &sent, until));
                    futures_util::future::join_all(pushing).await.into_iter().sum()
                }
            }
        })
    }
}

/// The id in a stream's first frame: of the newest event.
fn seen_id(start: &str) -> String {
    let id = start.lines().find_map(|line| line.strip_prefix("id: "));
    id.unwrap_or_default().into()
}

/// Waits until less than so many events are on their way.
async fn ahead(sent: impl Fn() -> u64, counts: &Counts, ahead_max: u64) {
    while sent() >= counts.least() + ahead_max {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn stream(client: &reqwest::Client, url: &str, lines: &Arc<AtomicU64>, counts: Counts, until: Instant) -> u64 {
    let first = lines.load(Ordering::Relaxed);
    let pieces = futures_util::stream::unfold((lines.clone(), counts), move |(lines, counts)| async move {
        let from = lines.load(Ordering::Relaxed);
        ahead(|| from - first, &counts, AHEAD_MAX).await;
        if Instant::now() >= until {
            return None;
        }
        let to = from + PIECE_LINES;
        lines.store(to, Ordering::Relaxed);
        let piece: String = (from..to).map(|number| line(0, number)).collect();
        Some((Ok::<_, std::io::Error>(Bytes::from(piece)), (lines, counts)))
    });
    kept(client, url, reqwest::Body::wrap_stream(pieces)).await
}

async fn single(
    client: &reqwest::Client,
    url: &str,
    (connection, lines): (u64, &AtomicU64),
    counts: &Counts,
    sent: &AtomicU64,
    until: Instant,
) -> u64 {
    let mut all = 0;
    while Instant::now() < until {
        ahead(|| sent.load(Ordering::Relaxed), counts, AHEAD_SINGLE_MAX).await;
        sent.fetch_add(1, Ordering::Relaxed);
        let number = lines.fetch_add(1, Ordering::Relaxed);
        all += kept(client, url, line(connection, number).into()).await;
    }
    all
}

async fn kept(client: &reqwest::Client, url: &str, body: reqwest::Body) -> u64 {
    let request = client.post(url).header("content-type", "application/x-ndjson");
    let reply = request.body(body).send().await.unwrap();
    let answer: serde_json::Value = reply.json().await.unwrap();
    assert_eq!(answer["rejected"], 0, "{answer}");
    answer["kept"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// The same from asyncio, so many events written at once; deliveries per cpu-second.
fn asyncio(events: u64) -> Option<f64> {
    let arguments = [WATCHERS.to_string(), PUSHING.as_secs().to_string(), events.to_string()];
    let mut serving = peer::serve("sse_fanout.py", &arguments.each_ref().map(String::as_str))?;
    let port = serving.line()["port"].as_u64().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    let watchers = Watchers::open(address, STREAM, WATCHERS, Pace::Fast);
    let told = serving.line();
    let events = told["events"].as_u64().unwrap();
    watchers.wait_for(events);
    assert!(watchers.stop().iter().all(|seen| seen.events == events));
    told["deliveries_per_cpu_s"].as_f64()
}

pub fn measure() {
    let pushed = Pushed {
        host: Host::start(),
        lines: (0..=CONNECTIONS).map(|_| Arc::default()).collect(),
    };
    let (mut without, mut with) = (Run::default(), Run::default());
    for _ in 0..ROUNDS {
        without.add(&pushed.run(Push::Stream, 0));
        with.add(&pushed.run(Push::Stream, SLOW));
    }
    without.print("one body of many lines");
    with.print(&format!("{SLOW} slow ones beside them"));
    println!(
        "with slow ones the others have {:.2} of the rate, and {:.2} of it per cpu-second of the host",
        with.rate() / without.rate(),
        with.per_cpu_second() / without.per_cpu_second()
    );
    let single = pushed.run(Push::Single, 0);
    single.print(&format!("one event in a body, {CONNECTIONS} connections"));
    for (what, ours, events) in [("many lines", &without, PIECE_LINES), ("single events", &single, 1)] {
        if let Some(theirs) = asyncio(events) {
            println!("ratio to asyncio, {what}: {:.2}", ours.per_cpu_second() / theirs);
        }
    }
}
