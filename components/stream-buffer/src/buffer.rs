//! The buffer: what it holds, what it knows of streams, and how it is asked.

use crate::error::{Error, StateError};
use crate::gate::Level;
use crate::pressure::{Amount, Step};
use crate::queue::{Pulled, Queue};
use crate::settings::Settings;
use crate::streams::{Bounds, Streams};

/// Priorities: `DEBUG`, `INFO`, `METRIC`, `WARNING`, `CRITICAL`.
pub const PRIORITIES: usize = 5;

/// From a sequence number on, a stream's events are dropped at another level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelChange {
    /// Which stream.
    pub stream: String,
    /// The first sequence number it holds for.
    pub from_sequence: u64,
    /// The level.
    pub level: Level,
}

/// What became of a batch: offered = kept + shed + refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// How many events it had.
    pub offered: u64,
    /// How many are in the buffer.
    pub kept: u64,
    /// What was dropped, by priority.
    pub shed: [Amount; PRIORITIES],
    /// How many there was no room for, from the batch's end: all after the last one taken.
    pub refused: u64,
    /// The sequence numbers given to those events taken that had none, in the batch's order.
    pub assigned: Vec<u64>,
    /// Which streams are dropped at another level from here on.
    pub level_changes: Vec<LevelChange>,
}

/// Everything that ever happened to events: offered = kept + shed + refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many events were offered.
    pub offered: u64,
    /// How many were taken into the buffer.
    pub kept: u64,
    /// How many there was no room for.
    pub refused: u64,
    /// What was dropped, by priority.
    pub shed: [Amount; PRIORITIES],
}

/// How full the buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// The level at which events are dropped now. Of a follower, the newest it was told.
    pub level: Level,
    /// What is held.
    pub held: Amount,
    /// The most that can be held.
    pub max: Amount,
    /// All that was ever dropped, by priority.
    pub shed: [Amount; PRIORITIES],
}

/// A bounded buffer of events, in order.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    pub(crate) settings: Settings,
    pub(crate) streams: Streams,
    pub(crate) queue: Queue,
    pub(crate) step: Step,
    /// The newest level it was told, if it follows.
    pub(crate) followed: Option<Level>,
    pub(crate) totals: Totals,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Begins anew with these settings; only before anything else was asked.
    pub fn start(&mut self, settings: Settings) -> Result<(), StateError> {
        if !self.is_fresh() {
            return Err(StateError::Other(
                "the buffer was used already; start comes first, and settings change with a new instance".to_owned(),
            ));
        }
        *self = Self::new(settings);
        Ok(())
    }

    /// What is wrong with it, if anything is: that it is so full that it drops all it may.
    pub fn complaint(&self) -> Option<String> {
        let Pressure { held, max, .. } = self.pressure();
        (self.step.level() == Level::ALL).then(|| {
            format!(
                "the buffer holds {} of {} events and {} of {} bytes and drops all it may; pull and acknowledge faster",
                held.events, max.events, held.size_bytes, max.size_bytes
            )
        })
    }

    /// The next events: at most so many and about so many bytes, of one schema; at least one if there is one. They stay
    /// in the buffer until they are acknowledged.
    pub fn pull(&mut self, events_max: u32, size_bytes_max: u64) -> Result<Pulled, Error> {
        self.queue.pull(u64::from(events_max), size_bytes_max)
    }

    /// Forgets the events before this place, which must have been pulled.
    pub fn acknowledge(&mut self, up_to: u64) -> Result<(), Error> {
        self.queue.acknowledge(up_to)?;
        self.step = self.step.settled(self.queue.amount(), &self.settings);
        Ok(())
    }

    /// Goes back to the first event that was not acknowledged: the next pull begins there.
    pub fn rewind(&mut self) {
        self.queue.rewind();
    }

    /// Applies what another buffer decided, in any order: from here on this one drops by such changes alone.
    ///
    /// Of each stream the newest 64 are remembered, as the other does.
    pub fn follow(&mut self, changes: &[LevelChange]) -> Result<(), Error> {
        let names = changes.iter().map(|change| change.stream.as_bytes());
        let places = self.streams.resolve_names(names, self.bounds())?;
        for (change, place) in changes.iter().zip(places) {
            if let Some(stream) = self.streams.get_mut(place) {
                stream.changes.set(change.from_sequence, change.level);
            }
        }
        let newest = changes.last().map(|change| change.level);
        self.followed = newest.or(self.followed).or(Some(Level::NONE));
        Ok(())
    }

    /// Decides by its own fullness again.
    pub fn lead(&mut self) {
        self.followed = None;
    }

    /// How full it is.
    pub fn pressure(&self) -> Pressure {
        Pressure {
            level: self.followed.unwrap_or(self.step.level()),
            held: self.queue.amount(),
            max: Amount {
                events: self.settings.events_max,
                size_bytes: self.settings.size_bytes_max,
            },
            shed: self.totals.shed,
        }
    }

    /// Everything that ever happened.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            streams_max: self.settings.streams_max,
            acknowledged: self.queue.acknowledged(),
        }
    }

    /// Whether anything was asked of it that a predecessor's state would contradict.
    pub(crate) fn is_fresh(&self) -> bool {
        self.totals == Totals::default() && self.streams.len() == 0 && self.followed.is_none()
    }
}
