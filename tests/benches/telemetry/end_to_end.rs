//! From an NDJSON push over HTTP to silver Parquet, through a real host with its defaults; and where its time goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_testkit::host::Host;
use serde_json::json;

use crate::process;

/// How long events are pushed, in seconds, unless TELEMETRY_SECONDS says so.
const SECONDS: u64 = 20;
/// Lines of one piece of a body.
const PIECE_LINES: u64 = 1_000;
/// Connections that push at once.
const CONNECTIONS: u64 = 2;

/// A chunk of an OpenAI-style stream in its envelope, about 220 bytes.
pub fn line(connection: u64, number: u64) -> String {
    let workflow = format!("wf-{connection}-{}", number / 50_000);
    format!(
        "{{\"workflow_id\":\"{workflow}\",\"intent_id\":\"intent-{}\",\"node_cid\":\"llm-{connection}\",\"sequence\":{},\
         \"data\":\"{{\\\"choices\\\":[{{\\\"index\\\":0,\\\"delta\\\":{{\\\"content\\\":\\\" token{}\\\"}}}}],\
         \\\"model\\\":\\\"SmolLM2-135M\\\",\\\"object\\\":\\\"chat.completion.chunk\\\"}}\"}}\n",
        number / 500,
        number % 500,
        number % 97,
    )
}

pub fn measure() {
    let seconds = std::env::var("TELEMETRY_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seconds: u64 = seconds.unwrap_or(SECONDS);
    let host = Host::start();
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    let resident_first = resident_bytes(host.pid());
    let pushing: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let url = host.url.clone();
            std::thread::spawn(move || push(&url, connection, until))
        })
        .collect();
    let mut resident = vec![resident_first];
    while Instant::now() < until {
        std::thread::sleep(Duration::from_secs(1));
        resident.push(resident_bytes(host.pid()));
    }
    let pushed: Vec<(u64, u64, u64)> = pushing.into_iter().map(|thread| thread.join().unwrap()).collect();
    let in_log = started.elapsed();
    let status = host.post("/api/v1/telemetry/flush", &json!({})).json();
    let took = started.elapsed();
    let [events, bytes, shed] = [0, 1, 2].map(|at| pushed.iter().map(|one| [one.0, one.1, one.2][at]).sum::<u64>());
    let cpu = threads(host.pid());
    let cpu_all: f64 = cpu.values().sum();
    println!(
        "{events} events of {} bytes in {:.1} s ({:.1} s until they were in the log), {shed} of them shed",
        bytes / events.max(1),
        took.as_secs_f64(),
        in_log.as_secs_f64(),
    );
    println!(
        "{:.0} events a second, push to silver and gold",
        events as f64 / took.as_secs_f64()
    );
    println!("{:.0} events a cpu-second of the host", events as f64 / cpu_all);
    for (name, seconds) in cpu {
        println!("  {name:<18} {seconds:6.2} cpu-s  {:4.1} %", seconds * 100.0 / cpu_all);
    }
    let mb = |bytes: &u64| format!("{:.0}", *bytes as f64 / 1e6);
    let shown: Vec<_> = resident.iter().step_by((resident.len() / 10).max(1)).map(mb).collect();
    println!("resident MB: {}", shown.join(" "));
    println!("{}", status["buffer"]);
}

/// Pushes on one connection until then; events, bytes and how many were shed.
fn push(url: &str, connection: u64, until: Instant) -> (u64, u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Made beforehand: what is measured is the host.
        let pieces: Vec<String> = (0..50)
            .map(|piece| {
                (piece * PIECE_LINES..(piece + 1) * PIECE_LINES)
                    .map(|n| line(connection, n))
                    .collect()
            })
            .collect();
        let (mut events, mut bytes, mut shed, mut round) = (0, 0, 0, 0_u64);
        let client = reqwest::Client::new();
        while Instant::now() < until {
            // Another round has other workflows, so that no event is one that silver has.
            let renamed: Vec<Bytes> = pieces
                .iter()
                .map(|piece| {
                    Bytes::from(piece.replace(&format!("wf-{connection}-"), &format!("wf-{connection}-{round}-")))
                })
                .collect();
            bytes += renamed.iter().map(|piece| piece.len() as u64).sum::<u64>();
            let stream = futures_util::stream::iter(renamed.into_iter().map(Ok::<_, std::io::Error>));
            let reply = client
                .post(format!("{url}/api/v1/telemetry/push"))
                .header("content-type", "application/x-ndjson")
                .body(reqwest::Body::wrap_stream(stream))
                .send()
                .await
                .unwrap();
            let answer: serde_json::Value = reply.json().await.unwrap();
            events += answer["kept"].as_u64().unwrap_or_else(|| panic!("{answer}"));
            shed += answer["shed"].as_u64().unwrap_or(0);
            events += answer["shed"].as_u64().unwrap_or(0);
            round += 1;
        }
        (events, bytes, shed)
    })
}

fn resident_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Processor seconds by the names of threads.
fn threads(pid: u32) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else {
            continue;
        };
        let Some((name, seconds)) = process::named(&stat) else {
            continue;
        };
        let name = name
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
            .to_string();
        *found.entry(name).or_insert(0.0) += seconds;
    }
    found
}
