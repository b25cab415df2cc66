//! When the clock calls next. Times that passed while a call ran or the host was down are not made up.

use std::time::Duration;

use chrono::DateTime;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A moment from which every pattern that ever comes, comes: 2024 began, a leap year.
const CHECKED_FROM_UNIX_MS: u64 = 1_704_067_200_000;

/// Whether a cron pattern is one, and ever comes.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let cron = parse(pattern)?;
    match next(&cron, CHECKED_FROM_UNIX_MS) {
        Some(_) => Ok(()),
        None => Err(format!("the time of the cron pattern \"{pattern}\" never comes")),
    }
}

/// Minute, hour, day of month, month, day of week; neither seconds nor years.
pub(super) fn parse(pattern: &str) -> Result<Cron, String> {
    // Names such as @daily are another way to say the same.
    if pattern.contains('@') {
        return Err(format!("\"{pattern}\" is not a cron pattern of five fields"));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser
        .parse(pattern)
        .map_err(|error| format!("\"{pattern}\" is not a cron pattern: {error}"))
}

/// The first time after a moment, both in milliseconds since 1970, UTC.
pub(super) fn next(cron: &Cron, after_unix_ms: u64) -> Option<u64> {
    let after = DateTime::from_timestamp_millis(i64::try_from(after_unix_ms).ok()?)?;
    let next = cron.find_next_occurrence(&after, false).ok()?;
    u64::try_from(next.timestamp_millis()).ok()
}

/// How long until the next multiple of a period, when so much has passed since its beginning.
pub(super) fn until_next(passed: Duration, every_ms: u64) -> Duration {
    let every = Duration::from_millis(every_ms.max(1));
    let into = passed.as_nanos() % every.as_nanos();
    every.saturating_sub(Duration::from_nanos(u64::try_from(into).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    #[test]
    fn a_pattern_comes_at_its_next_time_and_not_at_the_moment_itself() {
        let cron = parse("*/5 * * * *").unwrap();
        let first = next(&cron, CHECKED_FROM_UNIX_MS).unwrap();
        assert_eq!(first, CHECKED_FROM_UNIX_MS + 5 * MINUTE_MS);
        assert_eq!(next(&cron, first), Some(first + 5 * MINUTE_MS));
        assert_eq!(next(&cron, first + 17 * MINUTE_MS + 1), Some(first + 20 * MINUTE_MS));
    }

    #[test]
    fn a_pattern_whose_time_never_comes_is_refused_and_a_leap_day_is_not() {
        assert!(check("0 0 30 2 *").unwrap_err().contains("never"));
        assert!(check("@daily").is_err());
        assert_eq!(check("0 0 29 2 *"), Ok(()));
        assert_eq!(check("0 9 * * MON-FRI"), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_there_is_refused_or_comes_later(
            text in proptest::prop_oneof!["[0-9*/,LW#? A-Z-]{0,24}", "([0-9*]{1,2}[/,-]?[0-9]{0,2} ){4}[0-9*]", "\\PC{0,24}"],
            after_ms in 0..4_000_000_000_000_u64,
        ) {
            if let Ok(cron) = parse(&text)
                && let Some(next) = next(&cron, after_ms)
            {
                proptest::prop_assert!(next > after_ms);
            }
        }
    }

    #[test]
    fn a_period_that_was_missed_is_not_made_up() {
        let ms = Duration::from_millis;
        assert_eq!(until_next(ms(0), 100), ms(100));
        assert_eq!(until_next(ms(30), 100), ms(70));
        assert_eq!(until_next(ms(100), 100), ms(100));
        assert_eq!(until_next(ms(1_299), 100), ms(1));
    }
}
