//! Events whose values decide, set aside until there are enough to hash side by side, whatever their streams.

use crate::changes::Changes;
use crate::gate::{LANES, Lanes, Level, Message, Series};

/// An event set aside.
#[derive(Clone, Copy, Debug)]
struct Event<'a> {
    row: usize,
    number: u64,
    token: &'a [u8],
    /// Where its salt begins and ends.
    salt: (usize, usize),
    level: Level,
}

/// The levels of a stream.
pub(super) struct Levels<'a> {
    pub(super) changes: &'a Changes,
    /// The newest of them: from which number on, and which.
    pub(super) newest: (u64, Level),
}

/// The events set aside of one stretch.
#[derive(Debug, Default)]
pub(super) struct Undecided<'a> {
    events: Vec<Event<'a>>,
    salts: Vec<u8>,
    lanes: Lanes,
    /// Made when first needed, as it is large.
    series: Option<Box<Series>>,
}

impl<'a> Undecided<'a> {
    /// Drops those of a stream's rows that are to be dropped, if they are a series: one token, and numbers that follow one
    /// another from `first` on; one flag for each. False if these have to be set aside one by one.
    #[inline(never)]
    pub(super) fn decide_series(
        &mut self,
        token: &[u8],
        first: u64,
        salt: [&[u8]; 2],
        levels: &Levels<'_>,
        dropped: &mut [bool],
    ) -> bool {
        let (newest_from, level) = levels.newest;
        if first < newest_from {
            return false;
        }
        if level == Level::ALL || level == Level::NONE {
            dropped.fill(level == Level::ALL);
            return true;
        }
        let message = Message {
            salt: &salt.concat(),
            index: first,
            token,
        };
        let series = self.series.get_or_insert_with(|| Box::new(Series::new()));
        series.decide(&message, level, dropped).is_some()
    }

    /// Drops those of a stream's rows that are to be dropped anyhow, and sets aside those whose values decide. `salt` is
    /// what stands in front of their numbers.
    // By itself, as is the next, and not as a part of what calls it: this is where the time goes, and a loop among many
    // others is left too few registers.
    #[inline(never)]
    pub(super) fn add(
        &mut self,
        rows: impl Iterator<Item = (usize, u64, &'a [u8])>,
        salt: [&[u8]; 2],
        levels: &Levels<'_>,
        dropped: &mut [bool],
    ) {
        let start = self.salts.len();
        for part in salt {
            self.salts.extend_from_slice(part);
        }
        let salt = (start, self.salts.len());
        let (newest_from, newest_level) = levels.newest;
        rows.for_each(|(row, number, token)| {
            let level = if number >= newest_from {
                newest_level
            } else {
                levels.changes.level_at(number)
            };
            if level == Level::ALL {
                if let Some(dropped) = dropped.get_mut(row) {
                    *dropped = true;
                }
            } else if level != Level::NONE {
                self.events.push(Event {
                    row,
                    number,
                    token,
                    salt,
                    level,
                });
            }
        });
    }

    /// Decides about all that were set aside.
    #[inline(never)]
    pub(super) fn decide(&mut self, dropped: &mut [bool]) {
        // The last one as often as the lanes ask for: it is decided the same each time.
        while let Some(last) = self.events.last().filter(|_| !self.events.len().is_multiple_of(LANES)) {
            self.events.push(*last);
        }
        let (quads, _) = self.events.as_chunks::<LANES>();
        for quad in quads {
            let messages = quad.map(|event| Message {
                salt: self.salts.get(event.salt.0..event.salt.1).unwrap_or_default(),
                index: event.number,
                token: event.token,
            });
            let values = self.lanes.values(&messages);
            for (event, value) in quad.iter().zip(values) {
                if let Some(dropped) = dropped.get_mut(event.row) {
                    *dropped = event.level.drops(value);
                }
            }
        }
        self.events.clear();
        self.salts.clear();
    }
}
