//! How fullness becomes a level: in steps between two watermarks, and slow to fall so that it does not flap.

use crate::gate::Level;
use crate::settings::Settings;

/// Steps from nothing to everything.
const STEPS: u64 = 16;
/// What one step adds to the level.
const LEVEL_PER_STEP: u16 = 16;

/// A number of events and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many events.
    pub events: u64,
    /// What they take, in bytes.
    pub size_bytes: u64,
}

impl Amount {
    /// This and that; at the end of the numbers it stays there.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            size_bytes: self.size_bytes.saturating_add(other.size_bytes),
        }
    }

    /// This without that; nothing if that is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_sub(other.events),
            size_bytes: self.size_bytes.saturating_sub(other.size_bytes),
        }
    }
}

/// How far the level has risen, 0 to 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step(u64);

impl Step {
    /// The step of this number, if it is at most 16.
    pub(crate) fn new(step: u8) -> Option<Self> {
        let step = u64::from(step);
        (step <= STEPS).then_some(Self(step))
    }

    pub(crate) fn get(self) -> u8 {
        u8::try_from(self.0).unwrap_or(u8::MAX)
    }

    pub(crate) fn level(self) -> Level {
        Level::new(u16::from(self.get()) * LEVEL_PER_STEP).unwrap_or(Level::ALL)
    }

    /// The step at this fullness. It rises at once, and falls when the fullness is half a step below what made it rise.
    pub(crate) fn settled(self, held: Amount, settings: &Settings) -> Self {
        let halves = half_steps(held.events, settings.events_max, settings).max(half_steps(
            held.size_bytes,
            settings.size_bytes_max,
            settings,
        ));
        let (rising, falling) = (halves / 2, halves.div_ceil(2));
        Self(self.0.clamp(rising, falling))
    }

    /// What can be held until the next step begins; at the last step, what can be held at all.
    pub(crate) fn reach(self, settings: &Settings) -> Amount {
        let next = self.0 + 1;
        let reach = |most: u64| {
            if next > STEPS {
                return most;
            }
            let (low, high) = (settings.watermark_low_percent, settings.watermark_high_percent);
            (most * (STEPS * low + next * (high - low))).div_ceil(STEPS * 100)
        };
        Amount {
            events: reach(settings.events_max),
            size_bytes: reach(settings.size_bytes_max),
        }
    }
}

/// Half steps above the low watermark, rounded down, 0 to 32. No product overflows: settings are below 2^32.
fn half_steps(held: u64, most: u64, settings: &Settings) -> u64 {
    let (low, high) = (settings.watermark_low_percent, settings.watermark_high_percent);
    let above = (held.min(most) * 100).saturating_sub(low * most);
    (2 * STEPS * above / ((high - low) * most)).min(2 * STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settled(step: Step, events: u64) -> Step {
        let held = Amount { events, size_bytes: 0 };
        step.settled(held, &Settings::default())
    }

    #[test]
    fn below_low_is_nothing_above_high_is_everything_and_in_between_it_is_linear() {
        let from_nothing = |events| settled(Step::default(), events).level().get();
        assert_eq!(from_nothing(0), 0);
        assert_eq!(from_nothing(50_000), 0);
        assert_eq!(from_nothing(52_499), 0);
        assert_eq!(from_nothing(52_500), 16);
        assert_eq!(from_nothing(70_000), 128);
        assert_eq!(from_nothing(89_999), 240);
        assert_eq!(from_nothing(90_000), 256);
        assert_eq!(from_nothing(100_000), 256);
    }

    #[test]
    fn the_fuller_of_events_and_bytes_counts() {
        let held = Amount {
            events: 1,
            size_bytes: 64 << 20,
        };
        assert_eq!(Step::default().settled(held, &Settings::default()).level(), Level::ALL);
    }

    #[test]
    fn it_falls_half_a_step_later_than_it_rose() {
        let risen = settled(Step::default(), 70_000);
        assert_eq!(settled(risen, 69_999), risen);
        assert_eq!(settled(risen, 68_751), risen);
        assert_eq!(settled(risen, 68_749).level().get(), 112);
        assert_eq!(settled(risen, 50_000), Step::default());
    }

    proptest! {
        #[test]
        fn it_changes_exactly_where_its_reach_ends(
            events_max in 1_u64..2_000_000, low in 0_u64..99, above in 1_u64..100, held in 0_u64..2_000_000,
        ) {
            let settings = Settings {
                events_max,
                watermark_low_percent: low,
                watermark_high_percent: (low + above).min(100),
                ..Settings::default()
            };
            let held = Amount { events: held.min(events_max), size_bytes: 0 };
            let step = Step::default().settled(held, &settings);
            prop_assert_eq!(step.settled(held, &settings), step);
            let reach = step.reach(&settings).events;
            if step.level() == Level::ALL {
                prop_assert_eq!(reach, events_max);
            } else {
                prop_assert!(held.events < reach);
                let at = |events| step.settled(Amount { events, size_bytes: 0 }, &settings);
                prop_assert!(at(reach).get() > step.get());
                prop_assert_eq!(at(reach - 1), step);
            }
        }
    }
}
