//! Swaps, a third of them to broken versions, while thousands of calls a minute and a stream of events flow.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use kinetic_medallion::files::read_all;
use kinetic_testkit::batches::{numbers, texts};
use kinetic_testkit::host::Host;
use kinetic_testkit::parts;
use kinetic_testkit::swappable::{
    Author, CAREFUL, COUNTER, Kind, PURE, digest, process, quarantined, swap_to_broken, version, wait_for,
};
use serde_json::{Value, json};

use super::{created, lawful, swap};
use crate::ledger::Caller;

/// So many who call each of both capsules, and how often each one does at most.
const CALLERS: u64 = 3;
const PERIOD: Duration = Duration::from_millis(8);
/// In a soak, which has the machine to itself.
const CALLS_A_MINUTE_MIN: f64 = 10_000.0;
/// Each good swap waits for twice as many calls.
const CALLS_A_ROUND_MIN: u64 = 20;
/// Events that come at once, and how often.
const EVENTS: u64 = 10;
const EVENTS_PERIOD: Duration = Duration::from_millis(20);
const WORKFLOW: &str = "under-load";

/// In turn, so that the first ones are there in a short run, too.
const BROKEN_COUNTERS: [Kind; 8] = [
    Kind::StartTraps,
    Kind::OtherShape,
    Kind::WritesBadState,
    Kind::MissingImport,
    Kind::Slow,
    Kind::ReadsOnlyItsOwn,
    Kind::TrapsWhenMade,
    Kind::StartRefuses,
];
const BROKEN_PURE: [Kind; 7] = [
    Kind::TrapsInSome,
    Kind::AnswersOtherwise,
    Kind::TrapsWhenMade,
    Kind::Slow,
    Kind::TrapsInCalls,
    Kind::OtherShape,
    Kind::MissingImport,
];

/// Ends the load also when a check fails: a scope waits for its threads.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How the calls went.
#[derive(Default)]
struct Told {
    calls: u64,
    longest: Duration,
    failed: Vec<String>,
}

/// Calls again and again, once a period at most.
fn call_on(url: &str, stop: &AtomicBool, mut one: impl FnMut(&mut Caller, u64) -> Result<(), String>) -> Told {
    let mut caller = Caller::connect(url).unwrap();
    let (mut told, mut next) = (Told::default(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        told.failed.extend(one(&mut caller, told.calls).err());
        told.calls += 1;
        told.longest = told.longest.max(begun.elapsed());
        next = (next + PERIOD).max(begun);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    told
}

/// What a call answered; anything but a good answer is an error.
fn answer(caller: &mut Caller, urn: &str, function: &str, intent: &Value) -> Result<Value, String> {
    let mut answer = caller
        .execute(urn, function, intent)
        .map_err(|error| error.to_string())?;
    if answer["success"] == json!(true) {
        return Ok(answer["output"].take());
    }
    Err(answer.to_string())
}

/// Adds one again and again; gives all sums it was told.
fn count_on(url: &str, stop: &AtomicBool) -> (Told, Vec<u64>) {
    let mut sums = Vec::new();
    let told = call_on(url, stop, |caller, _| {
        let sum = answer(caller, COUNTER, "add", &json!({ "n": 1 }))?;
        sums.push(sum.as_u64().ok_or_else(|| sum.to_string())?);
        Ok(())
    });
    (told, sums)
}

/// Twists texts of all lengths; each answer has to be right.
fn twist_on(url: &str, stop: &AtomicBool, caller_number: u64) -> Told {
    call_on(url, stop, |caller, call| {
        let text = format!("{caller_number}-{call}{}", "x".repeat((call % 5) as usize));
        let twisted = answer(caller, PURE, "twist", &json!({ "text": text }))?;
        let backwards: String = text.chars().rev().collect();
        if twisted == json!(backwards) {
            return Ok(());
        }
        Err(format!("{text} became {twisted}"))
    })
}

/// One request that brings numbered events until it is stopped; gives how many, and what the host said of them.
fn push_on(url: &str, stop: &Arc<AtomicBool>) -> (u64, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sent = Arc::new(Mutex::new(0));
    let state = (0_u64, stop.clone(), sent.clone());
    let lines = futures_util::stream::unfold(state, |(next, stop, sent)| async move {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        tokio::time::sleep(EVENTS_PERIOD).await;
        let data = json!({ "choices": [{ "index": 0, "delta": { "content": "tok" } }] }).to_string();
        let event =
            |n: u64| json!({ "workflow_id": WORKFLOW, "intent_id": "i", "node_cid": "n", "sequence": n, "data": data });
        let lines: String = (next..next + EVENTS).map(|n| format!("{}\n", event(n))).collect();
        let next = next + EVENTS;
        *sent.lock().unwrap() = next;
        Some((Ok::<_, Infallible>(lines), (next, stop, sent)))
    });
    let request = reqwest::Client::new()
        .post(format!("{url}/api/v1/telemetry/push"))
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(lines));
    let said = runtime.block_on(async {
        let reply = request.send().await.unwrap();
        let status = reply.status().as_u16();
        let text = reply.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    });
    let sent = *sent.lock().unwrap();
    (sent, said)
}

fn table(host: &Host, name: &str) -> Vec<RecordBatch> {
    let batches = read_all(&host.folder.join("data").join(name)).unwrap();
    batches.map(Result::unwrap).collect()
}

fn sum(counts: &Value) -> u64 {
    counts
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_u64().unwrap())
        .sum()
}

/// Every event that was sent arrived once, and is in the tables once or counted as dropped.
fn conserved(host: &Host, sent: u64, said: &Value) {
    assert_eq!(
        (&said["arrived"], &said["rejected"]),
        (&json!(sent), &json!(0)),
        "{said:#}"
    );
    let [kept, shed] = ["kept", "shed"].map(|name| said[name].as_u64().unwrap());
    assert_eq!(sent, kept + shed, "{said:#}");
    let reply = host.post("/api/v1/telemetry/flush", &json!({}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let totals = &reply.json()["totals"];
    let all = sum(&totals["kept"]) + sum(&totals["shed"]) + totals["rejected"].as_u64().unwrap();
    assert_eq!(totals["arrived"].as_u64().unwrap(), all, "{totals:#}");
    for name in ["bronze/events", "silver/events"] {
        let mut found = HashSet::new();
        for batch in table(host, name) {
            let rows = texts(&batch, "workflow_id")
                .into_iter()
                .zip(numbers(&batch, "sequence"));
            // The calls' own telemetry takes the same way, and goes on meanwhile.
            for (_, sequence) in rows.filter(|(workflow, _)| *workflow == Some(WORKFLOW)) {
                let sequence = sequence.unwrap();
                assert!(
                    sequence < sent && found.insert(sequence),
                    "{name}: {sequence} is there twice, or was never sent"
                );
            }
        }
        assert_eq!(found.len() as u64, kept, "{name}");
    }
    println!("{sent} events came, {kept} are in silver, {shed} were shed");
}

/// Puts another component that does the same in the place of the stream buffer.
fn swap_the_stream_buffer(host: &Host, author: &Author, round: u64) {
    let component = parts::good("stream-buffer", round);
    parts::stage(host, author, "stream-buffer", &version(round), &component);
    let reply = parts::swap(host, parts::STREAM_BUFFER, &version(round));
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Swaps one after the other; every third one is to a broken version. Gives how long calls of the counter had to wait.
fn swap_on(host: &Host, author: &Author, rounds: u64) -> Vec<u64> {
    let mut kinds = [BROKEN_COUNTERS.iter().cycle(), BROKEN_PURE.iter().cycle()];
    let (mut pauses_us, mut good) = (Vec::new(), Vec::new());
    let keeper = parts::author(host);
    for round in 1..=rounds {
        if round % 15 == 8 {
            swap_the_stream_buffer(host, &keeper, round);
            continue;
        }
        let which = (round % 2) as usize;
        let urn = [PURE, COUNTER][which];
        // So many that how long they take can be compared.
        wait_for("calls of the version", || {
            (process(host, urn)?["counts"]["calls"].as_u64() >= Some(40)).then_some(())
        });
        if round % 3 == 0 {
            let kind = *kinds[1 - which].next().unwrap();
            let entry = swap_to_broken(host, author, (urn, round, kind), || {});
            println!(
                "{round}: {kind:?}: {} at {}: {}",
                entry["code"], entry["step"], entry["message"]
            );
            continue;
        }
        created(&author.stage(host, urn, round, Kind::Good));
        let swapped = swap(host, urn, round);
        assert_eq!(swapped["to"]["version"], json!(version(round)));
        if urn == COUNTER {
            pauses_us.push(swapped["pause_us"].as_u64().unwrap());
        }
        good.push(digest(round, Kind::Good));
    }
    for digest in good {
        assert_eq!(quarantined(host, &digest), None, "a good version");
    }
    pauses_us
}

#[test]
fn soak_a_hundred_swaps_under_load_cost_no_call_and_no_event() {
    let soaks = std::env::var_os("SOAK_SECONDS").is_some();
    let rounds = if soaks { 100 } else { 30 };
    let host = Host::start_with(&CAREFUL);
    let author = Author::trusted_by(&host);
    for urn in [COUNTER, PURE] {
        created(&author.publish(&host, urn, 0, Kind::Good));
    }
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let (mut pauses_us, counted, twisted, (sent, said)) = std::thread::scope(|scope| {
        let at_end = StopAtEnd(&stop);
        let (url, stop) = (host.url.as_str(), &stop);
        let counting: Vec<_> = (0..CALLERS).map(|_| scope.spawn(move || count_on(url, stop))).collect();
        let twisting: Vec<_> = (0..CALLERS)
            .map(|n| scope.spawn(move || twist_on(url, stop, n)))
            .collect();
        let pushing = scope.spawn(move || push_on(url, stop));
        let pauses_us = swap_on(&host, &author, rounds);
        drop(at_end);
        let counted: Vec<_> = counting.into_iter().map(|thread| thread.join().unwrap()).collect();
        let twisted: Vec<_> = twisting.into_iter().map(|thread| thread.join().unwrap()).collect();
        (pauses_us, counted, twisted, pushing.join().unwrap())
    });
    let took = begun.elapsed();

    let (told, sums): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    let all = || told.iter().chain(&twisted);
    let failed: Vec<_> = all().flat_map(|told| &told.failed).collect();
    let calls: u64 = all().map(|told| told.calls).sum();
    assert!(
        failed.is_empty(),
        "{} of {calls} failed: {:#?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );
    let mut sums = sums.concat();
    sums.sort_unstable();
    let expected: Vec<u64> = (1..=sums.len() as u64).collect();
    assert!(sums == expected, "each sum is told once, and none is left out");

    let a_minute = calls as f64 / took.as_secs_f64() * 60.0;
    let longest = |told: &[Told]| told.iter().map(|told| told.longest).max().unwrap();
    pauses_us.sort_unstable();
    println!(
        "{rounds} swaps in {took:.1?}, {calls} calls ({a_minute:.0} a minute); the longest took {:?} (counter) and {:?} (pure); \
         pauses of the counter in us: {pauses_us:?}",
        longest(&told),
        longest(&twisted)
    );
    assert!(calls >= rounds * CALLS_A_ROUND_MIN, "{calls}");
    assert!(!soaks || a_minute >= CALLS_A_MINUTE_MIN, "{a_minute}");
    conserved(&host, sent, &said);
    lawful(&host);
}
