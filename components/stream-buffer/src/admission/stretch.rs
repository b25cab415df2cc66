//! One batch on its way in, taken in stretches within which the level cannot change.

use std::borrow::Cow;

use arrow_array::Array;

use crate::buffer::{Admission, Buffer, LevelChange};
use crate::events::{Events, highest};
use crate::flags::{count, only};
use crate::gate::Level;
use crate::pressure::Amount;
use crate::runs::Run;
use crate::settings::Salt;
use crate::sheddable::Sheddable;
use crate::streams::Stream;

use super::undecided::{Levels, Undecided};

/// The longest stretch, in rows: what is looked at several times should stay in the cache.
const STRETCH_ROWS_MAX: usize = 4_096;
/// Rows decided about together when there is no room any more and only what is dropped can pass.
const FULL_ROWS: usize = 64;

/// What became of one record batch.
pub(super) struct Taken<'a> {
    /// Rows taken, kept or dropped: all before the first that was refused.
    pub(super) rows: usize,
    /// What is kept of them.
    pub(super) kept: Amount,
    /// Which of the rows taken are dropped.
    pub(super) dropped: Vec<bool>,
    /// The numbers of the rows taken.
    pub(super) numbers: Cow<'a, [u64]>,
}

/// A batch being taken.
pub(super) struct Taking<'a> {
    buffer: &'a mut Buffer,
    admission: &'a mut Admission,
    /// What is held, with what was taken so far.
    held: Amount,
    /// The position of the next event.
    position: u64,
    sheddable: Sheddable,
}

/// How far a stretch goes.
struct Reach {
    end: usize,
    /// Whether there is room for all of it.
    has_room: bool,
    /// Whether what is kept may be held at all.
    has_place: bool,
}

impl<'a> Taking<'a> {
    pub(super) fn of(buffer: &'a mut Buffer, admission: &'a mut Admission) -> Self {
        Self {
            held: buffer.queue.amount(),
            position: buffer.queue.end(),
            sheddable: Sheddable::of(&buffer.settings),
            buffer,
            admission,
        }
    }

    /// Takes what can be taken of a record batch; if it has no place, only what is dropped.
    pub(super) fn batch<'b>(&mut self, events: &Events<'b>, runs: &[Run], has_place: bool) -> Taken<'b> {
        let numbers = events.sequences.values().as_ref();
        let mut taken = Taken {
            rows: 0,
            kept: Amount::default(),
            dropped: vec![false; events.count()],
            numbers: if events.sequences.null_count() > 0 {
                Cow::Owned(numbers.to_vec())
            } else {
                Cow::Borrowed(numbers)
            },
        };
        let mut undecided = Undecided::default();
        while taken.rows < events.count() {
            let reach = self.reach(events, taken.rows, has_place);
            if !self.stretch(events, runs, &reach, &mut undecided, &mut taken) {
                break;
            }
            self.buffer.step = self.buffer.step.settled(self.held, &self.buffer.settings);
        }
        if let Some(nulls) = events.sequences.nulls() {
            let numbers = taken.numbers.iter().take(taken.rows).zip(nulls);
            let given = numbers.filter_map(|(number, is_given)| (!is_given).then_some(*number));
            self.admission.assigned.extend(given);
        }
        self.admission.kept += taken.kept.events;
        taken
    }

    fn reach(&self, events: &Events<'_>, start: usize, has_place: bool) -> Reach {
        let settings = &self.buffer.settings;
        let most = Amount {
            events: settings.events_max,
            size_bytes: settings.size_bytes_max,
        };
        let limit = match self.buffer.followed {
            Some(_) => most,
            None => self.buffer.step.reach(settings),
        };
        let left = limit.minus(self.held);
        let rows_max = usize::try_from(left.events).map_or(STRETCH_ROWS_MAX, |rows| rows.min(STRETCH_ROWS_MAX));
        let rows = if has_place {
            events.sizes.within(start, rows_max, left.size_bytes)
        } else {
            0
        };
        let rows_unsure = if limit == most || !has_place { FULL_ROWS } else { 1 };
        Reach {
            end: (start + if rows > 0 { rows } else { rows_unsure }).min(events.count()),
            has_room: rows > 0,
            has_place,
        }
    }

    /// Decides about the rows of a stretch and counts them; false if one was refused, and then it is the last.
    fn stretch<'b>(
        &mut self,
        events: &Events<'b>,
        runs: &[Run],
        reach: &Reach,
        undecided: &mut Undecided<'b>,
        taken: &mut Taken<'_>,
    ) -> bool {
        let start = taken.rows;
        let first_run = runs.partition_point(|run| run.end <= start);
        let runs = runs.get(first_run..).unwrap_or_default();
        let runs_to = |end: usize| {
            runs.iter()
                .take_while(move |run| run.start < end)
                .map(move |run| run.within(start, end))
        };
        // Numbers given to what is refused after all are taken back.
        let mut lasts = Vec::new();
        let mut decides = false;
        for run in runs_to(reach.end) {
            let Some(stream) = self.buffer.streams.get_mut(run.stream) else {
                continue;
            };
            if !reach.has_room {
                lasts.push((run.stream, stream.last));
            }
            let next = stream.next();
            let highest = number(events, run, stream, &mut taken.numbers);
            let from = next.filter(|next| highest >= Some(*next));
            decides |= self.decide(events, run, from, undecided, taken);
        }
        undecided.decide(&mut taken.dropped);
        let end = if reach.has_room {
            reach.end
        } else {
            self.first_refused(events, start, reach, &taken.dropped)
        };
        if end < reach.end {
            for (place, last) in lasts.into_iter().rev() {
                if let Some(stream) = self.buffer.streams.get_mut(place) {
                    stream.last = last;
                }
            }
            for run in runs_to(end) {
                if let Some(stream) = self.buffer.streams.get_mut(run.stream) {
                    number(events, run, stream, &mut taken.numbers);
                }
            }
        }
        let size_bytes = events.sizes.between(start, end);
        let mut kept = Amount {
            events: (end - start) as u64,
            size_bytes,
        };
        if decides {
            kept = kept.minus(self.count_dropped(events, start, end, &taken.dropped));
        }
        for run in runs_to(end) {
            self.place(run, decides, &taken.dropped);
        }
        self.held = self.held.plus(kept);
        taken.rows = end;
        taken.kept = taken.kept.plus(kept);
        end == reach.end
    }

    /// Decides which rows of a run are dropped; `from` is the number its first new event could have. False if nothing of
    /// it can be dropped.
    fn decide<'b>(
        &mut self,
        events: &Events<'b>,
        run: Run,
        from: Option<u64>,
        undecided: &mut Undecided<'b>,
        taken: &mut Taken<'_>,
    ) -> bool {
        let leads = self.buffer.followed.is_none();
        let level = self.buffer.step.level();
        let Some(stream) = self.buffer.streams.get_mut(run.stream) else {
            return false;
        };
        let mut newest = stream.changes.newest();
        if newest.is_none() && (!leads || level == Level::NONE) {
            return false;
        }
        let numbers = taken.numbers.get(run.start..run.end).unwrap_or_default();
        let rows = self.sheddable.rows(events, run, numbers);
        if rows.clone().next().is_none() {
            return false;
        }
        if let Some(from) = from
            && leads
            && level != newest.map_or(Level::NONE, |(_, level)| level)
        {
            // Never before a change that is known: what comes between the two has its level already.
            let from = newest.map_or(from, |(known, _)| from.max(known));
            stream.changes.set(from, level);
            newest = Some((from, level));
            self.admission.level_changes.push(LevelChange {
                stream: String::from_utf8_lossy(&stream.name).into_owned(),
                from_sequence: from,
                level,
            });
        }
        let Some(newest) = newest else {
            return false;
        };
        let salt: [&[u8]; 2] = match self.buffer.settings.salt {
            Salt::None => [&[], &[]],
            Salt::Stream => [&stream.name, b"/"],
        };
        let levels = Levels {
            changes: &stream.changes,
            newest,
        };
        if let Some((token, first)) = self.sheddable.series(events, run, numbers)
            && let Some(dropped) = taken.dropped.get_mut(run.start..run.end)
            && undecided.decide_series(token, first, salt, &levels, dropped)
        {
            return true;
        }
        undecided.add(rows, salt, &levels, &mut taken.dropped);
        true
    }

    /// The first row that is kept and has no room; the end if there is none.
    fn first_refused(&self, events: &Events<'_>, start: usize, reach: &Reach, dropped: &[bool]) -> usize {
        let settings = &self.buffer.settings;
        let mut held = self.held;
        for row in start..reach.end {
            if dropped.get(row) == Some(&true) {
                continue;
            }
            held = held.plus(Amount {
                events: 1,
                size_bytes: events.sizes.row(row),
            });
            if !reach.has_place || held.events > settings.events_max || held.size_bytes > settings.size_bytes_max {
                return row;
            }
        }
        reach.end
    }

    fn count_dropped(&mut self, events: &Events<'_>, start: usize, end: usize, dropped: &[bool]) -> Amount {
        let mut all = Amount::default();
        let dropped = dropped.get(start..end).unwrap_or_default();
        let priorities = events.priorities.get(start..end).unwrap_or_default();
        let highest = usize::from(highest(priorities));
        // Class by class and not row by row: what is the same for all rows is done for many at once.
        for (priority, class) in (0..).zip(self.admission.shed.iter_mut().take(highest + 1)) {
            let flags = only(dropped, priorities, priority);
            let amount = Amount {
                events: count(&flags) as u64,
                size_bytes: events.sizes.flagged(start, &flags),
            };
            *class = class.plus(amount);
            all = all.plus(amount);
        }
        all
    }

    /// Gives the rows of a run that are kept their positions, and remembers up to where the stream has some.
    fn place(&mut self, run: Run, decides: bool, dropped: &[bool]) {
        let mut kept = run.end - run.start;
        if decides {
            let dropped = dropped.get(run.start..run.end).unwrap_or_default();
            kept -= count(dropped);
        }
        self.position += kept as u64;
        if kept > 0
            && let Some(stream) = self.buffer.streams.get_mut(run.stream)
        {
            stream.held_to = self.position;
        }
    }
}

/// Gives those rows of a run numbers that have none, and returns the highest number of all.
fn number(events: &Events<'_>, run: Run, stream: &mut Stream, numbers: &mut Cow<'_, [u64]>) -> Option<u64> {
    let highest = match events.sequences.nulls() {
        None => numbers.get(run.start..run.end)?.iter().copied().max(),
        Some(nulls) => {
            let mut highest = None;
            let numbers = numbers.to_mut().get_mut(run.start..run.end)?;
            for (row, number) in (run.start..).zip(numbers) {
                if nulls.is_null(row) {
                    // There is a next one: that was checked before anything was taken.
                    *number = stream.next().unwrap_or(u64::MAX);
                }
                highest = highest.max(Some(*number));
                stream.last = stream.last.max(highest);
            }
            highest
        }
    };
    stream.last = stream.last.max(highest);
    highest
}
