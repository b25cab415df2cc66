//! Keeps a stream buffer running: starts it, feeds it, starts it again after a failure from its last exported state and
//! the log, and puts another component in its place with the state handed over.

mod bring_up;

use std::collections::HashSet;

use arrow_array::RecordBatch;
use kinetic_kernel::Occupant;
use kinetic_ledger::Ledger;
use kinetic_model::Digest;

pub(crate) use self::bring_up::try_out;
use self::bring_up::{bring_up, start};
use super::decided::{Decided, Sheddable, texts};
use super::strikes::Strikes;
use super::topic::Totals;
use super::{claims, ipc, said};
use crate::subsystem::buffer::{Admission, Error, LevelChange, Pressure, Setting, Snapshot, StreamBuffer};
use crate::{MedallionError, event};

/// How much is pulled at once, in events and bytes.
const PULL: (u32, u64) = (65_536, 32 << 20);

/// The name of this subsystem in errors and in commands.
pub const STREAM_BUFFER: &str = "stream-buffer";
/// The level at which everything that may be dropped is.
const LEVEL_MAX: u16 = 256;

/// What a buffer knew when so much of the topic was in it.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// The offset of the topic after the last event that it knew.
    pub(crate) offset: u64,
    /// What had arrived by then.
    pub(crate) totals: Totals,
    pub(crate) snapshot: Snapshot,
}

/// What was decided about a batch.
pub(crate) struct Offered {
    /// The events that were kept or dropped: all but those at the end that there was no room for.
    pub(crate) decided: Decided,
    /// Which streams are dropped at another level from here on.
    pub(crate) levels: Vec<LevelChange>,
    /// What to acknowledge when they are stored; nothing when none was kept.
    pub(crate) up_to: Option<Place>,
}

/// A place in the buffer of one instance: in another one it means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) instance: u64,
    pub(crate) up_to: u64,
}

/// The one who calls the buffer.
pub(crate) struct Keeper {
    ledger: Ledger,
    component: Occupant,
    settings: Vec<Setting>,
    sheddable: Sheddable,
    running: Option<StreamBuffer>,
    instance: u64,
    saved: Option<Saved>,
    /// What the version before knew, as long as that stands by: it may be able to read nothing else.
    before: Option<Saved>,
    strikes: Strikes,
}

/// A component that is brought to where the one before it stopped.
pub(crate) struct Next {
    component: Occupant,
    buffer: StreamBuffer,
    saved: Option<Saved>,
}

impl Next {
    /// Bytes of the state it goes on from.
    pub(crate) fn state_bytes(&self) -> Option<u64> {
        self.saved.as_ref().map(|saved| saved.snapshot.bytes.len() as u64)
    }
}

impl Keeper {
    pub(crate) fn new(
        ledger: Ledger,
        component: Occupant,
        settings: Vec<Setting>,
        saved: Option<Saved>,
        strikes_max: u32,
    ) -> Self {
        Self {
            ledger,
            component,
            sheddable: Sheddable::of(&settings),
            settings,
            running: None,
            instance: 0,
            saved,
            before: None,
            strikes: Strikes::new(STREAM_BUFFER, strikes_max),
        }
    }

    pub(crate) const fn strikes(&self) -> &Strikes {
        &self.strikes
    }

    pub(crate) const fn digest(&self) -> Digest {
        self.component.digest
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.running.as_ref().map_or(0, StreamBuffer::memory_bytes)
    }

    /// Offers a batch and takes out what was kept. A failure ends the instance, and so does an answer that cannot be; the
    /// batch is then offered to the next one.
    ///
    /// # Errors
    /// `Quarantined`; `TooManyStreams`; `BatchTooLarge`.
    pub(crate) async fn offer(&mut self, batch: &RecordBatch) -> Result<Offered, MedallionError> {
        let stream = ipc::write(batch)?;
        loop {
            self.strikes.check()?;
            match self.try_offer(batch, &stream).await {
                Ok(Ok(offered)) => return Ok(offered),
                Ok(Err(Error::TooManyStreams(most))) => return Err(MedallionError::TooManyStreams { most }),
                Ok(Err(Error::TooLarge((size_bytes, size_bytes_max)))) => {
                    return Err(MedallionError::BatchTooLarge {
                        size_bytes,
                        size_bytes_max,
                    });
                }
                Ok(Err(refused)) => self.failed(&format!("it refused a batch: {refused:?}")).await?,
                Err(why) => self.failed(&why).await?,
            }
        }
    }

    async fn try_offer(&mut self, batch: &RecordBatch, stream: &[u8]) -> Result<Result<Offered, Error>, String> {
        let instance = self.instance_number();
        let buffer = self.running().await?;
        let called = buffer.offer(stream).await;
        let usage = called.usage;
        let admission = match said(called)? {
            Ok(admission) => admission,
            Err(refused) => return Ok(Err(refused)),
        };
        check(&admission, batch)?;
        let handed_out = |events: u64| format!("it kept {} events and handed out {events}", admission.kept);
        let (mut pulled, mut events, mut up_to) = (Vec::new(), 0, 0);
        while events < admission.kept {
            let part =
                said(buffer.pull(PULL.0, PULL.1).await)?.map_err(|error| format!("it does not hand out: {error:?}"))?;
            if part.events == 0 {
                return Err(handed_out(events));
            }
            let rows = claims::columns(&claims::read(part.batch)?, &event::schema())?;
            if rows.num_rows() as u64 != part.events {
                return Err(format!(
                    "it says it hands out {} events: {}",
                    part.events,
                    rows.num_rows()
                ));
            }
            events = events.saturating_add(part.events);
            up_to = part.up_to;
            pulled.push(rows);
        }
        if events != admission.kept {
            return Err(handed_out(events));
        }
        let pulled = ipc::concat(&pulled).map_err(|error| error.to_string())?;
        let decided = Decided::of(batch, &admission, &pulled, &self.sheddable)?;
        self.component.reports.called(&usage);
        Ok(Ok(Offered {
            decided,
            levels: admission.level_changes,
            up_to: (events > 0).then_some(Place { instance, up_to }),
        }))
    }

    /// The number that the running instance has, or the next one gets.
    const fn instance_number(&self) -> u64 {
        match &self.running {
            Some(buffer) if buffer.is_alive() => self.instance,
            _ => self.instance + 1,
        }
    }

    /// Tells the buffer what is stored. A place in an instance that is gone is passed over.
    ///
    /// # Errors
    /// `Quarantined`.
    pub(crate) async fn acknowledge(&mut self, place: Place) -> Result<(), MedallionError> {
        if place.instance != self.instance {
            return Ok(());
        }
        let Some(buffer) = self.running.as_mut() else {
            return Ok(());
        };
        let acknowledged = said(buffer.acknowledge(place.up_to).await);
        match acknowledged.and_then(|done| done.map_err(|error| format!("it does not forget: {error:?}"))) {
            Ok(()) => Ok(()),
            Err(why) => self.failed(&why).await,
        }
    }

    /// How full it is; none when it does not run.
    pub(crate) async fn pressure(&mut self) -> Option<Pressure> {
        let buffer = self.running.as_mut()?;
        match said(buffer.level().await) {
            Ok(pressure) => Some(pressure),
            Err(why) => {
                let _ = self.failed(&why).await;
                None
            }
        }
    }

    /// What it knows, for starting again from; the topic is in it up to this offset.
    ///
    /// # Errors
    /// `Quarantined`.
    pub(crate) async fn save(&mut self, offset: u64, totals: Totals) -> Result<Option<Saved>, MedallionError> {
        let Some(buffer) = self.running.as_mut() else {
            return Ok(None);
        };
        let exported = said(buffer.export_state().await);
        match exported.and_then(|state| state.map_err(|error| format!("it does not export its state: {error:?}"))) {
            Ok(snapshot) => {
                let before = self.saved.replace(Saved {
                    offset,
                    totals,
                    snapshot,
                });
                self.before = if self.component.reports.on_probation() {
                    self.before.take().or(before)
                } else {
                    None
                };
                Ok(self.saved.clone())
            }
            Err(why) => {
                self.failed(&why).await?;
                Ok(None)
            }
        }
    }

    /// Forgets the instance: what it decided last did not become part of the log.
    pub(crate) fn forget(&mut self) {
        self.running = None;
    }

    /// Brings another component to where this one is, with its state; this one stays. What one that is quarantined saved
    /// last counts only as far as it is taken, and so it does where state may be discarded: it would hold off every
    /// successor otherwise.
    ///
    /// # Errors
    /// `SwapRefused`.
    pub(crate) async fn prepare(
        &mut self,
        component: Occupant,
        (offset, totals): (u64, Totals),
        discard_state: bool,
    ) -> Result<Next, MedallionError> {
        let refused = |why: String| MedallionError::SwapRefused {
            subsystem: STREAM_BUFFER.into(),
            why,
        };
        let exported = match self.running.as_mut() {
            None => None,
            Some(buffer) => match said(buffer.export_state().await) {
                Ok(Ok(snapshot)) => Some(Saved {
                    offset,
                    totals,
                    snapshot,
                }),
                // It is to go anyway; the new one starts as after a failure.
                Ok(Err(_)) | Err(_) => None,
            },
        };
        if exported.is_none() {
            self.running = None;
        }
        let states: Vec<_> = exported.iter().chain(&self.saved).chain(&self.before).collect();
        let must_import = !discard_state && !self.strikes.is_out();
        let mut buffer = start(&component.capability, &self.settings).await.map_err(refused)?;
        let saved = bring_up(&self.ledger, &mut buffer, &states, must_import)
            .await
            .map_err(refused)?
            .cloned();
        Ok(Next {
            component,
            buffer,
            saved,
        })
    }

    /// Lets a component that is ready begin.
    pub(crate) fn take_in(&mut self, next: Next) {
        self.component = next.component;
        self.running = Some(next.buffer);
        self.saved = next.saved;
        self.before = None;
        self.instance += 1;
        self.strikes.forgive();
    }

    async fn running(&mut self) -> Result<&mut StreamBuffer, String> {
        if self.running.as_ref().is_none_or(|buffer| !buffer.is_alive()) {
            self.running = None;
            let mut buffer = start(&self.component.capability, &self.settings).await?;
            let states: Vec<_> = self.saved.iter().chain(&self.before).collect();
            bring_up(&self.ledger, &mut buffer, &states, false).await?;
            self.instance += 1;
            self.running = Some(buffer);
        }
        self.running.as_mut().ok_or_else(|| "it does not run".into())
    }

    /// Ends the instance, for a failure or an answer that cannot be, and waits before the next start, unless another
    /// component is to come.
    ///
    /// # Errors
    /// `Quarantined` when it failed too often.
    pub(crate) async fn failed(&mut self, why: &str) -> Result<(), MedallionError> {
        self.running = None;
        self.strikes.failed(why, &self.component.reports).await
    }
}

/// Passes when the numbers add up, and when those who follow could apply the level changes.
fn check(admission: &Admission, batch: &RecordBatch) -> Result<(), String> {
    let rows = batch.num_rows() as u64;
    let counts = admission.shed.iter().map(|class| class.events);
    let accounted = counts
        .chain([admission.kept, admission.refused])
        .fold(0, u64::saturating_add);
    if admission.offered != rows || accounted != rows {
        let offered = admission.offered;
        return Err(format!(
            "of {rows} events it says there are {offered}, and accounted for {accounted}"
        ));
    }
    let changes = &admission.level_changes;
    if changes.is_empty() {
        return Ok(());
    }
    if changes.len() as u64 > rows {
        return Err(format!("it changes levels {} times for {rows} events", changes.len()));
    }
    let streams: HashSet<_> = texts(batch, "stream")?.iter().flatten().collect();
    for change in changes {
        if change.level > LEVEL_MAX {
            return Err(format!("there is no level {}", change.level));
        }
        if !streams.contains(change.stream.as_str()) {
            return Err("it changes the level of a stream that it was offered nothing of".into());
        }
    }
    Ok(())
}
