//! Subsystems that panic, and subsystems that lie: nothing is lost, nothing is believed that cannot be.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kinetic_kernel::Occupant;
use kinetic_medallion::MedallionError;
use kinetic_medallion::pipeline::{Pipeline, SILVER_GATE, STREAM_BUFFER, StorageStatus};
use kinetic_model::{Digest, Limits};
use kinetic_testkit::batches::texts;
use kinetic_testkit::engine::load;
use kinetic_testkit::guests;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::telemetry_pipeline::{Ask, Running, component, conserved, ids, read, rows, start, swap, table};

const LEGACY: &str = include_str!("../vectors/identity-legacy-080.json");
const STREAM: &str = "stream_buffer";
const SILVER: &str = "silver_gate";

/// What fails and lies where an event asks for it, in either place.
async fn faulty() -> Occupant {
    static FAULTY: OnceCell<Occupant> = OnceCell::const_new();
    let made = async || {
        let bytes = guests::rust("faulty");
        Occupant::unwatched(load(&bytes, Limits::CEILING).await.unwrap(), Digest::of(&bytes))
    };
    FAULTY.get_or_init(made).await.clone()
}

async fn good(name: &'static str) -> Occupant {
    component(name, Limits::CEILING).await
}

/// One event, the `number`th of a workflow's, with a token.
fn event(workflow: &str, number: u64, (priority, tier, token): (&str, Option<&str>, &str)) -> String {
    let mut event = json!({ "workflow_id": workflow, "intent_id": "i", "node_cid": "n", "sequence": number,
        "priority": priority, "token": token, "received_unix_ns": 1_000 + number, "data": format!("d{number}") });
    if let Some(tier) = tier {
        event["tier"] = tier.into();
    }
    event.to_string() + "\n"
}

/// Pushes so many batches from each of four senders at once, each event critical and asking for a panic at times. What
/// is refused is sent again, and counted in `refused`.
fn load_from_four(pipeline: &Pipeline, batches: u64, batch: u64, refused: &Arc<AtomicU64>) -> JoinSet<()> {
    let mut senders = JoinSet::new();
    for sender in 0..4 {
        let (pipeline, refused) = (pipeline.clone(), refused.clone());
        senders.spawn(async move {
            let mut next = 0;
            while next < batches * batch {
                let end = (next / batch + 1) * batch;
                let one = |n| event(&format!("w{sender}"), n, ("CRITICAL", None, "fault:panic-at-times"));
                let lines: String = (next..end).map(one).collect();
                match pipeline.push(read(&lines)).await {
                    Ok(taken) => {
                        assert_eq!(taken.kept, end - next);
                        next = end;
                    }
                    Err(MedallionError::Overloaded { taken, left, .. }) => {
                        assert_eq!(taken + left, end - next);
                        refused.fetch_add(left, Ordering::Relaxed);
                        next += taken;
                    }
                    Err(MedallionError::Quarantined { .. }) => {
                        refused.fetch_add(end - next, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    senders
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the tables are as this says.
pub(crate) async fn until_tables(pipeline: &Pipeline, are_so: impl Fn(&StorageStatus) -> bool) {
    until("the tables' state", async || {
        are_so(&pipeline.status().await.unwrap().storage)
    })
    .await;
}

async fn finished(mut senders: JoinSet<()>) {
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
}

/// Silver and the totals have every event once.
async fn all_there(folder: &Path, running: &Running, events: u64) {
    conserved(folder, &running.pipeline).await;
    let totals = running.pipeline.status().await.unwrap().totals;
    assert_eq!((totals.arrived, totals.kept[4]), (events, events), "{totals:?}");
    assert_eq!(ids(folder).len() as u64, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_that_panics_under_load_is_started_again_then_quarantined_and_its_successor_takes_all() {
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        strikes_max: 4,
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    swap(pipeline, STREAM_BUFFER, faulty().await).await.unwrap();
    let (began, refused) = (Instant::now(), Arc::default());
    let senders = load_from_four(pipeline, 20, 250, &refused);
    until("the quarantine", async || {
        pipeline.status().await.unwrap().buffer.component.state == "quarantined"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(50 + 100 + 200), "it backs off");
    let status = pipeline.status().await.unwrap();
    assert_eq!(status.buffer.component.failures, 4);
    assert!(
        status.buffer.component.last_failure.contains("it was time for it"),
        "{status:?}"
    );
    assert!(status.totals.arrived > 0, "between its panics it works");
    until("a refusal", async || refused.load(Ordering::Relaxed) > 0).await;
    swap(pipeline, STREAM_BUFFER, good(STREAM).await).await.unwrap();
    finished(senders).await;
    all_there(folder.path(), &running, 4 * 20 * 250).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_panics_under_load_is_started_again_then_quarantined_and_its_successor_takes_all() {
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        strikes_max: 4,
        settings: vec![("buffer-events", "4000")],
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    swap(pipeline, SILVER_GATE, faulty().await).await.unwrap();
    let (began, refused) = (Instant::now(), Arc::default());
    let senders = load_from_four(pipeline, 20, 250, &refused);
    until("the quarantine", async || {
        pipeline.status().await.unwrap().storage.gate.state == "quarantined"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(50 + 100 + 200), "it backs off");
    let status = pipeline.status().await.unwrap();
    assert_eq!(status.storage.gate.failures, 4);
    until("pressure", async || refused.load(Ordering::Relaxed) > 0).await;
    until_tables(pipeline, |tables| tables.waits_for.is_some()).await;
    let status = pipeline.status().await.unwrap();
    assert!(status.totals.arrived < 4 * 20 * 250, "who pushes has to wait");
    swap(pipeline, SILVER_GATE, good(SILVER).await).await.unwrap();
    finished(senders).await;
    all_there(folder.path(), &running, 4 * 20 * 250).await;
    running.stop().await;
}

/// Three events, of which the middle one asks for a fault, as such a one.
fn asking(workflow: &str, like: (&str, Option<&str>), fault: &str) -> String {
    let token = format!("fault:{fault}");
    let plain = ("DEBUG", None, "plain");
    [plain, (like.0, like.1, &token), plain]
        .into_iter()
        .zip(0..)
        .map(|(like, number)| event(workflow, number, like))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_that_lies_is_refused_and_what_it_was_offered_is_neither_lost_nor_doubled() {
    let debug = ("DEBUG", None);
    let lies = [
        ("panic", debug, "an event asked for it"),
        ("panic-in-pull", debug, "an event asked for it"),
        ("shed", ("CRITICAL", None), "dropped an event of priority 4"),
        ("shed", ("DEBUG", Some("D0")), "dropped an event of tier D0"),
        ("shed", ("DEBUG", Some("D1")), "dropped an event of tier D1"),
        ("shed", ("METRIC", None), "dropped an event of priority 2"),
        ("shed", debug, "whose token may not be"),
        ("shed-other", debug, "token may not be"),
        ("hide", debug, "kept 3 events and handed out 2"),
        ("overstate", debug, "accounted for"),
        ("refuse-more", debug, "accounted for 6"),
        ("number", debug, "had no number and got 1"),
        ("twice", debug, "is not what it was given"),
        ("reorder", debug, "is not what it was given"),
        ("alter", debug, "the column data is not what it was given"),
        ("retype", debug, "'received_unix_ns'"),
        ("level", debug, "there is no level 257"),
        ("level-of-nobody", debug, "a stream that it was offered nothing of"),
        ("garble", debug, ""),
        ("count", debug, "it says it hands out 2 events"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        // The first failure is retried, the second one is the last.
        strikes_max: 2,
        settings: vec![("shed-tokens", "other")],
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    for (at, (lie, like, told)) in lies.iter().enumerate() {
        swap(pipeline, STREAM_BUFFER, faulty().await).await.unwrap();
        let lines = asking(&format!("w{at}"), *like, lie);
        let error = pipeline.push(read(&lines)).await.unwrap_err();
        assert!(
            matches!(&error, MedallionError::Quarantined { why, .. } if why.contains(told)),
            "{lie}: {error}"
        );
        let status = pipeline.status().await.unwrap();
        assert_eq!(status.totals.arrived, 3 * at as u64, "{lie}: nothing of it was taken");
        assert_eq!(status.buffer.component.failures, 2 * (at as u64 + 1), "{lie}");
        swap(pipeline, STREAM_BUFFER, good(STREAM).await).await.unwrap();
        assert_eq!(pipeline.push(read(&lines)).await.unwrap().kept, 3, "{lie}");
    }
    conserved(folder.path(), pipeline).await;
    assert_eq!(ids(folder.path()).len(), 3 * lies.len());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buffer_may_drop_it_may_drop_if_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), Ask::default()).await;
    let pipeline = &running.pipeline;
    swap(pipeline, STREAM_BUFFER, faulty().await).await.unwrap();
    let taken = pipeline
        .push(read(&asking("w", ("INFO", Some("D2")), "shed")))
        .await
        .unwrap();
    assert_eq!((taken.kept, taken.shed), (2, 1));
    let error = pipeline
        .push(read(&asking("v", ("INFO", None), "shed-other")))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("by priority it dropped"), "{error}");
    swap(pipeline, STREAM_BUFFER, good(STREAM).await).await.unwrap();
    conserved(folder.path(), pipeline).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_nobody_can_read_does_not_keep_a_successor_out() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), Ask::default()).await;
    let pipeline = &running.pipeline;
    let push = async |workflow: &str| {
        let one = event(workflow, 0, ("DEBUG", None, "plain"));
        pipeline.push(read(&one)).await.unwrap().kept
    };
    swap(pipeline, STREAM_BUFFER, faulty().await).await.unwrap();
    assert_eq!(push("before").await, 1);
    // With a finished part the state is saved.
    pipeline.flush().await.unwrap();
    let error = swap(pipeline, STREAM_BUFFER, good(STREAM).await).await.unwrap_err();
    assert!(matches!(error, MedallionError::SwapRefused { .. }), "{error}");
    assert_eq!(push("between").await, 1, "the old one goes on");
    let panics = asking("w", ("DEBUG", None), "panic");
    assert!(pipeline.push(read(&panics)).await.is_err());
    assert_eq!(pipeline.status().await.unwrap().buffer.component.state, "quarantined");
    swap(pipeline, STREAM_BUFFER, good(STREAM).await).await.unwrap();
    assert_eq!(pipeline.push(read(&panics)).await.unwrap().kept, 3);
    conserved(folder.path(), pipeline).await;
    assert_eq!(ids(folder.path()).len(), 5);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_lies_is_refused_and_what_it_was_given_waits_for_its_successor() {
    let lies = [
        ("panic", "an event asked for it"),
        ("alter", "the column model is not what it was given"),
        ("reorder", "is not what it was given"),
        ("twice", "is not what it was given"),
        ("vanish", "3 rows are right, it gave 2"),
        ("retype", "priority (Int32)"),
        ("short-ids", "texts that are no ids"),
        ("reject-other", "rows that it was not given"),
        ("column", "its columns are"),
        ("scheme", "otherwise than before"),
        ("overcount", "accounted for"),
        ("undercount", "accounted for 2"),
        ("garble", ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        strikes_max: 2,
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    for (at, (lie, told)) in lies.iter().enumerate() {
        swap(pipeline, SILVER_GATE, faulty().await).await.unwrap();
        let lines = asking(&format!("w{at}"), ("DEBUG", None), lie);
        assert_eq!(
            pipeline.push(read(&lines)).await.unwrap().kept,
            3,
            "{lie}: the log has it"
        );
        until(lie, async || {
            pipeline.status().await.unwrap().storage.gate.state == "quarantined"
        })
        .await;
        let gate = pipeline.status().await.unwrap().storage.gate;
        assert_eq!(gate.failures, 2 * (at as u64 + 1), "{lie}: {gate:?}");
        assert!(gate.last_failure.contains(told), "{lie}: {gate:?}");
        swap(pipeline, SILVER_GATE, good(SILVER).await).await.unwrap();
        // What waits is done before there is another liar.
        pipeline.flush().await.unwrap();
    }
    conserved(folder.path(), pipeline).await;
    assert_eq!(ids(folder.path()).len(), 3 * lies.len());
    let made_up = table(folder.path(), "silver/events")
        .iter()
        .any(|batch| texts(batch, "event_uuid").contains(&Some("91e8f5f8-3e28-592a-ab23-5295dcf92dd7")));
    assert!(!made_up, "nothing of what it made is in silver");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gate_rejects_is_kept_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), Ask::default()).await;
    let pipeline = &running.pipeline;
    swap(pipeline, SILVER_GATE, faulty().await).await.unwrap();
    pipeline
        .push(read(&asking("w", ("INFO", None), "reject")))
        .await
        .unwrap();
    conserved(folder.path(), pipeline).await;
    assert_eq!(
        (
            rows(folder.path(), "silver/events"),
            rows(folder.path(), "silver/rejects")
        ),
        (2, 1)
    );
    let rejected = table(folder.path(), "silver/rejects").remove(0);
    assert_eq!(texts(&rejected, "data"), [Some("d1")]);
    assert_eq!(texts(&rejected, "reject_reason"), [Some("an event asked for it")]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_ids_come_and_go_with_their_setting_and_silver_is_made_anew_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let cases: Value = serde_json::from_str(LEGACY).unwrap();
    let (mut lines, mut expected) = (String::new(), BTreeSet::new());
    for case in cases["cases"].as_array().unwrap() {
        // The keys of an entity, in this order.
        let (intent, workflow) = (case["keys"][0].as_str().unwrap(), case["keys"][1].as_str().unwrap());
        let event =
            json!({ "workflow_id": workflow, "intent_id": intent, "node_cid": "n", "sequence": 0, "data": "d" });
        lines += &format!("{event}\n");
        expected.insert(case["id"].as_str().unwrap().to_string());
    }
    let all = |column: &str| -> BTreeSet<String> {
        let batches = table(folder.path(), "silver/events");
        let texts = batches.iter().flat_map(|batch| texts(batch, column));
        texts.map(|text| text.unwrap().to_string()).collect()
    };
    let with = async |legacy_ids: bool| {
        let ask = Ask {
            legacy_ids,
            ..Ask::default()
        };
        start(folder.path(), ask).await
    };
    let running = with(false).await;
    running.pipeline.push(read(&lines)).await.unwrap();
    conserved(folder.path(), &running.pipeline).await;
    running.stop().await;
    let (before, today) = (table(folder.path(), "silver/events"), all("event_uuid"));
    assert!(before[0].column_by_name("entity_uuid_legacy").is_none());

    let running = with(true).await;
    assert_eq!(
        all("entity_uuid_legacy"),
        expected,
        "those of before have theirs as well"
    );
    assert_eq!(all("event_uuid_legacy").len(), expected.len());
    assert_eq!(all("event_uuid"), today);
    let late = event("late", 0, ("DEBUG", None, "plain"));
    // Once more, and one that is new.
    running.pipeline.push(read(&(lines + &late))).await.unwrap();
    conserved(folder.path(), &running.pipeline).await;
    assert_eq!(rows(folder.path(), "silver/events"), expected.len() as u64 + 1);
    assert_eq!(all("entity_uuid_legacy").len(), expected.len() + 1);
    running.stop().await;

    let running = with(false).await;
    let after = table(folder.path(), "silver/events");
    assert_eq!(after[0], before[0], "as if they had never been there");
    assert!(after.iter().all(|batch| batch.num_columns() == before[0].num_columns()));
    running.stop().await;

    // What bronze has no more is not given up for other columns.
    let bronze = folder.path().join("bronze/events");
    let oldest = std::fs::read_dir(&bronze)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .min()
        .unwrap();
    std::fs::remove_file(oldest).unwrap();
    let refused = Ask {
        legacy_ids: true,
        ..Ask::default()
    };
    let refused = crate::telemetry_pipeline::open(folder.path(), refused).await;
    assert!(matches!(refused, Err(MedallionError::OtherSchema { .. })));
    assert_eq!(table(folder.path(), "silver/events"), after);
}
