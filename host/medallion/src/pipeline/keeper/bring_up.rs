//! Brings a fresh stream buffer to where the log is: from what one before it knew, and what the log has behind that.

use arrow_array::RecordBatch;
use kinetic_engine::Capability;
use kinetic_ledger::Ledger;

use super::super::topic::{self, Logged};
use super::super::{ipc, said};
use super::{PULL, Saved};
use crate::subsystem::buffer::{Condition, Error, Setting, StreamBuffer};

/// An instance with its settings.
pub(super) async fn start(component: &Capability, settings: &[Setting]) -> Result<StreamBuffer, String> {
    let mut buffer = StreamBuffer::new(component).await.map_err(|error| error.to_string())?;
    said(buffer.start(settings).await)?.map_err(|error| format!("it refuses its settings: {error:?}"))?;
    Ok(buffer)
}

/// Shows in instances of its own that a component starts with these settings, is well, and reads the state it writes.
pub(crate) async fn try_out(component: &Capability, settings: &[Setting]) -> Result<(), String> {
    let mut buffer = start(component, settings).await?;
    if let Condition::Failing(why) = said(buffer.health().await)? {
        return Err(format!("it is failing: {why}"));
    }
    let exported = said(buffer.export_state().await)?;
    let snapshot = exported.map_err(|error| format!("it does not export its state: {error:?}"))?;
    // One at a time: instances that stay are few.
    drop(buffer);
    let mut buffer = start(component, settings).await?;
    said(buffer.import_state(&snapshot).await)?.map_err(|error| format!("it does not read its own state: {error:?}"))
}

/// Brings a fresh instance to where the log is: numbers of streams, levels. The events themselves are all handed out. It
/// goes on from the first of these states that it takes, which this gives; from the log alone when it takes none and need
/// not take the first.
pub(super) async fn bring_up<'a>(
    ledger: &Ledger,
    buffer: &mut StreamBuffer,
    states: &[&'a Saved],
    must_import: bool,
) -> Result<Option<&'a Saved>, String> {
    let (first, head) = topic::bounds(ledger).map_err(|error| error.to_string())?;
    let mut taken = None;
    for saved in states.iter().copied().filter(|saved| saved.offset <= head) {
        match said(buffer.import_state(&saved.snapshot).await)? {
            Ok(()) => {
                taken = Some(saved);
                break;
            }
            Err(why) if must_import => return Err(format!("it does not take the state over: {why:?}")),
            Err(why) => tracing::warn!("the stream buffer does not start from what one before it saved: {why:?}"),
        }
    }
    let mut offset = taken.map_or(first, |saved| saved.offset.max(first));
    said(buffer.follow(&[]).await)?.map_err(|error| format!("{error:?}"))?;
    // Of an event its state has a byte at least.
    drain(buffer, taken.map_or(0, |saved| saved.snapshot.bytes.len())).await?;
    while offset < head {
        let events = topic::read(ledger, offset).map_err(|error| error.to_string())?;
        if events.is_empty() {
            return Err(format!("the log ends at offset {offset} of the topic, not at {head}"));
        }
        offset += events.len() as u64;
        for event in &events {
            match topic::decode(event) {
                Logged::Levels(levels) => {
                    said(buffer.follow(&levels).await)?.map_err(|error| format!("{error:?}"))?;
                }
                Logged::Events(decided) => again(buffer, decided.events).await?,
                Logged::Rejects(_) | Logged::Other(_) => {}
            }
        }
    }
    said(buffer.lead().await)?;
    Ok(taken)
}

/// Offers again what is in the log, in parts it has room for.
async fn again(buffer: &mut StreamBuffer, events: RecordBatch) -> Result<(), String> {
    let mut parts = vec![events];
    while let Some(part) = parts.pop() {
        let stream = ipc::write(&part).map_err(|error| error.to_string())?;
        let refused = match said(buffer.offer(&stream).await)? {
            Ok(admission) => usize::try_from(admission.refused).unwrap_or(usize::MAX),
            Err(Error::TooLarge(_)) if part.num_rows() > 1 => {
                let half = part.num_rows() / 2;
                parts.push(part.slice(half, part.num_rows() - half));
                parts.push(part.slice(0, half));
                continue;
            }
            Err(error) => return Err(format!("it refuses what is in the log: {error:?}")),
        };
        drain(buffer, part.num_rows()).await?;
        if refused > 0 {
            let taken = part.num_rows().saturating_sub(refused);
            if taken == 0 {
                return Err("it takes nothing of what is in the log".into());
            }
            parts.push(part.slice(taken, refused));
        }
    }
    Ok(())
}

/// Takes out all it holds, which are so many events at most.
async fn drain(buffer: &mut StreamBuffer, events_max: usize) -> Result<(), String> {
    let mut left = events_max as u64;
    loop {
        let pulled = said(buffer.pull(PULL.0, PULL.1).await)?.map_err(|error| format!("{error:?}"))?;
        if pulled.events == 0 {
            return Ok(());
        }
        left = left
            .checked_sub(pulled.events)
            .ok_or("it hands out more events than it was given")?;
        said(buffer.acknowledge(pulled.up_to).await)?.map_err(|error| format!("{error:?}"))?;
    }
}
