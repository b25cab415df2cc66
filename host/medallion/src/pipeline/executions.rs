//! This host's own calls as telemetry: one event per receipt, through the same pipeline as everything else.
//!
//! The log is read behind its end, so a call never waits for its event. How far it was read stands in the totals of each
//! record of telemetry; what is read twice after a crash is the same event, with the same id, and silver keeps one.

use std::time::Duration;

use kinetic_ledger::Ledger;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Pipeline;
use crate::MedallionError;
use crate::event::{Framing, Reader, ReaderSettings};

/// The topic of these events.
pub const EXECUTIONS: &str = "telemetry.executions.v1";
/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Records read at once: those of telemetry have megabytes.
const RECORDS_READ: usize = 8;
/// Receipts handed in at once; one batch of the reader holds them.
const RECEIPTS_MAX: usize = 1_024;
/// How long it waits when its events are not taken.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The part of a receipt that telemetry tells.
#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow)]
    predicate: Predicate<'a>,
}

#[derive(Deserialize)]
struct Predicate<'a> {
    event: &'a str,
    #[serde(borrow)]
    capsule: Option<Capsule<'a>>,
    determinism: Option<&'a str>,
    function: Option<&'a str>,
    #[serde(default)]
    fuel: u64,
    #[serde(default)]
    memory_peak_bytes: u64,
    #[serde(borrow)]
    verdict: Option<Verdict<'a>>,
}

#[derive(Deserialize)]
struct Capsule<'a> {
    urn: &'a str,
    version: &'a str,
}

#[derive(Deserialize)]
struct Verdict<'a> {
    status: &'a str,
    code: Option<&'a str>,
}

/// The event of a call.
#[derive(Serialize)]
struct Event<'a> {
    topic: &'static str,
    workflow_id: &'a str,
    node_cid: &'a str,
    sequence: u64,
    received_unix_ns: u64,
    priority: &'static str,
    tier: Option<&'a str>,
    receipt_id: &'a str,
    capsule: &'a str,
    version: &'a str,
    function: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    fuel: u64,
    peak_memory_bytes: u64,
}

/// The one who reads the receipts.
#[derive(Debug)]
pub struct Executions {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Executions {
    /// Follows the log from where the pipeline has got to.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn follow(ledger: Ledger, pipeline: Pipeline) -> Result<Self, MedallionError> {
        let from = pipeline.status().await?.totals.receipts_seq;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(ledger, pipeline, from, stopped));
        Ok(Self { stop, task })
    }

    /// Ends; what it did not read yet it reads at the next start.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn run(ledger: Ledger, pipeline: Pipeline, mut next: u64, mut stopped: watch::Receiver<bool>) {
    loop {
        let pause = match pass(&ledger, &pipeline, &mut next, &stopped).await {
            Ok(()) => EVERY,
            Err(MedallionError::Closed {}) => return,
            Err(error) => {
                tracing::debug!("calls wait to become telemetry: {error}");
                RETRY_AFTER
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// Hands in the receipts up to the log's end.
async fn pass(
    ledger: &Ledger,
    pipeline: &Pipeline,
    next: &mut u64,
    stopped: &watch::Receiver<bool>,
) -> Result<(), MedallionError> {
    *next = (*next).max(ledger.horizon());
    while *next < ledger.visible() && !*stopped.borrow() {
        let (lines, receipts, end) = read(ledger, *next).await?;
        if receipts > 0 {
            let mut reader = Reader::new(Framing::Lines, ReaderSettings::default())?;
            reader.read(&mut lines.as_slice(), 0)?;
            if let Some(batch) = reader.finish(0)? {
                pipeline.push_receipts(batch, end).await?;
            }
        }
        *next = end;
    }
    Ok(())
}

/// Receipts from a record on, as lines of JSON; how many there are, and the record after the last one read.
async fn read(ledger: &Ledger, from: u64) -> Result<(Vec<u8>, usize, u64), MedallionError> {
    let ledger = ledger.clone();
    let work = move || {
        let (mut lines, mut receipts, mut next) = (Vec::new(), 0, from);
        let visible = ledger.visible();
        while next < visible && receipts < RECEIPTS_MAX {
            let records = ledger.read(next, RECORDS_READ).map_err(super::topic::fault)?;
            if records.is_empty() {
                break;
            }
            for record in records.iter().take_while(|record| record.seq < visible) {
                next = record.seq + 1;
                let Ok(Some(receipt)) = record.receipt() else { continue };
                let id = record.receipt_id().map_err(super::topic::fault)?;
                receipts += usize::from(append(&mut lines, &receipt, record.seq, record.unix_ns, &id));
            }
        }
        Ok((lines, receipts, next))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(MedallionError::Closed {}))
}

/// Appends the event of a receipt, if it is of a call.
fn append(lines: &mut Vec<u8>, receipt: &[u8], seq: u64, unix_ns: u64, receipt_id: &str) -> bool {
    let Ok(Statement { predicate }) = serde_json::from_slice::<Statement<'_>>(receipt) else {
        return false;
    };
    let (Some(capsule), Some(function), "execution") = (&predicate.capsule, predicate.function, predicate.event) else {
        return false;
    };
    let verdict = predicate.verdict.as_ref();
    let status = verdict.map_or("failed", |verdict| verdict.status);
    let outcome = verdict.and_then(|verdict| verdict.code).unwrap_or(status);
    let event = Event {
        topic: EXECUTIONS,
        workflow_id: "kinetic",
        node_cid: capsule.urn,
        sequence: seq,
        received_unix_ns: unix_ns,
        priority: "METRIC",
        tier: predicate.determinism,
        receipt_id,
        capsule: capsule.urn,
        version: capsule.version,
        function,
        outcome,
        error: (outcome != "ok").then_some(outcome),
        fuel: predicate.fuel,
        peak_memory_bytes: predicate.memory_peak_bytes,
    };
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *lines, &event);
    lines.push(b'\n');
    true
}
