//! The pipeline over a ledger, in this process: components that fail, pressure, orders and batches of every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use kinetic_identity::SigningKey;
use kinetic_kernel::Occupant;
use kinetic_ledger::{Durability, Ledger, LedgerConfig};
use kinetic_medallion::MedallionError;
use kinetic_medallion::event::{Batch, Framing, Reader, ReaderSettings, schema as event_schema};
use kinetic_medallion::files::{Disk, PartFile, PartSettings, SystemDisk, read_all};
use kinetic_medallion::pipeline::{KEPT, Pipeline, PipelineConfig, SILVER_GATE, STREAM_BUFFER, TOPIC, Taken, Tasks};
use kinetic_medallion::subsystem::buffer::{LevelChange, Setting, StreamBuffer};
use kinetic_model::{Digest, Limits};
use kinetic_testkit::batches::{ipc, numbers, rows as rows_of, texts};
use kinetic_testkit::engine::subsystem;
use kinetic_testkit::guests;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::telemetry_faults::until_tables;

pub(crate) async fn component(name: &'static str, limits: Limits) -> Occupant {
    Occupant::unwatched(subsystem(name, limits).await, Digest::of(&guests::subsystem(name)))
}

/// Puts a component in a subsystem's place, without a kernel that records it.
pub(crate) async fn swap(pipeline: &Pipeline, subsystem: &str, component: Occupant) -> Result<(), MedallionError> {
    pipeline.hand_over(subsystem, component, false).await?.begin();
    Ok(())
}

/// Enough to start, too little for a batch of many rows.
fn starved() -> Limits {
    Limits {
        fuel: 500_000,
        ..Limits::CEILING
    }
}

/// The machine's disk, which can be full.
#[derive(Clone, Default)]
pub(crate) struct FillingDisk(Arc<AtomicBool>);

impl FillingDisk {
    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for FillingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn PartFile>> {
        self.check()?;
        Ok(Box::new(FillingFile(SystemDisk.create(path)?, self.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SystemDisk.sync_folder(folder)
    }
}

struct FillingFile(Box<dyn PartFile>, FillingDisk);

impl io::Write for FillingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.check()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl PartFile for FillingFile {
    fn sync(&mut self) -> io::Result<()> {
        self.1.check()?;
        self.0.sync()
    }
}

pub(crate) struct Running {
    pub(crate) pipeline: Pipeline,
    tasks: Tasks,
    ledger: Ledger,
    _turn: SemaphorePermit<'static>,
}

/// Pipelines at once: each holds two residents of the process's one engine, three during a swap.
static TURNS: Semaphore = Semaphore::const_new(4);

impl Running {
    pub(crate) async fn stop(self) {
        self.pipeline.close().await;
        self.tasks.finished().await;
        self.ledger.close().await;
    }
}

pub(crate) struct Ask {
    pub(crate) buffer: Limits,
    pub(crate) gate: Limits,
    pub(crate) settings: Vec<(&'static str, &'static str)>,
    pub(crate) part_age: Duration,
    pub(crate) disk: FillingDisk,
    pub(crate) legacy_ids: bool,
    pub(crate) strikes_max: u32,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            buffer: Limits::CEILING,
            gate: Limits::CEILING,
            settings: vec![],
            part_age: Duration::from_secs(60),
            disk: FillingDisk::default(),
            legacy_ids: false,
            strikes_max: 3,
        }
    }
}

pub(crate) async fn start(folder: &Path, ask: Ask) -> Running {
    open(folder, ask).await.unwrap()
}

pub(crate) async fn open(folder: &Path, ask: Ask) -> Result<Running, MedallionError> {
    let turn = TURNS.acquire().await.unwrap();
    let key = folder.join("key.pem");
    if !key.exists() {
        SigningKey::generate().unwrap().save(&key).unwrap();
    }
    let config = LedgerConfig::new(&folder.join("ledger"), "test");
    let ledger = Ledger::open(config, SigningKey::load(&key).unwrap()).unwrap();
    let setting = |(key, value): &(&str, &str)| Setting {
        key: (*key).into(),
        value: (*value).into(),
    };
    let config = PipelineConfig {
        data: folder.to_path_buf(),
        ledger: ledger.clone(),
        buffer: component("stream_buffer", ask.buffer).await,
        buffer_settings: ask.settings.iter().map(setting).collect(),
        gate: component("silver_gate", ask.gate).await,
        legacy_ids: ask.legacy_ids,
        parts: PartSettings {
            part_age_max: ask.part_age,
            ..PartSettings::default()
        },
        disk: Arc::new(ask.disk),
        durability: Durability::Written,
        push_wait: Duration::from_millis(300),
        on_their_way_bytes_max: 64 << 20,
        strikes_max: ask.strikes_max,
        gold: None,
        committed: Arc::new(|_, _| {}),
    };
    let (pipeline, tasks) = Pipeline::open(config).await?;
    Ok(Running {
        pipeline,
        tasks,
        ledger,
        _turn: turn,
    })
}

pub(crate) fn read(lines: &str) -> Batch {
    let mut reader = Reader::new(Framing::Lines, ReaderSettings::default()).unwrap();
    assert!(reader.read(&mut lines.as_bytes(), 1).unwrap().is_none());
    reader.finish(1).unwrap().unwrap()
}

fn event(workflow: usize, sequence: usize, priority: &str) -> String {
    let token = ["um", "so", "well", "then"][sequence % 4];
    json!({ "workflow_id": format!("w{workflow}"), "intent_id": "i", "node_cid": "n", "sequence": sequence,
        "priority": priority, "token": token, "received_unix_ns": 1_000 + sequence, "data": format!("d{sequence}") })
    .to_string()
        + "\n"
}

pub(crate) fn table(folder: &Path, name: &str) -> Vec<RecordBatch> {
    read_all(&folder.join(name)).unwrap().map(Result::unwrap).collect()
}

pub(crate) fn rows(folder: &Path, name: &str) -> u64 {
    table(folder, name).iter().map(|batch| batch.num_rows() as u64).sum()
}

fn shed(folder: &Path) -> u64 {
    let batches = table(folder, "bronze/shed");
    batches
        .iter()
        .flat_map(|batch| numbers(batch, "events"))
        .map(Option::unwrap)
        .sum()
}

pub(crate) fn ids(folder: &Path) -> BTreeMap<(String, u64), String> {
    let mut found = BTreeMap::new();
    for batch in table(folder, "silver/events") {
        let (workflows, ids) = (texts(&batch, "workflow_id"), texts(&batch, "event_uuid"));
        for ((workflow, sequence), id) in workflows.into_iter().zip(numbers(&batch, "sequence")).zip(ids) {
            let key = (workflow.unwrap().to_string(), sequence.unwrap());
            assert!(
                found.insert(key, id.unwrap().to_string()).is_none(),
                "it is there twice"
            );
        }
    }
    found
}

pub(crate) async fn conserved(folder: &Path, pipeline: &Pipeline) {
    pipeline.flush().await.unwrap();
    let totals = pipeline.status().await.unwrap().totals;
    let (kept, dropped) = (totals.kept.iter().sum::<u64>(), totals.shed.iter().sum::<u64>());
    assert_eq!(rows(folder, "bronze/events"), kept, "{totals:?}");
    assert_eq!(shed(folder), dropped, "{totals:?}");
    assert_eq!(totals.arrived, kept + dropped + totals.rejected, "{totals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silver_is_the_same_whatever_the_order_the_batches_the_repetitions_and_the_restarts() {
    let events: Vec<String> = (0..3)
        .flat_map(|w| (0..400).map(move |n| event(w, n, "INFO")))
        .collect();
    let whole = tempfile::tempdir().unwrap();
    let running = start(whole.path(), Ask::default()).await;
    running.pipeline.push(read(&events.concat())).await.unwrap();
    conserved(whole.path(), &running.pipeline).await;
    let expected = ids(whole.path());
    assert_eq!(expected.len(), events.len());
    running.stop().await;

    let cut = tempfile::tempdir().unwrap();
    let mut order: Vec<&String> = events.iter().chain(&events[100..900]).collect();
    let mut state = 7_usize;
    for at in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(at, (state >> 33) % (at + 1));
    }
    for part in order.chunks(order.len() / 3 + 1) {
        let ask = Ask {
            part_age: Duration::from_millis(20),
            ..Ask::default()
        };
        let running = start(cut.path(), ask).await;
        for lines in part.chunks(61) {
            let lines: String = lines.iter().map(|line| line.as_str()).collect();
            running.pipeline.push(read(&lines)).await.unwrap();
        }
        conserved(cut.path(), &running.pipeline).await;
        running.stop().await;
    }
    assert_eq!(ids(cut.path()), expected);
    assert_eq!(
        rows(cut.path(), "bronze/events"),
        order.len() as u64,
        "bronze has all that arrived"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_fails_presses_back_to_the_pushers_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        gate: starved(),
        settings: vec![
            ("buffer-events", "20000"),
            ("watermark-low", "20"),
            ("watermark-high", "80"),
        ],
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    let (mut sent, mut taken, mut next) = (0_u64, Taken::default(), 0_usize);
    let refused = loop {
        let priority = if next.is_multiple_of(5_000) {
            "CRITICAL"
        } else {
            "DEBUG"
        };
        let lines: String = (next..next + 1_000).map(|n| event(n % 3, n, priority)).collect();
        match pipeline.push(read(&lines)).await {
            Ok(more) => {
                taken.kept += more.kept;
                taken.shed += more.shed;
                sent += 1_000;
            }
            Err(MedallionError::Overloaded { taken: part, left, .. }) => {
                sent += part;
                assert_eq!(part + left, 1_000);
                break next + usize::try_from(part).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
        next += 1_000;
        assert!(next < 2_000_000, "it was never refused");
    };
    assert!(taken.shed > 0, "what may be dropped was dropped first");
    until_tables(pipeline, |tables| {
        tables.gate.state == "quarantined" && tables.waits_for.is_some()
    })
    .await;
    assert!(pipeline.status().await.unwrap().buffer.level > 0);
    swap(pipeline, SILVER_GATE, component("silver_gate", Limits::CEILING).await)
        .await
        .unwrap();
    conserved(folder.path(), pipeline).await;
    let status = pipeline.status().await.unwrap();
    assert_eq!(status.totals.arrived, sent, "{refused}");
    assert_eq!(ids(folder.path()).len() as u64, status.totals.kept.iter().sum::<u64>());
    assert_eq!(status.totals.shed[4], 0, "what is critical is never dropped");
    let lines: String = (refused..refused + 10).map(|n| event(n % 3, n, "CRITICAL")).collect();
    assert_eq!(pipeline.push(read(&lines)).await.unwrap().kept, 10);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_that_fails_refuses_what_it_did_not_take_and_its_successor_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let unnumbered = |count: usize| "{\"workflow_id\":\"w\",\"intent_id\":\"i\"}\n".repeat(count);
    let running = start(folder.path(), Ask::default()).await;
    assert_eq!(running.pipeline.push(read(&unnumbered(3))).await.unwrap().kept, 3);
    running.stop().await;
    let ask = Ask {
        buffer: Limits {
            fuel: 3_000_000,
            ..Limits::CEILING
        },
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    let error = pipeline.push(read(&unnumbered(20_000))).await.unwrap_err();
    assert!(matches!(error, MedallionError::Quarantined { .. }), "{error}");
    let status = pipeline.status().await.unwrap();
    assert_eq!(
        (status.buffer.component.state, status.buffer.component.failures),
        ("quarantined", 3)
    );
    assert_eq!(status.totals.arrived, 3, "nothing of it was taken");
    swap(
        pipeline,
        STREAM_BUFFER,
        component("stream_buffer", Limits::CEILING).await,
    )
    .await
    .unwrap();
    assert_eq!(pipeline.push(read(&unnumbered(20_000))).await.unwrap().kept, 20_000);
    conserved(folder.path(), pipeline).await;
    let numbers: BTreeSet<_> = ids(folder.path()).into_keys().map(|(_, n)| n).collect();
    assert_eq!(numbers, (0..20_003).collect());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_stands_in_the_log_with_the_levels_so_that_a_replica_drops_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        gate: starved(),
        settings: vec![
            ("buffer-events", "30000"),
            ("watermark-low", "10"),
            ("watermark-high", "95"),
        ],
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    for from in (0..60_000).step_by(2_000) {
        let lines: String = (from..from + 2_000).map(|n| event(n % 2, n, "DEBUG")).collect();
        if running.pipeline.push(read(&lines)).await.is_err() {
            break;
        }
    }
    let status = running.pipeline.status().await.unwrap();
    assert!(status.totals.shed[0] > 0, "{status:?}");
    let events = running
        .ledger
        .bus()
        .read_events(TOPIC, 0, 0, (usize::MAX, u64::MAX))
        .unwrap();
    let (mut changes, mut offered, mut kept) = (Vec::new(), Vec::new(), BTreeSet::new());
    for event in &events {
        let data = event.envelope.data_bytes().unwrap();
        match event.envelope.kind() {
            "kinetic.telemetry.levels" => {
                let levels: Vec<Value> = serde_json::from_slice(&data).unwrap();
                changes.extend(levels.iter().map(|level| LevelChange {
                    stream: level["stream"].as_str().unwrap().into(),
                    from_sequence: level["from_sequence"].as_u64().unwrap(),
                    level: level["level"].as_u64().unwrap().try_into().unwrap(),
                }));
            }
            "kinetic.telemetry.events" => {
                let batch = rows_of(&data);
                let marks = batch.column_by_name(KEPT).map(|marks| marks.as_boolean().clone());
                for (row, sequence) in numbers(&batch, "sequence").into_iter().enumerate() {
                    if marks.as_ref().is_none_or(|marks| marks.value(row)) {
                        kept.insert(sequence.unwrap());
                    }
                }
                let plain: Vec<_> = (0..event_schema().fields().len()).collect();
                offered.push(batch.project(&plain).unwrap());
            }
            kind => panic!("{kind}"),
        }
    }
    assert!(!changes.is_empty());
    // A replica gets the same events in another order and other batches, and applies the levels it read.
    let replica = subsystem("stream_buffer", Limits::CEILING).await;
    let mut replica = StreamBuffer::new(&replica).await.unwrap();
    replica.start(&[]).await.result.unwrap().unwrap();
    replica.follow(&changes).await.result.unwrap().unwrap();
    let mut theirs = BTreeSet::new();
    for batch in offered.iter().rev() {
        for from in (0..batch.num_rows()).step_by(397).rev() {
            let part = batch.slice(from, 397.min(batch.num_rows() - from));
            replica.offer(&ipc(&part)).await.result.unwrap().unwrap();
            let pulled = replica.pull(1_000, 1 << 24).await.result.unwrap().unwrap();
            if pulled.events > 0 {
                theirs.extend(
                    numbers(&rows_of(&pulled.batch), "sequence")
                        .into_iter()
                        .map(Option::unwrap),
                );
                replica.acknowledge(pulled.up_to).await.result.unwrap().unwrap();
            }
        }
    }
    assert_eq!(theirs, kept);
    swap(
        &running.pipeline,
        SILVER_GATE,
        component("silver_gate", Limits::CEILING).await,
    )
    .await
    .unwrap();
    conserved(folder.path(), &running.pipeline).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_events_wait_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FillingDisk::default();
    let ask = Ask {
        settings: vec![("buffer-events", "5000")],
        part_age: Duration::from_millis(50),
        disk: disk.clone(),
        ..Ask::default()
    };
    let running = start(folder.path(), ask).await;
    let pipeline = &running.pipeline;
    let (mut next, mut left) = (0, 0);
    while left == 0 {
        // The log has room of its own; the tables have none from the third push on.
        disk.0.store(next >= 2_000, Ordering::Relaxed);
        let lines: String = (next..next + 1_000).map(|n| event(n % 3, n, "CRITICAL")).collect();
        match pipeline.push(read(&lines)).await {
            Ok(taken) => assert_eq!(taken.kept, 1_000),
            Err(MedallionError::Overloaded { left: more, .. }) => left = more,
            Err(other) => panic!("{other}"),
        }
        next += 1_000;
        assert!(next < 100_000, "it was never refused");
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let full = |why: &String| why.contains("disk is full");
    until_tables(pipeline, |tables| tables.waits_for.as_ref().is_some_and(full)).await;
    disk.0.store(false, Ordering::Relaxed);
    conserved(folder.path(), pipeline).await;
    let expected = next as u64 - left;
    assert_eq!(
        (ids(folder.path()).len() as u64, rows(folder.path(), "bronze/events")),
        (expected, expected)
    );
    running.stop().await;
}
