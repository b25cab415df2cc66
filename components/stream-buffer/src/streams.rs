//! The streams whose numbers are kept.

use std::collections::BTreeMap;

use crate::changes::Changes;
use crate::error::Error;
use crate::events::{Events, STREAM_NAME_BYTES_MAX};
use crate::runs::{Run, end_of_run};

/// Places for streams met lately, where they are found without a search.
const RECENT: usize = 64;

/// What is known of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) name: Box<[u8]>,
    /// The highest number met.
    pub(crate) last: Option<u64>,
    /// At which levels its events are dropped.
    pub(crate) changes: Changes,
    /// The buffer holds none of its events from this position on.
    pub(crate) held_to: u64,
    /// When it was met last.
    pub(crate) used: u64,
}

impl Stream {
    /// The number after the highest met; none if that was the largest there is.
    pub(crate) fn next(&self) -> Option<u64> {
        self.last.map_or(Some(0), |last| last.checked_add(1))
    }
}

/// All streams whose numbers are kept, each at a place that is its own as long as it is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    places: BTreeMap<Box<[u8]>, usize>,
    slots: Vec<Stream>,
    free: Vec<usize>,
    /// Grows with each batch.
    clock: u64,
}

impl Streams {
    pub(crate) fn get(&self, place: usize) -> Option<&Stream> {
        self.slots.get(place)
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut Stream> {
        self.slots.get_mut(place)
    }

    /// The time, as streams are met.
    pub(crate) fn clock(&self) -> u64 {
        self.clock
    }

    pub(crate) fn set_clock(&mut self, clock: u64) {
        self.clock = clock;
    }

    /// All streams by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.places.values().filter_map(|place| self.slots.get(*place))
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Keeps one more stream; false if it is kept already.
    pub(crate) fn add(&mut self, stream: Stream) -> bool {
        if self.places.contains_key(&stream.name) {
            return false;
        }
        let name = stream.name.clone();
        let place = if let Some(place) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = stream;
            }
            place
        } else {
            self.slots.push(stream);
            self.slots.len() - 1
        };
        self.places.insert(name, place);
        true
    }

    fn forget(&mut self, place: usize) {
        if let Some(stream) = self.slots.get_mut(place) {
            self.places.remove(&stream.name);
            *stream = Stream::default();
            self.free.push(place);
        }
    }

    /// The runs of these batches. Streams not met before are added, others forgotten for them if they must. On an error
    /// nothing has changed.
    pub(crate) fn resolve(&mut self, batches: &[Events<'_>], bounds: Bounds) -> Result<Vec<Vec<Run>>, Error> {
        let mut meeting = self.meet();
        let mut runs = Vec::with_capacity(batches.len());
        let mut found = Ok(());
        for events in batches {
            let mut of_batch = Vec::new();
            let mut start = 0;
            while start < events.count() && found.is_ok() {
                let end = end_of_run(events.streams, start);
                match meeting.place(events.stream(start)) {
                    Ok(stream) => of_batch.push(Run { stream, start, end }),
                    Err(error) => found = Err(error),
                }
                start = end;
            }
            runs.push(of_batch);
        }
        let checked = found.and_then(|()| meeting.streams.check_numbers(batches, &runs));
        meeting.settle(checked, bounds)?;
        Ok(runs)
    }

    /// The places of these streams, as [`Self::resolve`] finds them.
    pub(crate) fn resolve_names<'a>(
        &mut self,
        names: impl Iterator<Item = &'a [u8]>,
        bounds: Bounds,
    ) -> Result<Vec<usize>, Error> {
        let mut meeting = self.meet();
        let mut places = Vec::new();
        let mut found = Ok(());
        for name in names {
            match meeting.place(name) {
                Ok(place) => places.push(place),
                Err(error) => found = Err(error),
            }
        }
        meeting.settle(found, bounds)?;
        Ok(places)
    }

    fn meet(&mut self) -> Meeting<'_> {
        self.clock += 1;
        Meeting {
            streams: self,
            added: Vec::new(),
            recent: [usize::MAX; RECENT],
        }
    }

    /// Whether there are numbers left for events that have none.
    fn check_numbers(&self, batches: &[Events<'_>], runs: &[Vec<Run>]) -> Result<(), Error> {
        use arrow_array::Array;
        if batches.iter().all(|events| events.sequences.null_count() == 0) {
            return Ok(());
        }
        let rows: usize = batches.iter().map(Events::count).sum();
        let most = u64::MAX - rows as u64;
        for (events, runs) in batches.iter().zip(runs) {
            for run in runs {
                let given = events.sequences.values().get(run.start..run.end).unwrap_or_default();
                let given = given.iter().copied().zip(run.start..).filter_map(|(number, row)| {
                    let nulls = events.sequences.nulls();
                    nulls.is_none_or(|nulls| nulls.is_valid(row)).then_some(number)
                });
                let last = self.get(run.stream).and_then(|stream| stream.last);
                if given.max().max(last).is_some_and(|last| last > most) {
                    let name = String::from_utf8_lossy(events.stream(run.start));
                    return Err(Error::BadBatch(format!(
                        "stream {name:?} has no numbers left after {}; give events without one another stream",
                        u64::MAX
                    )));
                }
            }
        }
        Ok(())
    }

    /// Forgets as many streams as there are too many: of those that are not being met and of which the buffer holds
    /// nothing, the ones that were met longest ago.
    fn make_room(&mut self, bounds: Bounds) -> Result<(), Error> {
        let over = self
            .places
            .len()
            .saturating_sub(usize::try_from(bounds.streams_max).unwrap_or(usize::MAX));
        if over == 0 {
            return Ok(());
        }
        // By name where the time is the same, so that a successor forgets the same ones.
        let mut idle: Vec<(u64, &[u8], usize)> = Vec::new();
        for (name, place) in &self.places {
            let stream = self.slots.get(*place);
            let is_idle = |stream: &&Stream| stream.used < self.clock && stream.held_to <= bounds.acknowledged;
            if let Some(stream) = stream.filter(is_idle) {
                idle.push((stream.used, name, *place));
            }
        }
        if idle.len() < over {
            return Err(Error::TooManyStreams(bounds.streams_max));
        }
        idle.select_nth_unstable(over - 1);
        let forgotten: Vec<usize> = idle.iter().take(over).map(|(_, _, place)| *place).collect();
        for place in forgotten {
            self.forget(place);
        }
        Ok(())
    }
}

/// What decides which streams may be forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most that are kept.
    pub(crate) streams_max: u64,
    /// The buffer holds nothing before this position.
    pub(crate) acknowledged: u64,
}

/// Streams being looked up together, for one call.
struct Meeting<'a> {
    streams: &'a mut Streams,
    added: Vec<usize>,
    recent: [usize; RECENT],
}

impl Meeting<'_> {
    fn place(&mut self, name: &[u8]) -> Result<usize, Error> {
        if name.len() > STREAM_NAME_BYTES_MAX {
            return Err(Error::BadBatch(format!(
                "a stream's name has {} bytes; {STREAM_NAME_BYTES_MAX} are the most",
                name.len()
            )));
        }
        let recent = self.recent.get_mut(slot(name));
        if let Some(place) = recent.as_ref().map(|place| **place) {
            let stream = self.streams.slots.get(place);
            if stream.is_some_and(|stream| *stream.name == *name) {
                return Ok(place);
            }
        }
        let place = match self.streams.places.get(name) {
            Some(place) => *place,
            None => {
                self.streams.add(Stream {
                    name: name.into(),
                    ..Stream::default()
                });
                let place = self.streams.places.get(name).copied().unwrap_or(usize::MAX);
                self.added.push(place);
                place
            }
        };
        if let Some(recent) = recent {
            *recent = place;
        }
        if let Some(stream) = self.streams.slots.get_mut(place) {
            stream.used = self.streams.clock;
        }
        Ok(place)
    }

    /// Keeps what was added if all went well and there is room.
    fn settle(self, found: Result<(), Error>, bounds: Bounds) -> Result<(), Error> {
        let settled = found.and_then(|()| self.streams.make_room(bounds));
        if settled.is_err() {
            for place in self.added {
                self.streams.forget(place);
            }
        }
        settled
    }
}

/// Where a name is remembered: by its length and its last bytes, which are what differs most.
fn slot(name: &[u8]) -> usize {
    let ends = name
        .iter()
        .rev()
        .take(4)
        .fold(name.len(), |ends, byte| ends.wrapping_mul(31) ^ usize::from(*byte));
    (ends ^ ends >> 6) % RECENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(streams: &mut Streams, names: &[&str], acknowledged: u64) -> Result<Vec<usize>, Error> {
        let bounds = Bounds {
            streams_max: 3,
            acknowledged,
        };
        streams.resolve_names(names.iter().map(|name| name.as_bytes()), bounds)
    }

    fn names(streams: &Streams) -> Vec<String> {
        let name = |stream: &Stream| String::from_utf8_lossy(&stream.name).into_owned();
        streams.iter().map(name).collect()
    }

    #[test]
    fn the_stream_met_longest_ago_is_forgotten_first() {
        let mut streams = Streams::default();
        for name in ["a", "b", "c", "a", "d"] {
            met(&mut streams, &[name], 0).unwrap();
        }
        assert_eq!(names(&streams), ["a", "c", "d"]);
    }

    #[test]
    fn a_stream_the_buffer_holds_events_of_is_not_forgotten() {
        let mut streams = Streams::default();
        for place in met(&mut streams, &["a", "b", "c"], 0).unwrap() {
            streams.get_mut(place).unwrap().held_to = 10;
        }
        assert_eq!(met(&mut streams, &["b", "d"], 9), Err(Error::TooManyStreams(3)));
        assert_eq!(names(&streams), ["a", "b", "c"]);
        met(&mut streams, &["b", "d"], 10).unwrap();
        assert_eq!(streams.len(), 3);
        assert!(names(&streams).contains(&"b".to_owned()));
    }

    #[test]
    fn more_streams_at_once_than_are_kept_are_refused() {
        let mut streams = Streams::default();
        met(&mut streams, &["a"], 0).unwrap();
        assert_eq!(
            met(&mut streams, &["b", "c", "d", "e"], 0),
            Err(Error::TooManyStreams(3))
        );
        assert_eq!(names(&streams), ["a"]);
    }
}
