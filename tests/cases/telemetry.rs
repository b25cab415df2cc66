//! Telemetry of a real host: pushed over HTTP or ingested, through both components to the tables, and what they add up to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use kinetic_medallion::files::read_all;
use kinetic_testkit::batches::{numbers, texts};
use kinetic_testkit::guests::root;
use kinetic_testkit::host::{Host, Reply, kinetic_in};
use kinetic_testkit::parts;
use serde_json::{Value, json};

const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";

fn push(host: &Host, lines: &str) -> Reply {
    let headers = [("content-type", "application/x-ndjson")];
    host.send("POST", "/api/v1/telemetry/push", &headers, lines.to_string())
}

fn flushed(host: &Host) -> Value {
    let reply = host.post("/api/v1/telemetry/flush", &json!({}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn table(host: &Path, name: &str) -> Vec<RecordBatch> {
    read_all(&host.join("data").join(name))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

fn sum(counts: &Value) -> u64 {
    counts
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_u64().unwrap())
        .sum()
}

/// Everything that arrived is in a table, or counted as dropped.
fn conserved(folder: &Path, status: &Value) {
    let totals = &status["totals"];
    let bronze = rows(&table(folder, "bronze/events"));
    let rejected = rows(&table(folder, "bronze/rejects"));
    let shed: u64 = table(folder, "bronze/shed")
        .iter()
        .flat_map(|batch| numbers(batch, "events"))
        .map(Option::unwrap)
        .sum();
    assert_eq!(bronze, sum(&totals["kept"]), "{status:#}");
    assert_eq!(shed, sum(&totals["shed"]), "{status:#}");
    assert_eq!(rejected, totals["rejected"].as_u64().unwrap(), "{status:#}");
    assert_eq!(
        totals["arrived"].as_u64().unwrap(),
        bronze + shed + rejected,
        "{status:#}"
    );
}

fn event(workflow: &str, sequence: u64, token: &str) -> String {
    json!({ "workflow_id": workflow, "intent_id": "i", "node_cid": "n", "sequence": sequence,
        "data": json!({ "choices": [{ "index": 0, "delta": { "content": token } }] }).to_string() })
    .to_string()
}

/// What the file adds up to by workflow, counted by CPython alone.
fn counted_by_python(file: &Path) -> Value {
    let program = "
import json, sys
totals = {}
for line in open(sys.argv[1], encoding='utf-8'):
    event = json.loads(line)
    workflow = totals.setdefault(event['workflow_id'], {'events': 0, 'nodes': set(), 'intents': set(),
        'prompt_tokens': 0, 'completion_tokens': 0, 'cached_tokens': 0, 'first': None, 'last': None})
    workflow['events'] += 1
    workflow['nodes'].add(event['node_cid'])
    workflow['intents'].add(event['intent_id'])
    at = event['received_unix_ns']
    workflow['first'] = at if workflow['first'] is None else min(workflow['first'], at)
    workflow['last'] = at if workflow['last'] is None else max(workflow['last'], at)
    data = event['data']
    if data != '[DONE]':
        usage = json.loads(data).get('usage') or {}
        workflow['prompt_tokens'] += usage.get('prompt_tokens', 0)
        workflow['completion_tokens'] += usage.get('completion_tokens', 0)
        workflow['cached_tokens'] += (usage.get('prompt_tokens_details') or {}).get('cached_tokens', 0)
for workflow in totals.values():
    workflow['nodes'] = len(workflow['nodes'])
    workflow['intents'] = len(workflow['intents'])
print(json.dumps(totals))";
    let output = Command::new(std::env::var("MCP_PYTHON").unwrap_or("python3".into()))
        .args(["-c", program])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_totals(gold: &Value, expected: &Value) {
    let metrics = gold["metrics"].as_array().unwrap();
    let rows: BTreeMap<_, _> = metrics
        .iter()
        .map(|row| (row["workflow_id"].as_str().unwrap_or(""), row))
        .collect();
    for (workflow, expected) in expected.as_object().unwrap() {
        let row = rows
            .get(workflow.as_str())
            .unwrap_or_else(|| panic!("no {workflow} in {gold:#}"));
        for (ours, theirs) in [
            ("events", "events"),
            ("unique_nodes", "nodes"),
            ("intents", "intents"),
            ("prompt_tokens", "prompt_tokens"),
            ("completion_tokens", "completion_tokens"),
            ("cached_tokens", "cached_tokens"),
            ("first_unix_ns", "first"),
            ("last_unix_ns", "last"),
        ] {
            assert_eq!(row[ours], expected[theirs], "{ours} of {workflow}");
        }
    }
}

#[test]
fn real_data_becomes_gold_with_the_totals_another_tool_counts() {
    let data = root().join("tests/data/llm-stream.jsonl");
    let expected = counted_by_python(&data);
    let host = Host::start();
    let said = host.kinetic(&["ingest", &data.display().to_string()]).fine().json();
    let lines = std::fs::read_to_string(&data).unwrap().lines().count() as u64;
    assert_eq!(
        (said["arrived"].as_u64(), said["kept"].as_u64()),
        (Some(lines), Some(lines)),
        "{said:#}"
    );
    let gold = host.kinetic(&["gold"]).fine().json();
    assert_totals(&gold, &expected);
    conserved(&host.folder, &flushed(&host));
    // The same file again says nothing new.
    host.kinetic(&["ingest", &data.display().to_string()]).fine();
    assert_totals(&host.kinetic(&["gold"]).fine().json(), &expected);
    assert_eq!(flushed(&host)["storage"]["duplicates"], json!(lines));
}

#[test]
fn a_data_folder_alone_gives_the_same_totals_and_a_rebuild_the_same_bytes() {
    let data = root().join("tests/data/llm-stream.jsonl");
    let expected = counted_by_python(&data);
    let folder = tempfile::tempdir().unwrap();
    let kinetic = |args: &[&str]| {
        let mut all = vec!["--output", "json", "--data", "data"];
        all.extend(args);
        kinetic_in(folder.path(), &[], &all).fine().json()
    };
    let file = data.display().to_string();
    kinetic(&["ingest", &file]);
    // A second part, so that more than one file is made again.
    kinetic(&["ingest", &file]);
    assert_totals(&kinetic(&["gold"]), &expected);
    let tables = || -> BTreeMap<PathBuf, Vec<u8>> {
        let folders = ["silver/events", "silver/rejects", "gold"].map(|name| folder.path().join("data").join(name));
        let files = folders.iter().filter(|folder| folder.exists()).flat_map(|folder| {
            let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            files
                .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
                .collect::<Vec<_>>()
        });
        files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    };
    let before = tables();
    assert!(before.len() >= 5, "{:?}", before.keys());
    kinetic(&["rebuild", "--from", "bronze"]);
    let after = tables();
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, bytes) in &before {
        assert!(after[path] == *bytes, "{} differs", path.display());
    }
}

#[test]
fn a_push_may_be_an_object_an_array_or_lines_and_nothing_of_it_vanishes() {
    let host = Host::start();
    let one = host.post(
        "/api/v1/telemetry/push",
        &json!({ "workflow_id": "w", "data": "[DONE]" }),
    );
    assert_eq!(
        (one.status, one.json()["kept"].as_u64()),
        (200, Some(1)),
        "{}",
        one.text()
    );
    let many = host.post(
        "/api/v1/telemetry/push",
        &json!([{ "workflow_id": "w" }, { "jsonrpc": "2.0", "method": "x" }]),
    );
    assert_eq!(many.json()["kept"], json!(2), "{}", many.text());
    let lines = format!("{}\nnot json\n[1]\n{}\n", event("w", 7, "a"), event("w", 8, "b"));
    let mixed = push(&host, &lines).json();
    assert_eq!(
        (
            mixed["arrived"].as_u64(),
            mixed["kept"].as_u64(),
            mixed["rejected"].as_u64()
        ),
        (Some(4), Some(2), Some(2))
    );
    assert_eq!(mixed["rejects"][0]["line"], json!(2));
    let reply = host.send("POST", "/api/v1/telemetry/push", &[("content-type", "text/html")], "x");
    assert_eq!(reply.problem(415), "KIN-GWY-0009");
    conserved(&host.folder, &flushed(&host));
    let data: Vec<_> = table(&host.folder, "bronze/rejects")
        .iter()
        .flat_map(|batch| {
            texts(batch, "data")
                .into_iter()
                .map(|text| text.unwrap().to_string())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(data, ["not json", "[1]"]);
}

#[test]
fn a_call_becomes_telemetry_once() {
    let folder = tempfile::tempdir().unwrap();
    let capability = |host: &Host| {
        let started = Instant::now();
        loop {
            let gold = host.get("/api/v1/telemetry/gold").json();
            let rows = gold["capabilities"].as_array().unwrap();
            let row = rows.iter().find(|row| row["capsule"] == REDACT).cloned();
            if let Some(row) = row.filter(|row| row["calls"] == json!(3)) {
                return row;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{gold:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let mut host = Host::start_in(folder.path(), &[]);
    for text in ["one", "two", "ann@example.com"] {
        assert_eq!(host.execute(REDACT, "scrub", json!({ "text": text })).status, 200);
    }
    let row = capability(&host);
    assert_eq!(
        (row["errors"].as_u64(), row["function"].as_str()),
        (Some(0), Some("scrub")),
        "{row:#}"
    );
    assert!(
        row["fuel_total"].as_u64() > Some(0) && row["memory_peak_bytes_max"].as_u64() > Some(0),
        "{row:#}"
    );
    host.stop();
    let host = Host::start_in(folder.path(), &[]);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(capability(&host), row);
}

#[test]
fn another_component_takes_the_stream_buffers_place_and_goes_on_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &[]);
    let author = parts::author(&host);
    let unnumbered = |count: usize| format!("{}\n", json!({ "workflow_id": "w", "intent_id": "i" })).repeat(count);
    assert_eq!(push(&host, &unnumbered(3)).json()["kept"], json!(3));
    let component = parts::good("stream-buffer", 1);
    parts::stage(&host, &author, "stream-buffer", "1.1.0", &component);
    let swapped = parts::swap(&host, parts::STREAM_BUFFER, "1.1.0").json();
    let digest = json!(kinetic_model::Digest::of(&component).to_string());
    assert_eq!(swapped["to"]["digest"], digest, "{swapped:#}");
    assert_eq!(push(&host, &unnumbered(2)).json()["kept"], json!(2));
    host.stop();
    let host = Host::start_in(folder.path(), &[]);
    assert_eq!(push(&host, &unnumbered(1)).json()["kept"], json!(1));
    let status = flushed(&host);
    assert_eq!(status["buffer"]["component"]["digest"], digest, "the choice holds");
    let sequences: Vec<_> = table(folder.path(), "silver/events")
        .iter()
        .flat_map(|batch| numbers(batch, "sequence"))
        .collect();
    assert_eq!(sequences, (0..6).map(Some).collect::<Vec<_>>());
}

/// Pushes numbered events of a few workflows while the host is killed again and again; what was not answered is sent again.
#[test]
fn soak_a_host_that_is_killed_while_events_flow_neither_loses_nor_doubles_one() {
    let kills: u64 = match std::env::var("SOAK_SECONDS") {
        Ok(_) => 50,
        Err(_) => 5,
    };
    const BATCH: u64 = 500;
    let folder = tempfile::tempdir().unwrap();
    let quick = [("KINETIC_TELEMETRY__PART_AGE_MS", "150")];
    let (mut next, mut kill) = (0_u64, 0);
    let mut host = Host::start_in(folder.path(), &quick);
    while kill < kills {
        let dies_at = Instant::now() + Duration::from_millis(200 + 137 * (kill % 7));
        let killer = {
            let pid = host.pid().to_string();
            std::thread::spawn(move || {
                std::thread::sleep(dies_at.saturating_duration_since(Instant::now()));
                Command::new("kill").args(["-KILL", &pid]).status().unwrap()
            })
        };
        let client = pushing::client(&host.url);
        while let Some(true) = client(&batch(next, BATCH)) {
            next += BATCH;
        }
        killer.join().unwrap();
        host.kill();
        kill += 1;
        host = Host::start_in(folder.path(), &quick);
    }
    assert_eq!(push(&host, &batch(next, BATCH)).status, 200);
    next += BATCH;
    let status = flushed(&host);
    conserved(folder.path(), &status);
    let mut found: Vec<(String, u64)> = Vec::new();
    for rows in table(folder.path(), "silver/events") {
        let workflows = texts(&rows, "workflow_id");
        found.extend(
            workflows
                .into_iter()
                .zip(numbers(&rows, "sequence"))
                .map(|(w, n)| (w.unwrap().to_string(), n.unwrap())),
        );
    }
    found.sort();
    let mut expected: Vec<_> = (0..next).map(|n| (format!("w{}", n % 3), n)).collect();
    expected.sort();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "each event is in silver once");
}

fn batch(from: u64, count: u64) -> String {
    (from..from + count)
        .map(|n| event(&format!("w{}", n % 3), n, "tok") + "\n")
        .collect()
}

mod pushing {
    //! A client that takes a broken connection for an answer.

    pub fn client(url: &str) -> impl Fn(&str) -> Option<bool> + use<> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = reqwest::Client::new();
        let url = format!("{url}/api/v1/telemetry/push");
        move |lines| {
            let request = client
                .post(&url)
                .header("content-type", "application/x-ndjson")
                .body(lines.to_string());
            runtime.block_on(async {
                let response = request.send().await.ok()?;
                let status = response.status();
                response.bytes().await.ok()?;
                Some(status.is_success())
            })
        }
    }
}
