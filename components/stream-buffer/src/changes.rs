//! The levels of one stream, each from a sequence number on.

use crate::gate::Level;

/// Changes remembered of a stream, the newest. Older ones are forgotten, and events before them are kept.
pub(crate) const CHANGES_MAX: usize = 64;

/// Which level holds where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(Vec<(u64, Level)>);

impl Changes {
    /// The level for an event of this number.
    pub(crate) fn level_at(&self, sequence: u64) -> Level {
        let after = self.0.partition_point(|(from, _)| *from <= sequence);
        let change = after.checked_sub(1).and_then(|last| self.0.get(last));
        change.map_or(Level::NONE, |(_, level)| *level)
    }

    /// The newest change.
    pub(crate) fn newest(&self) -> Option<(u64, Level)> {
        self.0.last().copied()
    }

    /// From this number up to the next change, this level. What was said for the same number before is replaced, so it
    /// does not matter if a change is told twice.
    pub(crate) fn set(&mut self, from: u64, level: Level) {
        let place = self.0.partition_point(|(other, _)| *other < from);
        match self.0.get_mut(place) {
            Some((other, replaced)) if *other == from => *replaced = level,
            _ => self.0.insert(place, (from, level)),
        }
        if self.0.len() > CHANGES_MAX {
            self.0.remove(0);
        }
    }

    /// All, the oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, Level)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(level: u16) -> Level {
        Level::new(level).unwrap()
    }

    #[test]
    fn an_event_that_comes_late_meets_the_level_of_its_number() {
        let mut changes = Changes::default();
        changes.set(20, level(32));
        changes.set(10, level(16));
        let levels = [0, 9, 10, 19, 20, u64::MAX].map(|sequence| changes.level_at(sequence).get());
        assert_eq!(levels, [0, 0, 16, 16, 32, 32]);
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut changes = Changes::default();
        for from in 0..200 {
            changes.set(from, Level::ALL);
        }
        assert_eq!(changes.iter().len(), CHANGES_MAX);
        assert_eq!(changes.level_at(200 - CHANGES_MAX as u64), Level::ALL);
        assert_eq!(changes.level_at(199 - CHANGES_MAX as u64), Level::NONE);
        // One older than all of them changes nothing.
        let before = changes.clone();
        changes.set(3, Level::ALL);
        assert_eq!(changes, before);
    }

    #[test]
    fn what_is_told_twice_holds_once() {
        let mut changes = Changes::default();
        for _ in 0..2 {
            changes.set(5, level(16));
            changes.set(5, level(48));
        }
        assert_eq!(changes.iter().collect::<Vec<_>>(), [(5, level(48))]);
    }
}
