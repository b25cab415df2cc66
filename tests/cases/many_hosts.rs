//! Many real hosts that never saw a capsule ask one registry for it at once: each fetches and compiles it once, and the
//! registry holds little of it.

use std::time::Duration;

use futures_util::future::join_all;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::between::Between;
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use kinetic_testkit::registry_server::RegistryPlace;
use kinetic_testkit::swappable::events;
use serde_json::{Value, json};

const CROWD: &str = "urn:tests:actionspace:solver:crowd:v1";
const HOSTS: usize = 50;
/// Hosts that are started at a time: a machine has few processors.
const STARTING: usize = 5;
/// First calls of each host at the same moment.
const CALLS: usize = 4;
const PADDING_BYTES: usize = 2_097_152;
/// What the registry's memory may grow by, whoever and however many ask; one copy for each host would be 100 MiB.
const GROWTH_BYTES_MAX: u64 = 67_108_864;
/// How far the whole crowd stands back behind the tests that run beside it.
const NICENESS: i32 = 15;

/// A small host that waits as long as it must.
const SMALL: [(&str, &str); 6] = [
    ("KINETIC_TELEMETRY__ENABLED", "false"),
    ("KINETIC_ENGINE__POOL_INSTANCES", "16"),
    ("KINETIC_LEDGER__SEGMENT_BYTES", "1048576"),
    ("KINETIC_ZONES__SESSION__WAIT_MS_MAX", "120000"),
    ("KINETIC_REGISTRY__ANSWER_TIMEOUT_MS", "120000"),
    ("KINETIC_REGISTRY__DOWNLOAD_WINDOW_MS", "120000"),
];

/// Hosts that know the registry at that URL and believe that key, each in a folder of its own.
fn crowd(url: &str, key: &str) -> Vec<Host> {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Host::start_in(folder.path(), &SMALL);
    first.kinetic(&["--data", "data", "keys", "trust", "tests", key]).fine();
    first.stop();
    let variables = [&SMALL[..], &[("ECOSYSTEM_REGISTRY_URL", url)]].concat();
    let some = || -> Vec<Host> {
        let hosts = (0..HOSTS / STARTING).map(|_| Host::start_like(folder.path(), &variables));
        hosts.collect()
    };
    std::thread::scope(|threads| {
        let starting: Vec<_> = (0..STARTING).map(|_| threads.spawn(some)).collect();
        let hosts = starting.into_iter().flat_map(|thread| thread.join().unwrap());
        hosts.collect()
    })
}

/// How often the host gave a component to its compiler.
fn compilations(host: &Host) -> u64 {
    let metrics = host.get("/metrics").text();
    let mut lines = metrics.lines();
    let counted = lines.find_map(|line| line.strip_prefix("kinetic_compilations_total "));
    counted.unwrap().parse().unwrap()
}

/// How many versions of the capsule came so far on the host, by its records.
fn loaded(host: &Host) -> usize {
    let all = events(host, "kinetic.lifecycle.v1").into_iter();
    all.filter(|event| event["capsule"]["urn"] == CROWD && event["to"] == "loaded")
        .count()
}

async fn call(client: &reqwest::Client, host: &str) -> Value {
    let body = json!({ "toolName": CROWD, "function": "echo", "intent": { "text": host } });
    let asked = client
        .post(format!("{host}/api/v1/capabilities/execute"))
        .json(&body)
        .send();
    let answer = asked.await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

#[test]
fn fifty_hosts_that_ask_one_registry_at_once_each_fetch_and_compile_once_and_its_memory_stays_flat() {
    // Of this test's thread, and so of everything that it starts.
    rustix::process::setpriority_process(None, NICENESS).unwrap();
    let place = RegistryPlace::new();
    let server = place.serve();
    let between = Between::before(&server.url);
    let component = guests::with_padding(&guests::padded_echo(10_000, 0), b"", PADDING_BYTES);
    let body = publication(&manifest("crowd", "1.0.0"), &component, &place.key);
    assert_eq!(server.publish(&place.token, &body).status, 201);
    let hosts = crowd(&between.url, &place.key.public().to_string());
    assert_eq!(hosts.len(), HOSTS);
    let compiled: Vec<u64> = hosts.iter().map(compilations).collect();
    assert!(between.downloads().is_empty());
    let before = server.peak_bytes();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answers = runtime.block_on(async {
        let patient = reqwest::Client::builder().timeout(Duration::from_secs(300));
        let client = &patient.build().unwrap();
        let each = hosts.iter().flat_map(|host| [host.url.as_str(); CALLS]);
        join_all(each.map(|host| async move { (host, call(client, host).await) })).await
    });
    assert_eq!(answers.len(), HOSTS * CALLS);
    for (host, answer) in answers {
        assert_eq!(answer["output"], json!(host), "{answer:#}");
    }
    let grown = server.peak_bytes() - before;
    assert!(
        grown < GROWTH_BYTES_MAX,
        "{grown} bytes more for {HOSTS} hosts of {} bytes each",
        component.len()
    );
    let downloads = between.downloads();
    let sent: u64 = downloads.iter().map(|passed| passed.bytes).sum();
    assert_eq!(
        (downloads.len(), sent),
        (HOSTS, (HOSTS * component.len()) as u64),
        "each host was sent it once"
    );
    for (host, before) in hosts.iter().zip(compiled) {
        assert_eq!((compilations(host), loaded(host)), (before + 1, 1), "{}", host.url);
    }
}
